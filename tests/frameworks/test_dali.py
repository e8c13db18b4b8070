"""NVIDIA DALI: pipelines without a GPU over our sources, and over TFRecord files with our indexes."""

from __future__ import annotations

import io
import itertools
import json
import pickle
from typing import Any

import numpy as np
import pytest
import s3dlio
from s3dlio import ConfigError, NotFoundError, StateMismatchError, UnsupportedError

from tests.frameworks.programs.numbers import put_numbers, rank_batches, run_program, sequence

COUNT = 30
BATCH = 4
SEED = 5


@pytest.fixture(scope="module")
def sd() -> Any:
    import s3dlio.dali

    return s3dlio.dali


def archive(number: int) -> bytes:
    content = io.BytesIO()
    np.savez(content, x=np.full((2, 3), number, np.float32), label=np.int64(number))
    return content.getvalue()


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> str:
    prefix = f"file://{tmp_path_factory.mktemp('arrays')}/"
    s3dlio.put_many([(f"{prefix}{number:03}.npz", archive(number)) for number in range(COUNT)])
    return prefix


def source(sd: Any, uri: str, fields: Any = ("x", "label"), **options: Any) -> Any:
    given = {"batch_size": BATCH, "shuffle": True, "seed": SEED, "decoder": "npz"}
    return sd.ExternalSource(uri, fields, **(given | options))


def pipeline(data: Any, *, checkpoint: str | None = None, **options: Any) -> Any:
    from nvidia.dali import pipeline_def

    given = {"batch_size": BATCH, "num_threads": 1, "device_id": None}

    @pipeline_def(**(given | options))
    def defined() -> Any:
        return tuple(data.read())

    built = defined(checkpoint=checkpoint) if checkpoint else defined()
    built.build()
    return built


def values(batch: Any) -> tuple[int, ...]:
    return tuple(int(np.asarray(batch.at(number)).ravel()[0]) for number in range(len(batch)))


def epoch(built: Any) -> list[Any]:
    """The labels of what is left of an epoch; every array must be that of its label."""
    found = []
    try:
        while True:
            x, label = built.run()
            assert values(x) == values(label)
            assert {x.at(number).shape for number in range(len(x))} == {(2, 3)}
            found.append(values(label))
    except StopIteration:
        built.reset()
    return found


def pure(number: int, rank: int = 0, world: int = 1, last: str | None = None) -> list[Any]:
    return rank_batches(sequence(COUNT, SEED, number), BATCH, rank, world, last)


class TestExternalSource:
    def test_epochs_in_the_process_of_the_pipeline(self, sd, arrays) -> None:
        built = pipeline(source(sd, arrays))
        assert [epoch(built) for _ in range(3)] == [pure(0), pure(1), pure(2)]

    @pytest.mark.parametrize(("method", "workers"), [("fork", 3), ("spawn", 2)])
    def test_epochs_in_worker_processes(self, arrays, method, workers) -> None:
        # In a program of its own, because DALI leaves the sockets of its workers open.
        done = run_program("-m", "tests.frameworks.programs.dali_workers", arrays, method, str(workers))
        assert [[tuple(batch) for batch in found] for found in json.loads(done.stdout)] == [pure(0), pure(1)]

    @pytest.mark.parametrize("last", ["drop", "pad", None])
    def test_ranks_share_the_data(self, sd, arrays, last) -> None:
        for rank in range(2):
            built = pipeline(source(sd, arrays, rank=rank, world_size=2, last=last))
            assert epoch(built) == pure(0, rank, 2, last)

    def test_plain_bytes_of_different_sizes(self, sd, tmp_path) -> None:
        for number in range(6):
            (tmp_path / f"{number}").write_bytes(bytes([number]) * (number + 1))
        built = pipeline(sd.ExternalSource(f"file://{tmp_path}/", batch_size=3), batch_size=3)
        found = [built.run()[0] for _ in range(2)]
        assert [batch.at(n).tolist() for batch in found for n in range(3)] == [[n] * (n + 1) for n in range(6)]

    def test_lists_and_tuples_of_arrays(self, sd, tmp_path, arrays) -> None:
        for number in range(3):
            s3dlio.write_npz(f"file://{tmp_path}/{number}", {"x": np.full(number + 1, number), "label": number})
        built = pipeline(source(sd, f"file://{tmp_path}/", shuffle=False, collate="list", batch_size=3))
        x, label = built.run()
        assert [x.at(number).tolist() for number in range(3)] == [[0], [1, 1], [2, 2, 2]]
        assert values(label) == (0, 1, 2)
        pairs = source(sd, arrays, None, num_outputs=2, transform=lambda sample: (sample["x"], sample["label"]))
        assert epoch(pipeline(pairs)) == pure(0)

    def test_a_lost_object_is_an_error(self, sd, tmp_path) -> None:
        uri = f"file://{tmp_path}/"
        put_numbers(uri, 8)
        data = sd.ExternalSource(uri, batch_size=2)
        (tmp_path / "0005.bin").unlink()
        built = pipeline(data, batch_size=2, prefetch_queue_depth=1)
        with pytest.raises((RuntimeError, NotFoundError), match=r"0005\.bin"):
            _ = [built.run() for _ in range(4)]

    def test_bad_samples_can_be_skipped(self, sd, tmp_path) -> None:
        uri = f"file://{tmp_path}/"
        put_numbers(uri, 6)
        (tmp_path / "0002.bin").unlink()
        data = sd.ExternalSource([*s3dlio.list(uri), f"{uri}missing"], batch_size=3, on_error="skip")
        built = pipeline(data, batch_size=3)
        assert [values(*built.run()) for _ in range(2)] == [(0, 1, 3), (4, 5)]

    def test_options_that_cannot_be(self, sd, arrays) -> None:
        with pytest.raises(ConfigError, match="num_outputs"):
            source(sd, arrays, num_outputs=3)
        with pytest.raises(ConfigError, match="num_outputs"):
            source(sd, arrays, None, num_outputs=2)(Info(0, 0))
        with pytest.raises(TypeError, match="read"):
            iter(source(sd, arrays))


