"""Ranks that know their place from the process group only, with spawned ``DataLoader`` workers that know neither.

Usage: ``python -m tests.frameworks.programs.spawned s3://bucket/data/ COUNT RENDEZVOUS``
"""

from __future__ import annotations

import os
import sys

from s3dlio.torch import Loader, S3IterableDataset
from torch import distributed, multiprocessing
from torch.utils.data import DataLoader

from tests.frameworks.programs.numbers import numbers, rank_batches, sequence

WORLD = 2
BATCH = 3
SEED = 2


def run(rank: int, uri: str, count: int, rendezvous: str) -> None:
    assert "RANK" not in os.environ
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=WORLD)
    try:
        data = S3IterableDataset(uri, batch_size=BATCH, shuffle=True, seed=SEED, enable_sharding=True)
        loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="spawn")
        expected = rank_batches(sequence(count, SEED, 0), BATCH, rank, WORLD, None)
        assert [numbers(batch) for batch in loader] == expected
        own = Loader(uri, batch_size=BATCH, shuffle=True, seed=SEED)
        assert [numbers(batch) for batch in own] == expected
        ranks = [None] * WORLD
        distributed.all_gather_object(ranks, len(expected))
        assert len(set(ranks)) == 1, ranks
    finally:
        distributed.destroy_process_group()


def main(uri: str, count: int, rendezvous: str) -> None:
    multiprocessing.spawn(run, args=(uri, count, rendezvous), nprocs=WORLD)
    print("both ranks have their parts")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
