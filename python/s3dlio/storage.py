"""Verbs about one object, over every kind of store.

Each verb has an ``_async`` twin, a coroutine. URIs are taken literally: no percent-decoding. Settings of the network
stores come from the environment at each call; docs/environment.md lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

from s3dlio import _s3dlio, aio
from s3dlio.arguments import at_least
from s3dlio.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    import builtins

    from typing_extensions import Buffer

    from s3dlio._s3dlio import BytesView

__all__ = [
    "ObjectStat",
    "create_bucket",
    "create_bucket_async",
    "delete",
    "delete_async",
    "delete_bucket",
    "delete_bucket_async",
    "exists",
    "exists_async",
    "get",
    "get_async",
    "get_into",
    "get_into_async",
    "get_range",
    "get_range_async",
    "list",
    "list_async",
    "list_iter",
    "mkdir",
    "mkdir_async",
    "put_bytes",
    "put_bytes_async",
    "put_operation",
    "stat",
    "stat_async",
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


def _get(
    uri: str,
    offset: int | None,
    length: int | None,
    decompress: bool | str | None = None,
    direct_fallback: bool | None = None,
) -> _s3dlio.Operation[BytesView]:
    if decompress:
        if offset is not None or length is not None:
            message = f"option `decompress`: found {decompress!r} with a range, expected a whole object"
            raise ConfigError(message)
        return _s3dlio.get_decompressed(uri, "auto" if decompress is True else decompress, direct_fallback)
    start = 0 if offset is None else at_least("offset", offset, 0)
    return _s3dlio.get(uri, start, None if length is None else at_least("length", length, 0), direct_fallback)


def get(
    uri: str,
    *,
    offset: int | None = None,
    length: int | None = None,
    decompress: bool | str | None = None,
    direct_fallback: bool | None = None,
) -> BytesView:
    """Read an object, or ``length`` bytes of it from ``offset``.

    A range that passes the end is cut there; one that begins behind the end gives no bytes. Objects above 16 MiB come
    as parallel range requests into one buffer.

    ``decompress`` decodes a whole object: ``zstd``, ``gzip``, ``lz4``, or ``auto`` (also ``True``) for what its
    extension or else its first bytes say. Where a file system refuses ``direct://``, ``direct_fallback=True``
    reads through the page cache; ``None`` means what ``S3DLIO_DIRECT_FALLBACK`` says.

    Raises:
        NotFoundError: There is no such object.
        CorruptDataError: The body cannot be decoded, or becomes more than 16 GiB.
        UnsupportedError: It is a directory, or its file system refuses ``direct://``.
        ConfigError: ``offset`` or ``length`` is negative.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    return _get(uri, offset, length, decompress, direct_fallback).wait()


async def get_async(
    uri: str,
    *,
    offset: int | None = None,
    length: int | None = None,
    decompress: bool | str | None = None,
    direct_fallback: bool | None = None,
) -> BytesView:
    """As :func:`get`."""
    return await aio.result(_get(uri, offset, length, decompress, direct_fallback))


def get_range(uri: str, offset: int, length: int | None = None) -> BytesView:
    """Read ``length`` bytes (to the end if ``None``) from ``offset``; see :func:`get`."""
    return _get(uri, offset, length).wait()


async def get_range_async(uri: str, offset: int, length: int | None = None) -> BytesView:
    """As :func:`get_range`."""
    return await aio.result(_get(uri, offset, length))


def _get_into(
    uri: str,
    buffer: Buffer,
    expected_len: int | None,
    *,
    offset: int | None,
    length: int | None,
    direct_fallback: bool | None,
) -> _s3dlio.Operation[int]:
    if expected_len is not None and (nbytes := memoryview(buffer).nbytes) < expected_len:
        message = f"option `buffer`: found {nbytes} bytes, expected at least the expected_len={expected_len} of {uri}"
        raise ConfigError(message)
    start = 0 if offset is None else at_least("offset", offset, 0)
    count = None if length is None else at_least("length", length, 0)
    return _s3dlio.get_into(uri, buffer, start, count, direct_fallback)


def _of_length(uri: str, read: int, expected_len: int | None) -> int:
    if expected_len is not None and read != expected_len:
        message = f"{uri}: found {read} bytes, expected {expected_len}"
        raise CorruptDataError(message)
    return read


def get_into(
    uri: str,
    buffer: Buffer,
    *,
    offset: int | None = None,
    length: int | None = None,
    expected_len: int | None = None,
    direct_fallback: bool | None = None,
) -> int:
    """Read an object, or ``length`` bytes of it from ``offset``, into a writable buffer; return how many bytes came.

    The bytes go straight into the memory of ``buffer`` (a bytearray, an array, a tensor's array), from its beginning;
    what lies behind them stays as it is. Nothing else may use that memory until the call has returned. Memory that is
    used again and again is quicker to fill than the new memory of :func:`get`, which the system clears first.

    Raises:
        CorruptDataError: There are not ``expected_len`` bytes; those that there are have been read.
        ConfigError: The object, or the range, is longer than the buffer; or a number is negative.
        TypeError: ``buffer`` has no contiguous memory that can be written to.
        NotFoundError, UnsupportedError, PermissionDeniedError, StoreTimeoutError, StoreError: As in :func:`get`. The
            buffer may hold a part of the object then.
    """
    operation = _get_into(uri, buffer, expected_len, offset=offset, length=length, direct_fallback=direct_fallback)
    return _of_length(uri, operation.wait(), expected_len)


