"""Which rank a process is, and which samples a rank and a worker get."""

from __future__ import annotations

import pytest
import s3dlio
from hypothesis import given
from hypothesis import strategies as st
from s3dlio.sharding import rank_and_world


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def test_without_settings_this_is_the_only_rank():
    assert rank_and_world() == (0, 1)


def test_reads_the_launcher_variables(monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert rank_and_world() == (2, 4)


@pytest.mark.parametrize(
    ("rank", "world", "named"),
    [("4", "4", "RANK"), ("-1", "4", "RANK"), ("x", "4", "RANK"), ("0", "many", "WORLD_SIZE"), ("1", "", "RANK")],
)
def test_refuses_variables_that_cannot_be(monkeypatch, rank, world, named):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(s3dlio.ConfigError, match=f"`{named}`"):
        rank_and_world()


def samples(n: int, **options) -> list[list[int]]:
    """Return the batches of one rank and worker over objects that hold their number."""
    uris = [f"memory://shards/{i:04}" for i in range(n)]
    dataset = s3dlio.PyDataset.from_uris(uris, options)
    return [[int(view) for view in batch] for batch in s3dlio.PyBytesAsyncDataLoader(dataset)]


@pytest.fixture(scope="module", autouse=True)
def _objects():
    s3dlio.put_many([(f"memory://shards/{i:04}", str(i).encode()) for i in range(60)])


def expected_sequence(n: int, size: int, world: int, last: str) -> list[list[int]]:
    """Cut the epoch into the batches of all ranks, by the rules of the documentation."""
    batches = [[*range(at, min(at + size, n))] for at in range(0, n, size)]
    if last == "uneven":
        return batches
    if last == "drop":
        return batches[: n // (size * world) * world]
    slots = -(-n // (size * world)) * world * size
    fill = (lambda p: p % n) if last == "wrap" else (lambda _: n - 1)
    whole = [p if p < n else fill(p) for p in range(slots)]
    return [whole[at : at + size] for at in range(0, slots, size)]


@given(
    n=st.integers(1, 60),
    size=st.integers(1, 9),
    world=st.integers(1, 4),
    workers=st.integers(1, 3),
    last=st.sampled_from(["drop", "pad", "wrap", "uneven"]),
)
def test_ranks_and_workers_share_the_batches(n, size, world, workers, last):
    batches = expected_sequence(n, size, world, last)
    for rank in range(world):
        of_rank = batches[rank::world]
        for worker in range(workers):
            found = samples(
                n,
                batch_size=size,
                last=last,
                shard_rank=rank,
                shard_world_size=world,
                worker_id=worker,
                num_workers_pytorch=workers,
            )
            assert found == of_rank[worker::workers]


@pytest.mark.parametrize(
    ("drop_last", "world", "same_as"), [(False, 1, "uneven"), (False, 3, "wrap"), (True, 1, "drop"), (True, 3, "drop")]
)
def test_the_default_for_uneven_tails(drop_last, world, same_as):
    common = {"batch_size": 4, "shard_world_size": world}
    assert samples(10, drop_last=drop_last, **common) == samples(10, last=same_as, **common)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"shard_rank": 2, "shard_world_size": 2}, "shard_rank"),
        ({"worker_id": 1}, "worker_id"),
        ({"drop_last": True, "last": "pad"}, "last"),
    ],
)
def test_contradictions_are_refused(options, named):
    with pytest.raises(s3dlio.ConfigError, match=f"`{named}`"):
        samples(4, batch_size=2, **options)
