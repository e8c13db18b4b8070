"""Files of records and arrays checked, and what is whole of damaged ones."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import numpy as np
import pytest
import s3dlio
from s3dlio import array_record, disky, errors, integrity, tfrecord

from tests.fixtures import golden

ARRAY_RECORDS = golden.manifest("array_record")
DISKY = [entry for entry in golden.manifest("disky")["files"] if entry["kind"] == "corrupt"]
BY_NAME = {entry["name"]: entry for entry in ARRAY_RECORDS["files"]}


def original(entry) -> list[bytes] | None:
    """Return the records that a damaged ArrayRecord file was made of."""
    if "base" in entry:
        entry = BY_NAME[entry["base"]]
    return golden.recipe(entry["recipe"]) if entry["recipe"] else None


@pytest.mark.parametrize("entry", ARRAY_RECORDS["bad_files"], ids=lambda entry: entry["name"])
def test_damaged_array_records(tmp_path: Path, entry):
    path = tmp_path / "bad.array_record"
    path.write_bytes(golden.array_record(entry))
    required, records = entry["required"], original(entry)
    report = array_record.verify(path)
    recovered = array_record.recover(path)
    found = list(recovered)
    assert report.format == "array_record"
    if entry["name"] != "t_valid_control" and not entry["name"].startswith("uneven_groups"):
        assert not report.ok
        assert all(fault.offset is not None or "bytes" in fault.detail for fault in report.faults)
    # What opens and is read without an error has to come out of a recovery, too.
    reader = array_record.ArrayRecordReader(str(path))
    try:
        whole = reader.read_all()
    except errors.CorruptDataError:
        whole = []
        # Chunks that are sound can be read by their number, and a recovery finds them as well.
        for number in range(reader.num_records()):
            try:
                whole += reader.read([number])
            except errors.CorruptDataError:
                continue
    assert len(found) >= len(whole)
    if records is not None:
        assert all(record in records for record in found)
    if "recovery must find all records" in required or "recovery may be offered" in required:
        assert found == records
    if "other chunks still readable" in required:
        assert found == records[2:]
        assert recovered.num_faults == len(recovered.faults) == 1
        assert recovered.faults[0].offset == recovered.faults[0].lost.start == 64


def test_sound_array_records(tmp_path: Path):
    for entry in ARRAY_RECORDS["files"][::7]:
        path = tmp_path / entry["name"]
        path.write_bytes(golden.array_record(entry))
        report = integrity.verify(path)
        assert (report.ok, report.format, report.records) == (True, "array_record", entry["num_records"]), entry
        assert (report.chunks, report.size) == (entry["num_chunks"], entry["file_size"])
        assert report.record_bytes == entry["total_record_bytes"]
        assert golden.digest(array_record.recover(path)) == entry["records_sha256"]


@pytest.mark.parametrize("entry", DISKY, ids=lambda entry: entry["file"])
def test_damaged_disky(tmp_path: Path, entry):
    path = tmp_path / "bad.disky"
    path.write_bytes(golden.disky(entry))
    report = disky.verify(path)
    found = list(disky.RecordReader(path, disky.CorruptionStrategy.RECOVER))
    assert report.records == len(found)
    assert list(integrity.recover(path, "disky")) == found
    clean = entry["upstream_default"]["end"] == "EOF" and entry["riegeli_rs"]["default"]["end"] == "EOF"
    assert clean or not report.ok
    assert all(fault.offset is not None and fault.lost.stop <= report.size for fault in report.faults)


def test_an_unfinished_array_record_is_recovered(tmp_path: Path):
    records = [b"%d|" % number * 100 for number in range(1000)]
    path = tmp_path / "a.array_record"
    with array_record.ArrayRecordWriter(str(path), "group_size:10,uncompressed") as writer:
        for record in records:
            writer.write(record)
    content = path.read_bytes()
    # Cut at a byte, as a process that died leaves it.
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(errors.CorruptDataError):
        array_record.ArrayRecordDataSource(path)
    recovered = array_record.recover(path)
    found = list(recovered)
    assert 0 < len(found) < 1000
    assert found == records[: len(found)]
    assert recovered.num_faults >= 1
    assert next(recovered, None) is None


RECORDS = [b"record %d" % number * 20 for number in range(100)]


class TestTFRecord:
    @pytest.fixture(params=["plain", "gzip"])
    def file(self, request, tmp_path: Path) -> tuple[Path, bytes]:
        path = tmp_path / "a.tfrecord"
        with tfrecord.TFRecordWriter(str(path)) as writer:
            for record in RECORDS:
                writer.write(record)
        content = path.read_bytes()
        if request.param == "gzip":
            path.write_bytes(gzip.compress(content))
        return path, content

    def test_sound(self, file):
        report = tfrecord.verify(file[0])
        assert (report.ok, report.format, report.records) == (True, "tfrecord", 100)
        assert report.record_bytes == sum(map(len, RECORDS))
        assert list(tfrecord.recover(file[0])) == RECORDS

    @pytest.mark.parametrize("where", [0, 8, 20, -1])
    def test_damage_costs_its_record(self, file, where):
        path, content = file
        start = sum(len(record) + 16 for record in RECORDS[:50])
        end = start + len(RECORDS[50]) + 16
        broken = bytearray(content)
        broken[start + where if where >= 0 else end - 1] ^= 1
        path.write_bytes(gzip.compress(broken) if path.read_bytes()[:2] == b"\x1f\x8b" else broken)
        report = tfrecord.verify(path)
        assert [(fault.offset, fault.lost) for fault in report.faults] == [(start, range(start, end))]
        recovered = tfrecord.recover(path)
        assert list(recovered) == RECORDS[:50] + RECORDS[51:]
        assert recovered.faults == report.faults
        assert "checksum" in report.faults[0].detail

    def test_a_cut_end(self, file):
        path, _ = file
        path.write_bytes(path.read_bytes()[:-5])
        assert not tfrecord.verify(path).ok
        found = list(tfrecord.recover(path))
        assert found == RECORDS[: len(found)]
        assert len(found) >= 99 or path.read_bytes()[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("compress", [False, 6])
def test_archives(tmp_path: Path, compress):
    uri = f"file://{tmp_path}/a.npz"
    arrays = {name: np.random.default_rng(1).integers(0, 9, 100_000) for name in "abc"}
    s3dlio.write_npz(uri, arrays, compress=compress)
    report = integrity.verify(uri)
    assert (report.ok, report.format, report.records) == (True, "npz", 3)
    path = tmp_path / "a.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    report = integrity.verify(uri)
    assert (report.num_faults, report.records) == (1, 2)
    assert "b.npy" in report.faults[0].detail
    assert len(content) // 2 in report.faults[0].lost
    path.write_bytes(content[:-10])
    assert not integrity.verify(uri).ok
    with pytest.raises(errors.UnsupportedError, match="arrays"):
        integrity.recover(uri)


def test_npy(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.arange(100))
    assert integrity.verify(tmp_path / "a.npy").ok
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    (fault,) = integrity.verify(tmp_path / "b.npy").faults
    assert "799" in fault.detail


def test_remote_files(bucket):
    uri = f"{bucket}/a.array_record"
    with array_record.ArrayRecordWriter(uri, "group_size:3,uncompressed") as writer:
        for number in range(1000):
            writer.write(bytes([number % 256]) * 5000)
    report = asyncio.run(integrity.verify_async(uri))
    assert (report.uri, report.ok, report.records) == (uri, True, 1000)
    broken = bytearray(s3dlio.get(uri))
    broken[2_000_000] ^= 1
    s3dlio.put(uri, broken)
    report = array_record.verify(uri)
    assert (report.num_faults, report.records) == (1, 997)
    assert 2_000_000 in report.faults[0].lost
    assert len(list(array_record.recover(uri))) == 997


def test_what_cannot_be_checked(tmp_path: Path):
    with pytest.raises(errors.NotFoundError):
        integrity.verify(tmp_path / "missing.npz")
    with pytest.raises(errors.NotFoundError):
        array_record.recover(tmp_path / "missing")
    (tmp_path / "text").write_text("some text")
    with pytest.raises(errors.UnsupportedError, match="73 6f 6d 65"):
        integrity.verify(tmp_path / "text")
    with pytest.raises(errors.ConfigError, match="array_record, disky"):
        integrity.verify(tmp_path / "text", "tar")
