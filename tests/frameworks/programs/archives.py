"""The batches that loaders make of the archives of the fixture ``arrays``."""

from __future__ import annotations

import itertools
from typing import Any

from tests.fixtures.archives import COUNT
from tests.frameworks.programs.numbers import rank_batches, sequence

BATCH = 4
SEED = 5
OPTIONS: dict[str, Any] = {"batch_size": BATCH, "shuffle": True, "seed": SEED, "decoder": "npz"}


def labels(batch: Any) -> tuple[int, ...]:
    return tuple(int(label) for label in batch["label"])


def pure(epoch: int, rank: int = 0, world: int = 1, batch: int = BATCH, last: str | None = None) -> list[Any]:
    return rank_batches(sequence(COUNT, SEED, epoch), batch, rank, world, last)


def take(data: Any, count: int) -> list[tuple[int, ...]]:
    """The labels of the next batches, of as many epochs as it takes."""
    return [labels(batch) for batch in itertools.islice((b for _ in itertools.count() for b in data), count)]
