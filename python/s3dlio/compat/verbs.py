"""Verbs of earlier generations; each warns and does what its successor does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

from s3dlio import _s3dlio, storage
from s3dlio.compat.moved import moved
from s3dlio.errors import InvalidUriError

if TYPE_CHECKING:
    from s3dlio._s3dlio import BytesView
    from s3dlio.storage import ObjectStat

__all__ = [
    "get_by_key",
    "get_object",
    "head_async",
    "list_full_uris",
    "list_keys",
    "list_keys_from_s3",
    "list_objects",
    "list_uris",
    "parse_s3_uri_full",
    "py_default_data_gen_threads",
    "py_total_cpus",
    "stat_key",
    "stat_object",
]


def _uri(bucket_or_uri: str, key: str | None) -> str:
    """Join the older pair of bucket and key."""
    return bucket_or_uri if key is None else f"s3://{bucket_or_uri}/{key}"


def _keys(uris: list[str]) -> list[str]:
    return [_s3dlio.split_uri(uri)[1] for uri in uris]


def _below(uri: str) -> list[str]:
    directory = uri if uri.endswith("/") else f"{uri}/"
    return [name.removeprefix(directory) for name in storage.list(uri)]


def list_objects(uri: str, prefix: str | None = None, recursive: bool = False) -> list[str]:
    """Return the keys (not URIs) below ``uri``, or below ``prefix`` of a bucket; use :func:`s3dlio.list`."""
    moved("list_objects", "list")
    return _keys(storage.list(_uri(uri, prefix), recursive=recursive))


def list_keys(uri: str) -> list[str]:
    """Return the names one level below ``uri``, without it; use :func:`s3dlio.list`."""
    moved("list_keys", "list")
    return _below(uri)


def list_keys_from_s3(uri: str) -> list[str]:
    """Return the names one level below ``uri``, without it; use :func:`s3dlio.list`."""
    moved("list_keys_from_s3", "list")
    return _below(uri)


def list_uris(uri: str) -> list[str]:
    """Return the URIs one level below ``uri``; use :func:`s3dlio.list`."""
    moved("list_uris", "list")
    return storage.list(uri)


def list_full_uris(uri: str) -> list[str]:
    """Return the URIs one level below ``uri``; use :func:`s3dlio.list`."""
    moved("list_full_uris", "list")
    return storage.list(uri)


def get_object(uri: str, key: str | None = None, offset: int | None = None, length: int | None = None) -> BytesView:
    """Read ``uri``, or ``key`` of a bucket; use :func:`s3dlio.get`."""
    moved("get_object", "get")
    return storage.get(_uri(uri, key), offset=offset, length=length)


def get_by_key(bucket: str, key: str) -> BytesView:
    """Read ``key`` of an S3 bucket; use :func:`s3dlio.get`."""
    moved("get_by_key", "get")
    return storage.get(_uri(bucket, key))


def stat_object(uri: str, key: str | None = None) -> ObjectStat:
    """Metadata of ``uri``, or of ``key`` in a bucket; use :func:`s3dlio.stat`."""
    moved("stat_object", "stat")
    return storage.stat(_uri(uri, key))


def stat_key(bucket: str, key: str) -> ObjectStat:
    """Metadata of ``key`` in an S3 bucket; use :func:`s3dlio.stat`."""
    moved("stat_key", "stat")
    return storage.stat(_uri(bucket, key))


async def head_async(uri: str) -> ObjectStat:
    """Metadata of ``uri``; use :func:`s3dlio.stat_async`."""
    moved("head_async", "stat_async")
    return await storage.stat_async(uri)


class S3UriParts(TypedDict):
    """What an ``s3://`` URI is made of."""

    endpoint: str | None
    bucket: str
    key: str


def parse_s3_uri_full(uri: str) -> S3UriParts:
    """Take an ``s3://`` URI apart; ``endpoint`` is the ``host:port`` of ``s3://host:port/bucket/key``, or None.

    Raises:
        InvalidUriError: It is no URI of S3, or names no bucket.
    """
    root, key = _s3dlio.split_uri(uri)
    if not root.startswith("s3://"):
        raise InvalidUriError(f"{uri}: expected s3://bucket/key or s3://host:port/bucket/key", uri=uri)
    endpoint, _, bucket = root.removeprefix("s3://").removesuffix("/").rpartition("/")
    return {"endpoint": endpoint or None, "bucket": bucket, "key": key}


def py_total_cpus() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def py_default_data_gen_threads() -> int:
    """Return the threads that :func:`s3dlio.generate_data` takes: one for each core."""
    return py_total_cpus()
