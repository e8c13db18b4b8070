"""What a server answers and what follows from it: waits, redirects, expired credentials, checksums, lost parts."""

from __future__ import annotations

import time

import pytest
import s3dlio

from tests.faults.test_server_faults import HUGE, LARGE, MIB, PASSING, pattern, within
from tests.fixtures.testkit import fault


@pytest.fixture
def place(testkit, monkeypatch) -> str:
    monkeypatch.setenv("S3DLIO_CONNECT_TIMEOUT_SECS", "2")
    monkeypatch.setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "6")
    return testkit.bucket()


def test_the_wait_that_a_server_asks_for_is_kept(testkit, place):
    testkit.put(f"{place}/key", b"abc")
    testkit.reset()
    testkit.faults(fault("status", status=503, headers={"Retry-After": "2"}, where={"times": 1}))
    with within(5, at_least=2):
        assert s3dlio.get(f"{place}/key") == b"abc"
    assert len(testkit.requests("GetObject")) == 2


def test_a_wait_beyond_the_deadline_is_an_error_at_once(testkit, place):
    testkit.put(f"{place}/key", b"abc")
    testkit.faults(fault("status", status=503, headers={"Retry-After": "600"}))
    with within(8), pytest.raises(s3dlio.S3dlioError):
        s3dlio.get(f"{place}/key")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("call", ["get", "put", "list", "stat"])
def test_nobody_is_sent_to_another_host(testkit, gcs_server, place, status, call):
    gcs_server.reset()
    testkit.put(f"{place}/key", b"abc")
    testkit.faults(fault("status", status=status, headers={"Location": f"{gcs_server.endpoint}/bucket/key"}))
    calls = {
        "get": lambda: s3dlio.get(f"{place}/key"),
        "put": lambda: s3dlio.put(f"{place}/key", b"x"),
        "list": lambda: s3dlio.list(f"{place}/"),
        "stat": lambda: s3dlio.stat(f"{place}/key"),
    }
    with within(8), pytest.raises(s3dlio.S3dlioError, match=str(gcs_server.port)):
        calls[call]()
    assert gcs_server.requests() == []


def test_expired_credentials_are_read_again(testkit, place, monkeypatch, tmp_path):
    """The file of a profile is renewed by another program; one request is refused, and the next is not."""
    file = tmp_path / "credentials"
    text = "[work]\naws_access_key_id = test\naws_secret_access_key = test\naws_session_token = {}\n"
    file.write_text(text.format("old"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    testkit.put(f"{place}/key", b"abc")
    assert s3dlio.get(f"{place}/key") == b"abc"
    expired = fault("status", status=403, code="ExpiredToken", where={"unless_header": ["x-amz-security-token", "new"]})
    file.write_text(text.format("new"))
    testkit.reset()
    testkit.faults(expired)
    assert s3dlio.get(f"{place}/key") == b"abc"
    assert [seen["status"] for seen in testkit.requests("GetObject")] == [403, 200]


@pytest.mark.parametrize("size", [MIB, HUGE])
def test_uploads_carry_a_checksum_that_the_server_verifies(testkit, place, size):
    s3dlio.put(f"{place}/key", pattern(size))
    sent = [*testkit.requests("PutObject"), *testkit.requests("UploadPart")]
    assert sent
    for request in sent:
        assert any(name.startswith("x-amz-checksum-") for name in request["headers"])


def test_a_part_that_the_server_loses_is_noticed(testkit, place):
    testkit.faults(fault("drop_part", part=2))
    with within(20), pytest.raises(s3dlio.S3dlioError, match="key"):
        s3dlio.put(f"{place}/key", pattern(HUGE))


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("size", [MIB, LARGE])
def test_google_storage_that_misbehaves(gcs, monkeypatch, size, kind):
    monkeypatch.setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "6")
    place = gcs.bucket()
    gcs.put(f"{place}/key", pattern(size))
    gcs.faults({"operation": "GetObject", **PASSING[kind]})
    with within(12):
        assert s3dlio.get(f"{place}/key") == pattern(size)


def test_a_slow_upload_is_progress(testkit, place):
    """Longer than the time limit, and never without a byte for so long.

    The system's own buffers take some megabytes at once, which then leave unseen: they must be gone within the limit.
    """
    testkit.faults(fault("throttle", bytes_per_second=2 * MIB))
    began = time.monotonic()
    s3dlio.put(f"{place}/key", pattern(24 * MIB))
    assert time.monotonic() - began > 6
