"""The storage verbs, on every store, called directly and awaited."""

from __future__ import annotations

import asyncio
import io
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import s3dlio

NAMES = [
    "plain",
    "with space",
    "per%20cent",
    "100%",
    "ümläut/日本語.bin",
    "a+b&c=d;e,f@g",
    "q?x=1#frag",
    "[brackets]{braces}",
    "quote'\"s",
    "dots...tail.",
    ".hidden",
    "tilde~",
    "back\\slash",
    "a:b",
    "x" * 200,
]


def test_a_written_object_can_be_read(store, verbs):
    uri = f"{store}/dir/key"
    assert verbs.put(uri, b"Hello, World!") is None
    view = verbs.get(uri)
    assert type(view) is s3dlio.BytesView
    assert view == b"Hello, World!"
    assert len(view) == 13


def test_put_bytes_is_put(store, verbs):
    verbs.put_bytes(f"{store}/key", b"abc")
    assert verbs.get(f"{store}/key") == b"abc"


def test_put_replaces(store, verbs):
    for data in (b"long content", b"short", b""):
        verbs.put(f"{store}/key", data)
        assert verbs.get(f"{store}/key") == data
        assert verbs.stat(f"{store}/key")["size"] == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"abcdef",
        bytearray(b"abcdef"),
        memoryview(b"abcdef"),
        memoryview(b"xabcdefx")[1:-1],
        io.BytesIO(b"abcdef").getbuffer(),
        s3dlio.BytesView(b"abcdef"),
        s3dlio.BytesView(b"xabcdef")[1:],
        np.frombuffer(b"abcdef", "u1"),
        np.frombuffer(b"abcdef", "<u2").reshape(3, 1),
        np.asfortranarray(np.frombuffer(b"abcdef", "u1")),
    ],
    ids=lambda data: type(data).__name__,
)
def test_put_takes_every_contiguous_buffer(store, verbs, data):
    verbs.put(f"{store}/key", data)
    assert verbs.get(f"{store}/key") == b"abcdef"


def test_put_takes_empty_arrays_of_any_shape(store, verbs):
    verbs.put(f"{store}/key", np.zeros((3, 0, 2)))
    assert verbs.get(f"{store}/key") == b""


@pytest.mark.parametrize(
    "wrong", ["text", True, None, [1, 2], {}, 1.5, np.arange(10)[::2], np.ones((4, 4), "u1")[:, 1]]
)
def test_put_refuses_what_is_no_contiguous_buffer(store, verbs, wrong):
    for write in (verbs.put, verbs.put_bytes):
        with pytest.raises(TypeError):
            write(f"{store}/key", wrong)
    with pytest.raises(TypeError):
        verbs.put_many([(f"{store}/key", wrong)])
    assert not verbs.exists(f"{store}/key")


def test_a_buffer_is_free_again_after_the_call(store, verbs):
    """Its owner may change it, and change its size, without an effect on what was written."""
    for _ in range(20):
        data, stream = bytearray(b"abc" * 10_000), io.BytesIO(b"abc" * 10_000)
        verbs.put(f"{store}/key", data)
        data[0] = 0
        data.extend(b"more")
        verbs.put_many([(f"{store}/stream", stream.getbuffer())])
        stream.write(b"changed")
        stream.truncate(0)
        assert verbs.get(f"{store}/key") == b"abc" * 10_000
        assert verbs.get(f"{store}/stream") == b"abc" * 10_000


def test_a_buffer_is_free_again_after_a_failure(verbs, tmp_path, s3):
    (tmp_path / "file").write_bytes(b"")
    for place in (f"file://{tmp_path}/file/below", "s3://no-such-bucket-here/key"):
        data = bytearray(b"abc")
        with pytest.raises(s3dlio.S3dlioError):
            verbs.put(place, data)
        data.append(1)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_literally(store, verbs, name):
    uri = f"{store}/names/{name}"
    if store.startswith("az://") and "\\" in name:
        # The service itself would make another name of it.
        with pytest.raises(s3dlio.InvalidUriError, match="backslash"):
            verbs.put(uri, b"")
        return
    verbs.put(uri, name.encode())
    assert verbs.get(uri) == name.encode()
    assert verbs.list(f"{store}/names/", recursive=True) == [uri]
    assert verbs.exists(uri)
    verbs.delete(uri)
    assert not verbs.exists(uri)


