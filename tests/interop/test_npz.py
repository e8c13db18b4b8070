"""NPZ and NPY in both directions with NumPy: any dtype, shape and order."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import s3dlio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

NPZ, NPY = "memory://npz-interop/one.npz", "memory://npz-interop/one.npy"

plain = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes()
    | hnp.complex_number_dtypes()
    | hnp.byte_string_dtypes(max_len=5)
    | hnp.unicode_string_dtypes(max_len=5)
    | hnp.datetime64_dtypes(max_period="ms")
    | hnp.timedelta64_dtypes(max_period="ms")
)
dtypes = plain | hnp.nested_dtypes(plain, max_leaves=6) | hnp.array_dtypes(plain, max_size=4, allow_subarrays=True)
# The dtype of an array is never a subarray: NumPy makes its axes those of the array.
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
ordered = st.tuples(arrays, st.sampled_from("CF")).map(lambda pair: np.asarray(pair[0], order=pair[1]))
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


def content(array: np.ndarray) -> list[bytes]:
    """The bytes of every field: what is no number or no time differs from itself, and what pads is arbitrary."""
    if array.dtype.names is None:
        return [array.tobytes()]
    return [part for name in array.dtype.names for part in content(array[name])]


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.flags.f_contiguous == expected.flags.f_contiguous
    assert found.flags.c_contiguous == expected.flags.c_contiguous
    assert content(found) == content(expected)


def loaded(uri: str) -> np.ndarray:
    return np.load(io.BytesIO(s3dlio.get(uri)), allow_pickle=False)


def saved(save, *args, **kwargs) -> bytes:
    out = io.BytesIO()
    save(out, *args, **kwargs)
    return out.getvalue()


newer = pytest.mark.filterwarnings("ignore:Stored array in format:UserWarning")


@newer
@given(ordered)
def test_a_file_is_the_one_that_numpy_saves(array):
    expected = saved(np.save, array)
    s3dlio.write_npy(NPY, array)
    assert s3dlio.get(NPY) == expected
    same(s3dlio.read_npy(NPY), np.load(io.BytesIO(expected)))


@given(st.dictionaries(names, ordered, max_size=4), st.sampled_from([False, True, 1, 9]))
def test_numpy_reads_what_we_write(members, compress):
    s3dlio.write_npz(NPZ, members, compress=compress)
    archive = loaded(NPZ)
    assert archive.files == list(members)
    found = s3dlio.read_npz(NPZ)
    assert list(found) == list(members)
    for name, array in members.items():
        same(archive[name], array)
        same(found[name], array)


@newer
@given(st.dictionaries(names, ordered, max_size=4), st.booleans())
def test_we_read_what_numpy_writes(members, compress):
    out = io.BytesIO()
    # As `savez` does it, which itself takes no name that is an argument of its own.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    s3dlio.put(NPZ, out.getvalue())
    found = s3dlio.read_npz(NPZ)
    assert list(found) == list(members)
    for name, array in members.items():
        same(found[name], array)
        same(s3dlio.read_npz(NPZ, name), array)
        assert not found[name].flags.writeable


ODD = {
    "aligned": np.zeros(3, np.dtype([("a", "u1"), ("b", "<f8"), ("c", "<i2")], align=True)),
    "offsets": np.ones(
        2, np.dtype({"names": ["a", "b"], "formats": ["<i2", ">f4"], "offsets": [3, 8], "itemsize": 20})
    ),
    "titles": np.ones(2, np.dtype([(("the title", "t"), "<i4"), ("quote'\\", "<u2")])),
    "nested": np.ones(2, np.dtype([("p", [("x", "<f4", (2, 3)), ("y", "S3")], (2,)), ("z", "?")], align=True)),
    "subarray": np.ones((2, 3), np.dtype(("<i4", (2,)))),
    "latin": np.ones(2, [("höhe", "<i4")]),
    "times": np.array(["1970-01-02", "NaT"], "<M8[ns]"),
    "multiple": np.array([1, -2], ">m8[25us]"),
    "generic": np.array(["NaT"], "M8"),
    "half": np.array([1.5, np.inf, np.nan], ">f2"),
    "long": np.arange(3, dtype=np.clongdouble),
    "text": np.array([["a", "ü", "日本"], ["", "x\0y", "z"]]),
    "bytes": np.array([b"", b"ab\0c"]),
    "void": np.array([b"abc", b"\0\1\2"], "V3"),
    "nothing": np.zeros(3, "V0"),
    "no_text": np.zeros((2, 2), "U0"),
    "scalar": np.array(7, ">i8"),
    "empty": np.zeros((0, 5, 2), "c8"),
    "transposed": np.arange(24).reshape(2, 3, 4).T,
    "stepped": np.arange(100).reshape(10, 10)[::2, ::-3],
    "broadcast": np.broadcast_to(np.float32(3), (4, 5)),
    "read_only": np.frombuffer(bytes(range(8)), "<u2"),
    "unaligned": np.frombuffer(bytes(range(17)), "u1")[1:].view("<f8"),
    "dimensions": np.zeros((1,) * 64, "u1"),
}


def test_odd_arrays_survive_both_ways(tmp_path):
    uri = f"file://{tmp_path}/odd.npz"
    for compress in (False, True):
        s3dlio.write_npz(uri, ODD, compress=compress)
        ours = s3dlio.read_npz(uri)
        with np.load(tmp_path / "odd.npz", allow_pickle=False) as archive:
            for name, array in ODD.items():
                same(ours[name], archive[name])
                assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
                assert content(ours[name]) == content(array), name
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "theirs.npz", **ODD)
        found = s3dlio.read_npz(f"file://{tmp_path}/theirs.npz")
        for name, array in ODD.items():
            assert found[name].dtype == array.dtype, name
            assert content(found[name]) == content(array), name


@newer
def test_names_of_fields_beyond_latin(tmp_path):
    array = np.ones(2, [("高さ", "<i4")])
    s3dlio.write_npy(NPY, array)
    assert s3dlio.get(NPY) == saved(np.save, array)
    same(s3dlio.read_npy(NPY), array)


@newer
def test_a_dtype_with_thousands_of_fields():
    array = np.zeros(2, [(f"field_{number}", "<i4") for number in range(4000)])
    s3dlio.write_npy(NPY, array)
    assert s3dlio.get(NPY) == saved(np.save, array)
    assert s3dlio.read_npy(NPY).dtype == array.dtype


def test_lists_are_named_and_converted_as_numpy_does(tmp_path):
    uri = f"file://{tmp_path}/list.npz"
    s3dlio.write_npz(uri, [np.arange(3), 2.5, [[1, 2], [3, 4]]])
    np.savez(tmp_path / "theirs.npz", np.arange(3), 2.5, [[1, 2], [3, 4]])
    with np.load(tmp_path / "theirs.npz") as expected:
        found = s3dlio.read_npz(uri)
        assert list(found) == expected.files
        for name in expected.files:
            same(found[name], expected[name])


def test_stored_members_are_aligned_in_the_archive():
    s3dlio.write_npz(NPZ, {"x" * length: np.arange(10.0) for length in range(1, 80)})
    whole = bytes(s3dlio.get(NPZ))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        for member in archive.infolist():
            header = member.header_offset
            extra = header + 30 + sum(int.from_bytes(whole[header + at : header + at + 2], "little") for at in (26, 28))
            assert extra % 64 == 0


def test_the_same_arrays_make_the_same_archive(tmp_path):
    arrays = {"a": np.arange(5), "b": np.ones((300, 300))}
    for compress in (False, True):
        for name in ("one", "two"):
            s3dlio.write_npz(f"file://{tmp_path}/{name}", arrays, compress=compress)
        assert Path(tmp_path / "one").read_bytes() == Path(tmp_path / "two").read_bytes()


def test_large_arrays_are_deflated_in_pieces(tmp_path):
    array = np.random.default_rng(1).integers(0, 4, (5, 1500, 1500)).astype("<i2")
    uri = f"file://{tmp_path}/large.npz"
    s3dlio.write_npz(uri, {"x": array, "y": array[0].T}, compress=True)
    np.savez_compressed(tmp_path / "theirs.npz", x=array, y=array[0].T)
    assert (tmp_path / "large.npz").stat().st_size < 1.1 * (tmp_path / "theirs.npz").stat().st_size
    with np.load(tmp_path / "large.npz") as archive:
        same(archive["x"], array)
        same(archive["y"], array[0].T)
    same(s3dlio.read_npz(uri)["x"], array)
