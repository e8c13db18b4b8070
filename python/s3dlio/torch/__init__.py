"""Data sets and the loader for PyTorch."""

from __future__ import annotations

from s3dlio.torch import framework  # noqa: F401 - comes first # pyright: ignore[reportUnusedImport]
from s3dlio.torch.iterable import S3IterableDataset
from s3dlio.torch.loader import Loader
from s3dlio.torch.map import S3MapDataset
from s3dlio.torch.stream import StreamDataset

__all__ = [
    "Loader",
    "ObjectStoreIterableDataset",
    "ObjectStoreMapDataset",
    "S3IterableDataset",
    "S3MapDataset",
    "StreamDataset",
]

# Other documented names of the same classes.
ObjectStoreIterableDataset = S3IterableDataset
ObjectStoreMapDataset = S3MapDataset
