"""NPZ and NPY files from a store, compared with what NumPy reads."""

from __future__ import annotations

import asyncio
import io
import pickle
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
    with s3dlio.open_npz(uri) as archive:
        for read in (
            lambda: s3dlio.read_npz(uri, "absent"),
            lambda: s3dlio.read_npz(uri, names=["present", "absent"]),
            lambda: s3dlio.read_npz_many([uri], ["absent"]),
            lambda: archive["absent"],
        ):
            with pytest.raises(s3dlio.MissingArrayError, match=r"absent.*present") as caught:
                read()
            assert isinstance(caught.value, KeyError)
            assert caught.value.uri == uri
        assert archive.get("absent") is None


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


SAMPLE = {"x": np.arange(12.0).reshape(3, 4), "y": np.array([b"a", b"bc"]), "z": np.array(7)}


@pytest.fixture
def sample(store) -> str:
    s3dlio.write_npz(f"{store}/sample.npz", SAMPLE)
    return f"{store}/sample.npz"


def test_some_arrays_by_their_names(sample):
    found = s3dlio.read_npz(sample, names=["z", "x.npy"])
    assert list(found) == ["z", "x.npy"]
    same(found["z"], SAMPLE["z"])
    same(found["x.npy"], SAMPLE["x"])
    assert s3dlio.read_npz(sample, names=[]) == {}
    same(s3dlio.read_npz(sample, "y"), SAMPLE["y"])


def test_an_open_archive_is_a_mapping(sample):
    with s3dlio.open_npz(sample) as archive:
        assert isinstance(archive, s3dlio.NpzFile)
        assert (archive.uri, archive.files, len(archive), list(archive)) == (
            sample,
            ["x", "y", "z"],
            3,
            ["x", "y", "z"],
        )
        assert "x" in archive
        assert "x.npy" in archive
        assert "w" not in archive
        assert 3 not in archive
        for name, array in archive.items():
            same(array, SAMPLE[name])
        assert list(archive.read()) == ["x", "y", "z"]
        assert list(archive.read(["z"])) == ["z"]
        assert repr(archive) == f"NpzFile({sample!r}) with 3 arrays"
        kept = archive["x"]
    archive.close()
    same(kept, SAMPLE["x"])
    with pytest.raises(s3dlio.StoreError, match="closed"):
        archive["x"]
    with pytest.raises(s3dlio.StoreError, match="closed"):
        archive.read()


def test_an_open_archive_pickles(sample):
    again = pickle.loads(pickle.dumps(s3dlio.open_npz(sample)))
    assert again.files == ["x", "y", "z"]
    same(again["x"], SAMPLE["x"])


def test_many_archives(store):
    uris = [f"{store}/{number}.npz" for number in range(20)]
    for number, uri in enumerate(uris):
        s3dlio.write_npz(uri, {"x": np.full(1000, number), "y": np.arange(number)}, compress=number % 2 == 0)
    found = s3dlio.read_npz_many([*uris, uris[3]])
    assert [int(arrays["x"][0]) for arrays in found] == [*range(20), 3]
    assert [len(arrays["y"]) for arrays in found] == [*range(20), 3]
    found = s3dlio.read_npz_many(uris, ["y"], max_in_flight=2)
    assert [list(arrays) for arrays in found] == [["y"]] * 20
    assert s3dlio.read_npz_many([]) == []


def test_coroutines(store):
    async def run() -> None:
        uri = f"{store}/a.npz"
        await s3dlio.write_npz_async(uri, SAMPLE, compress=True)
        same((await s3dlio.read_npz_async(uri))["x"], SAMPLE["x"])
        same(await s3dlio.read_npz_async(uri, "y"), SAMPLE["y"])
        assert list(await s3dlio.read_npz_async(uri, names=["z", "y"])) == ["z", "y"]
        assert [list(one) for one in await s3dlio.read_npz_many_async([uri, uri], ["z"])] == [["z"], ["z"]]
        await s3dlio.write_npy_async(f"{store}/a.npy", SAMPLE["x"])
        same(await s3dlio.read_npy_async(f"{store}/a.npy"), SAMPLE["x"])

    asyncio.run(run())


