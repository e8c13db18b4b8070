"""Copies of objects and trees between any two stores, and between stores and local files.

An object is complete under its new name or not there. Large objects go in ranges that belong to one version of the
source; the bytes held at any moment stay below ``S3DLIO_MEMORY_BUDGET``.
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from s3dlio import _s3dlio, aio, storage
from s3dlio.errors import ConfigError
from s3dlio.progress import bar

__all__ = [
    "Report",
    "TransferSummary",
    "copy",
    "copy_async",
    "download",
    "download_async",
    "upload",
    "upload_async",
]

Path: TypeAlias = str | os.PathLike[str]
Report: TypeAlias = Callable[[int, int, int, int], object]
"""Is told ``(objects, all objects, bytes, all bytes)`` from time to time, and at the end."""


@dataclass(frozen=True, slots=True)
class TransferSummary:
    """What a transfer did.

    Attributes:
        objects: Objects that were copied.
        bytes: Their bytes.
        skipped: Objects that ``resume=True`` left alone.
        seconds: Time it took.
    """

    objects: int
    bytes: int
    skipped: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Options:
    """What the three functions have in common."""

    recursive: bool
    pattern: str | re.Pattern[str] | None
    resume: bool
    overwrite: bool
    max_in_flight: int


def _texts(paths: Path | Sequence[Path]) -> list[str]:
    return [os.fspath(paths)] if isinstance(paths, str | os.PathLike) else [os.fspath(path) for path in paths]


def _given(function: str, names: str, **values: object) -> str:
    """Return the name of the one argument, among several for one thing, that was given."""
    given = [name for name, value in values.items() if value is not None]
    if len(given) != 1:
        raise TypeError(f"{function}() takes its {names} by exactly one of {', '.join(values)}: found {given}")
    return given[0]


# How the flags of a compiled pattern stand in its text.
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


def _expression(pattern: re.Pattern[str]) -> str:
    letters = "".join(letter for letter, flag in _FLAGS.items() if pattern.flags & flag)
    return f"(?{letters}:{pattern.pattern}\n)" if "x" in letters else f"(?{letters}:{pattern.pattern})"


def _in_flight(value: int) -> int:
    if isinstance(value, bool):
        raise TypeError(f"option `max_in_flight`: found {value!r}, expected an integer")
    if (number := operator.index(value)) < 1:
        raise ConfigError(f"option `max_in_flight`: found {number}, expected an integer of at least 1")
    return number


def _transfer(
    sources: list[str],
    dest: str,
    options: _Options,
    *,
    local_sources: bool = False,
    local_dest: bool = False,
    into_directory: bool = False,
) -> _s3dlio.Transfer:
    pattern = options.pattern
    return _s3dlio.Transfer(
        sources,
        dest,
        local_sources=local_sources,
        local_dest=local_dest,
        recursive=options.recursive,
        glob=None if isinstance(pattern, re.Pattern) else pattern,
        regex=_expression(pattern) if isinstance(pattern, re.Pattern) else None,
        max_in_flight=_in_flight(options.max_in_flight),
        resume=options.resume,
        overwrite=options.overwrite,
        into_directory=into_directory,
    )


@contextmanager
def _reporting(progress: bool | Report | None) -> Generator[Report | None]:
    """Give the function that is told of the progress; ``True`` draws a bar."""
    if progress is True:
        with bar() as drawn:

            def draw(objects: int, all_objects: int, moved: int, all_bytes: int) -> None:
                drawn.total = all_bytes
                drawn.set_postfix_str(f"{objects}/{all_objects} objects", refresh=False)
                drawn.update(moved - drawn.n)

            yield draw
    else:
        yield progress or None


def _run(transfer: _s3dlio.Transfer, progress: bool | Report | None) -> TransferSummary:
    with _reporting(progress) as report:
        return TransferSummary(*transfer.wait(report))


async def _await(transfer: _s3dlio.Transfer, progress: bool | Report | None) -> TransferSummary:
    import asyncio  # noqa: PLC0415 - 20 ms of import time that only asynchronous programs should pay

    with _reporting(progress) as report:
        running = asyncio.ensure_future(aio.result(transfer.operation()))
        try:
            while report is not None and not running.done():
                await asyncio.wait({running}, timeout=0.1)
                report(*transfer.progress())
            return TransferSummary(*await running)
        finally:
            running.cancel()


def _copying(src: Path | Sequence[Path], dst: Path, options: _Options) -> _s3dlio.Transfer:
    return _transfer(_texts(src), os.fspath(dst), options)


def copy(
    src: str | Sequence[str],
    dst: str,
    max_in_flight: int = 32,
    *,
    recursive: bool = True,
    pattern: str | re.Pattern[str] | None = None,
    resume: bool = False,
    overwrite: bool = True,
    progress: bool | Report | None = None,
) -> TransferSummary:
    """Copy an object or a tree from any store to any store.

    Inside one bucket the store copies; between others the bytes pass through this process.

    Args:
        src: URI of an object, of a directory (its layout is kept), or with a ``*`` (``*`` selects in one directory,
            ``**`` also below); or several of them.
        dst: URI of the copy. It is a directory if it ends in ``/``, exists as one, or if ``src`` is anything but one
            object; then names go below it.
        max_in_flight: Objects copied at the same time.
        recursive: Everything below a directory, or only the objects directly in it.
        pattern: Selects by the path below ``src``: a glob (``*.npz``, matched against the path or its last segment)
            or a compiled regular expression.
        resume: Leave alone what is there with the same size and no older than its source (to the second, where the
            store tells times to the second).
        overwrite: Replace what is there; ``False`` raises before anything is written.
        progress: ``True`` for a bar (needs ``tqdm``), or a function that is called about ten times a second with
            ``(objects, all objects, bytes, all bytes)``; what it raises ends the transfer.

    Raises:
        NotFoundError: There is no such source, or nothing matches.
        InvalidUriError: A name would leave the destination, or two objects would go to one name; nothing was written.
        AlreadyExistsError: ``overwrite=False`` and something is there; nothing was written.
        PermissionDeniedError, StoreTimeoutError, StoreError: A store refused, was silent, or failed; what was copied
            by then stays.
    """
    options = _Options(recursive, pattern, resume, overwrite, max_in_flight)
    return _run(_copying(src, dst, options), progress)


async def copy_async(
    src: str | Sequence[str],
    dst: str,
    max_in_flight: int = 32,
    *,
    recursive: bool = True,
    pattern: str | re.Pattern[str] | None = None,
    resume: bool = False,
    overwrite: bool = True,
    progress: bool | Report | None = None,
) -> TransferSummary:
    """As :func:`copy`."""
    options = _Options(recursive, pattern, resume, overwrite, max_in_flight)
    return await _await(_copying(src, dst, options), progress)


def _uploading(
    sources: dict[str, Path | Sequence[Path] | None], dests: dict[str, str | None], options: _Options
) -> tuple[_s3dlio.Transfer, str | None]:
    """Return the transfer, and where a bucket may have to be made first; local directories are made by the writing."""
    source = sources[_given("upload", "source", **sources)]
    named = _given("upload", "destination", **dests)
    dest = dests[named]
    assert source is not None and dest is not None  # noqa: PT018, S101 - told by the lines above
    single = isinstance(source, str | os.PathLike) and named != "dest_prefix"
    place = os.fspath(dest)
    transfer = _transfer(_texts(source), place, options, local_sources=True, into_directory=not single)
    return transfer, None if place.startswith(("file://", "direct://")) else place


def upload(
    src: Path | Sequence[Path] | None = None,
    dest: str | None = None,
    max_in_flight: int = 32,
    create_bucket: bool = False,
    *,
    src_patterns: Path | Sequence[Path] | None = None,
    dest_prefix: str | None = None,
    local_dir: Path | None = None,
    remote_uri: str | None = None,
    src_uri: Path | None = None,
    dest_uri: str | None = None,
    pattern: str | re.Pattern[str] | None = None,
    recursive: bool = True,
    resume: bool = False,
    overwrite: bool = True,
    progress: bool | Report | None = None,
) -> TransferSummary:
    """Copy local files to a store.

    Args:
        src: A path, a shell pattern (``data/*.bin``, ``data/**/*.bin``), or several of them; also spelt
            ``src_patterns``, ``local_dir``, ``src_uri``. A directory keeps its layout below the destination; files,
            and what a pattern matches, go by their last names. A name that exists is no pattern.
        dest: URI below which the files go; also spelt ``dest_prefix``, ``remote_uri``, ``dest_uri``. One file, given
            as one path, goes to just this URI unless that ends in ``/`` or is called ``dest_prefix``.
        max_in_flight: Files copied at the same time.
        create_bucket: Make the bucket of ``dest`` first, if it is not there.
        src_patterns: See ``src``.
        dest_prefix: See ``dest``.
        local_dir: See ``src``.
        remote_uri: See ``dest``.
        src_uri: See ``src``.
        dest_uri: See ``dest``.
        pattern: See :func:`copy`.
        recursive: See :func:`copy`.
        resume: See :func:`copy`.
        overwrite: See :func:`copy`.
        progress: See :func:`copy`.

    Raises:
        TypeError: Source or destination is missing, or given twice.
        NotFoundError, InvalidUriError, AlreadyExistsError: As :func:`copy`.
        PermissionDeniedError, StoreTimeoutError, StoreError: As :func:`copy`.
    """
    sources = {"src": src, "src_patterns": src_patterns, "local_dir": local_dir, "src_uri": src_uri}
    dests = {"dest": dest, "dest_prefix": dest_prefix, "remote_uri": remote_uri, "dest_uri": dest_uri}
    options = _Options(recursive, pattern, resume, overwrite, max_in_flight)
    transfer, bucket = _uploading(sources, dests, options)
    if create_bucket and bucket is not None:
        storage.create_bucket(bucket)
    return _run(transfer, progress)


async def upload_async(
    src: Path | Sequence[Path] | None = None,
    dest: str | None = None,
    max_in_flight: int = 32,
    create_bucket: bool = False,
    *,
    src_patterns: Path | Sequence[Path] | None = None,
    dest_prefix: str | None = None,
    local_dir: Path | None = None,
    remote_uri: str | None = None,
    src_uri: Path | None = None,
    dest_uri: str | None = None,
    pattern: str | re.Pattern[str] | None = None,
    recursive: bool = True,
    resume: bool = False,
    overwrite: bool = True,
    progress: bool | Report | None = None,
) -> TransferSummary:
    """As :func:`upload`."""
    sources = {"src": src, "src_patterns": src_patterns, "local_dir": local_dir, "src_uri": src_uri}
    dests = {"dest": dest, "dest_prefix": dest_prefix, "remote_uri": remote_uri, "dest_uri": dest_uri}
    options = _Options(recursive, pattern, resume, overwrite, max_in_flight)
    transfer, bucket = _uploading(sources, dests, options)
    if create_bucket and bucket is not None:
        await storage.create_bucket_async(bucket)
    return await _await(transfer, progress)


def _downloading(
    sources: dict[str, str | Sequence[str] | None], dests: dict[str, Path | None], options: _Options
) -> _s3dlio.Transfer:
    source = sources[_given("download", "source", **sources)]
    dest = dests[_given("download", "destination", **dests)]
    assert source is not None and dest is not None  # noqa: PT018, S101 - told by the lines above
    return _transfer(_texts(source), os.fspath(dest), options, local_dest=True, into_directory=True)


def download(
    src: str | Sequence[str] | None = None,
    dest: Path | None = None,
    max_in_flight: int = 64,
    recursive: bool = True,
    *,
    src_uri: str | Sequence[str] | None = None,
    dest_dir: Path | None = None,
    remote_uri: str | Sequence[str] | None = None,
    local_dir: Path | None = None,
    pattern: str | re.Pattern[str] | None = None,
    resume: bool = False,
    overwrite: bool = True,
    progress: bool | Report | None = None,
) -> TransferSummary:
    """Copy objects into a local directory, which is made if it is not there.

    Args:
        src: URI of an object, of a directory (its layout is kept), or with a ``*``, as in :func:`copy`; or several of
            them. Also spelt ``src_uri``, ``remote_uri``.
        dest: The directory; also spelt ``dest_dir``, ``local_dir``. Nothing is ever written outside of it.
        max_in_flight: Objects copied at the same time.
        recursive: See :func:`copy`.
        src_uri: See ``src``.
        dest_dir: See ``dest``.
        remote_uri: See ``src``.
        local_dir: See ``dest``.
        pattern: See :func:`copy`.
        resume: See :func:`copy`.
        overwrite: See :func:`copy`.
        progress: See :func:`copy`.

    Raises:
        TypeError: Source or destination is missing, or given twice.
        NotFoundError, InvalidUriError, AlreadyExistsError: As :func:`copy`.
        PermissionDeniedError, StoreTimeoutError, StoreError: As :func:`copy`.
    """
    sources = {"src": src, "src_uri": src_uri, "remote_uri": remote_uri}
    dests = {"dest": dest, "dest_dir": dest_dir, "local_dir": local_dir}
    options = _Options(recursive, pattern, resume, overwrite, max_in_flight)
    return _run(_downloading(sources, dests, options), progress)


async def download_async(
    src: str | Sequence[str] | None = None,
    dest: Path | None = None,
    max_in_flight: int = 64,
    recursive: bool = True,
    *,
    src_uri: str | Sequence[str] | None = None,
    dest_dir: Path | None = None,
    remote_uri: str | Sequence[str] | None = None,
    local_dir: Path | None = None,
    pattern: str | re.Pattern[str] | None = None,
    resume: bool = False,
    overwrite: bool = True,
    progress: bool | Report | None = None,
) -> TransferSummary:
    """As :func:`download`."""
    sources = {"src": src, "src_uri": src_uri, "remote_uri": remote_uri}
    dests = {"dest": dest, "dest_dir": dest_dir, "local_dir": local_dir}
    options = _Options(recursive, pattern, resume, overwrite, max_in_flight)
    return await _await(_downloading(sources, dests, options), progress)
