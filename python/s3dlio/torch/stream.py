"""Record files that are read in order."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch.utils.data import IterableDataset

from s3dlio import _s3dlio
from s3dlio.errors import ConfigError, StateMismatchError
from s3dlio.sharding import rank_and_world
from s3dlio.sources import files_of
from s3dlio.torch.convert import Converter, check_return_type
from s3dlio.torch.epochs import EpochCounter, in_worker, share_machine, worker
from s3dlio.transform import apply

__all__ = ["StreamDataset"]


class StreamDataset(IterableDataset[Any]):
    """The records of Disky or TFRecord files in order, for files without an index or compressed ones.

    Each file goes to one ``DataLoader`` worker of one rank. The number of records is not known beforehand, so that
    ranks may give different numbers of batches; where they synchronise at each batch, take
    :class:`~s3dlio.torch.S3IterableDataset` over indexed files.

    With ``buffer`` above 1 the files come in a random order and every ``buffer`` records of a reader are mixed; both
    depend on seed and epoch only. Each iteration is the next epoch unless :meth:`set_epoch` says otherwise.

    Args:
        data: A prefix, one file, a URI with a ``*``, or an iterable of URIs; files in ascending order, or as they are.
        format: ``"disky"`` or ``"tfrecord"`` (plain, gzip or zlib).
        pattern: A glob on the key below the prefix or on its last segment.
        transform: Called with each record; what it raises comes as ``TransformError``.
        batch_size: Records in a list; ``None`` gives records one by one.
        drop_last: Whether a short list at the end is dropped.
        buffer: Records that are mixed; they are kept in memory.
        seed: Seed of the order.
        verify: Whether the checksums of TFRecord files are compared (those of Disky files always are).
        enable_sharding: Whether the files are split over the ranks too, from ``torch.distributed`` or ``RANK`` and
            ``WORLD_SIZE``; they are always split over ``DataLoader`` workers.
        return_type, writable, suppress_nonwritable_warning: See :class:`~s3dlio.torch.S3MapDataset`.

    Raises:
        NotFoundError, InvalidUriError, PermissionDeniedError, StoreTimeoutError, StoreError: The files cannot be
            listed, or there are none.
        ConfigError: An option is out of range, or there are fewer files than readers.
    """

    def __init__(
        self,
        data: Any,
        *,
        format: str,  # noqa: A002 - what the user calls it
        pattern: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        batch_size: int | None = None,
        drop_last: bool = False,
        buffer: int = 0,
        seed: int = 0,
        verify: bool = True,
        enable_sharding: bool = False,
        return_type: str = "tensor",
        writable: bool = False,
        suppress_nonwritable_warning: bool = True,
    ) -> None:
        if format not in {"disky", "tfrecord"}:
            message = f"option `format`: found {format!r}, expected 'disky' or 'tfrecord'"
            raise ConfigError(message)
        self._uris = files_of(data, pattern, format)
        self._format = format
        self._batched = batch_size is not None
        self._options: dict[str, Any] = {
            "batch_size": 1 if batch_size is None else batch_size,
            "drop_last": drop_last,
            "buffer": buffer,
            "seed": seed,
            "verify": verify,
        }
        self._enable_sharding = enable_sharding
        self._ranks = (0, 1)
        self._convert = Converter(check_return_type(return_type), writable, suppress_nonwritable_warning)
        self.transform = transform
        self._epochs = EpochCounter()
        self._loaded: str | None = None
        self._running: _s3dlio.ShardIter | None = None
        self._done = False
        self._core()

    def _rank_and_world(self) -> tuple[int, int]:
        found = rank_and_world() if self._enable_sharding else self._ranks
        return self._ranks if found == (0, 1) else found

    def _core(self) -> _s3dlio.ShardLoader:
        rank, world = self._rank_and_world()
        number, workers = worker()
        return _s3dlio.ShardLoader(
            self._uris,
            self._format,
            **self._options,
            shard_rank=rank,
            shard_world_size=world,
            worker_id=number,
            num_workers_pytorch=workers,
        )

    def __getstate__(self) -> dict[str, Any]:
        # A spawned DataLoader worker has no torch.distributed and maybe no RANK: it falls back on its parent's place.
        return self.__dict__ | {"_ranks": self._rank_and_world(), "_running": None}

    def uris(self) -> list[str]:
        """Return the files."""
        return [*self._uris]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, of the next iteration, which begins at its first record.

        Raises:
            ConfigError: The epoch is negative.
        """
        if epoch < 0:
            message = f"option `epoch`: found {epoch}, expected an integer of at least 0"
            raise ConfigError(message)
        self._loaded = self._running = None
        self._epochs.set(epoch)

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch, or go on from a loaded state."""
        share_machine()
        core = self._core()
        state, self._loaded = self._loaded, None
        epoch = self._epochs.begin()
        self._running, self._done = core.iterate(core.begin(epoch) if state is None else state), False
        return self._batches(self._running)

    def _batches(self, running: _s3dlio.ShardIter) -> Iterator[Any]:
        while (records := running.next()) is not None:
            samples = [self._finish(record) for record in records]
            if self._batched:
                yield samples
            else:
                yield from samples
        self._done = running is self._running

    def _finish(self, record: _s3dlio.BytesView) -> Any:
        sample = self._convert.sample(record)
        return sample if self.transform is None else apply(self.transform, sample, self._format, 0)

    def state_dict(self) -> dict[str, Any]:
        """Return where this process's reader is: exact behind every record or list that it gave.

        Every ``DataLoader`` worker has its own; ``torchdata.stateful_dataloader.StatefulDataLoader`` collects them.

        Raises:
            StateMismatchError: ``DataLoader`` workers read this data set, and this is not one of them.
        """
        if not in_worker() and self._epochs.workers_ahead():
            message = "DataLoader workers hold the readers of this data set: use StatefulDataLoader"
            raise StateMismatchError(message)
        if self._running is not None:
            # A worker that is at its end does not know whether the others are: for it the epoch goes on.
            over = self._done and not in_worker()
            state = self._core().begin(self._epochs.upcoming()) if over else self._running.state()
        else:
            state = self._loaded or self._core().begin(self._epochs.upcoming())
        parsed: dict[str, Any] = json.loads(state)
        return parsed

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Go on from a saved state at the next iteration, with the same numbers of ranks and workers.

        Raises:
            StateMismatchError: The files, seed, buffer, rank or worker differ; the message says how.
        """
        text = state if isinstance(state, str) else json.dumps(dict(state))
        self._core().iterate(text)
        self._loaded, self._running = text, None
        self._epochs.set(json.loads(text)["epoch"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._uris)} files, first {self._uris[0]!r})"
