"""Save and load of a model's weights: s3dlio beside torch.save, safetensors and torch.distributed.checkpoint.

Each contestant saves and loads the same float32 tensors in one process, in a new random order in each round. Only the
ratios carry over to another machine. ``--s3`` measures against an S3 server on this machine too, whose share of the
processors is not counted, beside s3torchconnector. For 4 GiB 24 GiB of memory are enough only with ``--only s3dlio``:
s3torchconnector needs three more copies.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import s3dlio
import torch
import torch.distributed.checkpoint as dcp
from s3dlio.torch.dcp import DCPReader, DCPWriter
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent.parent))

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


def s3torchconnector(endpoint: str) -> dict[str, Contestant]:
    """Return what is compared in an object store: `torch.save` and DCP over s3torchconnector."""
    from s3torchconnector import S3Checkpoint, S3ClientConfig  # noqa: PLC0415 - asks for its own settings
    from s3torchconnector.dcp import S3StorageReader, S3StorageWriter  # noqa: PLC0415

    # Its distributed checkpoints take the address of the server from here.
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    region, config = "us-east-1", S3ClientConfig(force_path_style=True)
    plain = S3Checkpoint(region, endpoint=endpoint, s3client_config=config)

    def save(state: State, place: str) -> None:
        with plain.writer(place) as writer:
            torch.save(state, writer)

    def load(state: State, place: str) -> None:
        with plain.reader(place) as reader:
            for name, tensor in torch.load(reader, weights_only=True).items():
                state[name].copy_(tensor)

    return {
        "s3torchconnector": (save, load),
        "s3torchconnector dcp": (
            lambda state, place: dcp.save(
                dict(state), storage_writer=S3StorageWriter(region, place, config), no_dist=True
            ),
            lambda state, place: dcp.load(state, storage_reader=S3StorageReader(region, place, config), no_dist=True),
        ),
    }


def measure(contestants: dict[str, Contestant], base: str, mebibytes: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of GB/s and of processor seconds a GB, of saving and of loading."""
    size = mebibytes * 2**20 // 4 // 32
    state = {f"layer.{number}.weight": torch.rand(size) for number in range(32)}
    target = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    total = sum(tensor.nbytes for tensor in state.values()) / 1e9
    found: dict[str, dict[str, list[float]]] = {name: {} for name in contestants}
    for number in range(rounds):
        for name in random.sample(sorted(contestants), len(contestants)):
            place = f"{base}/{name.replace(' ', '-')}-{number}"
            for tensor in target.values():
                tensor.zero_()
            for verb, call, tensors in zip(("save", "load"), contestants[name], (state, target), strict=True):
                wall, cpu = time.perf_counter(), time.process_time()
                call(tensors, place)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                found[name].setdefault(verb, []).append(total / wall)
                found[name].setdefault(f"{verb} CPU", []).append(cpu / total)
            assert all(torch.equal(target[key], tensor) for key, tensor in state.items())
            remove(place)
    return {
        name: {verb: round(statistics.median(values), 3) for verb, values in verbs.items()}
        for name, verbs in found.items()
    }


def remove(place: str) -> None:
    """Remove what a contestant wrote."""
    if not place.startswith("file://"):
        s3dlio.delete(place, recursive=True)
        return
    path = Path(local(place))
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def chosen(contestants: dict[str, Contestant], only: list[str] | None) -> dict[str, Contestant]:
    """Return those of these names, and ours."""
    wanted = contestants if only is None else {*OURS, *only}
    return {name: calls for name, calls in contestants.items() if name in wanted}


def in_store(mebibytes: int, rounds: int, only: list[str] | None) -> dict[str, dict[str, float]]:
    """Measure against a server that ends afterwards."""
    from tests.fixtures import testkit  # noqa: PLC0415 - only where a server is needed

    with testkit.serving("s3") as server:
        os.environ.update(server.env)
        contestants = OURS | s3torchconnector(server.env["AWS_ENDPOINT_URL_S3"])
        return measure(chosen(contestants, only), server.bucket("bench"), mebibytes, rounds)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--s3", action="store_true", help="measure against an S3 server too")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contestants, and ours")
    parser.add_argument("--folder", help="where files are written; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        report(
            "file", measure(chosen(OURS | OTHERS, options.only), f"file://{folder}", options.mebibytes, options.rounds)
        )
    if options.s3:
        report("s3", in_store(options.mebibytes, options.rounds, options.only))


def report(kind: str, results: dict[str, dict[str, float]]) -> None:
    """Print what was measured with one kind of store, before the next one is."""
    print(json.dumps({kind: results}, indent=1), flush=True)


if __name__ == "__main__":
    main()
