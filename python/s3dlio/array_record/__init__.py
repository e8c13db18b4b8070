"""ArrayRecord files: records with an index, compressed in groups, read in any order from any store.

:mod:`~s3dlio.array_record.array_record_module` has the writer and the reader of one file,
:mod:`~s3dlio.array_record.array_record_data_source` many files as one sequence. Both are named, and behave, like the
modules of the ``array_record`` package, so that a program changes its imports and nothing else; and every path may also
be a URI (``s3://``, ``gs://``, ``az://``, ``file://``, ``direct://``).
:func:`verify` checks a file, :func:`recover` reads what is whole of a damaged one.
"""

from __future__ import annotations

from s3dlio.array_record import array_record_data_source, array_record_module
from s3dlio.array_record.array_record_data_source import ArrayRecordDataSource, FileInstruction
from s3dlio.array_record.array_record_module import ArrayRecordReader, ArrayRecordWriter
from s3dlio.array_record.damage import recover, verify

__all__ = [
    "ArrayRecordDataSource",
    "ArrayRecordReader",
    "ArrayRecordWriter",
    "FileInstruction",
    "array_record_data_source",
    "array_record_module",
    "recover",
    "verify",
]
