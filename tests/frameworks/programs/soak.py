"""Many short epochs of every kind of loader in one process, and what it holds meanwhile."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import s3dlio
from s3dlio.batches import Batches
from s3dlio.tfrecord import FixedLenFeature, TFRecordWriter, serialize_example

N = 200


def prepare(folder: Path) -> None:
    """Write objects, one of them bad, and the same as records of a file."""
    (folder / "objects").mkdir()
    with TFRecordWriter(folder / "all.tfrecord") as writer:
        for number in range(N):
            record = serialize_example({"label": number}) if number != 7 else b"\xff"
            (folder / "objects" / f"{number:04}").write_bytes(record)
            writer.write(record)


def kinds(folder: Path) -> list[Callable[[int], int]]:
    """Return functions that run an epoch and say how many batches it gave."""
    decoder = s3dlio.example_decoder({"label": FixedLenFeature((), "int64")})
    whole = {"rank": 0, "world_size": 1, "batch_size": 16, "shuffle": True}
    objects, records = f"file://{folder}/objects/", f"file://{folder}/all.tfrecord"

    def refuse(sample: dict[str, int]) -> dict[str, int]:
        if sample["label"] % 50 == 0:
            message = "a sample that the transform refuses"
            raise ValueError(message)
        return sample

    plain = Batches(objects, **whole)
    skipping = Batches(records, format="tfrecord", decoder=decoder, on_error="skip", transform=refuse, **whole)
    replacing = Batches(objects, decoder=decoder, on_error="replace", **whole)
    sequence = s3dlio.PyDataset(objects)

    def all_of(loader: Batches) -> Callable[[int], int]:
        return lambda _: sum(1 for _ in loader)

    def left_early(epoch: int) -> int:
        """An epoch that is left, saved, resumed elsewhere and ended there."""
        given = 0
        for _ in plain:
            given += 1
            if given > epoch % 10:
                break
        other = Batches(objects, **whole)
        other.load_state_dict(plain.state_dict())
        return given + sum(1 for _ in other)

    async def awaited() -> int:
        loader = s3dlio.create_async_loader(objects, {"batch_size": 16})
        return sum([1 async for _ in loader])

    return [
        all_of(plain),
        all_of(skipping),
        all_of(replacing),
        left_early,
        lambda _: len([item for item in sequence]) // 16 + 1,  # noqa: C416 - the iterator is what is tested
        lambda _: asyncio.run(awaited()),
    ]


def main() -> None:
    """Run epochs and print what the process holds after the first ones and at the end."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--epochs", type=int, required=True, help="epochs of each kind")
    arguments.add_argument("--seconds", type=float, default=1e9, help="end earlier after this time")
    given = arguments.parse_args()
    logging.getLogger("s3dlio").setLevel(logging.ERROR)
    prepare(given.folder)
    me, began = psutil.Process(), time.monotonic()
    loaders, warm, done = kinds(given.folder), max(given.epochs // 10, 10), 0

    def held() -> dict[str, int]:
        gc.collect()
        return {"rss": me.memory_info().rss, "threads": me.num_threads(), "files": me.num_fds()}

    before = held()
    for epoch in range(given.epochs):
        if time.monotonic() - began > given.seconds:
            break
        for loader in loaders:
            batches = loader(epoch)
            assert batches == 13, (epoch, batches)
        if epoch == warm:
            before = held()
        done += 1
    print(json.dumps({"epochs": done, "warm": warm, "before": before, "after": held()}))


if __name__ == "__main__":
    main()
