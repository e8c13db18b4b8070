"""The data of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from lightning.pytorch import LightningDataModule
from s3dlio.errors import ConfigError
from s3dlio.torch import Loader

__all__ = ["Data", "StoreDataModule"]

Data: TypeAlias = Any
"""What :class:`s3dlio.torch.Loader` takes: a URI, several, or a data set."""


class StoreDataModule(LightningDataModule):
    """Gives the trainer loaders of ``s3dlio.torch``: batches from the library's own threads, no worker processes.

    The data are split over the ranks of the trainer, each of which gets equally many batches. A checkpoint of the
    trainer holds the position in the training data, and going on from it goes on behind the last batch that was
    trained on, also on another number of ranks. A stage without data has no loader.

    Args:
        train: Training data: a URI, several, or a data set of s3dlio.
        val: Data for validation; in their order, whatever ``shuffle`` says.
        test: Data for testing, likewise.
        predict: Data for prediction, likewise.
        batch_size: Samples in a batch of one rank.
        shuffle: How training data are mixed; see :class:`s3dlio.torch.S3IterableDataset`.
        transform: Called with each sample.
        loader: What is called for each loader, with the options of :class:`s3dlio.torch.Loader`.
        changes: Options that differ for ``"train"``, ``"val"``, ``"test"`` or ``"predict"``.
        options: Further options of :class:`s3dlio.torch.Loader`, such as ``decoder``, ``seed`` or ``pattern``.

    Raises:
        ConfigError: ``changes`` names none of the four. Options are checked when a loader is made.
    """

    def __init__(
        self,
        train: Data = None,
        *,
        val: Data = None,
        test: Data = None,
        predict: Data = None,
        batch_size: int = 32,
        shuffle: bool | str = True,
        transform: Callable[[Any], Any] | None = None,
        loader: Callable[..., Any] = Loader,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._data = {"train": train, "val": val, "test": test, "predict": predict}
        self._changes = dict(changes or {})
        if unknown := sorted(self._changes.keys() - self._data):
            message = f"option `changes`: found {unknown}, expected some of {sorted(self._data)}"
            raise ConfigError(message)
        self._options = {"batch_size": batch_size, "transform": transform, **options}
        self._shuffle = shuffle
        self._make = loader
        # A stage without data keeps the hook of the base class, by which Lightning knows that there are none.
        for stage in [name for name, found in self._data.items() if found is not None]:
            setattr(self, f"{stage}_dataloader", partial(self.loader, stage))

    def loader(self, stage: str) -> Any:
        """Make the loader of a stage: ``"train"``, ``"val"``, ``"test"`` or ``"predict"``."""
        own = {"shuffle": self._shuffle} if stage == "train" else {"shuffle": False}
        return self._make(self._data[stage], **{**self._options, **own, **self._changes.get(stage, {})})
