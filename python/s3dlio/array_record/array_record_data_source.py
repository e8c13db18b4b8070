"""Many ArrayRecord files as one sequence of records."""

from __future__ import annotations

import bisect
import concurrent.futures
import hashlib
import itertools
import logging
import operator
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from types import TracebackType
from typing import Any, NamedTuple, Self, SupportsIndex, TypeVar, overload

from s3dlio import _s3dlio
from s3dlio.array_record.array_record_module import ArrayRecordReader
from s3dlio.array_record.instructions import (
    FileInstruction,
    FileInstructionLike,
    PathLikeOrFileInstruction,
    spans,
)
from s3dlio.errors import ConfigError, OutOfRangeError

__all__ = ["ArrayRecordDataSource", "FileInstruction", "FileInstructionLike", "PathLikeOrFileInstruction"]

# What logs the group size, which other readers of the file care for.
_LOG = logging.getLogger(__name__)

# Beyond any record, and what the core takes for a number.
_FAR = 2**63

# Records that iteration asks for at a time: one crossing into Rust for so many, and few enough not to pile up.
_STRIDE = 256


class ArrayRecordDataSource:
    """The records of one or more ArrayRecord files, in the order of the files, as a sequence of ``bytes``.

    Any record is found in constant time, and records that are asked for together are read together: neighbours by one
    read, each chunk once. The object may be shared by threads, forked and pickled; a pickle holds the names and the
    numbers of records, so that a worker opens only the files it reads.

    Args:
        paths: A path or URI, a :class:`FileInstruction` (or any object with ``filename``, ``skip`` and ``take``), or a
            non-empty sequence of them. A text may also be ``file[a:b]`` for records a to b - 1, a pattern
            (``data/*.array_record``) or ``base@*`` for all shards ``base-00000-of-00008`` and so on. Files without a
            range are opened, several at a time, to learn their numbers of records; others when they are first read.
        reader_options: Options of :class:`~s3dlio.array_record.ArrayRecordReader`, as texts by name:
            ``readahead_buffer_size``, ``max_parallelism``, ``index_storage_option``, ``footer_prefetch_bytes``.

    Raises:
        ValueError: There is no path, one of a wrong type, or an option that does not exist.
        NotFoundError: A file is not there, or a pattern has no match.
        CorruptDataError: A file is damaged or no ArrayRecord file.
        PermissionDeniedError, StoreTimeoutError, StoreError: A store refused, was silent, or failed.
    """

    def __init__(
        self,
        paths: PathLikeOrFileInstruction | Sequence[PathLikeOrFileInstruction],
        reader_options: Mapping[str, str] | None = None,
    ) -> None:
        options = "" if reader_options is None else ",".join(f"{key}:{value}" for key, value in reader_options.items())
        parts = spans(paths)
        self._names = [part.filename for part in parts]
        self._options = options
        self._records = _s3dlio.ArrayRecordFiles([(part.filename, part.start, part.end) for part in parts], options)

    @property
    def _readers(self) -> list[str | None]:
        """The file of each part if it is open, as the reference keeps its readers."""
        return [name if is_open else None for name, is_open in zip(self._names, self._records.opened(), strict=True)]

    def _reader_idx_and_position(self, record_key: int) -> tuple[int, int]:
        """Return which part a record is in, and its number in that part's file; the reference's name for it."""
        if not 0 <= record_key < len(self):
            message = f"record {record_key} was asked for, expected one of {len(self)}"
            raise OutOfRangeError(message)
        parts = self._records.spans()
        ends = list(itertools.accumulate(end - start for _, start, end in parts))
        number = bisect.bisect_right(ends, record_key)
        return number, parts[number][2] - (ends[number] - record_key)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, record_key: SupportsIndex) -> bytes: ...
    @overload
    def __getitem__(self, record_key: slice | Sequence[SupportsIndex]) -> list[bytes]: ...
    def __getitem__(self, record_key: SupportsIndex | slice | Sequence[SupportsIndex]) -> bytes | list[bytes]:
        """Return the record of an index, which may count from the end, or a list of records.

        Raises:
            OutOfRangeError: There is no such record; a ``ValueError`` and an ``IndexError``.
            TypeError: The key is no integer, slice or sequence of integers.
            CorruptDataError: The record's chunk is damaged.
        """
        try:
            index = operator.index(record_key)  # type: ignore[arg-type]
        except TypeError:
            return self._several(record_key)
        if not -_FAR <= index < _FAR:
            message = f"record {index} was asked for, expected one of {len(self)}"
            raise OutOfRangeError(message)
        return self._records.get(index)

    def _several(self, keys: Any) -> list[bytes]:
        if isinstance(keys, slice):
            return self._records.get_many(range(*keys.indices(len(self))))
        if isinstance(keys, str | bytes) or not hasattr(keys, "__len__"):
            message = f"record keys: found {keys!r}, expected an integer, a slice or a sequence of integers"
            raise TypeError(message)
        return self._records.get_many(keys)

    def __getitems__(self, record_keys: Sequence[SupportsIndex]) -> list[bytes]:
        """Return the records of several indices, in their order; each may be repeated.

        Raises:
            OutOfRangeError, CorruptDataError: As ``__getitem__``.
        """
        return self._records.get_many(record_keys)

    def __iter__(self) -> Iterator[bytes]:
        count = len(self)
        for start in range(0, count, _STRIDE):
            yield from self._records.get_many(range(start, min(start + _STRIDE, count)))

    def spans(self) -> list[tuple[str, int, int]]:
        """Return (file, first record, the record behind the last) of each part, for a data set of these records."""
        return self._records.spans()

    def close(self) -> None:
        """Close the files; they are opened again when they are read."""
        self._records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = hashlib.sha1(usedforsecurity=False)
        for name in self._names:
            names.update(name.encode())
        return f"{type(self).__name__}(hash_of_paths={names.hexdigest()})"

    def __getstate__(self) -> tuple[list[str], str, list[tuple[str, int, int]]]:
        return self._names, self._options, self._records.spans()

    def __setstate__(self, state: tuple[list[str], str, list[tuple[str, int, int]]]) -> None:
        self._names, self._options, parts = state
        self._records = _s3dlio.ArrayRecordFiles(parts, self._options)


