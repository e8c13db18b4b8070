"""One behaviour of every object store: the verbs against each server, for names and sizes that have gone wrong."""

from __future__ import annotations

import pytest
import s3dlio

MIB = 1 << 20
# Objects are read in ranges beyond 16 MiB, and written in parts beyond 64 MiB.
RANGED = 16 * MIB
PARTED = 64 * MIB

SIZES = [0, 1, RANGED - 1, RANGED, RANGED + 1, PARTED - 1, PARTED, PARTED + 1]
NAMES = ["plain", "dir/a b", "ü/日本語", "a%20b", "a+b&c=d", "it's <odd>", "#?", "~.-_"]

STORES = ["testkit", "gcs", "azurite"]


@pytest.fixture(params=STORES)
def remote(request) -> str:
    """Return the URI of an empty bucket."""
    server = request.getfixturevalue(request.param)
    return server.container() if request.param == "azurite" else server.bucket()


def pattern(size: int) -> bytes:
    return (b"0123456789abcdef-" * (size // 17 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read(remote, size):
    body = pattern(size)
    s3dlio.put(f"{remote}/key", body)
    assert s3dlio.get(f"{remote}/key") == body
    assert s3dlio.stat(f"{remote}/key")["size"] == size
    assert s3dlio.get_many([f"{remote}/key"]) == [(f"{remote}/key", body)]
    for offset, length in ((0, 1), (size // 2, None), (max(size - 3, 0), 10), (size, 5)):
        end = None if length is None else offset + length
        assert s3dlio.get_range(f"{remote}/key", offset, length) == body[offset:end]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_literally(remote, name):
    uri = f"{remote}/{name}"
    s3dlio.put(uri, name.encode())
    assert s3dlio.list(f"{remote}/", recursive=True) == [uri]
    assert s3dlio.get(uri) == name.encode()
    assert s3dlio.exists(uri)
    s3dlio.delete(uri)
    assert not s3dlio.exists(uri)


def test_what_is_missing(remote):
    for call in (s3dlio.get, s3dlio.stat, lambda uri: s3dlio.get_range(uri, 1, 2)):
        with pytest.raises(FileNotFoundError, match="missing") as caught:
            call(f"{remote}/missing")
        assert caught.value.uri == f"{remote}/missing"
    assert not s3dlio.exists(f"{remote}/missing")
    assert s3dlio.list(f"{remote}/") == []
    with pytest.raises(FileNotFoundError):
        s3dlio.put(f"{remote}-that-is-not-there/key", b"x")
    with pytest.raises(FileNotFoundError):
        s3dlio.list(f"{remote}-that-is-not-there/")


def test_levels_and_trees(remote):
    keys = ["a/1", "a/2", "a/b/3", "ab", "c/4"]
    s3dlio.put_many([(f"{remote}/{key}", key.encode()) for key in keys])
    assert s3dlio.list(f"{remote}/", recursive=True) == [f"{remote}/{key}" for key in keys]
    assert s3dlio.list(f"{remote}/") == [f"{remote}/{key}" for key in ("a/", "ab", "c/")]
    assert s3dlio.list(f"{remote}/a/") == [f"{remote}/a/{key}" for key in ("1", "2", "b/")]
    s3dlio.delete(f"{remote}/a/", recursive=True)
    assert s3dlio.list(f"{remote}/", recursive=True) == [f"{remote}/ab", f"{remote}/c/4"]
    dataset = s3dlio.create_dataset(f"{remote}/")
    assert [bytes(dataset[i]) for i in range(len(dataset))] == [b"ab", b"c/4"]


def test_an_object_is_replaced_whole(remote):
    first = (s3dlio.put(f"{remote}/key", b"a" * 100), s3dlio.stat(f"{remote}/key"))[1]
    s3dlio.put(f"{remote}/key", b"b")
    second = s3dlio.stat(f"{remote}/key")
    assert s3dlio.get(f"{remote}/key") == b"b"
    assert first["etag"] != second["etag"]


def test_many_at_once(remote):
    # Azure's emulator searches all blobs for each that is removed.
    number = 150 if remote.startswith("az://") else 1500
    pairs = [(f"{remote}/many/{i:04}", b"%d" % i) for i in range(number)]
    s3dlio.put_many(pairs)
    assert s3dlio.list(f"{remote}/many/") == [uri for uri, _ in pairs]
    assert s3dlio.get_many([uri for uri, _ in pairs]) == pairs
    s3dlio.delete(f"{remote}/many/", recursive=True)
    assert s3dlio.list(f"{remote}/", recursive=True) == []
