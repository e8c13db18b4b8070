"""Data and checkpoints for Lightning, over every store of s3dlio."""

from __future__ import annotations

from s3dlio_lightning.checkpoint import StoreCheckpointIO
from s3dlio_lightning.data import StoreDataModule

__all__ = ["StoreCheckpointIO", "StoreDataModule"]
