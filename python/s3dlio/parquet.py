"""Row groups of Parquet files, as they are stored or as Arrow, and files of random numbers for benchmarks."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Self, TypeAlias, overload

from s3dlio import _s3dlio, aio
from s3dlio._s3dlio import BytesView
from s3dlio.arguments import as_uri, at_least, from_first
from s3dlio.errors import ConfigError

__all__ = [
    "FOOTER_CAP",
    "ParquetDataSource",
    "PyParquetIndex",
    "generate_and_write_parquet",
    "generate_and_write_parquet_schema",
    "generate_and_write_parquet_schema_streaming",
    "generate_parquet_bytes",
    "generate_parquet_bytes_schema",
    "parquet_cache_clear",
    "parquet_cache_invalidate",
    "parquet_cache_len",
    "parquet_get_rg",
    "parquet_get_rg_async",
    "parquet_rg_row_offsets",
    "record_place",
]

FOOTER_CAP = 4 << 20
"""Bytes of the end of a file that are read first."""

Column: TypeAlias = int | str
Decode: TypeAlias = Literal["raw", "arrow"]

_FILES_AT_ONCE = 32
"""Files that are opened at the same time: the requests of one call in flight elsewhere."""


def record_place(name: str) -> tuple[str, int]:
    """Return the file and the number of the row group that a record of a data set is, of the record's name there."""
    uri, _, number = name.rpartition("#rg")
    return uri, int(number)


class ParquetDataSource(Sequence[BytesView]):
    """The row groups of one or several Parquet files by their number.

    Opening one in a network store takes one request for its footer; a row group one for its columns where these lie
    together. It has a length, reads one or (by ``__getitems__``) many groups, can be used in forked workers, and
    pickles as names, so that another process reads the footers again. Loaders and data sets take it in place of a URI.

    Args:
        paths: A path or URI, or several; their row groups follow each other in this order.
        columns: Names or numbers of the columns at the root that are wanted; all, if left out.
        decode: ``"raw"`` for the bytes of the columns as they are stored (from the first to the end of the last), or
            ``"arrow"`` for one record batch as an Arrow IPC stream.
        footer_cap: Bytes of the end of a file that are read first; a longer footer takes one more request.

    Raises:
        NotFoundError: A file is not there.
        CorruptDataError: A file is damaged, or none of Parquet.
        UnsupportedError: A file is encrypted.
        ConfigError: A file has no such column, or an option is out of range.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        columns: Iterable[Column] | None = None,
        decode: Decode = "raw",
        footer_cap: int = FOOTER_CAP,
    ) -> None:
        several = [paths] if isinstance(paths, str | os.PathLike) else paths
        self.uris = [as_uri(path) for path in several]
        self.columns = _columns(columns)
        self.decode = decode
        self.footer_cap = at_least("footer_cap", footer_cap, 8)
        self.objects = _s3dlio.Objects.parquet(self.uris, self.columns, self.footer_cap, decode).wait()

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Any, ...]]:
        return type(self), (self.uris, self.columns, self.decode, self.footer_cap)

    def __len__(self) -> int:
        return len(self.objects)

    @overload
    def __getitem__(self, index: int) -> BytesView: ...
    @overload
    def __getitem__(self, index: slice) -> list[BytesView]: ...
    def __getitem__(self, index: int | slice) -> BytesView | list[BytesView]:
        """Read one row group, or those of a slice; negative numbers count from the end."""
        if isinstance(index, slice):
            return self.__getitems__(range(*index.indices(len(self))))
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Iterable[int]) -> list[BytesView]:
        """Read several row groups at the same time; results in the order of ``indices``, which may repeat."""
        numbers = [from_first("row group", index, len(self)) for index in indices]
        return self.objects.read(numbers, _FILES_AT_ONCE, "bytes").wait()

    def place(self, index: int) -> tuple[str, int]:
        """Return the URI of the file that holds a row group, and the group's number in it."""
        return record_place(self.objects.uri(from_first("row group", index, len(self))))

    def __repr__(self) -> str:
        names = repr(self.uris[0]) if len(self.uris) == 1 else f"{len(self.uris)} files, first {self.uris[0]!r}"
        return f"ParquetDataSource({names}, {len(self)} row groups)"