# The reference's functions of these names, for programs that call them in spite of the underscore.

_Value = TypeVar("_Value")
_GROUP_SIZE = re.compile(r"group_size:(\d+),")


class _ReadInstruction(NamedTuple):
    """Records ``start`` to ``end`` of a file."""

    filename: str
    start: int
    end: int

    @property
    def num_records(self) -> int:
        """How many records."""
        return self.end - self.start


def _get_read_instructions(  # pyright: ignore[reportUnusedFunction]
    paths: Sequence[PathLikeOrFileInstruction],
) -> list[_ReadInstruction]:
    """Return the records of each file that paths and file instructions stand for; files without a range are opened."""
    parts = [(part.filename, part.start, part.end) for part in spans(paths)]
    found = _s3dlio.ArrayRecordFiles(parts, "").spans()
    return [_ReadInstruction(name, start, end) for (name, *_), (_, start, end) in zip(parts, found, strict=True)]


def _check_group_size(  # pyright: ignore[reportUnusedFunction]
    filename: str | PurePath, reader: ArrayRecordReader
) -> None:
    """Log an error for a file that readers with one record a group alone read fast; here every size will do.

    Raises:
        ConfigError: The file's options do not tell its group size.
    """
    options = reader.writer_options_string()
    if not options:
        return
    found = _GROUP_SIZE.match(options)
    if found is None:
        message = f"{os.fspath(filename)}: found the options {options!r}, expected `group_size:` first"
        raise ConfigError(message)
    if found[1] != "1":
        message = "File %s was created with group size %s. Grain requires group size 1 for good performance."
        _LOG.error(message, os.fspath(filename), found[1])


def _run_in_parallel(  # pyright: ignore[reportUnusedFunction]
    function: Callable[..., _Value], list_of_kwargs_to_function: Sequence[Mapping[str, Any]], num_workers: int
) -> list[_Value]:
    """Call a function with each of the keyword arguments on threads; the results in order, or the first exception."""
    if num_workers < 1:
        message = "num_workers must be >=1 for parallelism."
        raise ConfigError(message)
    with concurrent.futures.ThreadPoolExecutor(num_workers) as threads:
        running = [threads.submit(function, **arguments) for arguments in list_of_kwargs_to_function]
        return [call.result() for call in running]
