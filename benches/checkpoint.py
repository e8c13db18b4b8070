"""Save and load of a model's weights: s3dlio beside torch.save, safetensors and torch.distributed.checkpoint.

Each contestant saves and loads the same float32 tensors in one process, in a new random order in each round. Only the
ratios carry over to another machine. ``--s3`` measures against an S3 server that the environment leads to.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import s3dlio
import torch
import torch.distributed.checkpoint as dcp
from s3dlio.torch.dcp import DCPReader, DCPWriter
from safetensors.torch import load_file, save_file

State = dict[str, torch.Tensor]
Contestant = tuple[Callable[[State, str], object], Callable[[State, str], object]]


def local(place: str) -> str:
    """Return the path of a ``file://`` URI."""
    return place.removeprefix("file://")


def read_safetensors(state: State, place: str) -> None:
    """Read into memory that is there, as the other contestants do."""
    for name, tensor in load_file(local(place)).items():
        state[name].copy_(tensor)


def read_torch(state: State, place: str) -> None:
    """Read with the safe unpickler, and copy into place."""
    for name, tensor in torch.load(local(place), weights_only=True).items():
        state[name].copy_(tensor)


OURS: dict[str, Contestant] = {
    "s3dlio": (
        lambda state, place: s3dlio.save_checkpoint(place, state),
        lambda state, place: s3dlio.load_checkpoint(place, into=state),
    ),
    "s3dlio dcp": (
        lambda state, place: dcp.save(dict(state), storage_writer=DCPWriter(place), no_dist=True),
        lambda state, place: dcp.load(state, storage_reader=DCPReader(place), no_dist=True),
    ),
}
OTHERS: dict[str, Contestant] = {
    "torch.save": (lambda state, place: torch.save(state, local(place)), read_torch),
    "safetensors": (lambda state, place: save_file(state, local(place)), read_safetensors),
    "dcp": (
        lambda state, place: dcp.save(state, checkpoint_id=local(place), no_dist=True),
        lambda state, place: dcp.load(state, checkpoint_id=local(place), no_dist=True),
    ),
}


def measure(contestants: dict[str, Contestant], base: str, mebibytes: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the median GB/s of saving and loading."""
    size = mebibytes * 2**20 // 4 // 32
    state = {f"layer.{number}.weight": torch.rand(size) for number in range(32)}
    target = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    total = sum(tensor.nbytes for tensor in state.values()) / 1e9
    speeds: dict[str, dict[str, list[float]]] = {name: {"save": [], "load": []} for name in contestants}
    for number in range(rounds):
        for name in random.sample(sorted(contestants), len(contestants)):
            save, load = contestants[name]
            place = f"{base}/{name.replace(' ', '-')}-{number}"
            start = time.perf_counter()
            save(state, place)
            middle = time.perf_counter()
            load(target, place)
            end = time.perf_counter()
            assert all(torch.equal(target[key], tensor) for key, tensor in state.items())
            speeds[name]["save"].append(total / (middle - start))
            speeds[name]["load"].append(total / (end - middle))
            if base.startswith("file://"):
                path = Path(local(place))
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {
        name: {verb: round(statistics.median(found), 3) for verb, found in verbs.items()}
        for name, verbs in speeds.items()
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--s3", help="URI of a place in a store, for our contestants")
    parser.add_argument("--folder", help="where files are written; a temporary folder by default")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results["file"] = measure(OURS | OTHERS, f"file://{folder}", options.mebibytes, options.rounds)
    if options.s3:
        results["s3"] = measure(OURS, options.s3.rstrip("/"), options.mebibytes, options.rounds)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
