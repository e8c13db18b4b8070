"""Data sets of the records of files, and data sets made of others."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import s3dlio
from s3dlio import state
from s3dlio.array_record import ArrayRecordDataSource
from s3dlio.array_record.array_record_module import ArrayRecordWriter
from s3dlio.batches import Batches
from s3dlio.errors import ConfigError, CorruptDataError, StateMismatchError
from s3dlio.tfrecord import TFRecordDataSource, TFRecordWriter

RECORDS = [f"record {i} ".encode() * (1 + i % 7) for i in range(60)]


def write_array_records(base: str, files: int = 2, options: str = "group_size:5") -> str:
    size = len(RECORDS) // files
    for number in range(files):
        with ArrayRecordWriter(f"{base}/part-{number:05}-of-{files:05}.array_record", options) as writer:
            for record in RECORDS[number * size : (number + 1) * size]:
                writer.write(record)
    return f"{base}/"


def write_tfrecords(base: str, files: int = 2) -> str:
    size = len(RECORDS) // files
    for number in range(files):
        with TFRecordWriter(f"{base}/part-{number}.tfrecord") as writer:
            for record in RECORDS[number * size : (number + 1) * size]:
                writer.write(record)
    return f"{base}/"


WRITERS = {"array_record": write_array_records, "tfrecord": write_tfrecords}


@pytest.fixture(params=itertools.product(WRITERS, ("file", "s3")), ids="-".join)
def files(request, place) -> tuple[str, str]:
    """Records in two files: their prefix and format."""
    kind, where = request.param
    return WRITERS[kind](f"{place(where)}/{kind}"), kind


def test_records_are_a_sequence(files):
    prefix, kind = files
    dataset = s3dlio.create_dataset(prefix, format=kind)
    assert len(dataset) == 60
    assert dataset[7] == RECORDS[7]
    assert dataset[-1] == RECORDS[-1]
    assert dataset[28:33] == RECORDS[28:33]
    assert [bytes(view) for view in dataset] == RECORDS
    assert kind in dataset.uris()[3]
    assert dataset.read([59, 0, 0]) == [RECORDS[59], RECORDS[0], RECORDS[0]]


def test_names_tell_the_format(files):
    prefix, kind = files
    assert len(s3dlio.PyDataset(prefix, format="auto")) == 60
    s3dlio.put(f"{prefix}notes.txt", b"text")
    assert len(s3dlio.PyDataset(prefix)) == 3, "whole objects, unless something else is asked for"
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        s3dlio.PyDataset(prefix, format="auto")
    assert len(s3dlio.PyDataset(prefix, format=kind, pattern=f"*.{kind}")) == 60
    assert len(s3dlio.PyDataset(f"{prefix}notes.txt", format="auto")) == 1
    with pytest.raises(ConfigError, match="format"):
        s3dlio.PyDataset(prefix, format="csv")


def test_data_sources_of_this_package_are_data(files, tmp_path):
    prefix, kind = files
    pattern = f"{prefix}*.{kind}"
    source = ArrayRecordDataSource(pattern) if kind == "array_record" else TFRecordDataSource(pattern)
    dataset = s3dlio.PyDataset(source)
    assert [bytes(view) for view in dataset] == RECORDS
    with pytest.raises(ConfigError):
        s3dlio.PyDataset(source, format="npz")


def test_part_of_a_file_by_range(tmp_path):
    prefix = write_array_records(str(tmp_path), files=1)
    path = f"{tmp_path}/part-00000-of-00001.array_record"
    assert s3dlio.PyDataset(f"{path}[3:9]", format="array_record")[:] == RECORDS[3:9]
    assert s3dlio.PyDataset([f"{path}[3:5]", path], format="array_record")[:] == [*RECORDS[3:5], *RECORDS]
    assert len(s3dlio.PyDataset(prefix, format="array_record")) == 60


def test_shuffles_once_through_the_records(files):
    prefix, kind = files
    orders = []
    for shuffle in (True, "block", "global"):
        dataset = s3dlio.PyDataset(prefix, {"shuffle": shuffle, "seed": 5}, format=kind)
        found = [bytes(view) for view in dataset]
        assert sorted(found) == sorted(RECORDS)
        assert found != RECORDS
        assert [bytes(view) for view in dataset] != found, "the next epoch"
        orders.append(found)
    assert orders[0] == orders[1] != orders[2]


def test_pickles_with_its_layout(files):
    prefix, kind = files
    dataset = s3dlio.PyDataset(prefix, {"shuffle": True}, format=kind)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.objects.fingerprint == dataset.objects.fingerprint
    assert [bytes(view) for view in again] == [bytes(view) for view in dataset]
    parts = s3dlio.PyDataset.mix([dataset.select(range(10)), dataset.select([7, 3]).repeat(2)], [2, 1])
    copied = pickle.loads(pickle.dumps(s3dlio.PyDataset.concat([parts, dataset])))
    assert len(copied) == 74
    assert copied[:14] == [*RECORDS[:10], *[RECORDS[7], RECORDS[3]] * 2]


def test_members_of_archives(place):
    store = place("s3")
    for number in range(3):
        arrays = {f"a{i}": np.full((2, 3), 10 * number + i, dtype=np.int32) for i in range(4)}
        s3dlio.write_npz(f"{store}/arrays/{number}.npz", arrays)
    dataset = s3dlio.PyDataset(f"{store}/arrays/", {"shuffle": True}, format="npz")
    assert len(dataset) == 12
    assert dataset[5].tolist() == [[11] * 3] * 2
    assert sorted(int(array[0, 0]) for array in dataset) == sorted(10 * n + i for n in range(3) for i in range(4))
    assert dataset.uris()[4].endswith("1.npz/a0")
    loader = s3dlio.PyBytesAsyncDataLoader(dataset, {"batch_size": 4})
    batches = [*loader]
    assert [batch.shape for batch in batches] == [(4, 2, 3)] * 3
    with pytest.raises(ConfigError, match="decoder"):
        [*s3dlio.PyDataset(f"{store}/arrays/", {"decoder": "bytes"}, format="npz")]


def test_mixtures_draw_by_weight(tmp_path):
    base = write_array_records(str(tmp_path))
    whole = s3dlio.PyDataset(base, format="array_record")
    left, right = whole.select(range(50)), whole.select(range(50, 60))
    mixed = s3dlio.PyDataset.mix([left, right], weights=[0.75, 0.25])
    found = [RECORDS.index(bytes(view)) for view in mixed]
    assert len(found) == 60
    assert sum(index >= 50 for index in found) == 15
    for wrong in ([1], [1, 0], [1, -2], [1, float("inf")]):
        with pytest.raises(ConfigError, match="weights"):
            s3dlio.PyDataset.mix([left, right], weights=wrong)


def test_damage_is_left_out_replaced_or_raised(tmp_path):
    write_tfrecords(str(tmp_path), files=1)
    path = tmp_path / "part-0.tfrecord"
    content = bytearray(path.read_bytes())
    content[content.index(RECORDS[13])] ^= 1
    path.write_bytes(content)

    def read(**options):
        dataset = s3dlio.PyDataset(f"{tmp_path}/", options, format="tfrecord")
        return [bytes(view) for view in dataset]

    with pytest.raises(CorruptDataError) as raised:
        read()
    assert (raised.value.record, raised.value.uri) == (13, f"file://{path}")
    assert read(on_error="skip") == [record for record in RECORDS if record != RECORDS[13]]
    replaced = read(on_error="replace")
    assert replaced[:13] + replaced[14:] == RECORDS[:13] + RECORDS[14:]
    assert replaced[13] in RECORDS
    assert read(on_error="replace") == replaced
    with pytest.raises(CorruptDataError, match="max_errors"):
        read(on_error="replace", max_errors=0)


def test_states_describe_themselves_and_move():
    saved = {
        "v": 1, "epoch": 2, "batch": 5, "seed": 7, "shuffle": "block", "n": 1000, "fp": "00ff", "batch_size": 8,
        "last": "wrap", "rank": 0, "world": 2,
    }  # fmt: skip
    assert "epoch 2 after 5 batches" in state.describe(saved)
    assert state.skip(saved, 32)["batch"] == 7
    assert state.skip(saved, -80)["batch"] == 0
    assert saved["batch"] == 5
    for samples in (8, -96, 16_000):
        with pytest.raises(StateMismatchError):
            state.skip(saved, samples)
    with pytest.raises(StateMismatchError):
        state.skip(saved | {"sample": 3}, 16)
    with pytest.raises(StateMismatchError):
        state.describe("no state")


def test_an_epoch_from_a_store_is_few_requests(testkit):
    records = [bytes([i % 251]) * 2000 for i in range(2000)]
    base = testkit.bucket()
    with ArrayRecordWriter(f"{base}/a.array_record", "group_size:1,uncompressed") as writer:
        for record in records:
            writer.write(record)
    dataset = s3dlio.PyDataset(f"{base}/a.array_record", {"shuffle": True}, format="array_record")
    before = s3dlio.stats()["get_requests"]
    assert sorted(bytes(view) for view in dataset) == sorted(records)
    assert s3dlio.stats()["get_requests"] - before <= 6, "4 MB in blocks of 1 MiB"


def test_batches_of_arrays_without_a_framework(tmp_path):
    base = write_array_records(str(tmp_path))
    batches = Batches(
        base, format="array_record", batch_size=8, shuffle=True, seed=2, last="uneven", rank=0, world_size=1
    )
    found = [[bytes(record) for record in batch] for batch in batches]
    assert [len(batch) for batch in found] == [8] * 7 + [4]
    assert sorted(record for batch in found for record in batch) == sorted(RECORDS)
    s3dlio.write_npz(f"file://{tmp_path}/arrays.npz", {f"a{i}": np.full(3, i) for i in range(4)})
    stacked = [*Batches(f"file://{tmp_path}/arrays.npz", format="npz", batch_size=2, rank=0, world_size=1)]
    assert [batch.tolist() for batch in stacked] == [[[0] * 3, [1] * 3], [[2] * 3, [3] * 3]]
