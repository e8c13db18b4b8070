"""The front door: batches of tensors from our own threads."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import torch

from s3dlio.dataset import PyDataset
from s3dlio.errors import ConfigError
from s3dlio.options import DATALOADER, LoaderOptions
from s3dlio.sharding import rank_and_world
from s3dlio.sources import Data
from s3dlio.torch.iterable import S3IterableDataset
from s3dlio.torch.map import S3MapDataset

__all__ = ["Loader"]


class Loader(S3IterableDataset):
    """Gives ready batches of tensors, read, decoded and stacked by threads of the library: no worker processes.

    It splits the data set over the ranks of the run by default, and every rank gives equally many batches (unless
    ``last="uneven"``). Use it in a training loop as it is::

        loader = s3dlio.torch.Loader("s3://bucket/train/", batch_size=64, shuffle=True, decoder="npz")
        for batch in loader:
            ...

    Each iteration is the next epoch. ``state_dict`` is exact after every batch, and ``load_state_dict`` goes on from
    there, also on another number of ranks. It also works as ``StatefulDataLoader(loader, batch_size=None)``.

    Args:
        data: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of this package.
        batch_size: Samples in a batch of this rank.
        rank, world_size: This rank's part; default from ``torch.distributed``, else ``RANK`` and ``WORLD_SIZE``.
        pin_memory: Whether batches are copied into page-locked memory (needs CUDA).
        device: Where batches are moved to, without waiting for the copy unless ``loader_opts`` says
            ``non_blocking=False``; ``None`` leaves them in main memory.
        progress: Whether a tqdm bar shows batches and MB/s.
        pattern, format, transform, options: As for :class:`~s3dlio.torch.S3IterableDataset`.

    Raises:
        ConfigError: An option is unknown or out of range, or ``pin_memory`` is set without CUDA.
        NotFoundError, InvalidUriError, PermissionDeniedError, StoreTimeoutError, StoreError: As for
            :class:`~s3dlio.torch.S3IterableDataset`.
    """

    _UNUSED: ClassVar[tuple[str, ...]] = tuple(name for name in DATALOADER if name != "pin_memory")

    def __init__(
        self,
        data: Data | PyDataset | S3IterableDataset | S3MapDataset,
        *,
        batch_size: int = 32,
        rank: int | None = None,
        world_size: int | None = None,
        pattern: str | None = None,
        format: str = "objects",  # noqa: A002 - what the user calls it
        transform: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        device: torch.device | str | None = None,
        progress: bool = False,
        loader_opts: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        given = LoaderOptions(loader_opts)
        pin_memory = pin_memory or given.value("pin_memory")
        if pin_memory and not torch.cuda.is_available():
            message = "option `pin_memory`: found True, expected False on a machine without CUDA"
            raise ConfigError(message)
        if (rank is None) != (world_size is None):
            message = "option `rank`: found without `world_size` or the reverse, expected both or none"
            raise ConfigError(message)
        found_rank, found_world = rank_and_world()
        place = {
            "shard_rank": found_rank if rank is None else rank,
            "shard_world_size": found_world if world_size is None else world_size,
        }
        super().__init__(
            PyDataset(objects=data.objects) if isinstance(data, S3IterableDataset | S3MapDataset) else data,
            pattern=pattern,
            format=format,
            transform=transform,
            batch_size=batch_size,
            batched=True,
            loader_opts={**given, **place},
            **options,
        )
        self._pin_memory = pin_memory
        self._non_blocking = bool(given.get("non_blocking", True))
        self._device = None if device is None else torch.device(device)
        self._progress = progress

    def _warn_about_ranks(self) -> None:
        """Nothing to warn about: the data set is split over the ranks."""

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch, or go on from a loaded state."""
        batches = super().__iter__()
        if self._pin_memory or self._device is not None:
            batches = map(self._place_batch, batches)
        return self._with_progress(batches) if self._progress else batches

    def _place_batch(self, batch: Any) -> Any:
        if isinstance(batch, torch.Tensor):
            pinned = batch.pin_memory() if self._pin_memory else batch
            return pinned if self._device is None else pinned.to(self._device, non_blocking=self._non_blocking)
        if isinstance(batch, dict):
            return {name: self._place_batch(value) for name, value in batch.items()}
        if isinstance(batch, list | tuple):
            placed = [self._place_batch(value) for value in batch]
            # A named tuple takes its values one by one.
            return type(batch)(*placed) if hasattr(batch, "_fields") else type(batch)(placed)
        return batch

    def _with_progress(self, batches: Iterator[Any]) -> Iterator[Any]:
        from tqdm.auto import tqdm  # noqa: PLC0415 - an optional dependency

        bar = tqdm(total=len(self), unit="batch")

        def show() -> None:
            bar.update()
            rate = self.stats().get("bytes", 0) / 1e6 / max(bar.format_dict["elapsed"], 1e-3)
            bar.set_postfix_str(f"{rate:.1f} MB/s", refresh=False)

        return _Shown(batches, show, bar.close)


class _Shown(Iterator[Any]):
    """Batches whose arrival is shown. No generator, which after an error would look as if it had come to its end."""

    def __init__(self, batches: Iterator[Any], show: Callable[[], None], close: Callable[[], None]) -> None:
        self._batches = batches
        self._show = show
        self._close = close

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except BaseException:
            self._close()
            raise
        self._show()
        return batch

    def __del__(self) -> None:
        self._close()
