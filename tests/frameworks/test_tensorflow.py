"""TensorFlow: data sets of tf.data, their order, signatures and states, Keras."""

from __future__ import annotations

import json
import os
import pickle
from typing import Any

import numpy as np
import pytest
import s3dlio
from s3dlio import ConfigError, CorruptDataError, NotFoundError, StateMismatchError, UnsupportedError

from tests.fixtures.archives import COUNT
from tests.frameworks.programs.archives import BATCH, OPTIONS, SEED, labels, pure, take
from tests.frameworks.programs.numbers import put_numbers, run_program, sequence

DOCUMENTED = """
from s3dlio import make_tf_dataset

# Create TF Dataset
ds = make_tf_dataset(
    uri="s3://bucket/training-data/",
    pattern="*.tfrecord",
    batch_size=32,
    shuffle=True
)

# Use in training
for batch in ds:
    # TensorFlow training code
    pass
"""


@pytest.fixture(scope="module")
def tf() -> Any:
    # Its logs go to standard error before anything can be configured.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf


@pytest.fixture(scope="module")
def st(tf) -> Any:
    import s3dlio.tensorflow
    from s3dlio.jax_tf import make_tf_dataset

    assert make_tf_dataset is s3dlio.make_tf_dataset is s3dlio.tensorflow.make_tf_dataset
    return s3dlio.tensorflow


def loader(st: Any, uri: str, **options: Any) -> Any:
    return st.Loader(uri, **(OPTIONS | options))


def test_the_documented_data_set(tf, s3) -> None:
    bucket = s3.bucket("bucket")
    files = [bytes([number]) * (number + 1) for number in range(40)]
    s3dlio.put_many([(f"{bucket}/training-data/{number:03}.tfrecord", file) for number, file in enumerate(files)])
    s3dlio.put(f"{bucket}/training-data/notes.txt", b"not for training")
    names: dict[str, Any] = {}
    exec(compile(DOCUMENTED, "documented", "exec"), names)  # noqa: S102 - the text is above
    assert isinstance(names["ds"], tf.data.Dataset)
    assert names["ds"].element_spec == tf.RaggedTensorSpec([None, None], tf.uint8, 1)
    # The loop above was epoch 0.
    found = [bytes(row) for batch in names["ds"] for row in batch.to_list()]
    assert found == [files[number] for number in sequence(40, 0, 1)]
    assert [int(batch.nrows()) for batch in names["ds"]] == [32, 8]


