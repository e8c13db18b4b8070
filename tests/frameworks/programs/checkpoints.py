"""Ranks that save and load through torch.distributed.checkpoint, started by torchrun."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from s3dlio.checkpoint import CheckpointManager, Shard
from s3dlio.torch.dcp import DCPReader, DCPWriter
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor, zeros
from torch.distributed.tensor import Shard as Along

WHOLE = torch.arange(30 * 6, dtype=torch.float32).reshape(30, 6)


def state(*, filled: bool, axis: int) -> dict[str, Any]:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    weights = (
        distribute_tensor(WHOLE, mesh, [Along(axis)])
        if filled
        else zeros(30, 6, device_mesh=mesh, placements=[Along(axis)])
    )
    return {
        "model": {
            "w": weights,
            "bias": torch.arange(5, dtype=torch.bfloat16) if filled else torch.zeros(5, dtype=torch.bfloat16),
        },
        # torch turns keys of other kinds into texts.
        "optimizer": {"state": {"w": {"step": 7 if filled else 0, "betas": (0.9, 0.999) if filled else None}}},
        "rng": random.Random(5).getstate() if filled else None,  # noqa: S311
    }


def check(loaded: dict[str, Any], axis: int) -> None:
    parts = WHOLE.chunk(dist.get_world_size(), axis)
    # Of six columns the last of four ranks has none.
    part = parts[dist.get_rank()] if dist.get_rank() < len(parts) else WHOLE.narrow(axis, 0, 0)
    assert torch.equal(loaded["model"]["w"].to_local(), part)
    assert loaded["model"]["bias"].tolist() == [0, 1, 2, 3, 4]
    assert loaded["optimizer"]["state"]["w"] == {"step": 7, "betas": (0.9, 0.999)}
    assert loaded["rng"] == random.Random(5).getstate()  # noqa: S311


def spread(value: torch.Tensor) -> dict[str, DTensor]:
    """The tensor, over the ranks in every way."""
    size = dist.get_world_size()
    line = init_device_mesh("cpu", (size,))
    grid = init_device_mesh("cpu", (size // 2, 2))
    return {
        "rows": distribute_tensor(value, line, [Along(0)]),
        "columns": distribute_tensor(value, line, [Along(1)]),
        "copies": distribute_tensor(value, line, [Replicate()]),
        "grid": distribute_tensor(value, grid, [Along(1), Along(0)]),
        "copied rows": distribute_tensor(value, grid, [Replicate(), Along(0)]),
    }


def load_spread(base: str) -> None:
    manager = CheckpointManager(base)
    assert manager.world_size == dist.get_world_size()
    into = spread(torch.zeros_like(WHOLE))
    # What was spread in one way is loaded into what is spread in another.
    names = [*into]
    turned = dict(zip(names, [into[name] for name in (*names[1:], names[0])], strict=True))
    loaded = manager.load(into={"model": turned})["model"]
    for name in names:
        assert loaded[name] is turned[name]
        assert torch.equal(turned[name].full_tensor(), WHOLE), name
        assert torch.equal(manager.load(select=[f"model.{name}"])["model"][name], WHOLE)


def main() -> None:
    what, uri = sys.argv[1:]
    dist.init_process_group("gloo")
    if what == "save":
        dcp.save(state(filled=True, axis=0), storage_writer=DCPWriter(uri))
        dcp.async_save(state(filled=True, axis=1), storage_writer=DCPWriter(f"{uri}/async", compress=True)).result()
        manager = CheckpointManager(f"{uri}/own")
        rows = WHOLE.chunk(dist.get_world_size(), 0)
        start = sum(len(part) for part in rows[: dist.get_rank()])
        manager.save(1, {"w": Shard(rows[dist.get_rank()], WHOLE.shape, (start, 0))})
        dist.barrier()
        assert torch.equal(manager.load()["w"], WHOLE)
        CheckpointManager(f"{uri}/spread").save(1, {"model": spread(WHOLE)})
        dist.barrier()
    elif what == "foreign":
        dcp.save(state(filled=True, axis=0), checkpoint_id=uri.removeprefix("file://"))
    if what != "foreign":
        load_spread(f"{uri}/spread")
    for place in [uri] if what == "foreign" else [uri, f"{uri}/async"]:
        for axis in (0, 1):
            loaded = state(filled=False, axis=axis)
            dcp.load(loaded, storage_reader=DCPReader(place))
            check(loaded, axis)
    dist.barrier()
    if dist.get_rank() == 0:
        sys.stdout.write("all ranks agree\n")
    dist.destroy_process_group()
    # The meshes keep torch's groups, and a thread of such a group that lets go of its last barrier while Python ends
    # aborts the process (std::terminate in ~AsyncBarrierWork): one time in seven while others had the cores.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
