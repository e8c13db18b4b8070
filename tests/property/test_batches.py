"""Batches of all ranks and workers together, for any size of data set and batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import s3dlio
from hypothesis import given, settings
from hypothesis import strategies as st
from s3dlio import _s3dlio
from s3dlio.dataset import discover
from s3dlio.options import LoaderOptions

from tests.frameworks.programs.numbers import rank_batches, sequence

LARGEST = 40

layouts = st.tuples(
    st.integers(1, LARGEST),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(["drop", "pad", "wrap", "uneven", None]),
)
orders = st.tuples(st.booleans(), st.integers(0, 2**64 - 1), st.integers(0, 1000))


@pytest.fixture(scope="module")
def uris() -> list[str]:
    found = [f"memory://batches/{i:03}" for i in range(LARGEST)]
    s3dlio.put_many([(uri, bytes([i])) for i, uri in enumerate(found)])
    return found


class Part:
    """What one worker of one rank gives, checked against what it announces."""

    def __init__(self, core: _s3dlio.Loader, epoch: int, step: int = 0) -> None:
        self.steps: list[int] = []
        self.batches: list[tuple[int, ...]] = []
        self.real = 0
        batches = core.iterate(epoch, step)
        while (batch := batches.next()) is not None:
            at, indices, real, data, skipped = batch
            assert [view[0] for view in data] == indices.tolist()
            assert not skipped
            self.steps.append(at)
            self.batches.append(tuple(indices.tolist()))
            self.real += real


def interleaved(parts: list[Part]) -> list[tuple[int, ...]]:
    """The batches of one rank's workers, as DataLoader takes them in turn."""
    numbered = [pair for part in parts for pair in zip(part.steps, part.batches, strict=True)]
    assert sorted(step for step, _ in numbered) == list(range(len(numbered)))
    return [batch for _, batch in sorted(numbered)]


def cores(objects: Any, layout: tuple[Any, ...], order: tuple[Any, ...]) -> list[list[Any]]:
    _, batch, world, workers, last = layout
    shuffle, seed, _ = order
    options = LoaderOptions(batch_size=batch, last=last, shuffle=shuffle, seed=seed)
    return [
        [
            _s3dlio.Loader(
                objects,
                **options.core_kwargs()
                | {"shard_rank": rank, "shard_world_size": world}
                | {"worker_id": worker, "num_workers_pytorch": workers},
            )
            for worker in range(workers)
        ]
        for rank in range(world)
    ]


@settings(max_examples=350, deadline=None, database=None, derandomize=True)
@given(layout=layouts, order=orders)
def test_ranks_and_workers_share_an_epoch(uris: list[str], layout: tuple[Any, ...], order: tuple[Any, ...]) -> None:
    count, batch, world, workers, last = layout
    shuffle, seed, epoch = order
    whole = sequence(count, seed, epoch, shuffle=shuffle)
    ranks, real = [], 0
    for rank, loaders in enumerate(cores(discover(uris[:count]), layout, order)):
        parts = [Part(core, epoch) for core in loaders]
        found = interleaved(parts)
        assert found == rank_batches(whole, batch, rank, world, last)
        assert [core.batches for core in loaders] == [len(part.batches) for part in parts]
        assert {core.steps for core in loaders} == {len(found)}
        assert {core.samples for core in loaders} == {sum(map(len, found))}
        assert [part.steps[:1] for part in parts] == [[w] if w < len(found) else [] for w in range(workers)]
        ranks.append(found)
        real += sum(part.real for part in parts)
    check_epoch(ranks, real, layout)


def check_epoch(ranks: list[list[tuple[int, ...]]], real: int, layout: tuple[Any, ...]) -> None:
    count, batch, world, _, last = layout
    last = last or ("uneven" if world == 1 else "wrap")
    lengths = {len(found) for found in ranks}
    seen = Counter(n for found in ranks for b in found for n in b)
    assert max(lengths) - min(lengths) <= (1 if last == "uneven" else 0)
    if last == "uneven":
        assert seen == Counter(range(count))
    elif last == "drop":
        assert set(seen.values()) <= {1}
        assert count - len(seen) < batch * world
    else:
        assert set(seen) == set(range(count))
        assert seen.total() - count < batch * world
    if last != "uneven":
        assert {len(b) for found in ranks for b in found} <= {batch}
    # Repeated samples are told from real ones, so that a program can leave them out of its counts.
    assert real == (seen.total() if last == "drop" else count)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(layout=layouts, order=orders, data=st.data())
def test_a_state_goes_on_on_other_ranks_and_workers(
    uris: list[str], layout: tuple[Any, ...], order: tuple[Any, ...], data: st.DataObject
) -> None:
    count, batch, world, _, last = layout
    shuffle, seed, epoch = order
    last = last or "wrap"
    global_batch = batch * world
    worlds = [w for w in range(1, global_batch + 1) if global_batch % w == 0]
    other = data.draw(st.sampled_from(worlds), label="ranks after")
    workers = data.draw(st.integers(1, 3), label="workers after")
    objects = discover(uris[:count])
    saving = cores(objects, (count, batch, world, 1, last), order)
    rank = data.draw(st.integers(0, world - 1), label="rank that saves")
    rounds = max(core.steps for (core,) in saving)
    taken = data.draw(st.integers(0, saving[rank][0].steps), label="steps taken")
    state = saving[rank][0].state(epoch, taken, 0)

    size = global_batch // other
    whole = sequence(count, seed, epoch, shuffle=shuffle)
    for there, loaders in enumerate(cores(objects, (count, size, other, workers, last), order)):
        found = []
        for core in loaders:
            resumed, step, sample = core.resume(state)
            assert (resumed, sample) == (epoch, 0)
            part = Part(core, epoch, step)
            found += zip(part.steps, part.batches, strict=True)
        expected = rank_batches(whole, size, there, other, last)
        left = expected[taken:] if taken < rounds else []
        assert [b for _, b in sorted(found)] == left
