"""Indexes of TFRecord files: the documented calls, and what they cost on a network store."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import struct

import pytest
import s3dlio
from s3dlio.tfrecord import TFRecordWriter

RECORDS = [b"a", b"", b"c" * 1000]
ENTRIES = [(0, 17), (17, 16), (33, 1016)]
TEXT = "0 17\n17 16\n33 1016\n"


def file(records, crc: bool = True) -> bytes:
    """Return a file; without checksums the way some writers leave them out."""
    if not crc:
        return b"".join(struct.pack("<QI", len(r), 0) + r + bytes(4) for r in records)
    uri = "memory://tfrecord-index/file"
    with TFRecordWriter(uri) as writer:
        for record in records:
            writer.write(record)
    return bytes(s3dlio.get(uri))


@pytest.fixture(params=["file", "memory", "s3"])
def base(request, place) -> str:
    uri = place(request.param)
    s3dlio.put(f"{uri}/a.tfrecord", file(RECORDS))
    return uri


class TestCreate:
    def test_returns_the_number_of_records(self, base):
        uri = f"{base}/a.tfrecord"
        assert s3dlio.create_tfrecord_index(uri) == 3
        assert s3dlio.get(f"{uri}.idx") == TEXT.encode()
        for call in (
            lambda index: s3dlio.create_tfrecord_index(uri, index),
            lambda index: s3dlio.create_tfrecord_index(input_path=uri, output_path=index),
            lambda index: s3dlio.create_tfrecord_index(tfrecord_path=uri, index_path=index),
            lambda index: s3dlio.create_tfrecord_index(uri, output_path=index, verify=True),
            lambda index: asyncio.run(s3dlio.create_tfrecord_index_async(uri, index)),
        ):
            assert call(f"{base}/other.idx") == 3
            assert s3dlio.get(f"{base}/other.idx") == TEXT.encode()
            s3dlio.delete(f"{base}/other.idx")

    def test_goes_from_any_store_to_any_other(self, place, tmp_path):
        for source in ("file", "memory", "s3"):
            s3dlio.put(f"{place(source)}/a", file(RECORDS))
            for target in ("memory", "s3", "direct"):
                s3dlio.create_tfrecord_index(f"{place(source)}/a", f"{place(target)}/deep/{source}.idx")
                assert s3dlio.get(f"{place(target)}/deep/{source}.idx") == TEXT.encode()
            assert s3dlio.create_tfrecord_index(f"{place(source)}/a", tmp_path / source) == 3
            assert (tmp_path / source).read_text() == TEXT

    def test_takes_local_paths(self, tmp_path, monkeypatch):
        (tmp_path / "a").write_bytes(file(RECORDS))
        monkeypatch.chdir(tmp_path)
        assert s3dlio.create_tfrecord_index("a") == 3
        assert s3dlio.create_tfrecord_index(tmp_path / "a", "b.idx") == 3
        assert (tmp_path / "a.idx").read_text() == (tmp_path / "b.idx").read_text() == TEXT

    def test_has_a_documented_signature(self):
        names = list(inspect.signature(s3dlio.create_tfrecord_index).parameters)
        assert names == ["tfrecord_path", "index_path", "input_path", "output_path", "verify"]

    def test_refuses_what_makes_no_sense(self, base):
        uri = f"{base}/a.tfrecord"
        with pytest.raises(TypeError, match="input_path"):
            s3dlio.create_tfrecord_index()
        with pytest.raises(s3dlio.ConfigError, match="mean the same file"):
            s3dlio.create_tfrecord_index(uri, input_path=f"{base}/b")
        with pytest.raises(s3dlio.InvalidUriError):
            s3dlio.create_tfrecord_index(uri, uri)
        with pytest.raises(s3dlio.NotFoundError):
            s3dlio.create_tfrecord_index(f"{base}/missing")
        assert not s3dlio.exists(f"{base}/missing.idx")


class TestEntries:
    def test_come_from_bytes(self):
        data = file(RECORDS)
        for source in (data, bytearray(data), memoryview(data), s3dlio.BytesView(data)):
            assert s3dlio.get_tfrecord_index_entries(source) == ENTRIES
        assert s3dlio.index_tfrecord_bytes(data) == TEXT
        assert s3dlio.get_tfrecord_index_entries(b"") == []

    def test_come_from_a_file_or_an_index_whatever_its_name(self, base):
        s3dlio.put(f"{base}/index", TEXT.encode())
        for name in ("a.tfrecord", "index"):
            assert s3dlio.get_tfrecord_index_entries(f"{base}/{name}") == ENTRIES
        assert s3dlio.read_tfrecord_index(f"{base}/index") == ENTRIES

    def test_come_from_paths(self, tmp_path):
        (tmp_path / "a.idx").write_text("0 17\r\n\r\n17 16\n\n")
        for path in (tmp_path / "a.idx", str(tmp_path / "a.idx")):
            assert s3dlio.get_tfrecord_index_entries(path) == s3dlio.read_tfrecord_index(path) == ENTRIES[:2]

    def test_answer_to_names(self):
        entry = s3dlio.get_tfrecord_index_entries(file(RECORDS))[1]
        offset, size = entry
        assert isinstance(offset, int)
        assert (offset, size) == (entry["offset"], entry["size"]) == (entry.offset, entry.size) == (entry[0], entry[-1])
        assert dict(entry) == {"offset": 17, "size": 16}
        assert entry == (17, 16)
        assert pickle.loads(pickle.dumps(entry)) == entry
        assert type(pickle.loads(pickle.dumps(entry))) is s3dlio.TFRecordIndexEntry
        assert repr(entry) == "TFRecordIndexEntry(offset=17, size=16)"
        with pytest.raises(KeyError):
            entry["name"]

    def test_a_bad_line_is_named(self, tmp_path):
        (tmp_path / "a.idx").write_text("0 17\nseventeen 16\n")
        for read in (s3dlio.read_tfrecord_index, s3dlio.get_tfrecord_index_entries):
            with pytest.raises(s3dlio.CorruptDataError, match="line 2") as caught:
                read(tmp_path / "a.idx")
            assert caught.value.uri == f"file://{tmp_path}/a.idx"


class TestChecksums:
    def test_files_without_any_are_indexed(self):
        data = file(RECORDS, crc=False)
        assert s3dlio.get_tfrecord_index_entries(data) == ENTRIES
        assert s3dlio.get_tfrecord_index_entries(data, verify=False) == ENTRIES
        with pytest.raises(s3dlio.CorruptDataError, match="checksum"):
            s3dlio.get_tfrecord_index_entries(data, verify=True)

    def test_bytes_behind_the_last_record_are_passed_over(self):
        data = file(RECORDS) + b"\0" * 11
        assert s3dlio.get_tfrecord_index_entries(data) == ENTRIES
        with pytest.raises(s3dlio.CorruptDataError, match="header"):
            s3dlio.get_tfrecord_index_entries(data, verify=True)


class TestPrefix:
    @pytest.fixture
    def files(self, base) -> list[str]:
        for name in ("b", "deep/c", "readme.txt"):
            s3dlio.put(f"{base}/{name}.tfrecord" if "." not in name else f"{base}/{name}", file(RECORDS))
        return [f"{base}/{name}.tfrecord" for name in ("a", "b", "deep/c")]

    def test_indexes_every_file_beside_it(self, base, files):
        made = s3dlio.create_tfrecord_indexes(f"{base}/", pattern="*.tfrecord")
        assert made == [(uri, f"{uri}.idx", 3) for uri in files]
        assert [one.records for one in made] == [3, 3, 3]
        for uri in files:
            assert s3dlio.get(f"{uri}.idx") == TEXT.encode()
        again = asyncio.run(s3dlio.create_tfrecord_indexes_async(f"{base}/", pattern="*.tfrecord", resume=True))
        assert [one.records for one in again] == [None, None, None]

    def test_shares_the_files_out(self, base, files):
        shares = [
            s3dlio.create_tfrecord_indexes(
                base, f"{base}/indexes/", pattern="*.tfrecord", shard_rank=rank, shard_world_size=2, max_in_flight=1
            )
            for rank in range(2)
        ]
        assert [[one.uri for one in share] for share in shares] == [[files[0], files[2]], [files[1]]]
        names = [f"{base}/indexes/{name}.tfrecord.idx" for name in ("a", "b", "deep/c")]
        assert s3dlio.list(f"{base}/indexes/", recursive=True) == names

    @pytest.mark.usefixtures("files")
    def test_everything_but_indexes_is_taken_without_a_pattern(self, base):
        s3dlio.put(f"{base}/old.idx", b"0 17\n")
        assert len(s3dlio.create_tfrecord_indexes(f"{base}/")) == 4

    def test_refuses_options_out_of_range(self, base):
        for options in (
            {"shard_rank": 2, "shard_world_size": 2},
            {"shard_rank": -1},
            {"shard_world_size": 0},
            {"max_in_flight": 0},
        ):
            with pytest.raises(s3dlio.ConfigError):
                s3dlio.create_tfrecord_indexes(base, **options)
        with pytest.raises(s3dlio.NotFoundError):
            s3dlio.create_tfrecord_indexes(base, pattern="*.none")


class TestCost:
    """On a network store, by what its server was asked for."""

    @staticmethod
    def asked(testkit) -> tuple[int, int]:
        """Return the number of requests for objects, and of bytes asked for."""
        requests = testkit.requests("GetObject")
        ranges = [request["headers"]["range"].removeprefix("bytes=").split("-") for request in requests]
        return len(requests), sum(int(end) + 1 - int(start) for start, end in ranges)

    def test_large_payloads_are_stepped_over(self, testkit, tmp_path):
        uri = f"{testkit.bucket()}/a"
        data = file([b"x" * 500_000] * 20)
        testkit.put(uri, data)
        testkit.reset()
        assert s3dlio.create_tfrecord_index(uri, tmp_path / "a.idx", verify=True) == 20
        requests, count = self.asked(testkit)
        assert requests <= 21
        assert count < 100_000
        assert testkit.counts()["operations"].keys() == {"GetObject", "HeadObject"}
        assert (tmp_path / "a.idx").read_text() == s3dlio.index_tfrecord_bytes(data)

    def test_small_records_are_read_through_once(self, testkit, tmp_path):
        uri = f"{testkit.bucket()}/a"
        data = file([b"x" * 100] * 50_000)
        testkit.put(uri, data)
        testkit.reset()
        assert s3dlio.create_tfrecord_index(uri, tmp_path / "a.idx") == 50_000
        requests, count = self.asked(testkit)
        assert requests <= 12
        assert count < len(data) + 1000

    def test_random_access_asks_for_the_index_once_and_then_for_records(self, testkit):
        uri = f"{testkit.bucket()}/a"
        with TFRecordWriter(uri, index=True) as writer:
            for _ in range(5000):
                writer.write(b"x" * 1000)
        testkit.reset()
        source = s3dlio.TFRecordDataSource(uri)
        assert testkit.counts()["operations"] == {"HeadObject": 1, "GetObject": 1}
        testkit.reset()
        # The first three lie within 64 KiB of each other.
        assert len(source.__getitems__([2, 0, 40, 1000, 4999])) == 5
        assert testkit.counts()["operations"] == {"GetObject": 3}
        requests, count = self.asked(testkit)
        assert count == 41 * 1016 + 2 * 1016
        assert requests == 3
