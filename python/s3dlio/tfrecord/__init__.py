"""TFRecord files over every store: readers, random access, writers, indexes, and the examples in them.

Every path may be a URI or a local path.
"""

from __future__ import annotations

from s3dlio.tfrecord.damage import recover, verify
from s3dlio.tfrecord.example import (
    FixedLenFeature,
    Ragged,
    VarLenFeature,
    example_decoder,
    parse_example,
    parse_examples,
    serialize_example,
)
from s3dlio.tfrecord.index import (
    TFRecordIndexed,
    TFRecordIndexEntry,
    create_tfrecord_index,
    create_tfrecord_index_async,
    create_tfrecord_indexes,
    create_tfrecord_indexes_async,
    get_tfrecord_index_entries,
    index_tfrecord_bytes,
    read_tfrecord_index,
)
from s3dlio.tfrecord.reader import TFRecordReader
from s3dlio.tfrecord.source import TFRecordDataSource
from s3dlio.tfrecord.writer import TFRecordWriter

__all__ = [
    "FixedLenFeature",
    "Ragged",
    "TFRecordDataSource",
    "TFRecordIndexEntry",
    "TFRecordIndexed",
    "TFRecordReader",
    "TFRecordWriter",
    "VarLenFeature",
    "create_tfrecord_index",
    "create_tfrecord_index_async",
    "create_tfrecord_indexes",
    "create_tfrecord_indexes_async",
    "example_decoder",
    "get_tfrecord_index_entries",
    "index_tfrecord_bytes",
    "parse_example",
    "parse_examples",
    "read_tfrecord_index",
    "recover",
    "serialize_example",
    "verify",
]
