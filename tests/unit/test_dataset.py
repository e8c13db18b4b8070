"""Data sets: finding objects, and reading them like a sequence."""

from __future__ import annotations

import asyncio
import collections.abc
import io
import pickle

import numpy as np
import pytest
import s3dlio


@pytest.fixture
def filled(store):
    """Put ten objects, each of its number, and something of another kind below ``data``."""
    s3dlio.put_many([(f"{store}/data/{i:02}.bin", str(i).encode()) for i in range(10)])
    s3dlio.put(f"{store}/data/sub/notes.txt", b"text")
    s3dlio.put(f"{store}/database/x.bin", b"not below data")
    return f"{store}/data"


def numbers(views) -> list[int]:
    return [int(view) for view in views]


def test_finds_everything_below_in_order(filled):
    for uri in (filled, f"{filled}/"):
        dataset = s3dlio.create_dataset(uri)
        assert type(dataset) is s3dlio.PyDataset
        assert len(dataset) == 11
        assert dataset.uris() == [*(f"{filled}/{i:02}.bin" for i in range(10)), f"{filled}/sub/notes.txt"]
        assert dataset.keys() == [*(f"{i:02}.bin" for i in range(10)), "sub/notes.txt"]


def test_a_pattern_selects(filled):
    assert len(s3dlio.create_dataset(f"{filled}/", pattern="*.bin")) == 10
    assert s3dlio.create_dataset(f"{filled}/", pattern="*.txt")[0] == b"text"
    assert len(s3dlio.create_dataset(f"{filled}/*.bin")) == 10


def test_one_object_is_a_data_set(filled):
    dataset = s3dlio.create_dataset(f"{filled}/03.bin")
    assert numbers(dataset) == [3]


def test_is_a_sequence(filled):
    dataset = s3dlio.create_dataset(filled, pattern="*.bin")
    assert isinstance(dataset, collections.abc.Sequence)
    assert numbers(dataset) == [*range(10)]
    assert numbers(reversed(dataset)) == [*range(9, -1, -1)]
    assert all(type(view) is s3dlio.BytesView for view in dataset)
    assert dataset[0] == b"0"
    assert dataset[-1] == b"9"
    assert numbers(dataset[2:8:3]) == [2, 5]
    assert numbers(dataset[::-1]) == [*range(9, -1, -1)]
    assert dataset[5:5] == []
    assert b"3" in dataset
    assert dataset.index(b"4") == 4
    for index in (10, -11):
        with pytest.raises(IndexError, match="10 records"):
            dataset[index]
    assert numbers(dataset.read([3, 3, 0])) == [3, 3, 0]
    assert asyncio.run(dataset.get_item(-2)) == b"8"
    assert numbers(dataset.read([-1, 0])) == [9, 0]
    for chosen in (range(2, 5), range(-3, 0), range(-2, 2), range(7, 2, -2), range(0), [-1, 4]):
        assert numbers(dataset.select(chosen)) == [place % 10 for place in chosen]
    for chosen in (range(8, 11), range(-11, 0), [10]):
        with pytest.raises(IndexError, match="10 records"):
            dataset.select(chosen)
    with pytest.raises(TypeError):
        dataset.read([1.0])
    assert repr(dataset) == f"PyDataset(10 objects, first '{filled}/00.bin')"


def test_iterates_shuffled_when_asked(filled):
    dataset = s3dlio.create_dataset(filled, {"shuffle": True, "seed": 3}, pattern="*.bin")
    assert numbers(dataset) == s3dlio.order.permutation(10, 3, 0).tolist()
    assert numbers(dataset) == s3dlio.order.permutation(10, 3, 1).tolist()
    dataset.set_epoch(0)
    assert numbers(dataset) == s3dlio.order.permutation(10, 3, 0).tolist()
    # An index is a place in the list, shuffled or not.
    assert numbers(dataset[:3]) == [0, 1, 2]


def test_items_are_what_the_decoder_makes_of_them(store):
    content = io.BytesIO()
    np.save(content, np.arange(3))
    s3dlio.put_many([(f"{store}/{at}.npy", content.getbuffer()) for at in range(2)])
    dataset = s3dlio.create_dataset(f"{store}/", {"decoder": "npy"})
    found = [dataset[0], *dataset[1:], *dataset, asyncio.run(dataset.get_item(-1))]
    assert [array.tolist() for array in found] == [[0, 1, 2]] * 5


def test_iterating_logs_what_it_skips(filled, caplog):
    dataset = s3dlio.create_dataset(filled, {"on_error": "skip"}, pattern="*.bin")
    s3dlio.delete(f"{filled}/04.bin")
    assert numbers(dataset) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert [record.args[:2] for record in caplog.records] == [(4, f"{filled}/04.bin")]


