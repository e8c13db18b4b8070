"""``MultipartUploadWriter``: parts of an exact size, and its way of ending."""

from __future__ import annotations

import datetime as dt
import os

import numpy as np
import pytest
import s3dlio

MIB = 1 << 20


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 4000, 4001])
def test_parts_are_counted(tmp_path, size):
    uri = f"file://{tmp_path}/x"
    data = noise(size)
    writer = s3dlio.MultipartUploadWriter.from_uri(uri, part_size=1000, max_in_flight=2)
    assert writer.write(data) == size
    result = writer.close()
    assert result["total_bytes"] == size
    assert result["parts"] == max(1, -(-size // 1000))
    assert s3dlio.get(uri) == data
    assert os.listdir(tmp_path) == ["x"]


def test_the_result(tmp_path):
    writer = s3dlio.MultipartUploadWriter.from_uri(
        f"file://{tmp_path}/x", part_size=MIB, max_in_flight=16, abort_on_drop=True
    )
    writer.write(b"abc")
    result = writer.close()
    assert set(result) == {"etag", "total_bytes", "parts", "started_at", "completed_at"}
    times = [dt.datetime.fromisoformat(result[name]) for name in ("started_at", "completed_at")]
    assert times[0] <= times[1]
    assert times[1].utcoffset() == dt.timedelta(0)
    assert writer.close() == result


def test_reserve_and_commit(tmp_path):
    uri = f"file://{tmp_path}/x"
    with s3dlio.MultipartUploadWriter.from_uri(uri, part_size=1000) as writer:
        for number in range(5):
            view = writer.reserve(600)
            assert (len(view), view.readonly) == (600, False)
            view[:] = bytes([number]) * 600
            assert writer.commit(500 + number) == 500 + number
        with pytest.raises(s3dlio.ConfigError, match="600"):
            writer.commit(601)
        with pytest.raises(s3dlio.ConfigError):
            writer.reserve(0)
        array = np.frombuffer(writer.reserve(800), dtype=np.uint8)
        array.setflags(write=True)
        array[:] = 9
        writer.commit(800)
    # The memory lives as long as a view of it, and what is written to it now goes nowhere.
    view[:] = b"x" * 600
    array[:] = 1
    expected = b"".join(bytes([number]) * (500 + number) for number in range(5)) + b"\x09" * 800
    assert s3dlio.get(uri) == expected


def test_an_exception_aborts(tmp_path):
    def fail(writer):
        writer.write(noise(5000))
        raise KeyError

    writer = s3dlio.MultipartUploadWriter.from_uri(f"file://{tmp_path}/x", part_size=1000)
    with pytest.raises(KeyError), writer:
        fail(writer)
    with pytest.raises(RuntimeError, match="aborted"):
        writer.close()
    assert not s3dlio.exists(f"file://{tmp_path}/x")


def test_abort_and_flush(tmp_path):
    with s3dlio.MultipartUploadWriter.from_uri(f"file://{tmp_path}/x", part_size=1000) as writer:
        writer.write(noise(5000))
        writer.flush()
        writer.abort()
    assert os.listdir(tmp_path) == []


def test_leaving_the_block_raises_what_failed(tmp_path):
    """The end of the block is where a file that could not be made is reported."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(s3dlio.S3dlioError), s3dlio.MultipartUploadWriter.from_uri(f"file://{tmp_path}/file/below"):
        pass
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("options", "name"),
    [({"part_size": MIB}, "part_size"), ({"part_size": 0}, "part_size"), ({"max_in_flight": 0}, "max_in_flight")],
)
def test_limits_are_checked_at_once(options, name):
    with pytest.raises(s3dlio.ConfigError, match=name):
        s3dlio.MultipartUploadWriter("bucket", "key", **options)
