"""Batches for JAX: NumPy or JAX arrays, placed on devices ahead of their use."""

# jax's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from s3dlio.batches import Batches, BatchIterator, Position
from s3dlio.dataset import PyDataset, found_in
from s3dlio.errors import ConfigError
from s3dlio.extras import explain
from s3dlio.options import LoaderOptions
from s3dlio.sources import Data, Named

try:
    import jax
except ImportError as error:
    raise explain(error, "jax", "jax") from error

__all__ = ["JaxIterable", "Loader", "S3JaxIterable", "Source"]

_ARRAYS = ("jax", "numpy")

# What NumPy says of a dtype that another package brought, such as JAX's bfloat16.
_REGISTERED = 2

# Batches on their way to the devices; two are enough to hide a transfer behind a step, more only take memory there.
_MAX_AHEAD = 64


class Loader(Batches):
    """Gives batches as JAX arrays, read, decoded and stacked by threads of the library: no worker processes.

    It splits the data set over the processes of the run (``jax.process_index()`` of ``jax.process_count()``)::

        loader = s3dlio.jax.Loader("s3://bucket/train/", batch_size=64, shuffle=True, decoder="npz")
        for batch in loader:  # {"image": Array [64, ...], "label": Array [64]}
            ...

    Each iteration is the next epoch. ``state_dict`` is exact after every batch, also with ``device_prefetch``, and
    ``load_state_dict`` goes on from there, also on another number of processes.

    A batch is a dict of arrays (``decoder="npz"``), an array (``"npy"``), or for ``"bytes"`` an array ``[B, L]`` if all
    samples are ``L`` bytes long, else a list of arrays. Fields of dtypes that JAX does not have (text, times) stay
    NumPy arrays; where 64-bit types are switched off, JAX makes 32-bit ones of them.

    Args:
        data, batched, pattern, format, transform, batch_transform, writable, loader_opts, options: As for
            :class:`~s3dlio.batches.Batches`.
        batch_size: Samples in a batch of this process; default 32.
        arrays: ``"jax"``, or ``"numpy"`` for arrays in main memory.
        sharding: Places a batch over devices: a ``jax.sharding.Sharding`` (or a tree of them, for a batch with fields),
            whose global array is made of the batches of all processes, so that it has ``batch_size`` times
            ``jax.process_count()`` samples. All batches then have the same size: ``last`` is ``"wrap"`` by default.
        device: Puts whole batches on one device.
        device_prefetch: Batches put on devices before they are asked for; 2 is double buffering.
        process_index, process_count: This process's part, both or neither.

    Raises:
        ConfigError: An option is unknown or out of range, or options contradict each other; the message names them.
        InvalidUriError, NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The data set cannot be
            listed, or is empty; the message names the URI.
    """

    def __init__(
        self,
        data: Data | PyDataset | Batches,
        *,
        batch_size: int | None = None,
        batched: bool = True,
        arrays: str = "jax",
        sharding: Any = None,
        device: Any = None,
        device_prefetch: int = 0,
        process_index: int | None = None,
        process_count: int | None = None,
        pattern: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        batch_transform: Callable[[Any], Any] | None = None,
        writable: bool = False,
        loader_opts: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        _check_places(arrays, sharding, device, device_prefetch)
        if (process_index is None) != (process_count is None):
            message = "option `process_index`: found without `process_count` or the reverse, expected both or none"
            raise ConfigError(message)
        options |= _full_batches({**(loader_opts or {}), **options}, sharding)
        super().__init__(
            data,
            batch_size=batch_size,
            rank=jax.process_index() if process_index is None else process_index,
            world_size=jax.process_count() if process_count is None else process_count,
            pattern=pattern,
            transform=transform,
            batch_transform=batch_transform,
            writable=writable,
            batched=batched,
            loader_opts=loader_opts,
            **options,
        )
        plain = self.options.value("decoder") == "bytes" and self._transform is None and self._batch_transform is None
        self._stacks_bytes = plain and self.options.value("collate") == "stack"
        self._arrays = arrays
        self._sharding = sharding
        self._device = device
        self._ahead = device_prefetch

    def _iterator(self, begin: Position) -> BatchIterator:
        return _Placed(self, begin, self._ahead)

    def place(self, batch: Any) -> Any:
        """Put a batch of NumPy arrays where the options say."""
        if isinstance(batch, list) and self._stacks_bytes:
            batch = _even(batch)
        if self._arrays == "numpy":
            return batch
        if self._sharding is None or isinstance(self._sharding, jax.sharding.Sharding):
            return jax.tree.map(partial(self._put, self._sharding), batch)
        return jax.tree.map(self._put, self._sharding, batch)

    def _put(self, sharding: Any, array: Any) -> Any:
        if not _is_numeric(array):
            return array
        if isinstance(array, np.ndarray) and not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if sharding is not None:
            return jax.make_array_from_process_local_data(sharding, np.asarray(array))  # type: ignore[no-untyped-call]
        return jax.device_put(array, self._device)


class S3JaxIterable(Named, Loader):
    """The objects below a URI as NumPy arrays: one for each object, or with ``batch_size`` above 1 ready batches.

    Samples are flat ``uint8`` arrays, read-only unless ``writable``, or what the ``decoder`` makes of them. Everything
    else is as for :class:`Loader`, whose options it takes.
    """

    def __init__(
        self,
        uri: Data | PyDataset | Batches,
        *,
        batch_size: int | None = None,
        arrays: str = "numpy",
        suppress_nonwritable_warning: bool = True,
        loader_opts: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        size = (loader_opts or {}).get("batch_size", 1) if batch_size is None else batch_size
        super().__init__(uri, batch_size=size, batched=size != 1, arrays=arrays, loader_opts=loader_opts, **options)
        if not suppress_nonwritable_warning and not self._writable:
            message = "arrays of plain bytes share the memory of their object and are read-only: see `writable`"
            warnings.warn(message, UserWarning, stacklevel=2)


class Source:
    """Samples by number: a random-access source for ``grain.MapDataset.source`` and ``grain.DataLoader``.

    A sample is a 1-D ``uint8`` array, or what the ``decoder`` makes of it: a dict of arrays (``"npz"``) or an array
    (``"npy"``). It pickles with its list of objects, so that worker processes of Grain do not list again.

    Args:
        data: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of this package.
        decoder: ``"bytes"``, ``"npz"`` or ``"npy"``; what the records need by default, for objects ``"bytes"``.
        pattern: A glob on the key below the prefix or on its last segment.
        format: What a record is; see :class:`~s3dlio.PyDataset`.

    Raises:
        InvalidUriError, NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The data set cannot be
            listed, or is empty; the message names the URI.
    """

    def __init__(
        self,
        data: Data | PyDataset,
        *,
        decoder: str | None = None,
        pattern: str | None = None,
        format: str = "objects",  # noqa: A002 - what the user calls it
    ) -> None:
        options = LoaderOptions({} if decoder is None else {"decoder": decoder})
        self._dataset = PyDataset(objects=found_in(data, pattern, format, options), options=options)
        self._decoder: str = self._dataset.options.value("decoder")

    @property
    def dataset(self) -> PyDataset:
        """The samples as a data set."""
        return self._dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        """Read one sample."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Iterable[int]) -> list[Any]:
        """Read several samples in parallel."""
        samples = self._dataset.read(indices)
        return [
            np.frombuffer(sample.memoryview(), np.uint8) if self._decoder == "bytes" else sample for sample in samples
        ]

    def __repr__(self) -> str:
        # Grain keeps this text in its checkpoints and compares it: it must say which data these are.
        return f"Source({self._dataset.objects.fingerprint}, decoder={self._decoder!r})"


def _is_numeric(array: Any) -> bool:
    """Whether JAX has the dtype."""
    if not isinstance(array, np.ndarray | np.generic):
        return isinstance(array, int | float | complex)
    extended = array.dtype in (np.longdouble, np.clongdouble)
    return (array.dtype.kind in "biufc" and not extended) or array.dtype.isbuiltin == _REGISTERED


def _even(samples: list[Any]) -> Any:
    return np.stack(samples) if len({sample.shape for sample in samples}) == 1 else samples


class _Placed(BatchIterator):
    """Puts batches on their devices, some of them before they are asked for."""

    def __init__(self, loader: Loader, begin: Position, ahead: int) -> None:
        self._place = loader.place
        self._count = ahead + 1
        super().__init__(loader, begin)

    def _begin(self, begin: Position) -> None:
        self._waiting: deque[tuple[Any, Position]] = deque()
        self._stop: Exception | None = None
        self._received = begin
        super()._begin(begin)

    @property
    def position(self) -> Position:
        """The epoch and how many of its batches were received; the next epoch once this one is over."""
        return self._received

    def __next__(self) -> Any:
        while self._stop is None and len(self._waiting) < self._count:
            try:
                self._waiting.append((self._place(super().__next__()), super().position))
            except Exception as error:  # noqa: BLE001 - raised below, after the batches that came before it
                self._stop = error
        if self._waiting:
            batch, self._received = self._waiting.popleft()
            return batch
        if isinstance(self._stop, StopIteration):
            self._received = super().position
        raise self._stop or StopIteration


def _check_places(arrays: str, sharding: Any, device: Any, device_prefetch: int) -> None:
    if arrays not in _ARRAYS:
        message = f"option `arrays`: found {arrays!r}, expected one of {_ARRAYS}"
        raise ConfigError(message)
    if sharding is not None and device is not None:
        message = "option `device`: found with `sharding`, expected one of the two"
        raise ConfigError(message)
    if arrays == "numpy" and (sharding is not None or device is not None or device_prefetch):
        message = "option `arrays`: found 'numpy' with `sharding`, `device` or `device_prefetch`, expected 'jax'"
        raise ConfigError(message)
    if not 0 <= device_prefetch <= _MAX_AHEAD:
        message = f"option `device_prefetch`: found {device_prefetch}, expected an integer from 0 to {_MAX_AHEAD}"
        raise ConfigError(message)


def _full_batches(given: Mapping[str, Any], sharding: Any) -> dict[str, Any]:
    """Return options under which all batches have the size that a sharding divides."""
    if sharding is None:
        return {}
    if given.get("on_error") == "skip":
        message = "option `on_error`: found 'skip' with `sharding`, expected a choice that keeps batches at their size"
        raise ConfigError(message)
    last = given.get("last") or ("drop" if given.get("drop_last") else "wrap")
    if last == "uneven":
        message = "option `last`: found 'uneven' with `sharding`, expected 'drop', 'pad' or 'wrap'"
        raise ConfigError(message)
    return {"last": last}


# Another documented name of the class.
JaxIterable = S3JaxIterable
