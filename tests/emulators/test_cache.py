"""The local cache: what is asked of the server, what is given out, and what becomes of the folder."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import s3dlio
from s3dlio.batches import Batches

from tests.fixtures.testkit import fault

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S3DLIO_READ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("s3dlio-read-cache/??/*"))


def gets(testkit) -> list[int]:
    """The statuses of the reads since the last look."""
    statuses = [request["status"] for request in testkit.requests("GetObject")]
    testkit.reset()
    return statuses


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - content of a test


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
def test_every_store(store, folder) -> None:
    uri, body = f"{store}/a b/key", content(100_000)
    s3dlio.put(uri, body)
    before = s3dlio.stats()
    for _ in range(3):
        assert s3dlio.get(uri) == body
        assert s3dlio.get_range(uri, 10, 500) == body[10:510]
    after = s3dlio.stats()
    assert after["cache_hits"] - before["cache_hits"] == 4
    assert after["cache_bytes"] - before["cache_bytes"] == 2 * 100_500
    s3dlio.put(uri, body[::-1])
    assert s3dlio.get(uri) == body[::-1]
    s3dlio.delete(uri)
    with pytest.raises(s3dlio.NotFoundError):
        s3dlio.get(uri)
    assert len(entries(folder)) == 2


def test_the_body_is_sent_once(testkit, folder) -> None:
    uri = f"{testkit.bucket()}/key"
    s3dlio.put(uri, content(5 * MIB))
    gets(testkit)
    for _ in range(3):
        assert s3dlio.get(uri) == content(5 * MIB)
    assert gets(testkit) == [200, 304, 304]
    assert [path.stat().st_mode & 0o777 for path in entries(folder)] == [0o600]


def test_later_parts_of_an_object_cost_no_request(testkit, folder) -> None:
    uri, body = f"{testkit.bucket()}/key", content(60 * MIB)
    s3dlio.put(uri, body)
    # The first read learns the size, and from then on all parts are ranges.
    assert s3dlio.get(uri) == body
    gets(testkit)
    assert s3dlio.get(uri) == body
    assert len(entries(folder)) > 2
    gets(testkit)
    assert s3dlio.get(uri) == body
    assert gets(testkit) == [304]


def test_a_second_epoch_takes_nothing_from_the_server(testkit, folder) -> None:
    base = testkit.bucket()
    s3dlio.put_many([(f"{base}/{number:03}", content(1000, number)) for number in range(50)])
    gets(testkit)
    loader = Batches(f"{base}/", batch_size=10, shuffle=True, decoder="bytes")
    epochs = [sorted(bytes(item) for batch in loader for item in batch) for _ in range(2)]
    assert epochs[0] == epochs[1] == sorted(content(1000, number) for number in range(50))
    assert sorted(gets(testkit)) == [200] * 50 + [304] * 50


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other", "longer"])
def test_damaged_entries_are_fetched_anew(testkit, folder, damage) -> None:
    uri, body = f"{testkit.bucket()}/key", content(10_000)
    s3dlio.put(uri, body)
    assert s3dlio.get(uri) == body
    (entry,) = entries(folder)
    good = entry.read_bytes()
    at = len(good) - 5000
    bad = {
        "flip": good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :],
        "cut": good[:-1],
        "empty": b"",
        "other": os.urandom(len(good)),
        "longer": good + b"x",
    }[damage]
    entry.write_bytes(bad)
    assert s3dlio.get(uri) == body
    assert s3dlio.get(uri) == body
    assert entry.read_bytes() == good


def test_every_flipped_byte_is_noticed(testkit, folder) -> None:
    uri, body = f"{testkit.bucket()}/key", content(300)
    s3dlio.put(uri, body)
    assert s3dlio.get(uri) == body
    (entry,) = entries(folder)
    good = entry.read_bytes()
    for at in range(len(good)):
        entry.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        assert s3dlio.get(uri) == body


def test_a_body_that_breaks_is_no_entry(testkit, folder, monkeypatch) -> None:
    monkeypatch.setenv("S3DLIO_MAX_RETRY_ATTEMPTS", "0")
    uri, body = f"{testkit.bucket()}/key", content(300_000)
    s3dlio.put(uri, body)
    # At whatever byte a read goes on, it ends there.
    testkit.faults(fault("reset", where={"operation": "GetObject"}, stage="body", after=0))
    with pytest.raises(s3dlio.S3dlioError):
        s3dlio.get(uri)
    assert entries(folder) == []
    assert [*folder.glob("s3dlio-read-cache/drafts/*")] == []
    testkit.reset()
    assert s3dlio.get(uri) == body
    assert len(entries(folder)) == 1


def test_the_folder_is_bounded_and_nothing_else_is_touched(testkit, folder, monkeypatch) -> None:
    monkeypatch.setenv("S3DLIO_READ_CACHE_BYTES", str(4 * MIB))
    ours = folder / "s3dlio-read-cache"
    (ours / "aa").mkdir(parents=True)
    others = [folder / "mine", ours / "notes.txt", ours / "aa" / "short", ours / "aa" / ("g" * 30)]
    for path in others:
        path.write_bytes(b"x" * MIB)
    base = testkit.bucket()
    for number in range(40):
        s3dlio.put(f"{base}/{number}", content(MIB // 4, number))
        s3dlio.get(f"{base}/{number}")
        # What is used stays, however old.
        assert s3dlio.get(f"{base}/0") == content(MIB // 4, 0)
        time.sleep(0.01)
    end = time.monotonic() + 20
    while (total := sum(path.stat().st_size for path in entries(folder) if path not in others)) > 4 * MIB:
        assert time.monotonic() < end, f"{total} bytes"
        time.sleep(0.05)
    assert total > MIB
    assert all(path.read_bytes() == b"x" * MIB for path in others)
    gets(testkit)
    assert s3dlio.get(f"{base}/0") == content(MIB // 4, 0)
    assert gets(testkit) == [304]
    s3dlio.get(f"{base}/1")
    assert gets(testkit) == [200]


def test_large_parts_are_not_kept(testkit, folder, monkeypatch) -> None:
    monkeypatch.setenv("S3DLIO_READ_CACHE_BYTES", str(4 * MIB))
    uri = f"{testkit.bucket()}/key"
    s3dlio.put(uri, content(MIB))
    assert [len(s3dlio.get(uri)) for _ in range(2)] == [MIB] * 2
    assert entries(folder) == []


def test_a_folder_that_takes_nothing(testkit, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("S3DLIO_READ_CACHE", str(tmp_path / "file"))
    uri = f"{testkit.bucket()}/key"
    s3dlio.put(uri, b"content")
    assert s3dlio.get(uri) == b"content"


@pytest.mark.parametrize(
    ("name", "value"),
    [("S3DLIO_READ_CACHE", "relative"), ("S3DLIO_READ_CACHE_BYTES", "1000"), ("S3DLIO_READ_CACHE_BYTES", "much")],
)
def test_bad_settings(testkit, folder, monkeypatch, name, value) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(s3dlio.ConfigError, match=name):
        s3dlio.get(f"{testkit.bucket()}/key")


READ = """
import sys, s3dlio
base = sys.argv[1]
for round in range(int(sys.argv[2])):
    found = s3dlio.get_many([f"{base}/{number:03}" for number in range(40)])
    assert [bytes(body[:3]) for _, body in found] == [b"%03d" % number for number in range(40)]
    print(round, flush=True)
