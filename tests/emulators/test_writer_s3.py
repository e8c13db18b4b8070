"""Writers over S3: parts, back-pressure, failures and what they leave behind; against moto and scripted servers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import urllib.request

import numpy as np
import pytest
import s3dlio

from tests.fixtures.programs import run, started
from tests.fixtures.servers import FOREIGN, respond

MIB = 1 << 20


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def uploads(s3, bucket: str) -> str:
    """The uploads that the server holds parts of, as it lists them."""
    with urllib.request.urlopen(f"{s3.endpoint}/{bucket.removeprefix('s3://')}?uploads", timeout=30) as answer:
        return answer.read().decode()


def test_an_upload_in_parts(bucket, s3):
    data = noise(23 * MIB)
    name = bucket.removeprefix("s3://")
    with s3dlio.MultipartUploadWriter(name, "a/key", part_size=5 * MIB, max_in_flight=3, content_type="x/y") as writer:
        for start in range(0, len(data), 3 * MIB):
            writer.write(data[start : start + 3 * MIB])
        assert not s3dlio.exists(f"{bucket}/a/key")
        assert "<UploadId>" in uploads(s3, bucket)
    result = writer.close()
    assert (result["total_bytes"], result["parts"]) == (len(data), 5)
    stat = s3dlio.stat(f"{bucket}/a/key")
    assert (stat["size"], stat["etag"], stat["content_type"]) == (len(data), result["etag"], "x/y")
    assert s3dlio.get(f"{bucket}/a/key") == data
    assert "<UploadId>" not in uploads(s3, bucket)


def test_chunks_below_the_least_part_are_gathered(bucket):
    """Documented: `chunk_size = 4194304` with a writer for S3, which takes no part below 5 MiB."""
    data = noise(18 * MIB)
    options = s3dlio.PyWriterOptions(chunk_size=4194304)
    writer = s3dlio.create_s3_writer(f"{bucket}/x", options)
    writer.write(data)
    assert writer.finalize()["parts"] == 3
    assert s3dlio.get(f"{bucket}/x") == data


@pytest.mark.parametrize("method", ["zstd", "gzip", "lz4"])
def test_a_compressed_upload_in_parts(bucket, method):
    data = noise(12 * MIB)
    options = s3dlio.PyWriterOptions(compression=method, chunk_size=5 * MIB)
    if method == "gzip":
        options.compression_level = 1
    with s3dlio.create_s3_writer(f"{bucket}/x", options) as writer:
        writer.write(data)
    assert writer.compressed_bytes() == s3dlio.stat(writer.uri)["size"] > 12 * MIB


def test_an_aborted_upload_leaves_no_parts(bucket, s3):
    def fail(writer):
        writer.write(noise(40 * MIB))
        assert "<UploadId>" in uploads(s3, bucket)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), s3dlio.create_s3_writer(f"{bucket}/x") as writer:
        fail(writer)
    assert "<UploadId>" not in uploads(s3, bucket)
    assert s3dlio.list(f"{bucket}/") == []


def test_a_program_that_ends_leaves_no_parts(bucket, s3):
    run(
        """
        import sys, s3dlio
        writer = s3dlio.create_s3_writer(sys.argv[1])
        writer.write(bytes(40 << 20))
        """,
        f"{bucket}/x",
    )
    assert "<UploadId>" not in uploads(s3, bucket)
    assert not s3dlio.exists(f"{bucket}/x")


@pytest.mark.parametrize("kind", ["file", "s3"])
@pytest.mark.parametrize("method", ["none", "zstd"])
def test_a_killed_program_leaves_nothing_under_the_name(kind, method, tmp_path, request):
    place = f"file://{tmp_path}" if kind == "file" else request.getfixturevalue("bucket")
    s3dlio.put(f"{place}/old", b"old")
    program = """
        import sys, s3dlio
        options = s3dlio.PyWriterOptions(compression=sys.argv[2], chunk_size=5 << 20)
        writers = [s3dlio.create_writer(f"{sys.argv[1]}/{name}", options) for name in ("new", "old")]
        import numpy
        data = numpy.random.default_rng(1).bytes(12 << 20)
        for writer in writers:
            writer.write(data)
            writer.flush()
        print("written", flush=True)
        while True:
            for writer in writers:
                writer.write(data[:100_000])
        """
    with started(program, place, method) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
        assert process.wait(20) == -9
    names = ["new", "new.zst", "old.zst"]
    assert [name for name in names if s3dlio.exists(f"{place}/{name}")] == []
    assert s3dlio.get(f"{place}/old") == b"old"


class SlowBucket:
    """A server that takes a while for each part and notes how many wait at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.waiting = self.most = self.parts = 0

    def __call__(self, request, connection) -> None:
        if request.method == "POST":
            body = (
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
                if "uploads" in request.target
                else b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
            )
            respond(connection, body)
            return
        if request.method == "PUT":
            with self.lock:
                self.waiting += 1
                self.most = max(self.most, self.waiting)
            time.sleep(self.seconds)
            with self.lock:
                self.waiting -= 1
                self.parts += 1
        respond(connection)


