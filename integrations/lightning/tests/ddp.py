"""One rank of two: a whole run, a run that fails in mid-epoch, and one that goes on from its checkpoint."""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from s3dlio_lightning import StoreCheckpointIO, StoreDataModule


class Model(pl.LightningModule):
    def __init__(self, fail_at: int | None) -> None:
        super().__init__()
        self.fail_at = fail_at
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[list[Any]] = []
        self.validated = 0

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        numbers = [int.from_bytes(bytes(sample.tolist()), "little") for sample in batch]
        if self.global_step == self.fail_at:
            raise ZeroDivisionError
        self.seen.append([self.current_epoch, *numbers])
        return self.layer(torch.tensor([numbers], dtype=torch.float32).T / 100).square().mean()

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        self.validated += len(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(place: str, *, fail_at: int | None = None, checkpoint: str | None = None) -> Any:
    torch.manual_seed(0)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=DDPStrategy(process_group_backend="gloo", timeout=timedelta(seconds=30)),
        max_epochs=2,
        plugins=[StoreCheckpointIO()],
        callbacks=[ModelCheckpoint(f"s3dlio+{place}/kept", filename="{step}", every_n_train_steps=8)]
        if fail_at
        else [],
        enable_checkpointing=fail_at is not None,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Model(fail_at)
    data = StoreDataModule(f"{place}/train/", val=f"{place}/val/", batch_size=4, seed=7)
    with contextlib.suppress(ZeroDivisionError):
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=False)
    return model


def main(place: str, out: str) -> None:
    whole = fit(place)
    first = fit(place, fail_at=9)
    second = fit(place, checkpoint=f"s3dlio+{place}/kept/step=8.ckpt")
    found = {
        "whole": whole.seen,
        "stopped": first.seen[:8] + second.seen,
        "second": len(second.seen),
        "equal": torch.equal(whole.layer.weight, second.layer.weight),
        "validated": whole.validated,
    }
    Path(out, f"{whole.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
