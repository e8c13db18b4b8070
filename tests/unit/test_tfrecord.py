"""TFRecord files: reading in order and by number, writing, on every kind of store."""

from __future__ import annotations

import asyncio
import gzip
import pickle
import struct
import zlib

import pytest
import s3dlio
from s3dlio.tfrecord import TFRecordDataSource, TFRecordReader, TFRecordWriter

RECORDS = [bytes([n % 251]) * (n * 37 % 3000) for n in range(500)]
COMPRESSORS = {"none": bytes, "gzip": gzip.compress, "zlib": zlib.compress}


def write(path, records, **options) -> None:
    with TFRecordWriter(path, **options) as writer:
        for record in records:
            writer.write(record)


def plain(records) -> bytes:
    uri = "memory://tfrecord/plain"
    write(uri, records)
    return bytes(s3dlio.get(uri))


@pytest.fixture(params=["file", "memory", "s3"])
def base(request, place) -> str:
    return place(request.param)


class TestFrame:
    def test_is_length_checksum_payload_checksum(self):
        frame = plain([b"payload"])
        length, length_crc, payload, payload_crc = struct.unpack("<QI7sI", frame)
        assert (length, payload) == (7, b"payload")
        # Both are CRC-32C, masked; these values are TensorFlow's for this record.
        assert (length_crc, payload_crc) == struct.unpack("<II", frame[8:12] + frame[-4:])
        assert length_crc != zlib.crc32(frame[:8])

    def test_is_the_one_of_generated_content(self):
        s3dlio.put("memory://tfrecord/generated/", 1, "one", size=10_000, object_type="TFRECORD")
        (uri,) = s3dlio.list("memory://tfrecord/generated/")
        (record,) = TFRecordReader(uri)
        assert len(record) == 10_000


