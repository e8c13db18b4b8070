"""What is measured of Disky files: reading in order and writing, on one thread and on several.

There is no package of the reference to measure beside it: what it reached elsewhere was 1,400 MB of records of 1 KiB a
CPU second, read or written on one thread, and with several threads 81 MB read and 7 MB written of records of 100 bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

# Bytes of a record, and records.
SHAPES: dict[str, tuple[int, int]] = {"1 KiB": (1024, 400_000), "100 bytes": (100, 2_000_000)}


def make(folder: Path, shape: str) -> Path:
    """Write a file, and the same records as shards in a folder beside it."""
    file = folder / "file.disky"
    write_s3dlio(file, shape)
    file.with_suffix(".written").rename(file)
    threads_write_s3dlio(file, shape)
    file.with_suffix(".shards.written").rename(file.with_suffix(".shards"))
    return file


def write_s3dlio(file: Path, shape: str) -> int:
    """Write a file."""
    from s3dlio import disky  # noqa: PLC0415

    size, count = SHAPES[shape]
    record, writer = os.urandom(size), disky.RecordWriter(str(file.with_suffix(".written")))
    for _ in range(count):
        writer.write_record(record)
    writer.close()
    return count


def read_s3dlio(file: Path, _shape: str) -> int:
    """Read a file in order."""
    from s3dlio import disky  # noqa: PLC0415

    return sum(1 for _ in disky.RecordReader(str(file)))


def count_s3dlio(file: Path, _shape: str) -> int:
    """Count the records of a file."""
    from s3dlio import disky  # noqa: PLC0415

    return disky.RecordReader.count_records(str(file))


def threads_write_s3dlio(file: Path, shape: str) -> int:
    """Write shards on several threads."""
    from s3dlio import disky  # noqa: PLC0415

    folder = file.with_suffix(".shards.written")
    shutil.rmtree(folder, ignore_errors=True)
    size, count = SHAPES[shape]
    record, writer = os.urandom(size), disky.MultiThreadedWriter.new_with_shards(str(folder), append=False)
    for _ in range(count):
        writer.write_record(record)
    writer.close()
    return count


def threads_read_s3dlio(file: Path, _shape: str) -> int:
    """Read shards on two threads."""
    from s3dlio import disky  # noqa: PLC0415

    folder = str(file.with_suffix(".shards"))
    return sum(1 for _ in disky.MultiThreadedReader.new_with_shards(folder, worker_threads=2))


CASES: dict[str, list[Callable[[Path, str], int]]] = {
    "write": [write_s3dlio],
    "read in order": [read_s3dlio],
    "count": [count_s3dlio],
    "write on several threads": [threads_write_s3dlio],
    "read on several threads": [threads_read_s3dlio],
}
