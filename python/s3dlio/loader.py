"""Loaders of plain bytes, for ``for`` and ``async for``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from s3dlio import _s3dlio
from s3dlio.dataset import PyDataset, log_skipped, merge_options, warn_unused
from s3dlio.options import TORCH
from s3dlio.process import load_numpy

__all__ = ["PyBytesAsyncDataLoader", "create_async_loader"]


def create_async_loader(
    uri: str,
    options: Mapping[str, Any] | None = None,
    *,
    opts: Mapping[str, Any] | None = None,
    pattern: str | None = None,
) -> PyBytesAsyncDataLoader:
    """Make a loader over the objects below ``uri``.

    Without a ``batch_size`` each step gives one :class:`~s3dlio.BytesView`; with one, even 1, a list of them.

    Raises:
        InvalidUriError: The URI has no known scheme.
        NotFoundError: The path does not exist, or there is nothing below it.
        ConfigError: An option is unknown or out of range.
    """
    return PyBytesAsyncDataLoader(PyDataset(uri, options, opts=opts, pattern=pattern))


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

    def _core(self) -> _s3dlio.Loader:
        changes = {} if self._batched else {"batch_size": 1, "collate": "list", "keep_batches": False}
        return _s3dlio.Loader(self.dataset.objects, **self.options.core_kwargs(**changes))

    def __len__(self) -> int:
        """Steps in an epoch."""
        return self._core().batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, of the next iteration."""
        self._epoch = epoch

    def _begin(self) -> _s3dlio.BatchIter:
        load_numpy()
        epoch, self._epoch = self._epoch, self._epoch + 1
        return self._core().iterate(epoch, 0)

    def _steps(self, ready: list[Any]) -> Iterator[Any]:
        for _, _, _, samples, skipped in ready:
            log_skipped(skipped)
            if self._batched:
                yield samples
            else:
                yield from samples

    def __iter__(self) -> Iterator[Any]:
        """Iterate one epoch."""
        batches = self._begin()
        while ready := batches.next_many(16):
            yield from self._steps(ready)

    def items(self) -> Iterator[Any]:
        """As ``iter(loader)``."""
        return iter(self)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate one epoch without blocking the event loop."""
        batches = self._begin()
        # The wait releases the interpreter, so a thread of asyncio's own pool costs the loop nothing.
        try:
            while ready := await asyncio.to_thread(batches.next_many, 16):
                for step in self._steps(ready):
                    yield step
        finally:
            # A cancelled task leaves its thread behind in the wait, and the end of the loop would wait for that.
            batches.stop()
