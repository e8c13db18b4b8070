"""A slow consumer, and one that leaves early: what the process holds, as one line of JSON.

Usage: ``python -m tests.frameworks.programs.memory slow|left bytes|npy DIRECTORY BUDGET``
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from s3dlio.torch import Loader

BATCH = 2
# Batches that the consumer takes slowly; at these the loader has run against its budget for long.
SLOW = 8


def resident() -> int:
    return psutil.Process().memory_info().rss


def planning_threads() -> int:
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("s3dlio-plan")


def slow(loader: Loader, pace: float) -> dict[str, Any]:
    base, peak, count = resident(), 0, 0
    for count, batch in enumerate(loader, start=1):
        if count <= SLOW:
            time.sleep(pace)
        peak = max(peak, resident() - base)
        del batch
    return {"peak": peak, "batches": count, "planning": planning_threads(), **loader.stats()}


def left(loader: Loader) -> dict[str, Any]:
    base = resident()
    batches = iter(loader)
    next(batches)
    deadline = time.monotonic() + 20
    while loader.stats()["budget_used"] < 0.75 * loader.stats()["budget_limit"]:
        assert time.monotonic() < deadline, loader.stats()
        time.sleep(0.02)
    held, planning = resident() - base, planning_threads()
    # The data set keeps its iteration for states; leaving it behind is what a program does when it ends a loop.
    del batches, loader
    gc.collect()
    began = time.monotonic()
    while planning_threads() and time.monotonic() - began < 10:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    time.sleep(0.3)
    return {"held": held, "planning": planning, "seconds": seconds, "kept": resident() - base}


def main(what: str, decoder: str, directory: str, budget: int) -> None:
    uri = f"file://{directory}/"
    # Threads and buffers that stay for good are there before the measurement.
    began = time.perf_counter()
    count = sum(1 for _ in Loader(uri, batch_size=BATCH, decoder=decoder, memory_budget=budget))
    pace = 100 * (time.perf_counter() - began) / count
    gc.collect()
    loader = Loader(uri, batch_size=BATCH, decoder=decoder, memory_budget=budget)
    print(json.dumps(slow(loader, pace) if what == "slow" else left(loader)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
