"""Programs from the documentation of earlier releases, word for word."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3dlio

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

DATASETS_0_9 = """
from s3dlio import S3MapDataset, S3IterableDataset

# Map-style dataset (random access)
dataset = S3MapDataset(
    uri="s3://bucket/training-data/",
    pattern="*.npz",        # Filter pattern
    transform=my_transform   # Optional transform function
)

# Iterable dataset (streaming)
dataset = S3IterableDataset(
    uri="s3://bucket/training-data/",
    pattern="*.npz",
    shuffle=True,
    num_workers=4
)

# Use with DataLoader
from torch.utils.data import DataLoader
loader = DataLoader(dataset, batch_size=32)

for batch in loader:
    # Train your model
    pass
"""

DISTRIBUTED_0_9 = """
from torch.utils.data import DataLoader
from s3dlio import S3IterableDataset

# Each rank loads different shard
dataset = S3IterableDataset(
    uri=f"s3://bucket/shard_{rank}/",
    shuffle=True
)

loader = DataLoader(
    dataset,
    batch_size=32,
    num_workers=4
)

for batch in loader:
    # Distributed training
    pass
"""

ITERABLE_0_8 = """
from s3dlio.torch import S3IterableDataset

dataset = S3IterableDataset("file:///data/")

from torch.utils.data import DataLoader
dataloader = DataLoader(dataset, batch_size=32)
"""

MIGRATION_0_8 = """
data = s3dlio.get("s3://bucket/object")

dataset = s3dlio.create_dataset("s3://bucket/object")

from s3dlio.torch import S3IterableDataset
dataset = S3IterableDataset("s3://bucket/data/")  # Now works!

loader = s3dlio.create_async_loader("s3://bucket/data/")
"""

COUNT = 40


def npz(number: int) -> bytes:
    content = io.BytesIO()
    np.savez(content, x=np.full(8, number, np.float32))
    return content.getvalue()


@pytest.fixture(scope="module")
def documented(s3) -> str:
    bucket = s3.bucket("bucket")
    prefixes = ("training-data", "shard_0", "shard_1", "data")
    s3dlio.put_many([(f"{bucket}/{prefix}/{i:03}.npz", npz(i)) for prefix in prefixes for i in range(COUNT)])
    s3dlio.put(f"{bucket}/training-data/notes.txt", b"not for training")
    s3dlio.put(f"{bucket}/object", b"content")
    return bucket


def run(program: str, **names: Any) -> dict[str, Any]:
    exec(compile(program, "documented", "exec"), names)  # noqa: S102 - the text is above
    return names


@pytest.mark.usefixtures("documented")
def test_map_and_iterable_data_sets() -> None:
    seen = []

    def my_transform(sample: Any) -> Any:
        seen.append(len(sample))
        return sample

    names = run(DATASETS_0_9, my_transform=my_transform)
    assert len(names["dataset"]) == COUNT
    # A file is the sample, so that DataLoader stacks files of one length.
    assert tuple(names["batch"].shape) == (COUNT - 32, len(npz(0)))
    mapped = s3dlio.S3MapDataset(uri="s3://bucket/training-data/", pattern="*.npz", transform=my_transform)
    assert len(mapped[0]) == seen[0] == len(npz(0))


@pytest.mark.usefixtures("documented")
@pytest.mark.parametrize("rank", [0, 1])
def test_each_rank_reads_its_own_prefix(rank: int) -> None:
    names = run(DISTRIBUTED_0_9, rank=rank)
    batches = list(names["loader"])
    files = {bytes(sample.tolist()) for batch in batches for sample in batch}
    assert files == {npz(i) for i in range(COUNT)}
    assert sum(len(batch) for batch in batches) == COUNT


def test_an_iterable_data_set_of_files(tmp_path: Path) -> None:
    for i in range(COUNT):
        (tmp_path / f"{i:03}").write_bytes(bytes([i]))
    names = run(ITERABLE_0_8.replace("file:///data/", f"file://{tmp_path}/"))
    assert [len(batch) for batch in names["dataloader"]] == [32, COUNT - 32]
    names = run(
        f"from s3dlio.torch import S3IterableDataset\nd = S3IterableDataset('file://{tmp_path}/', loader_opts={{}})"
    )
    assert len(names["d"]) == COUNT


@pytest.mark.usefixtures("documented")
async def test_the_migration_list() -> None:
    names = run(MIGRATION_0_8, s3dlio=s3dlio)
    assert bytes(names["data"]) == b"content"
    assert sum(1 for _ in names["dataset"]) == COUNT
    assert sum([1 async for _ in names["loader"]]) == COUNT