async def get_into_async(
    uri: str,
    buffer: Buffer,
    *,
    offset: int | None = None,
    length: int | None = None,
    expected_len: int | None = None,
    direct_fallback: bool | None = None,
) -> int:
    """As :func:`get_into`."""
    operation = _get_into(uri, buffer, expected_len, offset=offset, length=length, direct_fallback=direct_fallback)
    return _of_length(uri, await aio.result(operation), expected_len)


def put_bytes(
    uri: str,
    data: Buffer,
    *,
    create_only: bool = False,
    if_match: str | None = None,
    direct_fallback: bool | None = None,
) -> None:
    """Write an object; a reader sees the old object or the whole new one.

    Args:
        uri: Where to.
        data: Any contiguous buffer (``bytes``, ``bytearray``, ``memoryview``, an array), which must not change during
            the call, or an object with ``__bytes__``.
        create_only: Refuse to replace an object.
        if_match: Replace only the object with this entity tag, as :func:`stat` tells it.
        direct_fallback: As in :func:`get`.

    Local files are written under a temporary name, synced and renamed; directories are made.

    Raises:
        AlreadyExistsError: There is an object, and ``create_only`` is set.
        PreconditionError: The object is not the one of ``if_match``.
        InvalidUriError: The text has no known scheme, or names a directory.
        TypeError: ``data`` has no buffer.
        UnsupportedError: The store or file system cannot do it this way.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    put_operation(uri, data, create_only, if_match, direct_fallback).wait()


async def put_bytes_async(
    uri: str,
    data: Buffer,
    *,
    create_only: bool = False,
    if_match: str | None = None,
    direct_fallback: bool | None = None,
    borrow: bool = True,
) -> None:
    """As :func:`put_bytes`; with ``borrow=False`` of a copy, so that ``data`` may change while this is awaited."""
    content = data if borrow else bytes(data)
    await aio.result(put_operation(uri, content, create_only, if_match, direct_fallback))


def put_operation(
    uri: str, data: Buffer, create_only: bool, if_match: str | None, direct_fallback: bool | None
) -> _s3dlio.Operation[None]:
    """Begin what :func:`put_bytes` does."""
    if create_only and if_match is not None:
        message = (
            "options `create_only` and `if_match`: found both, expected one (an object cannot be new and replaced)"
        )
        raise ConfigError(message)
    try:
        return _s3dlio.put(uri, data, create_only, if_match, direct_fallback)
    except TypeError:
        # No buffer, but perhaps something that makes bytes of itself.
        if not hasattr(type(data), "__bytes__"):
            raise
        return _s3dlio.put(uri, bytes(data), create_only, if_match, direct_fallback)


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


def exists(uri: str) -> bool:
    """Whether an object exists; with a trailing slash, whether anything exists below it.

    Raises:
        PermissionDeniedError, StoreTimeoutError, StoreError: The store gave no answer; this is never ``False``.
    """
    return _s3dlio.exists(uri).wait()


async def exists_async(uri: str) -> bool:
    """As :func:`exists`."""
    return await aio.result(_s3dlio.exists(uri))


def _delete(uris: str | Sequence[str], recursive: bool) -> _s3dlio.Operation[None]:
    if isinstance(uris, str):
        return _s3dlio.delete(uris, recursive)
    if recursive:
        message = "option `recursive`: found a list of URIs, expected one URI (delete prefixes one after another)"
        raise ConfigError(message)
    return _s3dlio.delete_many([*uris])


def delete(uri: str | Sequence[str], recursive: bool = False) -> None:
    """Remove an object, or a list of them; with ``recursive=True`` one object and everything below ``uri/``.

    The key is exact (``foo`` never touches ``foobar``). What is not there counts as removed. A list is removed in the
    largest batches that the store takes; one that fails does not keep the others, and the first failure is raised.

    Raises:
        UnsupportedError: ``uri`` is a directory and ``recursive`` is not set.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    _delete(uri, recursive).wait()


async def delete_async(uri: str | Sequence[str], recursive: bool = False) -> None:
    """As :func:`delete`."""
    await aio.result(_delete(uri, recursive))


def _bucket(name_or_uri: str) -> str:
    """Return a URI: a bare name means a bucket of S3."""
    return name_or_uri if "://" in name_or_uri else f"s3://{name_or_uri.strip('/')}"


def create_bucket(name: str) -> None:
    """Create a bucket (``my-bucket`` or ``s3://my-bucket``), a container, or for local URIs a directory.

    One that is there already, and belongs to the caller, is no error. A key behind the bucket is passed over.

    Raises:
        UnsupportedError: The store has no such request.
        PermissionDeniedError, AlreadyExistsError, StoreTimeoutError, StoreError: The store refused, was silent, or
            failed.
    """
    _s3dlio.create_bucket(_bucket(name)).wait()


async def create_bucket_async(name: str) -> None:
    """As :func:`create_bucket`."""
    await aio.result(_s3dlio.create_bucket(_bucket(name)))


def delete_bucket(name: str) -> None:
    """Remove an empty bucket, container, or for local URIs an empty directory.

    Raises:
        NotFoundError: There is none.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused (it is not empty), was silent, or
            failed.
    """
    _s3dlio.delete_bucket(_bucket(name)).wait()


async def delete_bucket_async(name: str) -> None:
    """As :func:`delete_bucket`."""
    await aio.result(_s3dlio.delete_bucket(_bucket(name)))


def mkdir(uri: str) -> None:
    """Make a local directory and those above it; does nothing in a network store, which has none.

    Raises:
        AlreadyExistsError: A file has the name.
        PermissionDeniedError, StoreError: The file system refused or failed.
    """
    _s3dlio.make_directory(uri).wait()


async def mkdir_async(uri: str) -> None:
    """As :func:`mkdir`."""
    await aio.result(_s3dlio.make_directory(uri))
