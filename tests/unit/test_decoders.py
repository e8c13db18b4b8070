"""Examples and texts as samples: decoded by the library's threads."""

from __future__ import annotations

import numpy as np
import pytest
import s3dlio
from s3dlio.batches import Batches
from s3dlio.errors import ConfigError, CorruptDataError
from s3dlio.tfrecord import FixedLenFeature, TFRecordWriter, VarLenFeature, serialize_example
from s3dlio.torch import Loader, S3MapDataset

FEATURES = {
    "label": FixedLenFeature((), "int64"),
    "box": FixedLenFeature((2, 2), "float32"),
    "weight": FixedLenFeature((), "float32", default=-1.5),
    "image/encoded": FixedLenFeature((), "bytes"),
    "tokens": VarLenFeature("int64"),
    "tags, (all)": VarLenFeature("bytes"),
    "scores": VarLenFeature("float32"),
}


def example(number: int) -> dict:
    features = {
        "label": number,
        "box": np.arange(4, dtype=np.float32) + number,
        "image/encoded": bytes([number, 0, 0]),
        "tokens": np.arange(number % 4, dtype=np.int64),
        "tags, (all)": [b"a\0", f"tag {number}"][: 1 + number % 2],
        "unwanted": [1.0, 2.0],
    }
    if number % 3:
        features["weight"] = number / 2
        features["scores"] = np.full(number % 3, number, np.float32)
    return features


RECORDS = [serialize_example(example(number)) for number in range(20)]


@pytest.fixture
def files(tmp_path) -> str:
    for part in range(2):
        with TFRecordWriter(f"file://{tmp_path}/{part}.tfrecord") as writer:
            for record in RECORDS[part * 10 : part * 10 + 10]:
                writer.write(record)
    return f"file://{tmp_path}/"


def batches(data, **options) -> list:
    return [*Batches(data, rank=0, world_size=1, **options)]


def padded(rows: list, filler) -> np.ndarray:
    longest = max(map(len, rows))
    return np.array([[*row, *[filler] * (longest - len(row))] for row in rows])


def test_batches_are_what_was_written(files):
    decoder = s3dlio.example_decoder(FEATURES)
    found = batches(files, format="tfrecord", decoder=decoder, batch_size=8)
    assert [len(batch["label"]) for batch in found] == [8, 8, 4]
    for begin, batch in zip((0, 8, 16), found, strict=True):
        numbers = range(begin, min(begin + 8, 20))
        written = [example(number) for number in numbers]
        np.testing.assert_array_equal(batch["label"], np.array(numbers))
        np.testing.assert_array_equal(batch["box"], [row["box"].reshape(2, 2) for row in written])
        np.testing.assert_array_equal(batch["weight"], np.array([row.get("weight", -1.5) for row in written], "f4"))
        assert batch["image/encoded"].tolist() == [bytes([number, 0, 0]) for number in numbers]
        np.testing.assert_array_equal(batch["tokens"], padded([[*row["tokens"]] for row in written], 0))
        assert batch["tokens.lengths"].tolist() == [len(row["tokens"]) for row in written]
        tags = [[b"a\0", f"tag {number}".encode()][: 1 + number % 2] for number in numbers]
        assert batch["tags, (all)"].tolist() == [[*row, b""][:2] for row in tags]
        np.testing.assert_array_equal(batch["scores"], padded([[*row.get("scores", [])] for row in written], 0))
        kinds = {name: str(batch[name].dtype) for name in FEATURES}
        assert kinds | {"box": "float32"} == {
            "label": "int64", "box": "float32", "weight": "float32", "image/encoded": "object", "tokens": "int64",
            "tags, (all)": "object", "scores": "float32",
        }  # fmt: skip


def test_samples_and_lists_have_their_own_lengths(files):
    decoder = s3dlio.example_decoder(
        {name: FEATURES[name] for name in ("label", "tokens", "tags, (all)")}, ragged="list"
    )
    (batch,) = batches(files, format="tfrecord", decoder=decoder, batch_size=20)
    assert batch.keys() == {"label", "tokens", "tags, (all)"}
    assert [row.tolist() for row in batch["tokens"]] == [[*range(number % 4)] for number in range(20)]
    assert batch["tags, (all)"][3].tolist() == [b"a\0", b"tag 3"]
    (samples,) = batches(files, format="tfrecord", decoder=decoder, batch_size=20, collate="list")
    assert [len(sample["tokens"]) for sample in samples] == [number % 4 for number in range(20)]
    dataset = s3dlio.PyDataset(files, {"decoder": decoder}, format="tfrecord")
    assert dataset[3]["label"] == 3
    assert dataset[3]["tags, (all)"].tolist() == [b"a\0", b"tag 3"]


