"""Compare reading NPZ archives with NumPy's own reader: 500 images of 256 x 256 x 3 bytes, stored and deflated.

Each measurement is a fresh process, in random order in each round; every page of every array is touched. Deflated
archives are also read on one core, and inflated by zlib alone, to show what a second core brings. Writes ``npz.json``
and ``npz.png`` into ``--out``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from run import cpu_seconds, machine, memory_folder

FILES = 500
SHAPE = (256, 256, 3)
SIZE = 256 * 256 * 3
PAGE = 4096
KINDS = ("stored", "deflated")


def touch(array: np.ndarray) -> int:
    """Read a byte of every page; returns the size."""
    flat = array.reshape(-1).view(np.uint8)
    flat[::PAGE].max()
    return flat.nbytes


def load(path: Path) -> int:
    """Read one archive with NumPy."""
    with np.load(path) as archive:
        return touch(archive["x"])


def numpy_load(paths: list[Path]) -> Iterator[int]:
    """``numpy.load``, one after the other."""
    yield from map(load, paths)


def numpy_threads(paths: list[Path]) -> Iterator[int]:
    """``numpy.load`` on a thread for each core."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        yield from threads.map(load, paths)


def read_npz(paths: list[Path]) -> Iterator[int]:
    """Ours, one after the other on the calling thread."""
    import s3dlio  # noqa: PLC0415

    for path in paths:
        yield touch(s3dlio.read_npz(f"file://{path}")["x"])


def read_npz_many(paths: list[Path]) -> Iterator[int]:
    """Ours, all in one call, and all kept."""
    import s3dlio  # noqa: PLC0415

    for arrays in s3dlio.read_npz_many([f"file://{path}" for path in paths]):
        yield touch(arrays["x"])


def read_npz_many_1_core(paths: list[Path]) -> Iterator[int]:
    """The same on a single core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    yield from read_npz_many(paths)


def zlib_1_core(paths: list[Path]) -> Iterator[int]:
    """Only the inflating, with Python's zlib and without a checksum."""
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("x.npy")
        raw = path.read_bytes()[info.header_offset :]
        start = 30 + int.from_bytes(raw[26:28], "little") + int.from_bytes(raw[28:30], "little")
        content = zlib.decompress(raw[start : start + info.compress_size], -15, info.file_size)
        yield touch(np.frombuffer(content, np.uint8)[-SIZE:])


CONTESTANTS: dict[str, Callable[[list[Path]], Iterator[int]]] = {
    contestant.__name__: contestant
    for contestant in (numpy_load, numpy_threads, read_npz, read_npz_many, read_npz_many_1_core, zlib_1_core)
}
DEFLATED_ONLY = {"zlib_1_core"}


def one(name: str, folder: Path) -> dict[str, float]:
    """Be one measurement; imports and the start of the interpreter are not counted."""
    import s3dlio  # noqa: PLC0415

    paths = sorted(folder.iterdir())
    s3dlio.read_npz(f"file://{paths[0]}")
    load(paths[0])
    wall, cpu = time.perf_counter(), cpu_seconds()
    moved = sum(CONTESTANTS[name](paths))
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if moved != FILES * SIZE:
        sys.exit(f"{name}: {moved} bytes, expected {FILES * SIZE}")
    return {"wall": wall, "cpu": cpu}


def images() -> Iterator[np.ndarray]:
    """Make pictures that deflate to about half: gradients with noise."""
    random_numbers = np.random.default_rng(0)
    rows, columns, channels = np.ogrid[:256, :256, :3]
    for number in range(FILES):
        smooth = (rows * (1 + number % 3) + columns // 2 + 40 * channels) // 4
        yield (smooth + random_numbers.integers(0, 12, SHAPE)).astype(np.uint8)


def make(folder: Path) -> None:
    """Write the archives with NumPy, and verify once that ours reads the same."""
    import s3dlio  # noqa: PLC0415

    for kind, save in zip(KINDS, (np.savez, np.savez_compressed), strict=True):
        (folder / kind).mkdir()
        for number, image in enumerate(images()):
            path = folder / kind / f"{number:04}.npz"
            save(path, x=image)
            if not np.array_equal(s3dlio.read_npz(f"file://{path}")["x"], image):
                sys.exit(f"{path} is read wrongly")


def compare(kind: str, folder: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Run all contestants and print their medians."""
    names = [name for name in CONTESTANTS if kind == "deflated" or name not in DEFLATED_ONLY]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in random.sample(names, len(names)):
            command = [sys.executable, __file__, "--one", name, str(folder / kind)]
            runs[name].append(json.loads(subprocess.check_output(command)))
    print(f"\n{kind}: {FILES} archives of {SIZE:,} bytes")
    print(f"{'':22}{'files/s':>9}{'spread':>15}{'CPU us/file':>13}{'numpy.load is 1':>17}")
    baseline = statistics.median(run["wall"] for run in runs["numpy_load"])
    for name, every in runs.items():
        walls = sorted(run["wall"] for run in every)
        wall, cpu = statistics.median(walls), statistics.median(run["cpu"] for run in every)
        spread = f"{FILES / walls[-1]:,.0f}-{FILES / walls[0]:,.0f}"
        print(f"{name:22}{FILES / wall:9,.0f}{spread:>15}{1e6 * cpu / FILES:13.0f}{baseline / wall:16.2f}x", flush=True)
    return runs


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw files in a second."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axis, (kind, runs) in zip(figure.subplots(1, len(results)), results.items(), strict=True):
        rates = [FILES / statistics.median(run["wall"] for run in every) for every in runs.values()]
        colours = ["tab:blue" if name.startswith("read_npz") else "tab:grey" for name in runs]
        axis.barh(list(runs), rates, color=colours)
        axis.set_title(f"{kind}: archives in a second", loc="left", fontsize=10)
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and report; with ``--one`` be one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--one", nargs=2, metavar=("CONTESTANT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], Path(options.one[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="s3dlio-bench-", dir=memory_folder()) as work:
        make(Path(work))
        results = {kind: compare(kind, Path(work), options.rounds) for kind in KINDS}
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "rounds": options.rounds, "kinds": results}
    (options.out / "npz.json").write_text(json.dumps(report, indent=1))
    plot(results, options.out / "npz.png")
    print(f"\nwritten to {options.out}/")


if __name__ == "__main__":
    main()
