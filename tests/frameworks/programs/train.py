"""Two ranks train one small model on disjoint parts of a data set.

Usage: ``torchrun --nproc-per-node 2 --module tests.frameworks.programs.train s3://bucket/npz/ COUNT``
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from s3dlio.torch import Loader, S3IterableDataset
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from tests.frameworks.programs.numbers import rank_batches, sequence

BATCH = 4
SEED = 1
EPOCHS = 2


def gather(value: Any) -> list[Any]:
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, value)
    return found


def expected(count: int, epoch: int) -> list[tuple[int, ...]]:
    rank, world = distributed.get_rank(), distributed.get_world_size()
    return rank_batches(sequence(count, SEED, epoch), BATCH, rank, world, None)


def train(loader: Loader, count: int) -> None:
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for epoch in range(EPOCHS):
        seen = []
        for batch in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(batch["x"]), batch["y"])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            seen.append(tuple(batch["number"].tolist()))
        assert seen == expected(count, epoch), seen
        ranks = gather(seen)
        assert sorted(n for found in ranks for b in found for n in b) == list(range(count)), ranks
        assert len({len(found) for found in ranks}) == 1
    assert losses[-1] < losses[0], losses
    weights = gather(model.module.weight.tolist())
    assert weights[0] == weights[1], weights


def check_dataloader(uri: str, count: int) -> None:
    """Forked workers of each rank know the rank from the process group that they inherit."""
    data = S3IterableDataset(uri, decoder="npz", batch_size=BATCH, shuffle=True, seed=SEED, enable_sharding=True)
    loader = DataLoader(data, batch_size=None, num_workers=1)
    assert [tuple(b["number"].tolist()) for b in loader] == expected(count, 0)


def main(uri: str, count: int) -> None:
    # Made before the process group: the rank comes from torchrun's environment.
    early = Loader(uri, batch_size=BATCH, decoder="npz", shuffle=True, seed=SEED)
    distributed.init_process_group("gloo")
    try:
        loader = Loader(uri, batch_size=BATCH, decoder="npz", shuffle=True, seed=SEED)
        assert len(loader) == len(early) == count // (BATCH * 2)
        train(loader, count)
        check_dataloader(uri, count)
        if distributed.get_rank() == 0:
            print("both ranks trained")
    finally:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