class TestElements:
    def test_batches_of_arrays(self, tf, st, arrays) -> None:
        data = loader(st, arrays).dataset()
        assert data.element_spec == {
            "x": tf.TensorSpec([None, 2, 3], tf.float32),
            "label": tf.TensorSpec([None], tf.int64),
            "name": tf.TensorSpec([None], tf.string),
        }
        assert int(data.cardinality()) == len(pure(0))
        batches = list(data)
        assert [labels(batch) for batch in batches] == pure(0)
        for batch in batches:
            assert np.array_equal(batch["x"][:, 1, 2], batch["label"])
            assert [int(name) for name in batch["name"].numpy()] == [*labels(batch)]

    @pytest.mark.parametrize("last", ["drop", "pad", "wrap"])
    def test_full_batches_have_a_fixed_shape(self, st, arrays, last) -> None:
        data = loader(st, arrays, last=last).dataset()
        assert data.element_spec["x"].shape == (BATCH, 2, 3)
        assert [labels(batch) for batch in data] == pure(0, last=last)

    def test_samples(self, tf, st, tmp_path) -> None:
        put_numbers(f"file://{tmp_path}/", 10)
        data = st.make_tf_dataset(f"file://{tmp_path}/", map_fn=lambda sample: tf.cast(sample[0], tf.int32))
        assert data.element_spec == tf.TensorSpec([], tf.int32)
        assert [int(sample) for sample in data] == [*range(10)]
        assert st.make_tf_dataset(f"file://{tmp_path}/").element_spec == tf.TensorSpec([None], tf.uint8)

    def test_arrays_of_different_shapes(self, tf, st, tmp_path) -> None:
        made = [np.arange(n * 2, dtype=np.float32).reshape(n, 2) for n in (3, 0, 1)]
        for number, x in enumerate(made):
            s3dlio.write_npz(f"file://{tmp_path}/{number}", {"x": x, "flat": x.ravel(), "n": np.int16(number)})
        options: dict[str, Any] = {"decoder": "npz", "batch_size": 3}
        (batch,) = st.make_tf_dataset(f"file://{tmp_path}/", collate="list", **options)
        assert batch["x"].to_list() == [x.tolist() for x in made]
        assert batch["x"].dtype == tf.float32
        assert batch["flat"].to_list() == [x.ravel().tolist() for x in made]
        assert batch["n"].numpy().tolist() == [0, 1, 2]
        with pytest.raises(CorruptDataError):
            list(st.Loader(f"file://{tmp_path}/", **options))

    def test_a_transform_gives_pairs(self, tf, st, arrays) -> None:
        data = loader(st, arrays, transform=lambda sample: (sample["x"] / 2, str(sample["name"]))).dataset()
        assert data.element_spec == (tf.TensorSpec([None, 2, 3], tf.float32), tf.TensorSpec([None], tf.string))
        x, names = next(iter(data))
        assert x[:, 0, 0].numpy().tolist() == [int(name) / 2 for name in names.numpy()]

    def test_examples_of_tfrecord_files(self, tf, st, tmp_path) -> None:
        for shard in range(2):
            with s3dlio.TFRecordWriter(tmp_path / f"{shard}.tfrecord", index=True) as writer:
                for number in range(5):
                    writer.write_example({"label": shard * 5 + number})
        data = st.make_tf_dataset(
            f"file://{tmp_path}/",
            pattern="*.tfrecord",
            format="tfrecord",
            transform=bytes,
            batch_size=3,
            shuffle=True,
            map_fn=lambda batch: tf.io.parse_example(batch, {"label": tf.io.FixedLenFeature((), tf.int64)}),
        )
        assert sorted(label for batch in data for label in labels(batch)) == [*range(10)]

    def test_a_given_signature(self, tf, st, arrays) -> None:
        signature = tf.TensorSpec([None, None], tf.float64)
        flat = {"transform": lambda sample: sample["x"].ravel(), "output_signature": signature}
        with pytest.raises(CorruptDataError, match="float32, expected float64"):
            list(loader(st, arrays, **flat))
        flat["transform"] = lambda sample: sample["x"].ravel().astype(float)
        assert next(iter(loader(st, arrays, **flat))).shape == (BATCH, 6)

    def test_a_dtype_that_tensorflow_does_not_have(self, st, tmp_path) -> None:
        s3dlio.write_npz(f"file://{tmp_path}/a", {"when": np.array("2020-01-01", "M8[D]")})
        with pytest.raises(UnsupportedError, match=r"datetime64\[D\]"):
            st.make_tf_dataset(f"file://{tmp_path}/", decoder="npz", batch_size=2)

    @pytest.mark.parametrize(
        ("options", "name"), [({"writable": True}, "writable"), ({"rank": 0}, "rank"), ({"shufle": 1}, "shufle")]
    )
    def test_options_that_cannot_be(self, st, arrays, options, name) -> None:
        with pytest.raises(ConfigError, match=name):
            loader(st, arrays, **options)


