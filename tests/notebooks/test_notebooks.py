"""Every notebook runs, and shows what it promises."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def test_there_are_notebooks():
    assert len(NAMES) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_run_is_kept(name):
    book = nbformat.read(NOTEBOOKS / name, 4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


# The kernel's own parts warn of what later releases of each other will change.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_shows_a_plot(name, tmp_path, monkeypatch):
    # Kernels of one run must not share the files of another.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    book = nbformat.read(NOTEBOOKS / name, 4)
    client = NotebookClient(book, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