class TestReader:
    @pytest.mark.parametrize("compression", COMPRESSORS)
    def test_gives_all_records_in_order(self, base, compression):
        uri = f"{base}/{compression}.tfrecord"
        s3dlio.put(uri, COMPRESSORS[compression](plain(RECORDS)))
        for given in (None, compression, compression.upper()):
            assert list(TFRecordReader(uri, compression=given)) == RECORDS
        batches = list(TFRecordReader(uri).batches())
        assert [record for batch in batches for record in batch] == RECORDS

    def test_gives_views(self, tmp_path):
        write(tmp_path / "a", [b"content"])
        (record,) = TFRecordReader(tmp_path / "a")
        assert isinstance(record, s3dlio.BytesView)
        assert memoryview(record).readonly

    def test_can_be_awaited(self, base):
        write(f"{base}/a", RECORDS)

        async def records():
            return [record async for record in TFRecordReader(f"{base}/a")]

        assert asyncio.run(records()) == RECORDS

    def test_begins_anew_each_time_and_pickles(self, base):
        write(f"{base}/a", RECORDS)
        reader = TFRecordReader(f"{base}/a", compression="none", verify=False)
        first = iter(reader)
        next(first)
        again = pickle.loads(pickle.dumps(reader))
        assert list(again) == list(reader) == RECORDS
        assert (again.uri, again.compression, again.verify) == (reader.uri, "none", False)
        assert "a" in repr(again)

    def test_takes_local_paths(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write("relative", [b"x"])
        for path in ("relative", tmp_path / "relative", str(tmp_path / "relative"), f"file://{tmp_path}/relative"):
            assert list(TFRecordReader(path)) == [b"x"]

    def test_says_what_is_wrong_with_its_arguments(self, tmp_path):
        with pytest.raises(s3dlio.ConfigError, match="brotli"):
            TFRecordReader(tmp_path / "a", compression="brotli")
        with pytest.raises(s3dlio.InvalidUriError):
            TFRecordReader("")
        with pytest.raises(s3dlio.NotFoundError, match="missing"):
            next(iter(TFRecordReader(tmp_path / "missing")))


class TestDataSource:
    def test_reads_by_number(self, base):
        write(f"{base}/a.tfrecord", RECORDS, index=True)
        for index in (None, False, f"{base}/a.tfrecord.idx"):
            source = TFRecordDataSource(f"{base}/a.tfrecord", index)
            assert len(source) == len(RECORDS)
            assert source[7] == RECORDS[7]
            assert source[-1] == RECORDS[-1]
            assert source[490:] == RECORDS[490:]
            assert source[10:0:-3] == RECORDS[10:0:-3]
            assert source.__getitems__([3, 499, 3, -500]) == [RECORDS[3], RECORDS[499], RECORDS[3], RECORDS[0]]
            assert source.__getitems__([]) == []
            assert list(source) == RECORDS
            assert RECORDS[5] in source
            assert asyncio.run(source.get_items([1, 0])) == [RECORDS[1], RECORDS[0]]

    def test_joins_files(self, base):
        for name, part in (("b", RECORDS[200:]), ("a", RECORDS[:200])):
            write(f"{base}/data/{name}.tfrecord", part, index=name == "a")
        for paths in (f"{base}/data/*.tfrecord", f"{base}/data/*", [f"{base}/data/a.tfrecord", f"{base}/data/b*"]):
            source = TFRecordDataSource(paths)
            assert source.uris == [f"{base}/data/a.tfrecord", f"{base}/data/b.tfrecord"]
            assert source[195:205] == RECORDS[195:205]
            assert source.place(200) == (f"{base}/data/b.tfrecord", 0, len(RECORDS[200]) + 16)
            assert "2 files" in repr(source)
            assert "500 records" in repr(source)

    def test_pickles_with_its_index(self, base):
        write(f"{base}/a", RECORDS, index=True)
        source = TFRecordDataSource(f"{base}/a", verify=False)
        s3dlio.delete(f"{base}/a.idx")
        again = pickle.loads(pickle.dumps(source))
        assert list(again) == RECORDS
        assert again.verify is False

    def test_refuses_what_is_not_there(self, tmp_path):
        write(tmp_path / "a", [b"x", b"y"])
        source = TFRecordDataSource(tmp_path / "a")
        for index in (2, -3, 2**70):
            with pytest.raises((IndexError, OverflowError)):
                source[index]
        with pytest.raises(s3dlio.OutOfRangeError, match="-2 to 1"):
            source.__getitems__([0, 2])
        for paths in (tmp_path / "missing", f"{tmp_path}/none*"):
            with pytest.raises(s3dlio.NotFoundError):
                TFRecordDataSource(paths)
        with pytest.raises(s3dlio.NotFoundError):
            TFRecordDataSource(tmp_path / "a", tmp_path / "missing.idx")
        with pytest.raises(s3dlio.ConfigError, match="found 2"):
            TFRecordDataSource(tmp_path / "a", ["x", "y"])

    def test_of_nothing_has_a_text(self):
        assert repr(TFRecordDataSource([])) == "TFRecordDataSource(0 files, 0 records)"

    def test_of_nothing_is_empty(self, tmp_path):
        write(tmp_path / "a", [])
        source = TFRecordDataSource(tmp_path / "a")
        assert (len(source), list(source)) == (0, [])


class TestWriter:
    @pytest.mark.parametrize("compression", COMPRESSORS)
    def test_writes_what_is_read(self, base, compression):
        uri = f"{base}/a"
        with TFRecordWriter(uri, compression=compression, level=None if compression == "none" else 9) as writer:
            for record in RECORDS:
                writer.write(record)
            writer.flush()
            assert not s3dlio.exists(uri)
            assert writer.num_records == len(RECORDS)
            assert writer.num_bytes == sum(len(record) + 16 for record in RECORDS)
        assert writer.closed
        writer.close()
        assert list(TFRecordReader(uri)) == RECORDS
        with pytest.raises(s3dlio.StoreError, match="closed"):
            writer.write(b"more")

    def test_writes_the_index_too(self, base):
        write(f"{base}/a", RECORDS, index=True)
        write(f"{base}/b", RECORDS, index=f"{base}/elsewhere")
        expected = s3dlio.index_tfrecord_bytes(s3dlio.get(f"{base}/a")).encode()
        assert s3dlio.get(f"{base}/a.idx") == s3dlio.get(f"{base}/elsewhere") == expected

    @pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview, s3dlio.BytesView])
    def test_takes_any_buffer(self, tmp_path, buffer):
        write(tmp_path / "a", [buffer(b"content")])
        assert list(TFRecordReader(tmp_path / "a")) == [b"content"]

    def test_takes_nothing_else(self, tmp_path):
        with TFRecordWriter(tmp_path / "a") as writer:
            for wrong in ("text", 5, None):
                with pytest.raises(TypeError):
                    writer.write(wrong)
        assert list(TFRecordReader(tmp_path / "a")) == []

    def test_a_write_that_failed_is_told_again_when_it_is_closed(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        writer = TFRecordWriter(tmp_path / "file" / "x")
        with pytest.raises(s3dlio.S3dlioError):  # noqa: PT012 - which write meets it is the store's affair
            for _ in range(200):
                writer.write(bytes(300_000))
        for _ in range(2):
            with pytest.raises(s3dlio.S3dlioError):
                writer.close()

    def test_an_exception_gives_the_file_up(self, base):
        writer = TFRecordWriter(f"{base}/a", index=True)

        def fail() -> None:
            with writer:
                writer.write(b"x" * 1_000_000)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert writer.closed
        assert not s3dlio.exists(f"{base}/a")
        assert not s3dlio.exists(f"{base}/a.idx")
        with pytest.raises(s3dlio.StoreError, match="closed"):
            writer.close()

    def test_refuses_options_that_cannot_work(self, tmp_path):
        for options in ({"compression": "lz4"}, {"level": 3}, {"compression": "gzip", "level": 10}):
            with pytest.raises(s3dlio.ConfigError):
                TFRecordWriter(tmp_path / "a", **options)
        with pytest.raises(s3dlio.ConfigError, match="index"):
            TFRecordWriter(tmp_path / "a", compression="gzip", index=True)
        assert [*tmp_path.iterdir()] == []
