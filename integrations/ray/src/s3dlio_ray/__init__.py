"""Data of any store for Ray Data; ``s3dlio_ray.train`` keeps the state of a run of Ray Train in its checkpoints."""

from __future__ import annotations

from s3dlio_ray.datasource import StoreDatasource, read

__all__ = ["StoreDatasource", "read"]
