"""Storage verbs over ``file://``, ``memory://`` and ``s3://``.

Each verb has an ``_async`` twin, a coroutine. URIs are taken literally: no percent-decoding. Settings of the network
stores come from the environment at each call; docs/environment.md lists them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

from s3dlio import _s3dlio, aio
from s3dlio.errors import ConfigError

if TYPE_CHECKING:
    import builtins

    from typing_extensions import Buffer

    from s3dlio._s3dlio import BytesView

__all__ = [
    "ObjectStat",
    "delete",
    "delete_async",
    "exists",
    "exists_async",
    "get",
    "get_async",
    "get_many",
    "get_many_async",
    "get_range",
    "get_range_async",
    "list",
    "list_async",
    "list_iter",
    "put",
    "put_async",
    "put_bytes",
    "put_bytes_async",
    "put_many",
    "put_many_async",
    "stat",
    "stat_async",
    "stat_many",
    "stat_many_async",
]


class ObjectStat(TypedDict):
    """Metadata of an object; ``None`` where the store does not tell."""

    size: int
    last_modified: str
    etag: str | None
    content_type: str | None
    content_language: str | None
    content_encoding: str | None
    cache_control: str | None
    content_disposition: str | None
    expires: str | None
    storage_class: str | None
    server_side_encryption: str | None
    ssekms_key_id: str | None
    sse_customer_algorithm: str | None
    version_id: str | None
    replication_status: str | None
    metadata: dict[str, str]


def _at_least(option: str, value: int, least: int) -> int:
    try:
        # NumPy's integers count as well: offsets often come out of an index array.
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        message = f"option `{option}`: found {value!r}, expected an integer"
        raise TypeError(message)
    if number < least:
        message = f"option `{option}`: found {number}, expected an integer of at least {least}"
        raise ConfigError(message)
    return number


def _get(uri: str, offset: int | None, length: int | None) -> _s3dlio.Operation[BytesView]:
    start = 0 if offset is None else _at_least("offset", offset, 0)
    return _s3dlio.get(uri, start, None if length is None else _at_least("length", length, 0))


def get(uri: str, *, offset: int | None = None, length: int | None = None) -> BytesView:
    """Read an object, or ``length`` bytes of it from ``offset``.

    A range that passes the end is cut there; one that begins behind the end gives no bytes. Objects above 16 MiB come
    as parallel range requests into one buffer.

    Raises:
        NotFoundError: There is no such object.
        ConfigError: ``offset`` or ``length`` is negative.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    return _get(uri, offset, length).wait()


async def get_async(uri: str, *, offset: int | None = None, length: int | None = None) -> BytesView:
    """As :func:`get`."""
    return await aio.result(_get(uri, offset, length))


def get_range(uri: str, offset: int, length: int | None = None) -> BytesView:
    """Read ``length`` bytes (to the end if ``None``) from ``offset``; see :func:`get`."""
    return _get(uri, offset, length).wait()


async def get_range_async(uri: str, offset: int, length: int | None = None) -> BytesView:
    """As :func:`get_range`."""
    return await aio.result(_get(uri, offset, length))


def _in_flight(max_in_flight: int, workers: int | None, concurrency: int | None) -> int:
    for option, value in (("workers", workers), ("concurrency", concurrency)):
        if value is not None:
            return _at_least(option, value, 1)
    return _at_least("max_in_flight", max_in_flight, 1)


def get_many(
    uris: Sequence[str], max_in_flight: int = 64, *, workers: int | None = None, concurrency: int | None = None
) -> builtins.list[tuple[str, BytesView]]:
    """Read many objects; returns ``(uri, bytes)`` pairs in the order of ``uris``.

    URIs may repeat and mix schemes. ``max_in_flight`` (also spelt ``workers`` or ``concurrency``) bounds the network
    requests at any moment; local files are read by the reading threads. The first failure ends the call.

    Raises:
        ConfigError: The bound is below 1.
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: As :func:`get`, naming the URI.
    """
    return _s3dlio.get_many([*uris], _in_flight(max_in_flight, workers, concurrency)).wait()


async def get_many_async(
    uris: Sequence[str], max_in_flight: int = 64, *, workers: int | None = None, concurrency: int | None = None
) -> builtins.list[tuple[str, BytesView]]:
    """As :func:`get_many`."""
    return await aio.result(_s3dlio.get_many([*uris], _in_flight(max_in_flight, workers, concurrency)))


