"""Where the records of TFRecord files are, as the index that NVIDIA DALI reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, Self, SupportsIndex, overload

from s3dlio import _s3dlio, aio
from s3dlio.arguments import as_uri, at_least
from s3dlio.errors import ConfigError
from s3dlio.process import load_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

__all__ = [
    "TFRecordIndexEntry",
    "TFRecordIndexed",
    "create_tfrecord_index",
    "create_tfrecord_index_async",
    "create_tfrecord_indexes",
    "create_tfrecord_indexes_async",
    "get_tfrecord_index_entries",
    "index_tfrecord_bytes",
    "read_tfrecord_index",
]


class TFRecordIndexEntry(tuple[int, int]):  # noqa: SLOT001 - a tuple cannot have slots of its own
    """``(offset, size)`` of a record, which also answers to these names.

    The offset is that of the record's length; the size counts the whole record, 16 bytes more than its payload.
    """

    def __new__(cls, offset: int, size: int) -> Self:
        """Take both numbers."""
        return super().__new__(cls, (offset, size))

    @property
    def offset(self) -> int:
        """Byte of the file at which the record begins."""
        return self[0]

    @property
    def size(self) -> int:
        """Bytes of the record with its length and checksums."""
        return self[1]

    @overload
    def __getitem__(self, key: SupportsIndex | str, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[int, ...]: ...
    def __getitem__(self, key: SupportsIndex | slice | str, /) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(key)
            return super().__getitem__(self.keys().index(key))
        return super().__getitem__(key)

    def keys(self) -> tuple[str, str]:
        """Return the names."""
        return "offset", "size"

    def __reduce__(self) -> tuple[Any, ...]:
        return TFRecordIndexEntry, (self.offset, self.size)

    def __repr__(self) -> str:
        return f"TFRecordIndexEntry(offset={self.offset}, size={self.size})"


class TFRecordIndexed(NamedTuple):
    """One file of :func:`create_tfrecord_indexes`."""

    uri: str
    index_uri: str
    records: int | None
    """Number of records; ``None`` for an index that was there already."""


def _one(name: str, **spellings: str | os.PathLike[str] | None) -> str | None:
    given = {spelling: as_uri(path) for spelling, path in spellings.items() if path is not None}
    if len({*given.values()}) > 1:
        message = (
            f"options {', '.join(f'`{spelling}`={uri!r}' for spelling, uri in given.items())} mean the same {name}"
        )
        raise ConfigError(f"{message}: give one")
    return next(iter(given.values()), None)


def _creating(
    tfrecord_path: str | os.PathLike[str] | None,
    index_path: str | os.PathLike[str] | None,
    input_path: str | os.PathLike[str] | None,
    output_path: str | os.PathLike[str] | None,
    verify: bool | None,
) -> _s3dlio.Operation[int]:
    file = _one("file", tfrecord_path=tfrecord_path, input_path=input_path)
    if file is None:
        message = "create_tfrecord_index() needs a file: `tfrecord_path`, also spelt `input_path`"
        raise TypeError(message)
    index = _one("index", index_path=index_path, output_path=output_path)
    return _s3dlio.create_tfrecord_index(file, f"{file}.idx" if index is None else index, verify)


def create_tfrecord_index(
    tfrecord_path: str | os.PathLike[str] | None = None,
    index_path: str | os.PathLike[str] | None = None,
    *,
    input_path: str | os.PathLike[str] | None = None,
    output_path: str | os.PathLike[str] | None = None,
    verify: bool | None = None,
) -> int:
    """Write the index of a TFRecord file and return the number of records.

    Both may be in any store; the index is what DALI's ``tfrecord2idx`` writes, byte for byte, and appears when it is
    complete. Of a remote file little more than the headers is read: payloads above 64 KiB are stepped over.

    Args:
        tfrecord_path: The file; also spelt ``input_path``.
        index_path: Its index; the name of the file and ``.idx`` if left out. Also spelt ``output_path``.
        input_path: See ``tfrecord_path``.
        output_path: See ``index_path``.
        verify: Whether the checksums of the lengths are compared. ``None`` compares them if that of the first record is
            right: some writers put other numbers there, and other indexers do not look. ``True`` also refuses a few
            bytes behind the last record, which are passed over otherwise.

    Raises:
        NotFoundError: There is no such file.
        CorruptDataError: The file is damaged or cut short; the message names file, record and offset.
        UnsupportedError: The file is compressed as a whole, so its records have no place.
        InvalidUriError: Both names are the same.
        PermissionDeniedError, StoreTimeoutError, StoreError: A store refused, was silent, or failed.
    """
    return _creating(tfrecord_path, index_path, input_path, output_path, verify).wait()


async def create_tfrecord_index_async(
    tfrecord_path: str | os.PathLike[str] | None = None,
    index_path: str | os.PathLike[str] | None = None,
    *,
    input_path: str | os.PathLike[str] | None = None,
    output_path: str | os.PathLike[str] | None = None,
    verify: bool | None = None,
) -> int:
    """As :func:`create_tfrecord_index`."""
    return await aio.result(_creating(tfrecord_path, index_path, input_path, output_path, verify))


def _creating_all(
    prefix: str | os.PathLike[str],
    output_prefix: str | os.PathLike[str] | None,
    *,
    pattern: str | None,
    shard: tuple[int, int],
    resume: bool,
    max_in_flight: int,
    verify: bool | None,
) -> _s3dlio.Operation[list[tuple[str, str, int | None]]]:
    rank, world = at_least("shard_rank", shard[0], 0), at_least("shard_world_size", shard[1], 1)
    if rank >= world:
        message = f"option `shard_rank`: found {rank}, expected less than `shard_world_size`={world}"
        raise ConfigError(message)
    output = None if output_prefix is None else as_uri(output_prefix)
    at_once = at_least("max_in_flight", max_in_flight, 1)
    return _s3dlio.create_tfrecord_indexes(as_uri(prefix), output, pattern, rank, world, resume, at_once, verify)


def create_tfrecord_indexes(
    prefix: str | os.PathLike[str],
    output_prefix: str | os.PathLike[str] | None = None,
    *,
    pattern: str | None = None,
    shard_rank: int = 0,
    shard_world_size: int = 1,
    resume: bool = False,
    max_in_flight: int = 16,
    verify: bool | None = None,
) -> list[TFRecordIndexed]:
    """Write the indexes of all TFRecord files below a prefix, several at a time; see :func:`create_tfrecord_index`.

    The first failure ends the call; indexes that were written stay, each of them complete.

    Args:
        prefix: A directory, a bucket, or a URI with a ``*``.
        output_prefix: A directory for the indexes, which keep the layout of the files; beside each file if left out.
        pattern: A glob or regular expression that selects files by their key below the prefix; all but ``*.idx`` if
            left out.
        shard_rank: With ``shard_world_size`` processes, which of them this is: it takes every so-many-th file.
        shard_world_size: See ``shard_rank``.
        resume: Leaves files alone whose index is there already and no older than they are.
        max_in_flight: Files that are indexed at a time.
        verify: See :func:`create_tfrecord_index`.

    Raises:
        NotFoundError: Nothing is there, or nothing matches.
        ConfigError: An option is out of range.
        CorruptDataError, UnsupportedError, PermissionDeniedError, StoreTimeoutError, StoreError: See
            :func:`create_tfrecord_index`.
    """
    work = _creating_all(
        prefix,
        output_prefix,
        pattern=pattern,
        shard=(shard_rank, shard_world_size),
        resume=resume,
        max_in_flight=max_in_flight,
        verify=verify,
    )
    return [TFRecordIndexed(*one) for one in work.wait()]


async def create_tfrecord_indexes_async(
    prefix: str | os.PathLike[str],
    output_prefix: str | os.PathLike[str] | None = None,
    *,
    pattern: str | None = None,
    shard_rank: int = 0,
    shard_world_size: int = 1,
    resume: bool = False,
    max_in_flight: int = 16,
    verify: bool | None = None,
) -> list[TFRecordIndexed]:
    """As :func:`create_tfrecord_indexes`."""
    work = _creating_all(
        prefix,
        output_prefix,
        pattern=pattern,
        shard=(shard_rank, shard_world_size),
        resume=resume,
        max_in_flight=max_in_flight,
        verify=verify,
    )
    return [TFRecordIndexed(*one) for one in await aio.result(work)]


def _entries(places: tuple[NDArray[np.uint64], NDArray[np.uint64]]) -> list[TFRecordIndexEntry]:
    offsets, sizes = places
    return [*map(TFRecordIndexEntry, offsets.tolist(), sizes.tolist())]


def get_tfrecord_index_entries(
    source: Buffer | str | os.PathLike[str], *, verify: bool | None = None
) -> list[TFRecordIndexEntry]:
    """Return the places of all records.

    Args:
        source: The bytes of a TFRecord file; or the path or URI of an index or of a TFRecord file, which its first
            bytes tell. Of a remote TFRecord file little more than the headers is read.
        verify: See :func:`create_tfrecord_index`.

    Raises:
        NotFoundError: There is no such object.
        CorruptDataError: The file or index is damaged; the message names record and offset, or the line.
        UnsupportedError: The file is compressed as a whole.
    """
    load_numpy()
    if isinstance(source, str | os.PathLike):
        return _entries(_s3dlio.tfrecord_entries(as_uri(source), verify).wait())
    return _entries(_s3dlio.tfrecord_entries_of(source, verify))


def index_tfrecord_bytes(data: Buffer, *, verify: bool | None = None) -> str:
    """Return the text of the index of a TFRecord file in memory; see :func:`create_tfrecord_index`.

    Raises:
        CorruptDataError: The data is damaged or cut short.
        UnsupportedError: The data is compressed as a whole.
    """
    return _s3dlio.tfrecord_index_text(data, verify).decode("ascii")


def read_tfrecord_index(path: str | os.PathLike[str]) -> list[TFRecordIndexEntry]:
    """Return the entries of an index: its path or URI. Blank lines are passed over.

    Raises:
        NotFoundError: There is no such object.
        CorruptDataError: A line is not two numbers; the message tells which.
    """
    load_numpy()
    return _entries(_s3dlio.read_tfrecord_index(as_uri(path)).wait())
