"""What reading NPZ archives asks of a network store."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import s3dlio

from tests.fixtures.testkit import fault

MIB = 1 << 20


@pytest.fixture
def large(testkit) -> str:
    """Return an archive of 24 MiB, with small members far from its end."""
    uri = f"{testkit.bucket()}/large.npz"
    block = np.arange(MIB, dtype="<i8")
    s3dlio.write_npz(uri, {"a": block, "small": np.arange(100), "b": block, "label": np.array(3), "c": block})
    testkit.reset()
    return uri


def ranges(testkit) -> list[str]:
    assert {request["operation"] for request in testkit.requests()} <= {"GetObject"}
    return [request["headers"].get("range", "all") for request in testkit.requests()]


def test_a_small_archive_is_one_request(testkit):
    uri = f"{testkit.bucket()}/small.npz"
    s3dlio.write_npz(uri, {"x": np.arange(1000), "y": np.ones(3)})
    assert [request["operation"] for request in testkit.requests()].count("PutObject") == 1
    for read in (
        lambda: s3dlio.read_npz(uri),
        lambda: s3dlio.read_npz(uri, "y"),
        lambda: s3dlio.read_npz(uri, names=["y", "x"]),
        lambda: s3dlio.open_npz(uri).read(),
    ):
        testkit.reset()
        read()
        assert len(ranges(testkit)) == 1


def test_one_member_costs_the_end_and_itself(testkit, large):
    assert s3dlio.read_npz(large, "small").tolist() == list(range(100))
    tail, member = ranges(testkit)
    assert tail == "bytes=-65536"
    first, last = map(int, member.removeprefix("bytes=").split("-"))
    assert last - first < 2000


def test_an_open_archive_asks_for_no_more_than_is_looked_up(testkit, large):
    with s3dlio.open_npz(large) as archive:
        assert archive.files == ["a", "small", "b", "label", "c"]
        assert len(ranges(testkit)) == 1
        assert int(archive["label"]) == 3
        assert len(ranges(testkit)) == 2
        archive.read(["small", "label"])
        assert len(ranges(testkit)) == 4


def test_an_archive_that_is_replaced_is_an_error(testkit, large):
    with s3dlio.open_npz(large) as archive:
        s3dlio.write_npz(large, {"small": np.arange(3)})
        with pytest.raises(s3dlio.PreconditionError, match="replaced"):
            archive["small"]


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
def test_ends_of_archives_on_every_network_store(store, kind):
    """Azure has no ranges that count from the end, and is asked for the size first."""
    block = np.random.default_rng(0).bytes(MIB)
    s3dlio.write_npz(f"{store}/a.npz", {"x": np.frombuffer(block, "u1"), "y": np.arange(5)})
    assert s3dlio.read_npz(f"{store}/a.npz", "y").tolist() == [0, 1, 2, 3, 4]
    s3dlio.put(f"{store}/empty.npz", b"")
    with pytest.raises(s3dlio.CorruptDataError, match=r"empty\.npz"):
        s3dlio.open_npz(f"{store}/empty.npz")
    with pytest.raises(s3dlio.NotFoundError):
        s3dlio.open_npz(f"{store}/missing.npz")


def test_a_connection_that_breaks_is_tried_again(testkit, large):
    testkit.faults(fault("reset", where={"operation": "GetObject", "every": 2}, stage="body", after=100))
    assert s3dlio.read_npz(large, "small").tolist() == list(range(100))
    assert int(s3dlio.read_npz(large, names=["label"])["label"]) == 3


def test_damage_on_the_way_is_noticed(testkit, large):
    testkit.faults(fault("corrupt", where={"operation": "GetObject", "skip": 1}, at=200))
    with pytest.raises(s3dlio.CorruptDataError, match=r"large\.npz: at byte \d+: NPZ member \"small\.npy\""):
        s3dlio.read_npz(large, "small")


def test_threads_share_an_open_archive(testkit, large):
    with s3dlio.open_npz(large) as archive, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda name: archive[name].sum(), ["small", "label"] * 20))
    assert found == [4950, 3] * 20


def test_an_open_archive_works_in_a_forked_child(testkit, large):
    with s3dlio.open_npz(large) as archive:
        archive["label"]
        reader, writer = os.pipe()
        child = multiprocessing.get_context("fork").Process(
            target=lambda: os.write(writer, str(int(archive["small"].sum())).encode()) and None
        )
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert os.read(reader, 100) == b"4950"
        os.close(reader)
        os.close(writer)
        assert int(archive["small"].sum()) == 4950
