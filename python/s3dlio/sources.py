"""Where the records of a data set come from: whole objects, or the records of files."""

from __future__ import annotations

import itertools
import operator
import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from s3dlio import _s3dlio
from s3dlio.arguments import as_uri
from s3dlio.array_record.array_record_data_source import ArrayRecordDataSource
from s3dlio.array_record.instructions import spans
from s3dlio.errors import ConfigError
from s3dlio.parquet import ParquetDataSource
from s3dlio.tfrecord.source import TFRecordDataSource

__all__ = ["FORMATS", "Data", "Named", "files_of", "open_source", "positions"]

Data: TypeAlias = str | Iterable[str] | ArrayRecordDataSource | ParquetDataSource | TFRecordDataSource
"""What a data set is made of."""

FORMATS = ("objects", "auto", "array_record", "parquet", "tfrecord", "npz")
"""Values of the option ``format``."""

# A shard's number may follow the ending: "train.tfrecord-00000-of-00010".
_ENDINGS = {
    "array_record": re.compile(r"\.(array_?record)(-\d+-of-\d+)?$"),
    "parquet": re.compile(r"\.parquet$"),
    "tfrecord": re.compile(r"\.tfrecords?(-\d+-of-\d+)?$"),
}


class Named:
    """What is made from a prefix by its constructor, and by two names of earlier releases."""

    if TYPE_CHECKING:

        def __init__(self, uri: Any, **options: Any) -> None: ...

    @classmethod
    def from_prefix(cls, uri: str, **options: Any) -> Self:
        """As the constructor."""
        return cls(uri, **options)

    @classmethod
    def from_uris(cls, uris: Iterable[str], **options: Any) -> Self:
        """Make it from these objects in this order."""
        return cls([*uris], **options)


def positions(indices: Iterable[int], length: int) -> list[int]:
    """Return numbers of records as they count from the first one; negative ones count from the end.

    Raises:
        IndexError: There is no record of one of these numbers.
        TypeError: One is no integer.
    """
    found = [operator.index(index) for index in indices]
    if wrong := [index for index in found if not -length <= index < length]:
        message = f"index {wrong[0]} is out of range: the data set has {length} records"
        raise IndexError(message)
    return [index % length for index in found]


def open_source(
    data: Data,
    pattern: str | None,
    format: str,  # noqa: A002
    access: tuple[int, int],
    index: str | os.PathLike[str] | None = None,
) -> _s3dlio.Objects:
    """Open what ``data`` names.

    Args:
        data: A URI, several, or a data source of this package.
        pattern: A glob on the key below a prefix or on its last segment.
        format: One of :data:`FORMATS`.
        access: How whole objects are read: bytes of a range request, and ranges of one object in flight.
        index: Where a listing of whole objects is kept.

    Raises:
        ConfigError: ``format`` is none of these or does not go with ``data``, ``"auto"`` finds files of several, or an
            index is asked for where nothing is listed.
    """
    if index is not None and (format != "objects" or not isinstance(data, str)):
        message = f"option `index`: found with format {format!r}, expected one URI to list and format 'objects'"
        raise ConfigError(message)
    if format not in FORMATS:
        message = f"option `format`: found {format!r}, expected one of {FORMATS}"
        raise ConfigError(message)
    if isinstance(data, ArrayRecordDataSource | ParquetDataSource | TFRecordDataSource):
        return _of_source(data, pattern, format)
    if format == "objects":
        return _objects(data, pattern, access, index)
    if format == "auto":
        found = _objects(data, pattern, access)
        names = [found.uri(index) for index in range(len(found))]
        format = _detect(names)  # noqa: A001
        return found if format == "objects" else _records(names, format)
    return _records(_files(data, pattern, access, format), format)


def _objects(
    data: str | Iterable[str],
    pattern: str | None,
    access: tuple[int, int],
    index: str | os.PathLike[str] | None = None,
) -> _s3dlio.Objects:
    if isinstance(data, str):
        return _s3dlio.Objects.below(data, pattern, *access, None if index is None else as_uri(index)).wait()
    if pattern is not None:
        message = "`pattern` selects below a prefix: with a list of URIs, select before you pass it"
        raise TypeError(message)
    return _named(data, access)


# Texts handed over at once: few beside what the core keeps of ten million.
_TEXTS = 10_000


