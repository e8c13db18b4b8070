"""Train over four devices for three epochs, with a checkpoint after every step; die after some of them if asked to.

Arguments: data, folder of the checkpoint, steps before the end (0: none).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import s3dlio
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from s3dlio.jax import Loader


@jax.jit
def step(weights: Any, x: Any, label: Any) -> Any:
    def loss(weights: Any) -> Any:
        return jnp.mean((x.reshape(len(label), -1) / 30 @ weights - label / 30) ** 2)

    return weights - 0.01 * jax.grad(loss)(weights)


def main(uri: str, folder: Path, die_after: int) -> None:
    folder.mkdir(exist_ok=True)
    checkpoint = folder / "checkpoint.npz"
    sharding = NamedSharding(Mesh(jax.devices(), ("data",)), PartitionSpec("data"))
    loader = Loader(uri, decoder="npz", batch_size=8, shuffle=True, sharding=sharding, device_prefetch=2)
    weights, steps = jnp.zeros(6), 0
    if checkpoint.exists():
        saved = s3dlio.read_npz(f"file://{checkpoint}")
        weights, steps = jnp.asarray(saved["weights"]), int(saved["steps"])
        loader.load_state_dict(json.loads(str(saved["state"])))
    while loader.epoch < 3:
        for batch in loader:
            assert len(batch["x"].sharding.device_set) == 4
            weights = step(weights, batch["x"], batch["label"])
            steps += 1
            part = folder / "part.npz"
            np.savez(part, weights=weights, steps=steps, state=json.dumps(loader.state_dict()))
            part.rename(checkpoint)
            if steps == die_after:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
