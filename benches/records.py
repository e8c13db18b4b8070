"""Compare record files with their reference tools: TFRecord, ArrayRecord; indexing, reading, writing. Disky by itself.

Each measurement is a fresh process; the contestants of a case take turns in a new random order in each round. Imports
and the start of the interpreter are not counted. Prints records/s, CPU time a record, and how many times as fast ours
is. Writes ``records.json`` into ``--out``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import array_records
import diskys
import tfrecords
from run import cpu_seconds, machine, memory_folder

FORMATS: dict[str, Any] = {"TFRecord": tfrecords, "ArrayRecord": array_records, "Disky": diskys}


def one(format_name: str, contestant: str, file: Path, shape: str) -> dict[str, float]:
    """Be one measurement."""
    import s3dlio  # noqa: PLC0415

    s3dlio.exists(str(file.as_uri()))
    if "tensorflow" in contestant:
        import tensorflow  # noqa: F401, ICN001, PLC0415
    if "wheel" in contestant:
        array_records.theirs()
    elif format_name == "ArrayRecord":
        array_records.ours()
    wall, cpu = time.perf_counter(), cpu_seconds()
    count = getattr(FORMATS[format_name], contestant)(file, shape)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    return {"per_second": count / wall, "cpu_us": 1e6 * cpu / count}


def compare(format_name: str, case: str, shape: str, file: Path, rounds: int) -> dict[str, Any]:
    """Run all contestants of a case on one file and print their medians."""
    names = [contestant.__name__ for contestant in FORMATS[format_name].CASES[case]]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in random.sample(names, len(names)):
            command = [sys.executable, __file__, "--one", format_name, name, str(file), shape]
            runs[name].append(json.loads(subprocess.check_output(command).splitlines()[-1]))
    print(f"\n{format_name}: {case}, records of {shape}")
    print(f"{'':18}{'records/s':>14}{'spread':>24}{'CPU us':>9}{'ours is':>10}")
    ours = statistics.median(run["per_second"] for run in runs[names[0]])
    for name in names:
        rates = sorted(run["per_second"] for run in runs[name])
        rate, cpu = (statistics.median(run[key] for run in runs[name]) for key in ("per_second", "cpu_us"))
        spread = f"{rates[0]:,.0f}-{rates[-1]:,.0f}"
        print(f"{name:18}{rate:14,.0f}{spread:>24}{cpu:9.2f}{ours / rate:9.2f}x", flush=True)
    return runs


def main() -> None:
    """Measure and report; with ``--one`` be one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        format_name, name, file, shape = options.one
        print(json.dumps(one(format_name, name, Path(file), shape)))
        return
    results: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "cases": {}}
    for format_name in options.formats:
        for shape in FORMATS[format_name].SHAPES:
            with tempfile.TemporaryDirectory(prefix="s3dlio-bench-", dir=memory_folder()) as work:
                file = FORMATS[format_name].make(Path(work), shape)
                for case in FORMATS[format_name].CASES:
                    if options.only is None or options.only in case:
                        runs = compare(format_name, case, shape, file, options.rounds)
                        results["cases"][f"{format_name}: {case}, {shape}"] = runs
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "records.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