def _named(uris: Iterable[str], access: tuple[int, int]) -> _s3dlio.Objects:
    names, rest = _s3dlio.UriList(), iter(uris)
    while some := [*itertools.islice(rest, _TEXTS)]:
        names.extend(some)
    return names.finish(*access).wait()


def _of_source(
    data: ArrayRecordDataSource | ParquetDataSource | TFRecordDataSource,
    pattern: str | None,
    format: str,  # noqa: A002
) -> _s3dlio.Objects:
    own = "tfrecord"
    if not isinstance(data, TFRecordDataSource):
        own = "parquet" if isinstance(data, ParquetDataSource) else "array_record"
    if pattern is not None or format not in {"objects", "auto", own}:
        message = (
            f"option `format`: found {format!r}, pattern {pattern!r}, expected {own!r} and none: a data source has both"
        )
        raise ConfigError(message)
    if isinstance(data, ArrayRecordDataSource):
        return _s3dlio.Objects.array_records([(as_uri(name), start, end) for name, start, end in data.spans()]).wait()
    return data.objects if isinstance(data, ParquetDataSource) else _tfrecords(data)


def _tfrecords(data: TFRecordDataSource) -> _s3dlio.Objects:
    return _s3dlio.Objects.tfrecords(data.pack(), data.verify).wait()


def _detect(names: Sequence[str]) -> str:
    kinds = {name: kind for name in names for kind, ending in _ENDINGS.items() if ending.search(name)}
    formats = {*kinds.values()}
    # An index lies beside its file and belongs to it.
    others = [name for name in names if name not in kinds and not name.endswith(".idx")]
    if not formats:
        return "objects"
    if len(formats) == 1 and not others:
        return formats.pop()
    one, other = next(iter(kinds)), others[0] if others else [*kinds][-1]
    message = f"option `format`: found 'auto' for files of several formats ({one}, {other}), expected a format's name"
    raise ConfigError(message)


def _files(data: str | Iterable[str], pattern: str | None, access: tuple[int, int], format: str) -> list[str]:  # noqa: A002
    if not isinstance(data, str):
        if pattern is not None:
            message = "`pattern` selects below a prefix: with a list of URIs, select before you pass it"
            raise TypeError(message)
        return [*data]
    directory = data.endswith("/") or ("://" not in data and os.path.isdir(data))  # noqa: PTH112
    if data.startswith(("file://", "direct://")):
        directory = directory or os.path.isdir(data.partition("://")[2])  # noqa: PTH112
    if pattern is None and not directory:
        return [data]
    found = _s3dlio.Objects.below(as_uri(data), pattern, *access).wait()
    names = [found.uri(index) for index in range(len(found))]
    return [name for name in names if not _beside(name, format)]


def _beside(name: str, format: str) -> bool:  # noqa: A002
    """Whether a file belongs to the others of its folder: an index, or what writers of tables leave behind."""
    if format == "parquet":
        return name.rpartition("/")[2].startswith(("_", "."))
    return format == "tfrecord" and name.endswith(".idx")


def files_of(data: str | Iterable[str], pattern: str | None, format: str) -> list[str]:  # noqa: A002
    """Return the URIs of the files that ``data`` names, as :func:`open_source` finds them.

    Raises:
        NotFoundError: Nothing fits.
    """
    names = [uri for name in _files(data, pattern, (1 << 62, 1), format) for uri in _globbed(as_uri(name))]
    if not names:
        message = "option `data`: found no file, expected at least one"
        raise ConfigError(message)
    return names


def _globbed(uri: str) -> list[str]:
    if "*" not in uri:
        return [uri]
    found = _s3dlio.Objects.below(uri, None, 1 << 62, 1).wait()
    return [found.uri(index) for index in range(len(found))]


def _records(names: list[str], format: str) -> _s3dlio.Objects:  # noqa: A002
    if format == "tfrecord":
        return _tfrecords(TFRecordDataSource(names))
    if format == "array_record":
        parts: list[Any] = [(as_uri(part.filename), part.start, part.end) for part in spans(names)]
        return _s3dlio.Objects.array_records(parts).wait()
    if format == "parquet":
        return ParquetDataSource([uri for name in names for uri in _globbed(as_uri(name))]).objects
    archives = [uri for name in names for uri in _globbed(as_uri(name))]
    return _s3dlio.Objects.npz_members(archives, []).wait()
