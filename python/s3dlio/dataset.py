"""Data sets whose records are whole objects."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from s3dlio import _s3dlio, aio
from s3dlio.errors import InvalidUriError
from s3dlio.options import TORCH, LoaderOptions
from s3dlio.process import load_numpy

__all__ = ["PyDataset", "create_dataset", "discover", "log_skipped", "merge_options", "warn_unused"]

_log = logging.getLogger("s3dlio")


def merge_options(
    options: Mapping[str, Any] | None, opts: Mapping[str, Any] | None, keywords: Mapping[str, Any]
) -> LoaderOptions:
    """Return the options of a call that takes them as ``options=``, ``opts=`` or keywords.

    Raises:
        TypeError: Both ``options`` and ``opts`` were given.
        ConfigError: An option is unknown or out of range.
    """
    if options is not None and opts is not None:
        message = "give the options once: `options` and `opts` are two names of one argument"
        raise TypeError(message)
    merged = LoaderOptions(options if options is not None else opts)
    return LoaderOptions({**merged, **keywords})


def warn_unused(options: LoaderOptions, names: Iterable[str], where: str) -> None:
    """Warn about options that were set and do nothing in ``where``."""
    unused = [name for name in names if options.get(name)]
    if unused:
        message = f"{', '.join(unused)}: without effect on {where}; pass options.dataloader_kwargs() to DataLoader"
        warnings.warn(message, RuntimeWarning, stacklevel=3)


def log_skipped(skipped: Iterable[tuple[int, str, str]]) -> None:
    """Say which records ``on_error="skip"`` left out: (index, URI, reason) each."""
    for index, uri, reason in skipped:
        _log.warning("skipped record %d (%s): %s", index, uri, reason)


def discover(
    data: str | Iterable[str], pattern: str | None = None, options: LoaderOptions | None = None
) -> _s3dlio.Objects:
    """Find the objects of a data set.

    Args:
        data: A prefix (everything below it, in ascending order), the URI of one object, a URI with a ``*``, or an
            iterable of URIs, whose order is kept.
        pattern: A glob on the key below the prefix or on its last segment.
        options: Says how large objects are read (``reader_mode``, ``part_size``, ``max_inflight_parts``).

    Raises:
        InvalidUriError: A text is no URI with a known scheme.
        NotFoundError: The prefix does not exist or nothing below it fits; the message names it.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    part_size, parts = (options or LoaderOptions()).access()
    if isinstance(data, str):
        return _s3dlio.Objects.below(data, pattern, part_size, parts).wait()
    if pattern is not None:
        message = "`pattern` selects below a prefix: with a list of URIs, select before you pass it"
        raise TypeError(message)
    return _s3dlio.Objects.of([*data], part_size, parts).wait()


def create_dataset(
    uri: str,
    options: Mapping[str, Any] | None = None,
    *,
    opts: Mapping[str, Any] | None = None,
    pattern: str | None = None,
) -> PyDataset:
    """Make a data set of the objects below ``uri``.

    Raises:
        InvalidUriError: The URI has no known scheme.
        NotFoundError: The path does not exist, or there is nothing below it.
        ConfigError: An option is unknown or out of range.
    """
    return PyDataset(uri, options, opts=opts, pattern=pattern)


class PyDataset(Sequence[Any]):
    """A sequence of objects: ``len``, index (also negative), slice, iteration.

    An item is a :class:`~s3dlio.BytesView`, or what the ``decoder`` option makes of it: a dict of arrays (``"npz"``) or
    an array (``"npy"``). Reading an item fetches its object; iterating reads ahead, in listing order or shuffled by the
    options, each iteration as the next epoch. Pickling sends the list of objects along, so that every process sees the
    same data set.
    """

    def __init__(
        self,
        uri: str | Iterable[str] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        opts: Mapping[str, Any] | None = None,
        pattern: str | None = None,
        objects: _s3dlio.Objects | None = None,
    ) -> None:
        self.options = merge_options(options, opts, {})
        warn_unused(self.options, TORCH, "a dataset")
        if objects is None:
            if uri is None:
                message = "a dataset needs a `uri`"
                raise TypeError(message)
            objects = _discover_documented(uri, pattern, self.options)
        self.objects = objects
        self._epoch = 0

    @classmethod
    def from_uris(
        cls, uris: Iterable[str], options: Mapping[str, Any] | None = None, *, opts: Mapping[str, Any] | None = None
    ) -> PyDataset:
        """Make a data set of these objects in this order."""
        return cls([*uris], options, opts=opts)

    def __len__(self) -> int:
        return len(self.objects)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Read one object, or those of a slice in parallel."""
        if isinstance(index, slice):
            return self.read(range(*index.indices(len(self))))
        return self.read([self._position(index)])[0]

    def _position(self, index: int) -> int:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            message = f"index {index} is out of range: the data set has {len(self)} objects"
            raise IndexError(message)
        return position

    def read(self, indices: Iterable[int]) -> list[Any]:
        """Read several objects in parallel; results in the order of ``indices``."""
        return self._reading([*indices]).wait()

    async def get_item(self, index: int) -> Any:
        """Read one object from a coroutine."""
        (found,) = await aio.result(self._reading([self._position(index)]))
        return found

    def _reading(self, positions: list[int]) -> _s3dlio.Operation[list[Any]]:
        load_numpy()
        in_flight = self.options.value("num_workers") or 64
        return self.objects.read(positions, in_flight, self.options.value("decoder"))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, of the next iteration."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        """Iterate one epoch, reading ahead."""
        core = _s3dlio.Loader(self.objects, **self.options.core_kwargs(batch_size=1, collate="list"))
        load_numpy()
        epoch, self._epoch = self._epoch, self._epoch + 1
        batches = core.iterate(epoch, 0)
        while ready := batches.next_many(64):
            for _, _, _, samples, skipped in ready:
                log_skipped(skipped)
                yield from samples

    def uris(self) -> list[str]:
        """Return the URIs of all objects in order."""
        return [self.objects.uri(index) for index in range(len(self))]

    def keys(self) -> list[str]:
        """Return the names of all objects, relative to the longest directory they share."""
        uris = self.uris()
        shared = _shared_directory(uris)
        return [uri[shared:] for uri in uris]

    def __reduce__(self) -> tuple[Callable[..., PyDataset], tuple[_s3dlio.Objects, LoaderOptions]]:
        return _rebuild, (self.objects, self.options)

    def __repr__(self) -> str:
        return f"PyDataset({len(self)} objects, first {self.objects.uri(0)!r})"


def _rebuild(objects: _s3dlio.Objects, options: LoaderOptions) -> PyDataset:
    return PyDataset(objects=objects, options=options)


def _shared_directory(uris: list[str]) -> int:
    # What the first and the last in alphabetical order share, all between them share too.
    shared = os.path.commonprefix([min(uris), max(uris)])  # noqa: RUF071 - by character is what is meant
    return shared.rfind("/") + 1


def _discover_documented(data: str | Iterable[str], pattern: str | None, options: LoaderOptions) -> _s3dlio.Objects:
    try:
        return discover(data, pattern, options)
    except InvalidUriError as error:
        # Programs written for earlier generations match these words.
        message = f"Unsupported URI scheme: Unable to infer dataset type from URI: {error}"
        raise InvalidUriError(message, uri=error.uri) from None