def test_percent_signs_are_never_decoded(store, verbs):
    verbs.put(f"{store}/a%20b", b"percent")
    verbs.put(f"{store}/a b", b"space")
    assert verbs.get(f"{store}/a%20b") == b"percent"
    assert verbs.get(f"{store}/a b") == b"space"


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 4, b"0123"),
        (3, 4, b"3456"),
        (3, None, b"3456789"),
        (0, None, b"0123456789"),
        (8, 100, b"89"),
        (10, 5, b""),
        (10, None, b""),
        (99, 5, b""),
        (99, None, b""),
        (0, 0, b""),
        (5, 0, b""),
        (0, 1 << 62, b"0123456789"),
    ],
)
def test_ranges(store, verbs, offset, length, expected):
    uri = f"{store}/key"
    verbs.put(uri, b"0123456789")
    assert verbs.get_range(uri, offset, length) == expected
    assert verbs.get_range(uri, offset=offset, length=length) == expected
    assert verbs.get(uri, offset=offset, length=length) == expected


def test_ranges_of_an_empty_object_are_empty(store, verbs):
    verbs.put(f"{store}/key", b"")
    assert verbs.get(f"{store}/key") == b""
    assert verbs.get_range(f"{store}/key", 0, 10) == b""
    assert verbs.get_range(f"{store}/key", 5) == b""


def test_ranges_take_numpy_integers(store, verbs):
    verbs.put(f"{store}/key", b"0123456789")
    offset, length = np.array([2, 3])
    assert verbs.get_range(f"{store}/key", offset, length) == b"234"


@pytest.mark.parametrize(("option", "value"), [("offset", -1), ("length", -1)])
def test_negative_ranges_are_refused(store, verbs, option, value):
    with pytest.raises(ValueError, match=option):
        verbs.get(f"{store}/key", **{option: value})


@pytest.mark.parametrize("value", [1.5, "1", True])
def test_ranges_are_integers(store, verbs, value):
    with pytest.raises(TypeError, match="offset"):
        verbs.get_range(f"{store}/key", value)


def test_a_missing_object_is_not_found(store, verbs):
    uri = f"{store}/missing"
    for call in (
        lambda: verbs.get(uri),
        lambda: verbs.get_range(uri, 0, 5),
        lambda: verbs.get_range(uri, 5),
        lambda: verbs.stat(uri),
        lambda: verbs.get_many([uri]),
        lambda: verbs.stat_many([uri]),
    ):
        with pytest.raises(FileNotFoundError, match="missing") as caught:
            call()
        assert isinstance(caught.value, s3dlio.NotFoundError)
        assert caught.value.uri == uri
    assert verbs.exists(uri) is False


def test_get_many_keeps_order_and_duplicates(store, verbs):
    uris = [f"{store}/many/{i:03}" for i in range(40)]
    verbs.put_many([(uri, uri.encode()) for uri in uris])
    wanted = [*reversed(uris), uris[3], uris[3], *uris[:5]]
    pairs = verbs.get_many(wanted)
    assert [uri for uri, _ in pairs] == wanted
    assert all(type(view) is s3dlio.BytesView and view == uri.encode() for uri, view in pairs)


def test_get_many_of_nothing_is_nothing(verbs):
    assert verbs.get_many([]) == []
    assert verbs.stat_many([]) == []
    assert verbs.put_many([]) is None


