"""TFRecord files exchanged with TensorFlow, NVIDIA DALI and the tfrecord package."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3dlio
from s3dlio.batches import Batches
from s3dlio.tfrecord import (
    FixedLenFeature,
    TFRecordReader,
    TFRecordWriter,
    VarLenFeature,
    parse_examples,
    serialize_example,
)

from tests.fixtures.programs import run

RECORDS = [os.urandom(n * 211 % 5000) for n in range(300)] + [b"", b"x" * 3_000_000]
COMPRESSIONS = ["", "GZIP", "ZLIB"]


@pytest.fixture(scope="module")
def tf() -> Any:
    # Its logs go to standard error before anything can be configured.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf


@pytest.fixture(params=["file", "s3"])
def base(request, place) -> str:
    return place(request.param)


class TestTensorFlow:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_reads_what_we_write(self, tf, tmp_path, compression):
        path = str(tmp_path / "a")
        with TFRecordWriter(path, compression=compression) as writer:
            for record in RECORDS:
                writer.write(record)
        found = tf.data.TFRecordDataset(path, compression_type=compression)
        assert [record.numpy() for record in found] == RECORDS

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_writes_what_we_read(self, tf, base, tmp_path, compression):
        with tf.io.TFRecordWriter(str(tmp_path / "theirs"), compression) as writer:
            for record in RECORDS:
                writer.write(record)
        s3dlio.put(f"{base}/a", (tmp_path / "theirs").read_bytes())
        for given in (None, compression):
            assert list(TFRecordReader(f"{base}/a", compression=given)) == RECORDS

    def test_files_are_equal(self, tf, tmp_path):
        with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as theirs, TFRecordWriter(tmp_path / "ours") as ours:
            for record in RECORDS:
                theirs.write(record)
                ours.write(record)
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()

    def test_a_loader_takes_examples_apart_as_it_does(self, tf, tmp_path):
        features = {
            "label": FixedLenFeature((), "int64"),
            "box": FixedLenFeature((2, 2), "float32", default=0.25),
            "a/b, c": FixedLenFeature((), "bytes"),
            "tokens": VarLenFeature("int64"),
            "tags": VarLenFeature("bytes"),
            "scores": VarLenFeature("float32"),
        }
        random = np.random.default_rng(1)
        path = tmp_path / "a.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for number in range(50):
                example = {"label": number, "a/b, c": os.urandom(number), "tokens": random.integers(-9, 9, number % 7)}
                example |= {"box": random.random(4)} if number % 2 else {"unwanted": [1]}
                example |= {"tags": [b"x\0" * tag for tag in range(1, number % 5)]} if number % 5 > 1 else {}
                example |= {"scores": random.random(number % 3)} if number % 3 else {}
                writer.write(serialize_example(example))

        def as_theirs(feature):
            dtype = tf.string if feature.dtype == "bytes" else tf.dtypes.as_dtype(feature.dtype)
            if isinstance(feature, VarLenFeature):
                return tf.io.RaggedFeature(dtype)
            return tf.io.FixedLenFeature(
                feature.shape, dtype, None if feature.default is None else np.full(feature.shape, feature.default)
            )

        records = [*TFRecordReader(path)]
        theirs = tf.io.parse_example(
            [bytes(record) for record in records], {name: as_theirs(feature) for name, feature in features.items()}
        )
        decoder = s3dlio.example_decoder(features)
        ours = next(iter(Batches(str(path), format="tfrecord", decoder=decoder, batch_size=50, rank=0, world_size=1)))
        for name, value in theirs.items():
            dense = value.to_tensor() if isinstance(value, tf.RaggedTensor) else value
            assert ours[name].tolist() == dense.numpy().tolist(), name
            if isinstance(value, tf.RaggedTensor):
                assert ours[f"{name}.lengths"].tolist() == value.row_lengths().numpy().tolist()

    def test_parses_our_examples(self, tf):
        features = {"label": [-3, 2**40], "box": np.float32([0.1, 1e30]), "image": [b"\0\xff", b""]}
        theirs = tf.train.Example.FromString(serialize_example(features)).features.feature
        assert list(theirs["label"].int64_list.value) == features["label"]
        assert np.array_equal(np.float32(theirs["box"].float_list.value), features["box"])
        assert list(theirs["image"].bytes_list.value) == features["image"]

    def test_its_examples_are_parsed_as_it_does(self, tf):
        def example(label: int, box: list[float], image: bytes) -> bytes:
            feature = {
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                "box": tf.train.Feature(float_list=tf.train.FloatList(value=box)),
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
                "nothing": tf.train.Feature(),
            }
            return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

        records = [example(n - 2, [n / 3] * n, bytes([n]) * 10) for n in range(5)]
        theirs = tf.io.parse_example(
            records,
            {
                "label": tf.io.FixedLenFeature((), tf.int64),
                "box": tf.io.RaggedFeature(tf.float32),
                "image": tf.io.FixedLenFeature((1,), tf.string),
                "weight": tf.io.FixedLenFeature((2,), tf.float32, default_value=[1, 2]),
            },
        )
        ours = parse_examples(
            records,
            {
                "label": FixedLenFeature((), tf.int64),
                "box": VarLenFeature(tf.float32),
                "image": FixedLenFeature((1,), tf.string),
                "weight": FixedLenFeature((2,), tf.float32, default=[1, 2]),
            },
        )
        assert np.array_equal(ours["label"], theirs["label"].numpy())
        assert np.array_equal(ours["box"].values, theirs["box"].values.numpy())
        assert np.array_equal(ours["box"].row_splits, theirs["box"].row_splits.numpy())
        assert [[bytes(image) for image in row] for row in ours["image"]] == theirs["image"].numpy().tolist()
        assert np.array_equal(ours["weight"], theirs["weight"].numpy())


@cache
def tool() -> str:
    """Return DALI's own program for indexes; another package has one of the same name."""
    files = importlib.metadata.files("nvidia-dali-cuda130") or []
    (found,) = [file for file in files if file.name == "tfrecord2idx"]
    return str(Path(str(found.locate())).resolve())


