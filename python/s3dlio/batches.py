"""Batches of NumPy arrays with a state: what the loaders of the frameworks are made of."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeAlias

import numpy as np

from s3dlio import _s3dlio
from s3dlio.dataset import PyDataset, found_in, log_skipped, merge_options, warn_unused
from s3dlio.errors import ConfigError, CorruptDataError, StateMismatchError, TransformError
from s3dlio.options import TORCH, LoaderOptions
from s3dlio.sharding import rank_and_world
from s3dlio.sources import Data
from s3dlio.transform import Refused, apply
from s3dlio.waits import bottleneck

__all__ = ["BatchIterator", "Batches", "Position"]

# An epoch, and the batches of it that were given.
Position: TypeAlias = tuple[int, int]

# Samples taken over at once where they are handed out one by one: one crossing into Rust then serves many.
_SAMPLES_AT_ONCE = 64


class Batches:
    """Gives batches of NumPy arrays, read, decoded and stacked by threads of the library.

    A batch is a dict of arrays ``[B, ...]`` for ``decoder="npz"``, an array ``[B, ...]`` for ``"npy"``, and a list of
    1-D ``uint8`` arrays for ``"bytes"``; those share the memory of the object and are read-only. With
    ``collate="list"`` it is the list of samples. Each iteration is the next epoch, unless :meth:`set_epoch` or
    :meth:`load_state_dict` says otherwise. It pickles; a running iteration stays behind.

    Args:
        data: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of this package.
        batch_size: Samples in a batch of this rank; default 32.
        rank, world_size: This rank's part, both or neither; default from ``torch.distributed`` if it runs, else from
            ``RANK`` and ``WORLD_SIZE``.
        pattern: A glob on the key below the prefix or on its last segment.
        format: What a record is: ``"objects"``, ``"array_record"``, ``"tfrecord"``, ``"npz"`` or ``"auto"``; see
            :class:`~s3dlio.PyDataset`.
        transform: Called with each sample before batches are stacked; what it raises comes as ``TransformError``.
        batch_transform: Called with each batch; what it raises comes as ``TransformError``.
        writable: Whether plain bytes are copies that may be written to.
        batched: Whether batches are given; otherwise samples one by one, and ``batch_size`` must be 1.
        loader_opts: More options, as :class:`~s3dlio.LoaderOptions` or a dict; ``options`` are the same as keywords.

    Raises:
        ConfigError: An option is unknown or out of range; the message names it.
        InvalidUriError, NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The data set cannot be
            listed, or is empty; the message names the URI.
    """

    def __init__(
        self,
        data: Data | PyDataset | Batches,
        *,
        batch_size: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        pattern: str | None = None,
        format: str = "objects",  # noqa: A002 - what the user calls it
        transform: Callable[[Any], Any] | None = None,
        batch_transform: Callable[[Any], Any] | None = None,
        writable: bool = False,
        batched: bool = True,
        loader_opts: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        place = _place(rank, world_size, loader_opts)
        size = (loader_opts or {}).get("batch_size", 32) if batch_size is None else batch_size
        given = merge_options({**(loader_opts or {}), **place, "batch_size": size}, None, options)
        warn_unused(given, TORCH, type(self).__name__)
        self._objects = _objects(data, pattern, format, given)
        self.options = given.for_records(self._objects.decoder)
        if not batched and self.options.value("batch_size") != 1:
            message = f"option `batch_size`: found {self.options.value('batch_size')}, expected 1 for single samples"
            raise ConfigError(message)
        if not batched and batch_transform is not None:
            message = "option `batch_transform`: found for single samples, expected `transform`"
            raise ConfigError(message)
        self.batched = batched
        self._writable = writable
        enabled = self.options.value("enable_transforms")
        self._transform = transform if enabled else None
        self._batch_transform = batch_transform if enabled else None
        self._next: Position = (0, 0)
        self._running: BatchIterator | None = None
        # The core that was made last, and what it was made for.
        self._made: tuple[tuple[int, dict[str, Any]], _s3dlio.Loader] | None = None
        self.core()

    def core(self, **changes: Any) -> _s3dlio.Loader:
        """Return this rank's part of the data set in the core, some options replaced by ``changes``."""
        # Samples that Python handles one by one are not stacked by the core.
        single = self._transform is not None or not self.batched
        collate: dict[str, Any] = {"collate": "list"} if single else {}
        core = self.options.core_kwargs(keep_batches=self.batched, **collate, **changes)
        # A child of this process may have another share of the memory, which the core reads when it is made.
        made_for = (os.getpid(), core)
        if self._made is None or self._made[0] != made_for:
            made = _s3dlio.Loader(self._objects, **core)
            if changes:
                return made
            self._made = (made_for, made)
        return self._made[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_running": None, "_made": None}

    @property
    def objects(self) -> _s3dlio.Objects:
        """The records."""
        return self._objects

    @property
    def keeps_sizes(self) -> bool:
        """Whether no sample is ever left out of a batch."""
        chosen: str = self.options.value("on_error")
        return chosen != "skip"

    def __len__(self) -> int:
        """Batches, or samples where they are given one by one, of this rank in an epoch."""
        return self.core().steps

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration."""
        return self._next[0]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, of the next iteration.

        The epoch of a loaded state keeps its position; any other begins at its first sample.

        Raises:
            ConfigError: The epoch is negative.
        """
        if epoch < 0:
            message = f"option `epoch`: found {epoch}, expected an integer of at least 0"
            raise ConfigError(message)
        if epoch != self._next[0]:
            self._next = (epoch, 0)
        self._running = None

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch, or go on from a loaded state."""
        self._running = self._begin()
        return self._running

    def _begin(self) -> BatchIterator:
        begin, self._next = self._next, (self._next[0] + 1, 0)
        return self._iterator(begin)

    def _iterator(self, begin: Position) -> BatchIterator:
        return BatchIterator(self, begin)

    def state_dict(self) -> dict[str, Any]:
        """Return what the consumer has received: a small dict of numbers and strings, exact after every batch."""
        return self.state_at(self._next if self._running is None else self._running.position)

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Go on from a saved state at the next iteration.

        The world size and batch size may differ from the saved ones as long as the global batch (world size times
        batch size) divides what was consumed.

        Raises:
            StateMismatchError: The data set, seed or order differ, or the state does not fit; the message says how.
        """
        self._next = self.position_of(state)
        self._running = None

    def get_state(self) -> dict[str, Any]:
        """As :meth:`state_dict`."""
        return self.state_dict()

    def set_state(self, state: Mapping[str, Any] | str) -> None:
        """As :meth:`load_state_dict`."""
        self.load_state_dict(state)

    def state_at(self, position: Position) -> dict[str, Any]:
        """Return the state of a consumer that has received this many batches of this epoch."""
        state: dict[str, Any] = json.loads(self.core().state(*position, 0))
        return state

    def position_of(self, state: Mapping[str, Any] | str) -> Position:
        """Return the position of a state here; as :meth:`load_state_dict` it checks that the state fits."""
        epoch, step, sample = self.core().resume(state if isinstance(state, str) else json.dumps(dict(state)))
        if sample:
            message = f"the state was saved {sample} samples into a batch, and this loader gives whole batches"
            raise StateMismatchError(message)
        return epoch, step

    def stats(self) -> dict[str, int]:
        """Return figures of the iteration that runs in this process: batches, samples, bytes, waits, budget."""
        return {} if self._running is None else self._running.stats()

    def bottleneck(self) -> str:
        """Return in one line what the iteration that runs in this process is waiting for most; empty without one."""
        return "" if self._running is None else self._running.bottleneck()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._objects)} objects, first {self._objects.uri(0)!r})"

    # What an iterator asks of its loader.

    def refused(self, batches: _s3dlio.BatchIter) -> Refused:
        """Return what keeps count of the samples of an iteration that the transform refuses."""
        return Refused(self.core(), batches, self._objects)

    def finish(self, indices: Any, data: Any, refused: Refused) -> Any:
        """Make a batch of what the core gave; None if nothing is left of it."""
        samples, count = data, len(indices)
        if self._transform is not None:
            samples = self._transformed(indices, data, refused)
            count = len(samples)
        if count == 0:
            return None
        if not self.batched:
            return self._array(samples[0])
        batch = self._collated(samples)
        if self._batch_transform is not None:
            batch = apply(self._batch_transform, batch, self._objects.uri(int(indices[0])), None)
        return batch

    def _collated(self, samples: Any) -> Any:
        if not isinstance(samples, list):
            return samples
        arrays: list[Any] = [self._array(sample) for sample in samples]  # pyright: ignore[reportUnknownVariableType]
        stacked = self._transform is not None and self.options.value("collate") == "stack"
        return stack(arrays) if stacked else arrays

    def _array(self, sample: Any) -> Any:
        if not isinstance(sample, _s3dlio.BytesView):
            return sample
        view = np.frombuffer(sample.memoryview(), np.uint8)
        return view.copy() if self._writable else view

    def _transformed(self, indices: Any, data: list[Any], refused: Refused) -> list[Any]:
        done: list[Any] = []
        for index, sample in zip(indices, data, strict=True):
            try:
                done.append(self._apply(sample, int(index)))
            except TransformError as error:
                done.extend(refused.instead(int(index), error, self._apply))
        return done

    def _apply(self, sample: Any, index: int) -> Any:
        return apply(self._transform or _same, self._array(sample), self._objects.uri(index), index)


