"""ArrayRecord files: writing, reading in order and at random, many files as one, damage."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from s3dlio import errors
from s3dlio.array_record import (
    ArrayRecordDataSource,
    ArrayRecordReader,
    ArrayRecordWriter,
    FileInstruction,
    array_record_data_source,
    array_record_module,
)

from tests.fixtures import golden
from tests.fixtures.programs import run

FILES = golden.manifest("array_record")["files"]
BAD = golden.manifest("array_record")["bad_files"]


def write(path: object, records: list[bytes], options: str = "") -> str:
    with ArrayRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def texts(count: int, size: int = 0) -> list[bytes]:
    return [b"record-%d|" % number * (1 + size * (number % 7)) for number in range(count)]


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path / "a.array_record", texts(100), "group_size:7")


@pytest.mark.parametrize("entry", FILES, ids=lambda entry: entry["name"])
def test_golden_files_are_read(tmp_path: Path, entry):
    path = tmp_path / "file"
    path.write_bytes(golden.array_record(entry))
    with ArrayRecordReader(str(path)) as reader:
        records = list(reader)
        assert len(records) == reader.num_records() == entry["num_records"]
        assert golden.digest(records) == entry["records_sha256"]
        assert reader.read_all() == records
        assert reader.writer_options_string() == entry["writer_options_string"]
    if entry["num_records"]:
        order = np.random.default_rng(1).permutation(entry["num_records"])[:50]
        source = ArrayRecordDataSource(str(path))
        assert source.__getitems__(order) == [source[index] for index in order] == [records[index] for index in order]


def rewritten() -> list[dict]:
    return [entry for entry in FILES if entry["recipe"] and "uncompressed" in (entry["options"] or "")
            and "transpose" not in entry["options"] and entry["producer"] == "array_record 0.8.6"]  # fmt: skip


@pytest.mark.parametrize("entry", rewritten(), ids=lambda entry: entry["name"])
def test_uncompressed_golden_files_are_written_byte_by_byte(tmp_path: Path, entry):
    # The reference puts one record into a group where the options do not say.
    options = entry["options"]
    options = options if "group_size" in options else f"group_size:1,{options}"
    path = write(tmp_path / "file", golden.recipe(entry["recipe"]), options)
    assert Path(path).read_bytes() == golden.array_record(entry)


def test_there_are_files_to_rewrite():
    assert len(rewritten()) >= 20


@pytest.mark.parametrize("entry", BAD, ids=lambda entry: entry["name"])
def test_damaged_files_raise_and_name_the_place(tmp_path: Path, entry):
    path = tmp_path / "file"
    path.write_bytes(golden.array_record(entry))
    required = entry["required"]
    reader = ArrayRecordReader(str(path))
    if required.startswith("error on open") and "or read" not in required:
        assert not reader.ok()
        assert reader.num_records() == 0
        with pytest.raises(errors.CorruptDataError, match="file://"):
            reader.read_all()
        with pytest.raises(errors.CorruptDataError):
            ArrayRecordDataSource(str(path))
        return
    if required.startswith(("error", "an error")):
        with pytest.raises(errors.CorruptDataError) as caught:
            reader.read_all()
        assert caught.value.uri == f"file://{path}"
        return
    records = golden.recipe(entry["recipe"]) if entry["recipe"] else None
    found = reader.read_all()
    assert len(found) == entry["num_records_valid"]
    assert records is None or found == records


def test_damage_leaves_other_chunks_readable(tmp_path: Path):
    entry = next(entry for entry in BAD if entry["name"] == "edit_chunk_data")
    path = tmp_path / "file"
    path.write_bytes(golden.array_record(entry))
    source = ArrayRecordDataSource(str(path))
    with pytest.raises(errors.CorruptDataError) as caught:
        source[1]
    assert caught.value.record == 0
    assert caught.value.offset == 64
    whole = ArrayRecordDataSource(str(_whole(tmp_path, entry["base"])))
    assert source[2:] == whole[2:]
    reader = ArrayRecordReader(str(path))
    for _ in range(2):
        with pytest.raises(errors.CorruptDataError):
            reader.read()
    reader.seek(2)
    assert list(reader) == whole[2:]


def _whole(folder: Path, name: str) -> Path:
    entry = next(entry for entry in FILES if entry["name"] == name)
    path = folder / "whole"
    path.write_bytes(golden.array_record(entry))
    return path


@pytest.mark.parametrize(
    "options",
    ["", "uncompressed", "brotli:1", "zstd:1,window_log:24", "snappy", "transpose", "transpose,uncompressed",
     "transpose:true,brotli:3,transpose_bucket_size:64K", "pad_to_block_boundary", "max_parallelism:1",
     "default,max_parallelism:3,saturation_delay_ms:5"],
)  # fmt: skip
@pytest.mark.parametrize("group", [1, 3, 1000])
def test_what_is_written_is_read(tmp_path: Path, options, group):
    records = [*texts(500, 30), b"", os.urandom(200_000), b"x"]
    separator = "," if options else ""
    path = write(tmp_path / "file", records, f"{options}{separator}group_size:{group}")
    source = ArrayRecordDataSource(path)
    assert len(source) == len(records)
    assert list(source) == records
    assert [source[index] for index in (0, 17, -1, -3)] == [records[0], records[17], records[-1], records[-3]]
    assert source[[5, 5, 499, 501]] == [records[index] for index in (5, 5, 499, 501)]
    assert source[::100] == records[::100]
    assert list(ArrayRecordReader(path, "readahead_buffer_size:0,max_parallelism:0")) == records
    assert list(ArrayRecordReader(path, "max_parallelism:0")) == records
    assert list(ArrayRecordReader(path, "index_storage_option:offloaded")) == records


def test_large_records_close_the_first_group_early(tmp_path: Path):
    path = write(tmp_path / "file", [bytes([number]) * (5 << 20) for number in range(10)])
    reader = ArrayRecordReader(path)
    assert reader.writer_options_string().startswith("group_size:4,")
    assert [record[0] for record in reader] == list(range(10))


def test_small_records_fill_groups_of_65536(tmp_path: Path):
    path = write(tmp_path / "file", [b"x"] * 70_000)
    assert ArrayRecordReader(path).writer_options_string().startswith("group_size:65536,")
    assert ArrayRecordReader(path).num_records() == 70_000


def test_a_file_appears_when_it_is_closed(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    writer = ArrayRecordWriter(str(path))
    writer.write(b"record")
    assert writer.ok()
    assert writer.is_open()
    assert path.read_bytes() == b"before"
    writer.close()
    writer.close()
    assert not writer.ok()
    assert not writer.is_open()
    with pytest.raises(RuntimeError, match="closed"):
        writer.write(b"more")
    assert ArrayRecordReader(str(path)).read_all() == [b"record"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("options", ["group_size:1,uncompressed", "zstd"])
def test_a_path_that_cannot_be_written_is_told_at_once(tmp_path: Path, options):
    file = tmp_path / "file"
    file.write_bytes(b"before")
    for path in (tmp_path, file / "x"):
        writer = ArrayRecordWriter(str(path), options)
        assert (writer.ok(), writer.is_open()) == (False, True)
        found = []
        for call in (lambda: writer.write(b"record"), writer.close, writer.close):  # noqa: B023
            with pytest.raises(RuntimeError, match="directory") as caught:
                call()
            found.append(str(caught.value))
        assert len(set(found)) == 1
        assert not writer.is_open()
    assert file.read_bytes() == b"before"


def test_an_exception_gives_the_file_up(tmp_path: Path):
    def broken() -> None:
        with ArrayRecordWriter(str(tmp_path / "file")) as writer:
            writers.append(writer)
            for record in texts(2000, 100):
                writer.write(record)
            raise ZeroDivisionError

    writers: list[ArrayRecordWriter] = []
    with pytest.raises(ZeroDivisionError):
        broken()
    assert not writers.pop().ok()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("record", [bytearray(b"ab"), memoryview(b"ab"), np.frombuffer(b"ab", np.uint8)])
def test_any_buffer_is_a_record(tmp_path: Path, record):
    assert ArrayRecordReader(write(tmp_path / "file", [record])).read() == b"ab"


def test_a_text_is_no_record(tmp_path: Path):
    writer = ArrayRecordWriter(str(tmp_path / "file"))
    for wrong in ("text", 1, None):
        with pytest.raises(TypeError):
            writer.write(wrong)
    with pytest.raises(TypeError):
        ArrayRecordWriter(str(tmp_path / "file"), None)


@pytest.mark.parametrize(
    "options",
    ["blah", "group_size:0", "group_size", "group_size:1,group_size:1", "zstd:23", "brotli:12", "snappy:3",
     "zstd,brotli", "uncompressed:1", "window_log:9", "snappy,window_log:20", "group_size:1,default", "transpose:yes",
     "max_parallelism:0", "transpose_bucket_size:0", "group_size:1x"],
)  # fmt: skip
def test_wrong_options_raise_at_once(tmp_path: Path, options):
    with pytest.raises(ValueError, match="option"):
        ArrayRecordWriter(str(tmp_path / "file"), options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", ["group_size:1", "default", "readahead_buffer_size:2G", "max_parallelism:-1"])
def test_wrong_reader_options(file, options):
    with pytest.raises(ValueError, match="option"):
        ArrayRecordReader(file, options)


@pytest.mark.parametrize("size", ["16MB", "16M", "0", "1.5k", "auto", "64KB"])
def test_sizes_may_be_spelt_as_documented(file, size):
    source = ArrayRecordDataSource(file, {"readahead_buffer_size": size, "max_parallelism": "4"})
    assert source[99] == texts(100)[99]


def test_reading_in_order(file):
    reader = ArrayRecordReader(file)
    assert reader.ok()
    assert [reader.record_index(), reader.read(), reader.record_index()] == [0, b"record-0|", 1]
    reader.seek(98)
    assert [reader.read_record() for _ in range(4)] == [b"record-98|", b"record-99|", None, None]
    with pytest.raises(IndexError, match="100"):
        reader.read()
    assert reader.ok()
    reader.seek(1000)
    assert reader.record_index() == 100
    reader.seek(-1)
    assert reader.record_index() == 100
    reader.seek(0)
    assert b"".join(reader) == b"".join(texts(100))
    with pytest.raises(TypeError):
        reader.seek(1.5)


def test_reading_by_index(file):
    reader = ArrayRecordReader(file)
    records = texts(100)
    for indices in ([3, 1, 3], (3, 1, 3), np.array([3, 1, 3])):
        assert reader.read(indices) == [records[3], records[1], records[3]]
    assert reader.read(range(5)) == records[:5]
    assert reader.read([]) == []
    assert reader.read([True, np.int64(2)]) == [records[1], records[2]]
    assert reader.read(2, 5) == records[2:5]
    assert reader.read(-5, -1) == records[-5:-1]
    assert reader.record_index() == 0
    for wrong in ({1}, (number for number in (1, 2)), "12", [1.5], [-1], [2**64], 1, None, b"1"):
        with pytest.raises(TypeError):
            reader.read(wrong)
    with pytest.raises(RuntimeError, match="100"):
        reader.read([5, 100])
    for begin, end in [(0, 101), (2, 2), (5, 2), (-101, 5), (-5, 0)]:
        with pytest.raises(IndexError):
            reader.read(begin, end)


def test_a_reader_is_true_and_its_place_an_integer(file, tmp_path: Path):
    assert bool(ArrayRecordReader(file))
    assert bool(ArrayRecordReader(str(tmp_path / "missing")))
    with pytest.raises(TypeError, match="64 bits"):
        ArrayRecordReader(file).seek(2**63)


def test_a_missing_file_raises_when_it_is_used(tmp_path: Path):
    reader = ArrayRecordReader(str(tmp_path / "missing"))
    assert not reader.ok()
    assert reader.is_open()
    assert reader.num_records() == 0
    for use in (reader.read, reader.read_all, lambda: reader.seek(0)):
        with pytest.raises((RuntimeError, OSError), match="missing"):
            use()
    with pytest.raises(errors.NotFoundError):
        reader.close()
    reader.close()
    with pytest.raises(FileNotFoundError):
        ArrayRecordDataSource(str(tmp_path / "missing"))


def test_a_closed_reader(file):
    reader = ArrayRecordReader(file)
    text = reader.writer_options_string()
    reader.close()
    assert (reader.ok(), reader.is_open(), reader.num_records(), reader.record_index()) == (False, False, 0, 0)
    assert reader.writer_options_string() == text
    with pytest.raises(RuntimeError, match="closed"):
        reader.read()


def test_paths_of_every_kind(tmp_path: Path, monkeypatch):
    records = texts(3)
    path = tmp_path / "file"
    write(path, records)
    monkeypatch.chdir(tmp_path)
    for name in (str(path), os.fsencode(path), path, f"file://{path}", f"direct://{path}", "file", "./file"):
        assert ArrayRecordReader(name).read_all() == records
    with pytest.raises(TypeError):
        ArrayRecordReader(5)
    memory = "memory://bucket/file"
    write(memory, records)
    assert ArrayRecordDataSource(memory)[:] == records


def shards(folder: Path, count: int) -> list[bytes]:
    for number in range(count):
        write(folder / f"part-{number:05}-of-{count:05}", [b"%d-%d" % (number, at) for at in range(number + 2)])
    return [b"%d-%d" % (number, at) for number in range(count) for at in range(number + 2)]


def test_many_files_are_one_sequence(tmp_path: Path):
    tmp_path = tmp_path / "in" / "it"
    tmp_path.mkdir(parents=True)
    records = shards(tmp_path, 4)
    paths = sorted(tmp_path.iterdir())
    everything = [
        paths,
        [str(path) for path in paths],
        str(tmp_path / "part-*"),
        str(tmp_path / "part@*"),
        str(tmp_path / "part@4"),
        f"file://{tmp_path}/part@4",
        f"file://{tmp_path}/part-0000?-of-*",
        f"file://{tmp_path.parent}/*/part-*",
        str(tmp_path / "**" / "part-*"),
    ]
    for written in everything:
        source = ArrayRecordDataSource(written)
        assert len(source) == len(records)
        assert list(source) == records
        assert source[[13, 0, 7]] == [records[13], records[0], records[7]]
    (tmp_path / "part-00002-of-00004").unlink()
    with pytest.raises(errors.NotFoundError, match="shard 2 of 4"):
        ArrayRecordDataSource(str(tmp_path / "part@*"))
    with pytest.raises(errors.NotFoundError):
        ArrayRecordDataSource(str(tmp_path / "none-*"))


def test_ranges_of_files(file, tmp_path: Path):
    records = texts(100)
    instruction = FileInstruction(filename=file, start=10, num_records=5)
    assert (instruction.skip, instruction.take, instruction.examples_in_shard) == (10, 5, 100)

    class Like:
        filename, skip, take, examples_in_shard = Path(file), 90, 10, 100

    source = ArrayRecordDataSource([instruction, f"{file}[3:5]", Like()])
    assert list(source) == [*records[10:15], *records[3:5], *records[90:]]
    # A range does not open the file before it is read.
    later = ArrayRecordDataSource(f"{tmp_path}/later[0:2]")
    assert len(later) == 2
    with pytest.raises(errors.NotFoundError):
        later[0]
    with pytest.raises(IndexError):
        ArrayRecordDataSource(f"{file}[90:101]")[0]
    with pytest.raises(ValueError, match="end"):
        ArrayRecordDataSource(f"{file}[5:3]")
    with pytest.raises(ValueError, match="start"):
        FileInstruction(file, -1, 5)


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path):
    path = write(tmp_path / "part[1:2]", texts(3))
    assert len(ArrayRecordDataSource(path)) == 3
    assert len(ArrayRecordDataSource(Path(path))) == 3
    assert ArrayRecordDataSource(Path(f"{path}[1:3]"))[:] == texts(3)[1:3]


def test_a_relative_pattern_is_one_of_this_folder(tmp_path: Path, monkeypatch):
    write(tmp_path / "a-1", texts(3))
    monkeypatch.chdir(tmp_path)
    for path in ("a-*", "file://a-*", "file://./a-*", "direct://a-*"):
        assert ArrayRecordDataSource(path)[:] == texts(3), path


@pytest.mark.parametrize("paths", [[], None, 5, {"a"}, b"a", (path for path in "a"), [None]])
def test_paths_that_are_none(paths):
    with pytest.raises(ValueError, match="paths"):
        ArrayRecordDataSource(paths)


def test_keys_of_a_source(file):
    source = ArrayRecordDataSource(file)
    records = texts(100)
    for huge in (2**63, -(2**70)):
        with pytest.raises(ValueError, match=f"record {huge} .* expected one of 100"):
            source[huge]
    assert source[np.int64(3)] == source[np.array(3)] == source[3] == records[3]
    assert source[True] == records[1]
    assert source[5:2:-1] == records[5:2:-1]
    assert list(reversed(source)) == records[::-1]
    assert records[42] in source
    assert source.__getitems__([]) == []
    for wrong in (100, -101, [0, 100], [-101]):
        with pytest.raises(ValueError, match="100") as caught:
            source[wrong]
        assert isinstance(caught.value, IndexError)
    for wrong in ("a", 1.5, None, {1}, [1.5]):
        with pytest.raises(TypeError):
            source[wrong]


def test_a_source_survives_pickling_and_closing(file):
    source = ArrayRecordDataSource([file, f"{file}[3:5]"], {"max_parallelism": "2"})
    records = [*texts(100), *texts(100)[3:5]]
    for twin in (pickle.loads(pickle.dumps(source)), copy.copy(source), copy.deepcopy(source)):
        assert list(twin) == records
        assert repr(twin) == repr(source)
    assert repr(source).startswith("ArrayRecordDataSource(hash_of_paths=")
    with source as same:
        assert same[0] == records[0]
    assert source[101] == records[101]


def test_a_reader_is_pickled_with_its_place(file):
    reader = ArrayRecordReader(file, "max_parallelism:0")
    reader.seek(40)
    assert pickle.loads(pickle.dumps(reader)).read() == reader.read()
    with pytest.raises(TypeError):
        pickle.dumps(ArrayRecordWriter(file + "2"))


def test_a_forked_child_reads_on(file):
    reader, source = ArrayRecordReader(file), ArrayRecordDataSource(file)
    records = texts(100)
    assert (reader.read(), source[50]) == (records[0], records[50])
    child = os.fork()
    if child == 0:
        good = list(reader) == records[1:] and source[:] == records
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert list(reader) == records[1:]


def test_a_forked_child_does_not_write_the_parents_file(tmp_path: Path):
    writer = ArrayRecordWriter(str(tmp_path / "file"))
    writer.write(b"parent")
    child = os.fork()
    if child == 0:
        try:
            writer.write(b"child")
        except errors.ForkedProcessError:
            del writer
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    writer.close()
    assert ArrayRecordReader(str(tmp_path / "file")).read_all() == [b"parent"]


def test_threads_share_a_reader_and_a_source(tmp_path: Path):
    records = texts(5000, 5)
    path = write(tmp_path / "file", records, "group_size:100")
    reader, source = ArrayRecordReader(path), ArrayRecordDataSource(path)
    taken: list[list[bytes]] = [[] for _ in range(4)]
    wrong: list[int] = []

    def work(number: int) -> None:
        while (record := reader.read_record()) is not None:
            taken[number].append(record)
        for index in range(number, 5000, 97):
            if source[index] != records[index]:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert sorted(record for part in taken for record in part) == sorted(records)


@pytest.mark.parametrize("options", ["group_size:10", "group_size:1,uncompressed", "group_size:100,uncompressed"])
def test_threads_share_a_writer(tmp_path: Path, options):
    records = [[b"%d %d." % (number, at) * 600 for at in range(2500)] for number in range(4)]
    writer = ArrayRecordWriter(str(tmp_path / "file"), options)
    threads = [threading.Thread(target=lambda part=part: [writer.write(record) for record in part]) for part in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    writer.close()
    found = ArrayRecordReader(str(tmp_path / "file")).read_all()
    assert len(found) == 4 * 2500
    for number, part in enumerate(records):
        assert [record for record in found if record.startswith(b"%d " % number)] == part


ALL_AT_ONCE = """
import resource, sys
from s3dlio.array_record import ArrayRecordReader
reader = ArrayRecordReader(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
records = reader.read_all()
print(sum(map(len, records)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_all_records_are_in_memory_once(tmp_path: Path):
    path = write(tmp_path / "file", [os.urandom(100_000)] * 1000, "group_size:1,uncompressed")
    total, kibibytes = map(int, run(ALL_AT_ONCE, path).split())
    assert total == 100_000_000
    assert kibibytes << 10 < 1.4 * total


def test_names_of_the_reference():
    assert array_record_module.ArrayRecordReader is ArrayRecordReader
    assert array_record_module.ArrayRecordWriter is ArrayRecordWriter
    assert array_record_data_source.ArrayRecordDataSource is ArrayRecordDataSource
    assert array_record_data_source.FileInstruction is FileInstruction
