"""Verbs about many objects: a bounded number of requests at a time, results in input order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self, TypedDict

from s3dlio import _s3dlio, aio, storage
from s3dlio.arguments import at_least, one_of
from s3dlio.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from s3dlio._s3dlio import BytesView
    from s3dlio.storage import ObjectStat

__all__ = [
    "ManyStats",
    "delete_many",
    "delete_many_async",
    "get_many",
    "get_many_async",
    "get_many_stats",
    "get_many_stats_async",
    "put",
    "put_async",
    "put_many",
    "put_many_async",
    "stat_many",
    "stat_many_async",
]

# What earlier generations of this interface wrote when no size was given.
_DEFAULT_SIZE = 20 << 20


def _in_flight(max_in_flight: int, workers: int | None, concurrency: int | None) -> int:
    for option, value in (("workers", workers), ("concurrency", concurrency)):
        if value is not None:
            at_least(option, value, 1)
    other = one_of(workers=workers, concurrency=concurrency)
    return at_least("max_in_flight", max_in_flight if other is None else other, 1)


def get_many(
    uris: Sequence[str],
    max_in_flight: int = 64,
    *,
    workers: int | None = None,
    concurrency: int | None = None,
    direct_fallback: bool | None = None,
) -> list[tuple[str, BytesView]]:
    """Read many objects; returns ``(uri, bytes)`` pairs in the order of ``uris``.

    URIs may repeat and mix schemes. ``max_in_flight`` (also spelt ``workers`` or ``concurrency``) bounds the network
    requests at any moment; local files are read by the reading threads. The first failure ends the call.

    Raises:
        ConfigError: The bound is below 1.
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: As :func:`get`, naming the URI.
    """
    return _s3dlio.get_many([*uris], _in_flight(max_in_flight, workers, concurrency), direct_fallback).wait()


async def get_many_async(
    uris: Sequence[str],
    max_in_flight: int = 64,
    *,
    workers: int | None = None,
    concurrency: int | None = None,
    direct_fallback: bool | None = None,
) -> list[tuple[str, BytesView]]:
    """As :func:`get_many`."""
    bound = _in_flight(max_in_flight, workers, concurrency)
    return await aio.result(_s3dlio.get_many([*uris], bound, direct_fallback))


def put_many(
    items: Iterable[tuple[str, Buffer]], max_in_flight: int = 64, *, direct_fallback: bool | None = None
) -> None:
    """Write many objects, ``max_in_flight`` at a time; the first failure ends the call.

    Raises:
        ConfigError: The bound is below 1.
        InvalidUriError, TypeError, PermissionDeniedError, StoreTimeoutError, StoreError: As :func:`put`.
    """
    _s3dlio.put_many([*items], at_least("max_in_flight", max_in_flight, 1), direct_fallback).wait()


async def put_many_async(
    items: Iterable[tuple[str, Buffer]], max_in_flight: int = 64, *, direct_fallback: bool | None = None
) -> None:
    """As :func:`put_many`."""
    await aio.result(_s3dlio.put_many([*items], at_least("max_in_flight", max_in_flight, 1), direct_fallback))


def stat_many(uris: Sequence[str], max_in_flight: int = 64) -> list[ObjectStat]:
    """Metadata of many objects in the order of ``uris``, ``max_in_flight`` at a time; see :func:`stat`."""
    return _s3dlio.stat_many([*uris], at_least("max_in_flight", max_in_flight, 1)).wait()


async def stat_many_async(uris: Sequence[str], max_in_flight: int = 64) -> list[ObjectStat]:
    """As :func:`stat_many`."""
    return await aio.result(_s3dlio.stat_many([*uris], at_least("max_in_flight", max_in_flight, 1)))


def delete_many(uris: Sequence[str]) -> None:
    """Remove many objects in the largest batches that the store takes; see :func:`delete` of a list."""
    storage.delete([*uris])


async def delete_many_async(uris: Sequence[str]) -> None:
    """As :func:`delete_many`."""
    await storage.delete_async([*uris])


class ManyStats(tuple[int, int]):  # noqa: SLOT001 - it has an attribute, which a tuple has no slot for
    """``(count, total_bytes)`` of many objects, with the metadata of each in ``stats``."""

    stats: list[ObjectStat]

    def __new__(cls, stats: Iterable[ObjectStat]) -> Self:
        """Sum up ``stats``."""
        every = [*stats]
        made = super().__new__(cls, (len(every), sum(stat["size"] for stat in every)))
        made.stats = every
        return made

    def __reduce__(self) -> tuple[type[ManyStats], tuple[list[ObjectStat]]]:
        return ManyStats, (self.stats,)


def get_many_stats(uris: Sequence[str], max_in_flight: int = 64, *, concurrency: int | None = None) -> ManyStats:
    """Ask for the metadata of many objects and remember their sizes; no body is read.

    For ``S3DLIO_SIZE_CACHE_TTL_SECS`` (60 s) later reads know from their first request on how to split a large object
    into parallel ranges.

    Returns:
        The tuple ``(count, total_bytes)`` with an attribute ``stats``: the metadata in the order of ``uris``.

    Raises:
        ConfigError: The bound is below 1.
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: As :func:`stat`, naming the URI.
    """
    return ManyStats(stat_many(uris, _in_flight(max_in_flight, None, concurrency)))


async def get_many_stats_async(
    uris: Sequence[str], max_in_flight: int = 64, *, concurrency: int | None = None
) -> ManyStats:
    """As :func:`get_many_stats`."""
    return ManyStats(await stat_many_async(uris, _in_flight(max_in_flight, None, concurrency)))


class _Generation(TypedDict):
    """The options of generated objects that have defaults."""

    max_in_flight: int
    object_type: str
    dedup_factor: int
    compress_factor: int
    data_gen_algorithm: str
    data_gen_mode: str
    chunk_size: int


class _Condition(TypedDict):
    """The options of one object."""

    create_only: bool
    if_match: str | None
    direct_fallback: bool | None


def _generated(
    prefix: str | None, num: int, template: str | None, size: int | None, options: _Generation
) -> _s3dlio.Operation[None]:
    if prefix is None:
        raise TypeError("put() of generated objects needs `prefix`")
    if options["data_gen_algorithm"] not in {"random", "prand"}:
        raise ConfigError(f"option `data_gen_algorithm`: found {options['data_gen_algorithm']!r}, expected 'random'")
    # Any other mode means streaming, as it always has.
    single_pass = options["data_gen_mode"] in {"single-pass", "single_pass"}
    return _s3dlio.put_generated(
        prefix,
        at_least("num", num, 0),
        template,
        _DEFAULT_SIZE if size is None else at_least("size", size, 0),
        options["object_type"],
        at_least("dedup_factor", options["dedup_factor"], 0),
        at_least("compress_factor", options["compress_factor"], 0),
        int.from_bytes(os.urandom(8), "little"),
        at_least("max_in_flight", options["max_in_flight"], 1),
        None if single_pass else at_least("chunk_size", options["chunk_size"], 1),
    )


def _put(
    uri: str | None,
    data: Buffer | int | None,
    generated: dict[str, str | int | None],
    options: _Generation,
    condition: _Condition,
) -> _s3dlio.Operation[None]:
    """Tell the two forms of :func:`put` apart by what stands where the content does."""
    named, num = generated["prefix"], generated["num"]
    prefix = uri if named is None else str(named)
    if data is None or isinstance(data, int):
        count = data if num is None else int(num)
        if count is None:
            raise TypeError("put() needs `uri` and `data` for one object, or `prefix` and `num` for generated ones")
        wrong = [name for name, value in condition.items() if value]
        if wrong:
            raise ConfigError(f"option `{wrong[0]}`: found for generated objects, expected only with `data`")
        size, template = generated["size"], generated["template"]
        return _generated(
            prefix, count, None if template is None else str(template), None if size is None else int(size), options
        )
    wrong = [name for name, value in generated.items() if value is not None]
    if wrong:
        raise ConfigError(f"option `{wrong[0]}`: found with `data`, expected only for generated objects")
    if uri is None:
        raise TypeError("put() of one object needs `uri`")
    return storage.put_operation(uri, data, **condition)


def put(  # noqa: PLR0917 - the documented order of arguments
    uri: str | None = None,
    data: Buffer | int | None = None,
    template: str | None = None,
    max_in_flight: int = 64,
    size: int | None = None,
    should_create_bucket: bool = False,
    object_type: str = "zeros",
    dedup_factor: int = 1,
    compress_factor: int = 1,
    data_gen_algorithm: str = "random",
    data_gen_mode: str = "streaming",
    chunk_size: int = 262144,
    *,
    prefix: str | None = None,
    num: int | None = None,
    create_only: bool = False,
    if_match: str | None = None,
    direct_fallback: bool | None = None,
) -> None:
    """Write one object, ``put(uri, data)``, or generated ones, ``put(prefix, num, template, size=...)``.

    Args:
        uri: The object to write; or, where an integer follows, the ``prefix``.
        data: The content, any contiguous buffer; or the number of objects to generate.
        template: Name of a generated object: its first ``{}`` is the number, its second the total. The name takes the
            place of a ``{}`` in ``prefix`` or follows it after a slash. Default ``object-{}``.
        max_in_flight: Generated objects in memory and under way at any moment.
        size: Bytes of payload in each generated object; 20 MiB unless given.
        should_create_bucket: Create the bucket of ``uri`` first, if it is not there.
        object_type: ``zeros``, ``random`` (also ``raw``, ``binary``), ``npz`` (one array ``data`` of bytes) or
            ``tfrecord`` (one record).
        dedup_factor: One block of 4 KiB in so many is distinct.
        compress_factor: Of each block the fraction ``(n - 1) / n`` is zero.
        data_gen_algorithm: ``random``, or its earlier name ``prand``: the content of every object differs.
        data_gen_mode: ``streaming`` generates a large object while it is uploaded, ``single-pass`` before.
        chunk_size: Bytes generated at a time by ``streaming``.
        prefix: Another name of ``uri`` for generated objects.
        num: Another name of ``data`` for generated objects.
        create_only: As in :func:`put_bytes`.
        if_match: As in :func:`put_bytes`.
        direct_fallback: As in :func:`get`.

    Raises:
        AlreadyExistsError, PreconditionError: A condition does not hold.
        InvalidUriError: The text has no known scheme, or names a directory.
        ConfigError: An option is out of range, or belongs to the other form of the call.
        TypeError: ``data`` has no buffer.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    operation = _put(
        uri,
        data,
        {"prefix": prefix, "num": num, "template": template, "size": size},
        _Generation(
            max_in_flight=max_in_flight,
            object_type=object_type,
            dedup_factor=dedup_factor,
            compress_factor=compress_factor,
            data_gen_algorithm=data_gen_algorithm,
            data_gen_mode=data_gen_mode,
            chunk_size=chunk_size,
        ),
        _Condition(create_only=create_only, if_match=if_match, direct_fallback=direct_fallback),
    )
    if should_create_bucket:
        storage.create_bucket(str(uri if prefix is None else prefix))
    operation.wait()


