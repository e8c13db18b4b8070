"""A training job of two processes that is killed in the middle of an epoch and goes on from its checkpoint."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import s3dlio
from s3dlio.checkpoint import CheckpointManager

from tests.frameworks.programs.killed import EVERY, KILLED_AT
from tests.frameworks.programs.numbers import ROOT

pytestmark = pytest.mark.timeout(100)


def job(what: str, base: str) -> list[tuple[int, str]]:
    """Run both ranks to their end; the exit code and output of each."""
    command = [sys.executable, "-m", "tests.frameworks.programs.killed", what, base]
    ranks = [
        subprocess.Popen([*command, str(rank), "2"], cwd=ROOT, stdout=subprocess.PIPE, text=True) for rank in range(2)
    ]
    try:
        return [(rank.returncode, out) for rank, out in [(rank, rank.communicate(timeout=80)[0]) for rank in ranks]]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def test_a_job_killed_in_mid_epoch_ends_with_the_parameters_of_an_undisturbed_one(tmp_path: Path) -> None:
    base = f"file://{tmp_path}"
    rng = np.random.default_rng(1)
    for number in range(96):
        y = number % 2
        x = rng.normal(y, 1, 4).astype(np.float32)
        s3dlio.write_npz(f"{base}/data/{number:03}.npz", {"x": x, "y": np.int64(y)})
    killed = job("killed", base)
    assert [code for code, _ in killed] == [-signal.SIGKILL] * 2
    undisturbed = [out.strip() for _, out in killed]
    steps = CheckpointManager(f"{base}/checkpoints").steps()
    # The save that was under way is there as a whole or not at all.
    assert steps in ([*range(EVERY, KILLED_AT, EVERY)], [*range(EVERY, KILLED_AT + 1, EVERY)])
    resumed = job("resumed", base)
    assert [code for code, _ in resumed] == [0, 0]
    for (_, out), expected in zip(resumed, undisturbed, strict=True):
        assert out.splitlines() == [f"resumed at {steps[-1]}", expected]
    assert undisturbed[0].split()[1] == "36"
