"""Damaged ArrayRecord files."""

from __future__ import annotations

from os import PathLike

from s3dlio import integrity

__all__ = ["recover", "verify"]


def verify(uri: str | PathLike[str]) -> integrity.VerifyReport:
    """Check every hash, every chunk and the index of a file; see :func:`s3dlio.integrity.verify`.

    Raises:
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The store refused or failed.
    """
    return integrity.verify(uri, "array_record")


def recover(uri: str | PathLike[str]) -> integrity.RecoveredRecords:
    """Read the records of a damaged file that are whole; see :func:`s3dlio.integrity.recover`.

    A file whose writer never finished it, or whose end is lost, is read as well.

    Raises:
        NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The store refused or failed.
    """
    return integrity.recover(uri, "array_record")
