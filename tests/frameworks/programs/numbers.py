"""Data sets whose samples say which record they are, and the order that they must come in."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import s3dlio
import torch

ROOT = Path(__file__).parents[3]


def put_numbers(prefix: str, count: int) -> str:
    """Write ``count`` objects of 4 bytes each, their own numbers, and return the prefix."""
    s3dlio.put_many([(f"{prefix}{i:04}.bin", i.to_bytes(4, "little")) for i in range(count)])
    return prefix


def number(sample: torch.Tensor) -> int:
    return int.from_bytes(bytes(sample.tolist()), "little")


def numbers(batch: torch.Tensor | Sequence[torch.Tensor]) -> tuple[int, ...]:
    """The records of a batch: a list of samples, or a stack ``[B, 4]``."""
    return tuple(number(sample) for sample in batch)


def sequence(count: int, seed: int, epoch: int, *, shuffle: bool = True) -> list[int]:
    return s3dlio.order.permutation(count, seed, epoch).tolist() if shuffle else list(range(count))


def rank_batches(order: Sequence[int], batch: int, rank: int, world: int, last: str | None) -> list[tuple[int, ...]]:
    """The batches of one rank by the documented rule, written down a second time."""
    n = len(order)
    if last is None:
        last = "uneven" if world == 1 else "wrap"
    if last == "uneven":
        found = range(rank, math.ceil(n / batch), world)
        return [tuple(order[g * batch : (g + 1) * batch]) for g in found]
    steps = n // (batch * world) if last == "drop" else math.ceil(n / (batch * world))

    def at(position: int) -> int:
        if position < n:
            return order[position]
        return order[position % n if last == "wrap" else n - 1]

    starts = [(step * world + rank) * batch for step in range(steps)]
    return [tuple(at(p) for p in range(start, start + batch)) for start in starts]


def run_program(
    *command: str, env: Mapping[str, str] | None = None, timeout: float = 110
) -> subprocess.CompletedProcess[str]:
    """Run ``python COMMAND`` from the root of the repository and fail with all it said if it fails."""
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def rest_after(epochs: Sequence[Sequence[Any]], taken: int) -> list[Any]:
    """What is left of several epochs after ``taken`` batches."""
    return [batch for epoch in epochs for batch in epoch][taken:]
