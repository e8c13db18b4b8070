"""Where programs of earlier releases import the names for JAX and TensorFlow from; each loads its framework only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s3dlio.jax import JaxIterable, S3JaxIterable
    from s3dlio.tensorflow import make_tf_dataset

__all__ = ["JaxIterable", "S3JaxIterable", "make_tf_dataset"]

_HOMES = {"JaxIterable": "s3dlio.jax", "S3JaxIterable": "s3dlio.jax", "make_tf_dataset": "s3dlio.tensorflow"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
