"""One table: every verb, on every store, with objects of every size that could matter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import s3dlio

MIB = 1 << 20

# A get splits above 16 MiB, into parts of 8; a writer and a put send parts of 16 MiB, a put above 64.
SIZES = {
    "empty": 0,
    "one byte": 1,
    "below two parts": 16 * MIB - 1,
    "two parts": 16 * MIB,
    "above two parts": 16 * MIB + 1,
    "below a put of parts": 64 * MIB,
    "above a put of parts": 64 * MIB + 1,
    "300 MiB": 300 * MIB,
}

NAMES = [
    "plain",
    "with space",
    "per%20cent",
    "100%",
    "ümläut/日本語",
    "a+b&c=d",
    "q?x=1#frag",
    "[x]{y}",
    "a:b",
    "x" * 200,
]


def content(size: int) -> bytes:
    return bytes(s3dlio.generate_data(size, seed=size))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SIZES)
def test_an_object_of_every_size(place, kind, name, tmp_path, request):
    size = SIZES[name]
    # moto needs a minute for the largest.
    slow = kind == "s3" and size > 65 * MIB
    base = request.getfixturevalue("testkit").bucket() if slow else place(kind)
    uri = f"{base}/dir/object"
    expected = content(size)
    s3dlio.put(uri, expected)
    assert s3dlio.stat(uri)["size"] == size
    assert s3dlio.exists(uri)
    assert s3dlio.get(uri) == expected
    assert s3dlio.get_many([uri, uri])[1][1] == expected
    for offset, length in ((0, 1), (size // 2, 4097), (max(size - 1, 0), 10), (size, 1), (size + 5, None), (1, None)):
        stop = None if length is None else offset + length
        assert s3dlio.get_range(uri, offset, length) == expected[offset:stop], (offset, length)
    copied = f"{base}/copy"
    s3dlio.copy(uri, copied)
    assert s3dlio.get(copied) == expected
    s3dlio.download(copied, f"{tmp_path}/down/")
    assert Path(tmp_path, "down", "copy").read_bytes() == expected
    s3dlio.upload([f"{tmp_path}/down/copy"], f"{base}/up/")
    assert s3dlio.get(f"{base}/up/copy") == expected
    with s3dlio.create_writer(f"{base}/written") as writer:
        for start in range(0, size, 5 * MIB):
            writer.write(expected[start : start + 5 * MIB])
    assert s3dlio.get(f"{base}/written") == expected
    s3dlio.delete(uri)
    assert not s3dlio.exists(uri)


def test_what_is_missing(place, kind, tmp_path):
    uri = f"{place(kind)}/nothing"
    for verb in (s3dlio.get, s3dlio.stat, lambda uri: s3dlio.get_range(uri, 0, 1), lambda uri: s3dlio.get_many([uri])):
        with pytest.raises(s3dlio.NotFoundError) as caught:
            verb(uri)
        assert caught.value.uri == uri
        assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(s3dlio.NotFoundError, match="nothing"):
        s3dlio.copy(uri, f"{place(kind)}/copy")
    with pytest.raises(s3dlio.NotFoundError, match="nothing"):
        s3dlio.download(uri, f"{tmp_path}/down/")
    assert not s3dlio.exists(uri)
    assert s3dlio.list(f"{uri}/") == []
    s3dlio.delete(uri)
    s3dlio.delete([uri, uri])
    s3dlio.delete(f"{uri}/", recursive=True)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_literally(place, kind, name, tmp_path):
    base = place(kind)
    uri = f"{base}/dir/{name}"
    s3dlio.put(uri, name.encode())
    assert s3dlio.get(uri) == name.encode()
    assert s3dlio.stat(uri)["size"] == len(name.encode())
    assert s3dlio.list(f"{base}/dir/", recursive=True) == [uri]
    s3dlio.copy(uri, f"{base}/copies/{name}")
    s3dlio.download(f"{base}/copies/", f"{tmp_path}/down/")
    assert Path(tmp_path, "down", *name.split("/")).read_bytes() == name.encode()
    s3dlio.delete([uri])
    assert s3dlio.list(f"{base}/dir/", recursive=True) == []


@pytest.mark.timeout(400)
def test_ten_thousand_keys(place, kind, request):
    # moto takes minutes for so many; its pages have a test of their own.
    base = request.getfixturevalue("testkit").bucket() if kind == "s3" else place(kind)
    # Azure's emulator takes 10 ms for each; its pages are of 5,000.
    number = 6_000 if kind == "az" else 10_000
    expected = [f"{base}/many/{i // 1000}/{i:05}" for i in range(number)]
    s3dlio.put_many([(uri, b"") for uri in expected])
    assert s3dlio.list(f"{base}/many/", recursive=True) == expected
    assert [*s3dlio.list_iter(f"{base}/many/", recursive=True)] == expected
    assert s3dlio.list(f"{base}/many/") == [f"{base}/many/{i}/" for i in range(number // 1000)]
    assert len(s3dlio.list(f"{base}/many/", recursive=True, pattern=r"[05]00$")) == number // 500
    if kind == "az":
        # Its emulator searches all blobs for each that is removed: minutes for so many, and for every test after this.
        request.getfixturevalue("azurite").client.delete_container(base.rsplit("/", 1)[1])
        return
    s3dlio.delete(expected[:1500])
    assert s3dlio.list(f"{base}/many/", recursive=True) == expected[1500:]
    s3dlio.delete(f"{base}/many/", recursive=True)
    assert s3dlio.list(f"{base}/", recursive=True) == []


def test_conditions(place, kind):
    uri = f"{place(kind)}/object"
    s3dlio.put(uri, b"first", create_only=True)
    with pytest.raises(s3dlio.AlreadyExistsError) as caught:
        s3dlio.put(uri, b"second", create_only=True)
    assert caught.value.uri == uri
    assert s3dlio.get(uri) == b"first"
    etag = s3dlio.stat(uri)["etag"]
    s3dlio.put(uri, b"third", if_match=etag)
    with pytest.raises(s3dlio.PreconditionError):
        s3dlio.put(uri, b"fourth", if_match=etag)
    assert s3dlio.get(uri) == b"third"
    with pytest.raises(s3dlio.ConfigError, match="create_only"):
        s3dlio.put(uri, b"x", create_only=True, if_match=etag)


def test_a_prefix_never_takes_its_neighbours(place, kind):
    base = place(kind)
    names = (
        ["foo", "foo/a", "foobar", "foo.bak/b"] if kind not in {"file", "direct"} else ["foo/a", "foobar", "foo.bak/b"]
    )
    s3dlio.put_many([(f"{base}/{name}", b"x") for name in names])
    s3dlio.delete(f"{base}/foo", recursive=True)
    assert s3dlio.list(f"{base}/", recursive=True) == [f"{base}/foo.bak/b", f"{base}/foobar"]


def test_sizes_asked_for_once_spare_requests(place, kind):
    base = place(kind)
    sizes = [0, 1, 20 * MIB]
    uris = [f"{base}/{size}" for size in sizes]
    s3dlio.put_many([(uri, content(size)) for uri, size in zip(uris, sizes, strict=True)])
    asked = s3dlio.get_many_stats(uris, concurrency=100)
    assert asked == (3, sum(sizes))
    assert [stat["size"] for stat in asked.stats] == sizes
    before = s3dlio.stats()
    assert [len(s3dlio.get(uri)) for uri in uris] == sizes
    after = s3dlio.stats()
    assert after["head_requests"] == before["head_requests"]
    # The large object comes as three parts, of which the first is not the whole body asked for in vain.
    parts = 1 if kind in {"file", "direct"} else 3
    assert after["get_requests"] - before["get_requests"] == 2 + parts
    assert after["get_bytes"] - before["get_bytes"] == sum(sizes)


@pytest.mark.parametrize("object_type", ["zeros", "random", "raw", "npz", "tfrecord"])
def test_generated_objects(place, kind, object_type):
    base = place(kind)
    s3dlio.put(f"{base}/gen", 3, size=10_000, object_type=object_type)
    uris = s3dlio.list(f"{base}/gen/")
    assert uris == [f"{base}/gen/object-{i}" for i in range(3)]
    bodies = [bytes(s3dlio.get(uri)) for uri in uris]
    assert len({*bodies}) == (1 if object_type == "zeros" else 3)
    if object_type == "npz":
        assert s3dlio.read_npz(uris[0])["data"].shape == (10_000,)
    elif object_type == "tfrecord":
        assert {len(body) for body in bodies} == {10_016}
    else:
        assert {len(body) for body in bodies} == {10_000}


def test_generated_objects_larger_than_a_part(place, kind):
    uri = f"{place(kind)}/large-{{}}"
    s3dlio.put(uri, 2, size=40 * MIB + 3, object_type="random", dedup_factor=4, compress_factor=2, chunk_size=1 << 16)
    first, second = (bytes(s3dlio.get(uri.format(i))) for i in range(2))
    assert len(first) == len(second) == 40 * MIB + 3
    assert first != second
    blocks = [first[at : at + 4096] for at in range(0, 40 * MIB, 4096)]
    assert len({*blocks}) == pytest.approx(len(blocks) / 4, rel=0.01)
    assert all(block[:2048] == bytes(2048) and block[2048:] != bytes(2048) for block in blocks)


def test_a_prefix_without_a_scheme_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(s3dlio.InvalidUriError, match="scheme"):
        s3dlio.put("some/where", 3, size=1)
    assert os.listdir(tmp_path) == []
    s3dlio.put(f"file://{tmp_path}/none", 0, size=1)
    assert os.listdir(tmp_path) == []
