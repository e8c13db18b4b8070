"""Every Python example of the published Pisky document, as written there but for the name of the module."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from pathlib import Path

import pytest
from s3dlio import disky

DOCUMENT = Path(__file__).with_name("pisky.md").read_text()


def examples() -> list[tuple[str, str]]:
    """Return heading and code of each example that uses the package."""
    found, heading = [], ""
    for title, code in re.findall(r"^#{2,} ([^\n]*)$|```python\n(.*?)```", DOCUMENT, re.MULTILINE | re.DOTALL):
        heading = title or heading
        if "pisky" in code:
            found.append((heading, textwrap.dedent(code)))
    return found


def test_the_document_has_its_examples():
    assert len(examples()) == 7


@pytest.mark.parametrize(("heading", "code"), examples(), ids=lambda text: text if "\n" not in text else "")
def test_runs_as_documented(heading, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # What the document takes for granted: a file to read, and shards in the new directory that it reads.
    if '"input.disky"' in code:
        with disky.RecordWriter("input.disky") as writer:
            writer.write_record(b"Record 1")
    if "Assuming temp_dir contains sharded files" in code:
        made = "\n    disky.MultiThreadedWriter.new_with_shards(temp_dir).close()"
        code = code.replace("TemporaryDirectory() as temp_dir:", f"TemporaryDirectory() as temp_dir:{made}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.replace("from pisky import", "from s3dlio.disky import"), {"disky": disky})  # noqa: S102 - see above
    expected = {
        "Reading Records": "Record: Record 1\n",
        "Manual Reading and Writing": "Record 1\nRecord 2\n",
        "Multi-Threaded Writing": "Created 2 shard files\n",
        "Multi-Threaded Reading": "Read 0 records\n",
    }
    assert printed.getvalue() == expected.get(heading, "")


def test_the_documented_parameters_exist():
    for name, methods in {
        "RecordWriter": ["write_record", "flush", "close"],
        "RecordReader": ["next_record", "close"],
        "Bytes": ["to_bytes", "isalnum", "upper"],
        "MultiThreadedWriter": ["write_record", "flush", "close", "pending_tasks", "available_writers"],
        "MultiThreadedReader": ["next_record", "close", "queued_records", "queued_bytes"],
    }.items():
        for method in methods:
            assert callable(getattr(getattr(disky, name), method))
