"""Train on the objects below a prefix and save the model: a program for s3torchconnector with its import changed.

python train.py s3://bucket/folder [region]
"""

from __future__ import annotations

import sys

import s3dlio
import torch
from s3dlio_s3torchconnector import S3Checkpoint, S3MapDataset, S3Reader
from torch.utils.data import DataLoader


def sample(reader: S3Reader) -> torch.Tensor:
    return torch.frombuffer(bytearray(reader.read()), dtype=torch.float32)


def main(folder: str, region: str = "us-east-1") -> None:
    lines = [torch.linspace(-1, 1, 8) * number for number in range(32)]
    s3dlio.put_many([(f"{folder}/train/{number:03}", line.numpy().tobytes()) for number, line in enumerate(lines)])

    dataset = S3MapDataset.from_prefix(f"{folder}/train/", region=region, transform=sample)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for batch in DataLoader(dataset, batch_size=8, shuffle=True):
        loss = (model(batch) - batch.sum(dim=1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    checkpoint = S3Checkpoint(region=region)
    with checkpoint.writer(f"{folder}/model.pt") as writer:
        torch.save(model.state_dict(), writer)
    with checkpoint.reader(f"{folder}/model.pt") as reader:
        model.load_state_dict(torch.load(reader, weights_only=True))
    print(f"{len(dataset)} objects of {dataset[1].shape[0]} numbers; the model is at {folder}/model.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