def test_takes_uris_in_their_order(store):
    uris = [f"{store}/{i}" for i in (3, 1, 2)]
    s3dlio.put_many([(uri, uri[-1].encode()) for uri in uris])
    wanted = [*uris, uris[0]]
    for dataset in (s3dlio.PyDataset.from_uris(wanted), s3dlio.PyDataset(wanted), s3dlio.PyDataset(iter(wanted))):
        assert dataset.uris() == wanted
        assert numbers(dataset) == [3, 1, 2, 3]
    with pytest.raises(TypeError, match="pattern"):
        s3dlio.PyDataset(uris, pattern="*")


def test_options_come_under_either_name(filled):
    options = {"shuffle": True, "seed": 1}
    for dataset in (
        s3dlio.create_dataset(filled, options),
        s3dlio.create_dataset(filled, options=options),
        s3dlio.create_dataset(filled, opts=options),
        s3dlio.create_dataset(filled, s3dlio.PyLoaderOptions().shuffle(True, 1)),
        s3dlio.PyDataset(filled, opts=options),
    ):
        assert dataset.options == options
    with pytest.raises(TypeError, match="options"):
        s3dlio.create_dataset(filled, options, opts=options)


@pytest.mark.parametrize("uri", ["unknown://bucket/x", "/just/a/path", "name", "", "ftp://host/dir/"])
def test_a_text_that_names_no_store_says_so_in_the_known_words(uri):
    for make in (s3dlio.create_dataset, s3dlio.create_async_loader, s3dlio.PyDataset):
        with pytest.raises(RuntimeError, match="Unsupported URI scheme") as caught:
            make(uri)
        assert "Unable to infer dataset type from URI" in str(caught.value)
        assert isinstance(caught.value, ValueError)


def test_a_known_scheme_is_never_called_unknown(tmp_path, bucket):
    for uri in (f"file://{tmp_path}/none/", "memory://none-here/", f"{bucket}/none/", "s3://"):
        with pytest.raises(RuntimeError) as caught:
            s3dlio.create_dataset(uri)
        if uri != "s3://":
            assert not any(word in str(caught.value).lower() for word in ("unsupported", "unknown"))


def test_a_missing_path_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="Path does not exist") as caught:
        s3dlio.create_dataset(f"file://{tmp_path}/none/")
    assert isinstance(caught.value, RuntimeError)
    assert f"{tmp_path}/none" in str(caught.value)


def test_an_empty_data_set_is_not_found(store, tmp_path):
    (tmp_path / "empty").mkdir()
    s3dlio.put(f"{store}/other/key", b"x")
    with pytest.raises(FileNotFoundError, match="empty"):
        s3dlio.create_dataset(f"{store}/empty/")
    with pytest.raises(FileNotFoundError, match="pattern"):
        s3dlio.create_dataset(f"{store}/other/", pattern="*.none")
    with pytest.raises(ValueError, match="at least one URI"):
        s3dlio.PyDataset([])


def test_a_data_set_needs_a_source():
    with pytest.raises(TypeError, match="uri"):
        s3dlio.PyDataset()


def test_an_object_that_has_gone_is_an_error_and_no_short_epoch(filled):
    dataset = s3dlio.create_dataset(filled, pattern="*.bin")
    s3dlio.delete(f"{filled}/05.bin")
    with pytest.raises(s3dlio.NotFoundError, match=r"05\.bin"):
        list(dataset)
    with pytest.raises(s3dlio.NotFoundError, match=r"05\.bin"):
        dataset[5]
    assert dataset[6] == b"6"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_carries_the_list(filled, protocol):
    dataset = s3dlio.create_dataset(filled, {"shuffle": True}, pattern="*.bin")
    packed = pickle.dumps(dataset, protocol)
    s3dlio.put(f"{filled}/new.bin", b"99")
    again = pickle.loads(packed)
    assert again.uris() == dataset.uris()
    assert again.options == dataset.options
    assert numbers(again) == numbers(dataset)


def test_large_objects_come_in_ranges_when_asked(bucket):
    body = bytes(range(256)) * 4096
    s3dlio.put(f"{bucket}/big", body)
    whole = s3dlio.create_dataset(f"{bucket}/big")
    ranged = s3dlio.create_dataset(f"{bucket}/big", {"reader_mode": "range", "part_size": 1 << 16})
    for dataset, requests in ((whole, 1), (ranged, 16)):
        before = s3dlio.stats()["get_requests"]
        assert dataset[0] == body
        assert s3dlio.stats()["get_requests"] - before == requests
