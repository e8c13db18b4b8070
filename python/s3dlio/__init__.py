"""Object storage and data loading for ML trainers.

Storage verbs (:mod:`s3dlio.storage`), data sets (:mod:`s3dlio.dataset`), loaders (:mod:`s3dlio.loader`) and their
adapters for frameworks (:mod:`s3dlio.torch`, :mod:`s3dlio.jax`, :mod:`s3dlio.tensorflow`, :mod:`s3dlio.dali`),
statistics and logs (:mod:`s3dlio.process`, :mod:`s3dlio.oplog`, :mod:`s3dlio.logging`). The framework classes are also
importable from here and load their framework only then.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from s3dlio import errors, order, state
from s3dlio._s3dlio import BytesView, __version__
from s3dlio.bulk import (
    generate_data,
    get_many,
    get_many_async,
    get_many_stats,
    get_many_stats_async,
    put,
    put_async,
    put_many,
    put_many_async,
    stat_many,
    stat_many_async,
)
from s3dlio.check import CheckReport, CheckStep, check, check_async
from s3dlio.compat import (
    get_by_key,
    get_object,
    list_full_uris,
    list_keys,
    list_keys_from_s3,
    list_objects,
    list_uris,
    stat_key,
    stat_object,
)
from s3dlio.dataset import PyDataset, create_dataset
from s3dlio.errors import (
    AlreadyExistsError,
    ConfigError,
    CorruptDataError,
    ForkedProcessError,
    InvalidUriError,
    MissingArrayError,
    NotFoundError,
    OptionError,
    OutOfRangeError,
    PermissionDeniedError,
    PreconditionError,
    S3dlioError,
    StateMismatchError,
    StoreError,
    StoreTimeoutError,
    TransformError,
    UnsupportedError,
)
from s3dlio.image import image_decoder
from s3dlio.loader import PyBytesAsyncDataLoader, create_async_loader
from s3dlio.logging import init_logging
from s3dlio.multipart import MultipartUploadWriter
from s3dlio.npz import (
    NpzFile,
    generate_npz_bytes,
    open_npz,
    read_npy,
    read_npy_async,
    read_npz,
    read_npz_async,
    read_npz_many,
    read_npz_many_async,
    write_npy,
    write_npy_async,
    write_npz,
    write_npz_async,
)
from s3dlio.oplog import finalize_op_log, init_op_log, is_op_log_active, op_log
from s3dlio.options import LoaderOptions, PyLoaderOptions
from s3dlio.parallel import mp_get
from s3dlio.process import stats, stats_text
from s3dlio.storage import (
    create_bucket,
    create_bucket_async,
    delete,
    delete_async,
    delete_bucket,
    delete_bucket_async,
    exists,
    exists_async,
    get,
    get_async,
    get_into,
    get_into_async,
    get_range,
    get_range_async,
    list,
    list_async,
    list_iter,
    mkdir,
    mkdir_async,
    put_bytes,
    put_bytes_async,
    stat,
    stat_async,
)
from s3dlio.tfrecord import (
    TFRecordDataSource,
    TFRecordIndexed,
    TFRecordIndexEntry,
    TFRecordReader,
    TFRecordWriter,
    create_tfrecord_index,
    create_tfrecord_index_async,
    create_tfrecord_indexes,
    create_tfrecord_indexes_async,
    get_tfrecord_index_entries,
    index_tfrecord_bytes,
    read_tfrecord_index,
)
from s3dlio.transfer import (
    TransferSummary,
    copy,
    copy_async,
    download,
    download_async,
    upload,
    upload_async,
)
from s3dlio.writer import (
    PyObjectWriter,
    PyWriterOptions,
    WriterStats,
    create_azure_writer,
    create_direct_filesystem_writer,
    create_filesystem_writer,
    create_gcs_writer,
    create_s3_writer,
    create_writer,
)

if TYPE_CHECKING:
    from s3dlio.jax import S3JaxIterable
    from s3dlio.tensorflow import make_tf_dataset
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
    "MissingArrayError",
    "MultipartUploadWriter",
    "NotFoundError",
    "NpzFile",
    "OptionError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "PreconditionError",
    "PyBytesAsyncDataLoader",
    "PyDataset",
    "PyLoaderOptions",
    "PyObjectWriter",
    "PyWriterOptions",
    "S3IterableDataset",
    "S3JaxIterable",
    "S3MapDataset",
    "S3dlioError",
    "StateMismatchError",
    "StoreError",
    "StoreTimeoutError",
    "TFRecordDataSource",
    "TFRecordIndexEntry",
    "TFRecordIndexed",
    "TFRecordReader",
    "TFRecordWriter",
    "TransferSummary",
    "TransformError",
    "UnsupportedError",
    "WriterStats",
    "__version__",
    "check",
    "check_async",
    "copy",
    "copy_async",
    "create_async_loader",
    "create_azure_writer",
    "create_bucket",
    "create_bucket_async",
    "create_dataset",
    "create_direct_filesystem_writer",
    "create_filesystem_writer",
    "create_gcs_writer",
    "create_s3_writer",
    "create_tfrecord_index",
    "create_tfrecord_index_async",
    "create_tfrecord_indexes",
    "create_tfrecord_indexes_async",
    "create_writer",
    "delete",
    "delete_async",
    "delete_bucket",
    "delete_bucket_async",
    "download",
    "download_async",
    "errors",
    "exists",
    "exists_async",
    "finalize_op_log",
    "generate_data",
    "generate_npz_bytes",
    "get",
    "get_async",
    "get_by_key",
    "get_into",
    "get_into_async",
    "get_many",
    "get_many_async",
    "get_many_stats",
    "get_many_stats_async",
    "get_object",
    "get_range",
    "get_range_async",
    "get_tfrecord_index_entries",
    "image_decoder",
    "index_tfrecord_bytes",
    "init_logging",
    "init_op_log",
    "is_op_log_active",
    "list",
    "list_async",
    "list_full_uris",
    "list_iter",
    "list_keys",
    "list_keys_from_s3",
    "list_objects",
    "list_uris",
    "make_tf_dataset",
    "mkdir",
    "mkdir_async",
    "mp_get",
    "op_log",
    "open_npz",
    "order",
    "put",
    "put_async",
    "put_bytes",
    "put_bytes_async",
    "put_many",
    "put_many_async",
    "read_npy",
    "read_npy_async",
    "read_npz",
    "read_npz_async",
    "read_npz_many",
    "read_npz_many_async",
    "read_tfrecord_index",
    "stat",
    "stat_async",
    "stat_key",
    "stat_many",
    "stat_many_async",
    "stat_object",
    "state",
    "stats",
    "stats_text",
    "upload",
    "upload_async",
    "write_npy",
    "write_npy_async",
    "write_npz",
    "write_npz_async",
]

_LAZY = {
    "S3IterableDataset": "s3dlio.torch",
    "S3JaxIterable": "s3dlio.jax",
    "S3MapDataset": "s3dlio.torch",
    "make_tf_dataset": "s3dlio.tensorflow",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
