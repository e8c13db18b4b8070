"""Reading what the earlier checkpoint store wrote: JSON manifests, and a shard of bytes for each rank."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from s3dlio import _s3dlio
from s3dlio._s3dlio import BytesView
from s3dlio.errors import CheckpointError

__all__ = ["find", "is_older", "latest", "manifests", "read", "timestamp"]

Manifest = Mapping[str, Any]


def manifests(uri: str) -> list[Manifest]:
    """Return the complete checkpoints, the oldest first; of two of one step only the later one."""
    found: dict[int, Manifest] = {}
    for text in _s3dlio.checkpoint_older(uri).wait():
        manifest = cast("Manifest", json.loads(text))
        found[manifest["global_step"]] = manifest
    return list(found.values())


def latest(uri: str) -> Manifest | None:
    """Return the newest checkpoint; ``None`` where there is none."""
    text = _s3dlio.checkpoint_older_latest(uri).wait()
    return None if text is None else json.loads(text)


def find(uri: str, step: int) -> Manifest | None:
    """Return the checkpoint of a step; ``None`` where there is none."""
    return next((manifest for manifest in manifests(uri) if manifest["global_step"] == step), None)


def is_older(manifest: Manifest) -> bool:
    """Tell whether a manifest is one of that store."""
    return "global_step" in manifest


def timestamp(manifest: Manifest) -> int:
    """Return the seconds since 1970 at which it was written."""
    return int(datetime.fromisoformat(manifest["wall_time"]).timestamp())


def read(uri: str, manifest: Manifest, rank: int | None) -> BytesView:
    """Return the bytes of a rank, decompressed and compared with their checksum.

    Raises:
        CheckpointError: There is no such rank, or there are several and none is given.
        CorruptDataError: Bytes are damaged.
    """
    ranks = {shard["rank"]: shard for shard in manifest["shards"]}
    if rank is None and len(ranks) > 1:
        message = f"{uri}: the checkpoint was saved by {len(ranks)} ranks: say which with rank="
        raise CheckpointError(message, uri=uri)
    if (rank or 0) not in ranks:
        message = f"{uri}: there is no rank {rank}: the checkpoint has {len(ranks)}"
        raise CheckpointError(message, uri=uri)
    return _s3dlio.checkpoint_older_shard(uri, json.dumps(ranks[rank or 0])).wait()
