"""TFRecord objects in forked and spawned processes, and in programs that end early."""

from __future__ import annotations

import pytest
import s3dlio
from s3dlio.tfrecord import TFRecordDataSource, TFRecordReader, TFRecordWriter

from tests.fixtures.programs import run
from tests.process.test_fork import PRELUDE

RECORDS = [str(number).encode() * 100 for number in range(1000)]


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    return f"file://{tmp_path}" if request.param == "file" else request.getfixturevalue("bucket")


def write(uri: str) -> None:
    with TFRecordWriter(uri, index=True) as writer:
        for record in RECORDS:
            writer.write(record)


def work(task):
    source, reader = task
    return [bytes(record) for record in source.__getitems__([999, 0])], sum(1 for _ in reader), bytes(source[7])


def test_sources_and_readers_work_in_every_kind_of_process(processes, place):
    write(f"{place}/a")
    source, reader = TFRecordDataSource(f"{place}/a"), TFRecordReader(f"{place}/a")
    assert source[7] == RECORDS[7]
    assert next(iter(reader)) == RECORDS[0]
    with processes.Pool(2) as pool:
        results = pool.map_async(work, [(source, reader)] * 4, chunksize=1).get(60)
    assert results == [([RECORDS[999], RECORDS[0]], 1000, RECORDS[7])] * 4
    assert source[8] == RECORDS[8]


def test_what_a_fork_inherits(place):
    run(
        PRELUDE
        + """
from s3dlio.tfrecord import TFRecordDataSource, TFRecordReader, TFRecordWriter

uri = f"{place}/records"
with TFRecordWriter(uri, index=True) as writer:
    for number in range(10000):
        writer.write(b"x" * number)
source = TFRecordDataSource(uri)
records = iter(TFRecordReader(uri))
next(records)
half = TFRecordWriter(f"{place}/half")
half.write(b"parent")

def use():
    assert len(source[9999]) == 9999
    assert sum(1 for _ in TFRecordReader(uri)) == 10000
    assert s3dlio.create_tfrecord_index(uri, f"{uri}.{os.getpid()}.idx") == 10000
    assert len(list(source)) == 10000

def refused(call):
    try:
        call()
    except s3dlio.ForkedProcessError:
        return
    raise SystemExit("not refused")

def inherited():
    use()
    # The records that the parent had read already are there; the next ones are the parent's.
    refused(lambda: [None for _ in records])
    refused(lambda: half.write(b"child"))
    refused(half.close)

child(inherited)
use()
assert sum(1 for _ in records) == 9999
half.close()
assert list(TFRecordReader(f"{place}/half")) == [b"parent"]
""",
        place,
    )


def test_a_program_that_ends_early_leaves_nothing(place):
    run(
        """
import sys
from s3dlio.tfrecord import TFRecordReader, TFRecordWriter
place = sys.argv[1]
writer = TFRecordWriter(f"{place}/unfinished", index=True)
for _ in range(60):
    writer.write(b"x" * 1_000_000)
with TFRecordWriter(f"{place}/finished") as finished:
    for _ in range(30):
        finished.write(b"x" * 1_000_000)
records = iter(TFRecordReader(f"{place}/finished"))
next(records)
""",
        place,
    )
    assert s3dlio.list(f"{place}/") == [f"{place}/finished"]
