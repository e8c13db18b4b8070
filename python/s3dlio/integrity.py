"""Whether files of records and arrays are as they were written, and what is left of those that are not.

The formats are ``array_record``, ``disky``, ``tfrecord`` (plain, gzip, zlib), ``npz`` and ``npy``. Every path is a URI
or a local path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Self

from s3dlio import _s3dlio, aio
from s3dlio.arguments import as_uri

__all__ = ["FileFault", "RecoveredRecords", "VerifyReport", "recover", "verify", "verify_async"]


@dataclass(frozen=True, slots=True)
class FileFault:
    """Something that is wrong with a file.

    Attributes:
        offset: The byte where it is; ``None`` where that is not known. Of a compressed TFRecord file bytes are counted
            as they are decompressed.
        lost: The bytes that cannot be read for it; empty where it costs no record.
        detail: What was found, and what was expected.
    """

    offset: int | None
    lost: range
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of a file has found.

    Attributes:
        uri: The file.
        format: Its format.
        size: Its bytes.
        chunks: Chunks of records that are whole; 0 in formats without chunks.
        records: Records, or arrays, that are whole.
        record_bytes: Bytes of these.
        num_faults: How many things are wrong.
        faults: The first ten thousand of them, in the order of the check.
    """

    uri: str
    format: str
    size: int
    chunks: int
    records: int
    record_bytes: int
    num_faults: int
    faults: tuple[FileFault, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.num_faults == 0


def _report(found: tuple[str, str, int, int, int, int, int, list[tuple[int | None, int, int, str]]]) -> VerifyReport:
    uri, kind, size, chunks, records, record_bytes, num_faults, faults = found
    return VerifyReport(uri, kind, size, chunks, records, record_bytes, num_faults, _faults(faults))


def _faults(told: list[tuple[int | None, int, int, str]]) -> tuple[FileFault, ...]:
    return tuple(FileFault(offset, range(start, end), detail) for offset, start, end, detail in told)


def verify(uri: str | PathLike[str], format: str | None = None) -> VerifyReport:  # noqa: A002 - what it is
    """Check every hash and checksum of a file, in bounded memory.

    Of ArrayRecord and Disky all hashes are compared and all chunks decoded, of the former the index is held against the
    chunks; of TFRecord both checksums of every record are compared, of NPZ headers and checksum of every member. NPY
    has no checksum: its header and its length are looked at.

    Args:
        uri: The file.
        format: ``array_record``, ``disky``, ``tfrecord``, ``npz`` or ``npy``; its content tells, or its name where
            that is damaged, if ``None``.

    Raises:
        ConfigError: There is no such format.
        UnsupportedError: The file is of none of these formats, or is an array that needs pickle.
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The store refused or failed.
    """
    return _report(_s3dlio.verify_file(as_uri(uri), format).wait())


async def verify_async(uri: str | PathLike[str], format: str | None = None) -> VerifyReport:  # noqa: A002 - what it is
    """As :func:`verify`."""
    return _report(await aio.result(_s3dlio.verify_file(as_uri(uri), format)))


class RecoveredRecords(Iterator[bytes]):
    """The records of a damaged file that are whole, in file order, each as ``bytes``.

    It is read once, from front to back, and belongs to the process that opened it.
    """

    def __init__(self, uri: str | PathLike[str], format: str | None = None) -> None:  # noqa: A002 - what it is
        self._records = _s3dlio.SalvagedRecords.open(as_uri(uri), format).wait()
        self._batch: Iterator[bytes] = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        for record in self._batch:
            return record
        self._batch = iter(self._records.batch().wait())
        return next(self._batch)

    @property
    def faults(self) -> tuple[FileFault, ...]:
        """What was found to be wrong so far, the first ten thousand faults; complete at the end of the iteration."""
        return _faults(self._records.faults())

    @property
    def num_faults(self) -> int:
        """How many things were found to be wrong so far."""
        return self._records.num_faults()


def recover(uri: str | PathLike[str], format: str | None = None) -> RecoveredRecords:  # noqa: A002 - what it is
    """Read what is whole of a damaged file of records; damage is noted, and never raises.

    Of ArrayRecord and Disky that is every chunk whose hashes are right: behind a broken one the index, or else the next
    block, tells where to go on. Of TFRecord it is every record whose checksums are right; behind a damaged length the
    next record is searched for. A record that is returned is one that was written.

    Args:
        uri: The file.
        format: As for :func:`verify`, but without the formats of arrays.

    Raises:
        ConfigError, UnsupportedError, NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: As
            :func:`verify`; the errors of the store also while iterating.
    """
    return RecoveredRecords(uri, format)
