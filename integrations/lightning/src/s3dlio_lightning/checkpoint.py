"""Checkpoints of a trainer in a store."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import io
import os
from typing import IO, Any, cast

import s3dlio
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

__all__ = ["StoreCheckpointIO"]


def _uri(path: str | os.PathLike[str]) -> str:
    """Return the URI of a path of Lightning's: one of s3dlio, one of its fsspec file systems, or a local path."""
    text = os.fspath(path).removeprefix("s3dlio+")
    return text if "://" in text else f"file://{os.path.abspath(text)}"  # noqa: PTH100 - as text


class StoreCheckpointIO(CheckpointIO):
    """Writes checkpoints piece by piece into any store, in the format of ``torch.save``.

    A checkpoint appears when it is complete, and replaces an earlier one of its name in one step. Pass it to
    ``Trainer(plugins=[StoreCheckpointIO()])``; ``ModelCheckpoint(dirpath="s3dlio+s3://bucket/run")`` then looks after
    them in the store as it does in a directory.

    Args:
        part_size: Bytes that go to the store together; default 16 MiB, and 4 MiB for files.
    """

    def __init__(self, part_size: int | None = None) -> None:
        self._options = s3dlio.PyWriterOptions(chunk_size=part_size)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            TypeError: ``storage_options`` were given: settings come from the environment.
            S3dlioError: The store refused, was silent, or failed; what was there before stays.
        """
        if storage_options is not None:
            message = f"storage_options: found {storage_options!r}, expected None: settings come from the environment"
            raise TypeError(message)
        with s3dlio.create_writer(_uri(path), self._options) as writer:
            torch.save(checkpoint, cast("IO[bytes]", writer))

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; tensors come to main memory unless ``map_location`` says otherwise.

        Raises:
            NotFoundError: There is none.
            S3dlioError: The store refused, was silent, or failed.
        """
        content = s3dlio.get(_uri(path))
        # `None` is torch's own default, which depends on its version.
        only: dict[str, Any] = {} if weights_only is None else {"weights_only": weights_only}
        loaded: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu" if map_location is None else map_location, **only
        )
        return loaded

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a checkpoint, if it is there."""
        uri = _uri(path)
        if s3dlio.exists(f"{uri}/"):
            s3dlio.delete(f"{uri}/", recursive=True)
        elif s3dlio.exists(uri):
            s3dlio.delete(uri)