class Info:
    """What DALI says when it asks for a batch."""

    def __init__(self, epoch_idx: int, iteration: int) -> None:
        self.epoch_idx = epoch_idx
        self.iteration = iteration


class TestState:
    def test_any_batch_can_be_asked_for(self, sd, arrays) -> None:
        data = source(sd, arrays)
        for at, step in [(0, 5), (0, 6), (2, 1), (2, 3), (2, 5), (0, 0), (0, 7), (1, 2), (1, 1)]:
            assert tuple(int(label) for label in data(Info(at, step))[1]) == pure(at)[step]
        with pytest.raises(StopIteration):
            data(Info(0, len(pure(0))))

    def test_a_run_goes_on(self, sd, arrays) -> None:
        first = source(sd, arrays)
        built = pipeline(first)
        assert [values(built.run()[1]) for _ in range(3)] == pure(0)[:3]
        state = json.loads(json.dumps(first.state_dict(batches=3)))
        again = source(sd, arrays)
        again.load_state_dict(state)
        assert again.state_dict() == state
        built = pipeline(pickle.loads(pickle.dumps(again)))
        assert [epoch(built), epoch(built)] == [pure(0)[3:], pure(1)]
        with pytest.raises(StateMismatchError, match="seed"):
            source(sd, arrays, seed=0).load_state_dict(state)

    def test_a_checkpoint_of_dali_goes_on(self, sd, arrays) -> None:
        options = {"enable_checkpointing": True}
        built = pipeline(source(sd, arrays), **options)
        epoch(built)
        assert [values(built.run()[1]) for _ in range(3)] == pure(1)[:3]
        again = pipeline(source(sd, arrays), checkpoint=built.checkpoint(), **options)
        assert [epoch(again), epoch(again)] == [pure(1)[3:], pure(2)]


class TestTFRecordFiles:
    def test_a_pipeline_reads_them(self, sd, tmp_path) -> None:
        import nvidia.dali.tfrecord as features
        from nvidia.dali import fn, pipeline_def

        for shard in range(2):
            with s3dlio.TFRecordWriter(tmp_path / f"{shard}.tfrecord") as writer:
                for number in range(6):
                    writer.write_example({"label": shard * 6 + number})
        files = sd.tfrecord_files(tmp_path, tmp_path / "indexes", pattern="*.tfrecord")
        assert files["path"] == [str(tmp_path / f"{shard}.tfrecord") for shard in range(2)]
        assert all(index.startswith(str(tmp_path / "indexes")) for index in files["index_path"])
        assert sd.tfrecord_files(f"file://{tmp_path}/", tmp_path / "indexes", pattern="*.tfrecord") == files

        @pipeline_def(batch_size=3, num_threads=1, device_id=None)
        def defined() -> Any:
            read = fn.readers.tfrecord(**files, features={"label": features.FixedLenFeature((), features.int64, 0)})
            return read["label"]

        built = defined()
        built.build()
        assert [*itertools.chain.from_iterable(values(*built.run()) for _ in range(4))] == [*range(12)]

    def test_only_local_files(self, sd) -> None:
        with pytest.raises(UnsupportedError, match="ExternalSource"):
            sd.tfrecord_files("s3://bucket/train/")
