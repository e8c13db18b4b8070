"""Writing TFRecord files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from s3dlio import _s3dlio
from s3dlio.arguments import as_uri
from s3dlio.process import abort_at_exit
from s3dlio.tfrecord.example import serialize_example

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["TFRecordWriter"]


class TFRecordWriter:
    """Writes a TFRecord file, and its index with it if wanted.

    The file appears under its name when the writer is closed, whole; one that is aborted, dropped or fails leaves what
    was there before. As a context manager it is closed at the end, and aborted by an exception.

    Args:
        path: Path or URI.
        compression: ``none``, ``gzip`` or ``zlib`` in any case, of the file as a whole.
        level: Effort of compression, 0 to 9; 6 if left out.
        index: Path or URI of an index to be written as well; ``True`` for the name of the file and ``.idx``. It appears
            after the file.

    Raises:
        ConfigError: There is no such compression, the level is out of range or without a compression, or an index is
            asked for of a compressed file.
        PermissionDeniedError: Settings of the store cannot work.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        compression: str | None = None,
        level: int | None = None,
        index: str | os.PathLike[str] | bool | None = None,
    ) -> None:
        self.uri = as_uri(path)
        self.index_uri = _index(self.uri, index)
        self._native = _s3dlio.TfRecordWriter(self.uri, compression or "none", level, self.index_uri)
        self._finished = False
        abort_at_exit(self)

    def write(self, record: Buffer) -> None:
        """Take a record: any contiguous buffer, which is copied.

        Raises:
            TypeError: ``record`` has no buffer.
            ForkedProcessError: The writer was made in the parent of this process.
            StoreError: The writer is closed; or the store failed, for this record or an earlier one.
            PermissionDeniedError, StoreTimeoutError: The store refused or was silent.
        """
        due = self._native.append(record)
        if due is not None:
            due.wait()

    def write_example(self, features: Mapping[str, Any]) -> None:
        """Take a record that :func:`serialize_example` makes of these features."""
        self.write(serialize_example(features))

    def flush(self) -> None:
        """Wait until the store has all full parts; what is less than a part stays here."""
        self._native.flush().wait()

    def close(self) -> None:
        """Make the file visible, and then its index; a second time does nothing.

        Raises:
            StoreError: The writer was aborted or has failed; the file is then as it was before.
            ForkedProcessError: The writer was made in the parent of this process.
            PermissionDeniedError, StoreTimeoutError: The store refused or was silent.
        """
        if not self._finished:
            self._native.finish().wait()
            self._finished = True

    def abort(self) -> None:
        """Give the file up, and what the store has of it.

        Raises:
            UnsupportedError: The file is closed.
            ForkedProcessError: The writer was made in the parent of this process.
        """
        self._native.abort().wait()

    @property
    def closed(self) -> bool:
        """Whether the writer takes no more: it is closed, aborted or has failed."""
        return self._native.closed

    @property
    def num_records(self) -> int:
        """Records taken so far."""
        return self._native.records

    @property
    def num_bytes(self) -> int:
        """Bytes of the file so far, before compression."""
        return self._native.bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif not self.closed:
            self.abort()

    def __repr__(self) -> str:
        return f"TFRecordWriter({self.uri!r}, {self.num_records} records)"


def _index(uri: str, index: str | os.PathLike[str] | bool | None) -> str | None:
    if isinstance(index, bool):
        return f"{uri}.idx" if index else None
    return None if index is None else as_uri(index)
