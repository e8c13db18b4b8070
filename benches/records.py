"""Compare record files with their reference tools: indexing, reading and writing TFRecord files.

Each measurement is a fresh process; the contestants of a case take turns in a new random order in each round. Imports
and the start of the interpreter are not counted. Prints records/s, CPU time for a million records, and how many times
as fast ours is. Writes ``records.json`` into ``--out``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import random
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from run import cpu_seconds, machine, memory_folder

# Bytes of a payload, and records: files of some hundred megabytes, all but the first.
SHAPES = {"100 B": (100, 2_000_000), "1 KiB": (1024, 400_000), "100 KiB": (100 << 10, 4_000)}

Contestant = Callable[[Path, int, int], int]


def index_s3dlio(file: Path, _size: int, _count: int) -> int:
    """Ours."""
    import s3dlio  # noqa: PLC0415

    return s3dlio.create_tfrecord_index(file, file.with_suffix(".ours"))


def index_dali(file: Path, _size: int, count: int) -> int:
    """DALI's own program; TensorFlow, which it would use to open the files, is kept from it."""
    files = importlib.metadata.files("nvidia-dali-cuda130") or []
    program = next(str(path.locate()) for path in files if path.name == "tfrecord2idx")
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    sys.argv = [program, str(file), str(file.with_suffix(".theirs"))]
    runpy.run_path(program)
    return count


def index_tfrecord(file: Path, _size: int, count: int) -> int:
    """The tfrecord package."""
    from tfrecord.tools import create_index  # noqa: PLC0415

    create_index(str(file), str(file.with_suffix(".theirs")))
    return count


def read_s3dlio(file: Path, _size: int, _count: int) -> int:
    """Ours, one record after the other, checksums compared."""
    from s3dlio.tfrecord import TFRecordReader  # noqa: PLC0415

    return sum(1 for _ in TFRecordReader(file))


def read_tensorflow(file: Path, _size: int, _count: int) -> int:
    """TensorFlow, to NumPy."""
    import tensorflow as tf  # noqa: PLC0415

    return sum(1 for _ in tf.data.TFRecordDataset(str(file)).as_numpy_iterator())


def read_tfrecord(file: Path, _size: int, _count: int) -> int:
    """The tfrecord package, which compares no checksums."""
    from tfrecord.reader import tfrecord_iterator  # noqa: PLC0415

    return sum(1 for _ in tfrecord_iterator(str(file)))


def batches_s3dlio(file: Path, _size: int, count: int) -> int:
    """Ours, 64 random records at a time through the index."""
    from s3dlio.tfrecord import TFRecordDataSource  # noqa: PLC0415

    source = TFRecordDataSource(file, file.with_suffix(".ours"))
    order = random.Random(1).sample(range(count), count)  # noqa: S311 - an order and no secret
    return sum(len(source.__getitems__(order[at : at + 64])) for at in range(0, count, 64))


def write_s3dlio(file: Path, size: int, count: int) -> int:
    """Ours."""
    from s3dlio.tfrecord import TFRecordWriter  # noqa: PLC0415

    record = os.urandom(size)
    with TFRecordWriter(file.with_suffix(".written")) as writer:
        for _ in range(count):
            writer.write(record)
    return count


def write_tensorflow(file: Path, size: int, count: int) -> int:
    """TensorFlow."""
    import tensorflow as tf  # noqa: PLC0415

    record = os.urandom(size)
    with tf.io.TFRecordWriter(str(file.with_suffix(".written"))) as writer:
        for _ in range(count):
            writer.write(record)
    return count


CASES: dict[str, list[Contestant]] = {
    "index": [index_s3dlio, index_dali, index_tfrecord],
    "read": [read_s3dlio, read_tensorflow, read_tfrecord],
    "random batches": [batches_s3dlio],
    "write": [write_s3dlio, write_tensorflow],
}
CONTESTANTS = {contestant.__name__: contestant for case in CASES.values() for contestant in case}


def one(name: str, file: Path, shape: str) -> dict[str, float]:
    """Be one measurement."""
    import s3dlio  # noqa: PLC0415

    s3dlio.exists(str(file.as_uri()))
    if "tensorflow" in name:
        import tensorflow  # noqa: F401, ICN001, PLC0415
    size, count = SHAPES[shape]
    wall, cpu = time.perf_counter(), cpu_seconds()
    found = CONTESTANTS[name](file, size, count)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if found != count:
        sys.exit(f"{name}: {found} records, expected {count}")
    return {"per_second": count / wall, "cpu_us": 1e6 * cpu / count}


def compare(case: str, shape: str, file: Path, rounds: int) -> dict[str, Any]:
    """Run all contestants of a case on one file and print their medians."""
    names = [contestant.__name__ for contestant in CASES[case]]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in random.sample(names, len(names)):
            command = [sys.executable, __file__, "--one", name, str(file), shape]
            runs[name].append(json.loads(subprocess.check_output(command).splitlines()[-1]))
    print(f"\n{case}, records of {shape}\n{'':18}{'records/s':>14}{'spread':>24}{'CPU us':>9}{'ours is':>10}")
    ours = statistics.median(run["per_second"] for run in runs[names[0]])
    for name in names:
        rates = sorted(run["per_second"] for run in runs[name])
        rate, cpu = (statistics.median(run[key] for run in runs[name]) for key in ("per_second", "cpu_us"))
        spread = f"{rates[0]:,.0f}-{rates[-1]:,.0f}"
        print(f"{name:18}{rate:14,.0f}{spread:>24}{cpu:9.2f}{ours / rate:9.2f}x")
    return runs


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


def main() -> None:
    """Measure and report; with ``--one`` be one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, file, shape = options.one
        print(json.dumps(one(name, Path(file), shape)))
        return
    results: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "cases": {}}
    for shape in SHAPES:
        with tempfile.TemporaryDirectory(prefix="s3dlio-bench-", dir=memory_folder()) as work:
            file = make(Path(work), shape)
            for case in CASES:
                if options.only is None or options.only in case:
                    results["cases"][f"{case} {shape}"] = compare(case, shape, file, options.rounds)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "records.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
