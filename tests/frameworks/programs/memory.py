"""A slow consumer, and one that leaves early: what the process holds, as one line of JSON.

Usage: ``python -m tests.frameworks.programs.memory slow|left bytes|npy DIRECTORY BUDGET``
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable
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
    count = 0
    for path in Path("/proc/self/task").glob("*/comm"):
        # A thread may end between being listed and being looked at.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            count += path.read_text().strip() == "s3dlio-plan"
    return count


def slow(loader: Loader, pace: float) -> dict[str, Any]:
    base, peak, count = resident(), 0, 0
    for count, batch in enumerate(loader, start=1):
        if count <= SLOW:
            time.sleep(pace)
        peak = max(peak, resident() - base)
        del batch
    return {"peak": peak, "batches": count, "planning": planning_threads(), **loader.stats()}


def left(make: Callable[[], Loader]) -> dict[str, Any]:
    base = resident()
    loader = make()
    batches = iter(loader)
    next(batches)
    deadline = time.monotonic() + 20
    while loader.stats()["bytes"] < 0.75 * loader.stats()["budget_limit"]:
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

    def make() -> Loader:
        return Loader(uri, batch_size=BATCH, decoder=decoder, memory_budget=budget)

    # A few records only: what a whole epoch leaves with the allocator would hide what is measured.
    few = [f"{uri}{number:03}.npy" for number in range(4 * BATCH)]
    began = time.perf_counter()
    count = sum(1 for _ in Loader(few, batch_size=BATCH, decoder=decoder, memory_budget=1 << 20))
    pace = 100 * (time.perf_counter() - began) / count
    gc.collect()
    print(json.dumps(slow(make(), pace) if what == "slow" else left(make)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
