"""Storage for ``torch.distributed.checkpoint``: directories as ``FileSystemWriter`` makes them, in any store."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import dataclasses
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any, cast

import s3dlio
from s3dlio.torch.dcp import DCPReader
from torch.distributed.checkpoint.filesystem import (
    FileSystemBase,
    FileSystemWriter,
    _StoragePrefix,  # pyright: ignore[reportPrivateUsage] # how a plan names the files
)
from torch.distributed.checkpoint.planner import SavePlan

from s3dlio_s3torchconnector import settings
from s3dlio_s3torchconnector.prefix import (
    BinaryPrefixStrategy,
    DefaultPrefixStrategy,
    HexPrefixStrategy,
    NumericPrefixStrategy,
    S3PrefixStrategyBase,
)
from s3dlio_s3torchconnector.reader import ReaderConstructor, SequentialS3Reader, split
from s3dlio_s3torchconnector.settings import S3ClientConfig

__all__ = [
    "BinaryPrefixStrategy",
    "DefaultPrefixStrategy",
    "HexPrefixStrategy",
    "NumericPrefixStrategy",
    "S3FileSystem",
    "S3PrefixStrategyBase",
    "S3StorageReader",
    "S3StorageWriter",
]


def _is_uri(checkpoint_id: str | os.PathLike[str]) -> bool:
    try:
        return bool(split(os.fspath(checkpoint_id))[1])
    except ValueError:
        return False


class S3FileSystem(FileSystemBase):
    """What ``FileSystemWriter`` asks of a file system; files appear whole.

    Args:
        region: Region of the bucket.
        s3client_config: Options of the client.
        reader_constructor: How objects are read; default: whole.

    Raises:
        ConfigError: The environment sets another region or option.
    """

    def __init__(
        self,
        region: str,
        s3client_config: S3ClientConfig | None = None,
        reader_constructor: ReaderConstructor | None = None,
    ) -> None:
        self._config = settings.apply(region, None, s3client_config)
        self._construct = reader_constructor or SequentialS3Reader

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Generator[Any, None, None]:
        """Open a file to read (``"rb"``) or write (``"wb"``); a write that fails leaves nothing.

        Raises:
            ValueError: The mode is another one.
        """
        uri = os.fspath(path)
        if mode == "rb":
            with self._construct(uri) as reader:
                yield reader
        elif mode == "wb":
            options = s3dlio.PyWriterOptions(chunk_size=self._config.part_size)
            with s3dlio.create_writer(uri, options) as writer:
                yield cast("IO[bytes]", writer)
        else:
            message = f"option `mode`: found {mode!r}, expected 'rb' or 'wb'"
            raise ValueError(message)

    def concat_path(self, path: str | os.PathLike[str], suffix: str) -> str:
        """Return the path of a file below another."""
        return f"{os.fspath(path).rstrip('/')}/{suffix}"

    def init_path(self, path: str | os.PathLike[str]) -> str:
        """Return the path as text."""
        return os.fspath(path)

    def rename(self, path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> None:
        """Copy a file, which inside one bucket the store does, and remove the first."""
        s3dlio.copy(os.fspath(path), os.fspath(new_path))
        s3dlio.delete(os.fspath(path))

    def mkdir(self, path: str | os.PathLike[str]) -> None:
        """Make a local directory; elsewhere there is nothing to do."""
        s3dlio.mkdir(os.fspath(path))

    def exists(self, path: str | os.PathLike[str]) -> bool:
        """Tell whether a file is there."""
        return s3dlio.exists(os.fspath(path))

    def rm_file(self, path: str | os.PathLike[str]) -> None:
        """Remove a file."""
        s3dlio.delete(os.fspath(path))

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether this is a URI with a key."""
        return _is_uri(checkpoint_id)


class S3StorageWriter(FileSystemWriter):
    """Writes what ``torch.distributed.checkpoint`` saves, in the layout of ``FileSystemWriter``.

    Args:
        region: Region of the bucket.
        path: The URI of the checkpoint.
        s3client_config: Options of the client.
        prefix_strategy: Names of the files; default ``__<rank>_``.
        thread_count: Threads that write.
        kwargs: Other arguments of ``FileSystemWriter``.

    Raises:
        ConfigError: The environment sets another region or option.
    """

    def __init__(
        self,
        region: str,
        path: str,
        s3client_config: S3ClientConfig | None = None,
        prefix_strategy: S3PrefixStrategyBase | None = None,
        thread_count: int = 1,
        **kwargs: Any,
    ) -> None:
        # There are no files of which torch could ask the system to write them to the disk: they are there when closed.
        super().__init__(path=path, thread_count=thread_count, **({"sync_files": False} | kwargs))
        self.fs: Any = S3FileSystem(region, s3client_config)
        self.path: Any = self.fs.init_path(path)
        self.prefix_strategy = prefix_strategy or DefaultPrefixStrategy()

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Name the files of all ranks."""
        return [
            dataclasses.replace(plan, storage_data=_StoragePrefix(self.prefix_strategy(rank)))
            for rank, plan in enumerate(plans)
        ]

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether this is a URI with a key."""
        return _is_uri(checkpoint_id)


class S3StorageReader(DCPReader):
    """Reads what :class:`S3StorageWriter`, s3torchconnector or ``s3dlio.torch.dcp`` wrote, and unpickles no code.

    It asks for exactly the ranges that a plan needs, so there is no ``reader_constructor``.

    Args:
        region: Region of the bucket.
        path: The URI of the checkpoint.
        s3client_config: Options of the client.

    Raises:
        ConfigError: The environment sets another region or option.
    """

    def __init__(
        self, region: str, path: str | os.PathLike[str], s3client_config: S3ClientConfig | None = None
    ) -> None:
        settings.apply(region, None, s3client_config)
        super().__init__(path)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether this is a URI with a key."""
        return _is_uri(checkpoint_id)
