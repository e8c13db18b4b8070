"""The records of TFRecord files by their number."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias, overload

from s3dlio import _s3dlio, aio, storage
from s3dlio._s3dlio import BytesView
from s3dlio.arguments import as_uri, from_first
from s3dlio.errors import ConfigError, NotFoundError
from s3dlio.tfrecord.example import Feature, parse_examples

__all__ = ["TFRecordDataSource"]

Path: TypeAlias = str | os.PathLike[str]
Index: TypeAlias = Path | Sequence[Path] | Literal[False] | None

_AT_ONCE = 1024
"""Records that an iteration reads together: enough that each request brings many, and a few megabytes of most."""


class TFRecordDataSource(Sequence[BytesView]):
    """The records of one or several TFRecord files by their number, through an index.

    Fits ``torch.utils.data.DataLoader`` and Grain's ``MapDataset.source``: it has a length, reads one record or (by
    ``__getitems__``) many with few requests, can be used in forked workers, and pickles with its index, so that no
    spawned worker has to look for it again. Records are views of what was read, without a copy.

    Args:
        paths: A path or URI, one with a ``*``, or several; their records follow each other in this order.
        index: The index of each file. If left out, it is read from the name of the file and ``.idx``, and where there
            is none made from the file's headers; ``False`` always does the latter.
        verify: Whether both checksums of each record are compared when it is read.

    Raises:
        NotFoundError: A file or an index that was named is not there, or nothing matches.
        CorruptDataError: An index is damaged or that of another file, or a file is damaged. Damage of a payload is seen
            when it is read.
        UnsupportedError: A file is compressed as a whole.
        ConfigError: There are not as many indexes as files.
    """

    def __init__(self, paths: Path | Iterable[Path], index: Index = None, *, verify: bool = True) -> None:
        self.verify = verify
        files = [*_files(paths)]
        self._native = _s3dlio.TfRecordFiles.open([*zip(files, _indexes(files, index), strict=True)], verify).wait()

    @classmethod
    def _rebuild(cls, files: list[tuple[str, bytes]], verify: bool) -> Self:
        self = cls.__new__(cls)
        self.verify = verify
        self._native = _s3dlio.TfRecordFiles.open(files, verify).wait()
        return self

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[list[tuple[str, bytes]], bool]]:
        return self._rebuild, (self.pack(), self.verify)

    def __len__(self) -> int:
        return len(self._native)

    @overload
    def __getitem__(self, index: int) -> BytesView: ...
    @overload
    def __getitem__(self, index: slice) -> list[BytesView]: ...
    def __getitem__(self, index: int | slice) -> BytesView | list[BytesView]:
        """Read one record, or those of a slice; negative numbers count from the end."""
        if isinstance(index, slice):
            return self._native.read([*range(*index.indices(len(self)))]).wait()
        return self._native.read([self._number(index)]).wait()[0]

    def __getitems__(self, indices: Iterable[int]) -> list[BytesView]:
        """Read several records with few requests; results in the order of ``indices``, which may repeat."""
        return self._native.read([self._number(index) for index in indices]).wait()

    async def get_items(self, indices: Iterable[int]) -> list[BytesView]:
        """As ``__getitems__``, from a coroutine."""
        return await aio.result(self._native.read([self._number(index) for index in indices]))

    def examples(self, indices: Iterable[int], features: Mapping[str, Feature] | None = None) -> dict[str, Any]:
        """Read several records and take them apart as :func:`parse_examples` does."""
        return parse_examples(self.__getitems__(indices), features)

    def __iter__(self) -> Iterator[BytesView]:
        """Iterate over the records in order, reading many at a time."""
        numbers = iter(range(len(self)))
        while some := [*itertools.islice(numbers, _AT_ONCE)]:
            yield from self._native.read(some).wait()

    def place(self, index: int) -> tuple[str, int, int]:
        """Return the URI of the file that holds a record, and the record's offset and size in it."""
        place = self._native.place(self._number(index))
        return ("", 0, 0) if place is None else place

    @property
    def uris(self) -> list[str]:
        """The files."""
        return [uri for uri, _, _ in self._native.pack()]

    def pack(self) -> list[tuple[str, bytes]]:
        """Return the files, each with its index in a form of this package, for a data set of these records."""
        return [(uri, packed) for uri, _, packed in self._native.pack()]

    def _number(self, index: int) -> int:
        return from_first("record", index, len(self))

    def __repr__(self) -> str:
        uris = self.uris
        first = f", first {uris[0]!r}" if uris else ""
        names = repr(uris[0]) if len(uris) == 1 else f"{len(uris)} files{first}"
        return f"TFRecordDataSource({names}, {len(self)} records)"


def _files(paths: Path | Iterable[Path]) -> Iterator[str]:
    if not isinstance(paths, str | os.PathLike):
        for path in paths:
            yield from _files(path)
        return
    uri = as_uri(paths)
    if "*" not in uri:
        yield uri
        return
    found = sorted(name for name in storage.list(uri) if not name.endswith((".idx", "/")))
    if not found:
        message = f"{uri}: nothing matches"
        raise NotFoundError(message, uri=uri)
    yield from found


def _indexes(files: list[str], index: Index) -> list[str | bool]:
    if index is None or index is False:
        return [index is None] * len(files)
    indexes = [index] if isinstance(index, str | os.PathLike) else [*index]
    if len(indexes) != len(files):
        message = f"option `index`: found {len(indexes)}, expected one for each of {len(files)} files"
        raise ConfigError(message)
    return [as_uri(path) for path in indexes]
