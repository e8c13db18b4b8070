"""The ``Trainer`` of transformers over a loader of s3dlio."""

# torch and transformers annotate themselves in part.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import transformers
from s3dlio.torch import Loader
from torch.utils.data import IterableDataset

__all__ = ["Trainer"]


class _Epoch(IterableDataset[Any]):
    """The batches of one epoch as the trainer wants to see them: all, of which it passes over the first ones."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._epoch = 0
        self._done = 0

    def seek(self, epoch: int, done: int) -> None:
        self._epoch, self._done = epoch, done

    def __iter__(self) -> Iterator[Any]:
        done, self._done = self._done, 0
        self._loader.load_state_dict(self._loader.state_dict(batches=done, epoch=self._epoch))
        # They are counted and dropped, so they are not read.
        yield from (None for _ in range(done))
        yield from self._loader


class _TrainLoader:
    """What the trainer and accelerate ask of a loader; they leave one alone that is no ``DataLoader``."""

    # The batches come ready, and from this process.
    batch_size = None
    drop_last = False
    prefetch_factor = None

    def __init__(self, loader: Loader) -> None:
        self._length = len(loader)
        self.dataset = _Epoch(loader)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.dataset)


class _Position(transformers.TrainerCallback):
    """Tells the loader at the beginning of each epoch where the trainer is."""

    def __init__(self) -> None:
        self.loader: _TrainLoader | None = None

    def on_epoch_begin(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **kwargs: Any,
    ) -> None:
        del control, kwargs
        if self.loader is None:
            return
        accumulated = args.gradient_accumulation_steps
        steps = max(-(-len(self.loader) // accumulated), 1)
        epoch, done = divmod(state.global_step, steps)
        self.loader.dataset.seek(epoch, 0 if args.ignore_data_skip else done * accumulated)


class Trainer(transformers.Trainer):
    """Trains on the batches of a ``s3dlio.torch.Loader``, given as ``train_dataset``.

    The loader reads, stacks and splits the data over the ranks, so the batch size is its own, and options of the
    trainer about ``DataLoader`` workers have no part in it. ``train(resume_from_checkpoint=True)`` goes on behind the
    last batch that was trained on without reading those before it. Any other ``train_dataset`` is left to
    ``transformers.Trainer``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._position = _Position()
        self.add_callback(self._position)

    def get_train_dataloader(self) -> Any:
        """Return the loader as the trainer takes it."""
        if not isinstance(self.train_dataset, Loader):
            return super().get_train_dataloader()
        loader = _TrainLoader(self.train_dataset)
        self._position.loader = loader
        return loader