async def put_async(  # noqa: PLR0917 - likewise
    uri: str | None = None,
    data: Buffer | int | None = None,
    template: str | None = None,
    max_in_flight: int = 64,
    size: int | None = None,
    should_create_bucket: bool = False,
    object_type: str = "zeros",
    dedup_factor: int = 1,
    compress_factor: int = 1,
    data_gen_algorithm: str = "random",
    data_gen_mode: str = "streaming",
    chunk_size: int = 262144,
    *,
    prefix: str | None = None,
    num: int | None = None,
    create_only: bool = False,
    if_match: str | None = None,
    direct_fallback: bool | None = None,
) -> None:
    """As :func:`put`."""
    operation = _put(
        uri,
        data,
        {"prefix": prefix, "num": num, "template": template, "size": size},
        _Generation(
            max_in_flight=max_in_flight,
            object_type=object_type,
            dedup_factor=dedup_factor,
            compress_factor=compress_factor,
            data_gen_algorithm=data_gen_algorithm,
            data_gen_mode=data_gen_mode,
            chunk_size=chunk_size,
        ),
        _Condition(create_only=create_only, if_match=if_match, direct_fallback=direct_fallback),
    )
    if should_create_bucket:
        await storage.create_bucket_async(str(uri if prefix is None else prefix))
    await aio.result(operation)
