"""Uploads in parts whose size and number in flight the caller chooses."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypedDict

from s3dlio import _s3dlio, aio
from s3dlio.errors import ConfigError
from s3dlio.writer import ObjectStream
from s3dlio.writer_options import WriterStats, at_least_one

__all__ = ["MultipartResult", "MultipartUploadWriter"]


class MultipartResult(TypedDict):
    """What :meth:`MultipartUploadWriter.close` returns; times are RFC 3339 in UTC."""

    etag: str | None
    total_bytes: int
    parts: int
    started_at: str
    completed_at: str


def _now() -> str:
    return datetime.now(UTC).isoformat()


class MultipartUploadWriter(ObjectStream):
    """Writes one object in parts of an exact size; ``MultipartUploadWriter("bucket", "key")`` is one of S3.

    Args:
        bucket: The bucket.
        key: The key.
        part_size: Bytes of each part but the last; None means 16 MiB, and 4 MiB for files. S3 and Google Cloud Storage
            accept 5 MiB and more.
        max_in_flight: Parts in memory; None means 8.
        content_type: The media type that the store is told.
        abort_on_drop: False leaves the parts of a writer that is dropped unfinished in the store.

    As a context manager it finishes the object at the end of the block and raises if that fails; it aborts on an
    exception.
    """

    def __init__(  # noqa: PLR0917 - the documented order
        self,
        bucket: str,
        key: str,
        part_size: int | None = None,
        max_in_flight: int | None = None,
        content_type: str | None = None,
        abort_on_drop: bool | None = None,
    ) -> None:
        self._start(f"s3://{bucket}/{key}", part_size, max_in_flight, content_type, abort_on_drop)

    def _start(
        self,
        uri: str,
        part_size: int | None,
        max_in_flight: int | None,
        content_type: str | None,
        abort_on_drop: bool | None,
    ) -> None:
        native = _s3dlio.Writer(
            uri,
            part_size=at_least_one("part_size", part_size),
            max_in_flight=at_least_one("max_in_flight", max_in_flight),
            content_type=content_type,
            keep_parts=abort_on_drop is False,
        )
        super().__init__(native, abort_on_drop is False)
        self._started_at = _now()
        self._reserved = bytearray()
        self._result: MultipartResult | None = None

    @classmethod
    def from_uri(
        cls,
        uri: str,
        part_size: int | None = None,
        max_in_flight: int | None = None,
        content_type: str | None = None,
        abort_on_drop: bool | None = None,
    ) -> Self:
        """Write the object of a URI of any scheme."""
        self = cls.__new__(cls)
        self._start(uri, part_size, max_in_flight, content_type, abort_on_drop)
        return self

    def reserve(self, size: int) -> memoryview:
        """Return memory for the next ``size`` bytes, to be filled and then given to :meth:`commit`.

        The view keeps its memory alive, but what is in it after :meth:`commit` or another call of this is not kept.
        """
        if len(self._reserved) != (at_least_one("size", size) or 0):
            self._reserved = bytearray(size)
        return memoryview(self._reserved)

    def commit(self, size: int) -> int:
        """Write the first ``size`` bytes of the reserved memory and return their number.

        Raises:
            ConfigError: More than was reserved.
        """
        if not 0 <= size <= len(self._reserved):
            message = f"option `size`: found {size}, expected 0 to the {len(self._reserved)} bytes that are reserved"
            raise ConfigError(message)
        return self.write(memoryview(self._reserved)[:size])

    def _closed(self, figures: tuple[int, int, str, int, str | None]) -> MultipartResult:
        stats = WriterStats(figures)
        self._reserved = bytearray()
        self._result = {
            "etag": stats.etag,
            "total_bytes": stats.bytes_written,
            "parts": stats.parts,
            "started_at": self._started_at,
            "completed_at": _now(),
        }
        return self._result

    def close(self) -> MultipartResult:
        """Send the rest and make the object visible; a second call returns the same.

        Raises:
            PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed, or the
                writer was aborted; there is no new object then.
        """
        return self._result or self._closed(self._native.finish(awaits=False).wait())

    async def close_async(self) -> MultipartResult:
        """As :meth:`close`."""
        return self._result or self._closed(await aio.result(self._native.finish(awaits=True)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.give_up()
        elif not self._aborted:
            self.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            await self.give_up_async()
        elif not self._aborted:
            await self.close_async()