class BatchIterator(Iterator[Any]):
    """The batches of one epoch; its position is that of the consumer."""

    def __init__(self, loader: Batches, begin: Position) -> None:
        self._loader = loader
        self._begin(begin)

    def _begin(self, begin: Position) -> None:
        self._given = begin
        self._ready: list[Any] = []
        self._done = False
        self._failed: Exception | None = None
        self._batches = self._loader.core().iterate(*begin)
        self._refused = self._loader.refused(self._batches)
        self._began = time.monotonic()

    @property
    def position(self) -> Position:
        """The epoch and how many of its batches were given; the next epoch once this one is over."""
        return (self._given[0] + 1, 0) if self._done else self._given

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._failed is not None:
            raise self._failed
        try:
            return self._following()
        except StopIteration:
            raise
        except Exception as error:
            # A loop that goes on after an error must not miss the batch that failed.
            self._failed = error
            raise

    def _following(self) -> Any:
        while self._fill():
            # It stays until it is done: after an interrupt the next call begins with it anew.
            step, indices, _, data, skipped = self._ready[-1]
            batch = self._loader.finish(indices, data, self._refused)
            self._ready.pop()
            log_skipped(skipped)
            self._given = (self._given[0], step + 1)
            if batch is not None:
                return batch
            _warn_about_empty(step)
        self._done = True
        raise StopIteration

    def _fill(self) -> bool:
        if not self._ready:
            self._ready = self._batches.next_many(1 if self._loader.batched else _SAMPLES_AT_ONCE)[::-1]
        return bool(self._ready)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the loader at this iterator's position."""
        return self._loader.state_at(self.position)

    def get_state(self) -> dict[str, Any]:
        """As :meth:`state_dict`."""
        return self.state_dict()

    def set_state(self, state: Mapping[str, Any] | str) -> None:
        """Go on from a state, which may be that of another epoch."""
        begin = self._loader.position_of(state)
        self.close()
        self._begin(begin)

    def stats(self) -> dict[str, int]:
        """Return the figures of the core; samples that the transform refused count as skipped."""
        figures = self._batches.stats()
        return figures | {
            "samples": figures["samples"] - self._refused.left_out,
            "skipped": figures["skipped"] + self._refused.count,
        }

    def bottleneck(self) -> str:
        """Return in one line what the consumer waited for most."""
        return bottleneck(self.stats(), time.monotonic() - self._began)

    def close(self) -> None:
        """Stop reading ahead."""
        self._batches.stop()


