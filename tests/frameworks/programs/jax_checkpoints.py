"""One of two processes that save arrays over both and load them under another mesh.

Arguments: directory of the checkpoints, port of the coordinator, process.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from s3dlio.checkpoint import CheckpointManager

WHOLE = np.arange(16 * 6, dtype=np.float32).reshape(16, 6)
# Each process has two of the four devices.
LINE, GRID = (4,), (2, 2)


def placed(value: np.ndarray, mesh: tuple[int, ...], *axes: str | None) -> jax.Array:
    names = ("x", "y")[: len(mesh)]
    sharding = NamedSharding(Mesh(np.array(jax.devices()).reshape(mesh), names), PartitionSpec(*axes))
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def spread(value: np.ndarray) -> dict[str, jax.Array]:
    return {
        "rows": placed(value, LINE, "x"),
        "grid": placed(value, GRID, "x", "y"),
        "copied": placed(value, GRID, None, "y"),
        "copies": placed(value, LINE),
        "turned": placed(value, GRID, "y"),
    }


def main(base: str, port: str, process: int) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process, initialization_timeout=40)
    manager = CheckpointManager(base)
    assert (manager.rank, manager.world_size) == (process, 2)
    manager.save(1, {"model": spread(WHOLE), "step": jnp.int32(7)})
    jax.experimental.multihost_utils.sync_global_devices("saved")
    names = [*(into := spread(np.zeros_like(WHOLE)))]
    # What was spread in one way is loaded in another.
    turned = dict(zip(names, [into[name] for name in (*names[1:], names[0])], strict=True))
    loaded = manager.load(into={"model": turned, "step": jnp.int32(0)})
    assert int(loaded["step"]) == 7
    for name, array in loaded["model"].items():
        assert array.sharding == turned[name].sharding
        for shard in array.addressable_shards:
            assert np.array_equal(shard.data, WHOLE[shard.index]), name
    # Of a diagonal each process has two corners, which are no box.
    corners = NamedSharding(
        Mesh(np.array(jax.devices())[[0, 2, 3, 1]].reshape(2, 2), ("x", "y")), PartitionSpec("x", "y")
    )
    diagonal = jax.make_array_from_callback(WHOLE.shape, corners, lambda index: WHOLE[index])
    with pytest.raises(TypeError, match=r"a\.0: .* no box"):
        manager.save(2, {"a": [diagonal]})
    print("both agree")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
