"""Epoch after epoch: memory, threads and open files stay as they are."""

from __future__ import annotations

import json

from tests.frameworks.programs.numbers import run_program

MIB = 1 << 20


def test_many_epochs_leave_nothing_behind(tmp_path):
    """As many as fit; ``make soak`` runs a thousand."""
    program = ("-m", "tests.frameworks.programs.soak", str(tmp_path), "--epochs", "150", "--seconds", "8")
    held = json.loads(run_program(*program).stdout)
    assert held["epochs"] > 2 * held["warm"]
    # A pool may keep a thread more or less at the moment of the look.
    assert abs(held["after"]["threads"] - held["before"]["threads"]) <= 2
    assert held["after"]["files"] <= held["before"]["files"] + 1
    assert held["after"]["rss"] <= held["before"]["rss"] + 16 * MIB
