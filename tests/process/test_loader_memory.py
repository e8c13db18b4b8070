"""What a loader holds: within its budget however slow the consumer, and nothing once it was left."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from s3dlio.torch import Loader

from tests.fixtures.programs import ends_within, interrupt, started
from tests.frameworks.programs.memory import planning_threads
from tests.frameworks.programs.numbers import run_program

MIB = 1 << 20
RECORD = 2 * MIB
COUNT = 64
BATCH = 2 * RECORD
BUDGET = 16 * MIB


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight times the budget."""
    directory = tmp_path_factory.mktemp("large")
    for number in range(COUNT):
        np.save(directory / f"{number:03}.npy", np.full(RECORD // 4, number, np.float32))
    return directory


def measure(what: str, decoder: str, directory: Path, budget: int) -> dict[str, Any]:
    done = run_program(*("-m", "tests.frameworks.programs.memory", what, decoder, str(directory), str(budget)))
    return json.loads(done.stdout)


@pytest.mark.parametrize("decoder", ["bytes", "npy"])
def test_a_consumer_100_times_slower_does_not_fill_the_memory(decoder: str, directory: Path) -> None:
    found = measure("slow", decoder, directory, BUDGET)
    assert found["batches"] == COUNT // 2
    assert found["samples"] == COUNT
    assert BUDGET / 2 < found["budget_peak"] <= BUDGET
    assert found["budget_used"] == 0
    assert found["planning"] == 0
    # What the system sees adds the consumer's batches and what the allocator keeps for reuse.
    assert found["peak"] < COUNT * RECORD / 2


@pytest.mark.parametrize("decoder", ["bytes", "npy"])
def test_an_iterator_that_is_left_frees_its_memory_and_threads(decoder: str, directory: Path) -> None:
    budget = 96 * MIB
    found = measure("left", decoder, directory, budget)
    assert found["planning"] == 1
    assert found["held"] > budget / 2
    assert found["seconds"] < 2
    assert found["kept"] < budget / 2


WAITING = """
import sys
from s3dlio.torch import Loader, S3MapDataset
uris = [f"s3://bucket/data/{i}" for i in range(4)]
data = Loader(uris) if sys.argv[1] == "loader" else S3MapDataset(uris)
print("waiting", flush=True)
try:
    next(iter(data)) if sys.argv[1] == "loader" else data[0]
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("kind", ["loader", "map"])
@pytest.mark.usefixtures("to_silent")
def test_ctrl_c_ends_a_wait_at_once(kind: str) -> None:
    def attempt() -> float:
        with started(WAITING, kind) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            time.sleep(0.5)
            assert process.poll() is None
            return interrupt(process, "interrupted\n")

    ends_within(1, attempt)


def test_an_iterator_left_while_its_store_is_silent_frees_its_threads(
    to_silent: Any,
) -> None:
    before = planning_threads()
    loader = Loader([f"s3://bucket/data/{i}" for i in range(1000)], batch_size=4, num_workers=2)
    batches = iter(loader)
    deadline = time.monotonic() + 20
    while len(to_silent.requests) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert planning_threads() == before + 1
    del batches, loader
    while planning_threads() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
