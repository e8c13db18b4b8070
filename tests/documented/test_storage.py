"""Every documented storage call, on every store that it names."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import csv
import inspect
import io
import os
from typing import TYPE_CHECKING, Any

import pytest
import s3dlio

from tests.documented.snippets import SNIPPETS, Snippet

if TYPE_CHECKING:
    from pathlib import Path

WRITERS = {
    "s3": "s3_writer",
    "gs": "gcs_writer",
    "az": "azure_writer",
    "file": "filesystem_writer",
    "direct": "direct_filesystem_writer",
}

# What a call that is documented as an old name says.
pytestmark = pytest.mark.filterwarnings("ignore:s3dlio.*is an old name:FutureWarning")


def rows(path: str) -> list[dict[str, str]]:
    """Read an operation log with the tool that wrote none of it."""
    import zstandard

    with open(path, "rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file).read().decode()
    return [*csv.DictReader(io.StringIO(text), delimiter="\t")]


def files(directory: str, *names: str) -> None:
    os.makedirs(directory, exist_ok=True)
    for name in names:
        with open(os.path.join(directory, name), "wb") as file:
            file.write(name.encode())


def execute(code: str, names: dict[str, Any]) -> None:
    program = compile(code, "documented", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if program.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(program, names))  # noqa: S307 - the text stands beside this file
    else:
        exec(program, names)  # noqa: S102 - likewise


@pytest.mark.parametrize(
    ("snippet", "kind"),
    [pytest.param(snippet, kind, id=f"{snippet.name}-{kind}") for snippet in SNIPPETS for kind in snippet.stores],
)
def test_runs_as_documented(
    snippet: Snippet, kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place: str = request.getfixturevalue("place")(kind)
    content = {key: os.urandom(value) if isinstance(value, int) else value for key, value in snippet.objects.items()}
    s3dlio.put_many([(f"{place}/{key}", value) for key, value in content.items()])

    def fill(text: str) -> str:
        local = str(tmp_path)
        return text.replace("{place}", place).replace("{local}", local).replace("{writer}", WRITERS[kind])

    printed = io.StringIO()
    names: dict[str, Any] = {"s3dlio": s3dlio, "os": os, "rows": rows, "files": files}
    names |= {"place": place, "local": str(tmp_path)}
    execute(fill(snippet.given), names)
    with contextlib.redirect_stdout(printed):
        execute(fill(snippet.code), names)
    if "init_logging" in snippet.code:
        s3dlio.init_logging("warn")
    names["printed"] = printed.getvalue()
    assert eval(fill(snippet.holds), names), f"{snippet.holds}\n{names['printed']}"  # noqa: S307 - likewise
