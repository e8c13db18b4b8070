"""Every example of the published ArrayRecord document, as written there, and what programs for that package rely on.

The package itself is installed too, for exchange with it, so that its names stand for ours only in here.
"""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from s3dlio import array_record

DOCUMENT = Path(__file__).with_name("array_record_api.rst").read_text()


@pytest.fixture(autouse=True)
def package(monkeypatch):
    """Let the package's names mean our modules."""
    names = {
        "array_record": ModuleType("array_record"),
        "array_record.python": ModuleType("array_record.python"),
        "array_record.python.array_record_module": array_record.array_record_module,
        "array_record.python.array_record_data_source": array_record.array_record_data_source,
    }
    for name, module in names.items():
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            monkeypatch.setattr(names[parent], child, module, raising=False)


def examples() -> list[str]:
    """Return the code of each example."""
    blocks = re.findall(r"^( *)\.\. code-block:: python\n\n((?:\1 +[^\n]*\n|\s*\n)+)", DOCUMENT, re.MULTILINE)
    return [textwrap.dedent(code) for _, code in blocks]


EXAMPLES = examples()


def write(name: str, count: int) -> list[bytes]:
    records = [b"record %d" % number for number in range(count)]
    with array_record.ArrayRecordWriter(name) as writer:
        for record in records:
            writer.write(record)
    return records


def run(code: str) -> tuple[dict, str]:
    names: dict = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)  # noqa: S102 - the point of these tests
    return names, printed.getvalue()


def example(words: str) -> str:
    (found,) = [code for code in EXAMPLES if words in code]
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_document_has_its_examples():
    assert len(EXAMPLES) == 7


def test_writer():
    run(example("compressed.array_record"))
    reader = array_record.ArrayRecordReader("output.array_record")
    assert reader.read_all() == [b"Hello, World!"]


def test_reader():
    records = write("input.array_record", 3)
    names, printed = run(example("reader.read_record()"))
    assert printed == "Total records: 3\n" + "".join(f"Record: {record}\n" for record in records)
    assert names["reader"].read([2, 0]) == [records[2], records[0]]


def test_data_source():
    records = write("data.array_record", 200)
    write("part-00000.array_record", 3)
    write("part-00001.array_record", 4)
    names, printed = run(example("data_source[[0, 10, 100]]"))
    assert printed == "Total records: 200\n"
    assert names["first_record"] == records[0]
    assert names["batch"] == [records[0], records[10], records[100]]
    assert names["records"] == records[:10]
    assert len(names["data_source"]) == 200
    many = array_record.ArrayRecordDataSource(names["files"])
    assert (len(many), many[3]) == (7, b"record 0")


def test_file_instruction():
    records = write("large_file.array_record", 3000)
    # Taken for granted from the examples before it.
    given = "from array_record.python import array_record_data_source\n"
    names, _ = run(given + example("FileInstruction("))
    assert len(names["data_source"]) == 1000
    assert names["data_source"][0] == records[1000]
    assert names["data_source"][999] == records[1999]


def test_error_handling():
    code = "from array_record.python import array_record_data_source\n" + example("nonexistent.array_record")
    _, printed = run(code)
    assert printed.startswith("Error opening file: ")
    assert "nonexistent.array_record" in printed


@pytest.mark.parametrize("size", ["64MB", "'0'"])
def test_performance_tips(size):
    records = write("data.array_record", 50)
    names, _ = run(example(size) if size == "64MB" else [code for code in EXAMPLES if size in code][-1])
    source = array_record.ArrayRecordDataSource("data.array_record", reader_options=names["reader_options"])
    assert source[[49, 0]] == [records[49], records[0]]


