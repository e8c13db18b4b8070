"""Objects as files that are read."""

from __future__ import annotations

import abc
import io
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import s3dlio
from s3dlio.errors import ConfigError, InvalidUriError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["RangedS3Reader", "ReaderConstructor", "S3Reader", "S3ReaderConstructor", "SequentialS3Reader", "split"]

_BUFFER_SIZE = 8 << 20


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of a URI; a local path is all key.

    Raises:
        InvalidUriError: It is no URI.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        message = f"invalid URI {uri!r}: expected scheme://bucket/key"
        raise InvalidUriError(message, uri=uri)
    bucket, _, key = rest.partition("/")
    # The first segment is a server or an account where it is not the bucket.
    if scheme == "az" or (scheme == "s3" and ":" in bucket):
        bucket, _, key = key.partition("/")
    return bucket, key


class S3Reader(io.BufferedIOBase, abc.ABC):
    """An object as a file. It is fetched when something is first read of it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._at = 0
        self._bucket, self._key = split(uri)

    @property
    def bucket(self) -> str:
        """The bucket."""
        return self._bucket

    @property
    def key(self) -> str:
        """The key."""
        return self._key

    @abc.abstractmethod
    def _size(self) -> int: ...

    def _bytes(self, start: int, length: int) -> bytes:
        found = bytearray(length)
        if length > 0:
            self._into(memoryview(found), start)
        return bytes(found)

    @abc.abstractmethod
    def _into(self, memory: memoryview, start: int) -> None:
        """Fill the memory with the bytes from ``start`` on, which are there."""

    def read(self, size: int | None = None, /) -> bytes:
        """Return up to ``size`` bytes, or all that are left.

        Raises:
            S3Exception: The object cannot be read.
        """
        left = max(self._size() - self._at, 0)
        found = self._bytes(self._at, left if size is None or size < 0 else min(size, left))
        self._at += len(found)
        return found

    read1 = read

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer as far as there are bytes, and return their number."""
        memory = memoryview(buffer).cast("B")
        length = min(len(memory), max(self._size() - self._at, 0))
        if length > 0:
            self._into(memory[:length], self._at)
        self._at += length
        return length

    readinto1 = readinto

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to ``offset`` from the start, the position or the end, at most to the end; returns the position.

        Raises:
            ValueError: It would lie before the start, or ``whence`` is none of the three.
        """
        offset = operator.index(offset)
        if whence not in {io.SEEK_SET, io.SEEK_CUR, io.SEEK_END}:
            message = f"seek: found whence {whence!r}, expected SEEK_SET, SEEK_CUR or SEEK_END"
            raise ValueError(message)
        base = (0, self._at, self._size() if whence == io.SEEK_END else 0)[whence]
        if base + offset < 0:
            message = f"seek: found position {base + offset}, expected at least 0"
            raise ValueError(message)
        # Only what lies behind the position needs the size, and with it a request.
        self._at = base + offset if base + offset <= self._at else min(base + offset, self._size())
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return False."""
        return False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._uri}>"


class SequentialS3Reader(S3Reader):
    """Keeps the whole object, which one parallel read fetches."""

    def __init__(self, uri: str, content: s3dlio.BytesView | None = None) -> None:
        super().__init__(uri)
        self._content = content

    def prefetch(self) -> None:
        """Fetch the object now."""
        if self._content is None:
            self._content = s3dlio.get(self._uri)

    def _fetched(self) -> memoryview:
        if self._content is None:
            self._content = s3dlio.get(self._uri)
        return self._content.memoryview()

    def _size(self) -> int:
        return len(self._fetched())

    def _bytes(self, start: int, length: int) -> bytes:
        return bytes(self._fetched()[start : start + length])

    def _into(self, memory: memoryview, start: int) -> None:
        memory[:] = self._fetched()[start : start + len(memory)]


class RangedS3Reader(S3Reader):
    """Reads what it is asked for: small pieces through a buffer, others straight into the caller's memory."""

    def __init__(self, uri: str, buffer_size: int = _BUFFER_SIZE) -> None:
        super().__init__(uri)
        self._length: int | None = None
        self._buffer_size = buffer_size
        self._buffer: memoryview = memoryview(b"")
        self._begins = 0

    def _size(self) -> int:
        if self._length is None:
            self._length = s3dlio.stat(self._uri)["size"]
        return self._length

    def _into(self, memory: memoryview, start: int) -> None:
        if len(memory) >= self._buffer_size:
            self._fill(memory, start)
            return
        inside = self._begins <= start and start + len(memory) <= self._begins + len(self._buffer)
        if not inside:
            fresh = bytearray(min(self._buffer_size, self._size() - start))
            self._fill(memoryview(fresh), start)
            self._buffer, self._begins = memoryview(fresh), start
        memory[:] = self._buffer[start - self._begins :][: len(memory)]

    def _fill(self, memory: memoryview, start: int) -> None:
        s3dlio.get_into(self._uri, memory, offset=start, length=len(memory), expected_len=len(memory))


ReaderConstructor: TypeAlias = Callable[[str], S3Reader]
"""Makes the reader of a URI."""


class _Ranged:
    def __init__(self, buffer_size: int) -> None:
        self._buffer_size = buffer_size

    def __call__(self, uri: str) -> S3Reader:
        return RangedS3Reader(uri, self._buffer_size)


class S3ReaderConstructor:
    """Kinds of readers, as data sets and checkpoints take them."""

    @staticmethod
    def sequential() -> ReaderConstructor:
        """Fetch whole objects; data sets read them ahead."""
        return SequentialS3Reader

    @staticmethod
    def range_based(buffer_size: int | None = None) -> ReaderConstructor:
        """Fetch what is asked for, at least ``buffer_size`` bytes (8 MiB by default; 0: just what is asked for).

        Raises:
            ConfigError: The size is negative.
        """
        if buffer_size is not None and buffer_size < 0:
            message = f"option `buffer_size`: found {buffer_size}, expected an integer of at least 0"
            raise ConfigError(message)
        return _Ranged(_BUFFER_SIZE if buffer_size is None else buffer_size)

    @staticmethod
    def default() -> ReaderConstructor:
        """As :meth:`sequential`."""
        return SequentialS3Reader
