"""An open file."""

# fsspec ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from types import TracebackType
from typing import Any

import s3dlio
from fsspec.spec import AbstractBufferedFile

__all__ = ["StoreFile"]


class StoreFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file read through fsspec's caches, or written piece by piece; it appears when it is closed or committed."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file, or give it up where its block has failed: half a file must not look like a whole one."""
        if kind is not None and self.writable():
            if self.offset is not None:
                self.discard()
            self.closed: bool = True
            return
        super().__exit__(kind, value, traceback)

    def _fetch_range(self, start: int, end: int) -> bytes:
        view = s3dlio.get_range(self.fs._uri(self.path), start, end - start)  # noqa: SLF001
        return view.to_bytes()

    def _initiate_upload(self) -> None:
        self._writer: Any = s3dlio.create_writer(self.fs._uri(self.path))  # noqa: SLF001

    def _upload_chunk(self, final: bool = False) -> bool:
        self._writer.write(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Put a finished file in its place."""
        self._writer.finalize()

    def discard(self) -> None:
        """Give a file up that was not committed."""
        self._writer.abort()
