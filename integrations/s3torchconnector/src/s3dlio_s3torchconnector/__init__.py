"""Data sets and checkpoints with the names and arguments of s3torchconnector, over every store of s3dlio."""

from __future__ import annotations

from s3dlio.errors import S3dlioError as S3Exception
from s3dlio.writer import PyObjectWriter as S3Writer

from s3dlio_s3torchconnector.checkpoint import S3Checkpoint
from s3dlio_s3torchconnector.datasets import S3IterableDataset, S3MapDataset
from s3dlio_s3torchconnector.reader import S3Reader, S3ReaderConstructor
from s3dlio_s3torchconnector.settings import S3ClientConfig

__all__ = [
    "S3Checkpoint",
    "S3ClientConfig",
    "S3Exception",
    "S3IterableDataset",
    "S3MapDataset",
    "S3Reader",
    "S3ReaderConstructor",
    "S3Writer",
]
