"""A store that misbehaves in the middle of its work: correct bytes or the documented error, in time, nothing torn."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import s3dlio

from tests.fixtures.programs import started
from tests.fixtures.testkit import fault

MIB = 1 << 20
# Beyond 16 MiB objects come in ranges of 8 MiB.
LARGE = 24 * MIB
# Beyond 64 MiB objects go in parts of 16 MiB.
HUGE = 70 * MIB


def pattern(size: int, seed: int = 0) -> bytes:
    """Return what the server computes for an object: see `pattern` in rust/testkit."""
    words = (np.arange(-(-size // 8), dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
    return (words ^ (words >> np.uint64(32))).astype("<u8").tobytes()[:size]


@contextlib.contextmanager
def within(seconds: float, at_least: float = 0):
    began = time.monotonic()
    yield
    assert at_least <= time.monotonic() - began < seconds


@pytest.fixture(autouse=True)
def limits(testkit, monkeypatch):
    monkeypatch.setenv("S3DLIO_CONNECT_TIMEOUT_SECS", "2")
    monkeypatch.setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "4")


@pytest.fixture
def place(testkit) -> str:
    return testkit.bucket()


@pytest.fixture
def small(testkit, place) -> str:
    testkit.put(f"{place}/small", pattern(MIB))
    return f"{place}/small"


@pytest.fixture
def large(testkit, place) -> str:
    testkit.put(f"{place}/large", pattern(LARGE))
    return f"{place}/large"


PASSING = {
    "reset before an answer": fault("reset", where={"times": 2}),
    "closed before an answer": fault("close", where={"times": 2}),
    "reset after the head": fault("reset", stage="body", where={"times": 1}),
    "reset in the body": fault("reset", stage="body", after=500_000, where={"times": 2}),
    "closed in the body": fault("close", stage="body", after=500_000, where={"times": 2}),
    "a pause": fault("stall", stage="body", after=500_000, seconds=1, where={"times": 1}),
    "503 and a while to wait": fault("status", status=503, headers={"Retry-After": "1"}, where={"times": 1}),
    "500 now and then": fault("status", status=500, where={"every": 2, "times": 4}),
    "slowly": fault("throttle", bytes_per_second=30 * MIB),
}


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("size", ["small", "large"])
def test_what_passes_leaves_the_bytes_right(testkit, request, size, kind):
    uri = request.getfixturevalue(size)
    expected = testkit.get(uri)
    testkit.reset()
    testkit.faults({"operation": "GetObject", **PASSING[kind]})
    with within(10):
        assert s3dlio.get(uri) == expected
    assert any(seen["fault"] for seen in testkit.requests("GetObject"))


def test_a_body_goes_on_where_it_broke(testkit, small):
    testkit.reset()
    testkit.faults(fault("reset", stage="body", after=700_000, where={"operation": "GetObject", "times": 1}))
    assert s3dlio.get(small) == pattern(MIB)
    first, second = testkit.requests("GetObject")
    assert "range" not in first["headers"]
    start = int(second["headers"]["range"].removeprefix("bytes=").partition("-")[0])
    assert 0 < start <= 700_000


def test_a_body_goes_on_only_in_the_same_version(testkit, small):
    """An object that is replaced between the two halves of its body is an error or comes anew, but never mixed."""
    testkit.reset()
    where = {"operation": "GetObject", "times": 1}
    testkit.faults(
        fault("reset", stage="body", after=700_000, where=where),
        fault("stall", stage="request", seconds=2, where=where),
    )
    new = pattern(MIB, seed=1)
    with ThreadPoolExecutor(1) as other, within(10):
        reading = other.submit(s3dlio.get, small)
        while len(testkit.requests("GetObject")) < 2 and not reading.done():
            time.sleep(0.01)
        testkit.put(small, new)
        with contextlib.suppress(s3dlio.S3dlioError):
            assert reading.result() == new


CONTRADICTORY = {
    "chunks that end early": fault("chunked", after=500_000),
    "more announced than sent": fault("length", by=100),
    "less announced than sent": fault("length", by=-100),
}


@pytest.mark.parametrize("kind", CONTRADICTORY)
@pytest.mark.parametrize("size", ["small", "large"])
def test_an_answer_that_contradicts_itself_is_never_taken_for_another(testkit, request, monkeypatch, size, kind):
    """The range that comes with a length shows that the length is wrong."""
    monkeypatch.setenv("S3DLIO_MAX_RETRY_ATTEMPTS", "2")
    uri = request.getfixturevalue(size)
    whole = pattern({"small": MIB, "large": LARGE}[size])
    testkit.faults({"operation": "GetObject", **CONTRADICTORY[kind]})
    reads = [(lambda: s3dlio.get_range(uri, 1000, 600_000), whole[1000:601_000])]
    # One plain answer has nothing but its length to be judged by.
    if size == "large":
        reads.append((lambda: s3dlio.get(uri), whole))
    for read, expected in reads:
        with within(10), contextlib.suppress(OSError):
            assert read() == expected


LASTING = {
    "reset": fault("reset"),
    "closed": fault("close"),
    "reset in the body": fault("reset", stage="body", after=1000),
    "closed in the body": fault("close", stage="body", after=1000),
    "silence": fault("stall"),
    "silence after the head": fault("stall", stage="body"),
    "silence in the body": fault("stall", stage="body", after=1000),
    "busy": fault("status", status=503, headers={"Retry-After": "1"}),
}


@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize("call", ["get", "get_range", "get_many", "loader"])
def test_what_lasts_is_an_error_in_time(testkit, small, monkeypatch, call, kind):
    monkeypatch.setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "1")
    monkeypatch.setenv("S3DLIO_MAX_RETRY_ATTEMPTS", "2")
    testkit.faults({"operation": "GetObject", **LASTING[kind]})
    calls = {
        "get": lambda: s3dlio.get(small),
        "get_range": lambda: s3dlio.get_range(small, 10, 500_000),
        "get_many": lambda: s3dlio.get_many([small]),
        "loader": lambda: list(s3dlio.PyDataset.from_uris([small])),
    }
    with within(12), pytest.raises(s3dlio.S3dlioError, match=small) as caught:
        calls[call]()
    expected = s3dlio.StoreTimeoutError if "silence" in kind else OSError
    assert isinstance(caught.value, expected)


def test_a_storm_that_every_request_meets(testkit, place):
    """One request in three is refused, for all of the objects; no object is lost and none read twice over.

    With one in two, an object in two thousand would meet nothing but refusals in all of its eleven requests.
    """
    uris = [f"{place}/{i:04}" for i in range(300)]
    s3dlio.put_many([(uri, uri.encode()) for uri in uris])
    testkit.reset()
    testkit.faults(fault("status", status=503, where={"every": 3}))
    with within(30):
        assert s3dlio.get_many(uris) == [(uri, uri.encode()) for uri in uris]
    served = [seen for seen in testkit.requests("GetObject") if seen["status"] == 200]
    assert len(served) == len(uris)
    assert testkit.counts()["requests"] <= 3 * len(uris) // 2 + 1


def test_a_refusal_is_not_asked_again(testkit, small):
    testkit.faults(fault("status", status=403))
    with within(2), pytest.raises(s3dlio.PermissionDeniedError, match="small"):
        s3dlio.get(small)
    assert len(testkit.requests("GetObject")) == 1


def test_an_object_that_changes_between_its_ranges(testkit, large):
    """The first range names the version that the others must have."""
    testkit.faults(fault("status", status=412, where={"operation": "GetObject", "skip": 1}))
    with within(6), pytest.raises(s3dlio.S3dlioError, match="large"):
        s3dlio.get(large)
    tags = {seen["headers"].get("if-match") for seen in testkit.requests("GetObject")}
    assert len(tags - {None}) == 1


def test_a_put_whose_answer_is_lost_is_done_once_more(testkit, place):
    testkit.faults(fault("reset", stage="reply", where={"operation": "PutObject", "times": 1}))
    s3dlio.put(f"{place}/key", b"abc")
    assert testkit.get(f"{place}/key") == b"abc"
    assert testkit.counts()["operations"]["PutObject"] == 2


@pytest.mark.parametrize("stage", ["request", "upload"])
@pytest.mark.parametrize("kind", ["reset", "close"])
def test_a_put_that_breaks_is_tried_again_whole(testkit, place, kind, stage):
    body = pattern(4 * MIB)
    testkit.faults(fault(kind, stage=stage, after=MIB, where={"operation": "PutObject", "times": 2}))
    with within(10):
        s3dlio.put(f"{place}/key", body)
    assert testkit.get(f"{place}/key") == body
    assert testkit.counts()["operations"]["PutObject"] == 3


def test_a_put_that_never_arrives_leaves_nothing(testkit, place, monkeypatch):
    monkeypatch.setenv("S3DLIO_MAX_RETRY_ATTEMPTS", "1")
    testkit.faults(fault("reset", stage="upload", after=MIB, where={"operation": "PutObject"}))
    with within(10), pytest.raises(OSError, match="key"):
        s3dlio.put(f"{place}/key", pattern(4 * MIB))
    assert testkit.keys(place) == []


@pytest.mark.parametrize("size", [4 * MIB, HUGE])
def test_a_writer_that_is_killed_leaves_nothing(testkit, place, size):
    testkit.faults(fault("throttle", bytes_per_second=MIB))
    code = """
        import sys, s3dlio
        print("begins", flush=True)
        s3dlio.put(sys.argv[1], bytes(int(sys.argv[2])))
    """
    with started(code, f"{place}/key", str(size), S3DLIO_OPERATION_TIMEOUT_SECS="60") as writer:
        assert writer.stdout.readline() == "begins\n"
        deadline = time.monotonic() + 20
        while not any(seen["received"] for seen in testkit.requests()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        writer.kill()
        writer.wait(10)
    testkit.faults()
    # What the server had received by then has been taken in.
    time.sleep(0.5)
    assert testkit.keys(place) == []


PART_FAULTS = {
    "500": fault("status", status=500, where={"times": 2}),
    "503": fault("status", status=503, where={"times": 2}),
    "reset": fault("reset", stage="upload", after=MIB, where={"times": 2}),
    "answer lost": fault("reset", stage="reply", where={"times": 2}),
}


@pytest.mark.parametrize("kind", PART_FAULTS)
def test_a_part_that_fails_twice(testkit, place, kind):
    body = pattern(HUGE)
    testkit.faults({"operation": "UploadPart", "query": "partNumber=3&", **PART_FAULTS[kind]})
    with within(30):
        s3dlio.put(f"{place}/huge", body)
    assert testkit.get(f"{place}/huge") == body
    sent = [seen["query"] for seen in testkit.requests("UploadPart")]
    assert sum("partNumber=3&" in query for query in sent) == 3
    assert len(sent) == 5 + 2
    assert testkit.open_uploads(place) == 0


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_an_upload_that_is_refused_leaves_nothing(testkit, place, operation):
    testkit.faults(fault("status", status=403, where={"operation": operation}))
    with within(20), pytest.raises(s3dlio.PermissionDeniedError, match="huge"):
        s3dlio.put(f"{place}/huge", pattern(HUGE))
    assert testkit.keys(place) == []
    assert testkit.open_uploads(place) == 0


def test_an_upload_is_completed_once_though_the_answer_is_lost(testkit, place):
    testkit.faults(fault("reset", stage="reply", where={"operation": "CompleteMultipartUpload", "times": 1}))
    body = pattern(HUGE)
    s3dlio.put(f"{place}/huge", body)
    assert testkit.get(f"{place}/huge") == body


def test_success_that_is_none(testkit, place):
    """S3 may begin to answer 200 and then say in the document that it failed."""
    refused = fault("status", status=200, code="InternalError", where={"operation": "CompleteMultipartUpload"})
    testkit.faults({**refused, "times": 2})
    body = pattern(HUGE)
    with within(30):
        s3dlio.put(f"{place}/huge", body)
    assert testkit.get(f"{place}/huge") == body


def test_a_server_that_takes_uploads_slowly(testkit, place):
    testkit.faults(fault("throttle", bytes_per_second=MIB // 2))
    with within(6, at_least=1):
        s3dlio.put(f"{place}/key", pattern(MIB))
    testkit.faults()
    assert testkit.get(f"{place}/key") == pattern(MIB)


@pytest.mark.parametrize("kind", ["reset", "close"])
def test_a_page_of_a_listing_that_breaks(testkit, kind):
    place = testkit.synthetic(3500, prefix="k/", digits=5)
    testkit.faults(fault(kind, where={"operation": "ListObjectsV2", "skip": 1, "times": 2}))
    with within(10):
        assert s3dlio.list(f"{place}/k/") == [f"{place}/k/{i:05}" for i in range(3500)]


def test_a_listing_is_never_silently_short(testkit):
    """A page that is cut off in its body is an error or asked for again."""
    place = testkit.synthetic(3500, prefix="k/", digits=5)
    cut = fault("close", stage="body", after=20_000, where={"operation": "ListObjectsV2", "skip": 1, "times": 1})
    testkit.faults(cut)
    with within(10), contextlib.suppress(s3dlio.S3dlioError):
        assert len(s3dlio.list(f"{place}/k/")) == 3500


def test_what_the_server_computes_arrives(testkit):
    place = testkit.synthetic(10, size=LARGE + 5, digits=2, suffix=".bin")
    assert s3dlio.get(f"{place}/07.bin") == pattern(LARGE + 5, seed=7)
    assert s3dlio.stat(f"{place}/07.bin")["size"] == LARGE + 5
