"""What becomes of samples that a transform refuses."""

from __future__ import annotations

import numpy as np
import pytest
import s3dlio
from s3dlio.batches import Batches
from s3dlio.errors import TransformError
from s3dlio.torch import Loader

N = 40
REFUSED = {3, 17, 18, 30}


@pytest.fixture
def base(tmp_path) -> str:
    for number in range(N):
        np.save(tmp_path / f"{number:02}.npy", np.int64(number))
    return f"file://{tmp_path}/"


def careful(sample) -> int:
    number = int(sample)
    if number in REFUSED:
        message = f"no {number} here"
        raise ValueError(message)
    return number


def epoch(kind, base: str, **options) -> list[list[int]]:
    place = {"rank": 0, "world_size": 1} | options
    return [[int(number) for number in batch] for batch in kind(base, decoder="npy", batch_size=8, **place)]


@pytest.mark.parametrize("kind", [Batches, Loader])
def test_other_samples_take_the_place_of_refused_ones(kind, base):
    found = epoch(kind, base, transform=careful, on_error="replace")
    assert [len(batch) for batch in found] == [8] * 5
    numbers = [number for batch in found for number in batch]
    kept = [number for number in range(N) if number not in REFUSED]
    assert [numbers[number] for number in kept] == kept
    assert REFUSED.isdisjoint(numbers)
    assert epoch(kind, base, transform=careful, on_error="replace") == found
    # The same ones for every order and number of ranks.
    taken = {number: numbers[number] for number in REFUSED}
    shuffled = s3dlio.order.permutation(N, 5, 0).tolist()
    for world in (1, 2):
        options = {"transform": careful, "on_error": "replace", "shuffle": True, "seed": 5, "world_size": world}
        ranks = [epoch(kind, base, rank=rank, **options) for rank in range(world)]
        assert {len(rank) for rank in ranks} == {-(-5 // world)}
        together = [number for step in zip(*ranks, strict=True) for batch in step for number in batch][:N]
        assert together == [taken.get(number, number) for number in shuffled]


@pytest.mark.parametrize("kind", [Batches, Loader])
def test_refused_samples_are_counted_and_skipped_or_raised(kind, base):
    loader = kind(base, decoder="npy", batch_size=8, rank=0, world_size=1, transform=careful, on_error="replace")
    assert sum(len(batch) for batch in loader) == N
    assert loader.stats()["skipped"] >= len(REFUSED)
    assert [len(batch) for batch in epoch(kind, base, transform=careful, on_error="skip")] == [7, 8, 6, 7, 8]
    with pytest.raises(TransformError, match=r"03\.npy.*no 3 here"):
        epoch(kind, base, transform=careful)


@pytest.mark.parametrize("kind", [Batches, Loader])
def test_where_no_sample_is_good_the_error_says_so(kind, base):
    def refuse(sample):
        message = f"nothing is good enough: {sample}"
        raise ValueError(message)

    with pytest.raises(TransformError, match="none of the 32 records that were tried in its place is good"):
        epoch(kind, base, transform=refuse, on_error="replace")
