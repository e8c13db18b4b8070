"""Streaming writers: objects of any size, made piece by piece in bounded memory.

The object appears under its name when the writer is finished, whole; a writer that is aborted, dropped or fails leaves
what was there before. See docs/writers.md.
"""

from __future__ import annotations

import contextlib
import io
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from s3dlio import _s3dlio, aio
from s3dlio.errors import InvalidUriError
from s3dlio.process import abort_at_exit
from s3dlio.writer_options import PyWriterOptions, WriterStats

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "ObjectStream",
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


class ObjectStream:
    """What both writers share: enough of a binary file for ``torch.save``, ``pickle.dump`` and ``numpy.save``.

    No ``io.IOBase``: that finishes a file when it is collected, and an object must not be finished by accident.
    """

    def __init__(self, native: _s3dlio.Writer, keep_parts: bool = False) -> None:
        self._native = native
        self._aborted = False
        if not keep_parts:
            abort_at_exit(self)

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

        What can be changed is copied, so a buffer may change afterwards; ``bytes`` of 1 MiB and more are sent from
        where they are. Waits while as many parts are on their way as the memory limit allows.

        Raises:
            TypeError: ``data`` has no buffer.
            ForkedProcessError: The writer was opened in the parent of this process.
            PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed, for these
                bytes or earlier ones; the writer is then of no more use, and so it is after Ctrl-C in this call.
        """
        taken = self._native.write_small(data)
        return self._native.write(data, awaits=False).wait() if taken is None else taken

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
            StoreTimeoutError, StoreError: The parts could not be removed (within 5 seconds) and are left to the store's
                own rules.
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

    def give_up(self) -> None:
        """Abort without an error of its own."""
        # The exception that ended the block is the one worth reporting.
        with contextlib.suppress(Exception):
            self.abort()

    async def give_up_async(self) -> None:
        """As :meth:`give_up`."""
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


class PyObjectWriter(ObjectStream):
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
        self.close() if kind is None else self.give_up()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await (self.close_async() if kind is None else self.give_up_async())


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
