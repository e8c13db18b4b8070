"""Train a model with two workers of Ray Train, one of which may be killed once: the run goes on in mid-epoch.

python train.py s3://bucket/folder [step]
"""

from __future__ import annotations

import os
import signal
import sys
import uuid
from typing import Any

import numpy as np
import ray.train
import s3dlio
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, prepare_model
from s3dlio.torch import Loader
from s3dlio_ray.train import report, restore, storage

COUNT, EPOCHS = 203, 2


def write_data(place: str) -> None:
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        x = generator.normal(size=4).astype(np.float32)
        s3dlio.write_npz(f"{place}/{number:04}.npz", {"x": x, "y": x.sum(keepdims=True)})


def train(config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    # The loader finds rank and world size in torch.distributed, which Ray Train has begun.
    loader = Loader(config["data"], batch_size=8, decoder="npz", shuffle=True, seed=3)
    model = prepare_model(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    state = {"model": model, "optimizer": optimizer, "loader": loader}
    resumed = restore(state)
    steps = 0
    for _ in range(loader.epoch, EPOCHS):
        for batch in loader:
            loss = (model(batch["x"]) - batch["y"]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            if steps % 5 == 0:
                report({"loss": loss.item()}, state)
            if steps == config["kill_at"] and not resumed and ray.train.get_context().get_world_rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
    weights = [value for tensor in model.parameters() for value in tensor.flatten().tolist()]
    report({"steps": steps, "weights": weights}, state)


def main(place: str, kill_at: str = "0") -> None:
    if not s3dlio.exists(f"{place}/train/"):
        write_data(f"{place}/train")
    trainer = TorchTrainer(
        train,
        train_loop_config={"data": f"{place}/train/", "kill_at": int(kill_at)},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(
            name=uuid.uuid4().hex, failure_config=FailureConfig(max_failures=1), **storage(f"{place}/runs")
        ),
    )
    metrics = trainer.fit().metrics
    print(f"{metrics['steps']} steps since the start or the restart, weights {metrics['weights']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
