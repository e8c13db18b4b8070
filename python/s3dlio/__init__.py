"""Object storage and data loading for ML trainers.

Storage verbs (:mod:`s3dlio.storage`), data sets (:mod:`s3dlio.dataset`), loaders (:mod:`s3dlio.loader`) and their
adapters for frameworks (:mod:`s3dlio.torch`). The framework classes are also importable from here and load their
framework only then.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from s3dlio import errors, order
from s3dlio._s3dlio import BytesView, __version__
from s3dlio.check import CheckReport, CheckStep, check, check_async
from s3dlio.dataset import PyDataset, create_dataset
from s3dlio.errors import (
    AlreadyExistsError,
    ConfigError,
    CorruptDataError,
    ForkedProcessError,
    InvalidUriError,
    NotFoundError,
    PermissionDeniedError,
    S3dlioError,
    StateMismatchError,
    StoreError,
    StoreTimeoutError,
    TransformError,
    UnsupportedError,
)
from s3dlio.loader import PyBytesAsyncDataLoader, create_async_loader
from s3dlio.npz import read_npy, read_npz
from s3dlio.options import LoaderOptions, PyLoaderOptions
from s3dlio.process import stats
from s3dlio.storage import (
    delete,
    delete_async,
    exists,
    exists_async,
    get,
    get_async,
    get_many,
    get_many_async,
    get_range,
    get_range_async,
    list,
    list_async,
    list_iter,
    put,
    put_async,
    put_bytes,
    put_bytes_async,
    put_many,
    put_many_async,
    stat,
    stat_async,
    stat_many,
    stat_many_async,
)

if TYPE_CHECKING:
    from s3dlio.torch import S3IterableDataset, S3MapDataset

__all__ = [
    "AlreadyExistsError",
    "BytesView",
    "CheckReport",
    "CheckStep",
    "ConfigError",
    "CorruptDataError",
    "ForkedProcessError",
    "InvalidUriError",
    "LoaderOptions",
    "NotFoundError",
    "PermissionDeniedError",
    "PyBytesAsyncDataLoader",
    "PyDataset",
    "PyLoaderOptions",
    "S3IterableDataset",
    "S3MapDataset",
    "S3dlioError",
    "StateMismatchError",
    "StoreError",
    "StoreTimeoutError",
    "TransformError",
    "UnsupportedError",
    "__version__",
    "check",
    "check_async",
    "create_async_loader",
    "create_dataset",
    "delete",
    "delete_async",
    "errors",
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
    "order",
    "put",
    "put_async",
    "put_bytes",
    "put_bytes_async",
    "put_many",
    "put_many_async",
    "read_npy",
    "read_npz",
    "stat",
    "stat_async",
    "stat_many",
    "stat_many_async",
    "stats",
]

_LAZY = {"S3IterableDataset": "s3dlio.torch", "S3MapDataset": "s3dlio.torch"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
