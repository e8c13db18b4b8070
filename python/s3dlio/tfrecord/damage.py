"""Damaged TFRecord files."""

from __future__ import annotations

from os import PathLike

from s3dlio import integrity

__all__ = ["recover", "verify"]


def verify(uri: str | PathLike[str]) -> integrity.VerifyReport:
    """Check both checksums of every record of a file; see :func:`s3dlio.integrity.verify`.

    Raises:
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The store refused or failed.
    """
    return integrity.verify(uri, "tfrecord")


def recover(uri: str | PathLike[str]) -> integrity.RecoveredRecords:
    """Read the records of a damaged file that are whole; see :func:`s3dlio.integrity.recover`.

    Of a compressed file, what follows damage of the compressed data is lost.

    Raises:
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The store refused or failed.
    """
    return integrity.recover(uri, "tfrecord")
