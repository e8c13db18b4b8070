"""The examples of the documents about frameworks run as they are written, each document from top to bottom."""

from __future__ import annotations

import threading

import pytest
import s3dlio

from tests.fixtures.documents import examples, run_document


@pytest.fixture
def data(documented_data: str) -> str:
    with s3dlio.TFRecordWriter(f"{documented_data}/records/0.tfrecord", index=True) as writer:
        for number in range(70):
            writer.write_example({"label": number})
    return documented_data


def test_resume(data) -> None:
    names = run_document("howto/resume.md", data)
    assert len(names["rest"]) == 2
    assert names["loader"].epoch == 1


def test_dataloader(data) -> None:
    names = run_document("howto/dataloader.md", data)
    assert names["batch"]["image"].shape == (64, 8, 8)


# torch says that a program of one process is one.
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
def test_checkpoint(data, tmp_path) -> None:
    import torch

    one, many, dcp = examples("checkpoint.md", data)
    model = torch.nn.Linear(3, 2)
    names = {"model": model, "optimizer": torch.optim.Adam(model.parameters())}
    exec(one, names)  # noqa: S102 - our own text
    assert torch.equal(names["state"]["model"]["weight"], model.weight)

    def rank(number: int) -> None:
        given = {"uri": tmp_path.as_uri(), "step": 1, "attempt": "0" * 32, "rank": number}
        exec(many, given | {"local_tensor": torch.full((1024, 4096), number, dtype=torch.int8), "norm": torch.ones(3)})  # noqa: S102

    ranks = [threading.Thread(target=rank, args=[number]) for number in range(8)]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join()
    whole = s3dlio.CheckpointManager(tmp_path.as_uri()).load()["w"]
    assert torch.equal(whole[::1024, 0], torch.arange(8, dtype=torch.int8))

    exec(dcp, {"state": {"w": torch.ones(4)}})  # noqa: S102


def test_jax(data) -> None:
    names = run_document("jax.md", data)
    assert names["batch"]["image"].shape == (64, 8, 8)
    assert names["loader"].epoch == 0


def test_tensorflow(data) -> None:
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(10)])
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = run_document("tensorflow.md", data, model=model)
    assert names["state"]["epoch"] == 3


def test_dali(data) -> None:
    names = run_document("dali.md", data)
    built = names["pipeline"]()
    built.build()
    image, label = built.run()
    assert image.at(0).shape == (8, 8)
    assert len(label) == 64
