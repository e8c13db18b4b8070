"""One file system for each scheme, and their registration under the plain names."""

from __future__ import annotations

from typing import ClassVar

import fsspec

from s3dlio_fsspec.filesystem import StoreFileSystem


class S3FileSystem(StoreFileSystem):
    """S3 and compatible servers: paths are ``bucket/key``."""

    scheme: ClassVar[str] = "s3"
    protocol = ("s3dlio+s3", "s3", "s3a")


class GCSFileSystem(StoreFileSystem):
    """Google Cloud Storage: paths are ``bucket/key``."""

    scheme: ClassVar[str] = "gs"
    protocol = ("s3dlio+gs", "gs", "gcs")


class AzureFileSystem(StoreFileSystem):
    """Azure Blob Storage: paths are ``account/container/key``, as in s3dlio's ``az://`` URIs."""

    scheme: ClassVar[str] = "az"
    protocol = ("s3dlio+az", "az")


class FileFileSystem(StoreFileSystem):
    """Local files: paths are absolute."""

    scheme: ClassVar[str] = "file"
    protocol = ("s3dlio+file", "file")
    root_marker = "/"


class DirectFileSystem(FileFileSystem):
    """Local files, read and written past the page cache."""

    scheme: ClassVar[str] = "direct"
    protocol = ("s3dlio+direct", "direct")


def register(*protocols: str) -> None:
    """Have fsspec use these file systems for the plain protocols too: ``register("s3", "gs")``.

    Raises:
        ValueError: There is no file system for one of the protocols; none was registered then.
    """
    known = {
        name: cls
        for cls in (S3FileSystem, GCSFileSystem, AzureFileSystem, FileFileSystem, DirectFileSystem)
        for name in cls.protocol
    }
    if unknown := [name for name in protocols if name not in known]:
        message = f"protocols {unknown}: expected some of {sorted(known)}"
        raise ValueError(message)
    for name in protocols:
        fsspec.register_implementation(name, known[name], clobber=True)
