"""Loaders of plain bytes, for ``for`` and ``async for``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

from s3dlio import _s3dlio
from s3dlio.arguments import at_least
from s3dlio.dataset import PyDataset, given_options, log_skipped, measure, merge_options, warn_unused
from s3dlio.errors import ConfigError
from s3dlio.options import TORCH, LoaderOptions
from s3dlio.parquet import ParquetDataSource, record_place
from s3dlio.process import load_numpy
from s3dlio.sources import files_of

__all__ = [
    "ParquetRowGroup",
    "PyBytesAsyncDataLoader",
    "PyBytesAsyncDataLoaderIter",
    "PyBytesDataLoaderSyncIter",
    "PyObjectDataLoaderSyncIter",
    "PyObjectItem",
    "create_async_loader",
]

_Item: TypeAlias = Callable[[int, Any], Any]
"""Makes an item of the index and the sample of a record."""

# How the core gives one object at a time.
_SINGLE: dict[str, Any] = {"batch_size": 1, "collate": "list", "keep_batches": False}


def create_async_loader(
    uri: str,
    options: Mapping[str, Any] | None = None,
    *,
    opts: Mapping[str, Any] | None = None,
    pattern: str | None = None,
) -> PyBytesAsyncDataLoader:
    """Make a loader over the objects below ``uri``, or over the records of the files there.

    Without a ``batch_size`` each step gives one :class:`~s3dlio.BytesView`; with one, even 1, a list of them.

    Args:
        uri: A prefix, one object, or a URI with a ``*``.
        options: Those of :class:`~s3dlio.LoaderOptions`; and ``format``, as :class:`~s3dlio.PyDataset` has it. With
            ``format="parquet"`` each item is a :class:`~s3dlio.ParquetRowGroup`, and ``columns``, ``decode`` and
            ``footer_cap`` are options too, those of :class:`~s3dlio.ParquetDataSource`.
        opts: Another name of ``options``.
        pattern: A glob on the key below the prefix or on its last segment.

    Raises:
        InvalidUriError: The URI has no known scheme.
        NotFoundError: The path does not exist, or there is nothing below it.
        ConfigError: An option is unknown or out of range.
        TypeError: Both ``options`` and ``opts`` were given.
    """
    given = dict(given_options(options, opts) or {})
    kind = given.pop("format", "objects")
    if kind != "parquet":
        return PyBytesAsyncDataLoader(PyDataset(uri, given, pattern=pattern, format=kind))
    own = {name: given.pop(name) for name in ("columns", "decode", "footer_cap") if name in given}
    return _RowGroupLoader(PyDataset(ParquetDataSource(files_of(uri, pattern, kind), **own), given))


class PyBytesAsyncDataLoader:
    """Gives the objects of a data set, read ahead, in listing order or shuffled; each iteration is the next epoch.

    With a ``batch_size`` a step is a list of :class:`~s3dlio.BytesView`, or with a ``decoder`` a ready batch: a dict of
    arrays ``[B, ...]`` (``"npz"``) or an array (``"npy"``). Every option of :class:`~s3dlio.LoaderOptions` that is not
    for torch holds for both kinds of iteration. It pickles.
    """

    def __init__(
        self,
        dataset: PyDataset,
        options: Mapping[str, Any] | None = None,
        *,
        opts: Mapping[str, Any] | None = None,
    ) -> None:
        self.dataset = dataset
        given = merge_options(options, opts, {})
        self.options = merge_options({**dataset.options, **given}, None, {})
        warn_unused(self.options, TORCH, "this loader")
        self._epoch = 0

    @property
    def _batched(self) -> bool:
        return "batch_size" in self.options

    def _core(self, *, lists: bool = False) -> _s3dlio.Loader:
        batched = {"collate": "list"} if lists else {}
        return _s3dlio.Loader(
            self.dataset.objects, **self.options.core_kwargs(**(batched if self._batched else _SINGLE))
        )

    def __len__(self) -> int:
        """Steps in an epoch."""
        return self._core().batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, of the next iteration."""
        self._epoch = epoch

    def _begin(self, core: _s3dlio.Loader) -> _s3dlio.BatchIter:
        load_numpy()
        measure(self.dataset.objects, self.options)
        epoch, self._epoch = self._epoch, self._epoch + 1
        return core.iterate(epoch, 0)

    def _item(self) -> _Item | None:
        """Return what makes an item of a record, where it is more than the record's sample."""
        return None

    def __iter__(self) -> PyBytesDataLoaderSyncIter:
        """Iterate one epoch."""
        return PyBytesDataLoaderSyncIter(self._begin(self._core()), self._batched, self._item())

    def __aiter__(self) -> PyBytesAsyncDataLoaderIter:
        """Iterate one epoch without blocking the event loop."""
        return PyBytesAsyncDataLoaderIter(self._begin(self._core()), self._batched, self._item())

    def items(self) -> PyObjectDataLoaderSyncIter:
        """Iterate one epoch object by object, each with its URI, whatever the ``batch_size``.

        Raises:
            ConfigError: A ``decoder`` makes something else than bytes of the objects.
        """
        _only_bytes(self.options)
        objects = self.dataset.objects

        def item(index: int, sample: Any) -> PyObjectItem:
            return PyObjectItem(objects.uri(index), sample)

        return PyObjectDataLoaderSyncIter(self._begin(self._core(lists=True)), batched=False, item=item)


