"""Tensors that several processes saved, loaded under any other cut: equal to the whole."""

from __future__ import annotations

import itertools
import tempfile
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from s3dlio.checkpoint import CheckpointManager, Shard


def cuts(length: int, parts: int) -> list[tuple[int, int]]:
    """Cut a length into parts as even as can be: the first element and the length of each."""
    bounds = [length * number // parts for number in range(parts + 1)]
    return [(start, end - start) for start, end in itertools.pairwise(bounds)]


def boxes(shape: tuple[int, ...], grid: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Cut an array into a grid of boxes."""
    found: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), ())]
    for length, parts in zip(shape, grid, strict=True):
        found = [((*o, start), (*n, size)) for o, n in found for start, size in cuts(length, parts)]
    return found


def part(whole: np.ndarray, offsets: tuple[int, ...], lengths: tuple[int, ...]) -> np.ndarray:
    return whole[tuple(slice(start, start + length) for start, length in zip(offsets, lengths, strict=True))]


def saved(folder: str, whole: np.ndarray, grid: tuple[int, ...], *, compress: bool) -> CheckpointManager:
    places = boxes(whole.shape, grid)
    for rank in reversed(range(len(places))):
        offsets, lengths = places[rank]
        manager = CheckpointManager(f"file://{folder}", rank=rank, world_size=len(places), compress=compress)
        shard = Shard(part(whole, offsets, lengths), whole.shape, offsets)
        manager.save(1, {"w": shard, "rank": rank}, attempt="0" * 32)
    return CheckpointManager(f"file://{folder}")


def resharded(manager: CheckpointManager, whole: np.ndarray, grid: tuple[int, ...]) -> None:
    for offsets, lengths in boxes(whole.shape, grid):
        if 0 in lengths:
            continue
        into = {"w": Shard(np.empty(lengths, whole.dtype), whole.shape, offsets)}
        manager.load(into=into, select=["w"])
        assert np.array_equal(into["w"].local, part(whole, offsets, lengths))


def test_case_16_4_to_3_and_3_to_8_and_1_to_4(tmp_path: Any) -> None:
    whole = np.random.default_rng(0).random((1001, 7))
    for number, (before, after) in enumerate([(4, 3), (3, 8), (1, 4), (8, 1)]):
        manager = saved(str(tmp_path / str(number)), whole, (before, 1), compress=False)
        resharded(manager, whole, (after, 1))
        assert np.array_equal(manager.load()["w"], whole)


SHAPES = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)


@settings(max_examples=40, deadline=None)
@given(st.data(), SHAPES, st.sampled_from(["<f4", "<i2", "u1", "<c16"]), st.booleans())
def test_case_16_boxes_of_any_grid(data: Any, shape: tuple[int, ...], dtype: str, compress: bool) -> None:
    grid = st.tuples(*(st.integers(1, min(3, length)) for length in shape))
    whole = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    with tempfile.TemporaryDirectory() as folder:
        manager = saved(folder, whole, data.draw(grid), compress=compress)
        assert np.array_equal(manager.load()["w"], whole)
        resharded(manager, whole, data.draw(grid))
        places = [data.draw(st.integers(0, length - 1)) for length in shape]
        lengths = [data.draw(st.integers(1, length - at)) for length, at in zip(shape, places, strict=True)]
        found = manager.load(shards={"w": (places, lengths)})["w"]
        assert np.array_equal(found, part(whole, tuple(places), tuple(lengths)))


KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.tuples(st.integers())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_any_tree_comes_back(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        manager = CheckpointManager(f"file://{folder}")
        manager.save(1, value)
        loaded = manager.load()
        assert loaded == value
        assert repr(loaded) == repr(value)
