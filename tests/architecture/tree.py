"""The source tree as data, for the tests of its rules."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project, relative to its root: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (Path(name) for name in listed.stdout.split("\0") if name)
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


def text(path: Path) -> str | None:
    """The text of a file of the project; None for binary data."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def sources(folder: str, suffix: str) -> dict[Path, str]:
    """The sources with this suffix under a folder, by path; an error where there are none."""
    found = {path: text(path) or "" for path in files() if path.suffix == suffix and path.is_relative_to(folder)}
    if not found:
        message = f"no *{suffix} under {folder}: the rule would check nothing"
        raise LookupError(message)
    return found
