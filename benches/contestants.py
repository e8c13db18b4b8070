"""What is compared: one function for each way to read a data set; each touches every page it reads.

A function takes the data folder and yields sizes of what it read, so that the caller counts and nobody is trusted.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

# Nobody writes to the tensors here, so nobody pays for a copy that would make them writable.
warnings.filterwarnings("ignore", message="The given buffer is not writable")

BATCH = 64
PAGE = 4096


def touch(buffer: Any) -> int:
    """Read a byte of every page; returns the size."""
    data = np.frombuffer(buffer, dtype=np.uint8)
    data[::PAGE].max(initial=0)
    return data.size


def touch_tensors(batch: list[torch.Tensor]) -> int:
    """Read a byte of every page of a batch; returns its size."""
    return sum(touch(tensor.numpy()) for tensor in batch)


def paths(folder: Path) -> list[str]:
    """Return the files in order."""
    return sorted(str(path) for path in folder.iterdir())


class Files(Dataset[torch.Tensor]):
    """The plain way: open and read each file in Python."""

    def __init__(self, folder: Path) -> None:
        self.paths = paths(folder)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with open(self.paths[index], "rb") as file:  # noqa: PTH123 - the fastest spelling
            return torch.frombuffer(file.read(), dtype=torch.uint8)


class Obstore(Dataset[torch.Tensor]):
    """The same through obstore's synchronous get."""

    def __init__(self, folder: Path) -> None:
        from obstore.store import LocalStore  # noqa: PLC0415 - only where it is measured

        self.store = LocalStore(str(folder))
        self.names = [os.path.basename(path) for path in paths(folder)]  # noqa: PTH119

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.frombuffer(self.store.get(self.names[index]).bytes(), dtype=torch.uint8)


def _dataloader(dataset: Dataset[torch.Tensor], workers: int) -> Iterator[int]:
    for batch in DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers, collate_fn=list):
        yield touch_tensors(batch)


def loader_s3dlio(folder: Path) -> Iterator[int]:
    """Ours: threads, no workers."""
    from s3dlio.torch import Loader  # noqa: PLC0415

    for batch in Loader(f"file://{folder}", batch_size=BATCH, shuffle=True):
        yield touch_tensors(batch)


def loader_s3dlio_map(folder: Path) -> Iterator[int]:
    """Our map data set in a plain DataLoader."""
    from s3dlio.torch import S3MapDataset  # noqa: PLC0415

    return _dataloader(S3MapDataset(f"file://{folder}"), 0)


def loader_files_0(folder: Path) -> Iterator[int]:
    """DataLoader over files, in the training process."""
    return _dataloader(Files(folder), 0)


def loader_files_2(folder: Path) -> Iterator[int]:
    """DataLoader over files, two worker processes."""
    return _dataloader(Files(folder), 2)


def loader_obstore_0(folder: Path) -> Iterator[int]:
    """DataLoader over obstore, in the training process."""
    return _dataloader(Obstore(folder), 0)


def get_s3dlio(folder: Path) -> Iterator[int]:
    """One object after another."""
    import s3dlio  # noqa: PLC0415

    for path in paths(folder):
        yield touch(s3dlio.get(f"file://{path}"))


def get_obstore(folder: Path) -> Iterator[int]:
    """One object after another."""
    from obstore.store import LocalStore  # noqa: PLC0415

    store = LocalStore(str(folder))
    for path in paths(folder):
        yield touch(store.get(os.path.basename(path)).bytes())  # noqa: PTH119


def get_python(folder: Path) -> Iterator[int]:
    """One file after another."""
    for path in paths(folder):
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            yield touch(file.read())


def many_s3dlio(folder: Path) -> Iterator[int]:
    """All in one call, all kept."""
    import s3dlio  # noqa: PLC0415

    for _, view in s3dlio.get_many([f"file://{path}" for path in paths(folder)]):
        yield touch(view)


def many_obstore(folder: Path) -> Iterator[int]:
    """All at once, 64 in flight, all kept."""
    from obstore.store import LocalStore  # noqa: PLC0415

    return _gather(LocalStore(str(folder)), [os.path.basename(path) for path in paths(folder)])  # noqa: PTH119


def many_python(folder: Path) -> Iterator[int]:
    """One file after another, all kept."""
    kept = []
    for path in paths(folder):
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            kept.append(file.read())
    for data in kept:
        yield touch(data)


def s3_s3dlio(folder: Path) -> Iterator[int]:
    """All objects of the S3 server, 64 in flight."""
    import s3dlio  # noqa: PLC0415

    for _, view in s3dlio.get_many([f"s3://bench/{os.path.basename(path)}" for path in paths(folder)]):  # noqa: PTH119
        yield touch(view)


def s3_obstore(folder: Path) -> Iterator[int]:
    """All objects of the S3 server, 64 in flight."""
    from obstore.store import S3Store  # noqa: PLC0415

    endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
    store = S3Store("bench", endpoint=endpoint, client_options={"allow_http": True}, virtual_hosted_style_request=False)
    return _gather(store, [os.path.basename(path) for path in paths(folder)])  # noqa: PTH119


def s3_boto3(folder: Path) -> Iterator[int]:
    """All objects of the S3 server, 4 threads (more are slower)."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    import boto3  # noqa: PLC0415

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])
    names = [os.path.basename(path) for path in paths(folder)]  # noqa: PTH119
    with ThreadPoolExecutor(4) as pool:
        for data in pool.map(lambda name: client.get_object(Bucket="bench", Key=name)["Body"].read(), names):
            yield touch(data)


def _gather(store: Any, names: list[str]) -> Iterator[int]:
    async def all_of_them() -> list[Any]:
        turns = asyncio.Semaphore(BATCH)

        async def one(name: str) -> Any:
            async with turns:
                return await (await store.get_async(name)).bytes_async()

        return await asyncio.gather(*(one(name) for name in names))

    for data in asyncio.run(all_of_them()):
        yield touch(data)


# Case -> (files, bytes in each, contestants); ours first, ratios are to it.
CASES: dict[str, tuple[int, int, list[Callable[[Path], Iterator[int]]]]] = {
    "loader, 4 KiB objects, batches of 64": (
        20_000,
        4096,
        [loader_s3dlio, loader_s3dlio_map, loader_files_0, loader_files_2, loader_obstore_0],
    ),
    "get, 64 KiB files, one by one": (10_000, 65_536, [get_s3dlio, get_python, get_obstore]),
    "get_many, 64 KiB files": (10_000, 65_536, [many_s3dlio, many_python, many_obstore]),
    "S3 on loopback (moto), 64 KiB objects": (500, 65_536, [s3_s3dlio, s3_obstore, s3_boto3]),
}
