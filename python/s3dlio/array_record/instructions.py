"""Which records of which files: file instructions, and paths that stand for several files."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol, TypeAlias, cast, runtime_checkable

from s3dlio import _s3dlio, storage
from s3dlio.errors import ConfigError, NotFoundError

__all__ = ["FileInstruction", "FileInstructionLike", "PathLikeOrFileInstruction", "Span", "spans"]


@dataclass(frozen=True)
class FileInstruction:
    """A range of the records of one file.

    Attributes:
        filename: Path or URI of the file.
        start: First record, from 0.
        num_records: How many records.
    """

    filename: str | PurePath
    start: int
    num_records: int

    def __post_init__(self) -> None:
        for name in ("start", "num_records"):
            if (value := getattr(self, name)) < 0:
                message = f"{self.filename}: `{name}`: found {value}, expected an integer of at least 0"
                raise ConfigError(message)

    @property
    def skip(self) -> int:
        """Records before the first: another name of ``start``."""
        return self.start

    @property
    def take(self) -> int:
        """How many records: another name of ``num_records``."""
        return self.num_records

    @property
    def examples_in_shard(self) -> int:
        """Number of records in the whole file, which is opened for it.

        Raises:
            NotFoundError, CorruptDataError, StoreError: The file cannot be opened.
        """
        return len(_s3dlio.ArrayRecordFiles([(_text(self.filename), 0, None)], ""))


@runtime_checkable
class FileInstructionLike(Protocol):
    """What any object needs to pass for a :class:`FileInstruction`."""

    filename: str | PurePath
    skip: int
    take: int
    examples_in_shard: int


PathLikeOrFileInstruction: TypeAlias = str | PurePath | FileInstruction | FileInstructionLike


@dataclass(frozen=True, slots=True)
class Span:
    """Records ``start`` to ``end`` of a file; ``end`` is ``None`` for the last one of the file."""

    filename: str
    start: int = 0
    end: int | None = None


_RANGE = re.compile(r"(?P<file>.*)\[(?P<start>\d+):(?P<end>\d+)\]", re.DOTALL)
_SHARDS = re.compile(r"(?P<base>.*)@(?P<count>\d+|\*)", re.DOTALL)
_WILDCARD = re.compile(r"[*?\[]")


def spans(paths: object) -> list[Span]:
    """Return what ``paths`` stand for, in their order.

    A text may be a path or URI; ``file[a:b]`` for records a to b - 1; a pattern with ``*``, ``?`` or ``[...]``, whose
    matches come in the order of their names; ``base@*`` or ``base@N`` for the shards ``base-00000-of-0000N``. A local
    file whose name looks like one of these is taken by its name.

    Raises:
        ValueError: There is no path, or one of a wrong type.
        NotFoundError: A pattern without a match, or a shard that is not there.
    """
    if isinstance(paths, str) or not isinstance(paths, Iterable):
        return _spans(paths)
    # A set has no order, and a generator no second pass.
    if not isinstance(paths, Sequence) or isinstance(paths, bytes | bytearray) or not paths:
        message = f"paths: found {paths!r}, expected a path, a file instruction, or a non-empty sequence of them"
        raise ConfigError(message)
    return [span for path in cast("Sequence[object]", paths) for span in _spans(path)]


def _spans(path: object) -> list[Span]:
    if isinstance(path, str):
        return _expanded(path)
    if isinstance(path, PurePath):
        text = _text(path)
        return [Span(text)] if os.path.exists(text) else _ranged(text)  # noqa: PTH110 - as below
    # Asking for `examples_in_shard`, as `isinstance` with the protocol does, would open the file.
    if all(hasattr(path, name) for name in ("filename", "skip", "take")):
        found = cast("FileInstructionLike", path)
        return [Span(_text(found.filename), found.skip, found.skip + found.take)]
    message = f"paths: found {path!r}, expected a str, a pathlib.Path, or an object with filename, skip and take"
    raise ConfigError(message)


def _expanded(text: str) -> list[Span]:
    if "://" not in text and os.path.exists(text):  # noqa: PTH110 - a pathlib.Path would drop trailing slashes
        return [Span(text)]
    if _RANGE.fullmatch(text):
        return _ranged(text)
    if found := _SHARDS.fullmatch(text):
        return [Span(name) for name in _shards(text, found["base"], found["count"])]
    if _WILDCARD.search(text):
        return [Span(name) for name in _matches(text)]
    return [Span(text)]


def _ranged(text: str) -> list[Span]:
    """Return the records of ``file[a:b]``, or all of a file."""
    found = _RANGE.fullmatch(text)
    if found is None:
        return [Span(text)]
    start, end = int(found["start"]), int(found["end"])
    if end < start:
        message = f"{text}: found an end of {end}, expected at least {start}, where the range begins"
        raise ConfigError(message)
    return [Span(found["file"], start, end)]


def _shards(text: str, base: str, count: str) -> list[str]:
    """Return the names of all shards, which have to be there."""
    pattern = re.compile(re.escape(base) + r"-(\d{5,})-of-(\d{5,})(?:\.[^/]*)?")
    found: dict[int, str] = {}
    totals: set[int] = set()
    for name in _matches(f"{base}-*-of-*"):
        if (match := pattern.fullmatch(name)) and count in {"*", str(int(match[2]))}:
            found[int(match[1])] = name
            totals.add(int(match[2]))
    if len(totals) > 1:
        message = f"{text}: found shards of {sorted(totals)} files, expected those of one number: write it for the *"
        raise ConfigError(message)
    total = totals.pop() if totals else 0
    if missing := [number for number in range(total) if number not in found]:
        message = f"{text}: shard {missing[0]} of {total} is not there ({len(missing)} are missing)"
        raise NotFoundError(message, uri=text)
    if not found:
        message = f"{text}: found no file named {base}-00000-of-{'0000N' if count == '*' else f'{int(count):05}'}"
        raise NotFoundError(message, uri=text)
    return [found[number] for number in range(total)]


def _matches(text: str) -> list[str]:
    """Return the files that a pattern matches, in the order of their names."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        found = glob.glob(text, recursive=True)  # noqa: PTH207 - pathlib.Path would change how names are written
    else:
        patterns = rest.split("/")
        fixed = next(number for number, part in enumerate(patterns) if _WILDCARD.search(part))
        if fixed == 0 and scheme in {"file", "direct"}:
            # A path that begins with its name is relative, and without a folder it would be the root.
            return _matches(f"{scheme}://./{rest}")
        directory = f"{scheme}://{'/'.join(patterns[:fixed])}/"
        uris = storage.list_iter(directory, recursive=fixed < len(patterns) - 1 or "**" in patterns)
        found = [uri for uri in uris if _fits(uri.partition("://")[2].split("/"), patterns)]
    if not found:
        message = f"{text}: found no file, expected at least one that matches"
        raise NotFoundError(message, uri=text)
    return sorted(found)


def _fits(parts: list[str], patterns: list[str]) -> bool:
    """Whether the segments of a path match those of a pattern; ``**`` stands for any number of them."""
    if not patterns or not parts:
        return not parts and all(pattern == "**" for pattern in patterns)
    if patterns[0] == "**":
        return _fits(parts, patterns[1:]) or _fits(parts[1:], patterns)
    return fnmatch.fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])


def _text(path: str | PurePath) -> str:
    return os.fspath(path)
