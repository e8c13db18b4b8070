"""Settings and files that are wrong: an error that names them, before anything is asked of a store."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import s3dlio
from s3dlio import _s3dlio


@pytest.mark.parametrize("name", ["S3DLIO_CONNECT_TIMEOUT_SECS", "S3DLIO_OPERATION_TIMEOUT_SECS"])
@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", "1e9", "5s"])
def test_a_time_limit_out_of_range(to_silent, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name) as caught:
        s3dlio.get("s3://bucket/key")
    assert isinstance(caught.value, s3dlio.ConfigError)
    assert value in str(caught.value)
    assert to_silent.requests == []


@pytest.mark.parametrize("value", ["-1", "many", "1.5"])
def test_a_number_of_retries_out_of_range(to_silent, monkeypatch, value):
    monkeypatch.setenv("S3DLIO_MAX_RETRY_ATTEMPTS", value)
    with pytest.raises(s3dlio.ConfigError, match="S3DLIO_MAX_RETRY_ATTEMPTS"):
        s3dlio.list("s3://bucket/")


def test_a_style_of_address_that_is_none(to_silent, monkeypatch):
    monkeypatch.setenv("S3_ADDRESSING_STYLE", "diagonal")
    with pytest.raises(s3dlio.ConfigError, match="S3_ADDRESSING_STYLE"):
        s3dlio.exists("s3://bucket/key")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "ftp://host", "http://", "nonsense", "http://ho st"])
def test_an_endpoint_that_is_no_url(to_silent, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(s3dlio.ConfigError, match="AWS_ENDPOINT_URL"):
        s3dlio.get("s3://bucket/key")


def test_an_address_cannot_have_a_bucket_in_front(to_silent, monkeypatch):
    monkeypatch.setenv("S3_ADDRESSING_STYLE", "virtual")
    with pytest.raises(s3dlio.ConfigError, match="AWS_ENDPOINT_URL"):
        s3dlio.get("s3://bucket/key")


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "memory://", "memory:///key", "s3://host:9000", "file://"])
def test_a_uri_without_a_bucket_or_path(uri):
    for call in (s3dlio.get, s3dlio.exists, s3dlio.list):
        with pytest.raises(s3dlio.InvalidUriError):
            call(uri)


@pytest.mark.parametrize("key", ["a//b", "/a", "a/../b", "./a", "a\nb", "a/"])
def test_keys_that_cannot_be_addressed(key):
    uri = f"memory://bad-keys/{key}"
    with pytest.raises(ValueError, match="bad-keys"):
        s3dlio.put(uri, b"x")
    assert s3dlio.list("memory://bad-keys/", recursive=True) == []


def test_a_file_where_a_directory_should_be(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(FileNotFoundError):
        s3dlio.get(f"file://{tmp_path}/file/below")
    with pytest.raises(OSError, match="file/below"):
        s3dlio.put(f"file://{tmp_path}/file/below", b"x")
    assert not s3dlio.exists(f"file://{tmp_path}/file/below")


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(OSError, match="too long"):
        s3dlio.put(f"file://{tmp_path}/{'x' * 300}", b"x")
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_no_unicode(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff\xfe", "wb"):
        pass
    with pytest.raises(s3dlio.UnsupportedError, match="UTF-8"):
        s3dlio.list(f"file://{tmp_path}/")


def test_a_zero_byte_in_a_path(tmp_path):
    for call in (s3dlio.get, s3dlio.exists, s3dlio.stat):
        with pytest.raises(s3dlio.S3dlioError):
            call(f"file://{tmp_path}/a\0b")


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    """Either version or an error: never bytes that were in neither."""
    path = tmp_path / "key"
    stop = threading.Event()
    long, short = b"a" * 4_000_000, b"a" * 10

    def rewrite() -> None:
        while not stop.is_set():
            path.write_bytes(long)
            os.truncate(path, len(short))

    path.write_bytes(long)
    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(200):
            try:
                view = s3dlio.get(f"file://{path}")
            except s3dlio.CorruptDataError as error:
                assert "expected" in str(error)  # noqa: PT017
                continue
            assert set(np.unique(np.frombuffer(view, "u1"))) <= {ord("a")}
    finally:
        stop.set()
        writer.join()


def test_files_of_the_system_whose_size_is_not_known():
    assert s3dlio.get("file:///proc/self/stat").split()[0] == str(os.getpid()).encode()


def test_the_core_refuses_bad_arguments_too():
    for call in (
        lambda: _s3dlio.get("memory://b/k", -1),
        lambda: _s3dlio.get("memory://b/k", 0, 2**64),
        lambda: _s3dlio.describe_state("{"),
        lambda: _s3dlio.UriList().finish(1, 1).wait(),
        lambda: _s3dlio.read_npy("nothing://b/k"),
        lambda: _s3dlio.read_npz("memory://b/k", None).wait(),
        lambda: _s3dlio.write_npz("memory://b/k", [("x", ("<f3", False, (), b""))], None),
        lambda: _s3dlio.write_npy("memory://b/k", ("<f4", False, (2,), b"")),
        lambda: _s3dlio.generate_npz("<f4", [2**62], 1, 0),
    ):
        with pytest.raises((s3dlio.S3dlioError, OverflowError)):
            call()
