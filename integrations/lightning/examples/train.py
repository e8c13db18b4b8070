"""Train a model on data of a store, keep its checkpoints there, and go on from the newest one when run again.

python train.py s3://bucket/run [steps]
torchrun --nproc-per-node 2 train.py s3://bucket/run [steps]
"""

from __future__ import annotations

import os
import sys
from typing import Any

import lightning.pytorch as pl
import numpy as np
import s3dlio
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from s3dlio_lightning import StoreCheckpointIO, StoreDataModule

COUNT = 203


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.seen: list[int] = []

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        self.seen += batch["number"].tolist()
        return (self.layer(batch["x"]) - batch["y"]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def write_data(place: str) -> None:
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        x = generator.normal(size=4).astype(np.float32)
        s3dlio.write_npz(f"{place}/{number:04}.npz", {"x": x, "y": x.sum(keepdims=True), "number": np.int64(number)})


def main(place: str, steps: str = "-1") -> None:
    if not s3dlio.exists(f"{place}/train/") and os.environ.get("LOCAL_RANK", "0") == "0":
        write_data(f"{place}/train")
    options: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        max_epochs=2,
        max_steps=int(steps),
        plugins=[StoreCheckpointIO()],
        callbacks=[ModelCheckpoint(f"s3dlio+{place}/checkpoints", every_n_train_steps=5, save_last=True)],
        **options,
    )
    model = Model()
    last = f"s3dlio+{place}/checkpoints/last.ckpt"
    begun = s3dlio.exists(last.removeprefix("s3dlio+"))
    data = StoreDataModule(f"{place}/train/", batch_size=8, decoder="npz")
    trainer.fit(model, datamodule=data, ckpt_path=last if begun else None, weights_only=False)
    print(f"trained until step {trainer.global_step}, on {len(model.seen)} samples in this run")


if __name__ == "__main__":
    main(*sys.argv[1:])
