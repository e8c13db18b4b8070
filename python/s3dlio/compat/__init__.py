"""Names of earlier generations of this interface; each warns and does what its successor does."""

from __future__ import annotations

from s3dlio.compat.datasets import PyS3AsyncDataLoader, PyS3AsyncDataLoaderCompat, PyS3Dataset, PyS3DatasetCompat
from s3dlio.compat.vector import PyAsyncDataLoader, PyAsyncDataLoaderIter, PyVecDataset
from s3dlio.compat.verbs import (
    get_by_key,
    get_object,
    head_async,
    list_full_uris,
    list_keys,
    list_keys_from_s3,
    list_objects,
    list_uris,
    parse_s3_uri_full,
    py_default_data_gen_threads,
    py_total_cpus,
    stat_key,
    stat_object,
)
from s3dlio.errors import CorruptDataError, NotFoundError, UnsupportedError

__all__ = [
    "LengthMismatchError",
    "ObjectNotFoundError",
    "PyAsyncDataLoader",
    "PyAsyncDataLoaderIter",
    "PyS3AsyncDataLoader",
    "PyS3AsyncDataLoaderCompat",
    "PyS3Dataset",
    "PyS3DatasetCompat",
    "PyVecDataset",
    "UnsupportedOperationError",
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

# Other names of these classes, for programs that catch them.
LengthMismatchError = CorruptDataError
ObjectNotFoundError = NotFoundError
UnsupportedOperationError = UnsupportedError
