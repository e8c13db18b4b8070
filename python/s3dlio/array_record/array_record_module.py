"""The writer and the reader of one ArrayRecord file."""

from __future__ import annotations

from s3dlio._s3dlio import ArrayRecordReader, ArrayRecordWriter

__all__ = ["ArrayRecordReader", "ArrayRecordWriter"]
