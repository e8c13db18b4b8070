"""Forked workers of a process whose loader has run, and iterators that a fork carries along."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from s3dlio import ForkedProcessError
from s3dlio.torch import Loader, S3IterableDataset, S3MapDataset
from torch.utils.data import DataLoader, IterableDataset

from tests.frameworks.programs.numbers import number, numbers, put_numbers

COUNT = 16


@pytest.fixture(scope="module")
def uri(s3) -> str:
    return put_numbers(f"{s3.bucket('torch-fork')}/data/", COUNT)


def forked(data: Any, **options: Any) -> DataLoader[Any]:
    return DataLoader(data, num_workers=2, multiprocessing_context="fork", **options)


def test_workers_forked_from_a_process_that_has_read(uri: str) -> None:
    everything = [n for batch in Loader(uri, batch_size=4) for n in numbers(batch)]
    mapped = S3MapDataset(uri)
    assert number(mapped[3]) == 3
    for _ in range(3):
        ready = forked(S3IterableDataset(uri, batch_size=4), batch_size=None)
        assert [n for batch in ready for n in numbers(batch)] == everything
        assert [n for batch in forked(mapped, batch_size=4) for n in numbers(batch)] == everything


def test_workers_forked_while_the_parent_iterates(uri: str) -> None:
    batches = iter(Loader(uri, batch_size=2, prefetch=1))
    found = [*numbers(next(batches))]
    workers = forked(S3IterableDataset(uri, batch_size=4), batch_size=None)
    assert [n for batch in workers for n in numbers(batch)] == list(range(COUNT))
    found += [n for batch in batches for n in numbers(batch)]
    assert found == list(range(COUNT))


def test_workers_can_iterate_the_data_set_that_the_parent_iterates(uri: str) -> None:
    data = S3IterableDataset(uri, batch_size=4)
    batches = iter(data)
    next(batches)
    assert [n for batch in forked(data, batch_size=None) for n in numbers(batch)] == list(range(COUNT))
    assert len(list(batches)) == 3


class Inherited(IterableDataset[Any]):
    """Hands out an iterator that its maker had begun."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self.iterator


def test_an_iterator_of_the_parent_raises_in_a_worker(uri: str) -> None:
    batches = iter(Loader(uri, batch_size=2, prefetch=1))
    next(batches)
    with pytest.raises(ForkedProcessError, match="begin a new iteration"):
        next(iter(forked(Inherited(batches), batch_size=None)))
    assert len(list(batches)) == COUNT // 2 - 1, "the parent's own is unharmed"
