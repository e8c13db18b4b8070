"""Compare s3dlio with other ways to read the same data, side by side on this machine.

Each measurement is a fresh process; the contestants of a case take turns in a new random order in each round, so that
a busy moment of the machine hits all alike. Only the ratios carry over to another machine. Writes ``results.json``
and ``results.png`` into ``--out``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contestants

HERE = Path(__file__).parent


def main() -> None:
    """Measure and report; with ``--one`` be one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--one", nargs=2, metavar=("CONTESTANT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], Path(options.one[1]))))
        return
    results = {"machine": machine(), "rounds": options.rounds, "cases": {}}
    with tempfile.TemporaryDirectory(prefix="s3dlio-bench-", dir=memory_folder()) as work:
        for case, (files, size, _) in contestants.CASES.items():
            if options.only is None or options.only in case:
                folder = make_files(Path(work), files, size)
                results["cases"][case] = compare(case, folder, options.rounds)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=1))
    rates = {
        f"{case}: objects/s": {
            name: statistics.median(run["per_second"] for run in found) for name, found in runs.items()
        }
        for case, runs in results["cases"].items()
    }
    bars(rates, options.out / "results.png")
    print(f"\nwritten to {options.out}/")


def memory_folder() -> str | None:
    """Return a folder in memory: the disk is not what is compared."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private folder is made in it


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}


def make_files(work: Path, files: int, size: int) -> Path:
    """Write files of random bytes, once for each shape."""
    folder = work / f"{files}x{size}"
    if not folder.exists():
        folder.mkdir()
        for number in range(files):
            (folder / f"{number:06}.bin").write_bytes(os.urandom(size))
    return folder


def measure(name: str, folder: Path) -> dict[str, float]:
    """Read everything once; imports and interpreter start are not counted."""
    contestant = getattr(contestants, name)
    if "s3dlio" in name:
        import s3dlio  # noqa: F401, PLC0415
    elif "obstore" in name:
        import obstore  # noqa: F401, PLC0415
    elif "boto3" in name:
        import boto3  # noqa: F401, PLC0415
    files = [path.stat().st_size for path in folder.iterdir()]
    wall, cpu = time.perf_counter(), cpu_seconds()
    read = sum(contestant(folder))
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if read != sum(files):
        sys.exit(f"{name} read {read} bytes, expected {sum(files)}")
    rss = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"per_second": len(files) / wall, "cpu_us": 1e6 * cpu / len(files), "rss_mib": rss / 1024}


def cpu_seconds() -> float:
    """Return the processor time of this process and of the workers it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def compare(case: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Run all contestants of a case and print their medians."""
    names = [contestant.__name__ for contestant in contestants.CASES[case][2]]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with s3_server(folder) if "S3" in case else contextlib.nullcontext():
        for _ in range(rounds):
            for name in random.sample(names, len(names)):
                command = [sys.executable, str(HERE / "run.py"), "--one", name, str(folder)]
                runs[name].append(json.loads(subprocess.check_output(command)))
    print(f"\n{case}\n{'':20}{'objects/s':>12}{'spread':>16}{'CPU us':>9}{'RSS MiB':>9}{'ours is':>10}")
    ours = statistics.median(run["per_second"] for run in runs[names[0]])
    for name in names:
        rates = sorted(run["per_second"] for run in runs[name])
        rate = statistics.median(rates)
        cpu, rss = (statistics.median(run[key] for run in runs[name]) for key in ("cpu_us", "rss_mib"))
        spread = f"{rates[0]:,.0f}-{rates[-1]:,.0f}"
        print(f"{name:20}{rate:12,.0f}{spread:>16}{cpu:9.1f}{rss:9.0f}{ours / rate:9.2f}x")
    return runs


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """Run an S3 server on the loopback interface that holds the files."""
    sys.path.insert(0, str(HERE.parent / "examples" / "digits"))
    import demo  # noqa: PLC0415 - the demo's server
    import s3dlio  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as work, demo.s3_server(Path(work), "bench"):
        s3dlio.put_many([(f"s3://bench/{path.name}", path.read_bytes()) for path in folder.iterdir()])
        yield


def bars(cases: dict[str, dict[str, float]], path: Path) -> None:
    """Draw each case as bars, in samples or objects a second."""
    import matplotlib as mpl  # noqa: PLC0415 - for the one picture at the end
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, sum(0.6 + 0.25 * len(rates) for rates in cases.values())), layout="constrained")
    axes = figure.subplots(len(cases), squeeze=False, height_ratios=[2 + len(rates) for rates in cases.values()])[:, 0]
    for axis, (title, rates) in zip(axes, cases.items(), strict=True):
        names = list(rates)[::-1]
        colours = ["tab:blue" if "s3dlio" in name else "tab:gray" for name in names]
        axis.bar_label(axis.barh(names, [rates[name] for name in names], color=colours), fmt="{:,.0f}", padding=3)
        axis.set_title(title, loc="left", fontsize=10)
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    # Text stays text, which is a tenth of the size and can be searched.
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
