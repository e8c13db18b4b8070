"""Record files behind the classes for PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import s3dlio
import torch
from s3dlio import disky
from s3dlio.array_record.array_record_module import ArrayRecordWriter
from s3dlio.tfrecord import TFRecordWriter
from s3dlio.torch import Loader, S3IterableDataset, S3MapDataset, StreamDataset
from torch.utils.data import ChainDataset, DataLoader

N = 50


def number(record: torch.Tensor) -> int:
    return int(bytes(record.tolist()))


def collect(batch: list[torch.Tensor]) -> list[int]:
    return [number(record) for record in batch]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("records")
    for part in range(2):
        with ArrayRecordWriter(str(folder / f"{part}.array_record"), "group_size:4") as writer:
            for index in range(part * 25, part * 25 + 25):
                writer.write(str(index).encode())
    return f"file://{folder}/"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_map_dataset_gives_records_by_number(base, workers):
    dataset = S3MapDataset(base, format="array_record")
    assert number(dataset[-1]) == 49
    loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=workers, collate_fn=collect)
    assert sorted(value for batch in loader for value in batch) == [*range(N)]


@pytest.mark.parametrize(("context", "shuffle"), [("fork", False), ("fork", "block"), ("fork", "global")])
def test_workers_share_the_records(base, context, shuffle):
    dataset = S3IterableDataset(base, format="array_record", shuffle=shuffle, batch_size=4)
    alone = [[number(record) for record in batch] for batch in dataset]
    assert sorted(value for batch in alone for value in batch) == [*range(N)]
    dataset.set_epoch(0)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context=context)
    assert [[number(record) for record in batch] for batch in loader] == alone


@pytest.fixture(scope="module")
def formats(s3) -> dict[str, str]:
    """48 records in files of every format, in an object store."""
    base = s3.bucket("formats")
    places = {kind: f"{base}/{kind}/" for kind in ("array_record", "tfrecord", "npz", "parquet")}
    for part in range(2):
        numbers = range(part * 24, part * 24 + 24)
        with ArrayRecordWriter(f"{places['array_record']}{part}", "group_size:4") as writer:
            for index in numbers:
                writer.write(str(index).encode())
        with TFRecordWriter(f"{places['tfrecord']}{part}") as writer:
            for index in numbers:
                writer.write(str(index).encode())
        s3dlio.write_npz(f"{places['npz']}{part}", {f"x{index:02}": np.full(3, index) for index in numbers})
        s3dlio.generate_and_write_parquet(f"{places['parquet']}{part}", 2, 3, 24)
    return places


def plain(batch: Any) -> list[Any]:
    return batch.tolist() if isinstance(batch, torch.Tensor) else [record.tolist() for record in batch]


def test_workers_of_every_kind_share_the_records_of_every_format(formats, processes):
    datasets = [
        S3IterableDataset(place, format=kind, shuffle="block", seed=5, batch_size=4) for kind, place in formats.items()
    ]
    alone = [plain(batch) for dataset in datasets for batch in dataset]
    assert len(alone) == 4 * 12
    assert len({str(record) for batch in alone for record in batch}) == 3 * 48
    for dataset in datasets:
        dataset.set_epoch(0)
    # One pair of workers for all formats, as each takes seconds to import torch. Twelve batches fill both alike.
    together = DataLoader(ChainDataset(datasets), batch_size=None, num_workers=2, multiprocessing_context=processes)
    assert [plain(batch) for batch in together] == alone


def test_a_loader_goes_on_from_a_state_on_another_world_size(base):
    def loader(rank: int, world: int, batch_size: int) -> Loader:
        return Loader(
            base, format="auto", shuffle=True, seed=3, batch_size=batch_size, rank=rank, world_size=world, last="uneven"
        )

    before = [loader(rank, 2, 2) for rank in range(2)]
    seen: list[int] = []
    for rank in before:
        batches = iter(rank)
        for _ in range(5):
            seen += [number(record) for record in next(batches)]
    state = before[1].state_dict()
    assert state["shuffle"] == "block"
    assert "shuffle block" in s3dlio.state.describe(state)
    for rank in range(4):
        resumed = loader(rank, 4, 1)
        resumed.load_state_dict(state)
        seen += [number(record) for batch in resumed for record in batch]
    assert sorted(seen) == [*range(N)]
    later = loader(0, 1, 4)
    later.load_state_dict(s3dlio.state.skip(state, samples=20))
    assert len([*later]) == 3


def test_a_loader_says_what_it_waits_for(base):
    loader = Loader(base, format="array_record", batch_size=8, last="wrap")
    assert loader.bottleneck() == ""
    batches = [*loader]
    figures = loader.stats()
    assert (len(batches), figures["samples"], figures["repeated"]) == (7, 56, 6)
    causes = [name for name in figures if name.startswith("wait_") and name != "wait_nanos"]
    assert len(causes) == 5
    assert sum(figures[name] for name in causes) <= figures["wait_nanos"]
    assert figures["list_nanos"] > 0
    assert loader.bottleneck().startswith("waited ")


@pytest.fixture(scope="module")
def streams(tmp_path_factory) -> dict[str, str]:
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("disky", "tfrecord")}
    for part in range(4):
        lines = [str(index).encode() for index in range(part * 20, part * 20 + 20)]
        with TFRecordWriter(f"{folders['tfrecord']}/{part}.tfrecord", compression="gzip") as writer:
            for line in lines:
                writer.write(line)
        with disky.RecordWriter(str(folders["disky"] / f"{part}.disky")) as writer:
            for line in lines:
                writer.write_record(line)
    return {kind: f"file://{folder}/" for kind, folder in folders.items()}


@pytest.mark.parametrize("kind", ["disky", "tfrecord"])
def test_files_are_read_in_order_or_mixed(streams, kind):
    plain = StreamDataset(streams[kind], format=kind)
    assert collect([*plain]) == [*range(80)]
    mixed = StreamDataset(streams[kind], format=kind, buffer=30, batch_size=8, drop_last=True, return_type="bytes")
    first = [int(record) for batch in mixed for record in batch]
    assert sorted(first) == [*range(80)] != first
    assert [int(record) for batch in mixed for record in batch] != first
    loader = DataLoader(StreamDataset(streams[kind], format=kind, buffer=7), batch_size=None, num_workers=2)
    for _ in range(2):
        assert sorted(number(record) for record in loader) == [*range(80)]


@pytest.mark.parametrize("kind", ["disky", "tfrecord"])
def test_a_stream_goes_on_from_its_state(streams, kind):
    def make() -> StreamDataset:
        return StreamDataset(streams[kind], format=kind, buffer=12, seed=4, batch_size=5)

    dataset = make()
    whole = [[number(record) for record in batch] for batch in dataset]
    for given in (0, 1, 7, 15, 16):
        dataset.set_epoch(0)
        batches = iter(dataset)
        for _ in range(given):
            next(batches)
        resumed = make()
        resumed.load_state_dict(dataset.state_dict())
        assert [[number(record) for record in batch] for batch in resumed] == whole[given:]
    other = StreamDataset(streams[kind], format=kind, buffer=12, seed=5)
    with pytest.raises(s3dlio.errors.StateMismatchError, match="seed"):
        other.load_state_dict(dataset.state_dict())


def test_streams_refuse_what_cannot_be(streams):
    with pytest.raises(s3dlio.errors.ConfigError, match="format"):
        StreamDataset(streams["disky"], format="npz")
    loader = DataLoader(StreamDataset(f"{streams['disky']}0.disky", format="disky"), batch_size=None, num_workers=2)
    with pytest.raises(s3dlio.errors.ConfigError, match="at most 1 readers"):
        list(loader)
