"""JAX arrays in checkpoints: what of an array this process stores, and what was read placed over a mesh."""

# jax's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from s3dlio.checkpoint.shard import Shard
from s3dlio.errors import CorruptDataError

__all__ = ["agreed", "from_parts", "part", "parts", "ranks", "target"]

# First elements and lengths along each axis.
Box = tuple[tuple[int, ...], tuple[int, ...]]


def ranks() -> tuple[int, int] | None:
    """Return process index and count; ``None`` where ``jax.distributed`` does not run."""
    return (jax.process_index(), jax.process_count()) if jax.distributed.is_initialized() else None


def agreed(digits: str) -> str:
    """Return the hexadecimal digits of process 0, in all processes."""
    given = np.frombuffer(bytes.fromhex(digits), np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(given)).astype(np.uint8).tobytes().hex()


def parts(value: Any) -> list[Any] | None:
    """Take an array of keys of random numbers apart; ``None`` for anything else."""
    if not isinstance(value, jax.Array) or not jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return None
    return [str(jax.random.key_impl(value)), jax.random.key_data(value)]


def from_parts(items: list[Any]) -> Any:
    """Put an array of keys together; JAX checks that their data fit their kind."""
    try:
        kind, data = items
        return jax.random.wrap_key_data(data, impl=kind)
    except (TypeError, ValueError) as error:
        message = f"the checkpoint has keys of random numbers whose parts do not fit together: {error}"
        raise CorruptDataError(message) from error


def _box(index: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    ends = [axis.indices(length) for axis, length in zip(index, shape, strict=True)]
    return tuple(start for start, _, _ in ends), tuple(stop - start for start, stop, _ in ends)


def _around(boxes: Iterable[Box]) -> Box:
    """Return the least box that all of these lie in."""
    starts, sizes = np.array([*boxes], np.int64).swapaxes(0, 1)
    least = starts.min(axis=0)
    return tuple(least.tolist()), tuple(((starts + sizes).max(axis=0) - least).tolist())


def _inside(box: Box, outer: Box) -> tuple[slice, ...]:
    return tuple(slice(s - o, s - o + n) for s, n, o in zip(*box, outer[0], strict=True))


def part(value: Any, path: str) -> Shard | None:
    """Return what of an array over several processes this one holds, and whether it stores that for all who hold it.

    An array that this process has all of is nobody's part.

    Raises:
        TypeError: What it would store is no box.
    """
    if not isinstance(value, jax.Array) or value.is_fully_addressable:
        return None
    # One copy of each part, over all processes, has the number 0.
    own = [shard for shard in value.addressable_shards if shard.replica_id == 0]
    stored = {_box(shard.index, value.shape): shard for shard in own or value.addressable_shards[:1]}
    around = _around(stored)
    if sum(prod(size) for _, size in stored) != prod(around[1]):
        message = (
            f"{path}: the parts of the array {value.shape} that process {jax.process_index()} stores make up no box, "
            f"which a checkpoint needs: {value.sharding}"
        )
        raise TypeError(message)
    if len(stored) == 1:
        (shard,) = stored.values()
        local = np.asarray(shard.data)
    else:
        local = np.empty(around[1], value.dtype)
        for box, shard in stored.items():
            local[_inside(box, around)] = np.asarray(shard.data)
    return Shard(local, value.shape, around[0], stored=bool(own))


def target(into: Any) -> tuple[Shard, Callable[[Any], Any]] | None:
    """Return the part of an array that this process needs, and what makes an array like ``into`` of it.

    ``None`` for what is no array of JAX.
    """
    if not isinstance(into, jax.Array):
        return None
    boxes = [_box(shard.index, into.shape) for shard in into.addressable_shards]
    around = _around(boxes)
    local = np.empty(around[1], into.dtype)

    def place(_: Any) -> Any:
        def piece(index: tuple[slice, ...] | None) -> Any:
            whole = tuple(slice(None) for _ in into.shape)
            return local[_inside(_box(index or whole, into.shape), around)]

        return jax.make_array_from_callback(into.shape, into.sharding, piece)

    return Shard(local, into.shape, around[0]), place