"""


def test_processes_share_it_and_are_killed(testkit, folder) -> None:
    base = testkit.bucket()
    bodies = {number: b"%03d" % number + content(50_000, number) for number in range(40)}
    s3dlio.put_many([(f"{base}/{number:03}", body) for number, body in bodies.items()])

    def start(rounds: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", READ, base, str(rounds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    killed = [start(10_000) for _ in range(2)]
    others = [start(20) for _ in range(2)]
    for process in killed:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()
    for process in others:
        process.communicate(timeout=60)
        assert process.returncode == 0
    for number, body in bodies.items():
        assert s3dlio.get(f"{base}/{number:03}") == body
    assert len(entries(folder)) == 40


def test_threads_that_write_and_read_see_whole_versions(testkit, folder) -> None:
    uri = f"{testkit.bucket()}/key"
    versions = {bytes([number]) * 20_000 for number in range(20)}
    s3dlio.put(uri, min(versions))
    wrong: list[bytes] = []

    def read() -> None:
        wrong.extend(found for _ in range(60) if (found := bytes(s3dlio.get(uri))) not in versions)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in readers:
        thread.start()
    for body in sorted(versions):
        s3dlio.put(uri, body)
    for thread in readers:
        thread.join()
    assert wrong == []
    assert s3dlio.get(uri) == max(versions)
