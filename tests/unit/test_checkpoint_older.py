"""Stores that the earlier checkpoint store wrote, made here by hand: layout, strategies, compression."""

from __future__ import annotations

import json
from typing import Any

import crc32c
import pytest
import s3dlio
import zstandard
from s3dlio.errors import CheckpointError, CorruptDataError, NotFoundError

FOLDERS = {"flat": "shards", "round_robin": "shards/rr/{rank:02x}", "binary": "shards/bin/{bits}"}


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    return f"file://{tmp_path}/place" if request.param == "file" else str(request.getfixturevalue("bucket"))


def write(
    base: str, step: int, ranks: list[bytes], *, strategy: str = "flat", level: int | None = None, **changed: Any
) -> str:
    """Write a checkpoint as the earlier store does; the key of its manifest."""
    name = f"ckpt-{step}-20240102-03{step % 60:02}00"
    shards = []
    for rank, data in enumerate(ranks):
        folder = FOLDERS[strategy].format(rank=rank % 16, bits=format(rank, "08b")[:4])
        key = f"{folder}/{name}/rank-{rank}.bin{'' if level is None else '.zst'}"
        stored = data if level is None else zstandard.ZstdCompressor(level).compress(data)
        s3dlio.put(f"{base}/{key}", stored)
        checksum = f"crc32c:{crc32c.crc32c(data):08x}"
        shards.append({"rank": rank, "key": key, "size": len(stored), "etag": "e", "checksum": checksum})
    manifest = {
        "format_version": 1,
        "framework": "torch",
        "global_step": step,
        "epoch": step // 10,
        "wall_time": f"2024-01-02T03:{step % 60:02}:00.123456789+00:00",
        "world_size": len(ranks),
        "shards": shards,
        "status": "complete",
        "user_meta": None,
        **changed,
    }
    key = f"manifests/{name}.json"
    s3dlio.put(f"{base}/{key}", json.dumps(manifest, indent=2).encode())
    return key


def point(base: str, key: str) -> None:
    latest = {"manifest_key": key, "global_step": 1, "ts": "20240102-030405"}
    s3dlio.put(f"{base}/latest.json", json.dumps(latest).encode())


@pytest.mark.parametrize("level", [None, 6])
def test_one_rank(place: str, level: int | None) -> None:
    write(place, 5, [b"five" * 1000], level=level)
    key = write(place, 20, [b"twenty" * 1000], level=level)
    point(place, key)
    store = s3dlio.PyCheckpointStore(place)
    assert store.load_latest() == b"twenty" * 1000
    assert s3dlio.load_checkpoint(place) == b"twenty" * 1000
    assert store.load(step=5) == b"five" * 1000
    first, second = store.list_checkpoints()
    assert (first.step, second.step, second.epoch, second.framework) == (5, 20, 2, "torch")
    assert (second.is_complete, second.is_single_rank, second.timestamp) == (True, True, 1704165600)
    assert second.total_size == sum(s3dlio.stat(uri)["size"] for uri in s3dlio.list(f"{place}/shards/ckpt-20-*/*"))
    with pytest.raises(NotFoundError):
        store.load(step=6)


@pytest.mark.parametrize("strategy", sorted(FOLDERS))
def test_many_ranks(place: str, strategy: str) -> None:
    ranks = [bytes([rank]) * (rank * 100) for rank in range(18)]
    write(place, 3, ranks, strategy=strategy, level=3)
    store = s3dlio.PyCheckpointStore(place, strategy)
    manifest = store.reader().load_latest_manifest()
    assert manifest is not None
    assert (manifest["global_step"], manifest["world_size"]) == (3, 18)
    assert [store.reader().read_shard_by_rank(manifest, rank) for rank in range(18)] == ranks
    assert store.load(3, rank=17) == ranks[17]
    with pytest.raises(CheckpointError, match="18 ranks"):
        store.load_latest()
    with pytest.raises(CheckpointError, match="no rank 18"):
        store.load(3, rank=18)


def test_a_pointer_that_is_stale_or_cut_short_is_passed_over(place: str) -> None:
    old = write(place, 5, [b"five"])
    write(place, 20, [b"twenty"])
    store = s3dlio.PyCheckpointStore(place)
    assert store.load_latest() == b"twenty"
    point(place, old)
    assert store.load_latest() == b"five"
    for content in (
        b'{"manifest_key": "manif',
        b'{"manifest_key": "manifests/gone.json"}',
        b'{"manifest_key": "../x"}',
    ):
        s3dlio.put(f"{place}/latest.json", content)
        assert store.load_latest() == b"twenty"
    write(place, 30, [b"not yet"], status="in_progress")
    s3dlio.put(f"{place}/manifests/ckpt-40-x.json", b"{")
    assert [found.step for found in store.list_checkpoints()] == [5, 20]


def test_what_is_damaged_or_leads_elsewhere_is_refused(place: str) -> None:
    write(place, 1, [b"one" * 100], level=1)
    write(place, 2, [b"two" * 100])
    store = s3dlio.PyCheckpointStore(place)
    for step, other in [(1, b"two" * 100), (2, b"twO" * 100)]:
        uri = next(uri for uri in s3dlio.list(f"{place}/shards/", recursive=True) if f"ckpt-{step}-" in uri)
        whole = bytes(s3dlio.get(uri))
        for content in (whole[:-1], other if step == 2 else zstandard.compress(other), b"\0" * len(whole)):
            s3dlio.put(uri, content)
            with pytest.raises(CorruptDataError):
                store.load(step=step)
    for key in ("../x", "shards/../x", "/etc/passwd", "shards//x", "manifests/x"):
        shards = [{"rank": 0, "key": key, "size": 1, "etag": None, "checksum": None}]
        write(place, 3, [], shards=shards, world_size=1)
        with pytest.raises(NotFoundError):
            store.load(step=3)


def test_new_steps_come_first_and_old_ones_are_left_alone(place: str) -> None:
    write(place, 5, [b"five"])
    store = s3dlio.PyCheckpointStore(place)
    before = set(s3dlio.list(f"{place}/", recursive=True))
    with pytest.raises(CheckpointError, match="only read"):
        store.delete_checkpoint(5)
    store.save(7, 0, "torch", b"seven")
    store.save(6, 0, "torch", b"six")
    assert store.load_latest() == b"seven"
    assert [found.step for found in store.list_checkpoints()] == [5, 6, 7]
    assert store.load(5) == b"five"
    store.manager.gc(keep_last=1, grace=0)
    assert before < set(s3dlio.list(f"{place}/", recursive=True))
