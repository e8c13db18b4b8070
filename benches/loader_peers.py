"""One contestant of ``loaders.py`` in one process, in the environment that has its packages.

``python benches/loader_peers.py CONTESTANT WORKLOAD FOLDER`` prints one line of JSON. The first epoch is checked in
full and is not measured; after it come whole epochs until ``--seconds`` have passed, of which the samples are counted
and their numbers added up. ``--write FORMAT`` in the place of a contestant writes the format from the files in FOLDER.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import resource
import time
import warnings
from pathlib import Path
from typing import Any

# Nothing here is to look for newer versions of itself, nor to tell anybody that it runs.
os.environ.update(LITDATA_DISABLE_VERSION_CHECK="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import loader_formats
from loader_contestants import CONTESTANTS
from loader_samples import WORKLOADS, Workload, check_epoch, count, count_epoch

# Nobody writes to the tensors here, so nobody pays for a copy that would make them writable.
warnings.filterwarnings("ignore", message="The given (buffer|NumPy array) is not writable")


def main() -> None:
    """Be one contestant, or write one format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contestant", choices=[*CONTESTANTS, *loader_formats.FORMATS])
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--write", action="store_true", help="write a format")
    options = parser.parse_args()
    workload = WORKLOADS[options.workload]
    if options.write:
        out = options.folder / options.contestant
        out.mkdir()
        loader_formats.FORMATS[options.contestant](workload, options.folder, out)
        return
    print(json.dumps(measure(options.contestant, workload, options.folder, options.seconds)), flush=True)


def measure(name: str, workload: Workload, folder: Path, seconds: float) -> dict[str, Any]:
    """Check an epoch, then measure whole ones."""
    contestant = CONTESTANTS[name]
    began = time.perf_counter()
    epochs = contestant.epochs(workload, folder / contestant.folder(workload))
    check_epoch(workload, folder, epochs)
    ready = time.perf_counter() - began
    samples = done = 0
    wall, cpu = time.perf_counter(), cpu_seconds()
    while True:
        found, total = count_epoch(workload, epochs())
        in_epoch = count(folder)
        if (found, total) != (in_epoch, in_epoch * (in_epoch - 1) // 2):
            raise ValueError(f"{found} samples whose numbers add up to {total}, expected all of 0 to {in_epoch - 1}")
        samples, done = samples + found, done + 1
        if time.perf_counter() - wall >= seconds:
            break
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    return {
        "per_second": samples / wall,
        "cpu_per_million": 1e6 * cpu / samples,
        "epochs": done,
        "ready": ready,
        "versions": {package: importlib.metadata.version(package) for package in contestant.packages},
    }


def cpu_seconds() -> float:
    """Return the processor time of this process, of the workers it has waited for, and of those that run."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used) + _running_workers()


def _running_workers() -> float:
    # Workers that stay from epoch to epoch are no part of RUSAGE_CHILDREN before they end.
    ticks: dict[int, tuple[int, float]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            # It ended between the listing and the reading.
            continue
        # After the name: state, parent, and from the twelfth on its own time and that of its dead children.
        ticks[int(stat.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    return sum(spent for pid, (_, spent) in ticks.items() if _descends(pid, ticks)) / os.sysconf("SC_CLK_TCK")


def _descends(pid: int, ticks: dict[int, tuple[int, float]]) -> bool:
    pid = ticks[pid][0]
    while pid in ticks:
        if pid == os.getpid():
            return True
        pid = ticks[pid][0]
    return False


if __name__ == "__main__":
    main()