class TestPipelines:
    def test_iterations_are_epochs(self, tf, st, arrays) -> None:
        whole = [*pure(0), *pure(1), *pure(2)]
        options = {"batch_size": BATCH, "shuffle": True, "seed": SEED, "decoder": "npz"}
        repeated = st.make_tf_dataset(arrays, **options).prefetch(3).repeat(3)
        assert [labels(batch) for batch in repeated] == whole
        nested = st.make_tf_dataset(arrays, **options)
        interleaved = tf.data.Dataset.range(3).interleave(lambda _: nested, cycle_length=1)
        assert [labels(batch) for batch in interleaved] == whole

    def test_several_interleave(self, tf, st, arrays) -> None:
        parts = [
            loader(st, arrays, rank=rank, world_size=2, last="drop").dataset().map(lambda batch: batch["label"])
            for rank in range(2)
        ]
        both = tf.data.Dataset.choose_from_datasets(parts, tf.data.Dataset.range(2).repeat()).prefetch(2)
        assert [tuple(batch.numpy()) for batch in both] == pure(0, last="drop")[:6]

    def test_input_contexts(self, tf, st, arrays) -> None:
        for pipeline in range(2):
            context = tf.distribute.InputContext(2, pipeline, 2)
            options = {"batch_size": context.get_per_replica_batch_size(2 * BATCH), "input_context": context}
            data = loader(st, arrays, **options)
            assert [labels(batch) for batch in data.dataset()] == pure(0, pipeline, 2)
            policy = data.dataset().options().experimental_distribute.auto_shard_policy
            assert policy == tf.data.experimental.AutoShardPolicy.OFF

    @pytest.mark.parametrize(
        ("config", "place"),
        [
            ({"cluster": {"worker": ["a", "b", "c"]}, "task": {"type": "worker", "index": 1}}, (1, 3)),
            ({"cluster": {"chief": ["a"], "worker": ["b"]}, "task": {"type": "worker", "index": 0}}, (1, 2)),
            ({"cluster": {"chief": ["a"], "worker": ["b"]}, "task": {"type": "chief", "index": 0}}, (0, 2)),
            ({"cluster": {"chief": ["a"], "worker": ["b"]}, "task": {"type": "evaluator", "index": 0}}, (0, 1)),
        ],
    )
    def test_clusters(self, st, arrays, monkeypatch, config, place) -> None:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        state = loader(st, arrays).state_dict()
        assert (state["rank"], state["world"]) == place
        monkeypatch.setenv("TF_CONFIG", "[")
        with pytest.raises(ConfigError, match="TF_CONFIG"):
            loader(st, arrays)

    def test_replicas_and_an_abrupt_end(self, arrays) -> None:
        command = ("-m", "tests.frameworks.programs.tensorflow_replicas", arrays)
        done = run_program(*command, env={"TF_CPP_MIN_LOG_LEVEL": "3"}, timeout=100)
        found = json.loads(done.stdout)
        assert [tuple(batch) for batch in found["seen"]] == pure(0, last="drop")
        assert (found["state"]["epoch"], found["state"]["batch"]) == (2, 0)
        assert [[tuple(half) for half in step] for step in found["halves"]] == [
            [*step] for step in zip(*[iter(pure(0, batch=2, last="drop"))] * 2, strict=False)
        ]


class TestState:
    def test_after_any_batch_it_gives_the_rest(self, st, arrays) -> None:
        expected = [*pure(0), *pure(1), *pure(2)]
        for taken in (0, 1, 5, len(pure(0)), len(pure(0)) + 3):
            data = loader(st, arrays)
            assert take(data, taken) == expected[:taken]
            again = loader(st, arrays)
            again.load_state_dict(pickle.loads(pickle.dumps(data.state_dict())))
            assert take(again, 10) == expected[taken : taken + 10]

    def test_a_data_set_goes_on(self, st, arrays) -> None:
        data = loader(st, arrays)
        take(data, 5)
        again = loader(st, arrays)
        again.set_state(data.get_state())
        ends = again.dataset().repeat()
        assert take(ends, 10) == [*pure(0), *pure(1)][5:15]

    def test_nobody_counts(self, st, arrays) -> None:
        data = loader(st, arrays)
        assert take(data.dataset().prefetch(4), 3) == pure(0)[:3]
        with pytest.raises(StateMismatchError, match="batches="):
            data.state_dict()
        again = loader(st, arrays)
        again.load_state_dict(data.state_dict(batches=3))
        assert take(again, 2) == pure(0)[3:5]
        data.set_epoch(2)
        assert (data.state_dict()["epoch"], data.state_dict()["batch"]) == (2, 0)

    def test_a_state_comes_before_the_data_set(self, tf, st, arrays) -> None:
        data = loader(st, arrays)
        early = data.dataset()
        data.load_state_dict(data.state_at((0, 2)))
        with pytest.raises(tf.errors.InvalidArgumentError, match="load it before"):
            list(early)

    def test_another_order_is_refused(self, st, arrays) -> None:
        state = loader(st, arrays).state_dict()
        with pytest.raises(StateMismatchError, match="seed"):
            loader(st, arrays, seed=SEED + 1).load_state_dict(state)

    def test_a_pickled_loader_goes_on(self, st, arrays) -> None:
        data = loader(st, arrays)
        data.load_state_dict(data.state_at((1, 2)))
        assert take(pickle.loads(pickle.dumps(data)), 3) == pure(1)[2:5]