def made_by_dali(path: Path) -> bytes:
    """Run the program; it only wants TensorFlow to open files, and takes seconds to import it."""
    index = path.with_suffix(".theirs")
    code = "import runpy, sys; sys.modules['tensorflow'] = None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
    subprocess.run([sys.executable, "-c", code, tool(), str(path), str(index)], check=True, timeout=60)
    return index.read_bytes()


class TestDali:
    @pytest.mark.parametrize(
        "records", [[], [b""], RECORDS, [b"x" * 200_000] * 7, [b"y" * (n % 90) for n in range(20_000)]]
    )
    def test_indexes_are_equal(self, base, tmp_path, records):
        path = tmp_path / "a.tfrecord"
        with TFRecordWriter(path) as writer:
            for record in records:
                writer.write(record)
        expected = made_by_dali(path)
        s3dlio.put(f"{base}/a", path.read_bytes())
        assert s3dlio.create_tfrecord_index(f"{base}/a", tmp_path / "ours") == len(records)
        assert (tmp_path / "ours").read_bytes() == expected
        assert s3dlio.index_tfrecord_bytes(path.read_bytes()).encode() == expected

    def test_a_pipeline_reads_with_our_index(self, tmp_path):
        import nvidia.dali.tfrecord as features
        from nvidia.dali import fn, pipeline_def

        for shard in range(2):
            with TFRecordWriter(tmp_path / f"{shard}.tfrecord") as writer:
                for number in range(10):
                    writer.write_example({"label": shard * 10 + number, "image": bytes([number]) * 8})
        s3dlio.create_tfrecord_indexes(tmp_path, pattern="*.tfrecord")

        @pipeline_def(batch_size=5, num_threads=1, device_id=None)
        def pipeline() -> tuple[Any, ...]:
            read = fn.readers.tfrecord(
                path=[str(tmp_path / f"{shard}.tfrecord") for shard in range(2)],
                index_path=[str(tmp_path / f"{shard}.tfrecord.idx") for shard in range(2)],
                features={
                    "label": features.FixedLenFeature((), features.int64, 0),
                    "image": features.FixedLenFeature((), features.string, ""),
                },
            )
            return read["label"], read["image"]

        built = pipeline()
        built.build()
        labels: list[int] = []
        for _ in range(4):
            label, image = built.run()
            labels.extend(int(label.at(n)) for n in range(5))
            assert [int(image.at(n)[0]) for n in range(5)] == [value % 10 for value in labels[-5:]]
        assert labels == [*range(20)]


def test_the_tfrecord_package_reads_with_our_index(tmp_path):
    with TFRecordWriter(tmp_path / "a", index=True) as writer:
        for number in range(50):
            writer.write_example({"label": number})

    # In a program of its own: it defines the messages of TensorFlow anew, which one process may do only once.
    run(
        """
import sys
from tfrecord.reader import tfrecord_loader

def labels(*shard):
    for example in tfrecord_loader(sys.argv[1], sys.argv[2], {"label": "int"}, shard):
        yield int(example["label"].reshape(-1)[0])

assert [*labels(0, 2), *labels(1, 2)] == [*range(50)]
""",
        str(tmp_path / "a"),
        str(tmp_path / "a.idx"),
    )