class TestProgramsOfThePackage:
    """What programs written for the package do with it."""

    def test_writer_and_reader_states(self):
        from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

        writer = ArrayRecordWriter("file", "group_size:2,zstd:1", unknown_keyword=1)
        assert writer.ok()
        assert writer.is_open()
        assert writer.write(b"one") is None
        for wrong in ("text", 1, None):
            with pytest.raises(TypeError):
                writer.write(wrong)
        writer.close()
        writer.close()
        assert not writer.ok()
        assert not writer.is_open()
        with pytest.raises(RuntimeError):
            writer.write(b"two")
        reader = ArrayRecordReader("file", file_reader_buffer_size=1 << 16)
        assert (reader.ok(), reader.is_open(), reader.num_records(), reader.record_index()) == (True, True, 1, 0)
        assert reader.writer_options_string().startswith("group_size:2,")
        reader.close()
        assert (reader.ok(), reader.num_records(), reader.record_index()) == (False, 0, 0)
        assert reader.writer_options_string().startswith("group_size:2,")
        with pytest.raises(RuntimeError):
            reader.read()

    @pytest.mark.parametrize(
        "options", ["blah", "zstd:23", "group_size:0", "group_size:1,group_size:2", "brotli,zstd", "zstd,default",
                    "window_log:9", "transpose:maybe", "readahead_buffer_size:1"],
    )  # fmt: skip
    def test_wrong_options(self, options):
        from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

        with pytest.raises(ValueError):
            ArrayRecordWriter("file", options)
        assert not Path("file").exists()
        write("file", 1)
        with pytest.raises(ValueError):
            ArrayRecordReader("file", "group_size:1")

    def test_reading(self):
        from array_record.python.array_record_module import ArrayRecordReader

        records = write("file", 5)
        reader = ArrayRecordReader("file")
        assert [reader.read() for _ in range(5)] == records
        with pytest.raises(IndexError):
            reader.read()
        assert reader.ok()
        reader.seek(3)
        assert (reader.record_index(), reader.read()) == (3, records[3])
        reader.seek(100)
        assert reader.record_index() == 5
        reader.seek(-1)
        assert reader.record_index() == 5
        for indices in ([4, 0, 4], (1, 2), range(2), np.array([3, 1]), [np.int64(2), True]):
            assert reader.read(indices) == [records[int(index)] for index in indices]
        assert reader.read([]) == []
        assert reader.read(1, 3) == records[1:3]
        assert reader.read(-2, 5) == records[-2:]
        assert reader.read(0, -1) == records[:-1]
        for begin, end in [(2, 2), (-5, 0), (0, 6), (3, 1), (-6, 2)]:
            with pytest.raises(IndexError):
                reader.read(begin, end)
        for wrong in ({1}, "12", [1.5], [-1], [1 << 64], 1):
            with pytest.raises(TypeError):
                reader.read(wrong)
        with pytest.raises(RuntimeError):
            reader.read([5])
        assert reader.read_all() == records
        with pytest.raises(TypeError):
            reader.seek(1.5)

    def test_a_missing_file(self):
        from array_record.python.array_record_data_source import ArrayRecordDataSource
        from array_record.python.array_record_module import ArrayRecordReader

        reader = ArrayRecordReader("missing")
        assert (reader.ok(), reader.is_open(), reader.num_records()) == (False, True, 0)
        for call in (reader.read, reader.read_all):
            with pytest.raises(RuntimeError):
                call()
        with pytest.raises(RuntimeError):
            reader.close()
        reader.close()
        with pytest.raises(RuntimeError):
            ArrayRecordDataSource("missing")

    def test_source(self):
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        first, second = write("first", 7), write("second", 4)
        write("empty", 0)
        source = ArrayRecordDataSource(["first", Path("empty"), "second", "first[2:4]"])
        records = [*first, *second, *first[2:4]]
        assert len(source) == 13
        assert list(source) == records
        assert list(reversed(source)) == records[::-1]
        assert records[8] in source
        assert source[np.int32(8)] == records[8]
        assert source.__getitems__([12, 0, 0, 7]) == [records[12], records[0], records[0], records[7]]
        assert source.__getitems__(np.arange(13)) == records
        for wrong in (13, -14):
            # ValueError as in the package, IndexError so that the sequence protocol works.
            with pytest.raises(ValueError):
                source[wrong]
            with pytest.raises(IndexError):
                source.__getitems__([0, wrong])
        for same in (pickle.loads(pickle.dumps(source)), copy.copy(source), copy.deepcopy(source)):
            assert list(same) == records
            assert repr(same) == repr(source)
        assert re.fullmatch(r"ArrayRecordDataSource\(hash_of_paths=[0-9a-f]{40}\)", repr(source))
        with source as entered:
            assert entered[0] == records[0]
        assert source[12] == records[12]
        assert not ArrayRecordDataSource("empty")

    @pytest.mark.parametrize("paths", [[], None, 3, {"first"}, b"first"])
    def test_wrong_paths(self, paths):
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        with pytest.raises(ValueError):
            ArrayRecordDataSource(paths)

    def test_anything_like_a_file_instruction(self):
        from array_record.python.array_record_data_source import ArrayRecordDataSource, FileInstruction

        class Shard:
            filename, skip, take, examples_in_shard = "file", 2, 3, 10

        records = write("file", 10)
        source = ArrayRecordDataSource([Shard(), FileInstruction("file", 9, 1)])
        assert list(source) == [*records[2:5], records[9]]
        missing = ArrayRecordDataSource(FileInstruction("missing", 0, 5))
        assert len(missing) == 5
        with pytest.raises(RuntimeError):
            missing[0]

    def test_reader_options(self):
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        records = write("file", 10)
        for options in (
            {"readahead_buffer_size": "0", "max_parallelism": "0"},
            {"index_storage_option": "offloaded"},
            {"index_storage_option": "in_memory", "readahead_buffer_size": "16M"},
        ):
            assert list(ArrayRecordDataSource("file", options)) == records


GRAIN = """
    import sys
    from types import ModuleType
    from s3dlio import array_record

    sys.modules["array_record"] = package = ModuleType("array_record")
    sys.modules["array_record.python"] = package.python = ModuleType("array_record.python")
    for name in ("array_record_module", "array_record_data_source"):
        sys.modules[f"array_record.python.{name}"] = module = getattr(array_record, name)
        setattr(package.python, name, module)

    import grain

    source = grain.sources.ArrayRecordDataSource(sys.argv[1])
    assert isinstance(source, array_record.ArrayRecordDataSource)
    data = grain.MapDataset.source(source).shuffle(seed=1).map(len).batch(10)
    assert sorted(int(one) for batch in data for one in batch) == list(range(100))
    print("done")
"""


def test_grains_own_source_is_ours(folder):
    with array_record.ArrayRecordWriter("file", "group_size:7") as writer:
        for number in range(100):
            writer.write(bytes(number))
    command = [sys.executable, "-c", textwrap.dedent(GRAIN), str(folder / "file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