def test_tensors_for_torch(files):
    features = {name: FEATURES[name] for name in ("label", "box", "image/encoded", "tokens")}
    decoder = s3dlio.example_decoder(features)
    batch = next(iter(Loader(files, format="tfrecord", decoder=decoder, batch_size=4, rank=0, world_size=1)))
    assert batch["box"].shape == (4, 2, 2)
    assert batch["tokens"].tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 1, 2]]
    assert batch["tokens.lengths"].tolist() == [0, 1, 2, 3]
    assert batch["image/encoded"].tolist()[2] == b"\2\0\0"
    ragged = s3dlio.example_decoder(features, ragged="list")
    batch = next(iter(Loader(files, format="tfrecord", decoder=ragged, batch_size=4, rank=0, world_size=1)))
    assert [row.tolist() for row in batch["tokens"]] == [[], [0], [0, 1], [0, 1, 2]]
    sample = S3MapDataset(files, format="tfrecord", decoder=ragged)[2]
    assert sample["label"].item() == 2
    assert sample["image/encoded"] == b"\2\0\0"


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (b"\xff\xff\xff", "no tf.train.Example"),
        (serialize_example({"box": [1.0]}), 'no feature "label"'),
        (serialize_example({"label": 1.5, "box": [1.0]}), '"label" holds float32, expected int64'),
        (serialize_example({"label": [1, 2], "box": [1.0]}), '"label" has 2 values, expected 1'),
    ],
)
def test_a_bad_example_is_named_and_borne_with(tmp_path, broken, cause):
    place = f"file://{tmp_path}/data.tfrecord"
    with TFRecordWriter(place) as writer:
        for number in range(4):
            writer.write(broken if number == 2 else serialize_example({"label": number}))
    options = {"format": "tfrecord", "decoder": "example[label:int64]", "batch_size": 4}
    with pytest.raises(CorruptDataError) as caught:
        batches(place, **options)
    message = str(caught.value)
    assert place in message
    assert "record 2" in message
    assert cause in message
    assert caught.value.record == 2
    (batch,) = batches(place, on_error="skip", **options)
    assert batch["label"].tolist() == [0, 1, 3]
    (batch,) = batches(place, on_error="replace", **options)
    assert len(batch["label"]) == 4
    assert {*batch["label"].tolist()} == {0, 1, 3}


def test_texts(tmp_path):
    texts = ["plain", "", "grüß dich 你好", "line\nline"]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}").write_text(text, encoding="utf-8")
    place = f"file://{tmp_path}/"
    (batch,) = batches(place, decoder="text", batch_size=4)
    assert batch.tolist() == texts
    assert [*s3dlio.PyDataset(place, {"decoder": "text"})] == texts
    assert batches(place, decoder="text", batch_size=4, transform=len)[0].tolist() == [*map(len, texts)]
    assert next(iter(Loader(place, decoder="text", batch_size=4, rank=0, world_size=1))).tolist() == texts
    assert S3MapDataset(place, decoder="text")[2] == texts[2]
    (tmp_path / "1").write_bytes(b"good \xc3( bad")
    with pytest.raises(CorruptDataError, match=r"/1: record 1: no UTF-8 text: the byte at 5"):
        batches(place, decoder="text", batch_size=4)
    assert len(batches(place, decoder="text", batch_size=4, on_error="skip")[0]) == 3


def test_what_is_no_decoder_is_refused(files):
    for decoder in ("example", "example[]", "example[a:int32]", "example[a:int64,a:bytes]", "texts"):
        with pytest.raises(ConfigError, match="decoder"):
            batches(files, format="tfrecord", decoder=decoder)
    for features in (
        {},
        {"a": FixedLenFeature((), "int32")},
        {"a": FixedLenFeature((), "bytes", default=b"x")},
        {"a": FixedLenFeature((2,), "int64", default=[1, 2])},
        {"a": VarLenFeature("int64"), "a.lengths": FixedLenFeature((), "int64")},
    ):
        with pytest.raises(ConfigError):
            s3dlio.example_decoder(features)
    assert s3dlio.example_decoder({"a": FixedLenFeature((2,), "int64", default=7)}) == "example[a:int64(2)=7]"
