"""Reading into memory of the caller's, on every store."""

from __future__ import annotations

import mmap
import threading

import numpy as np
import pytest
import s3dlio

MIB = 1 << 20
PART = 8 * MIB


def numbered(size: int) -> bytes:
    """Bytes of which every eight tell where they stand."""
    return np.arange((size + 7) // 8, dtype="<u8").tobytes()[:size]


def test_an_object_fills_the_beginning_of_a_buffer(store, verbs):
    verbs.put(f"{store}/key", b"abc")
    buffer = bytearray(b"-----")
    assert verbs.get_into(f"{store}/key", buffer) == 3
    assert buffer == b"abc--"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 2 * PART, 2 * PART + 1, 5 * PART + 17])
def test_every_size_arrives_whole(store, size):
    s3dlio.put(f"{store}/key", numbered(size))
    buffer = np.full(size, 0xAA, np.uint8)
    assert s3dlio.get_into(f"{store}/key", buffer) == size
    assert buffer.tobytes() == numbered(size)
    # The second time the size is known beforehand.
    buffer[:] = 0
    assert s3dlio.get_into(f"{store}/key", buffer, expected_len=size) == size
    assert buffer.tobytes() == numbered(size)


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (2, 3, b"cde"),
        (2, None, b"cdefgh"),
        (None, 2, b"ab"),
        (6, 100, b"gh"),
        (8, None, b""),
        (100, 5, b""),
        (3, 0, b""),
    ],
)
def test_ranges_are_cut_at_the_end(store, verbs, offset, length, expected):
    verbs.put(f"{store}/key", b"abcdefgh")
    buffer = bytearray(b"." * 8)
    assert verbs.get_into(f"{store}/key", buffer, offset=offset, length=length) == len(expected)
    assert buffer == expected.ljust(8, b".")


def test_what_does_not_fit_is_refused_and_nothing_is_written(store, verbs):
    verbs.put(f"{store}/key", b"abcdef")
    buffer = bytearray(b".....")
    with pytest.raises(s3dlio.ConfigError, match="6 bytes"):
        verbs.get_into(f"{store}/key", buffer)
    with pytest.raises(s3dlio.ConfigError, match="expected_len=6"):
        verbs.get_into(f"{store}/key", buffer, expected_len=6)
    assert buffer == b"....."
    assert verbs.get_into(f"{store}/key", buffer, length=5) == 5
    assert buffer == b"abcde"


def test_another_length_than_expected_is_damage(store, verbs):
    verbs.put(f"{store}/key", b"abc")
    with pytest.raises(s3dlio.CorruptDataError, match="found 3 bytes, expected 4"):
        verbs.get_into(f"{store}/key", bytearray(8), expected_len=4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytearray(6),
        lambda: memoryview(bytearray(8))[1:7],
        lambda: np.zeros((3, 1), "<u2"),
        lambda: np.zeros((2, 3), np.uint8, order="C"),
        lambda: memoryview(mmap.mmap(-1, 4096))[:6],
    ],
)
def test_any_writable_contiguous_memory_will_do(tmp_path, make):
    (tmp_path / "file").write_bytes(b"abcdef")
    buffer = make()
    assert s3dlio.get_into(f"file://{tmp_path}/file", buffer) == 6
    assert memoryview(buffer).tobytes() == b"abcdef"


@pytest.mark.parametrize(
    ("buffer", "message"),
    [
        (b"abcdef", "read-only"),
        (memoryview(b"abcdef"), "read-only"),
        (np.zeros((4, 4), np.uint8)[:, ::2], "contiguous"),
        ("abcdef", "found str"),
        (7, "buffer"),
    ],
)
def test_other_memory_is_a_type_error(tmp_path, buffer, message):
    (tmp_path / "file").write_bytes(b"abcdef")
    with pytest.raises(TypeError, match=message):
        s3dlio.get_into(f"file://{tmp_path}/file", buffer)


def test_a_missing_object_leaves_the_buffer_alone(store, verbs):
    buffer = bytearray(b"...")
    with pytest.raises(s3dlio.NotFoundError):
        verbs.get_into(f"{store}/missing", buffer)
    assert buffer == b"..."


def test_a_buffer_is_free_again_afterwards(store, verbs):
    verbs.put(f"{store}/key", b"abc")
    buffer = bytearray(3)
    verbs.get_into(f"{store}/key", buffer)
    # An exported buffer refuses to grow.
    s3dlio.exists(f"{store}/key")
    buffer.extend(b"more")
    assert buffer == b"abcmore"


def test_a_file_that_says_nothing_of_its_size_is_read():
    buffer = bytearray(1 << 16)
    read = s3dlio.get_into("file:///proc/self/status", buffer)
    assert buffer[:read].startswith(b"Name:")
    with pytest.raises(s3dlio.ConfigError, match="expected at least"):
        s3dlio.get_into("file:///proc/self/status", bytearray(4))


def test_other_threads_run_while_a_large_file_is_read(tmp_path):
    (tmp_path / "file").write_bytes(bytes(256 * MIB))
    buffer = np.empty(256 * MIB, np.uint8)
    turns = []
    reading = threading.Thread(target=s3dlio.get_into, args=(f"file://{tmp_path}/file", buffer))
    reading.start()
    while reading.is_alive():
        turns.append(1)
    reading.join()
    assert len(turns) > 10
    assert not buffer.any()
