"""The table of objects behind a data set."""

from __future__ import annotations

import pickle
import sys
import uuid

import pytest
import s3dlio
from hypothesis import given
from hypothesis import strategies as st
from s3dlio import _s3dlio
from s3dlio.dataset import discover

keys = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="/*"), min_size=1, max_size=20
).filter(lambda key: key not in {".", ".."})


@given(st.lists(keys, min_size=1, max_size=20))
def test_keeps_names_order_and_duplicates_through_a_pickle(names):
    uris = [f"memory://objects/{name}" for name in names]
    objects = discover(uris)
    again = pickle.loads(pickle.dumps(objects))
    for table in (objects, again):
        assert len(table) == len(uris)
        assert [table.uri(i) for i in range(len(table))] == uris
        assert table.fingerprint == objects.fingerprint


def test_the_fingerprint_tells_names_order_and_sizes():
    place = f"memory://{uuid.uuid4().hex}"
    a, b = f"{place}/a", f"{place}/b"
    s3dlio.put_many([(a, b"1"), (b, b"2")])
    listed = discover(f"{place}/").fingerprint
    assert discover(f"{place}/").fingerprint == listed
    s3dlio.put(b, b"22")
    prints = {discover(uris).fingerprint for uris in ([a, b], [b, a], [a], [a, a, b])}
    assert len(prints | {listed, discover(f"{place}/").fingerprint}) == 6


def test_knows_sizes_that_a_listing_told(store):
    s3dlio.put_many([(f"{store}/{i}", b"x" * i) for i in range(3)])
    listed, named = discover(f"{store}/"), discover([f"{store}/2", f"{store}/missing"])
    assert [listed.size(i) for i in range(3)] == [0, 1, 2]
    # Only of local files a size is cheap enough to ask for.
    assert named.size(0) == (2 if store.startswith(("file", "direct")) else None)
    assert named.size(1) is None
    assert listed.nbytes > 0
    with pytest.raises(s3dlio.NotFoundError, match="missing"):
        named.read([0, 1], 2, "bytes").wait()


def test_memory_is_compact():
    uris = [f"memory://bucket/some/long/directory/name/part-{i:08}.bin" for i in range(20_000)]
    assert discover(uris).nbytes < sum(sys.getsizeof(uri) for uri in uris)


def test_an_index_out_of_range_is_refused():
    objects = discover(["memory://objects/a"])
    with pytest.raises(IndexError):
        objects.uri(1)
    with pytest.raises(s3dlio.S3dlioError):
        objects.read([1], 1, "bytes").wait()


def test_garbage_is_not_unpacked():
    packed = pickle.loads(pickle.dumps(discover(["memory://objects/a", "memory://objects/b"])))
    _, (data, part, parts) = packed.__reduce__()
    for broken in (b"", b"\xff" * 40, data[:-1], data[: len(data) // 2], data + b"x"):
        with pytest.raises(s3dlio.S3dlioError):
            _s3dlio.Objects.unpack(broken, part, parts)


def test_an_operation_runs_once():
    s3dlio.put("memory://objects/once", b"x")
    operation = _s3dlio.get("memory://objects/once")
    assert operation.wait() == b"x"
    with pytest.raises(RuntimeError, match="once"):
        operation.wait()
