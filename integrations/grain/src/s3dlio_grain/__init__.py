"""Records of any store for Grain, by number; ``s3dlio_grain.orbax`` keeps states of s3dlio's loaders in checkpoints."""

from __future__ import annotations

from s3dlio_grain.source import Source

__all__ = ["Source"]
