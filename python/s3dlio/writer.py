"""Streaming writers: objects of any size, made piece by piece in bounded memory.

The object appears under its name when the writer is finished, whole; a writer that is aborted, dropped or fails leaves
what was there before. See docs/writers.md.
"""

from __future__ import annotations

import atexit
import contextlib
import difflib
import io
import operator
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsIndex, TypedDict, overload

from s3dlio import _s3dlio, aio
from s3dlio.errors import ConfigError, InvalidUriError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "MultipartResult",
    "MultipartUploadWriter",
    "PyObjectWriter",
    "PyWriterOptions",
    "WriterStats",
    "create_azure_writer",
    "create_direct_filesystem_writer",
    "create_filesystem_writer",
    "create_gcs_writer",
    "create_s3_writer",
    "create_writer",
]


def _size(option: str, value: int | None) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        message = f"option `{option}`: found {value!r}, expected an integer or None"
        raise TypeError(message)
    if number < 1:
        message = f"option `{option}`: found {number}, expected at least 1"
        raise ConfigError(message)
    return number


class PyWriterOptions:
    """How a writer works; set by keyword, by attribute or by method, each checked at once.

    Attributes:
        compression: ``"none"`` (default), ``"zstd"``, ``"gzip"`` or ``"lz4"``. The object's name gets ``.zst``, ``.gz``
            or ``.lz4`` appended unless it ends with it.
        compression_level: 1 to 22 for zstd (default 3), 1 to 9 for gzip (default 6), None for lz4.
        chunk_size: Bytes that go to the store together; None means 16 MiB. S3 and Google Cloud Storage accept no less
            than 5 MiB, and elsewhere less than 256 KiB would be slow: smaller chunks are gathered up to that.
        buffer_size: Bytes of memory for chunks that are being filled or on their way; None means 8 of them. At least
            one is always held.
        content_type: The media type that a network store is told.
    """

    __slots__ = ("_buffer_size", "_chunk_size", "_compression", "_compression_level", "_content_type")

    def __init__(
        self,
        *,
        compression: str = "none",
        compression_level: int | None = None,
        chunk_size: int | None = None,
        buffer_size: int | None = None,
        content_type: str | None = None,
    ) -> None:
        self.with_compression(compression, compression_level)
        self.chunk_size = chunk_size
        self.buffer_size = buffer_size
        self.content_type = content_type

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name):
            near = difflib.get_close_matches(name, [slot[1:] for slot in self.__slots__], 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            message = f"unknown option `{name}`{hint}"
            raise ConfigError(message)
        super().__setattr__(name, value)

    @property
    def compression(self) -> str:
        """The method."""
        return self._compression

    @compression.setter
    def compression(self, method: str) -> None:
        _s3dlio.check_compression(method, None)
        self._compression = method

    @property
    def compression_level(self) -> int | None:
        """The level; None means the default of the method."""
        return self._compression_level

    @compression_level.setter
    def compression_level(self, level: int | None) -> None:
        # The method may be set later, so this takes what any method takes; opening a writer checks the two together.
        if level is not None:
            _s3dlio.check_compression("zstd", level)
        self._compression_level = level

    @property
    def chunk_size(self) -> int | None:
        """Bytes that go to the store together."""
        return self._chunk_size

    @chunk_size.setter
    def chunk_size(self, size: int | None) -> None:
        self._chunk_size = _size("chunk_size", size)

    @property
    def buffer_size(self) -> int | None:
        """Bytes of memory."""
        return self._buffer_size

    @buffer_size.setter
    def buffer_size(self, size: int | None) -> None:
        self._buffer_size = _size("buffer_size", size)

    @property
    def content_type(self) -> str | None:
        """The media type."""
        return self._content_type

    @content_type.setter
    def content_type(self, kind: str | None) -> None:
        self._content_type = kind

    def with_compression(self, method: str, level: int | None = None) -> Self:
        """Set method and level together; changes and returns these options.

        Raises:
            ConfigError: The method is unknown, or the level is outside its range.
        """
        _s3dlio.check_compression(method, level)
        self._compression = method
        self._compression_level = level
        return self

    def with_buffer_size(self, size: int) -> Self:
        """Set ``buffer_size``; changes and returns these options."""
        self.buffer_size = size
        return self

    def with_chunk_size(self, size: int) -> Self:
        """Set ``chunk_size``; changes and returns these options."""
        self.chunk_size = size
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the options by name; ``PyWriterOptions(**options.to_dict())`` equals them."""
        return {name[1:]: getattr(self, name) for name in self.__slots__}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PyWriterOptions) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items() if value is not None)
        return f"PyWriterOptions({given})"


class WriterStats(tuple[int, int]):  # noqa: SLOT001 - a tuple cannot have slots of its own
    """``(bytes_written, compressed_bytes)`` of a finished writer, which also answers to names.

    Keys: ``bytes_written``, ``compressed_bytes``, ``compressed_size`` (the same), ``checksum``, ``parts``, ``etag``.
    """

    _named: dict[str, Any]

    def __new__(cls, figures: tuple[int, int, str, int, str | None]) -> Self:
        """Take the figures as the core gives them."""
        self = super().__new__(cls, figures[:2])
        written, compressed, checksum, parts, etag = figures
        self._named = {
            "bytes_written": written,
            "compressed_bytes": compressed,
            "compressed_size": compressed,
            "checksum": checksum,
            "parts": parts,
            "etag": etag,
        }
        return self

    @property
    def bytes_written(self) -> int:
        """Bytes that were given to the writer."""
        return self[0]

    @property
    def compressed_bytes(self) -> int:
        """Bytes of the object; the same number without compression."""
        return self[1]

    @property
    def checksum(self) -> str:
        """``crc32c:`` and eight hexadecimal digits, of the bytes as they were given."""
        return str(self._named["checksum"])

    @property
    def parts(self) -> int:
        """Requests that carried the body."""
        return int(self._named["parts"])

    @property
    def etag(self) -> str | None:
        """The entity tag of the object, where the store tells."""
        etag: str | None = self._named["etag"]
        return etag

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[int, ...]: ...
    @overload
    def __getitem__(self, key: str, /) -> Any: ...
    def __getitem__(self, key: SupportsIndex | slice | str, /) -> Any:
        return self._named[key] if isinstance(key, str) else super().__getitem__(key)

    def __contains__(self, key: object, /) -> bool:
        return key in self._named if isinstance(key, str) else super().__contains__(key)

    def keys(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._named)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a name."""
        return self._named.get(key, default)

    def __reduce__(self) -> tuple[Any, ...]:
        named = self._named
        figures = (named["bytes_written"], named["compressed_bytes"], self.checksum, self.parts, self.etag)
        return WriterStats, (figures,)

    def __repr__(self) -> str:
        return f"WriterStats({self._named})"


class MultipartResult(TypedDict):
    """What :meth:`MultipartUploadWriter.close` returns; times are RFC 3339 in UTC."""

    etag: str | None
    total_bytes: int
    parts: int
    started_at: str
    completed_at: str


_open: weakref.WeakSet[_Stream] = weakref.WeakSet()


@atexit.register
def _abort_all() -> None:
    """Remove the parts of writers that the program leaves unfinished."""
    for stream in [*_open]:
        with contextlib.suppress(Exception):
            stream.abort()


class _Stream:
    """What both writers share: enough of a binary file for ``torch.save``, ``pickle.dump`` and ``numpy.save``.

    No ``io.IOBase``: that finishes a file when it is collected, and an object must not be finished by accident.
    """

    def __init__(self, native: _s3dlio.Writer, keep_parts: bool = False) -> None:
        self._native = native
        self._aborted = False
        if not keep_parts:
            _open.add(self)

    @property
    def uri(self) -> str:
        """The object being written, with the extension of its compression."""
        return self._native.uri

    @property
    def closed(self) -> bool:
        """Whether the writer takes no more: it is finished, aborted or has failed."""
        return self._native.closed

    @property
    def name(self) -> str:
        """The URI, under the name that files have for it."""
        return self._native.uri

    @property
    def mode(self) -> str:
        """``"wb"``."""
        return "wb"

    def write(self, data: Buffer) -> int:
        """Take the next bytes (any contiguous buffer) and return their number.

        The bytes are copied: the buffer may change afterwards. Waits while as many parts are on their way as the
        memory limit allows.

        Raises:
            TypeError: ``data`` has no buffer.
            ForkedProcessError: The writer was opened in the parent of this process.
            PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed, for these
                bytes or earlier ones; the writer is then of no more use, and so it is after Ctrl-C in this call.
        """
        return self._native.write(data, awaits=False).wait()

    async def write_async(self, data: Buffer) -> int:
        """As :meth:`write`; calls must be awaited one after another to keep their order."""
        return await aio.result(self._native.write(data, awaits=True))

    def flush(self) -> None:
        """Wait until the store has confirmed all full parts; what is less than a part stays here."""
        self._native.flush().wait()

    async def flush_async(self) -> None:
        """As :meth:`flush`."""
        await aio.result(self._native.flush())

    def abort(self) -> None:
        """Give the object up and remove its parts; what was there before stays.

        Raises:
            UnsupportedError: The writer is finished.
            ForkedProcessError: The writer was opened in the parent of this process.
        """
        self._native.abort().wait()
        self._aborted = True

    async def abort_async(self) -> None:
        """As :meth:`abort`."""
        await aio.result(self._native.abort())
        self._aborted = True

    def bytes_written(self) -> int:
        """Return the number of bytes taken so far."""
        return self._native.bytes_written

    def checksum(self) -> str:
        """Return ``crc32c:`` and eight hexadecimal digits, of the bytes taken so far."""
        return self._native.checksum

    def tell(self) -> int:
        """Return the number of bytes taken so far."""
        return self._native.bytes_written

    def writable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False."""
        return False

    def read(self, size: int = -1) -> NoReturn:  # noqa: ARG002 - the signature of files
        """Raise, as files do that are open for writing only; ``numpy.savez`` looks for it."""
        message = "not readable"
        raise io.UnsupportedOperation(message)

    def _give_up(self) -> None:
        # The exception that ended the block is the one worth reporting.
        with contextlib.suppress(Exception):
            self.abort()

    async def _give_up_async(self) -> None:
        with contextlib.suppress(Exception):
            await self.abort_async()

    def __enter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        message = f"a writer cannot be pickled: it holds an upload of this process; open one for {self.uri} there"
        raise TypeError(message)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.bytes_written()} bytes"
        return f"<{type(self).__name__} {self.uri} ({state})>"


class PyObjectWriter(_Stream):
    """Writes one object piece by piece.

    As a context manager it finishes the object at the end of the block, and aborts it on an exception.

    Raises:
        InvalidUriError: Not a URI, or one of a directory.
        ConfigError: The options do not fit together or the store.
    """

    def __init__(self, uri: str, options: PyWriterOptions | None = None) -> None:
        if not isinstance(options, PyWriterOptions | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            message = f"options: found {options!r}, expected PyWriterOptions or None"
            raise TypeError(message)
        super().__init__(_s3dlio.Writer(uri, **(options or PyWriterOptions()).to_dict()))
        self._stats: WriterStats | None = None

    def write_chunk(self, data: Buffer) -> int:
        """As :meth:`write`."""
        return self.write(data)

    async def write_chunk_async(self, data: Buffer) -> int:
        """As :meth:`write_async`."""
        return await self.write_async(data)

    def write_owned_bytes(self, data: Buffer) -> int:
        """As :meth:`write`."""
        return self.write(data)

    def compressed_bytes(self) -> int:
        """Return the bytes put out so far; the size of the object once it is finished."""
        return self._native.compressed_bytes

    def finalize(self) -> WriterStats:
        """Send the rest and make the object visible.

        Raises:
            PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed; there is no
                new object then. A second call is an error too.
        """
        self._stats = WriterStats(self._native.finish(awaits=False).wait())
        return self._stats

    async def finalize_async(self) -> WriterStats:
        """As :meth:`finalize`."""
        self._stats = WriterStats(await aio.result(self._native.finish(awaits=True)))
        return self._stats

    def close(self) -> None:
        """Finish the object, unless it is finished or aborted."""
        if self._stats is None and not self._aborted:
            self.finalize()

    async def close_async(self) -> None:
        """As :meth:`close`."""
        if self._stats is None and not self._aborted:
            await self.finalize_async()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close() if kind is None else self._give_up()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await (self.close_async() if kind is None else self._give_up_async())


def _now() -> str:
    return datetime.now(UTC).isoformat()


class MultipartUploadWriter(_Stream):
    """Writes one object in parts of an exact size; ``MultipartUploadWriter("bucket", "key")`` is one of S3.

    Args:
        bucket: The bucket.
        key: The key.
        part_size: Bytes of each part but the last; None means 16 MiB. S3 and Google Cloud Storage accept 5 MiB and
            more.
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
            part_size=_size("part_size", part_size),
            max_in_flight=_size("max_in_flight", max_in_flight),
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
        if len(self._reserved) != (_size("size", size) or 0):
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
            self._give_up()
        elif not self._aborted:
            self.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            await self._give_up_async()
        elif not self._aborted:
            await self.close_async()


def _expect(uri: str, *schemes: str) -> str:
    if not uri.startswith(schemes):
        expected = " or ".join(schemes)
        message = f"invalid URI {uri!r}: this writer expects {expected} (create_writer takes every scheme)"
        raise InvalidUriError(message, uri=uri)
    return uri


def create_writer(uri: str, options: PyWriterOptions | None = None) -> PyObjectWriter:
    """Begin to write an object of any scheme; see :class:`PyObjectWriter`."""
    return PyObjectWriter(uri, options)


def create_s3_writer(uri: str, options: PyWriterOptions | None = None) -> PyObjectWriter:
    """Begin to write an ``s3://`` object; see :class:`PyObjectWriter`."""
    return PyObjectWriter(_expect(uri, "s3://"), options)


def create_gcs_writer(uri: str, options: PyWriterOptions | None = None) -> PyObjectWriter:
    """Begin to write a ``gs://`` object; see :class:`PyObjectWriter`."""
    return PyObjectWriter(_expect(uri, "gs://", "gcs://"), options)


def create_azure_writer(uri: str, options: PyWriterOptions | None = None) -> PyObjectWriter:
    """Begin to write an ``az://`` object; see :class:`PyObjectWriter`."""
    return PyObjectWriter(_expect(uri, "az://"), options)


def create_filesystem_writer(uri: str, options: PyWriterOptions | None = None) -> PyObjectWriter:
    """Begin to write a ``file://`` object; see :class:`PyObjectWriter`."""
    return PyObjectWriter(_expect(uri, "file://"), options)


def create_direct_filesystem_writer(uri: str, options: PyWriterOptions | None = None) -> PyObjectWriter:
    """Begin to write a file past the page cache, named by ``direct://`` or ``file://``; see :class:`PyObjectWriter`."""
    path = _expect(uri, "direct://", "file://").split("://", 1)[1]
    return PyObjectWriter(f"direct://{path}", options)
