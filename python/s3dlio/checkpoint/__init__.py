"""Checkpoints: verified, committed atomically, loaded under any sharding, without pickle.

docs/checkpoint.md describes values, files and guarantees.
"""

from __future__ import annotations

from s3dlio.checkpoint.functions import (
    finalize_distributed_checkpoint,
    load_checkpoint,
    load_checkpoint_with_validation,
    save_checkpoint,
    save_distributed_shard,
)
from s3dlio.checkpoint.handle import SaveHandle
from s3dlio.checkpoint.manager import CheckpointInfo, CheckpointManager
from s3dlio.checkpoint.shard import Shard
from s3dlio.checkpoint.store import (
    PyCheckpointInfo,
    PyCheckpointReader,
    PyCheckpointStore,
    PyCheckpointStream,
    PyCheckpointWriter,
)

__all__ = [
    "CheckpointInfo",
    "CheckpointManager",
    "PyCheckpointInfo",
    "PyCheckpointReader",
    "PyCheckpointStore",
    "PyCheckpointStream",
    "PyCheckpointWriter",
    "SaveHandle",
    "Shard",
    "finalize_distributed_checkpoint",
    "load_checkpoint",
    "load_checkpoint_with_validation",
    "save_checkpoint",
    "save_distributed_shard",
]
