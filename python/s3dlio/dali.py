"""Batches for NVIDIA DALI: sources for ``fn.external_source``, and what its TFRecord reader asks for."""

# DALI ships no types that a checker can follow.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

from s3dlio import _s3dlio
from s3dlio.batches import Batches, Position
from s3dlio.dataset import PyDataset, log_skipped
from s3dlio.errors import ConfigError, CorruptDataError, UnsupportedError
from s3dlio.extras import explain
from s3dlio.sources import Data
from s3dlio.tfrecord import create_tfrecord_indexes
from s3dlio.transform import Refused

try:
    from nvidia.dali import fn
except ImportError as error:
    raise explain(error, "nvidia.dali", "dali") from error

__all__ = ["ExternalSource", "TFRecordFiles", "tfrecord_files"]

_LOCAL = ("file://", "direct://")


class ExternalSource(Batches):
    """Batches for a DALI pipeline, read, decoded and stacked by threads of the library.

    It splits the data set over the ranks of the run, and works in the process of the pipeline and, with
    ``parallel=True``, in DALI's worker processes::

        source = s3dlio.dali.ExternalSource("s3://bucket/train/", ["image", "label"], batch_size=64, decoder="npz")

        @pipeline_def(batch_size=64, num_threads=4, device_id=None)
        def pipeline():
            image, label = source.read()
            ...

    What DALI asks for is an epoch and an iteration, and the batch is a pure function of these: worker processes, and
    pipelines that are restored from a checkpoint of DALI's, get what would have come. A pipeline raises
    ``StopIteration`` at the end of an epoch; its ``reset()`` begins the next one.

    Args:
        data, pattern, format, transform, batch_transform, loader_opts, options: As for
            :class:`~s3dlio.batches.Batches`.
        fields: Names of the arrays in the order of the outputs. ``None`` if samples are single arrays or bytes, which
            make one output, or tuples, which need ``num_outputs``.
        num_outputs: Number of outputs; that of the fields by default.
        batch_size: Samples in a batch of this rank: that of the pipeline, or less.
        rank, world_size: This rank's part, both or neither; default from ``torch.distributed`` if it runs, else from
            ``RANK`` and ``WORLD_SIZE``.

    Raises:
        ConfigError: An option is unknown or out of range; the message names it.
        InvalidUriError, NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The data set cannot be
            listed, or is empty; the message names the URI.
    """

    def __init__(
        self,
        data: Data | PyDataset | Batches,
        fields: Sequence[str] | None = None,
        *,
        num_outputs: int | None = None,
        batch_size: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        pattern: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        batch_transform: Callable[[Any], Any] | None = None,
        loader_opts: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if fields is not None and num_outputs not in (None, len(fields)):
            message = f"option `num_outputs`: found {num_outputs}, expected {len(fields)}, the number of `fields`"
            raise ConfigError(message)
        super().__init__(
            data,
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            pattern=pattern,
            transform=transform,
            batch_transform=batch_transform,
            loader_opts=loader_opts,
            **options,
        )
        self._fields = None if fields is None else [*fields]
        self.num_outputs = (len(fields) if fields is not None else 1) if num_outputs is None else num_outputs
        self._reader: _Reader | None = None

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_reader": None}

    def read(self, *, parallel: bool = False, **options: Any) -> list[Any]:
        """Return the outputs of an ``fn.external_source`` over this source; call it where a pipeline is defined.

        Args:
            parallel: Whether batches are made in the worker processes of the pipeline (``py_num_workers``,
                ``py_start_method``), which is worth it for a ``transform`` in Python. Each of them has a
                ``memory_budget`` of its own.
            options: More arguments of ``fn.external_source``, such as ``layout`` or ``dtype``.
        """
        source = _Callable(self)
        return [*fn.external_source(source, self.num_outputs, batch_info=True, parallel=parallel, **options)]

    def __call__(self, info: Any) -> tuple[Any, ...]:
        """Return the batch of an epoch and iteration (DALI's ``BatchInfo``).

        Raises:
            StopIteration: The epoch has no more batches.
        """
        first, begun = self._next
        epoch = first + info.epoch_idx
        step = info.iteration + (begun if info.epoch_idx == 0 else 0)
        if step >= self.core().steps:
            raise StopIteration
        if self._reader is None:
            self._reader = _Reader(self)
        batch = self._reader.read((epoch, step))
        if batch is None:
            message = f"every sample of batch {step} was skipped, and DALI takes no empty batches"
            raise CorruptDataError(message)
        return self._outputs(batch)

    def __iter__(self) -> Iterator[Any]:
        """Refuse: a pipeline and a loop would each move the epoch of the other on."""
        message = "an ExternalSource is read by a pipeline: see read(), or iterate over s3dlio.batches.Batches"
        raise TypeError(message)

    def _outputs(self, batch: Any) -> tuple[Any, ...]:
        found: list[Any]
        if self._fields is None:
            found = [*batch] if isinstance(batch, tuple) else [batch]  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(batch, list):
            found = [[sample[name] for sample in batch] for name in self._fields]  # pyright: ignore[reportUnknownVariableType]
        else:
            found = [batch[name] for name in self._fields]
        if len(found) != self.num_outputs:
            message = f"option `num_outputs`: found {self.num_outputs}, expected {len(found)}, as a sample has"
            raise ConfigError(message)
        return tuple(found)

    def state_dict(self, *, batches: int | None = None, epoch: int | None = None) -> dict[str, Any]:
        """Return what the consumer has received: a small dict of numbers and strings.

        DALI reads ahead of its consumer, who alone knows how far it is: without ``batches`` this is where the first
        epoch of a pipeline begins.

        Args:
            batches: Batches that were taken of the epoch, counted from its beginning.
            epoch: Their epoch; by default the one in which a pipeline begins.
        """
        first, begun = self._next
        return self.state_at((first if epoch is None else epoch, begun if batches is None else batches))

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Have the first epoch of a pipeline go on from a saved state, as :class:`~s3dlio.batches.Batches` does.

        Call it before the pipeline is built. Its ``epoch_idx`` 0 is then the epoch of the state.
        """
        super().load_state_dict(state)
        self._reader = None


class _Callable:
    """What DALI takes: it looks at the number of arguments of a function, and would iterate over an iterable."""

    def __init__(self, source: ExternalSource) -> None:
        self._source = source

    def __call__(self, info: Any) -> tuple[Any, ...]:
        return self._source(info)


class _Reader:
    """Reads ahead for one process, which is asked for every batch, or for every so-many-th one of them."""

    def __init__(self, source: ExternalSource) -> None:
        self._source = source
        self._running: tuple[_s3dlio.BatchIter, Refused] | None = None
        self._epoch = -1
        self._last = 0
        self._stride = 1

    def read(self, position: Position) -> Any:
        """Return a batch, or None if nothing is left of it."""
        epoch, step = position
        if self._running is None or epoch != self._epoch or step != self._last + self._stride:
            self._running = self._begin(epoch, step)
        batches, refused = self._running
        ready = batches.next()
        if ready is None or ready[0] != step:
            message = f"batch {step} of epoch {epoch} did not come"
            raise CorruptDataError(message)
        self._last = step
        _, indices, _, data, skipped = ready
        log_skipped(skipped)
        return self._source.finish(indices, data, refused)

    def _begin(self, epoch: int, step: int) -> tuple[_s3dlio.BatchIter, Refused]:
        # A worker process gets every so-many-th batch: what it was asked for first and second says how many. A guess
        # that is wrong costs what was read ahead, and nothing else.
        if self._running is not None:
            self._running[0].stop()
            if epoch == self._epoch:
                self._stride = max(step - self._last, 1)
        part = self._source.core(worker_id=step % self._stride, num_workers_pytorch=self._stride)
        self._epoch = epoch
        batches = part.iterate(epoch, step)
        return batches, self._source.refused(batches)


class TFRecordFiles(TypedDict):
    """Arguments of ``fn.readers.tfrecord``."""

    path: list[str]
    index_path: list[str]


def tfrecord_files(
    prefix: str | os.PathLike[str], index_prefix: str | os.PathLike[str] | None = None, *, pattern: str | None = None
) -> TFRecordFiles:
    """Return the TFRecord files below a prefix with their indexes, as ``fn.readers.tfrecord`` takes them.

    Indexes that are missing, or older than their file, are written; each appears when it is complete, so that several
    processes may do this at the same time::

        files = s3dlio.dali.tfrecord_files("/data/train", pattern="*.tfrecord")
        read = fn.readers.tfrecord(**files, features={...})

    Args:
        prefix: A directory, or a local URI with a ``*``.
        index_prefix: A directory for the indexes, which keep the layout of the files; beside each file if left out.
        pattern: A glob or regular expression that selects files by their key below the prefix; all but ``*.idx`` if
            left out.

    Raises:
        UnsupportedError: The prefix is in a network store. DALI's reader opens local files; copy them with
            ``s3dlio.download``, or read their records through :class:`ExternalSource`.
        NotFoundError: Nothing is there, or nothing matches.
        CorruptDataError: A file is damaged; the message names file, record and offset.
    """
    for place in (prefix, index_prefix):
        text = "" if place is None else os.fspath(place)
        if "://" in text and not text.startswith(_LOCAL):
            message = f"{text}: DALI's TFRecord reader opens local files only: download them, or use ExternalSource"
            raise UnsupportedError(message, uri=text)
    made = create_tfrecord_indexes(prefix, index_prefix, pattern=pattern, resume=True)
    return {"path": [_path(one.uri) for one in made], "index_path": [_path(one.index_uri) for one in made]}


def _path(uri: str) -> str:
    for scheme in _LOCAL:
        uri = uri.removeprefix(scheme)
    return uri
