"""The state of a run of Ray Train in its checkpoints, and its checkpoints in any store."""

# Ray ships partial types, fsspec and pyarrow none.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from typing import Any, Protocol, TypedDict

import fsspec
import ray.train
import s3dlio
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem
from s3dlio.errors import StateMismatchError

__all__ = ["Stateful", "Storage", "report", "restore", "storage"]

# The object of a checkpoint.
_NAME = "state"


class Stateful(Protocol):
    """What a run goes on with: a model, an optimizer, a loader of ``s3dlio.torch``."""

    def state_dict(self) -> Any:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Go on from a state."""
        ...


class Storage(TypedDict):
    """Arguments of ``ray.train.RunConfig``."""

    storage_path: str
    storage_filesystem: FileSystem


def storage(uri: str) -> Storage:
    """Say where a run keeps its checkpoints: ``RunConfig(**storage("s3://bucket/runs"))``.

    Args:
        uri: A folder in any store that s3dlio-fsspec knows.

    Raises:
        ValueError: The URI has another scheme.
    """
    files, path = fsspec.url_to_fs(f"s3dlio+{uri}")
    return {"storage_path": path, "storage_filesystem": PyFileSystem(FSSpecHandler(files))}


def report(metrics: Mapping[str, Any], state: Mapping[str, Stateful]) -> None:
    """Report metrics of Ray Train with the state of the run as their checkpoint; all workers call it at the same step.

    The state is that of rank 0 and has to be the same on all: that of a model under DDP, of its optimizer, and of a
    loader, which is the position of all ranks together. It is one file of :func:`s3dlio.save_checkpoint`. In Ray's
    local mode (``num_workers=0``) it stays in the folder for temporary files.

    Args:
        metrics: What ``ray.train.report`` takes.
        state: What the run goes on with, by name.

    Raises:
        TypeError: A state has a value that cannot be saved; the message names its path.
        S3dlioError: The folder for temporary files cannot be written.
    """
    if ray.train.get_context().get_world_rank() != 0:
        ray.train.report({**metrics}, checkpoint=None)
        return
    folder = tempfile.mkdtemp(prefix="s3dlio-")
    try:
        s3dlio.save_checkpoint(f"file://{folder}/{_NAME}", {name: one.state_dict() for name, one in state.items()})
        checkpoint = ray.train.Checkpoint.from_directory(folder)
        # Ray removes the folder once it has copied it. In its local mode it copies nothing and reads it from there.
        ray.train.report({**metrics}, checkpoint=checkpoint, delete_local_checkpoint_after_upload=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def restore(state: Mapping[str, Stateful]) -> bool:
    """Go on from the newest checkpoint of the run, in every worker; return whether there was one.

    Args:
        state: What was given to :func:`report`.

    Raises:
        StateMismatchError: The checkpoint has other names, or is that of another data set.
        CorruptDataError: The checkpoint is damaged.
    """
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return False
    with checkpoint.as_directory() as folder:
        saved: dict[str, Any] = s3dlio.load_checkpoint(f"file://{folder}/{_NAME}") or {}
    if saved.keys() != state.keys():
        message = f"{checkpoint.path}: found the state of {sorted(saved)}, expected that of {sorted(state)}"
        raise StateMismatchError(message)
    for name, one in state.items():
        one.load_state_dict(saved[name])
    return True
