"""Disky files: records in chunks, written one after another and read from front to back, in one file or in many shards.

The names, and what they do, are those of the ``pisky`` package, so that a program changes its imports and nothing else;
and every path may also be a URI (``s3://``, ``gs://``, ``az://``, ``file://``, ``direct://``). Errors of reading and
writing are ``OSError``, damage is always told, and what is written appears whole: a file is under its name when it is
closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Protocol, TypeAlias

from s3dlio import integrity, logging
from s3dlio._s3dlio import (
    Bytes,
    CorruptionStrategy,
    MultiThreadedReader,
    MultiThreadedWriter,
    RecordReader,
    RecordWriter,
    __version__,
)
from s3dlio.errors import ConfigError, OptionError

__all__ = [
    "Bytes",
    "CorruptionStrategy",
    "Globable",
    "MultiThreadedReader",
    "MultiThreadedWriter",
    "PathType",
    "RecordReader",
    "RecordWriter",
    "__version__",
    "expand_dirs",
    "set_log_level",
    "verify",
]


class Globable(Protocol):
    """A directory that finds its files: ``pathlib.Path``, or a path of another library."""

    def glob(self, pattern: str, /) -> Iterable[Any]:
        """Return the paths that match ``pattern``."""
        ...


PathType: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes] | Globable
"""What names a file or directory: a path, a URI, or an object whose text is one."""


def expand_dirs(directories: Sequence[Globable], prefix: str = "shard") -> list[Any]:
    """Return the shards of several directories: what each finds for ``{prefix}_*``, in the order given.

    Args:
        directories: Objects with ``glob``, such as ``pathlib.Path``.
        prefix: What the names of the files begin with.

    Returns:
        The paths, for :meth:`MultiThreadedReader.new_with_shard_paths`.
    """
    return [path for directory in directories for path in directory.glob(f"{prefix}_*")]


def set_log_level(level_str: str) -> None:
    """Log events of a level and of more severe ones, as :func:`s3dlio.init_logging` does.

    Args:
        level_str: ``trace``, ``debug``, ``info``, ``warn``, ``warning``, ``error`` or ``off``, in any case.

    Raises:
        OptionError: An unknown level; an ``OSError`` and a ``ValueError``.
    """
    if level_str.strip().lower() == "off":
        logging.silence()
        return
    try:
        logging.init_logging(level_str)
    except ConfigError as error:
        raise OptionError(str(error)) from None


def verify(path: str | PathLike[str]) -> integrity.VerifyReport:
    """Check every hash of a file, and decode every chunk; see :func:`s3dlio.integrity.verify`.

    :class:`RecordReader` with ``CorruptionStrategy.RECOVER`` reads what is whole of a damaged one.

    Raises:
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The store refused or failed.
    """
    return integrity.verify(path, "disky")