def _only_bytes(options: LoaderOptions) -> None:
    if (decoder := options.value("decoder")) != "bytes":
        raise ConfigError(f"option `decoder`: found {decoder!r} for items, expected 'bytes'")


class _RowGroupLoader(PyBytesAsyncDataLoader):
    """Gives the row groups of Parquet files with their places."""

    def __init__(self, dataset: PyDataset) -> None:
        super().__init__(dataset)
        _only_bytes(self.options)

    def _core(self, *, lists: bool = True) -> _s3dlio.Loader:
        return super()._core(lists=lists)

    def _item(self) -> _Item:
        objects = self.dataset.objects

        def item(index: int, sample: Any) -> ParquetRowGroup:
            return ParquetRowGroup(*record_place(objects.uri(index)), sample)

        return item


class _Steps:
    """What the core gives, step by step; an error comes again at each later call."""

    def __init__(self, batches: _s3dlio.BatchIter, batched: bool, item: _Item | None = None) -> None:
        self._batches = batches
        self._batched = batched
        self._item = item
        self._ready: deque[Any] = deque()
        self._failed: Exception | None = None

    def _take(self) -> bool:
        """Wait for the next steps; whether there are any."""
        if self._failed is not None:
            raise self._failed
        try:
            ready = self._batches.next_many(16)
        except Exception as error:
            self._failed = error
            raise
        for _, indices, _, samples, skipped in ready:
            log_skipped(skipped)
            self._add(indices, samples)
        return bool(ready)

    def _add(self, indices: Any, samples: Any) -> None:
        if self._item is not None:
            samples = [self._item(int(index), sample) for index, sample in zip(indices, samples, strict=True)]
        if self._batched:
            self._ready.append(samples)
        else:
            self._ready.extend(samples)


class PyBytesDataLoaderSyncIter(_Steps, Iterator[Any]):
    """The steps of one epoch, for ``for``."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while not self._ready:
            if not self._take():
                raise StopIteration
        return self._ready.popleft()


class PyBytesAsyncDataLoaderIter(_Steps, AsyncIterator[Any]):
    """The steps of one epoch, for ``async for``."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._ready:
            try:
                # The wait releases the interpreter, so a thread of asyncio's own pool costs the loop nothing.
                more = await asyncio.to_thread(self._take)
            except asyncio.CancelledError:
                # A cancelled task leaves its thread behind in the wait, and the end of the loop would wait for that.
                self._batches.stop()
                raise
            if not more:
                raise StopAsyncIteration
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Stop reading ahead."""
        self._batches.stop()


class _Loaded:
    """What items of any kind offer of their bytes."""

    __slots__ = ()
    data: _s3dlio.BytesView

    @property
    def byte_count(self) -> int:
        """Bytes of the item."""
        return len(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __bytes__(self) -> bytes:
        return bytes(self.data)


@dataclass(frozen=True, slots=True)
class PyObjectItem(_Loaded):
    """One object that a loader has read: ``len(item)`` bytes, which ``bytes(item)`` copies.

    Attributes:
        uri: Where it comes from.
        data: Its content.
    """

    uri: str
    data: _s3dlio.BytesView


@dataclass(frozen=True, slots=True)
class ParquetRowGroup(_Loaded):
    """One row group that a loader has read: ``len(item)`` bytes, which ``bytes(item)`` copies.

    Attributes:
        file_uri: Its file.
        rg_idx: Its number in the file, from 0.
        data: Its columns as they are stored, or one record batch as an Arrow IPC stream.
    """

    file_uri: str
    rg_idx: int
    data: _s3dlio.BytesView

    def __getitem__(self, name: Literal["uri", "file_uri", "rg_idx", "data", "byte_count"]) -> Any:
        """Return a part by its name, as of a dict."""
        if name not in {"uri", "file_uri", "rg_idx", "data", "byte_count"}:
            raise KeyError(name)
        return getattr(self, "file_uri" if name == "uri" else name)


class PyObjectDataLoaderSyncIter(_Steps, Iterator[PyObjectItem]):
    """The objects of one epoch, in order."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> PyObjectItem:
        while not self._ready:
            if not self._take():
                raise StopIteration
        item: PyObjectItem = self._ready.popleft()
        return item

    def collect_batch(self, n: int) -> list[PyObjectItem]:
        """Return the next ``n`` objects, fewer at the end of the epoch, and ``[]`` behind it.

        Raises:
            ConfigError: ``n`` is below 1.
        """
        at_least("n", n, 1)
        while len(self._ready) < n and self._take():
            pass
        return [self._ready.popleft() for _ in range(min(n, len(self._ready)))]