def test_get_many_mixes_schemes(verbs, tmp_path, bucket):
    uris = [f"{root}/mixed/{i}" for i in range(5) for root in (f"file://{tmp_path}", "memory://mixed", bucket)]
    verbs.put_many((uri, uri.encode()) for uri in uris)
    assert verbs.get_many(uris) == [(uri, uri.encode()) for uri in uris]


@pytest.mark.parametrize(
    "limit", [{"max_in_flight": 1}, {"max_in_flight": 1000}, {"workers": 2}, {"concurrency": 3}, {}]
)
def test_get_many_takes_its_bound_under_three_names(store, verbs, limit):
    uris = [f"{store}/key{i}" for i in range(5)]
    verbs.put_many([(uri, b"x") for uri in uris], max_in_flight=2)
    assert verbs.get_many(uris, **limit) == [(uri, b"x") for uri in uris]
    assert verbs.get_many(tuple(uris), 2) == verbs.get_many(uris, **limit)


@pytest.mark.parametrize("name", ["max_in_flight", "workers", "concurrency"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_bound_below_one_is_refused(verbs, name, value):
    with pytest.raises(ValueError, match=name):
        verbs.get_many(["memory://b/k"], **{name: value})


@pytest.mark.parametrize("verb", ["put_many", "stat_many"])
def test_a_bound_of_zero_is_refused_by_every_verb(verbs, verb):
    with pytest.raises(ValueError, match="max_in_flight"):
        getattr(verbs, verb)([], max_in_flight=0)


def test_get_many_fails_as_a_whole_and_names_the_uri(store, verbs):
    uris = [f"{store}/key{i}" for i in range(10)]
    verbs.put_many([(uri, b"x") for uri in uris if not uri.endswith("7")])
    with pytest.raises(s3dlio.NotFoundError, match="key7") as caught:
        verbs.get_many(uris)
    assert caught.value.uri == uris[7]


@pytest.fixture
def tree(store):
    """Fill a store; returns its URI."""
    for key in ("a/1.npz", "a/2.npz", "a/b/3.npz", "a/b/4.txt", "ab/5.npz", "a.npz", "top.txt"):
        s3dlio.put(f"{store}/{key}", b"x")
    return store


def test_lists_one_level(tree, verbs):
    below = [f"{tree}/a/{name}" for name in ("1.npz", "2.npz", "b/")]
    assert verbs.list(f"{tree}/a/") == below
    assert verbs.list(f"{tree}/a") == below
    assert verbs.list(f"{tree}/") == [f"{tree}/{name}" for name in ("a.npz", "a/", "ab/", "top.txt")]


def test_lists_everything_below(tree, verbs):
    below = [f"{tree}/a/{name}" for name in ("1.npz", "2.npz", "b/3.npz", "b/4.txt")]
    assert verbs.list(f"{tree}/a/", recursive=True) == below
    assert verbs.list(f"{tree}/a", True) == below
    everything = verbs.list(f"{tree}/", recursive=True)
    assert len(everything) == 7
    assert everything == sorted(everything)


def test_lists_one_object(tree, verbs):
    assert verbs.list(f"{tree}/top.txt") == [f"{tree}/top.txt"]
    assert verbs.list(f"{tree}/top.txt", recursive=True) == [f"{tree}/top.txt"]


def test_what_is_not_there_lists_as_empty(tree, verbs):
    for recursive in (False, True):
        assert verbs.list(f"{tree}/nothing", recursive=recursive) == []
        assert verbs.list(f"{tree}/nothing/", recursive=recursive) == []
        assert verbs.list(f"{tree}/to", recursive=recursive) == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.npz", ["1.npz", "2.npz", "b/3.npz"]),
        ("b/*", ["b/3.npz", "b/4.txt"]),
        ("[12].npz", ["1.npz", "2.npz"]),
        ("?.txt", ["b/4.txt"]),
        (r"\.npz$", ["1.npz", "2.npz", "b/3.npz"]),
        (r"^b/", ["b/3.npz", "b/4.txt"]),
        ("2|4", ["2.npz", "b/4.txt"]),
        ("txt", ["b/4.txt"]),
        ("nothing", []),
        (re.compile(r"^\d\.npz$"), ["1.npz", "2.npz"]),
        (re.compile("TXT", re.IGNORECASE), ["b/4.txt"]),
        (re.compile("""4 [.]  # the dot""", re.VERBOSE), ["b/4.txt"]),
    ],
)
def test_patterns_select(tree, verbs, pattern, expected):
    found = verbs.list(f"{tree}/a/", recursive=True, pattern=pattern)
    assert found == [f"{tree}/a/{name}" for name in expected]
    assert [*s3dlio.list_iter(f"{tree}/a/", recursive=True, pattern=pattern)] == found


