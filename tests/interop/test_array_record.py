"""ArrayRecord files exchanged with the reference implementation, and our source under Grain and torch."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from array_record.python import array_record_module as reference
from s3dlio.array_record import ArrayRecordDataSource, ArrayRecordReader, ArrayRecordWriter

from tests.fixtures import golden

OPTIONS = [
    *(f"{codec},group_size:{group}{extra}"
      for codec in ("uncompressed", "zstd", "zstd:-5", "zstd:19,window_log:22", "brotli:1", "brotli:6,window_log:26",
                    "snappy", "snappy:2")
      for group in (1, 3, 1000)
      for extra in ("", ",transpose", ",pad_to_block_boundary:true")),
    "default,group_size:2,max_parallelism:3,saturation_delay_ms:20",
    "transpose:true,transpose_bucket_size:4K,group_size:50",
]  # fmt: skip


def records() -> list[bytes]:
    """Return messages, which a transposed chunk splits into columns, and what is none."""
    entry = next(entry for entry in golden.manifest("array_record")["files"]
                 if entry["recipe"] and entry["recipe"]["kind"] in {"proto", "example"})  # fmt: skip
    return [*golden.recipe(entry["recipe"]), b"", b"plain text", os.urandom(100_000), bytes(50_000), b"\xff" * 7]


def write(writer, content: list[bytes]) -> None:
    for record in content:
        writer.write(record)
    writer.close()


@pytest.mark.parametrize("options", OPTIONS)
def test_what_we_write_the_reference_reads(tmp_path, options):
    content = records()
    write(ArrayRecordWriter(str(tmp_path / "ours"), options), content)
    theirs = reference.ArrayRecordReader(str(tmp_path / "ours"))
    assert theirs.num_records() == len(content)
    assert theirs.read_all() == content
    assert theirs.read([len(content) - 1, 0]) == [content[-1], content[0]]
    assert theirs.writer_options_string() == ArrayRecordReader(str(tmp_path / "ours")).writer_options_string()
    theirs.close()


@pytest.mark.parametrize("options", OPTIONS)
def test_what_the_reference_writes_we_read(tmp_path, options):
    content = records()
    write(reference.ArrayRecordWriter(str(tmp_path / "theirs"), options), content)
    ours = ArrayRecordReader(str(tmp_path / "theirs"))
    assert list(ours) == ours.read_all() == content
    assert ArrayRecordDataSource(str(tmp_path / "theirs"))[[5, -1, 0]] == [content[5], content[-1], content[0]]


def test_a_file_of_adaptive_groups(tmp_path):
    content = [bytes([number]) * (3 << 20) for number in range(12)]
    write(ArrayRecordWriter(str(tmp_path / "ours")), content)
    assert reference.ArrayRecordReader(str(tmp_path / "ours")).read_all() == content


@pytest.mark.parametrize("group", [1, 4])
def test_uncompressed_files_are_the_same_bytes(tmp_path, group):
    content = [*records(), *(b"%d" % number * number for number in range(600))]
    for options in (f"uncompressed,group_size:{group}", f"uncompressed,group_size:{group},pad_to_block_boundary:true"):
        write(ArrayRecordWriter(str(tmp_path / "ours"), options), content)
        write(reference.ArrayRecordWriter(str(tmp_path / "theirs"), options), content)
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def run(folder: Path, program: str, data: str) -> None:
    """Run a program from a file, which workers that are spawned can import."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(program))
    done = subprocess.run([sys.executable, path, data], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")


GRAIN = """
    import sys
    import grain
    from absl import flags
    from s3dlio.array_record import ArrayRecordDataSource

    def main():
        # Its worker processes need flags, which only an absl application parses.
        flags.FLAGS.mark_as_parsed()
        source = ArrayRecordDataSource(sys.argv[1])
        data = grain.MapDataset.source(source).shuffle(seed=3)
        data = data.map(lambda record: int(record.split(b"-")[1].rstrip(b"|")))
        assert sorted(data) == list(range(500))
        batches = data.batch(50).to_iter_dataset()
        assert sorted(int(x) for batch in batches for x in batch) == list(range(500))
        workers = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=2))
        assert sorted(int(x) for batch in workers for x in batch) == list(range(500))
        print("done")

    if __name__ == "__main__":
        main()
"""

TORCH = """
    import sys
    import torch
    from torch.utils.data import DataLoader
    from s3dlio.array_record import ArrayRecordDataSource

    def collate(records):
        return torch.tensor([int(record.split(b"-")[1].rstrip(b"|")) for record in records])

    def main():
        source = ArrayRecordDataSource(sys.argv[1])
        assert source[0]
        # Starting and ending workers takes torch seconds, so each way is taken once.
        for workers, context in [(0, None), (2, "spawn" if "://" in sys.argv[1] else "fork")]:
            loader = DataLoader(source, batch_size=32, shuffle=True, num_workers=workers, collate_fn=collate,
                                multiprocessing_context=context)
            assert sorted(torch.cat(list(loader)).tolist()) == list(range(500)), (workers, context)
        print("done")

    if __name__ == "__main__":
        main()
"""


@pytest.fixture(params=["local", "s3"])
def data(request: pytest.FixtureRequest, tmp_path) -> str:
    """Return the name of a file of 500 records, whose environment child processes inherit."""
    place = str(tmp_path) if request.param == "local" else request.getfixturevalue("testkit").bucket()
    write(ArrayRecordWriter(f"{place}/data", "group_size:20"), [b"record-%d|" % number for number in range(500)])
    return f"{place}/data"


@pytest.mark.timeout(200)
def test_grain_reads_our_source(data, tmp_path):
    run(tmp_path, GRAIN, data)


@pytest.mark.timeout(200)
def test_torch_reads_our_source(data, tmp_path):
    run(tmp_path, TORCH, data)


# The names of the tests of a module.
LIST = """
import sys, unittest
def names(suite):
    for test in suite:
        yield from names(test) if isinstance(test, unittest.TestSuite) else test.id().split()[:1]
print(*names(unittest.defaultTestLoader.loadTestsFromName(sys.argv[1])))
"""

RUN = """
import sys, unittest
from absl import flags
flags.FLAGS(["tests"])
unittest.main(module=None, argv=["tests", *sys.argv[1:]])
"""

PACKAGE = """
import sys
from s3dlio.array_record import array_record_data_source, array_record_module

for module in (array_record_data_source, array_record_module):
    sys.modules[f"python.{module.__name__.rpartition('.')[2]}"] = module
"""


def python(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-c", *command)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("name", "count"), [("array_record_module_test", 8), ("array_record_data_source_test", 21)])
def test_the_tests_of_the_reference_pass(tmp_path: Path, name: str, count: int) -> None:
    """Those of its module that are left out count the connections of its own client for Google's store."""
    source = Path(reference.__file__).with_name(f"{name}.py")
    (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "testdata").mkdir()
    for number in range(2):
        path = tmp_path / "testdata" / f"digits.array_record-{number:05}-of-00002"
        write(
            ArrayRecordWriter(str(path), "group_size:1"), [b"%d" % digit for digit in range(number * 5, number * 5 + 5)]
        )
    wanted = [test for test in python(tmp_path, LIST, name).stdout.split() if "gcs" not in test]
    assert len(wanted) == count
    done = python(tmp_path, RUN, *wanted)
    assert done.returncode == 0, done.stderr
    assert f"Ran {count} tests" in done.stderr
