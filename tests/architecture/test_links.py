"""Links of the documents lead somewhere, and the files that they name are there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.architecture.tree import ROOT, files, text

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)
# A path of the repository in backticks, without patterns.
NAMED = re.compile(r"`((?:tests|rust|python|docs|benches|notebooks|integrations|examples)/[\w./-]+\.\w+)`")
HEADING = re.compile(r"^#+ (.*)$", flags=re.MULTILINE)


def documents() -> list[Path]:
    return [path for path in files() if path.suffix in {".md", ".ipynb"} and "data" not in path.parts]


def words(path: Path) -> str:
    """The prose of a document."""
    if path.suffix == ".md":
        return text(path)
    cells = json.loads(text(path))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def anchors(path: Path) -> set[str]:
    """What a link may name behind the hash, by the rule that GitHub and the site share."""
    headings = (re.sub(r"[`*]", "", heading).strip().lower() for heading in HEADING.findall(CODE.sub("", words(path))))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def broken(path: Path) -> list[str]:
    prose = CODE.sub("", words(path))
    found = []
    for link in LINK.findall(prose):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / path).parent / name if name else ROOT / path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found + [name for name in NAMED.findall(prose) if not (ROOT / name).exists()]


@pytest.mark.parametrize("path", documents(), ids=str)
def test_links_and_names_of_files(path: Path) -> None:
    assert broken(path) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`, three\n[a](page.md#one-two-three) [b](https://host/) [c](other.md) [d](#two)\n`tests/x.py`\n"
    )
    assert broken(page) == ["other.md", "#two", "tests/x.py"]
