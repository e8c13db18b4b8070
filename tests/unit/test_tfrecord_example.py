"""``tf.train.Example`` messages, without TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
import s3dlio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from s3dlio.tfrecord import (
    FixedLenFeature,
    Ragged,
    TFRecordDataSource,
    TFRecordReader,
    TFRecordWriter,
    VarLenFeature,
    parse_example,
    parse_examples,
    serialize_example,
)

names = st.text(min_size=1, max_size=8)
integers = hnp.arrays(np.int64, st.integers(0, 20))
floats = hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32, allow_nan=False))
strings = st.lists(st.binary(max_size=30), min_size=1, max_size=5)


@given(st.dictionaries(names, integers | floats | strings, max_size=5))
def test_features_come_back(features):
    found = parse_example(serialize_example(features))
    assert found.keys() == features.keys()
    for name, values in features.items():
        if isinstance(values, list):
            assert list(found[name]) == values
        else:
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(
    ("given", "kind", "values"),
    [
        (5, np.int64, [5]),
        (True, np.int64, [1]),
        (np.uint8(7), np.int64, [7]),
        ([1, 2], np.int64, [1, 2]),
        ([[1, 2], [3, 4]], np.int64, [1, 2, 3, 4]),
        (range(3), np.int64, [0, 1, 2]),
        (0.5, np.float32, [0.5]),
        (np.ones((2, 2)), np.float32, [1, 1, 1, 1]),
        (b"x\0", object, [b"x\0"]),
        ("ü", object, ["ü".encode()]),
        ([b"a\0", "b"], object, [b"a\0", b"b"]),
        ([[b"a\0"], [b"b"]], object, [b"a\0", b"b"]),
        (np.array([b"a", b"bc"]), object, [b"a", b"bc"]),
        (np.array(["a", "bc"]), object, [b"a", b"bc"]),
        (bytearray(b"x"), object, [b"x"]),
        (np.array([], np.float32), np.float32, []),
    ],
)
def test_kinds_follow_from_the_values(given, kind, values):
    found = parse_example(serialize_example({"x": given}))["x"]
    assert found.dtype == kind
    assert list(found) == values


@pytest.mark.parametrize("wrong", [None, [], 2**63, 1j, object(), [b"a", 5], np.array([None])])
def test_other_values_are_refused(wrong):
    with pytest.raises(s3dlio.ConfigError, match="feature 'x'"):
        serialize_example({"x": wrong})


def test_equal_features_give_equal_bytes():
    assert serialize_example({"a": 1, "b": 2.0}) == serialize_example({"b": 2.0, "a": 1})


def examples() -> list[bytes]:
    return [
        serialize_example({"label": 1, "box": [0.5, 1.5], "name": "one", "shape": [1, 2, 3, 4]}),
        serialize_example({"label": -2, "name": b"two", "shape": [5, 6, 7, 8]}),
        serialize_example({"label": 3, "box": [2.5], "name": b"", "shape": [9, 10, 11, 12]}),
    ]


def test_fixed_features_become_arrays():
    found = parse_examples(
        examples(),
        {
            "label": FixedLenFeature(dtype="int64"),
            "shape": FixedLenFeature([2, 2], np.int64),
            "name": FixedLenFeature((), bytes),
            "weight": FixedLenFeature((2,), float, default=1),
            "text": FixedLenFeature((1,), "string", default="none"),
        },
    )
    assert (found["label"].tolist(), found["label"].dtype) == ([1, -2, 3], np.int64)
    assert found["shape"].tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]]
    assert list(found["name"]) == [b"one", b"two", b""]
    assert (found["weight"].tolist(), found["weight"].dtype) == ([[1, 1], [1, 1], [1, 1]], np.float32)
    assert (found["text"].shape, found["text"][2, 0]) == ((3, 1), b"none")
    assert found["label"].flags.writeable


def test_variable_features_become_ragged():
    found = parse_examples(examples(), {"box": VarLenFeature("float32")})["box"]
    assert isinstance(found, Ragged)
    assert found.values.tolist() == [0.5, 1.5, 2.5]
    assert found.row_splits.tolist() == [0, 2, 2, 3]
    assert [row.tolist() for row in found] == [[0.5, 1.5], [], [2.5]]
    assert found[-1].tolist() == [2.5]
    assert [row.tolist() for row in found[1:]] == [[], [2.5]]
    with pytest.raises(s3dlio.ConfigError, match="0 to 2 values"):
        found.dense()
    with pytest.raises(IndexError):
        found[3]


def test_all_features_are_taken_if_none_is_named():
    found = parse_examples(examples())
    assert found.keys() == {"box", "label", "name", "shape"}
    assert found["shape"].dense().tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    assert [list(row) for row in found["name"]] == [[b"one"], [b"two"], [b""]]
    assert parse_examples([]) == {}
    one = parse_example(examples()[0], {"label": FixedLenFeature(dtype="int64"), "box": VarLenFeature()})
    assert (one["label"].shape, one["box"].tolist()) == ((), [0.5, 1.5])


def test_bytes_are_views_of_the_record():
    view = s3dlio.BytesView(serialize_example({"image": b"x" * 1000}))
    image = parse_example(view)["image"][0]
    whole = np.frombuffer(view, np.uint8)
    assert np.shares_memory(np.frombuffer(image, np.uint8), whole)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (FixedLenFeature(dtype="float32"), "holds int64, expected float32"),
        (VarLenFeature("bytes"), "holds int64, expected bytes"),
        (FixedLenFeature((2,), "int64"), "has 1 values, expected 2"),
    ],
)
def test_what_does_not_fit_is_named(feature, message):
    with pytest.raises(s3dlio.CorruptDataError, match=f'"label" {message}') as caught:
        parse_examples(examples(), {"label": feature})
    assert caught.value.record == 0
    with pytest.raises(s3dlio.CorruptDataError, match='no feature "box"') as caught:
        parse_examples(examples(), {"box": FixedLenFeature((2,))})
    assert caught.value.record == 1
    with pytest.raises(s3dlio.CorruptDataError, match=r"no tf\.train\.Example") as caught:
        parse_examples([*examples(), b"\xff\xff"])
    assert caught.value.record == 3


def test_options_that_cannot_work_are_refused():
    for feature in (
        FixedLenFeature(dtype="float64"),
        VarLenFeature(None),
        FixedLenFeature((3,), "int64", default=[1, 2]),
        FixedLenFeature((), "int64", default="text"),
    ):
        with pytest.raises(s3dlio.ConfigError):
            parse_examples(examples(), {"label": feature})


def test_files_of_examples(tmp_path):
    with TFRecordWriter(tmp_path / "a") as writer:
        for label in range(100):
            writer.write_example({"label": label})
    features = {"label": FixedLenFeature((), "int64")}
    assert [int(example["label"]) for example in TFRecordReader(tmp_path / "a").examples(features)] == [*range(100)]
    source = TFRecordDataSource(tmp_path / "a")
    assert source.examples([5, 50, -1], features)["label"].tolist() == [5, 50, 99]


@pytest.mark.parametrize("values", [[1, "x"], ["x", 1], [True, b"q"], [1, b"x\0"], [1.5, "x"]])
def test_values_of_several_kinds_are_refused(values):
    with pytest.raises(s3dlio.ConfigError, match=r"feature 'x'.*among byte strings"):
        serialize_example({"x": values})
