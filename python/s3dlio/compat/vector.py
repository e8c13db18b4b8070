"""A data set of integers and its loader, by which programs of earlier generations try out options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, overload

from s3dlio import order
from s3dlio.compat.moved import moved
from s3dlio.dataset import merge_options
from s3dlio.errors import ConfigError
from s3dlio.options import LoaderOptions

__all__ = ["PyAsyncDataLoader", "PyAsyncDataLoaderIter", "PyVecDataset"]


class PyVecDataset(Sequence[int]):
    """Integers in memory; use a list."""

    def __init__(self, items: Iterable[int]) -> None:
        moved("PyVecDataset", "PyDataset.from_bytes_list", DeprecationWarning)
        self._items = [int(item) for item in items]

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        return self._items[index]

    async def get_item(self, index: int) -> int:
        """Return one integer from a coroutine."""
        return self._items[index]


# What a loader of integers knows of the options; the others are about objects and raise.
_KNOWN = ("batch_size", "drop_last", "shuffle", "seed", "prefetch", "num_workers")


class PyAsyncDataLoader:
    """Gives the integers of a :class:`PyVecDataset` in lists, by ``async for``; each iteration is the next epoch.

    Options: ``batch_size`` (32), ``drop_last``, ``shuffle`` with ``seed``. ``prefetch`` and ``num_workers`` may be set:
    nothing is read, so there is nothing to read ahead.

    Raises:
        ConfigError: Another option, or one out of range.
    """

    def __init__(
        self,
        dataset: PyVecDataset,
        options: Mapping[str, Any] | None = None,
        *,
        opts: Mapping[str, Any] | None = None,
    ) -> None:
        self._dataset = dataset
        self._options: LoaderOptions = merge_options(options, opts, {})
        unknown = [name for name in self._options if name not in _KNOWN]
        if unknown:
            raise ConfigError(f"option `{unknown[0]}`: found for a list of integers, expected one of {_KNOWN}")
        self._epoch = 0

    def _order(self) -> list[int]:
        count = len(self._dataset)
        if self._options.value("shuffle") in {False, "none"}:
            return [*range(count)]
        epoch, self._epoch = self._epoch, self._epoch + 1
        return [int(index) for index in order.permutation(count, self._options.value("seed"), epoch)]

    def __aiter__(self) -> PyAsyncDataLoaderIter:
        size = self._options.value("batch_size")
        indices = self._order()
        batches = [indices[start : start + size] for start in range(0, len(indices), size)]
        if batches and self._options.value("drop_last") and len(batches[-1]) < size:
            del batches[-1]
        return PyAsyncDataLoaderIter(self._dataset, batches)


class PyAsyncDataLoaderIter:
    """The batches of one epoch."""

    def __init__(self, dataset: PyVecDataset, batches: list[list[int]]) -> None:
        self._dataset = dataset
        self._batches = iter(batches)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[int]:
        for batch in self._batches:
            return [self._dataset[index] for index in batch]
        raise StopAsyncIteration
