"""A rank of a training run that is killed in the middle of an epoch, or goes on from its last checkpoint."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from s3dlio.checkpoint import CheckpointManager
from s3dlio.torch import Loader
from torch.nn.parallel import DistributedDataParallel

EPOCHS = 3
EVERY = 4
# In the second epoch, whose twelve steps end at 24, with the save of this very step on its way.
KILLED_AT = 20

# What all ranks have alike. The statistics of the normalisation are each rank's own until the next step.
ALIKE = ("model.*.weight", "model.*.bias", "optimizer*")


class Run:
    def __init__(self, base: str) -> None:
        self.rank = dist.get_rank()
        torch.manual_seed(self.rank)
        random.seed(self.rank)
        self.rng = np.random.default_rng(self.rank)
        layers = torch.nn.Linear(4, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 2)
        self.model = DistributedDataParallel(torch.nn.Sequential(*layers))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 0.01)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 40)
        place = {"rank": self.rank, "world_size": dist.get_world_size()}
        self.loader = Loader(f"{base}/data/", decoder="npz", batch_size=4, shuffle=True, seed=7, **place)
        self.losses: list[float] = []

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": [torch.get_rng_state(), random.getstate(), self.rng.bit_generator.state],
            "data": self.loader.state_dict(),
            "losses": self.losses,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"][0])
        random.setstate(state["random"][1])
        self.rng.bit_generator.state = state["random"][2]
        self.loader.load_state_dict(state["data"])
        self.losses = state["losses"]

    def train(self, manager: CheckpointManager | None, killed_at: int) -> None:
        while self.loader.epoch < EPOCHS:
            for batch in self.loader:
                noise = torch.tensor(self.rng.normal(0, 0.1 * random.random(), 4), dtype=torch.float32)  # noqa: S311
                loss = torch.nn.functional.cross_entropy(self.model(batch["x"] + noise), batch["y"])
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                self.losses.append(loss.item())
                if manager is not None and len(self.losses) % EVERY == 0:
                    manager.save_async(len(self.losses), self.state(), replicated=ALIKE)
                if len(self.losses) == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)

    def digest(self) -> str:
        found = hashlib.sha256(repr(self.losses).encode())
        states = [self.model.state_dict(), *self.optimizer.state_dict()["state"].values()]
        for tensors in states:
            for name in sorted(tensors):
                found.update(tensors[name].numpy().tobytes())
        return found.hexdigest()


def main() -> None:
    what, base, rank, world_size = sys.argv[1:]
    torch.set_num_threads(1)
    meeting = f"{base.removeprefix('file://')}/meeting-{what}"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=int(world_size))
    manager = CheckpointManager(f"{base}/checkpoints", timeout=30)
    run = Run(base)
    if what == "killed":
        run.train(None, 0)
        sys.stdout.write(f"undisturbed {len(run.losses)} {run.digest()}\n")
        sys.stdout.flush()
        Run(base).train(manager, KILLED_AT)
    else:
        run.load(manager.load(rank=int(rank)))
        sys.stdout.write(f"resumed at {len(run.losses)}\n")
        run.train(manager, 0)
        sys.stdout.write(f"undisturbed {len(run.losses)} {run.digest()}\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
