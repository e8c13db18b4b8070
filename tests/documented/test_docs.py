"""The Python examples of the documents run as they are written, each document from top to bottom.

Those about a framework run in ``tests/frameworks``.
"""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import s3dlio
from s3dlio.options import _FIELDS, LoaderOptions

from tests.fixtures.documents import DOCS, run_document

ROOT = Path(__file__).parents[2]

# The pages whose examples need what the test lends them, or nothing.
PAGES = (
    "array_record.md",
    "compat.md",
    "datasets.md",
    "disky.md",
    "howto/cache.md",
    "howto/credentials.md",
    "howto/ranks.md",
    "howto/slow.md",
    "howto/tuning.md",
    "index.md",
    "install.md",
    "options.md",
    "parquet.md",
    "stores.md",
    "tfrecord.md",
    "writers.md",
)
# Those that tests/frameworks runs, and those whose examples other tests run as part of a program.
ELSEWHERE = {
    "checkpoint.md": "tests/frameworks/test_documents.py",
    "dali.md": "tests/frameworks/test_documents.py",
    "howto/dataloader.md": "tests/frameworks/test_documents.py",
    "howto/resume.md": "tests/frameworks/test_documents.py",
    "jax.md": "tests/frameworks/test_documents.py",
    "observability.md": "tests/documented/test_docs.py",
    "tensorflow.md": "tests/frameworks/test_documents.py",
}


@pytest.fixture
def data(documented_data: str) -> str:
    with s3dlio.array_record.ArrayRecordWriter(f"{documented_data}/test/0.array_record") as writer:
        writer.write(b"a test")
    return documented_data


def test_every_example_is_run_somewhere() -> None:
    with_examples = {
        path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if "\n```python\n" in path.read_text()
    }
    assert with_examples == {*PAGES, *ELSEWHERE}


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_run(
    page: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "howto/cache.md":
        monkeypatch.setenv("S3DLIO_READ_CACHE", str(tmp_path))
    records = [b"%d" % number for number in range(100)]
    names = run_document(page, data, {"/tmp/": f"{tmp_path}/"}, chunks=[b"123456789"], records=records)
    printed = capsys.readouterr().out
    expected = {
        "howto/cache.md": "1 from the cache",
        "howto/slow.md": "waited",
        "install.md": "(64, 8, 8)",
    }
    assert expected.get(page, "") in printed
    if page == "howto/credentials.md":
        assert names["report"].ok
        assert str(names["report"]) in printed
    if page == "writers.md":
        assert names["stats"]["checksum"] == "crc32c:e3069283"
    if page == "index.md":
        assert names["batch"]["image"].shape == (64, 8, 8)
        assert names["state"]["epoch"] == 0


def test_observability(data: str, tmp_path: Path) -> None:
    s3dlio.put(f"{data}/key", b"content")
    # Any free port.
    given = {"train": lambda: s3dlio.get(f"{data}/key")}
    changed = {'("", 9100)': '("127.0.0.1", 0)', "/tmp/": f"{tmp_path}/"}
    names = run_document("observability.md", data, changed, **given)
    assert names["get"]["operations"] > 0
    assert names["figures"]["verbs"]["GET"]["operations"] == 1
    assert (tmp_path / "ops.png").stat().st_size > 0
    with names["server"] as server:
        host, port = server.server_address
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
            assert b's3dlio_operations_total{store="s3",verb="get"}' in answer.read()
        server.shutdown()


def test_the_table_of_options_is_complete() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", (DOCS / "options.md").read_text(), flags=re.MULTILINE)
    stated: dict[str, Any] = {}
    for names, defaults in rows:
        every = re.findall(r"`(\w+)`", names)
        values = [value.strip("` ") for value in re.split(r", (?![0-9]{3}\b)", defaults)]
        assert len(every) == len(values), names
        stated |= {name: eval(value.replace(",", "")) for name, value in zip(every, values, strict=True)}  # noqa: S307
    assert stated == {name: LoaderOptions().value(name) for name in _FIELDS}


def test_every_test_that_a_guarantee_names_is_there() -> None:
    named = re.findall(r"`((?:tests|rust)/[\w/]+\.\w+)`", (DOCS / "guarantees.md").read_text())
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_every_link_leads_somewhere() -> None:
    wrong = []
    for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("integrations/*/*.md")]:
        for target in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)?(?:#[^)\s]*)?\)", page.read_text()):
            if target and not (page.parent / target).exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert wrong == []


def test_the_rust_of_the_documents_is_that_of_the_example() -> None:
    """The example is compiled and run by the tests of its crate."""

    def lines(text: str) -> str:
        return "\n".join(line.strip() for line in text.strip().splitlines())

    example = lines((ROOT / "rust/tch/examples/train.rs").read_text())
    blocks = re.findall(r"```rust\n(.*?)```", (ROOT / "docs/howto/rust.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    assert [block for block in blocks if lines(block) not in example] == []
