"""The examples of the documents about frameworks run as they are written, each document from top to bottom."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3dlio

DOCS = Path(__file__).parents[2] / "docs"


def sample(number: int) -> bytes:
    content = io.BytesIO()
    np.savez(content, image=np.full((8, 8), number, np.float32), label=np.int64(number % 10))
    return content.getvalue()


@pytest.fixture
def data(testkit) -> str:
    bucket = testkit.bucket()
    s3dlio.put_many([(f"{bucket}/train/{number:03}.npz", sample(number)) for number in range(256)])
    with s3dlio.TFRecordWriter(f"{bucket}/records/0.tfrecord", index=True) as writer:
        for number in range(70):
            writer.write_example({"label": number})
    return bucket


def run(document: str, data: str, **given: Any) -> dict[str, Any]:
    names = dict(given)
    for example in re.findall(r"^```python\n(.*?)^```", (DOCS / document).read_text(), flags=re.DOTALL | re.MULTILINE):
        exec(compile(example.replace("s3://bucket", data), document, "exec"), names)  # noqa: S102 - our own text
    return names


def test_jax(data) -> None:
    names = run("jax.md", data)
    assert names["batch"]["image"].shape == (64, 8, 8)
    assert names["loader"].epoch == 0


def test_tensorflow(data) -> None:
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(10)])
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = run("tensorflow.md", data, model=model)
    assert names["state"]["epoch"] == 3


def test_dali(data) -> None:
    names = run("dali.md", data)
    built = names["pipeline"]()
    built.build()
    image, label = built.run()
    assert image.at(0).shape == (8, 8)
    assert len(label) == 64
