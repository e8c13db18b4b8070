"""Data sets and loaders of earlier generations, over those of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s3dlio.compat.moved import moved
from s3dlio.dataset import PyDataset
from s3dlio.loader import PyBytesAsyncDataLoader

__all__ = ["PyS3AsyncDataLoader", "PyS3AsyncDataLoaderCompat", "PyS3Dataset", "PyS3DatasetCompat"]


class PyS3Dataset(PyDataset):
    """The objects below a URI of any scheme; use :func:`s3dlio.create_dataset`."""

    def __init__(
        self, uri: str, options: Mapping[str, Any] | None = None, *, opts: Mapping[str, Any] | None = None
    ) -> None:
        moved(type(self).__name__, "create_dataset", DeprecationWarning)
        super().__init__(uri, options, opts=opts)


class PyS3DatasetCompat(PyS3Dataset):
    """As :class:`PyS3Dataset`."""


class PyS3AsyncDataLoader(PyBytesAsyncDataLoader):
    """A loader over the objects below a URI of any scheme; use :func:`s3dlio.create_async_loader`."""

    def __init__(
        self, uri: str, options: Mapping[str, Any] | None = None, *, opts: Mapping[str, Any] | None = None
    ) -> None:
        moved(type(self).__name__, "create_async_loader", DeprecationWarning)
        super().__init__(PyDataset(uri, options, opts=opts))


class PyS3AsyncDataLoaderCompat(PyS3AsyncDataLoader):
    """As :class:`PyS3AsyncDataLoader`."""