def stack(samples: list[Any]) -> Any:
    """Stack samples field by field: dicts and tuples of arrays, numbers and texts; what is neither stays a list.

    Raises:
        CorruptDataError: Arrays of one field differ in shape, or samples in their fields.
    """
    first = samples[0]
    try:
        if isinstance(first, dict):
            names: list[Any] = [*first]  # pyright: ignore[reportUnknownArgumentType]
            if any(sample.keys() != first.keys() for sample in samples):
                message = f"samples have different fields, the first one {names}"
                raise CorruptDataError(message)
            return {name: stack([sample[name] for sample in samples]) for name in names}
        if isinstance(first, tuple):
            return tuple(stack([*field]) for field in zip(*samples, strict=True))
        if isinstance(first, np.ndarray | np.generic | int | float | complex):
            return np.stack(samples)
        if isinstance(first, str | bytes):
            # NumPy's own dtype for bytes loses zeros at the end.
            return np.array(samples, dtype=object if isinstance(first, bytes) else None)
    except ValueError as error:
        if isinstance(error, CorruptDataError):
            raise
        message = f"samples cannot be stacked: {error}; use collate='list' or a transform that makes them equal"
        raise CorruptDataError(message) from error
    return samples


def _same(sample: Any) -> Any:
    return sample


def _place(rank: int | None, world_size: int | None, loader_opts: Mapping[str, Any] | None) -> dict[str, int]:
    if (rank is None) != (world_size is None):
        message = "option `rank`: found without `world_size` or the reverse, expected both or none"
        raise ConfigError(message)
    if rank is not None and world_size is not None:
        return {"shard_rank": rank, "shard_world_size": world_size}
    if loader_opts and "shard_world_size" in loader_opts:
        return {}
    found_rank, found_world = rank_and_world()
    return {"shard_rank": found_rank, "shard_world_size": found_world}


def _objects(data: Any, pattern: str | None, format: str, options: LoaderOptions) -> _s3dlio.Objects:  # noqa: A002
    # Loaders and the data sets of s3dlio.torch, which this module must not import, have their records like a PyDataset.
    if isinstance(objects := getattr(data, "objects", None), _s3dlio.Objects):
        return found_in(PyDataset(objects=objects), pattern, format, options)
    return found_in(data, pattern, format, options)


def _warn_about_empty(step: int) -> None:
    message = (
        f"every sample of batch {step} was skipped, so this rank gives one batch less than the others: "
        "ranks that synchronise at each batch will wait for it"
    )
    warnings.warn(message, RuntimeWarning, stacklevel=4)
