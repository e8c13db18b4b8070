"""Every sample once, in the pure order: map and iterable data sets, 0 and 2 workers, 1 to 3 ranks.

One pair of workers serves all cases of a kind, because each spawned worker takes seconds to import torch: a persistent
``DataLoader`` is told between epochs which rank it plays.

Usage: ``python -m tests.frameworks.programs.matrix fork|spawn|forkserver s3://bucket``
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from s3dlio.torch import S3IterableDataset, S3MapDataset
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, Sampler

from tests.frameworks.programs.numbers import numbers, rank_batches, sequence

SEED = 11
BATCH = 4
EVEN, ODD = 24, 26
RANKS = [(rank, world) for world in (1, 2, 3) for rank in range(world)]


@dataclass(frozen=True)
class Case:
    rank: int
    world: int
    count: int
    last: str | None

    def expected(self) -> list[tuple[int, ...]]:
        order = sequence(self.count, SEED, 0)
        return rank_batches(order, BATCH, self.rank, self.world, self.last)

    def dataset(self, base: str, mode: str) -> S3IterableDataset:
        size = {"batch_size": BATCH} if mode == "ready" else {"sample_block": BATCH}
        place = {"shard_rank": self.rank, "shard_world_size": self.world}
        return S3IterableDataset(
            f"{base}/{self.count}/", shuffle=True, seed=SEED, last=self.last, loader_opts=place, **size
        )


CASES = [
    Case(rank, world, count, last)
    for count, last in ((EVEN, None), (ODD, None), (ODD, "uneven"))
    for rank, world in RANKS
]


class Switch(IterableDataset[Any]):
    """One of several data sets, chosen by the main process."""

    def __init__(self, datasets: list[S3IterableDataset]) -> None:
        self.datasets = datasets
        self.chosen = torch.zeros(1, dtype=torch.int64).share_memory_()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.datasets[int(self.chosen)])


class SwitchSampler(Sampler[int]):
    """One of several samplers."""

    def __init__(self, samplers: list[DistributedSampler[Any]]) -> None:
        self.samplers = samplers
        self.chosen = 0

    def __iter__(self) -> Iterator[int]:
        return iter(self.samplers[self.chosen])


def loader_options(context: str | None) -> dict[str, Any]:
    if context is None:
        return {"num_workers": 0}
    return {"num_workers": 2, "multiprocessing_context": context, "persistent_workers": True}


def iterable(base: str, mode: str, context: str | None) -> dict[Case, list[tuple[int, ...]]]:
    switch = Switch([case.dataset(base, mode) for case in CASES])
    size = None if mode == "ready" else BATCH
    loader = DataLoader(switch, batch_size=size, **loader_options(context))
    found = {}
    for number, case in enumerate(CASES):
        switch.chosen.fill_(number)
        found[case] = [numbers(batch) for batch in loader]
        assert len(switch.datasets[number]) == len(
            found[case] if mode == "ready" else [n for batch in found[case] for n in batch]
        )
    return found


def check_iterable(found: dict[Case, list[tuple[int, ...]]], what: str) -> None:
    for case, batches in found.items():
        assert batches == case.expected(), f"{what} {case}: {batches}, expected {case.expected()}"
    for world in (1, 2, 3):
        for count, last in ((EVEN, None), (ODD, None), (ODD, "uneven")):
            ranks = [found[Case(rank, world, count, last)] for rank in range(world)]
            seen = Counter(n for batches in ranks for batch in batches for n in batch)
            where = f"{what} {world} ranks, {count} records, last {last}: {seen}"
            assert set(seen) == set(range(count)), where
            if count == EVEN or last == "uneven" or world == 1:
                assert set(seen.values()) == {1}, where
            if last is None:
                assert len({len(batches) for batches in ranks}) == 1, where


def check_map(base: str, context: str | None) -> None:
    dataset = S3MapDataset(f"{base}/{EVEN}/")
    samplers = [DistributedSampler(dataset, num_replicas=w, rank=r, seed=SEED) for r, w in RANKS]
    switch = SwitchSampler(samplers)
    loader = DataLoader(dataset, batch_size=BATCH, sampler=switch, **loader_options(context))
    seen: dict[int, list[list[int]]] = {}
    for chosen, (_, world) in enumerate(RANKS):
        switch.chosen = chosen
        found = [n for batch in loader for n in numbers(batch)]
        assert found == list(samplers[chosen]), f"map {context} {RANKS[chosen]}: {found}"
        seen.setdefault(world, []).append(found)
    for world, ranks in seen.items():
        assert sorted(n for found in ranks for n in found) == list(range(EVEN)), f"{world} ranks: {ranks}"
        assert len({len(found) for found in ranks}) == 1


def check_environment(base: str, context: str) -> None:
    """Ranks from RANK and WORLD_SIZE, as a launcher sets them, seen by the workers too."""
    try:
        for rank in range(2):
            os.environ.update(RANK=str(rank), WORLD_SIZE="2")
            dataset = S3IterableDataset(
                f"{base}/{EVEN}/", shuffle=True, seed=SEED, batch_size=BATCH, enable_sharding=True
            )
            loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context=context)
            case = Case(rank, 2, EVEN, None)
            assert [numbers(batch) for batch in loader] == case.expected(), case
    finally:
        del os.environ["RANK"], os.environ["WORLD_SIZE"]


def main(context: str, base: str) -> None:
    # Without workers the way of starting them does not matter, so that one of the three runs does it.
    for workers in (context, None) if context == "fork" else (context,):
        check_map(base, workers)
        for mode in ("ready", "sample"):
            check_iterable(iterable(base, mode, workers), f"{mode} {workers}")
    if context == "fork":
        check_environment(base, context)
    print("every sample once")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
