"""Which rank this process is."""

from __future__ import annotations

import os
import sys

from s3dlio.errors import ConfigError

__all__ = ["rank_and_world"]


def rank_and_world() -> tuple[int, int]:
    """Return (rank, world size) from ``torch.distributed`` if it runs, else from ``RANK`` and ``WORLD_SIZE``.

    Without either this is rank 0 of 1. torch is looked at only where the program has imported it already.

    Raises:
        ConfigError: The variables are no integers, or the rank is not below the world size.
    """
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    world, rank = _integer("WORLD_SIZE", 1), _integer("RANK", 0)
    if not 0 <= rank < max(world, 1):
        message = f"option `RANK`: found {rank}, expected an integer from 0 to {world - 1} (WORLD_SIZE - 1)"
        raise ConfigError(message)
    return rank, max(world, 1)


def _integer(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        message = f"option `{name}`: found {text!r}, expected an integer"
        raise ConfigError(message) from None
