"""fsspec file systems on s3dlio: ``s3dlio+s3://``, ``s3dlio+gs://``, ``s3dlio+az://``, ``s3dlio+file://``."""

from __future__ import annotations

from s3dlio_fsspec.stores import (
    AzureFileSystem,
    DirectFileSystem,
    FileFileSystem,
    GCSFileSystem,
    S3FileSystem,
    register,
)

__all__ = [
    "AzureFileSystem",
    "DirectFileSystem",
    "FileFileSystem",
    "GCSFileSystem",
    "S3FileSystem",
    "register",
]
