"""Disky files: writing and reading one file or many shards, damage, records as bytes."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import s3dlio
from s3dlio import disky, errors
from s3dlio.disky import (
    Bytes,
    CorruptionStrategy,
    MultiThreadedReader,
    MultiThreadedWriter,
    RecordReader,
    RecordWriter,
)

from tests.fixtures import golden

MANIFEST = golden.manifest("disky")
ERROR, RECOVER = CorruptionStrategy.ERROR, CorruptionStrategy.RECOVER


def of_kind(kind: str) -> list[dict]:
    return [entry for entry in MANIFEST["files"] if entry["kind"] == kind]


def each(kind: str):
    return pytest.mark.parametrize("entry", of_kind(kind), ids=lambda entry: entry["file"])


@pytest.fixture
def stored(tmp_path: Path):
    def store(entry: dict) -> str:
        path = tmp_path / "stored"
        path.write_bytes(golden.disky(entry))
        return str(path)

    return store


def texts(count: int, size: int = 1) -> list[bytes]:
    return [b"record-%d|" % number * (size * (number % 7) + 1) for number in range(count)]


def write(path: object, records: list[bytes], compression: str | None = None) -> str:
    with RecordWriter(path, compression) as writer:
        for record in records:
            writer.write_record(record)
    return str(path)


def write_shards(path: object, records: list[bytes], **options) -> None:
    with MultiThreadedWriter.new_with_shards(path, **options) as writer:
        for record in records:
            writer.write_record(record)


def until_error(reader) -> tuple[list[bytes], OSError | None]:
    """Read to the end, or up to an exception."""
    records = []
    try:
        while (record := reader.next_record()) is not None:
            records.append(bytes(record))
    except OSError as error:
        return records, error
    return records, None


def returned(entry: dict, originals: list[bytes], reader: str, mode: str) -> list[bytes]:
    result = entry[reader][mode] if reader == "riegeli_rs" else entry[f"{reader}_{mode}"]
    return [record for first, end in result["returned"] for record in originals[first:end]]


class TestGoldenFiles:
    @each("valid")
    @pytest.mark.parametrize("strategy", [None, ERROR, RECOVER])
    def test_valid_ones_are_read(self, stored, entry, strategy):
        path = stored(entry)
        with RecordReader(path, strategy) as reader:
            records = list(reader)
            assert reader.next_record() is None
        assert len(records) == entry["num_records"] == RecordReader.count_records(path, strategy)
        assert golden.digest(bytes(record) for record in records) == entry["records_digest"]

    def test_uncompressed_ones_are_written_byte_by_byte(self, tmp_path: Path):
        written = 0
        for entry in of_kind("valid"):
            session, *more = entry["sessions"]
            if more or session["compression"] != "none" or session["chunk_size_bytes"] != 1 << 20:
                continue
            path = tmp_path / "file"
            with RecordWriter(path) as writer:
                for what in session["ops"]:
                    record = golden.disky_record(what)
                    writer.flush() if record is None else writer.write_record(record)
            assert path.read_bytes() == golden.disky(entry), entry["file"]
            written += 1
        assert written >= 12

    @pytest.mark.parametrize("entry", MANIFEST["hash_only"], ids=lambda entry: entry["name"])
    def test_large_ones_are_written_byte_by_byte(self, tmp_path: Path, entry):
        whats = entry["ops"]
        if entry["name"] == "2500_records_of_1000":
            whats = [["text", 2000 + number, 1000] for number in range(2500)]
        elif entry["name"] == "100000_records_of_100":
            whats = [["text", 3000 + number % 100, 100] for number in range(100_000)]
        path = write(tmp_path / "file", [golden.disky_record(what) or b"" for what in whats])
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == entry["sha256"]
        assert golden.digest(bytes(record) for record in RecordReader(path)) == entry["records_digest"]

    @each("interop")
    def test_files_of_another_writer_are_read(self, stored, entry):
        expected = [golden.disky_record(what) for what in entry["ops"]]
        assert list(RecordReader(stored(entry))) == expected

    @each("corrupt")
    def test_damage(self, stored, tmp_path: Path, entry):
        base = tmp_path / "base"
        base.write_bytes((golden.FIXTURES / "disky" / entry["base"]).read_bytes())
        originals = [bytes(record) for record in RecordReader(base)]
        path = stored(entry)

        before, error = until_error(RecordReader(path))
        assert before == originals[: len(before)]
        assert len(before) >= max(len(returned(entry, originals, "upstream", "default")),
                                  len(returned(entry, originals, "riegeli_rs", "default")))  # fmt: skip
        if entry["riegeli_rs"]["default"]["end"] == "err":
            assert isinstance(error, errors.CorruptDataError)
            assert error.uri == f"file://{path}"
            assert error.offset is not None
            with pytest.raises(OSError, match="file://"):
                RecordReader.count_records(path)

        found, error = until_error(RecordReader(path, RECOVER))
        assert error is None
        assert found == [record for record in originals if record in found]
        for reader in ("upstream", "riegeli_rs"):
            mode = "recover" if reader == "upstream" else "recovery"
            assert set(returned(entry, originals, reader, mode)) <= set(found)
        assert RecordReader.count_records(path, RECOVER) == len(found)

    @each("crafted")
    def test_contradictory_chunks(self, stored, entry):
        path = stored(entry)
        reference = entry["riegeli_rs"]
        before, error = until_error(RecordReader(path))
        assert len(before) == reference["default"]["count"]
        assert (error is not None) == (reference["default"]["end"] == "err")
        assert len(list(RecordReader(path, RECOVER))) == reference["recovery"]["count"]

    def test_an_error_stays(self, stored):
        entry = next(entry for entry in of_kind("corrupt") if entry["file"] == "corrupt/chunk_data_values.disky")
        reader = RecordReader(stored(entry))
        assert len(until_error(reader)[0]) == 3
        for _ in range(2):
            assert isinstance(until_error(reader)[1], errors.CorruptDataError)


class TestShards:
    @each("sharded")
    def test_golden_shards_are_read_in_their_order(self, entry):
        whats = [what for call in entry["calls"] for what in call["ops"]]
        records = [golden.disky_record(what) for what in whats]
        folder = golden.FIXTURES / "disky" / entry["file"]
        for shards, order in entry["read_order_one_worker_by_num_shards"].items():
            for workers in (1, 3):
                with MultiThreadedReader.new_with_shards(folder, entry["prefix"], int(shards), workers) as reader:
                    assert list(reader) == [records[number] for number in order]
        assert MultiThreadedReader.count_records_with_shards(folder, entry["prefix"]) == entry["num_records"]

    @each("sharded")
    def test_golden_shards_are_written(self, tmp_path: Path, entry):
        for call in entry["calls"]:
            write_shards(tmp_path / "d", [golden.disky_record(what) for what in call["ops"]], **call["kwargs"])
        assert sorted(os.listdir(tmp_path / "d")) == sorted(entry["shards"])
        for name, shard in entry["shards"].items():
            content = (tmp_path / "d" / name).read_bytes()
            if entry["file"] != "sharded/zstd":
                assert hashlib.sha256(content).hexdigest() == shard["sha256"], name
            assert RecordReader.count_records(tmp_path / "d" / name) == shard["num_records"]

    def test_no_append_replaces(self, tmp_path: Path):
        write_shards(tmp_path, texts(30), num_shards=3)
        write_shards(tmp_path, texts(4), append=False)
        assert sorted(os.listdir(tmp_path)) == ["shard_0", "shard_1", "shard_2"]
        assert [RecordReader.count_records(tmp_path / f"shard_{number}") for number in range(3)] == [2, 2, 10]

    def test_append_fills_gaps(self, tmp_path: Path):
        write_shards(tmp_path, texts(40), num_shards=4)
        (tmp_path / "shard_1").unlink()
        write_shards(tmp_path, texts(2))
        assert sorted(os.listdir(tmp_path)) == [f"shard_{number}" for number in range(5)]
        assert RecordReader.count_records(tmp_path / "shard_1") == 1
        assert RecordReader.count_records(tmp_path / "shard_0") == 10

    def test_writers_at_the_same_time_take_different_names(self, tmp_path: Path):
        writers = [MultiThreadedWriter.new_with_shards(tmp_path) for _ in range(3)]
        for writer in writers:
            writer.write_record(b"x")
        for writer in writers:
            writer.close()
        assert len(os.listdir(tmp_path)) == 6
        assert MultiThreadedReader.count_records_with_shards(tmp_path) == 3

    def test_a_writer_without_records_leaves_empty_shards(self, tmp_path: Path):
        MultiThreadedWriter.new_with_shards(tmp_path / "a" / "b", num_shards=0, append=False).close()
        assert [(path.name, path.stat().st_size) for path in (tmp_path / "a" / "b").iterdir()] == [("shard_0", 64)]

    def test_a_full_pool_raises(self, tmp_path: Path):
        writer = MultiThreadedWriter.new_with_shards(tmp_path, max_bytes_per_writer=30, enable_auto_sharding=False)
        assert writer.available_writers() == 2
        for _ in range(6):
            writer.write_record(b"0123456789")
        assert writer.available_writers() == 0
        with pytest.raises(OSError, match="limit of 30 bytes"):
            writer.write_record(b"one more")
        writer.close()
        assert MultiThreadedReader.count_records_with_shards(tmp_path) == 6

    def test_a_prefix_with_a_slash_is_a_directory_below(self, tmp_path: Path):
        write_shards(tmp_path, texts(10), prefix="sub/part")
        (tmp_path / "sub" / "part_x").mkdir()
        (tmp_path / "sub" / "other_0").write_bytes(b"no Disky file")
        assert list(MultiThreadedReader.new_with_shards(tmp_path, "sub/part")) == texts(10)

    @pytest.mark.parametrize("compression", [None, "none", "zstd"])
    @pytest.mark.parametrize(("shards", "workers"), [(1, 1), (3, 2), (5, 8)])
    def test_many_chunks(self, tmp_path: Path, compression, shards, workers):
        records = texts(60_000, 30)
        write_shards(tmp_path, records, compression=compression, num_shards=shards, worker_threads=workers)
        for queue in (1, 64):
            with MultiThreadedReader.new_with_shards(tmp_path, "shard", shards, workers, queue) as reader:
                found = list(reader)
            assert found == records
        assert MultiThreadedReader.count_records_with_shards(tmp_path, num_shards=shards) == len(records)

    def test_flush_keeps_the_order(self, tmp_path: Path):
        writer = MultiThreadedWriter.new_with_shards(tmp_path)
        for number, record in enumerate(texts(10)):
            writer.write_record(record)
            if number % 3 == 0:
                writer.flush()
        assert writer.pending_tasks() == 0
        writer.close()
        assert list(MultiThreadedReader.new_with_shards(tmp_path)) == texts(10)

    def test_the_limit_is_kept_over_many_files(self, tmp_path: Path):
        records = texts(5000)
        write_shards(tmp_path, records, num_shards=3, max_bytes_per_writer=5000)
        assert len(os.listdir(tmp_path)) > 20
        found = MultiThreadedReader.count_records_with_shards(tmp_path, num_shards=4, worker_threads=2)
        assert found == len(records)

    def test_damage_is_told_behind_all_intact_records(self, tmp_path: Path):
        records = texts(36)
        write_shards(tmp_path, records, num_shards=3)
        path = tmp_path / "shard_1"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        intact = [record for number, record in enumerate(records) if number % 3 != 1]
        for shards in (1, 2, 3, 7):
            for workers in (1, 4):
                reader = MultiThreadedReader.new_with_shards(tmp_path, num_shards=shards, worker_threads=workers)
                found, error = until_error(reader)
                assert sorted(found) == sorted(intact)
                assert isinstance(error, errors.CorruptDataError)
                assert error.uri == f"file://{path}"
                assert isinstance(until_error(reader)[1], errors.CorruptDataError)
        with pytest.raises(errors.CorruptDataError):
            MultiThreadedReader.count_records_with_shards(tmp_path)
        assert MultiThreadedReader.count_records_with_shards(tmp_path, corruption_strategy=RECOVER) == 24
        recovered = MultiThreadedReader.new_with_shards(tmp_path, num_shards=3, corruption_strategy=RECOVER)
        assert sorted(recovered) == sorted(intact)

    def test_a_shard_that_goes_missing_is_told(self, tmp_path: Path):
        write_shards(tmp_path, texts(40), num_shards=4)
        reader = MultiThreadedReader.new_with_shards(tmp_path, num_shards=1)
        (tmp_path / "shard_3").unlink()
        found, error = until_error(reader)
        assert len(found) == 30
        assert isinstance(error, FileNotFoundError)

    def test_no_shard(self, tmp_path: Path):
        for make in (MultiThreadedReader.new_with_shards, MultiThreadedReader.count_records_with_shards):
            with pytest.raises(errors.NotFoundError, match="shard_"):
                make(tmp_path)
            with pytest.raises(OSError, match="shard_"):
                make(tmp_path / "missing")
        for make in (
            MultiThreadedReader.new_with_shard_paths,
            MultiThreadedReader.new_with_random_shard_paths,
            MultiThreadedReader.count_records_with_shard_paths,
        ):
            with pytest.raises(OSError, match="shard_paths"):
                make([])
            with pytest.raises(FileNotFoundError):
                make([tmp_path / "missing"])

    def test_paths_in_any_order_and_twice(self, tmp_path: Path):
        write_shards(tmp_path, texts(6), num_shards=3)
        paths = [tmp_path / "shard_2", str(tmp_path / "shard_0"), f"file://{tmp_path}/shard_2"]
        found = list(MultiThreadedReader.new_with_shard_paths(paths, num_shards=1))
        assert found == [texts(6)[number] for number in (2, 5, 0, 3, 2, 5)]
        assert MultiThreadedReader.count_records_with_shard_paths(paths) == 6

    def test_random_order_never_ends_and_is_fair(self, tmp_path: Path):
        records = texts(24)
        write_shards(tmp_path, records, num_shards=6)
        paths = disky.expand_dirs([tmp_path])
        orders = set()
        for _ in range(5):
            reader = MultiThreadedReader.new_with_random_shard_paths(paths, num_shards=1)
            taken = [bytes(next(reader)) for _ in range(24 * 4)]
            for start in range(0, len(taken), 24):
                assert sorted(taken[start : start + 24]) == sorted(records)
                orders.add(tuple(taken[start : start + 24]))
        assert len(orders) > 10

    def test_random_order_tells_damage_and_goes_on(self, tmp_path: Path):
        write_shards(tmp_path, texts(8))
        with (tmp_path / "shard_0").open("ab") as file:
            file.write(b"garbage")
        reader = MultiThreadedReader.new_with_random_shard_paths(disky.expand_dirs([tmp_path]), num_shards=1)
        found: list[bytes] = []
        damage = 0
        for _ in range(10):
            for _ in range(8):
                try:
                    found.append(bytes(next(reader)))
                except errors.CorruptDataError:
                    damage += 1
        assert damage >= 3
        assert set(found) == set(texts(8))

    @pytest.mark.timeout(20)
    def test_random_order_of_nothing_raises(self, tmp_path: Path):
        MultiThreadedWriter.new_with_shards(tmp_path).close()
        reader = MultiThreadedReader.new_with_random_shard_paths(disky.expand_dirs([tmp_path]))
        with pytest.raises(OSError, match="no record"):
            reader.next_record()

    def test_expand_dirs(self, tmp_path: Path):
        for name in ("b", "a"):
            write_shards(tmp_path / name, texts(4), prefix="part")
        found = disky.expand_dirs([tmp_path / "b", tmp_path / "a"], "part")
        assert sorted(found[:2]) == [tmp_path / "b" / "part_0", tmp_path / "b" / "part_1"]
        assert len(found) == 4
        assert len(list(MultiThreadedReader.new_with_shard_paths(found))) == 8

    def test_counters(self, tmp_path: Path):
        write_shards(tmp_path, texts(100))
        reader = MultiThreadedReader.new_with_shards(tmp_path)
        reader.next_record()
        reader.next_record()
        assert reader.queued_records() == 98
        assert reader.queued_bytes() > 0
        assert len(list(reader)) == 98
        assert (reader.queued_records(), reader.queued_bytes()) == (0, 0)
        reader.close()
        reader.close()
        assert reader.queued_records() == 0
        with pytest.raises(OSError, match="closed"):
            reader.next_record()


class TestWriter:
    @pytest.mark.parametrize("compression", [None, "none", "zstd"])
    def test_what_is_written_is_read(self, tmp_path: Path, compression):
        records = [b"", *texts(20_000, 50), os.urandom(3 << 20), b"", b"x", bytes(5 << 20)]
        path = write(tmp_path / "file", records, compression)
        assert list(RecordReader(path)) == records
        assert (Path(path).stat().st_size < 8 << 20) == (compression == "zstd")

    def test_a_file_appears_when_it_is_closed(self, tmp_path: Path):
        path = tmp_path / "file"
        path.write_bytes(b"before")
        writer = RecordWriter(path)
        writer.write_record(b"record")
        writer.flush()
        assert path.read_bytes() == b"before"
        writer.close()
        writer.close()
        for use in (lambda: writer.write_record(b"more"), writer.flush):
            with pytest.raises(OSError, match="closed"):
                use()
        assert list(RecordReader(path)) == [b"record"]

    def test_closing_by_hand_in_a_with_block(self, tmp_path: Path):
        with RecordWriter(tmp_path / "one") as one:
            one.close()
        with MultiThreadedWriter.new_with_shards(tmp_path / "many") as many:
            many.write_record(b"x")
            many.close()
        for use in (lambda: many.write_record(b"more"), many.flush):
            with pytest.raises(OSError, match="closed"):
                use()
        assert (many.pending_tasks(), many.available_writers()) == (0, 0)

    def test_an_exception_passes_and_what_was_written_stays(self, tmp_path: Path):
        def broken(writer) -> None:
            with writer:
                writer.write_record(b"before")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            broken(RecordWriter(tmp_path / "file"))
        assert list(RecordReader(tmp_path / "file")) == [b"before"]
        with pytest.raises(ZeroDivisionError):
            broken(MultiThreadedWriter.new_with_shards(tmp_path / "d"))
        assert list(MultiThreadedReader.new_with_shards(tmp_path / "d")) == [b"before"]

    def test_a_failed_write_reaches_the_caller(self, tmp_path: Path):
        folder = tmp_path / "folder"
        folder.mkdir()
        (tmp_path / "file").write_bytes(b"")
        for make in (
            lambda: write(folder, texts(3)),
            lambda: write(tmp_path / "file" / "below", texts(3)),
            lambda: write_shards(tmp_path / "file", texts(3), append=False),
        ):
            with pytest.raises(OSError, match=re.escape(str(tmp_path))):
                make()

    def test_an_unclosed_writer_warns(self, tmp_path: Path):
        code = (
            "import s3dlio, sys; from s3dlio.disky import RecordWriter\n"
            f"w = RecordWriter({str(tmp_path / 'file')!r}); w.write_record(b'x'); del w\n"
            "s3dlio.exists('file:///tmp')\n"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        assert "dropped before it was closed" in ran.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "record", [bytearray(b"ab"), memoryview(b"ab"), np.frombuffer(b"ab", np.uint8), Bytes(b"ab")]
    )
    def test_any_buffer_is_a_record(self, tmp_path: Path, record):
        assert list(RecordReader(write(tmp_path / "file", [record]))) == [b"ab"]

    def test_a_text_is_no_record(self, tmp_path: Path):
        with RecordWriter(tmp_path / "file") as writer:
            for wrong in ("text", 1, None):
                with pytest.raises(TypeError):
                    writer.write_record(wrong)

    @pytest.mark.parametrize("compression", ["gzip", "ZSTD", ""])
    def test_wrong_compression(self, tmp_path: Path, compression):
        for make in (RecordWriter, lambda path, name: MultiThreadedWriter.new_with_shards(path, compression=name)):
            with pytest.raises(OSError, match="Unsupported compression type") as caught:
                make(tmp_path / "file", compression)
            assert isinstance(caught.value, errors.ConfigError)
        assert list(tmp_path.iterdir()) == []

    def test_numbers_that_nothing_works_with(self, tmp_path: Path):
        for name in ("worker_threads", "task_queue_capacity", "max_bytes_per_writer"):
            with pytest.raises(errors.ConfigError, match=name):
                MultiThreadedWriter.new_with_shards(tmp_path, **{name: 0})
        for make in (MultiThreadedReader.new_with_shards, MultiThreadedReader.count_records_with_shards):
            write_shards(tmp_path, texts(1))
            for name in ("worker_threads", "queue_size_mb"):
                with pytest.raises(errors.ConfigError, match=name):
                    make(tmp_path, **{name: 0})
        for make in (MultiThreadedReader, MultiThreadedWriter):
            with pytest.raises(TypeError):
                make()
        with pytest.raises(OverflowError):
            MultiThreadedWriter.new_with_shards(tmp_path, num_shards=-1)


class TestReader:
    def test_what_is_no_file(self, tmp_path: Path):
        with pytest.raises(FileNotFoundError):
            RecordReader(tmp_path / "missing")
        with pytest.raises(FileNotFoundError):
            RecordReader.count_records(tmp_path / "missing")
        (tmp_path / "garbage").write_bytes(b"garbage" * 100)
        reader = RecordReader(tmp_path / "garbage")
        with pytest.raises(OSError, match="garbage"):
            reader.next_record()
        assert list(RecordReader(tmp_path / "garbage", RECOVER)) == []
        with pytest.raises((OSError, errors.S3dlioError), match=re.escape(str(tmp_path))):
            RecordReader(tmp_path)

    def test_a_strategy_is_a_member(self, tmp_path: Path):
        path = write(tmp_path / "file", [])
        with pytest.raises(TypeError):
            RecordReader(path, "RECOVER")
        assert pickle.loads(pickle.dumps([ERROR, RECOVER])) == [ERROR, RECOVER]
        assert len({ERROR, RECOVER, CorruptionStrategy.ERROR}) == 2

    def test_iteration_takes_up_where_the_reader_is(self, tmp_path: Path):
        records = texts(10)
        reader = RecordReader(write(tmp_path / "file", records))
        assert reader.next_record() == records[0]
        assert [next(iter(reader)), *reader] == records[1:]
        reader.close()
        assert [*reader, reader.next_record()] == [None]

    def test_closing_a_reader_changes_nothing(self, tmp_path: Path):
        reader = RecordReader(write(tmp_path / "file", texts(3)))
        reader.close()
        assert list(reader) == texts(3)

    def test_paths_of_every_kind(self, tmp_path: Path, monkeypatch):
        class Path2:
            def __init__(self, text: str) -> None:
                self.text = text

            def joinpath(self, *_: str) -> Path2:
                return self

            def __str__(self) -> str:
                return self.text

        path = tmp_path / "file"
        write(path, texts(3))
        monkeypatch.chdir(tmp_path)
        names = [
            str(path),
            os.fsencode(path),
            path,
            f"file://{path}",
            f"direct://{path}",
            "file",
            Path2(f"file://{path}"),
        ]
        for name in names:
            assert list(RecordReader(name)) == texts(3)
        for wrong in (5, None):
            with pytest.raises(TypeError):
                RecordReader(wrong)
        write("memory://bucket/file", texts(3))
        assert list(RecordReader("memory://bucket/file")) == texts(3)
        write_shards("memory://bucket", texts(3))
        assert list(MultiThreadedReader.new_with_shards("memory://bucket")) == texts(3)

    @pytest.mark.parametrize("compression", [None, "zstd"])
    def test_readers_are_pickled_with_their_place(self, tmp_path: Path, compression):
        records = texts(30_000, 20)
        write(tmp_path / "file", records, compression)
        write_shards(tmp_path, records, num_shards=5, compression=compression)
        for make in (
            lambda: RecordReader(tmp_path / "file", RECOVER),
            lambda: MultiThreadedReader.new_with_shards(tmp_path, num_shards=2, worker_threads=2),
        ):
            for read in (0, 1, 17, 12_345, 29_999, 30_000):
                reader = make()
                for _ in range(read):
                    reader.next_record()
                twin = pickle.loads(pickle.dumps(reader))
                assert list(twin) == list(reader)

    def test_a_writer_is_not_pickled(self, tmp_path: Path):
        with RecordWriter(tmp_path / "file") as writer, pytest.raises(TypeError):
            pickle.dumps(writer)

    def test_a_forked_child_reads_on(self, tmp_path: Path):
        records = texts(30_000, 20)
        write(tmp_path / "file", records)
        write_shards(tmp_path, records, num_shards=3)
        reader = RecordReader(tmp_path / "file")
        shards = MultiThreadedReader.new_with_shards(tmp_path, num_shards=3)
        for number in range(5000):
            assert reader.next_record() == records[number] == shards.next_record()
        child = os.fork()
        if child == 0:
            good = list(reader) == records[5000:] and list(shards) == records[5000:]
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert list(reader) == records[5000:]
        assert list(shards) == records[5000:]

    def test_a_forked_child_does_not_write_the_parents_file(self, tmp_path: Path):
        writers = [RecordWriter(tmp_path / "file"), MultiThreadedWriter.new_with_shards(tmp_path / "d")]
        for writer in writers:
            writer.write_record(b"parent")
        child = os.fork()
        if child == 0:
            refused = 0
            for writer in writers:
                for use in (lambda writer=writer: writer.write_record(b"child"), writer.flush, writer.close):
                    try:
                        use()
                    except errors.ForkedProcessError:
                        refused += 1
            del writer, writers
            os._exit(0 if refused == 6 else 1)
        assert os.waitpid(child, 0)[1] == 0
        for writer in writers:
            writer.close()
        assert list(RecordReader(tmp_path / "file")) == [b"parent"]
        assert list(MultiThreadedReader.new_with_shards(tmp_path / "d")) == [b"parent"]

    def test_threads_share_readers_and_writers(self, tmp_path: Path):
        records = texts(20_000, 5)
        one, many = RecordWriter(tmp_path / "file"), MultiThreadedWriter.new_with_shards(tmp_path, num_shards=3)

        def put(part: int) -> None:
            for record in records[part::4]:
                one.write_record(record)
                many.write_record(record)

        together(put)
        one.close()
        many.close()
        for reader in (RecordReader(tmp_path / "file"), MultiThreadedReader.new_with_shards(tmp_path)):
            taken: list[list[bytes]] = [[] for _ in range(4)]

            def take(part: int, reader=reader, taken=taken) -> None:
                while (record := reader.next_record()) is not None:
                    taken[part].append(bytes(record))

            together(take)
            assert sorted(record for part in taken for record in part) == sorted(records)


def together(work) -> None:
    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


class TestBytes:
    def test_is_what_readers_return(self, tmp_path: Path):
        record = RecordReader(write(tmp_path / "file", [b"a\"b'\x00\xff"])).next_record()
        assert isinstance(record, disky.Bytes)
        assert isinstance(record, s3dlio.BytesView)
        assert repr(record) == 'Bytes(b"a\\"b\'\\x00\\xff")'
        assert record.to_bytes() == b"a\"b'\x00\xff"
        assert repr(Bytes()) == 'Bytes(b"")'
        assert Bytes(bytearray(b"xy")) == b"xy"

    def test_works_like_bytes(self):
        record = Bytes(b"Hello, World")
        plain = b"Hello, World"
        assert (len(record), bool(record), bool(Bytes()), list(record)) == (12, True, False, list(plain))
        assert (record[0], record[-1]) == (plain[0], plain[-1])
        for part in (slice(2, 5), slice(None, None, -2), slice(50, 60), slice(-3, None)):
            assert record[part] == plain[part]
            assert type(record[part]) is Bytes
        with pytest.raises(IndexError):
            record[12]
        assert (record == plain, record != plain, record == "Hello, World", plain == record) == (
            True,
            False,
            False,
            True,
        )
        assert record < b"I"
        assert record >= plain
        assert hash(record) == hash(plain)
        assert {record: 1}[plain] == 1
        assert b"World" in record
        assert b"" in record
        assert 72 in record
        assert (record + b"!", b"!" + record, record * 2, 2 * record) == (
            plain + b"!",
            b"!" + plain,
            plain * 2,
            plain * 2,
        )
        assert (record.decode(), record.find(b"W"), record.split(b", ")) == (plain.decode(), 7, [b"Hello", b"World"])
        assert bytes(memoryview(record)) == plain
        assert memoryview(record).readonly
        assert np.frombuffer(record, np.uint8).tolist() == list(plain)
        assert hashlib.sha256(record).digest() == hashlib.sha256(plain).digest()
        assert (str(record, "utf-8"), re.match(b"Hel", record) is not None) == ("Hello, World", True)
        assert json.loads(Bytes(b"[1]").decode()) == [1]
        names = ["isalnum", "isalpha", "isascii", "isdigit", "islower", "isspace", "isupper", "lower", "upper"]
        for text in (b"", b"aB", b"12", b" ", b"AB", b"ab", b"\xff"):
            for name in names:
                assert getattr(Bytes(text), name)() == getattr(text, name)()
        assert (record.removeprefix(b"Hello"), record.removesuffix(b"d")) == (b", World", b"Hello, Worl")

    def test_travels(self):
        record = Bytes(b"abc")
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            twin = pickle.loads(pickle.dumps(record, protocol))
            assert (twin, type(twin)) == (record, Bytes)
        assert copy.copy(record) == copy.deepcopy(record) == record


class TestLogLevel:
    def test_takes_effect(self, tmp_path: Path):
        path = tmp_path / "file"
        write(path, texts(3))
        with path.open("ab") as file:
            file.write(b"garbage")
        code = (
            "import sys; from s3dlio import disky\n"
            "disky.set_log_level(sys.argv[2])\n"
            "print(len(list(disky.RecordReader(sys.argv[1], disky.CorruptionStrategy.RECOVER))))\n"
        )
        for level, logged in {"warn": True, "WARNING": True, "error": False, "off": False}.items():
            command = [sys.executable, "-c", code, str(path), level]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            assert ran.stdout == "3\n"
            assert ("passed over" in ran.stderr) == logged, ran.stderr

    def test_an_unknown_level(self):
        with pytest.raises(OSError, match="loud") as caught:
            disky.set_log_level("loud")
        assert isinstance(caught.value, ValueError)


class TestOverANetwork:
    def test_reading_costs_few_requests(self, testkit):
        uri = f"{testkit.bucket()}/file"
        records = texts(60_000, 20)
        write(uri, records)
        size = s3dlio.stat(uri)["size"]
        assert size > 20 << 20
        testkit.reset()
        assert list(RecordReader(uri)) == records
        assert testkit.counts()["requests"] <= 1 + -(-size // (4 << 20))
        testkit.reset()
        write(uri, records[:10])
        assert testkit.counts()["requests"] == 1
        testkit.reset()
        assert RecordReader.count_records(uri) == 10
        assert testkit.counts()["requests"] == 2

    def test_shards(self, testkit):
        bucket = testkit.bucket()
        records = texts(1000)
        write_shards(f"{bucket}/data", records, num_shards=4)
        write_shards(f"{bucket}/data", records, num_shards=2)
        assert len(s3dlio.list(f"{bucket}/data/")) == 6
        testkit.reset()
        with MultiThreadedReader.new_with_shards(f"{bucket}/data", num_shards=4) as reader:
            found = [bytes(record) for record in reader]
        assert sorted(found) == sorted(records * 2)
        assert testkit.counts()["requests"] == 1 + 6 * 2

    def test_a_reader_goes_on_in_a_child(self, testkit):
        bucket = testkit.bucket()
        records = texts(1000)
        write(f"{bucket}/file", records)
        write_shards(f"{bucket}/data", records)
        readers = [RecordReader(f"{bucket}/file"), MultiThreadedReader.new_with_shards(f"{bucket}/data")]
        for reader in readers:
            assert [reader.next_record() for _ in range(10)] == records[:10]
        child = os.fork()
        if child == 0:
            os._exit(0 if all(list(reader) == records[10:] for reader in readers) else 1)
        assert os.waitpid(child, 0)[1] == 0
        for reader in readers:
            assert list(reader) == records[10:]

    def test_damage_in_a_large_object(self, testkit, tmp_path: Path):
        uri = f"{testkit.bucket()}/file"
        records = texts(60_000, 20)
        content = bytearray(Path(write(tmp_path / "file", records)).read_bytes())
        for at in (3 << 20, 9 << 20, 17 << 20):
            content[at : at + 40] = bytes(40)
        (tmp_path / "file").write_bytes(content)
        s3dlio.put(uri, bytes(content))
        assert [bytes(record) for record in RecordReader(uri, RECOVER)] == [
            bytes(record) for record in RecordReader(tmp_path / "file", RECOVER)
        ]
        before, error = until_error(RecordReader(uri))
        assert before == records[: len(before)]
        assert isinstance(error, errors.CorruptDataError)
        assert error.uri == uri
