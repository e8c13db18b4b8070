"""Batches for JAX: NumPy or JAX arrays, placed on devices ahead of their use."""

from __future__ import annotations

from s3dlio.jax.loader import JaxIterable, Loader, S3JaxIterable, Source

__all__ = ["JaxIterable", "Loader", "S3JaxIterable", "Source"]
