"""Checkpoints: values round trip with their types, steps are whole or absent, damage is noticed."""

from __future__ import annotations

import math
import os
import random
import re
import struct
import threading
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
import s3dlio
from s3dlio.checkpoint import CheckpointManager, Shard
from s3dlio.errors import (
    CheckpointError,
    CheckpointExistsError,
    ConfigError,
    CorruptDataError,
    IncompleteCheckpointError,
    NotFoundError,
)

pytestmark = pytest.mark.timeout(60)

Pair = namedtuple("Pair", "left right")  # noqa: PYI024 # what a checkpoint turns into a plain tuple


def same(a: Any, b: Any) -> bool:
    """Compare values with their types, floats by their bits and arrays by dtype, shape and bytes."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return len(a) == len(b) and all(same(k, m) and same(v, w) for (k, v), (m, w) in pairs)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


VALUES: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -1, 2**53 - 1, 2**53, -(2**63), 10**400],
    "floats": [0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 5e-324],
    "complex": complex(-0.0, math.inf),
    "strings": ["", "å\x00\n", "\ud800", "x" * 5000],
    "bytes": [b"", b"\x00\xff", bytearray(b"abc"), b"y" * 5000, bytearray(b"z" * 5000)],
    "keys": {1: "int", "1": "str", 1.5: "float", None: "none", (1, ("a", None)): "tuple", b"b": "bytes"},
    "ordered": OrderedDict([("b", 1), ("a", 2)]),
    "nested": [[], (), {}, ((1, [2]), {"x": ()})],
    "sets": [{1, 2}, frozenset({"a"}), set()],
    "rng": random.Random(3).getstate(),  # noqa: S311
    "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True), np.datetime64("2024-01-02"), np.str_("ab")],
    "arrays": [
        np.arange(6, dtype=dtype).reshape(2, 3)
        for dtype in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">f4", ">i8", "c8", "c16", "g")
    ],
    "odd": [
        np.array(3.5),
        np.empty((0, 4), np.float32),
        np.array([True, False]),
        np.array(["ab", "cde"]),
        np.array([b"ab", b"c"]),
        np.array(["2024-01-01", "NaT"], "M8[D]"),
        np.array([1, 2], "m8[us]"),
    ],
}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", sorted(VALUES))
def test_values_come_back_with_their_types(tmp_path, name: str, compress: bool) -> None:
    uri = f"file://{tmp_path}/c.bin"
    s3dlio.save_checkpoint(uri, {name: VALUES[name]}, compress=compress)
    assert same(s3dlio.load_checkpoint(uri), {name: VALUES[name]})


def test_all_stores(store: str) -> None:
    value = {"step": 3, "weights": np.arange(100_000, dtype=np.float32), "text": "a"}
    for compress in (False, True):
        s3dlio.save_checkpoint(f"{store}/one.bin", value, compress=compress)
        assert same(s3dlio.load_checkpoint(f"{store}/one.bin"), value)
    manager = CheckpointManager(f"{store}/managed")
    assert manager.latest() is None
    manager.save(5, value)
    with pytest.raises(CheckpointExistsError):
        manager.save(5, value)
    manager.save(5, {"other": 1}, overwrite=True)
    manager.save(6, value)
    assert manager.steps() == [5, 6]
    assert same(manager.load(5), {"other": 1})
    assert same(manager.load(), value)
    assert manager.verify(6) == 400_000
    assert manager.gc(keep_last=1, grace=0) == [5]
    assert manager.steps() == [6]
    assert same(manager.load(), value)


@pytest.mark.parametrize("value", [3, "text", None, np.arange(4), [1, 2], b"raw"])
def test_any_value_may_be_the_root(tmp_path, value: Any) -> None:
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", data=value)
    assert same(s3dlio.load_checkpoint(f"file://{tmp_path}/c"), value)


def test_a_namedtuple_becomes_a_tuple(tmp_path) -> None:
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"pair": Pair(1, np.arange(2))})
    loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c")["pair"]
    assert type(loaded) is tuple
    assert loaded[0] == 1


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"sched": {"fn": lambda: 0}}, "sched.fn"),
        ({"a": [1, {2: object()}]}, "a.1.2"),
        ({"t": np.array([object()])}, "t"),
        ({"t": np.zeros(2, "f4,i4")}, "t"),
        (threading.Lock(), "data"),
    ],
)
def test_other_values_are_refused_by_their_path(tmp_path, value: Any, path: str) -> None:
    with pytest.raises(TypeError, match=f"^{path}: "):
        s3dlio.save_checkpoint(f"file://{tmp_path}/c", value)
    assert os.listdir(tmp_path) == []


def test_keys_of_other_types_are_refused(tmp_path) -> None:
    with pytest.raises(TypeError, match="frozenset"):
        s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"d": {frozenset(): 1}})


def test_pickle_is_asked_for_twice(tmp_path) -> None:
    uri, value = f"file://{tmp_path}/c", {"small": 1 + 2j, "range": range(3), "large": range(10), "big": Pair}
    s3dlio.save_checkpoint(uri, value, allow_pickle=True)
    with pytest.raises(CheckpointError, match="range: "):
        s3dlio.load_checkpoint(uri)
    assert s3dlio.load_checkpoint(uri, allow_pickle=True) == value
    manager = CheckpointManager(f"file://{tmp_path}/m", allow_pickle=True)
    manager.save(1, value)
    assert manager.info().has_pickle
    with pytest.raises(CheckpointError):
        CheckpointManager(f"file://{tmp_path}/m").load()


def test_values_inside_themselves_are_refused(tmp_path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(CheckpointError, match="128"):
        s3dlio.save_checkpoint(f"file://{tmp_path}/c", loop)


def test_one_array_twice_is_saved_once_and_stays_one(tmp_path) -> None:
    array = np.arange(1_000_000, dtype=np.float32)
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"a": array, "b": [array]})
    assert os.path.getsize(tmp_path / "c") < 4_100_000
    loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c")
    assert loaded["a"] is loaded["b"][0]


def test_strided_arrays_are_saved_in_order(tmp_path) -> None:
    array = np.arange(24).reshape(4, 6)
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"t": array.T, "s": array[::2, ::-1]})
    loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c")
    assert np.array_equal(loaded["t"], array.T)
    assert np.array_equal(loaded["s"], array[::2, ::-1])


def test_into_reads_in_place(tmp_path) -> None:
    uri = f"file://{tmp_path}/c"
    large = np.random.default_rng(0).random((1000, 2000))
    s3dlio.save_checkpoint(uri, {"w": large, "n": [np.arange(5)], "step": 1})
    into = {"w": np.zeros((1000, 2000)), "n": [np.zeros(10, np.int64)[::2]]}
    loaded = s3dlio.load_checkpoint(uri, into=into)
    assert loaded["w"] is into["w"]
    assert np.array_equal(into["w"], large)
    assert into["n"][0].tolist() == [0, 1, 2, 3, 4]
    assert loaded["step"] == 1
    with pytest.raises(CheckpointError, match="into"):
        s3dlio.load_checkpoint(uri, into={"w": np.zeros(3)})


@pytest.mark.parametrize(
    ("into", "found"),
    [
        ({"model": {"w1": np.zeros(3)}}, "model: into: found the key 'w1'"),
        ({"modal": {}}, "data: into: found the key 'modal'"),
        ({"model": [np.zeros(3)]}, "model: into: found a list, expected a dict"),
        ([1, 2], "data: into: found a list, expected a dict"),
        ({"model": {"w": [1]}}, "found a list, expected a NumPy array"),
        ({"many": [np.zeros(2)]}, "many: into: found a list of 1, expected a list of 2"),
        ({"step": np.zeros(1)}, "step: into: found a ndarray, and the checkpoint has no tensor there"),
    ],
)
def test_into_of_another_form_is_refused(tmp_path, into: Any, found: str) -> None:
    uri = f"file://{tmp_path}/c"
    s3dlio.save_checkpoint(uri, {"model": {"w": np.ones(3)}, "many": [np.ones(2), np.ones(2)], "step": 5})
    with pytest.raises(CheckpointError, match=re.escape(found)):
        s3dlio.load_checkpoint(uri, into=into)


def test_into_may_leave_things_out(tmp_path) -> None:
    uri = f"file://{tmp_path}/c"
    s3dlio.save_checkpoint(uri, {"model": {"w": np.ones(3), "b": np.ones(2)}, "step": 5})
    into = {"model": {"w": np.zeros(3)}}
    loaded = s3dlio.load_checkpoint(uri, into=into)
    assert loaded["model"]["w"] is into["model"]["w"]
    assert (into["model"]["w"] == 1).all()
    assert loaded["step"] == 5


def test_select_loads_parts(tmp_path) -> None:
    uri = f"file://{tmp_path}/c"
    s3dlio.save_checkpoint(uri, {"model": {"a.w": np.arange(3), "b": 1}, "optimizer": [np.arange(2), 5], "step": 9})
    assert list(s3dlio.load_checkpoint(uri, select=["model.*"])) == ["model"]
    assert s3dlio.load_checkpoint(uri, select=["step", "optimizer.1"]) == {"optimizer": [None, 5], "step": 9}
    with pytest.raises(CheckpointError, match="select"):
        s3dlio.load_checkpoint(uri, select=["nothing"])


def test_many_small_tensors(tmp_path) -> None:
    value = {f"layer.{number}": np.full(3, number, np.int16) for number in range(20_000)}
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", value)
    assert same(s3dlio.load_checkpoint(f"file://{tmp_path}/c"), value)


@pytest.mark.parametrize("size", [0, 1, 4 * 2**20 - 1, 4 * 2**20, 4 * 2**20 + 1, 20_000_001])
def test_sizes_around_the_bounds_of_chunks(tmp_path, size: int) -> None:
    value = {"a": np.arange(size % 7, dtype=np.int64), "b": np.resize(np.arange(251, dtype=np.uint8), size), "c": b"x"}
    for compress in (False, 1):
        s3dlio.save_checkpoint(f"file://{tmp_path}/c", value, compress=compress)
        assert same(s3dlio.load_checkpoint(f"file://{tmp_path}/c"), value)


def test_random_bytes_are_stored_when_they_do_not_shrink(tmp_path) -> None:
    value = {"noise": np.frombuffer(random.Random(1).randbytes(9_000_000), np.uint8).copy()}  # noqa: S311
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", value, compress=True)
    assert os.path.getsize(tmp_path / "c") < 9_010_000
    assert same(s3dlio.load_checkpoint(f"file://{tmp_path}/c"), value)


def test_validation_names_missing_keys(tmp_path) -> None:
    uri = f"file://{tmp_path}/c"
    s3dlio.save_checkpoint(uri, {"model": {"layer.0.weight": 1}, "list": [{"a": 1}]})
    s3dlio.load_checkpoint_with_validation(uri, ["model", "model.layer.0.weight", "list.0.a"])
    with pytest.raises(RuntimeError, match=r"\['epoch', 'model.bias'\]"):
        s3dlio.load_checkpoint_with_validation(uri, expected_keys=["epoch", "model.bias", "list"])
    with pytest.raises(RuntimeError, match="no checkpoint"):
        s3dlio.load_checkpoint_with_validation(f"file://{tmp_path}/none", ["x"])


def test_validation_takes_one_key(tmp_path) -> None:
    uri = f"file://{tmp_path}/c"
    s3dlio.save_checkpoint(uri, {"model": 1})
    assert s3dlio.load_checkpoint_with_validation(uri, "model") == {"model": 1}


def test_nothing_loads_as_none(tmp_path) -> None:
    assert s3dlio.load_checkpoint(f"file://{tmp_path}/none") is None
    assert s3dlio.load_checkpoint(f"file://{tmp_path}/") is None
    with pytest.raises(NotFoundError):
        CheckpointManager(f"file://{tmp_path}/none").load()


def test_parts_make_a_whole(tmp_path) -> None:
    whole = np.arange(40, dtype=np.float32).reshape(8, 5)
    base, attempt = f"file://{tmp_path}/m", "0" * 32
    for rank in (1, 0):
        part = Shard(whole[rank * 4 : rank * 4 + 4], (8, 5), (rank * 4, 0))
        manager = CheckpointManager(base, rank=rank, world_size=2)
        manager.save(
            1, {"w": part, "rank": rank, f"own{rank}": rank, "same": whole}, attempt=attempt, replicated=["same"]
        )
    manager = CheckpointManager(base)
    loaded = manager.load()
    assert np.array_equal(loaded["w"], whole)
    assert np.array_equal(loaded["same"], whole)
    assert (loaded["rank"], loaded["own0"], loaded["own1"]) == (0, 0, 1)
    second = manager.load(rank=1)
    assert np.array_equal(second["w"], whole[4:])
    assert second["rank"] == 1
    assert np.array_equal(second["same"], whole)
    assert np.array_equal(manager.load(shards={"w": ((2, 1), (5, 3))})["w"], whole[2:7, 1:4])
    into = {"w": Shard(np.zeros((3, 2), np.float32), (8, 5), (3, 3))}
    manager.load(into=into, select=["w"])
    assert np.array_equal(into["w"].local, whole[3:6, 3:5])


def test_a_step_without_all_ranks_is_not_committed(tmp_path) -> None:
    base = f"file://{tmp_path}/m"
    manager = CheckpointManager(base, rank=0, world_size=2, timeout=0.1)
    with pytest.raises(IncompleteCheckpointError, match=r"ranks \[1\]"):
        manager.save(1, {"a": 1}, attempt="1" * 32)
    assert manager.steps() == []
    with pytest.raises(ConfigError, match="attempt"):
        manager.save(1, {"a": 1})


def test_save_async_copies_before_it_returns(tmp_path) -> None:
    manager = CheckpointManager(f"file://{tmp_path}/m")
    array = np.ones(3_000_000)
    handle = manager.save_async(1, {"a": array})
    array[:] = 2
    assert handle.staged()
    assert handle.result(timeout=30).startswith("data/")
    assert handle.progress() == (24_000_000, 24_000_000)
    assert manager.load()["a"].sum() == 3_000_000


@pytest.mark.parametrize("kind", ["file", "s3"])
@pytest.mark.parametrize("compress", [False, 1])
def test_progress_is_told(kind, compress, tmp_path, request) -> None:
    base = f"file://{tmp_path}" if kind == "file" else request.getfixturevalue("bucket")
    # More than one request takes.
    size = 70_000_000
    value = {"a": np.zeros(size, np.uint8), "b": 1}
    manager = CheckpointManager(f"{base}/m", compress=compress)
    seen: list[tuple[int, int]] = []

    def report(moved: int, total: int) -> None:
        seen.append((moved, total))

    calls = [
        lambda: s3dlio.save_checkpoint(f"{base}/c", value, compress=compress, progress=report),
        lambda: s3dlio.load_checkpoint(f"{base}/c", progress=report),
        lambda: manager.save(1, value, progress=report),
        lambda: manager.load(progress=report),
    ]
    for call in calls:
        seen.clear()
        call()
        assert seen[-1] == (size, size)
        assert {total for _, total in seen} == {size}
        assert seen == sorted(seen)


def test_progress_draws_a_bar(tmp_path, capsys) -> None:
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"a": np.zeros(3 << 20, np.uint8)}, progress=True)
    assert "100%" in capsys.readouterr().err
    s3dlio.load_checkpoint(f"file://{tmp_path}/c", progress=True)
    assert "3.00M/3.00M" in capsys.readouterr().err


def test_an_error_of_the_report_breaks_the_call_off(bucket) -> None:
    def report(_moved: int, _total: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        s3dlio.save_checkpoint(f"{bucket}/c", {"a": np.zeros(200_000_000, np.uint8)}, progress=report)


def test_an_async_failure_is_told(tmp_path) -> None:
    manager = CheckpointManager(f"file://{tmp_path}/m")
    manager.save(1, {})
    handle = manager.save_async(1, {"a": 1})
    with pytest.raises(CheckpointExistsError):
        manager.save(2, {})
    assert handle.reported
    manager.save(2, {})


def test_retention(tmp_path) -> None:
    manager = CheckpointManager(f"file://{tmp_path}/m")
    for step in range(10):
        manager.save(step, {"step": step}, metrics={"accuracy": float(step == 3), "loss": -float(step == 4)})
    assert manager.gc() == []
    assert manager.gc(keep_last=2, keep_every=5, keep_best=("accuracy", 1)) == [1, 2, 4, 6, 7]
    assert manager.steps() == [0, 3, 5, 8, 9]
    assert manager.gc(keep_best=("-loss", 1)) == [0, 3, 5, 8]


def test_a_metric_that_no_step_has_keeps_all(tmp_path) -> None:
    manager = CheckpointManager(f"file://{tmp_path}/run")
    for step in (1, 2, 3):
        manager.save(step, {"a": step}, metrics={"accuracy": step / 10})
    with pytest.raises(CheckpointError, match="`acuracy`"):
        manager.gc(keep_best=("acuracy", 2))
    assert manager.steps() == [1, 2, 3]


def test_gc_touches_only_its_own_names(tmp_path) -> None:
    manager = CheckpointManager(f"file://{tmp_path}/m")
    manager.save(1, {"a": np.arange(3)})
    manager.save(2, {"a": np.arange(3)})
    strangers = ["notes.txt", "data/readme", "data/1-x/r00000.meta", "steps/notes"]
    for name in strangers:
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_text("keep")
    assert manager.gc(keep_last=1, grace=0) == [1]
    for name in strangers:
        assert (tmp_path / "m" / name).read_text() == "keep"
    assert manager.load()["a"].tolist() == [0, 1, 2]


def test_unfinished_attempts_go_after_their_grace(tmp_path) -> None:
    base = f"file://{tmp_path}/m"
    with pytest.raises(IncompleteCheckpointError):
        CheckpointManager(base, rank=0, world_size=2, timeout=0).save(1, {"a": b"x" * 9000}, attempt="1" * 32)
    manager = CheckpointManager(base)
    manager.gc(keep_last=1, grace=0)
    assert (tmp_path / "m/data").exists()
    assert any((tmp_path / "m/data").iterdir())
    manager.save(2, {})
    manager.gc(keep_last=1)
    assert any(name.name.startswith("0" * 19 + "1") for name in (tmp_path / "m/data").iterdir())
    manager.gc(keep_last=1, grace=0)
    left = [path for path in (tmp_path / "m/data").rglob("*") if path.is_file()]
    assert all("0" * 19 + "2-" in str(path) for path in left)
    assert manager.load() == {}


@pytest.mark.parametrize("strategy", ["flat", "round_robin", "roundrobin", "binary"])
def test_store_of_bytes(tmp_path, strategy: str) -> None:
    store = s3dlio.PyCheckpointStore(f"file://{tmp_path}", strategy, compression_level=6)
    assert store.load_latest() is None
    key = store.save(10, 1, "torch", b"first" * 1000, {"note": "x"})
    store.save(step=20, epoch=2, framework="jax", data=bytearray(b"second"))
    assert store.load_latest() == b"second"
    assert store.load(step=10) == b"first" * 1000
    first, second = store.list_checkpoints()
    assert (first.step, first.epoch, first.framework, first.is_complete, first.is_single_rank) == (
        10,
        1,
        "torch",
        True,
        True,
    )
    assert (second.step, second.world_size, second.status) == (20, 1, "complete")
    assert first.total_size == pytest.approx(first.size_mb * 2**20) == pytest.approx(first.size_gb * 2**30)
    assert isinstance(key, str)
    assert store.manager.info(10).user_meta == {"note": "x"}
    assert store.delete_checkpoint(20)
    assert not store.delete_checkpoint(20)
    assert store.load_latest() == b"first" * 1000


@pytest.mark.parametrize("data", [5, True, [1, 2], {1: 2}, "text", 2.5])
def test_a_store_of_bytes_takes_nothing_else(tmp_path, data: Any) -> None:
    store = s3dlio.PyCheckpointStore(f"file://{tmp_path}/store")
    with pytest.raises(TypeError, match="data: expected bytes or a buffer"):
        store.save(1, 0, "torch", data)
    with pytest.raises(TypeError, match="data: expected bytes or a buffer"):
        s3dlio.save_checkpoint(f"file://{tmp_path}/store", 3, 0, "torch", data)
    assert store.load_latest() is None


def test_store_of_many_ranks(tmp_path) -> None:
    uri = f"file://{tmp_path}"
    store = s3dlio.PyCheckpointStore(uri)
    metas = [store.writer(3, rank).save_distributed_shard(7, 1, "torch", bytes([rank]) * 10) for rank in (0, 2)]
    stream = store.writer(3, 1).get_distributed_shard_stream(7, 1, "torch")
    stream.write_chunk(b"\x01" * 4)
    stream.write_chunk(memoryview(b"\x01" * 6))
    assert stream.bytes_written == 10
    with pytest.raises(IncompleteCheckpointError):
        store.writer(3, 0).finalize_distributed_checkpoint(7, 1, "torch", metas)
    metas.append(stream.finalize())
    with pytest.raises(CheckpointError):
        stream.write_chunk(b"")
    store.writer(3, 0).finalize_distributed_checkpoint(7, 1, "torch", metas, {"a": 1})
    store.manager.gc(grace=0)
    reader = store.reader()
    manifest = reader.load_latest_manifest()
    assert manifest is not None
    assert [reader.read_shard_by_rank(manifest, rank) for rank in range(3)] == [bytes([rank]) * 10 for rank in range(3)]
    with pytest.raises(RuntimeError, match="3 ranks"):
        store.load_latest()
    assert s3dlio.PyCheckpointStore(f"{uri}/none").reader().load_latest_manifest() is None


def test_shards_beside_each_other(tmp_path) -> None:
    base = f"file://{tmp_path}/"
    for rank in range(3):
        s3dlio.save_distributed_shard(f"{base}shard_{rank}.bin", {"rank": rank, f"w{rank}": np.full(4, rank)}, rank, 3)
    with pytest.raises(IncompleteCheckpointError):
        s3dlio.finalize_distributed_checkpoint(base, 4)
    s3dlio.finalize_distributed_checkpoint(base, 3)
    loaded = s3dlio.load_checkpoint(base)
    assert loaded["rank"] == 0
    assert loaded["w2"].tolist() == [2, 2, 2, 2]
    assert s3dlio.load_checkpoint(base, rank=1)["rank"] == 1
    with pytest.raises(CheckpointExistsError):
        s3dlio.save_distributed_shard(f"{base}shard_0.bin", {}, 0, 3)
    s3dlio.save_distributed_shard(f"{base}shard_0.bin", {"rank": 7}, 0, 3, overwrite=True)
    s3dlio.finalize_distributed_checkpoint(base, 3)
    (tmp_path / "shard_1.bin").write_bytes((tmp_path / "shard_2.bin").read_bytes())
    with pytest.raises(CorruptDataError):
        s3dlio.load_checkpoint(base)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda uri: s3dlio.save_checkpoint(uri, {}, compress=23), ConfigError),
        (lambda uri: s3dlio.save_checkpoint(uri, {}, compressed=True), TypeError),
        (s3dlio.save_checkpoint, TypeError),
        (lambda uri: s3dlio.save_checkpoint(uri, 1, 2), TypeError),
        (lambda uri: s3dlio.PyCheckpointStore(uri, "spiral"), ConfigError),
        (lambda uri: s3dlio.PyCheckpointStore(uri, multipart_threshold=-5), ConfigError),
        (lambda uri: s3dlio.PyCheckpointStore(uri).save(1, 1, "x"), TypeError),
        (lambda uri: CheckpointManager(uri, rank=2, world_size=2), ConfigError),
        (lambda uri: CheckpointManager(uri).save(-1, {}), ConfigError),
        (lambda uri: CheckpointManager(uri).save(1, {}, attempt="x"), CheckpointError),
        (lambda uri: CheckpointManager(uri).gc(grace=-1.0), CheckpointError),
        (lambda _: Shard(np.zeros(3), (4,), (2,)), ConfigError),
        (lambda uri: s3dlio.save_distributed_shard(uri, {}, 3, 3), ConfigError),
        (lambda uri: s3dlio.save_distributed_shard(uri, {}, 0), ConfigError),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(f"file://{tmp_path}/c")
    assert os.listdir(tmp_path) == []
