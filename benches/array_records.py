"""What is compared of ArrayRecord files: reading in order and at random, and writing, with the package array-record."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Bytes of a record, records, and the options of the file. A group of one is a chunk of its own: 500,000 chunks.
SHAPES: dict[str, tuple[int, int, str]] = {
    "1 KiB, 1 a group": (1024, 500_000, "uncompressed,group_size:1"),
    "1 KiB, 1 a group, zstd": (1024, 100_000, "zstd,group_size:1"),
    "1 KiB, 1000 a group, zstd": (1024, 200_000, "zstd,group_size:1000"),
    "100 KiB, 1 a group": (100 << 10, 5_000, "uncompressed,group_size:1"),
}
# The reference needs time for each chunk of the file to open and to seek: few records tell its rate.
RANDOM_OURS, RANDOM_THEIRS = 200_000, 2_000


def records(size: int, count: int, options: str) -> Iterator[bytes]:
    """Yield records: random bytes, and text of which zstd takes some, where the file is compressed."""
    if "zstd" in options:
        pool = b" ".join(b"sample %d of %d" % (number * 7919 % 10_007, number) for number in range(2000))
    else:
        pool = os.urandom(size + 4096)
    for number in range(count):
        at = number * 61 % (len(pool) - size)
        yield pool[at : at + size]


def make(folder: Path, shape: str) -> Path:
    """Write the file with the reference, so that both read what it wrote."""
    file = folder / "file.array_record"
    write(theirs(), file, shape)
    return file


def write(modules: tuple[Any, Any], file: Path, shape: str) -> int:
    size, count, options = SHAPES[shape]
    writer = modules[0].ArrayRecordWriter(str(file), options)
    for record in records(size, count, options):
        writer.write(record)
    writer.close()
    return count


def ours() -> tuple[Any, Any]:
    """Return our module of readers and writers, and that of data sources."""
    from s3dlio.array_record import array_record_data_source, array_record_module  # noqa: PLC0415

    return array_record_module, array_record_data_source


def theirs() -> tuple[Any, Any]:
    """Return the reference's modules."""
    from array_record.python import array_record_data_source, array_record_module  # noqa: PLC0415

    return array_record_module, array_record_data_source


def in_order(modules: tuple[Any, Any], file: Path) -> int:
    reader = modules[0].ArrayRecordReader(str(file))
    count = reader.num_records()
    return sum(1 for _ in range(count) if reader.read() is not None)


def all_at_once(modules: tuple[Any, Any], file: Path) -> int:
    return len(modules[0].ArrayRecordReader(str(file)).read_all())


def one_by_one(modules: tuple[Any, Any], file: Path, wanted: int) -> int:
    source = modules[1].ArrayRecordDataSource(str(file))
    count = len(source)
    wanted = min(wanted, count)
    order = random.Random(1).choices(range(count), k=wanted)  # noqa: S311 - an order and no secret
    return sum(1 for index in order if source[index] is not None)


def batches(modules: tuple[Any, Any], file: Path, wanted: int, batch: int) -> int:
    source = modules[1].ArrayRecordDataSource(str(file))
    order = random.Random(1).choices(range(len(source)), k=wanted)  # noqa: S311 - an order and no secret
    return sum(len(source.__getitems__(order[at : at + batch])) for at in range(0, wanted, batch))


def order_s3dlio(file: Path, _shape: str) -> int:
    """Ours, ``read()`` until the end."""
    return in_order(ours(), file)


def order_wheel(file: Path, _shape: str) -> int:
    """The reference, ``read()`` until the end."""
    return in_order(theirs(), file)


def all_s3dlio(file: Path, _shape: str) -> int:
    """Ours, ``read_all()``."""
    return all_at_once(ours(), file)


def all_wheel(file: Path, _shape: str) -> int:
    """The reference, ``read_all()``."""
    return all_at_once(theirs(), file)


def random_s3dlio(file: Path, _shape: str) -> int:
    """Ours, ``source[i]``."""
    return one_by_one(ours(), file, RANDOM_OURS)


def random_wheel(file: Path, _shape: str) -> int:
    """The reference, ``source[i]``."""
    return one_by_one(theirs(), file, RANDOM_THEIRS)


def batch64_s3dlio(file: Path, _shape: str) -> int:
    """Ours, ``source.__getitems__`` of 64."""
    return batches(ours(), file, 128_000, 64)


def batch64_wheel(file: Path, _shape: str) -> int:
    """The reference, ``source.__getitems__`` of 64."""
    return batches(theirs(), file, 6_400, 64)


def batch1000_s3dlio(file: Path, _shape: str) -> int:
    """Ours, ``source.__getitems__`` of 1000."""
    return batches(ours(), file, 200_000, 1000)


def batch1000_wheel(file: Path, _shape: str) -> int:
    """The reference, ``source.__getitems__`` of 1000."""
    return batches(theirs(), file, 20_000, 1000)


def write_s3dlio(file: Path, shape: str) -> int:
    """Ours."""
    return write(ours(), file.with_suffix(".written"), shape)


def write_wheel(file: Path, shape: str) -> int:
    """The reference."""
    return write(theirs(), file.with_suffix(".written"), shape)


CASES: dict[str, list[Callable[[Path, str], int]]] = {
    "read in order": [order_s3dlio, order_wheel],
    "read all": [all_s3dlio, all_wheel],
    "read at random": [random_s3dlio, random_wheel],
    "batches of 64": [batch64_s3dlio, batch64_wheel],
    "batches of 1000": [batch1000_s3dlio, batch1000_wheel],
    "write": [write_s3dlio, write_wheel],
}
