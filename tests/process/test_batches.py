"""Batches and processes: forks, and exits in the middle of an iteration."""

from __future__ import annotations

import pytest
import s3dlio

from tests.fixtures.programs import run

HEAD = """
import os, sys
import numpy as np
from s3dlio.batches import Batches

data = Batches(sys.argv[1], batch_size=4, shuffle=True)

def numbers(batches):
    return [int(array[0]) for batch in batches for array in batch]
"""


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    prefix = f"file://{tmp_path_factory.mktemp('numbers')}/"
    s3dlio.put_many([(f"{prefix}{number:03}", bytes([number]) * 100) for number in range(40)])
    return prefix


def test_a_forked_child_begins_its_own_iterations(uri):
    said = run(
        HEAD
        + """
from s3dlio import ForkedProcessError

running = iter(data)
first = numbers([next(running)])
child = os.fork()
if child == 0:
    try:
        next(running)
    except ForkedProcessError:
        print(len(numbers(data)), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(len(first + numbers(running)))
""",
        uri,
    )
    assert said == "40\n40\n"


@pytest.mark.parametrize("framework", ["numpy", "jax"])
def test_a_program_may_end_in_mid_epoch(uri, framework):
    begin = "from s3dlio.jax import Loader\ndata = Loader(sys.argv[1], batch_size=4, device_prefetch=2)\n"
    ending = "batches = iter(data)\nnext(batches)\nprint(len(next(batches)))\n"
    for _ in range(3):
        assert run(HEAD + (begin if framework == "jax" else "") + ending, uri, JAX_PLATFORMS="cpu") == "4\n"
