"""Content for benchmarks: repeatable, of a chosen repetition and compressibility."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from s3dlio import _s3dlio
from s3dlio.arguments import at_least

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from s3dlio._s3dlio import BytesView

__all__ = ["Generator", "generate_data", "generate_data_with_threads", "generate_into_buffer"]

# A chunk that keeps several threads busy and is small beside any object worth streaming.
_CHUNK = 32 << 20


def _seed(seed: int | None) -> int:
    return int.from_bytes(os.urandom(8), "little") if seed is None else seed


def _threads(threads: int | None) -> int:
    return 0 if threads is None else at_least("threads", threads, 1)


def generate_data(
    size: int, dedup: int = 1, compress: int = 1, *, object_type: str = "random", seed: int | None = None
) -> BytesView:
    """Make the content of one benchmark object.

    Args:
        size: Bytes; of an ``npz`` or ``tfrecord`` those of the payload.
        dedup: One block of 4 KiB in so many is distinct, the others repeat.
        compress: Of each block the fraction ``(n - 1) / n`` is zero.
        object_type: ``zeros``, ``random`` (also ``raw``, ``binary``), ``npz`` or ``tfrecord``; see :func:`put`.
        seed: Equal seeds give equal bytes; None takes one from the operating system.

    Raises:
        ConfigError: A number is negative, or the type unknown.
    """
    return _s3dlio.generate(
        object_type,
        at_least("size", size, 0),
        at_least("dedup", dedup, 0),
        at_least("compress", compress, 0),
        _seed(seed),
    )


def generate_data_with_threads(
    size: int, dedup: int = 1, compress: int = 1, threads: int | None = None, *, seed: int | None = None
) -> BytesView:
    """Make random content as :func:`generate_data`, on ``threads`` threads; None means one for each core.

    The bytes depend on the seed alone, not on the number of threads.
    """
    return _s3dlio.generate_parallel(
        at_least("size", size, 0),
        at_least("dedup", dedup, 0),
        at_least("compress", compress, 0),
        _seed(seed),
        _threads(threads),
    )


def generate_into_buffer(
    buffer: Buffer, dedup: int = 1, compress: int = 1, threads: int | None = None, *, seed: int | None = None
) -> int:
    """Fill a writable buffer (a bytearray, an array) with what :func:`generate_data` would make; return its bytes.

    Raises:
        TypeError: ``buffer`` has no contiguous memory that can be written to.
        ConfigError: A number is negative.
    """
    return Generator(memoryview(buffer).nbytes, dedup, compress, threads, seed=seed).fill_chunk(buffer)


class Generator:
    """Makes random content piece by piece; together the pieces are what :func:`generate_data` gives for the seed.

    Args:
        size: Bytes in all.
        dedup: As for :func:`generate_data`.
        compress: As for :func:`generate_data`.
        threads: Threads that make a chunk; None means one for each core.
        chunk_size: Bytes that :meth:`get_chunk` makes unless it is told otherwise; default 32 MiB.
        seed: As for :func:`generate_data`.
    """

    def __init__(
        self,
        size: int,
        dedup: int = 1,
        compress: int = 1,
        threads: int | None = None,
        chunk_size: int | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        self._size = at_least("size", size, 0)
        self._dedup = at_least("dedup", dedup, 0)
        self._compress = at_least("compress", compress, 0)
        self._threads = _threads(threads)
        self._chunk_size = _CHUNK if chunk_size is None else at_least("chunk_size", chunk_size, 1)
        self._seed = _seed(seed)
        self._position = 0

    @property
    def chunk_size(self) -> int:
        """Bytes of a chunk."""
        return self._chunk_size

    @property
    def position(self) -> int:
        """Bytes made so far."""
        return self._position

    def fill_chunk(self, buffer: Buffer) -> int:
        """Fill a writable buffer with what comes next and return how many bytes that are: fewer at the end, then 0.

        Raises:
            TypeError: ``buffer`` has no contiguous memory that can be written to.
        """
        filled = _s3dlio.generate_into(
            buffer, self._size, self._position, self._dedup, self._compress, self._seed, self._threads
        )
        self._position += filled
        return filled

    def get_chunk(self, size: int | None = None) -> bytearray:
        """Return the next ``size`` bytes (default ``chunk_size``): fewer at the end, then none."""
        wanted = self._chunk_size if size is None else at_least("size", size, 0)
        chunk = bytearray(min(wanted, self._size - self._position))
        self.fill_chunk(chunk)
        return chunk

    def is_complete(self) -> bool:
        """Return whether all bytes have been made."""
        return self._position >= self._size

    def reset(self) -> None:
        """Begin again; the same bytes come."""
        self._position = 0
