"""Train a small network on handwritten digits from an object store, and resume it exactly.

Every sample is one NPZ object with ``image`` [8, 8], ``label`` and ``id``. Run it alone::

    python train.py s3://bucket/digits/train/ --work /tmp/digits

and again with more ``--epochs``, or after a kill: it goes on from the batch after the last saved one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from s3dlio import S3IterableDataset
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

BATCH_SIZE = 16


def main() -> None:
    """Train, save after every epoch and at ``--kill-after``, and report."""
    options = arguments()
    torch.manual_seed(0)
    dataset = S3IterableDataset(options.data, decoder="npz", batch_size=BATCH_SIZE, shuffle=True, seed=7)
    # The batches are ready, so DataLoader passes them on; with num_workers > 0 they come in the same order.
    loader = DataLoader(dataset, batch_size=None)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    saved = options.work / "state.pt"
    if saved.exists():
        state = torch.load(saved)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        dataset.load_state_dict(state["data"])
        print(f"resumed at epoch {state['data']['epoch'] + 1}, batch {state['data']['batch']} of {len(dataset)}")

    def save() -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "data": dataset.state_dict()}
        torch.save(state, saved.with_suffix(".new"))
        saved.with_suffix(".new").replace(saved)

    figures = {"samples": 0, "seconds": 0.0, "waited": 0.0, "bytes": 0}
    with (options.work / "seen.jsonl").open("a") as seen:
        while (epoch := dataset.epoch) < options.epochs:
            done = dataset.state_dict()["batch"]
            with tqdm(total=len(dataset), initial=done, desc=f"epoch {epoch + 1}", unit="batch") as bar:
                for number, batch in enumerate(timed(loader, figures), start=done + 1):
                    loss = nn.functional.cross_entropy(model(batch["image"]), batch["label"])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    record(figures, dataset, batch)
                    seen.write(json.dumps({"epoch": epoch, "ids": batch["id"].tolist()}) + "\n")
                    bar.update()
                    bar.set_postfix_str(rates(figures), refresh=False)
                    if (epoch, number) == options.kill_after:
                        save()
                        seen.flush()
                        print(f"\nkilled after batch {number} of epoch {epoch + 1}")
                        os.kill(os.getpid(), signal.SIGKILL)
            save()
    report(options, model, figures)


def network() -> nn.Module:
    """Make a small convolutional network for images [B, 8, 8]."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8)),
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 10),
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="URI of the training samples")
    parser.add_argument("--test", help="URI of the test samples")
    parser.add_argument("--work", type=Path, required=True, help="folder for the saved state")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--kill-after", type=int, nargs=2, metavar=("EPOCH", "BATCH"), help="die there, to show resume")
    options = parser.parse_args()
    options.kill_after = tuple(options.kill_after) if options.kill_after else None
    return options


def timed(loader: DataLoader[Any], figures: dict[str, float]) -> Iterator[dict[str, torch.Tensor]]:
    """Pass batches on, and count the time that the training loop waits for them."""
    began = time.perf_counter()
    for batch in loader:
        ready = time.perf_counter()
        figures["waited"] += ready - began
        figures["seconds"] += ready - began
        yield batch
        began = time.perf_counter()
        figures["seconds"] += began - ready


def record(figures: dict[str, float], dataset: S3IterableDataset, batch: dict[str, torch.Tensor]) -> None:
    """Add a batch to the figures."""
    figures["samples"] += len(batch["label"])
    stats = dataset.stats()
    figures["bytes"] += stats["bytes"] / max(stats["reads"], 1) * len(batch["label"])


def rates(figures: dict[str, float]) -> str:
    """Return samples and megabytes in a second."""
    seconds = max(figures["seconds"], 1e-9)
    return f"{figures['samples'] / seconds:.0f} samples/s, {figures['bytes'] / seconds / 1e6:.2f} MB/s"


def report(options: argparse.Namespace, model: nn.Module, figures: dict[str, float]) -> None:
    """Print the test accuracy and where the time went."""
    print(f"loader: {rates(figures)}; {figures['waited']:.2f} s of {figures['seconds']:.2f} s spent waiting for data")
    if options.test is None:
        return
    right = total = 0
    with torch.no_grad():
        for batch in S3IterableDataset(options.test, decoder="npz", batch_size=64):
            right += int((model(batch["image"]).argmax(1) == batch["label"]).sum())
            total += len(batch["label"])
    print(f"test accuracy: {100 * right / total:.1f} % of {total} digits")
    (options.work / "accuracy.json").write_text(json.dumps(right / total))


if __name__ == "__main__":
    main()