def _columns(columns: Iterable[Column] | None) -> list[Column] | None:
    if columns is None:
        return None
    wanted = [*columns]
    if isinstance(columns, str) or any(isinstance(column, int) and column < 0 for column in wanted):
        message = f"option `columns`: found {columns!r}, expected names, or numbers from 0 on"
        raise ConfigError(message)
    return wanted


class PyParquetIndex:
    """Where the row groups of many files are: their footers, read once and kept.

    Args:
        col_indices: Names or numbers of the columns at the root that ranges are about; all, if left out.
        footer_cap: Bytes of the end of a file that are read first; a longer footer takes one more request.

    An index pickles without its footers: another process reads those that it needs.
    """

    def __init__(self, col_indices: Iterable[Column] | None = None, footer_cap: int = FOOTER_CAP) -> None:
        self.col_indices = _columns(col_indices)
        self.footer_cap = at_least("footer_cap", footer_cap, 8)
        self._files: dict[str, _s3dlio.ParquetFile] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), (self.col_indices, self.footer_cap)

    def __len__(self) -> int:
        """Files that are known."""
        return len(self._files)

    def ensure_indexed(self, uris: Iterable[str], epoch: int = 0, batch_size: int = 16) -> int:
        """Read the footers that are not known yet, ``batch_size`` files at the same time.

        Args:
            uris: The files.
            epoch: For the callers' own count: what an earlier epoch has read is kept, whatever the number.
            batch_size: Files that are opened at the same time.

        Returns:
            The number of footers that were read.

        Raises:
            As :class:`ParquetDataSource`.
        """
        at_least("epoch", epoch, 0)
        missing = [uri for uri in dict.fromkeys(uris) if uri not in self._files]
        if missing:
            names, at_once = [as_uri(uri) for uri in missing], at_least("batch_size", batch_size, 1)
            opened = _s3dlio.ParquetFile.open_many(names, self.col_indices, self.footer_cap, at_once).wait()
            self._files.update(zip(missing, opened, strict=True))
        return len(missing)

    def file_rg_count(self, uri: str) -> int | None:
        """Return the number of row groups of a file; ``None`` for one that is not known."""
        file = self._files.get(uri)
        return None if file is None else len(file.rows()) - 1

    def rg_range(self, uri: str, rg_idx: int) -> tuple[int, int]:
        """Return offset and length of a row group, or of the part of it that holds the columns of the index.

        Raises:
            KeyError: The file is not known.
            OutOfRangeError: It has no such row group.
        """
        return self._file(uri).range(rg_idx)

    def rg_lookup(self, uri: str, row: int) -> tuple[int, int, int]:
        """Return the row group that holds a row, and its offset and length; of rows behind the end the last group.

        Raises:
            KeyError: The file is not known.
            OutOfRangeError: It has no row group at all.
        """
        file = self._file(uri)
        group = file.group_of(row)
        return group, *file.range(group)

    def _file(self, uri: str) -> _s3dlio.ParquetFile:
        try:
            return self._files[uri]
        except KeyError:
            message = f"{uri} is not known to the index: call `ensure_indexed` with it"
            raise KeyError(message) from None


def _group(
    uri: str, rg_idx: int, columns: Iterable[Column] | None, footer_cap: int, decode: Decode
) -> _s3dlio.Operation[BytesView]:
    cap, number = at_least("footer_cap", footer_cap, 8), at_least("rg_idx", rg_idx, 0)
    return _s3dlio.parquet_group(as_uri(uri), number, _columns(columns), cap, decode)


def parquet_get_rg(
    uri: str,
    rg_idx: int,
    col_indices: Iterable[Column] | None = None,
    footer_cap: int = FOOTER_CAP,
    decode: Decode = "raw",
) -> BytesView:
    """Read a row group, or some columns of it; the footers of files read before are known to the process.

    Args:
        uri: The file.
        rg_idx: The number of the group, from 0.
        col_indices: Names or numbers of the columns at the root; all, if left out.
        footer_cap: Bytes of the end of a file that are read first.
        decode: ``"raw"`` for the bytes as they are stored, or ``"arrow"`` for one record batch as an Arrow IPC stream,
            which ``pyarrow.ipc.open_stream`` reads.

    Raises:
        NotFoundError: There is no such file.
        OutOfRangeError: It has no such row group.
        CorruptDataError: It is damaged, or none of Parquet.
        UnsupportedError: It is encrypted, or would take more than 16 GiB.
        ConfigError: It has no such column, or an option is out of range.
    """
    return _group(uri, rg_idx, col_indices, footer_cap, decode).wait()


