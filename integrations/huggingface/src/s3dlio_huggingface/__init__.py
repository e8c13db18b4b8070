"""Data of any store for ``datasets``; ``s3dlio_huggingface.trainer`` has a ``Trainer`` over loaders of s3dlio."""

from __future__ import annotations

from s3dlio_huggingface.examples import iterable_dataset

__all__ = ["iterable_dataset"]
