"""Train a model with the Trainer on data of a store, and go on from its newest checkpoint when run again.

python train.py s3://bucket/folder OUTPUT [steps]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import s3dlio
import torch
from s3dlio.torch import Loader
from s3dlio_huggingface.trainer import Trainer
from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

COUNT = 100


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor, y: torch.Tensor, number: torch.Tensor) -> dict[str, Any]:
        self.seen += number.tolist()
        return {"loss": (self.layer(x) - y).square().mean()}


def main(folder: str, output: str, steps: str = "-1") -> None:
    if not s3dlio.exists(f"{folder}/"):
        generator = np.random.default_rng(0)
        for number in range(COUNT):
            x = generator.normal(size=4).astype(np.float32)
            archive = {"x": x, "y": x.sum(keepdims=True), "number": np.int64(number)}
            s3dlio.write_npz(f"{folder}/{number:04}.npz", archive)
    arguments = TrainingArguments(
        output,
        num_train_epochs=2,
        max_steps=int(steps),
        save_steps=5,
        logging_steps=5,
        disable_tqdm=True,
        use_cpu=True,
        report_to="none",
    )
    model = Model()
    loader = Loader(f"{folder}/", batch_size=8, shuffle=True, seed=3, decoder="npz")
    trainer = Trainer(model, arguments, train_dataset=loader)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(output))
    print(f"trained until step {trainer.state.global_step}, on {len(model.seen)} samples in this run")


if __name__ == "__main__":
    main(*sys.argv[1:])
