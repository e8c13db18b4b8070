"""Ranks and workers of one machine share what it can have in flight."""

from __future__ import annotations

import pytest
import s3dlio

from tests.fixtures.programs import run
from tests.fixtures.testkit import fault

COUNT = 72

EPOCH = """
import sys
from s3dlio.batches import Batches

batches = Batches(sys.argv[1], batch_size=8, rank=0, world_size=1)
print(sum(len(batch) for batch in batches), flush=True)
"""

BY_INDEX = """
import sys
import s3dlio

data = s3dlio.create_dataset(sys.argv[1])
print(len(data.read(range(len(data)))), flush=True)
"""


@pytest.mark.parametrize("program", [EPOCH, BY_INDEX], ids=["an epoch", "positions"])
@pytest.mark.parametrize(("ranks", "most"), [("1", 64), ("16", 32), ("128", 4)])
def test_reads_in_flight_are_shared_among_the_ranks_of_a_machine(testkit, program, ranks, most):
    place = testkit.bucket()
    s3dlio.put_many([(f"{place}/{number:03}", b"content") for number in range(COUNT)])
    testkit.reset()
    # Long enough that all requests that may be in flight are, whatever else the machine does.
    testkit.faults(fault("stall", seconds=0.2, where={"operation": "GetObject"}))
    assert run(program, f"{place}/", LOCAL_WORLD_SIZE=ranks) == f"{COUNT}\n"
    assert testkit.counts()["operations"]["GetObject"] == COUNT
    found = testkit.counts()["most_at_once"]
    assert found <= most
    assert found > most // 2