def test_what_cannot_be_written_is_refused_and_nothing_is_lost(tmp_path):
    uri = f"file://{tmp_path}/a.npz"
    s3dlio.write_npz(uri, SAMPLE)
    objects = np.array([{}, None], dtype=object)
    for arrays, kind, words in [
        ({"x": objects}, s3dlio.UnsupportedError, "pickle"),
        ({"x": np.array([(1, None)], [("a", "i4"), ("b", "O")])}, s3dlio.UnsupportedError, "pickle"),
        ({"x": np.ma.masked_array([1, 2], [True, False])}, TypeError, "mask"),
        ({"a\0b": np.ones(2)}, s3dlio.ConfigError, "zero byte"),
        ({"x" * 70_000: np.ones(2)}, s3dlio.ConfigError, "65,535"),
        (np.ones((2, 2)), TypeError, "ndarray"),
        ({1: np.ones(2)}, TypeError, "str"),
    ]:
        with pytest.raises(kind, match=words):
            s3dlio.write_npz(uri, arrays)
    for level in (0, 10, -1):
        with pytest.raises(s3dlio.ConfigError, match="compress"):
            s3dlio.write_npz(uri, SAMPLE, compress=level)
    with pytest.raises(s3dlio.UnsupportedError, match="pickle"):
        s3dlio.write_npy(uri, objects)
    assert list(s3dlio.read_npz(uri)) == list(SAMPLE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_wrong_options_are_refused(tmp_path):
    uri = f"file://{tmp_path}/a.npz"
    s3dlio.write_npz(uri, SAMPLE)
    with pytest.raises(s3dlio.ConfigError, match="array_name"):
        s3dlio.read_npz(uri, "x", names=["x"])  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="names"):
        s3dlio.read_npz(uri, names="xyz")
    with pytest.raises(s3dlio.ConfigError, match="max_in_flight"):
        s3dlio.read_npz_many([uri], max_in_flight=0)


def test_members_that_are_no_arrays_are_passed_over():
    uri = f"file://{DATA}/with_comment_and_text.npz"
    with s3dlio.open_npz(uri) as archive:
        assert "notes.txt" not in archive.files
        with pytest.raises(s3dlio.CorruptDataError, match=r"notes\.txt.*not NPY data"):
            archive["notes.txt"]


@pytest.mark.parametrize("dtype", ["<f4", "float16", ">i2", "?", np.complex64])
def test_generated_archives(dtype):
    made = s3dlio.generate_npz_bytes([7, 300, 2], dtype, 5)
    with np.load(io.BytesIO(made), allow_pickle=False) as archive:
        assert archive.files == ["x", "y"]
        x, y = archive["x"], archive["y"]
    assert (x.dtype, x.shape, y.dtype) == (np.dtype(dtype), (7, 300, 2), np.dtype("<i8"))
    assert y.tolist() == [0] * 5
    assert len(set(np.frombuffer(x.tobytes(), "u1").tolist())) == (2 if dtype == "?" else 256)
    assert s3dlio.generate_npz_bytes([7, 300, 2], dtype, 5) != made
    assert s3dlio.generate_npz_bytes([3], seed=4) == s3dlio.generate_npz_bytes((3,), "<f4", seed=4)


def test_generated_archives_have_bounds():
    for shape, dtype, number in [([-1], "<f4", 1), ([2], "<f4", -1), ([2], "U3", 1), ([2], "O", 1)]:
        with pytest.raises(s3dlio.ConfigError):
            s3dlio.generate_npz_bytes(shape, dtype, number)
    with pytest.raises(s3dlio.S3dlioError):
        s3dlio.generate_npz_bytes([2**40, 2**20])