async def parquet_get_rg_async(
    uri: str,
    rg_idx: int,
    col_indices: Iterable[Column] | None = None,
    footer_cap: int = FOOTER_CAP,
    decode: Decode = "raw",
) -> BytesView:
    """As :func:`parquet_get_rg`, from a coroutine."""
    return await aio.result(_group(uri, rg_idx, col_indices, footer_cap, decode))


def parquet_rg_row_offsets(uri: str) -> list[int]:
    """Return the first row of each row group, and behind the last one the number of rows.

    Raises:
        NotFoundError, CorruptDataError, UnsupportedError: As :func:`parquet_get_rg`.
    """
    return _s3dlio.parquet_rows(as_uri(uri), FOOTER_CAP).wait()


def parquet_cache_len() -> int:
    """Return the number of footers that this process keeps (256 MiB at most)."""
    return _s3dlio.parquet_footers()


def parquet_cache_clear() -> None:
    """Forget all footers."""
    _s3dlio.parquet_forget(None)


def parquet_cache_invalidate(uri: str) -> bool:
    """Forget the footer of a file; whether it was known. Files that changed are noticed without it."""
    return _s3dlio.parquet_forget(as_uri(uri))


Schema: TypeAlias = Iterable[tuple[str, int]]


def _plan(columns: Schema, rows_per_rg: int, num_row_groups: int) -> tuple[list[tuple[str, int]], int, int, int]:
    widths = [(name, at_least(f"columns[{name!r}]", width, 1)) for name, width in columns]
    rows, groups = at_least("rows_per_rg", rows_per_rg, 1), at_least("num_row_groups", num_row_groups, 1)
    return widths, rows, groups, secrets.randbits(64)


def _numbered(num_cols: int) -> Schema:
    return [(f"col{number}", 1) for number in range(at_least("num_cols", num_cols, 1))]


def generate_parquet_bytes_schema(columns: Schema, rows_per_rg: int, num_row_groups: int) -> BytesView:
    """Make a file of random numbers in memory, another one at each call.

    Args:
        columns: Name and width of each: of width 1 it is a ``float32``, otherwise a list of so many in each row.
        rows_per_rg: Rows of each row group.
        num_row_groups: Row groups.

    Raises:
        ConfigError: There is no column, or a number is out of range.
    """
    return _s3dlio.generate_parquet(*_plan(columns, rows_per_rg, num_row_groups)).wait()


def generate_parquet_bytes(num_cols: int, rows_per_rg: int, num_row_groups: int) -> BytesView:
    """As :func:`generate_parquet_bytes_schema`, of columns ``col0``, ``col1`` and so on of one ``float32`` each."""
    return generate_parquet_bytes_schema(_numbered(num_cols), rows_per_rg, num_row_groups)


def generate_and_write_parquet_schema_streaming(
    uri: str, columns: Schema, rows_per_rg: int, num_row_groups: int
) -> None:
    """Write a file of random numbers while it is made: one row group and a few parts of the upload are in memory.

    Raises:
        ConfigError: As :func:`generate_parquet_bytes_schema`.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed; nothing is then
            under the name that was not there before.
    """
    _s3dlio.write_parquet(as_uri(uri), *_plan(columns, rows_per_rg, num_row_groups)).wait()


generate_and_write_parquet_schema = generate_and_write_parquet_schema_streaming


def generate_and_write_parquet(uri: str, num_cols: int, rows_per_rg: int, num_row_groups: int) -> None:
    """As :func:`generate_and_write_parquet_schema_streaming`, of columns ``col0``, ``col1`` and so on."""
    generate_and_write_parquet_schema_streaming(uri, _numbered(num_cols), rows_per_rg, num_row_groups)
