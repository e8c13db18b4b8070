"""The records of a TFRecord file in order."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from s3dlio import _s3dlio, aio
from s3dlio._s3dlio import BytesView
from s3dlio.arguments import as_uri
from s3dlio.tfrecord.example import Feature, parse_example

__all__ = ["TFRecordReader"]


class TFRecordReader:
    """Reads the records of a TFRecord file in order; each iteration begins anew.

    Records are views of what was read, without a copy. A remote file is read ahead, in at most 20 MiB of memory. Plain
    data only: it can be pickled, and used in a forked process.

    Damage raises after all records before it, and ends the iteration. An iterator that was begun before a fork does not
    go on in the child.

    Args:
        path: Path or URI.
        compression: ``none``, ``gzip`` or ``zlib`` in any case, of the file as a whole; its first bytes tell if left
            out.
        verify: Whether both checksums of each record are compared.

    Raises:
        ConfigError: There is no such compression.
        NotFoundError: There is no such file (from the iteration).
        CorruptDataError: The file is damaged or cut short, or no TFRecord file (from the iteration); the message names
            file, record and offset, which counts decompressed bytes.
    """

    def __init__(self, path: str | os.PathLike[str], *, compression: str | None = None, verify: bool = True) -> None:
        self.uri = as_uri(path)
        self.compression = compression
        self.verify = verify
        _s3dlio.check_tfrecord_compression(compression or "none")

    def _opening(self) -> _s3dlio.Operation[_s3dlio.TfRecordStream]:
        return _s3dlio.TfRecordStream.open(self.uri, self.compression, self.verify)

    def batches(self) -> Iterator[list[BytesView]]:
        """Iterate over lists of records, as many as are there: at most 4096, and never none."""
        stream = self._opening().wait()
        while batch := stream.batch().wait():
            yield batch

    def __iter__(self) -> Iterator[BytesView]:
        """Iterate over the records."""
        for batch in self.batches():
            yield from batch

    async def __aiter__(self) -> AsyncIterator[BytesView]:
        """Iterate over the records in a coroutine."""
        stream = await aio.result(self._opening())
        while batch := await aio.result(stream.batch()):
            for record in batch:
                yield record

    def examples(self, features: Mapping[str, Feature] | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over the records as :func:`parse_example` takes them apart."""
        for record in self:
            yield parse_example(record, features)

    def __repr__(self) -> str:
        return f"TFRecordReader({self.uri!r}, compression={self.compression!r}, verify={self.verify})"
