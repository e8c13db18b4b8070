"""Iterable data sets: read ahead, shuffled, sharded, resumable."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from torch.utils.data import IterableDataset

from s3dlio import _s3dlio
from s3dlio.dataset import PyDataset, found_in, merge_options, warn_unused
from s3dlio.errors import ConfigError, StateMismatchError
from s3dlio.options import DATALOADER
from s3dlio.sharding import rank_and_world
from s3dlio.sources import Data
from s3dlio.torch.convert import Converter, check_return_type
from s3dlio.torch.epochs import EpochCounter, in_worker, share_machine, worker
from s3dlio.torch.iteration import Iteration
from s3dlio.torch.records import Records

__all__ = ["S3IterableDataset"]

_UNSET: Any = object()


class S3IterableDataset(Records, IterableDataset[Any]):
    """The objects below a URI as a stream of samples, or of ready batches.

    Order: batches of ``batch_size`` are cut from the epoch's sequence, a pure function of ``seed`` and epoch. Rank r
    of W takes every W-th batch, and worker w of N every N-th of its rank's, which is how ``DataLoader`` interleaves
    its workers: the sequence of a rank is the same for every number of workers. Each iteration is the next epoch
    unless :meth:`set_epoch` says otherwise. Use one data set object for one ``DataLoader``.

    With ``batch_size`` above 1 (or ``batched=True``) it gives ready batches, for ``DataLoader(ds, batch_size=None)``:
    a dict of tensors ``[B, ...]`` for ``"npz"``, a tensor for ``"npy"``, a list of samples for ``"bytes"``. Otherwise
    it gives samples, and ``DataLoader(ds, batch_size=B)`` collates them; with workers, give ``sample_block=B`` too,
    so that each worker takes whole batches and the order stays that of one process.

    Args:
        uri: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of this package.
        pattern: A glob on the key below the prefix or on its last segment.
        format: What a record is: ``"objects"``, ``"array_record"``, ``"tfrecord"``, ``"npz"`` or ``"auto"``; see
            :class:`~s3dlio.PyDataset`.
        transform: Called with each sample (before collation); what it raises comes as ``TransformError``.
        shuffle: ``"global"``: a permutation of the whole epoch. ``"block"``: of blocks of neighbouring records, and of
            the records within a window of blocks, so that each block is read once. ``True``: the latter for records of
            files, the former for whole objects.
        shuffle_window: Blocks that are mixed; 0 means about 32 MiB of them.
        seed: Seed of the order.
        loader_opts: The options below (all but ``uri``, ``pattern`` and ``transform``) as a dict or ``LoaderOptions``.
        batch_size: Samples in a ready batch.
        batched: Whether ready batches are given; ``None`` means: if ``batch_size`` is above 1.
        sample_block: In sample mode, consecutive samples that stay with one worker: the ``DataLoader``'s batch size.
        drop_last: Whether an uneven tail is dropped.
        last: ``"drop"``, ``"pad"`` (repeat the last sample), ``"wrap"`` (go on from the epoch's first samples) or
            ``"uneven"`` (ranks may differ by one batch). Default: drop by ``drop_last``; otherwise ``"uneven"`` for
            one rank and ``"wrap"`` for several, so that all ranks give equally many batches.
        decoder: What a record is taken for; see :class:`~s3dlio.LoaderOptions`.
        collate: ``"stack"`` (unequal shapes are an error) or ``"list"``.
        on_error: ``"raise"``, or ``"skip"``: bad samples are left out, counted and logged, their batches shorter, or
            ``"replace"``: another record, always the same one, takes the place of one that cannot be read or
            decoded, or that the transform refuses.
        max_errors: Bad samples of an iteration beyond which the next is raised all the same; ``None``: no bound.
        enable_sharding: ``None``: split over ``DataLoader`` workers. ``True``: over ranks as well, from
            ``torch.distributed`` or ``RANK`` and ``WORLD_SIZE``. ``False``: every worker gives everything.
        num_workers: Network reads in flight; 0 means 64, or less where many processes share the machine.
        prefetch: Batches read ahead; 0 leaves it to the memory budget.
        auto_tune: ``True`` chooses ``num_workers`` and ``prefetch`` automatically, whatever they say.
        memory_budget: Bytes read ahead, divided by the number of workers by default.
        timeout_seconds: Longest wait for a batch.
        return_type, writable, suppress_nonwritable_warning, reader_mode, part_size, max_inflight_parts: See
            :class:`~s3dlio.torch.S3MapDataset`.
        others: Any other option of :class:`~s3dlio.LoaderOptions`.

    Raises:
        InvalidUriError, NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The data set cannot be
            listed, or is empty; the message names the URI.
        ConfigError: An option is unknown or out of range; the message names it.
    """

    # Options that were set and that this class can do nothing with.
    _UNUSED: ClassVar[tuple[str, ...]] = (*DATALOADER, "non_blocking")

    def __init__(
        self,
        uri: Data | PyDataset,
        *,
        pattern: str | None = None,
        format: str = "objects",  # noqa: A002 - what the user calls it
        transform: Callable[[Any], Any] | None = None,
        shuffle: bool | str = _UNSET,
        seed: int = _UNSET,
        loader_opts: Mapping[str, Any] | None = None,
        batch_size: int = _UNSET,
        batched: bool | None = None,
        sample_block: int = 1,
        drop_last: bool = _UNSET,
        last: str | None = _UNSET,
        decoder: str = _UNSET,
        collate: str = _UNSET,
        on_error: str = _UNSET,
        max_errors: int | None = _UNSET,
        shuffle_window: int = _UNSET,
        enable_sharding: bool | None = None,
        num_workers: int = _UNSET,
        prefetch: int = _UNSET,
        auto_tune: bool = _UNSET,
        memory_budget: int | None = _UNSET,
        timeout_seconds: float | None = _UNSET,
        reader_mode: str = _UNSET,
        part_size: int = _UNSET,
        max_inflight_parts: int = _UNSET,
        return_type: str = "tensor",
        writable: bool = False,
        suppress_nonwritable_warning: bool = True,
        **others: Any,
    ) -> None:
        keywords = {
            "shuffle": shuffle,
            "seed": seed,
            "batch_size": batch_size,
            "drop_last": drop_last,
            "last": last,
            "decoder": decoder,
            "collate": collate,
            "on_error": on_error,
            "max_errors": max_errors,
            "shuffle_window": shuffle_window,
            "auto_tune": auto_tune,
            "num_workers": num_workers,
            "prefetch": prefetch,
            "memory_budget": memory_budget,
            "timeout_seconds": timeout_seconds,
            "reader_mode": reader_mode,
            "part_size": part_size,
            "max_inflight_parts": max_inflight_parts,
        }
        given: dict[str, Any] = {name: value for name, value in keywords.items() if value is not _UNSET}
        given |= others
        options = merge_options({"batch_size": 1, **(loader_opts or {})}, None, given)
        warn_unused(options, self._UNUSED, type(self).__name__)
        self._batched = options.value("batch_size") > 1 if batched is None else batched
        self._options = options if self._batched else _sample_options(options, sample_block)
        self._enable_sharding = enable_sharding
        self._ranks = (options.value("shard_rank"), options.value("shard_world_size"))
        self._convert = Converter(
            check_return_type(return_type), writable, suppress_nonwritable_warning, options.value("memory_format")
        )
        self.transform = transform if options.value("enable_transforms") else None
        began = time.perf_counter_ns()
        self._objects = found_in(uri, pattern, format, options)
        self._list_nanos = time.perf_counter_ns() - began
        self._options = self._options.for_records(self._objects.decoder)
        self._epochs = EpochCounter()
        # The state that StatefulDataLoader gave to this worker, and the iteration that is running in this process.
        self._own_state: str | None = None
        self._running: Iteration | None = None
        self._core(0, 1)
        if enable_sharding is None:
            self._warn_about_ranks()

    def _warn_about_ranks(self) -> None:
        world = os.environ.get("WORLD_SIZE", "1")
        if world not in ("", "1") and self._ranks == (0, 1):
            message = (
                f"WORLD_SIZE is {world}, and every rank will read all of this data set: pass enable_sharding=True to "
                "split it over the ranks, or enable_sharding=False if each rank has a data set of its own"
            )
            warnings.warn(message, UserWarning, stacklevel=3)

    def _rank_and_world(self) -> tuple[int, int]:
        found = rank_and_world() if self._enable_sharding else self._ranks
        return self._ranks if found == (0, 1) else found

    def _core(self, number: int, workers: int) -> _s3dlio.Loader:
        rank, world = self._rank_and_world()
        # Samples that Python handles one by one are not stacked by the core.
        single: dict[str, Any] = {} if self._batched and self.transform is None else {"collate": "list"}
        single["keep_batches"] = self._batched
        core = self._options.core_kwargs(
            shard_rank=rank, shard_world_size=world, worker_id=number, num_workers_pytorch=workers, **single
        )
        return _s3dlio.Loader(self._objects, **core)

    def _place(self) -> tuple[int, int]:
        """This process's worker number, and the number of workers that the data set is split over."""
        return (0, 1) if self._enable_sharding is False else worker()

    def __getstate__(self) -> dict[str, Any]:
        # A spawned DataLoader worker has no torch.distributed and maybe no RANK: it falls back on its parent's place.
        return self.__dict__ | {"_ranks": self._rank_and_world(), "_running": None}

    def __len__(self) -> int:
        """Batches, or in sample mode samples, that this rank gives in an epoch, all its workers together."""
        core = self._core(0, 1)
        return core.steps if self._batched else core.samples

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration."""
        return self._epochs.upcoming()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, of the next iteration.

        The epoch of a loaded state keeps its position; any other begins at its first sample.

        Raises:
            ConfigError: The epoch is negative.
        """
        if epoch < 0:
            message = f"option `epoch`: found {epoch}, expected an integer of at least 0"
            raise ConfigError(message)
        if (state := self._epochs.loaded()) is not None:
            loaded = json.loads(state)["epoch"]
            if loaded != epoch or self._epochs.begun_since(loaded):
                self._epochs.load(None)
        self._running = None
        self._epochs.set(epoch)

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch, or go on from a loaded state."""
        share_machine()
        core, epoch, step, skip = self._begin()
        self._running = Iteration(
            core,
            self._objects,
            epoch=epoch,
            step=step,
            skip=skip,
            stride=self._place()[1],
            batched=self._batched,
            convert=self._convert,
            transform=self.transform,
            stacked=self._options.value("collate") == "stack",
            take=self._options.value("collate_buffer_size"),
        )
        return self._running

    def _begin(self) -> tuple[_s3dlio.Loader, int, int, int]:
        """Take the part, epoch, step and sample of an iteration that begins now."""
        number, workers = self._place()
        own, self._own_state = self._own_state, None
        state = own or self._epochs.loaded()
        if state is None:
            return self._core(number, workers), self._epochs.begin(), 0, 0
        core = self._core_of(state)
        resumed, step, skip = core.resume(state)
        untouched = self._running is not None and not self._running.asked and self._running.epoch == resumed
        if untouched and not in_worker():
            # StatefulDataLoader makes an iterator of a state only to see that its epoch was over, and then another.
            self._epochs.set(resumed)
        epoch = self._epochs.begin()
        if epoch != resumed:
            return self._core(number, workers), epoch, 0, 0
        if own is None:
            # DataLoader asks worker 0 first, which so has to begin with the first step that is left.
            core = self._core((number + step) % workers, workers)
        return core, epoch, step, skip

    def _core_of(self, state: str) -> _s3dlio.Loader:
        """Return this process's part, which in an epoch that was resumed before is that of another worker number."""
        number, workers = self._place()
        saved = json.loads(state)
        return self._core(saved["worker"] if saved.get("workers") == workers else number, workers)

    def state_dict(self, *, batches: int | None = None, epoch: int | None = None) -> dict[str, Any]:
        """Return where the consumer is: a small dict of numbers and strings.

        In the process that iterates this is exact. While ``DataLoader`` workers iterate, this object cannot know how
        many batches the consumer has taken: count them and pass ``batches`` (steps of this rank; in sample mode
        blocks of ``sample_block`` samples), and the ``epoch`` if it is not the one that began last. Or use
        ``torchdata.stateful_dataloader.StatefulDataLoader``, which asks its workers.

        Raises:
            StateMismatchError: Workers hold the iterators and ``batches`` was not given.
        """
        if batches is not None:
            current = max(self._epochs.upcoming() - 1, 0) if epoch is None else epoch
            return _parsed(self._core(0, 1).state(current, batches, 0))
        if in_worker():
            # A worker that has no more batches does not know whether the others have: for it the epoch goes on.
            return self._own_position(whole_epoch=False)
        if self._epochs.workers_ahead():
            message = (
                "DataLoader workers hold the iterators of this data set: pass state_dict(batches=number of batches "
                "taken in the epoch), or use StatefulDataLoader"
            )
            raise StateMismatchError(message)
        return self._own_position(whole_epoch=True)

    def _own_position(self, *, whole_epoch: bool) -> dict[str, Any]:
        if self._running is not None:
            return _parsed(self._running.state(whole_epoch=whole_epoch))
        if (state := self._own_state or self._epochs.loaded()) is not None:
            return _parsed(state)
        return _parsed(self._core(*self._place()).state(self._epochs.upcoming(), 0, 0))

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Go on from a saved state at the next iteration.

        The world size, batch size and number of workers may differ from the saved ones as long as the global batch
        (world size times batch size) divides what was consumed.

        Raises:
            StateMismatchError: The data set, seed or order differ, or the state does not fit; the message says how.
        """
        text = state if isinstance(state, str) else json.dumps(dict(state))
        own = in_worker()
        epoch, _, _ = (self._core_of(text) if own else self._core(*self._place())).resume(text)
        if own:
            self._own_state = text
        else:
            self._epochs.load(json.dumps(json.loads(text)))
        self._running = None
        self._epochs.set(epoch)

    def stats(self) -> dict[str, int]:
        """Return figures of the iteration that runs in this process.

        ``batches``, ``samples``, ``skipped`` (or replaced), ``repeated`` and ``reads`` are counts, ``bytes`` those
        read. ``wait_nanos`` is the time that the consumer waited for batches; ``wait_budget_nanos``,
        ``wait_request_nanos``, ``wait_bytes_nanos``, ``wait_decode_nanos`` and ``wait_assemble_nanos`` say what those
        batches were waiting for meanwhile: memory, their first record, the others, decoding, and being put together.
        ``list_nanos`` is what finding the records took when the data set was made. ``budget_used``, ``budget_peak``
        and ``budget_limit`` are the bytes of samples read ahead. For retries and times of requests see
        :func:`s3dlio.stats`.
        """
        if self._running is None:
            return {}
        return self._running.stats() | {"list_nanos": self._list_nanos}

    def bottleneck(self) -> str:
        """Return in one line what the iteration that runs in this process is waiting for most; empty without one."""
        return "" if self._running is None else self._running.bottleneck()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._objects)} objects, first {self._objects.uri(0)!r})"


def _parsed(state: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(state)
    return parsed


def _sample_options(options: Any, sample_block: int) -> Any:
    if options.value("batch_size") != 1:
        message = "option `batched`: found False, expected True with a batch_size above 1 (see sample_block)"
        raise ConfigError(message)
    try:
        return merge_options(options, None, {"batch_size": sample_block})
    except ConfigError as error:
        raise ConfigError(str(error).replace("batch_size", "sample_block")) from None