@pytest.mark.parametrize("pattern", ["[", "a{", r"(\d", re.compile(r"(?<=a)b")])
def test_a_pattern_that_cannot_be_read_is_refused(verbs, pattern):
    with pytest.raises(ValueError, match="pattern"):
        verbs.list("memory://patterns/", pattern=pattern)


def test_a_star_in_the_uri_selects(tree, verbs):
    assert verbs.list(f"{tree}/a/*.npz") == [f"{tree}/a/1.npz", f"{tree}/a/2.npz"]
    assert verbs.list(f"{tree}/a/b/*.t*") == [f"{tree}/a/b/4.txt"]


def test_list_iter_gives_what_list_gives(tree):
    iterator = s3dlio.list_iter(f"{tree}/", recursive=True)
    assert iter(iterator) is iterator
    assert sorted(iterator) == s3dlio.list(f"{tree}/", recursive=True)


def test_stat(store, verbs):
    verbs.put(f"{store}/key", b"12345")
    stat = verbs.stat(f"{store}/key")
    assert stat["size"] == 5
    assert stat["etag"]
    assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", stat["last_modified"])
    assert set(stat) == {*s3dlio.storage.ObjectStat.__annotations__}
    assert stat["metadata"] == {}


def test_stat_many_keeps_order_and_duplicates(store, verbs):
    uris = [f"{store}/key{i}" for i in range(10)]
    verbs.put_many([(uri, b"x" * i) for i, uri in enumerate(uris)])
    assert [stat["size"] for stat in verbs.stat_many([*reversed(uris), uris[4]])] == [*range(9, -1, -1), 4]


async def test_every_plain_verb_works_inside_a_running_loop(store):
    """The cells of a notebook run inside a loop."""
    s3dlio.put(f"{store}/key", b"abc")
    assert s3dlio.get(f"{store}/key") == b"abc"
    assert s3dlio.get_many([f"{store}/key"]) == [(f"{store}/key", b"abc")]
    assert s3dlio.list(f"{store}/") == [f"{store}/key"]
    assert [stat["size"] for stat in s3dlio.stat_many([f"{store}/key"])] == [3]
    assert await s3dlio.get_async(f"{store}/key") == b"abc"


def test_exists(store, verbs):
    verbs.put(f"{store}/dir/key", b"")
    assert verbs.exists(f"{store}/dir/key") is True
    assert verbs.exists(f"{store}/dir/") is True
    assert verbs.exists(f"{store}/dir/ke") is False
    assert verbs.exists(f"{store}/other/") is False


def test_delete_is_exact(tree, verbs):
    verbs.delete(f"{tree}/a.npz")
    assert not verbs.exists(f"{tree}/a.npz")
    verbs.delete(f"{tree}/a", recursive=True)
    assert verbs.list(f"{tree}/", recursive=True) == [f"{tree}/ab/5.npz", f"{tree}/top.txt"]


def test_what_is_not_there_counts_as_deleted(store, verbs):
    verbs.delete(f"{store}/nothing")
    verbs.delete(f"{store}/nothing/", recursive=True)


def test_a_directory_is_deleted_only_when_asked(tree, verbs):
    with pytest.raises(NotImplementedError, match="recursive"):
        verbs.delete(f"{tree}/a/")
    assert verbs.exists(f"{tree}/a/1.npz")
    verbs.delete(f"{tree}/a/", recursive=True)
    assert not verbs.exists(f"{tree}/a/")
    assert verbs.exists(f"{tree}/a.npz")


