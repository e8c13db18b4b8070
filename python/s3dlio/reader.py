"""A file-like view of an object in memory."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from s3dlio._s3dlio import BytesView

__all__ = ["ObjectReader"]


class ObjectReader:
    """Reads an object's bytes front to back, without copying those that are not asked for."""

    def __init__(self, view: BytesView) -> None:
        self._view = view
        self._position = 0
        self.closed = False

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes, or all that are left.

        Raises:
            ValueError: The reader is closed.
        """
        if self.closed:
            message = "I/O operation on closed reader"
            raise ValueError(message)
        end = len(self._view) if size is None or size < 0 else self._position + size
        part = self._view[self._position : end]
        self._position += len(part)
        return bytes(part)

    def readall(self) -> bytes:
        """Return all bytes that are left."""
        return self.read()

    def read_all(self) -> bytes:
        """Return all bytes that are left."""
        return self.read()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to ``offset`` from the start (0), the present position (1) or the end (2); returns the position."""
        base = (0, self._position, len(self._view))[whence]
        self._position = min(max(base + offset, 0), len(self._view))
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the reader."""
        self.closed = True

    def __len__(self) -> int:
        return len(self._view)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
