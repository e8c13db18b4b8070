"""States of s3dlio's loaders, and trees of arrays in its own format, as items of Orbax checkpoints."""

# Orbax ships no types for its interface.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false, reportUntypedClassDecorator=false

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import orbax.checkpoint as ocp
from s3dlio import CheckpointManager
from s3dlio.errors import CorruptDataError, NotFoundError

__all__ = ["LoaderHandler", "LoaderRestore", "LoaderSave", "Stateful", "TreeHandler", "TreeRestore", "TreeSave"]

_NAME = "loader.json"


class Stateful(Protocol):
    """A loader, or an iterator of one."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        ...


class LoaderHandler(ocp.CheckpointHandler):  # type: ignore[misc]
    """Saves and restores the state of a loader of s3dlio: ``s3dlio.jax.Loader`` and the others.

    The state is that of the whole job, so the first process writes it and all read it, also when they are another
    number.
    """

    def save(self, directory: Any, args: LoaderSave) -> None:
        """Write the state of ``args.item`` into the directory."""
        if jax.process_index() == 0:
            (directory / _NAME).write_text(json.dumps(args.item.state_dict()))

    def restore(self, directory: Any, args: LoaderRestore) -> Stateful:
        """Have ``args.item`` go on from the state in the directory, and return it.

        Raises:
            NotFoundError: The directory has no state.
            CorruptDataError: It is damaged.
            StateMismatchError: It does not fit the loader.
        """
        path = directory / _NAME
        if not path.exists():
            message = f"{path}: no state of a loader is there"
            raise NotFoundError(message, uri=str(path))
        try:
            state = json.loads(path.read_text())
        except ValueError as error:
            message = f"{path}: the state is damaged: {error}"
            raise CorruptDataError(message, uri=str(path)) from error
        args.item.load_state_dict(state)
        return args.item


@ocp.args.register_with_handler(LoaderHandler, for_save=True)
@dataclasses.dataclass
class LoaderSave(ocp.args.CheckpointArgs):  # type: ignore[misc]
    """Saves the state of a loader.

    Attributes:
        item: The loader.
    """

    item: Stateful


@ocp.args.register_with_handler(LoaderHandler, for_restore=True)
@dataclasses.dataclass
class LoaderRestore(ocp.args.CheckpointArgs):  # type: ignore[misc]
    """Restores the state of a loader.

    Attributes:
        item: The loader, made as it was when its state was saved.
    """

    item: Stateful


def _manager(directory: Any) -> CheckpointManager:
    place = os.fspath(directory)
    return CheckpointManager(place if "://" in place else f"file://{os.path.abspath(place)}")  # noqa: PTH100 - a text


class TreeHandler(ocp.CheckpointHandler):  # type: ignore[misc]
    """Saves and restores a tree by :class:`s3dlio.CheckpointManager`: verified, without pickle, under another sharding.

    Each process saves its part of arrays that lie over several, and reads what its devices need. The item is a
    checkpoint of s3dlio as any other, of the one step 0, for ``s3dlio ckpt`` and for programs without JAX.
    """

    def save(self, directory: Any, args: TreeSave) -> None:
        """Write ``args.item`` into the directory.

        Raises:
            TypeError: The tree has a value of a type that is not saved; the message names its path.
        """
        _manager(directory).save(0, args.item)

    def restore(self, directory: Any, args: TreeRestore) -> Any:
        """Return the tree in the directory.

        Raises:
            NotFoundError: The directory has none.
            CorruptDataError: It is damaged.
        """
        return _manager(directory).load(0, into=args.item)


@ocp.args.register_with_handler(TreeHandler, for_save=True)
@dataclasses.dataclass
class TreeSave(ocp.args.CheckpointArgs):  # type: ignore[misc]
    """Saves a tree of arrays.

    Attributes:
        item: Dicts, lists and tuples of arrays, numbers and texts.
    """

    item: Any


@ocp.args.register_with_handler(TreeHandler, for_restore=True)
@dataclasses.dataclass
class TreeRestore(ocp.args.CheckpointArgs):  # type: ignore[misc]
    """Restores a tree of arrays.

    Attributes:
        item: A tree of the same form, whose arrays say how what is read is placed; NumPy arrays if left out.
    """

    item: Any = None
