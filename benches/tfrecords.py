"""What is compared of TFRecord files: indexing, reading and writing, with DALI, TensorFlow and the tfrecord package."""

from __future__ import annotations

import importlib.metadata
import os
import random
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

# Bytes of a payload, and records: files of some hundred megabytes, all but the first.
SHAPES = {"100 B": (100, 2_000_000), "1 KiB": (1024, 400_000), "100 KiB": (100 << 10, 20_000)}


def make(folder: Path, shape: str) -> Path:
    """Write a file of random records, and its index."""
    from s3dlio.tfrecord import TFRecordWriter  # noqa: PLC0415

    size, count = SHAPES[shape]
    file = folder / "file.tfrecord"
    # Enough different bytes that nothing compresses or caches them.
    pool = os.urandom(size + 4096)
    with TFRecordWriter(file, index=file.with_suffix(".ours")) as writer:
        for number in range(count):
            writer.write(pool[number % 4096 :][:size])
    return file


def index_s3dlio(file: Path, _shape: str) -> int:
    """Ours."""
    import s3dlio  # noqa: PLC0415

    return s3dlio.create_tfrecord_index(file, file.with_suffix(".ours"))


def index_dali(file: Path, shape: str) -> int:
    """DALI's own program; TensorFlow, which it would use to open the files, is kept from it."""
    files = importlib.metadata.files("nvidia-dali-cuda130") or []
    program = next(str(path.locate()) for path in files if path.name == "tfrecord2idx")
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    sys.argv = [program, str(file), str(file.with_suffix(".theirs"))]
    runpy.run_path(program)
    return SHAPES[shape][1]


def index_tfrecord(file: Path, shape: str) -> int:
    """The tfrecord package."""
    from tfrecord.tools import create_index  # noqa: PLC0415

    create_index(str(file), str(file.with_suffix(".theirs")))
    return SHAPES[shape][1]


def read_s3dlio(file: Path, _shape: str) -> int:
    """Ours, one record after the other, checksums compared."""
    from s3dlio.tfrecord import TFRecordReader  # noqa: PLC0415

    return sum(1 for _ in TFRecordReader(file))


def read_tensorflow(file: Path, _shape: str) -> int:
    """TensorFlow, to NumPy."""
    import tensorflow as tf  # noqa: PLC0415

    return sum(1 for _ in tf.data.TFRecordDataset(str(file)).as_numpy_iterator())


def read_tfrecord(file: Path, _shape: str) -> int:
    """The tfrecord package, which compares no checksums."""
    from tfrecord.reader import tfrecord_iterator  # noqa: PLC0415

    return sum(1 for _ in tfrecord_iterator(str(file)))


def batches_s3dlio(file: Path, shape: str) -> int:
    """Ours, 64 random records at a time through the index."""
    from s3dlio.tfrecord import TFRecordDataSource  # noqa: PLC0415

    count = SHAPES[shape][1]
    source = TFRecordDataSource(file, file.with_suffix(".ours"))
    order = random.Random(1).sample(range(count), count)  # noqa: S311 - an order and no secret
    return sum(len(source.__getitems__(order[at : at + 64])) for at in range(0, count, 64))


def write_s3dlio(file: Path, shape: str) -> int:
    """Ours."""
    from s3dlio.tfrecord import TFRecordWriter  # noqa: PLC0415

    size, count = SHAPES[shape]
    record = os.urandom(size)
    with TFRecordWriter(file.with_suffix(".written")) as writer:
        for _ in range(count):
            writer.write(record)
    return count


def write_tensorflow(file: Path, shape: str) -> int:
    """TensorFlow."""
    import tensorflow as tf  # noqa: PLC0415

    size, count = SHAPES[shape]
    record = os.urandom(size)
    with tf.io.TFRecordWriter(str(file.with_suffix(".written"))) as writer:
        for _ in range(count):
            writer.write(record)
    return count


CASES: dict[str, list[Callable[[Path, str], int]]] = {
    "index": [index_s3dlio, index_dali, index_tfrecord],
    "read": [read_s3dlio, read_tensorflow, read_tfrecord],
    "random batches": [batches_s3dlio],
    "write": [write_s3dlio, write_tensorflow],
}
