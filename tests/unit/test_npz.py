"""NPZ and NPY files from a store, compared with what NumPy reads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import s3dlio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

DATA = Path(__file__).parents[1] / "data" / "npz"

readable = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes()
    | hnp.complex_number_dtypes()
    | hnp.byte_string_dtypes(max_len=5)
    | hnp.unicode_string_dtypes(max_len=5)
)
arrays = hnp.arrays(readable, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.flags.f_contiguous == expected.flags.f_contiguous
    np.testing.assert_array_equal(found, expected)


def saved(save, *args, **kwargs) -> bytes:
    out = io.BytesIO()
    save(out, *args, **kwargs)
    return out.getvalue()


@given(st.dictionaries(st.text("abcxyz_19", min_size=1, max_size=5), arrays, max_size=4), st.booleans())
def test_reads_what_numpy_saves(members, compressed):
    uri = "memory://npz/one.npz"
    s3dlio.put(uri, saved(np.savez_compressed if compressed else np.savez, **members))
    found = s3dlio.read_npz(uri)
    assert list(found) == list(members)
    for name, expected in members.items():
        same(found[name], expected)
        same(s3dlio.read_npz(uri, name), expected)


@given(arrays)
def test_reads_a_single_array(expected):
    s3dlio.put("memory://npz/one.npy", saved(np.save, expected))
    same(s3dlio.read_npy("memory://npz/one.npy"), expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_keeps_memory_order(order):
    expected = np.asarray(np.arange(24).reshape(2, 3, 4), order=order)
    s3dlio.put("memory://npz/order.npz", saved(np.savez, x=expected))
    found = s3dlio.read_npz("memory://npz/order.npz")["x"]
    assert found.flags.f_contiguous == (order == "F")
    same(found, expected)


def test_stored_arrays_are_read_only_views_that_live_on(store):
    s3dlio.put(f"{store}/a.npz", saved(np.savez, x=np.arange(100_000), y=np.ones(3)))
    x = s3dlio.read_npz(f"{store}/a.npz")["x"]
    assert not x.flags.writeable
    np.testing.assert_array_equal(x, np.arange(100_000))


@pytest.mark.parametrize("path", sorted(DATA.glob("*.npz")), ids=lambda path: path.name)
def test_reads_or_refuses_every_kind_of_archive(path):
    try:
        with np.load(path, allow_pickle=False) as archive:
            # NumPy hands out members that are no arrays as bytes; they are passed over here.
            members = {name: archive[name] for name in archive.files}
            expected = {name: array for name, array in members.items() if isinstance(array, np.ndarray)}
    except (ValueError, OSError):
        expected = None
    uri = f"file://{path}"
    if expected is None or path.stem == "bzip2":
        with pytest.raises(s3dlio.UnsupportedError, match=path.stem):
            s3dlio.read_npz(uri)
        return
    found = s3dlio.read_npz(uri)
    assert list(found) == list(expected)
    for name in expected:
        same(found[name], expected[name])


def test_a_missing_member_is_named(tmp_path):
    uri = f"file://{tmp_path}/a.npz"
    s3dlio.put(uri, saved(np.savez, present=np.ones(2)))
    with pytest.raises(s3dlio.CorruptDataError, match="absent") as caught:
        s3dlio.read_npz(uri, "absent")
    assert caught.value.uri == uri


def test_objects_are_not_unpickled(tmp_path):
    uri = f"file://{tmp_path}/a.npz"
    s3dlio.put(uri, saved(np.savez, x=np.array([{}, []], dtype=object)))
    with pytest.raises(NotImplementedError, match="pickle"):
        s3dlio.read_npz(uri)
    s3dlio.put(uri, saved(np.save, np.array([{}, []], dtype=object)))
    with pytest.raises(NotImplementedError, match="pickle"):
        s3dlio.read_npy(uri)


def test_a_missing_object_is_not_found(tmp_path):
    for read in (s3dlio.read_npz, s3dlio.read_npy):
        with pytest.raises(FileNotFoundError):
            read(f"file://{tmp_path}/missing")


@given(st.data())
def test_damage_is_never_read_as_something_else(data):
    """A flipped byte is an error or in a place without meaning; it never changes a value."""
    whole = saved(np.savez, x=np.arange(50), y=np.ones(4, "f4"))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    s3dlio.put("memory://npz/damaged.npz", damaged)
    try:
        found = s3dlio.read_npz("memory://npz/damaged.npz")
    except s3dlio.S3dlioError as error:
        assert "damaged.npz" in str(error)  # noqa: PT017
        return
    for name, array in found.items():
        expected = {"x": np.arange(50), "y": np.ones(4, "f4")}.get(name)
        if expected is not None:
            np.testing.assert_array_equal(array, expected)


@given(st.integers(0, 700))
def test_a_cut_archive_is_corrupt(length):
    whole = saved(np.savez, x=np.arange(50))
    s3dlio.put("memory://npz/cut.npz", whole[: min(length, len(whole) - 1)])
    with pytest.raises(s3dlio.CorruptDataError):
        s3dlio.read_npz("memory://npz/cut.npz")
