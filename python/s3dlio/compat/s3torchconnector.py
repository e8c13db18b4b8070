"""The names of s3torchconnector, from the package ``s3dlio-s3torchconnector``."""

from __future__ import annotations

try:
    from s3dlio_s3torchconnector import S3Checkpoint, S3IterableDataset, S3MapDataset, S3ReaderConstructor
except ModuleNotFoundError as error:
    if error.name != "s3dlio_s3torchconnector":
        raise
    message = "s3dlio.compat.s3torchconnector needs a package of its own: pip install s3dlio-s3torchconnector"
    raise ModuleNotFoundError(message, name=error.name, path=error.path) from error

__all__ = ["S3Checkpoint", "S3IterableDataset", "S3MapDataset", "S3ReaderConstructor"]
