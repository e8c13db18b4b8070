"""The first import of PyTorch, which says what to install where it is missing."""

from __future__ import annotations

from s3dlio.extras import explain

try:
    import torch
except ImportError as error:
    raise explain(error, "torch", "torch") from error

__all__ = ["torch"]
