"""What a streaming writer may be asked for, and what it reports at its end."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterator
from typing import Any, Self, SupportsIndex, overload

from s3dlio import _s3dlio
from s3dlio.errors import ConfigError

__all__ = ["PyWriterOptions", "WriterStats", "at_least_one"]


def at_least_one(option: str, value: int | None) -> int | None:
    """Check the value of an option that is a number of at least 1, or None."""
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
        chunk_size: Bytes that go to the store together; None means 16 MiB, and 4 MiB for files. S3 and Google Cloud
            Storage accept no less than 5 MiB, and elsewhere less than 256 KiB would be slow: smaller chunks are
            gathered up to that.
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
        self._chunk_size = at_least_one("chunk_size", size)

    @property
    def buffer_size(self) -> int | None:
        """Bytes of memory."""
        return self._buffer_size

    @buffer_size.setter
    def buffer_size(self, size: int | None) -> None:
        self._buffer_size = at_least_one("buffer_size", size)

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
