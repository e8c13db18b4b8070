"""Damaged TFRecord files, and servers that fail: the right exception with the right place, or the right records."""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib

import pytest
import s3dlio
from s3dlio.tfrecord import TFRecordDataSource, TFRecordReader, TFRecordWriter

from tests.fixtures.testkit import fault

SIZES = [100, 200, 300]
# Where each record begins.
STARTS = [0, 116, 332]


def file(sizes=SIZES) -> bytes:
    uri = "memory://tfrecord-faults/file"
    with TFRecordWriter(uri) as writer:
        for size in sizes:
            writer.write(bytes(range(100)) * (size // 100))
    return bytes(s3dlio.get(uri))


def damaged(at: int) -> bytes:
    data = bytearray(file())
    data[at] ^= 0x40
    return bytes(data)


@pytest.fixture(params=["file", "s3"])
def base(request, place) -> str:
    return place(request.param)


def read_all(uri: str) -> tuple[int, s3dlio.CorruptDataError]:
    """Return how many records came before the damage, and what was raised."""
    records = iter(TFRecordReader(uri))
    for count in itertools.count():
        try:
            next(records)
        except s3dlio.CorruptDataError as error:
            return count, error
    raise AssertionError


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress])
@pytest.mark.parametrize(("at", "record"), [(0, 0), (9, 0), (50, 0), (115, 0), (118, 1), (200, 1), (330, 1), (340, 2)])
def test_damage_is_told_by_file_record_and_offset(base, at, record, pack):
    uri = f"{base}/damaged"
    s3dlio.put(uri, pack(damaged(at)))
    records, error = read_all(uri)
    assert (records, error.uri, error.record, error.offset) == (record, uri, record, STARTS[record])
    assert uri in str(error)
    assert f"record {record} at byte {STARTS[record]}" in str(error)


@pytest.mark.parametrize("end", [1, 11, 12, 60, 115, 117, 127, 130, 331, 340, 647])
def test_a_file_that_is_cut_short_is_an_error(base, end):
    uri = f"{base}/short"
    s3dlio.put(uri, file()[:end])
    records, error = read_all(uri)
    record = sum(end >= start for start in STARTS[1:])
    assert (records, error.record, error.offset) == (record, record, STARTS[record])


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_compressed_data_that_is_cut_short_is_an_error(base, pack):
    uri = f"{base}/short"
    for missing in (1, 5, 20):
        s3dlio.put(uri, pack(file())[:-missing])
        _, error = read_all(uri)
        assert error.uri == uri


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**40])
def test_an_absurd_length_allocates_nothing(base, length):
    uri = f"{base}/absurd"
    s3dlio.put(uri, struct.pack("<QI", length, 0) + bytes(1000))
    for read in (
        lambda: [*TFRecordReader(uri, verify=False)],
        lambda: s3dlio.get_tfrecord_index_entries(uri),
        lambda: s3dlio.create_tfrecord_index(uri),
        lambda: TFRecordDataSource(uri),
        lambda: s3dlio.get_tfrecord_index_entries(bytes(s3dlio.get(uri))),
    ):
        with pytest.raises(s3dlio.CorruptDataError, match="ends inside a record") as caught:
            read()
        assert (caught.value.record, caught.value.offset) == (0, 0)


def test_an_index_is_not_made_of_a_damaged_file(base):
    uri = f"{base}/damaged"
    for at, end in ((118, None), (120, None), (None, 640)):
        s3dlio.put(uri, file()[:end] if at is None else damaged(at))
        with pytest.raises(s3dlio.CorruptDataError) as caught:
            s3dlio.create_tfrecord_index(uri)
        record = 1 if at else 2
        assert (caught.value.uri, caught.value.record, caught.value.offset) == (uri, record, STARTS[record])
        assert not s3dlio.exists(f"{uri}.idx")


def test_a_compressed_file_is_not_indexed(base):
    s3dlio.put(f"{base}/a.gz", gzip.compress(file()))
    for read in (s3dlio.create_tfrecord_index, s3dlio.get_tfrecord_index_entries, TFRecordDataSource):
        with pytest.raises(s3dlio.UnsupportedError, match="gzip"):
            read(f"{base}/a.gz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 116\n", "ends at byte 116"),
        ("0 116\n116 1000\n", "end at byte 1116"),
        ("0\n", "line 1"),
        ("0 5\n", "5 bytes"),
    ],
)
def test_an_index_of_another_file_is_refused(base, text, message):
    s3dlio.put(f"{base}/a", file())
    s3dlio.put(f"{base}/a.idx", text.encode())
    with pytest.raises(s3dlio.CorruptDataError, match=message) as caught:
        TFRecordDataSource(f"{base}/a")
    assert caught.value.uri == f"{base}/a.idx"
    assert len(TFRecordDataSource(f"{base}/a", index=False)) == 3


def test_damage_is_seen_when_the_record_is_read(base):
    s3dlio.put(f"{base}/a", damaged(200))
    source = TFRecordDataSource(f"{base}/a")
    assert len(source[0]) == 100
    with pytest.raises(s3dlio.CorruptDataError, match="checksum") as caught:
        source.__getitems__([2, 1])
    assert (caught.value.record, caught.value.offset) == (1, 116)
    assert len(TFRecordDataSource(f"{base}/a", verify=False)[1]) == 200


class TestServers:
    """What a network does."""

    @pytest.fixture
    def uri(self, testkit) -> str:
        uri = f"{testkit.bucket()}/a"
        testkit.put(uri, file([100] * 100_000))
        testkit.reset()
        return uri

    @pytest.mark.parametrize(
        "rule",
        [
            fault("status", where={"operation": "GetObject", "every": 2}, status=503),
            fault("reset", where={"operation": "GetObject", "times": 2}, stage="body", after=1000),
            fault("close", where={"operation": "GetObject", "times": 2}, stage="body", after=1000),
        ],
    )
    def test_failures_that_pass_are_not_seen(self, testkit, uri, tmp_path, rule):
        testkit.faults(rule)
        assert s3dlio.create_tfrecord_index(uri, tmp_path / "a.idx") == 100_000
        testkit.faults(rule)
        assert sum(1 for _ in TFRecordReader(uri)) == 100_000

    def test_a_changed_byte_is_seen(self, testkit, uri):
        testkit.faults(fault("corrupt", where={"operation": "GetObject"}, at=5000))
        with pytest.raises(s3dlio.CorruptDataError, match="checksum"):
            for _ in TFRecordReader(uri):
                pass

    def test_an_object_that_is_replaced_is_never_mixed(self, testkit, uri):
        # More than is read ahead.
        testkit.put(uri, file([1_000_000] * 40))
        source = TFRecordDataSource(uri)
        records = iter(TFRecordReader(uri))
        next(records)
        testkit.put(uri, file([2_000_000] * 20))
        with pytest.raises(s3dlio.PreconditionError, match="replaced"):
            source[5]
        with pytest.raises(s3dlio.PreconditionError, match="replaced"):
            for _ in records:
                pass

    def test_an_index_that_cannot_be_written_is_an_error(self, testkit, uri):
        testkit.faults(fault("status", where={"method": "PUT"}, status=403))
        with pytest.raises(s3dlio.PermissionDeniedError):
            s3dlio.create_tfrecord_index(uri)
        testkit.faults()
        assert not s3dlio.exists(f"{uri}.idx")
