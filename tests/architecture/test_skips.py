"""A skip that nobody allowed fails the run, whether of one test or of a whole module."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.architecture.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PASSES = "def test_a():\n    pass\n"
SKIPS = "import pytest\n\n\ndef test_a():\n    pytest.skip('as a test of skips')\n"
SKIPS_WHOLE = "import pytest\n\npytest.skip('as a test of skips', allow_module_level=True)\n"
EXPECTED_FAILURE = "import pytest\n\n\n@pytest.mark.xfail\ndef test_a():\n    assert False\n"


def run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """A pytest run of its own, under this suite's rules, over one passing module and the given one."""
    (folder / "test_passes.py").write_text(PASSES)
    (folder / "test_given.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(folder), "-c", "/dev/null", str(folder)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("source", [SKIPS, SKIPS_WHOLE], ids=["test", "module"])
def test_an_unexpected_skip_fails_the_run(tmp_path: Path, source: str) -> None:
    finished = run(tmp_path, source)
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED, finished.stdout
    assert "as a test of skips" in finished.stdout.partition("unexpected skips")[2]


@pytest.mark.parametrize("source", [PASSES, EXPECTED_FAILURE], ids=["pass", "xfail"])
def test_a_run_without_skips_passes(tmp_path: Path, source: str) -> None:
    finished = run(tmp_path, source)
    assert finished.returncode == pytest.ExitCode.OK, finished.stdout