class TestErrors:
    def test_a_lost_object_ends_no_epoch_in_silence(self, tf, st, tmp_path) -> None:
        uri = f"file://{tmp_path}/"
        put_numbers(uri, 12)
        data = st.Loader(uri, batch_size=2)
        dataset = data.dataset()
        (tmp_path / "0009.bin").unlink()
        with pytest.raises(tf.errors.OpError, match=r"NotFoundError.*0009\.bin"):
            list(dataset)
        with pytest.raises(NotFoundError, match=r"0009\.bin"):
            list(data)

    def test_bad_samples_can_be_skipped(self, st, tmp_path) -> None:
        uri = f"file://{tmp_path}/"
        put_numbers(uri, 6)

        def refuse(sample: Any) -> Any:
            if sample[0] in (0, 2, 3):
                raise ValueError
            return sample

        data = st.Loader(uri, batch_size=2, transform=refuse, on_error="skip").dataset()
        assert int(data.cardinality()) < 0
        with pytest.warns(RuntimeWarning, match="batch 1"):
            assert [int(batch.shape[0]) for batch in data] == [1, 2]
        with pytest.raises(CorruptDataError, match="output_signature"):
            st.Loader(uri, transform=lambda _: 1 / 0, on_error="skip").dataset()


class TestKeras:
    def model(self, tf: Any) -> Any:
        tf.keras.utils.set_random_seed(1)
        model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(1)])
        model.compile(tf.keras.optimizers.SGD(1e-4), "mse")
        return model

    def data(self, st: Any, arrays: str, seen: list[int]) -> Any:
        def pair(sample: Any) -> Any:
            seen.append(int(sample["label"]))
            return sample["x"], sample["label"].astype("float32")

        return loader(st, arrays, transform=pair)

    def fit(self, model: Any, data: Any, *more: Any, epochs: int = 3) -> None:
        model.fit(
            data.dataset().prefetch(4).repeat(),
            steps_per_epoch=len(data),
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[data.callback(), *more],
        )

    def test_fit_goes_over_every_sample_of_every_epoch(self, tf, st, arrays) -> None:
        seen: list[int] = []
        data = self.data(st, arrays, seen)
        dataset = data.dataset()
        seen.clear()
        history = self.model(tf).fit(dataset, epochs=3, shuffle=False, verbose=0, callbacks=[data.callback()])
        assert len(history.history["loss"]) == 3
        assert seen[-3 * COUNT :] == [label for epoch in range(3) for label in sequence(COUNT, SEED, epoch)]
        assert (data.state_dict()["epoch"], data.state_dict()["batch"]) == (3, 0)

    @pytest.mark.parametrize("stop", [3, 8, 11])
    def test_a_broken_run_goes_on_exactly(self, tf, st, arrays, stop) -> None:
        whole = self.model(tf)
        self.fit(whole, self.data(st, arrays, []))

        class Break(tf.keras.callbacks.Callback):
            steps = 0

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                del batch, logs
                self.steps += 1
                self.model.stop_training = self.steps == stop

        broken, data = self.model(tf), self.data(st, arrays, [])
        self.fit(broken, data, Break())
        state = data.state_dict()
        assert (state["epoch"], state["batch"]) == divmod(stop, len(data))
        again = self.data(st, arrays, [])
        again.load_state_dict(json.loads(json.dumps(state)))
        remaining = 3 * len(data) - stop
        broken.fit(
            again.dataset().repeat(),
            steps_per_epoch=remaining,
            shuffle=False,
            verbose=0,
            callbacks=[again.callback()],
        )
        for ours, theirs in zip(broken.get_weights(), whole.get_weights(), strict=True):
            assert np.array_equal(ours, theirs)
        assert (again.state_dict()["epoch"], again.state_dict()["batch"]) == (3, 0)

    def test_one_read_ahead_behind_fit_is_nobodys(self, tf, st, arrays) -> None:
        data = self.data(st, arrays, [])
        dataset = data.dataset()
        self.model(tf).fit(dataset, epochs=1, shuffle=False, verbose=0, callbacks=[data.callback()])
        next(iter(dataset))
        assert (data.state_dict()["epoch"], data.state_dict()["batch"]) == (1, 0)
        next(iter(dataset))
        with pytest.raises(StateMismatchError, match="reads ahead"):
            data.state_dict()

    def test_several_elements_make_a_step(self, tf, st, arrays) -> None:
        data = self.data(st, arrays, [])
        self.model(tf).fit(
            data.dataset().unbatch().batch(2 * BATCH, drop_remainder=True),
            epochs=1,
            steps_per_epoch=2,
            shuffle=False,
            verbose=0,
            callbacks=[data.callback(elements_per_step=2)],
        )
        assert data.state_dict()["batch"] == 4