def test_a_directory_is_no_object(verbs, tmp_path):
    (tmp_path / "dir").mkdir()
    for call in (verbs.get, verbs.stat, verbs.delete):
        with pytest.raises(NotImplementedError, match="is a directory"):
            call(f"file://{tmp_path}/dir")
    with pytest.raises(ValueError, match="directory"):
        verbs.put(f"file://{tmp_path}/dir/", b"x")


@pytest.mark.parametrize("uri", ["no-scheme", "", "/tmp/x", "ftp://host/x", "S3:/b/k", "C:\\x"])
def test_a_text_without_a_known_scheme_is_no_uri(verbs, uri):
    for call in (
        lambda: verbs.put(uri, b"x"),
        lambda: verbs.put_many([(uri, b"x")]),
        lambda: verbs.get(uri),
        lambda: verbs.get_many([uri]),
        lambda: verbs.list(uri),
        lambda: verbs.stat(uri),
        lambda: verbs.exists(uri),
        lambda: verbs.delete(uri),
    ):
        with pytest.raises(ValueError, match="scheme") as caught:
            call()
        assert isinstance(caught.value, s3dlio.InvalidUriError)
        assert caught.value.uri == uri or not uri


@pytest.mark.parametrize("uri", [b"memory://b/k", 5, None, Path("/tmp/x")])
def test_a_uri_is_a_text(verbs, uri):
    for call in (verbs.get, verbs.stat, verbs.exists, verbs.list):
        with pytest.raises(TypeError):
            call(uri)


def test_files_are_replaced_atomically_with_the_usual_mode(tmp_path):
    target = tmp_path / "new" / "key"
    uri = f"file://{target}"
    s3dlio.put(uri, b"a" * 100_000)
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask
    seen: set[bytes] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(bytes(s3dlio.get(uri)))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(100):
        s3dlio.put(uri, (b"a", b"b")[i % 2] * (100_000 + i % 2))
    stop.set()
    reader.join()
    assert seen <= {b"a" * 100_000, b"b" * 100_001}
    assert [path.name for path in target.parent.iterdir()] == ["key"]


def test_the_memory_of_a_local_read_is_its_own(tmp_path):
    uri = f"file://{tmp_path}/key"
    s3dlio.put(uri, b"before")
    view = s3dlio.get(uri)
    (tmp_path / "key").write_bytes(b"AFTER!")
    assert view == b"before"


def test_counters_count(store):
    before = s3dlio.stats()
    s3dlio.put(f"{store}/key", b"12345")
    s3dlio.get(f"{store}/key")
    s3dlio.get_many([f"{store}/key"] * 3)
    s3dlio.stat(f"{store}/key")
    s3dlio.list(f"{store}/")
    s3dlio.delete(f"{store}/key")
    after = s3dlio.stats()
    change = {name: after[name] - before[name] for name in after if name != "stores"}
    assert change == {
        "get_requests": 4,
        "get_bytes": 20,
        "put_requests": 1,
        "put_bytes": 5,
        "list_requests": change["list_requests"],
        "head_requests": 1,
        "delete_requests": 1,
        "retries": 0,
        "cache_hits": 0,
        "cache_bytes": 0,
    }
    assert change["list_requests"] >= 1


def test_an_async_verb_is_a_coroutine_that_needs_no_loop_yet(tmp_path):
    names = [name for name in s3dlio.__all__ if name.endswith("_async")]
    assert len(names) > 20
    assert all(asyncio.iscoroutinefunction(getattr(s3dlio, name)) for name in names)
    waiting = s3dlio.put_async(f"file://{tmp_path}/key", b"abc")
    assert asyncio.iscoroutine(waiting)
    asyncio.run(waiting)
    assert (tmp_path / "key").read_bytes() == b"abc"
