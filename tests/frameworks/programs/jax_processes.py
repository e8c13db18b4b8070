"""One of two processes that make global arrays of their parts. Arguments: data, port of the coordinator, process.

Prints the labels of its own batches, and the sums of the global ones, which need both processes.
"""

from __future__ import annotations

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def main(uri: str, port: str, process: int) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process, initialization_timeout=40)
    from s3dlio.jax import Loader

    sharding = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
    loader = Loader(uri, decoder="npz", batch_size=4, shuffle=True, seed=5, sharding=sharding, device_prefetch=1)
    total = jax.jit(jnp.sum)
    own, sums = [], []
    for batch in loader:
        assert batch["label"].shape == (8,)
        own.append([int(label) for shard in batch["label"].addressable_shards for label in shard.data])
        sums.append(int(total(batch["label"])))
    print(json.dumps({"own": own, "sums": sums, "state": loader.state_dict()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