def put(uri: str, data: Buffer) -> None:
    """Write an object; a reader sees the old object or the whole new one.

    ``data`` is any contiguous buffer (``bytes``, ``bytearray``, ``memoryview``, an array) and must not change during
    the call. Local files are written under a temporary name, synced and renamed; directories are made.

    Raises:
        InvalidUriError: The text has no known scheme, or names a directory.
        TypeError: ``data`` has no buffer.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    _s3dlio.put(uri, data).wait()


async def put_async(uri: str, data: Buffer) -> None:
    """As :func:`put`."""
    await aio.result(_s3dlio.put(uri, data))


def put_bytes(uri: str, data: Buffer) -> None:
    """As :func:`put`."""
    _s3dlio.put(uri, data).wait()


async def put_bytes_async(uri: str, data: Buffer) -> None:
    """As :func:`put`."""
    await aio.result(_s3dlio.put(uri, data))


def put_many(items: Iterable[tuple[str, Buffer]], max_in_flight: int = 64) -> None:
    """Write many objects, ``max_in_flight`` at a time; the first failure ends the call.

    Raises:
        ConfigError: The bound is below 1.
        InvalidUriError, TypeError, PermissionDeniedError, StoreTimeoutError, StoreError: As :func:`put`.
    """
    _s3dlio.put_many([*items], _at_least("max_in_flight", max_in_flight, 1)).wait()


async def put_many_async(items: Iterable[tuple[str, Buffer]], max_in_flight: int = 64) -> None:
    """As :func:`put_many`."""
    await aio.result(_s3dlio.put_many([*items], _at_least("max_in_flight", max_in_flight, 1)))


# How the flags of a compiled pattern stand in its text.
_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}


def _listing(uri: str, recursive: bool, pattern: str | re.Pattern[str] | None) -> _s3dlio.Listing:
    if isinstance(pattern, re.Pattern):
        letters = "".join(letter for flag, letter in _FLAGS.items() if pattern.flags & flag)
        return _s3dlio.Listing(uri, recursive, regex=f"(?{letters}){pattern.pattern}" if letters else pattern.pattern)
    return _s3dlio.Listing(uri, recursive, either=pattern)


def list(
    uri: str,
    recursive: bool = False,
    pattern: str | re.Pattern[str] | None = None,
) -> builtins.list[str]:
    """List what is below ``uri`` as full URIs in ascending order.

    Args:
        uri: A directory, with or without its trailing slash; or one object. A ``*`` in it selects below the directory
            before it.
        recursive: Everything below; otherwise one level, with directories ending in ``/``.
        pattern: Selects by the key relative to ``uri``: a glob (``*.npz``, matched against the key or its last
            segment), or a regular expression, searched for anywhere in the key.

    Returns an empty list where nothing is.

    Raises:
        ConfigError: The pattern is neither a glob nor a regular expression.
        NotFoundError: The bucket does not exist.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    return _listing(uri, recursive, pattern).all().wait()


async def list_async(
    uri: str,
    recursive: bool = False,
    pattern: str | re.Pattern[str] | None = None,
) -> builtins.list[str]:
    """As :func:`list`."""
    return await aio.result(_listing(uri, recursive, pattern).all())


def list_iter(
    uri: str,
    recursive: bool = False,
    pattern: str | re.Pattern[str] | None = None,
) -> Iterator[str]:
    """As :func:`list`, page by page: memory does not grow with the number of objects in a network store."""
    listing = _listing(uri, recursive, pattern)
    while page := listing.page().wait():
        yield from page


def stat(uri: str) -> ObjectStat:
    """Metadata of an object, without its body.

    Raises:
        NotFoundError: There is no such object.
        UnsupportedError: It is a directory.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    return _s3dlio.stat(uri).wait()


async def stat_async(uri: str) -> ObjectStat:
    """As :func:`stat`."""
    return await aio.result(_s3dlio.stat(uri))


async def stat_many_async(uris: Sequence[str], max_in_flight: int = 64) -> builtins.list[ObjectStat]:
    """Metadata of many objects in the order of ``uris``, ``max_in_flight`` at a time; see :func:`stat`."""
    import asyncio  # noqa: PLC0415 - 20 ms of import time that only asynchronous programs should pay

    turns = asyncio.Semaphore(_at_least("max_in_flight", max_in_flight, 1))

    async def one(uri: str) -> ObjectStat:
        async with turns:
            return await stat_async(uri)

    return await asyncio.gather(*(one(uri) for uri in uris))


def stat_many(uris: Sequence[str], max_in_flight: int = 64) -> builtins.list[ObjectStat]:
    """As :func:`stat_many_async`, from code that does not await."""
    import asyncio  # noqa: PLC0415 - see above
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - see above

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(stat_many_async(uris, max_in_flight))
    # The cells of a notebook run inside a loop, and a thread has only one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, stat_many_async(uris, max_in_flight)).result()


def exists(uri: str) -> bool:
    """Whether an object exists; with a trailing slash, whether anything exists below it.

    Raises:
        PermissionDeniedError, StoreTimeoutError, StoreError: The store gave no answer; this is never ``False``.
    """
    return _s3dlio.exists(uri).wait()


async def exists_async(uri: str) -> bool:
    """As :func:`exists`."""
    return await aio.result(_s3dlio.exists(uri))


def delete(uri: str, recursive: bool = False) -> None:
    """Remove an object; with ``recursive=True`` also everything below ``uri/``.

    The key is exact (``foo`` never touches ``foobar``). What is not there counts as removed.

    Raises:
        UnsupportedError: ``uri`` is a directory and ``recursive`` is not set.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    _s3dlio.delete(uri, recursive).wait()


async def delete_async(uri: str, recursive: bool = False) -> None:
    """As :func:`delete`."""
    await aio.result(_s3dlio.delete(uri, recursive))