PRODUCER = """
import resource, sys, s3dlio
options = s3dlio.PyWriterOptions(chunk_size=5 << 20, buffer_size=20 << 20)
chunk = bytes(1 << 20)
with s3dlio.create_s3_writer("s3://bucket/warm") as writer:
    writer.write(b"x")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with s3dlio.create_s3_writer("s3://bucket/key", options) as writer:
    for _ in range(300):
        writer.write(chunk)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_bounded_before_a_slow_server(scripted):
    slow = SlowBucket(0.05)
    server = scripted(slow)
    environment = server.env() | {"S3DLIO_OPERATION_TIMEOUT_SECS": "60"}
    grown = int(run(PRODUCER, timeout=100, **environment)) // 1024
    assert slow.parts == 61
    assert 2 <= slow.most <= 4
    # Four buffers of 5 MiB, and what allocator and connections add; 300 MiB went through.
    assert grown < 40, f"{grown} MiB"


@pytest.fixture
def lead_to(scripted, monkeypatch):
    """Lead this process to a scripted server."""

    def lead(answer, **settings):
        server = scripted(answer)
        for name in FOREIGN:
            monkeypatch.delenv(name, raising=False)
        for name, value in (server.env() | settings).items():
            monkeypatch.setenv(name, value)
        return server

    return lead


@pytest.fixture
def to_slow(lead_to):
    lead_to(SlowBucket(30), S3DLIO_OPERATION_TIMEOUT_SECS="60")


def test_other_threads_run_while_a_writer_waits(to_slow):
    writer = s3dlio.MultipartUploadWriter("bucket", "key", part_size=5 * MIB, max_in_flight=1)

    def write() -> None:
        with contextlib.suppress(s3dlio.S3dlioError):
            writer.write(bytes(11 * MIB))

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    ticks, began = 0, time.monotonic()
    while time.monotonic() - began < 0.5:
        time.sleep(0.001)
        ticks += 1
    assert ticks > 100
    assert thread.is_alive()


async def test_a_cancelled_write_spoils_the_writer(to_slow):
    writer = s3dlio.MultipartUploadWriter("bucket", "key", part_size=5 * MIB, max_in_flight=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.write_async(bytes(11 * MIB)), 0.5)
    with pytest.raises(RuntimeError, match="broken off"):
        await writer.close_async()
    await asyncio.wait_for(writer.abort_async(), 10)
    assert writer.closed


def test_ctrl_c_ends_a_write_and_the_block_aborts(scripted):
    slow = SlowBucket(30)
    server = scripted(slow)
    program = """
        import sys, s3dlio
        try:
            with s3dlio.MultipartUploadWriter("bucket", "key", part_size=5 << 20, max_in_flight=1) as writer:
                print("writing", flush=True)
                writer.write(bytes(11 << 20))
        except KeyboardInterrupt:
            print("interrupted", writer.closed, flush=True)
        """
    with started(program, **(server.env() | {"S3DLIO_OPERATION_TIMEOUT_SECS": "60"})) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        time.sleep(0.7)
        process.send_signal(2)
        began = time.monotonic()
        assert process.stdout.readline() == "interrupted True\n"
        assert time.monotonic() - began < 5
        assert process.wait(20) == 0
    assert "DELETE" in {request.method for request in server.requests}


BEGUN = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"


def test_a_silent_server_does_not_hold_the_end_of_a_block(lead_to):
    """Parts are then left to the server, and the exception of the block is what is raised."""
    lead_to(
        lambda request, connection: respond(connection, BEGUN) if request.method == "POST" else None,
        S3DLIO_OPERATION_TIMEOUT_SECS="60",
    )

    def fail(writer):
        writer.write(bytes(6 * MIB))
        raise ZeroDivisionError

    began = time.monotonic()
    writer = s3dlio.MultipartUploadWriter("bucket", "key", part_size=5 * MIB)
    with pytest.raises(ZeroDivisionError), writer:
        fail(writer)
    assert time.monotonic() - began < 15
    assert writer.closed


def test_a_failing_part_fails_the_writer(lead_to):
    def answer(request, connection):
        if request.method == "PUT":
            respond(connection, b"<Error><Code>AccessDenied</Code></Error>", status="403 Forbidden")
        else:
            respond(connection, BEGUN)

    server = lead_to(answer)
    writer = s3dlio.MultipartUploadWriter("bucket", "key", part_size=5 * MIB, max_in_flight=1)
    with pytest.raises(s3dlio.PermissionDeniedError, match="s3://bucket/key") as first:
        writer.write(bytes(11 * MIB))
    assert writer.closed
    with pytest.raises(s3dlio.PermissionDeniedError) as second:
        writer.close()
    assert str(first.value) == str(second.value)
    assert [request.method for request in server.requests][-1] == "DELETE"
    with pytest.raises(s3dlio.PermissionDeniedError), s3dlio.MultipartUploadWriter("bucket", "small") as writer:
        writer.write(b"x")


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_forked_child_has_no_part_in_the_writer(kind, tmp_path, request):
    place = f"file://{tmp_path}" if kind == "file" else request.getfixturevalue("bucket")
    out = run(
        """
        import os, sys, gc, s3dlio
        uri = f"{sys.argv[1]}/x"
        writer = s3dlio.create_writer(uri, s3dlio.PyWriterOptions(chunk_size=5 << 20))
        writer.write(bytes(12 << 20))
        pid = os.fork()
        if pid == 0:
            for call in (lambda: writer.write(b"y"), writer.finalize, writer.abort, writer.flush):
                try:
                    call()
                except s3dlio.ForkedProcessError:
                    continue
                os._exit(1)
            writer = call = None
            gc.collect()
            with s3dlio.create_writer(uri + "-child") as own:
                own.write(b"child")
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        writer.write(b"end")
        print(writer.finalize()["bytes_written"])
        """,
        place,
    )
    assert int(out) == (12 << 20) + 3 == s3dlio.stat(f"{place}/x")["size"]
    assert s3dlio.get(f"{place}/x-child") == b"child"
