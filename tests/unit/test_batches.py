"""Batches of arrays without any framework."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import s3dlio
from s3dlio import ConfigError, CorruptDataError, StateMismatchError, TransformError
from s3dlio.batches import Batches

COUNT = 21
SEED = 3


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> str:
    prefix = f"file://{tmp_path_factory.mktemp('batches')}/"
    for number in range(COUNT):
        s3dlio.write_npz(f"{prefix}{number:02}.npz", {"x": np.full((2, 2), number, np.int16), "n": np.int64(number)})
    return prefix


@pytest.fixture
def texts(tmp_path) -> str:
    for number in range(6):
        (tmp_path / f"{number}.txt").write_bytes(b"%d" % number * (number + 1))
    return f"file://{tmp_path}/"


def made(uri: str, **options: Any) -> Batches:
    return Batches(uri, **({"batch_size": 4, "decoder": "npz", "shuffle": True, "seed": SEED} | options))


def numbers(data: Any) -> list[int]:
    return [int(number) for batch in data for number in batch["n"]]


def order(epoch: int) -> list[int]:
    return s3dlio.order.permutation(COUNT, SEED, epoch).tolist()


def test_a_batch_is_a_stack(arrays):
    for batch in made(arrays):
        assert batch["x"].dtype == np.int16
        assert batch["x"].shape == (len(batch["n"]), 2, 2)
        assert np.array_equal(batch["x"][:, 1, 0], batch["n"])


def test_epochs_follow_each_other(arrays):
    data = made(arrays)
    assert [numbers(data) for _ in range(3)] == [order(0), order(1), order(2)]
    data.set_epoch(0)
    assert data.epoch == 0
    assert numbers(data) == order(0)
    with pytest.raises(ConfigError, match="epoch"):
        data.set_epoch(-1)


def test_ranks_come_from_the_run(arrays, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert made(arrays).state_dict()["rank"] == 1
    assert made(arrays, rank=0, world_size=2).state_dict()["world"] == 2
    assert made(arrays, loader_opts={"shard_rank": 3, "shard_world_size": 4}).state_dict()["rank"] == 3
    assert len(made(arrays)) == 2


def test_plain_bytes_are_views(texts):
    (batch,) = Batches(texts, batch_size=6)
    assert [array.tobytes() for array in batch] == [b"%d" % n * (n + 1) for n in range(6)]
    assert {array.flags.writeable for array in batch} == {False}
    (batch,) = Batches(texts, batch_size=6, writable=True)
    assert {array.flags.writeable for array in batch} == {True}


def test_single_samples(arrays):
    data = made(arrays, batch_size=1, batched=False)
    samples = iter(data)
    first = [int(next(samples)["n"]) for _ in range(5)]
    again = made(arrays, batch_size=1, batched=False)
    again.load_state_dict(samples.state_dict())
    assert first + [int(sample["n"]) for sample in again] == order(0)
    with pytest.raises(ConfigError, match="batch_size"):
        made(arrays, batched=False)


class TestTransform:
    @pytest.mark.parametrize(
        ("transform", "expected"),
        [
            (lambda s: s.tobytes(), [b"0", b"11"]),
            (lambda s: s.tobytes().decode(), ["0", "11"]),
            (len, [1, 2]),
            (lambda s: np.float32(s[0]), [48.0, 49.0]),
            (lambda s: {"l": len(s)}, {"l": [1, 2]}),
            (lambda s: (len(s), s[:1]), ([1, 2], [[48], [49]])),
            (lambda _: None, [None, None]),
        ],
    )
    def test_results_are_stacked(self, texts, transform, expected):
        batch = next(iter(Batches(texts, batch_size=2, transform=transform)))

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: plain(inner) for name, inner in value.items()}
            if isinstance(value, tuple):
                return tuple(plain(inner) for inner in value)
            return value.tolist() if isinstance(value, np.ndarray) else value

        assert plain(batch) == expected

    def test_or_listed(self, texts):
        batch = next(iter(Batches(texts, batch_size=3, transform=lambda s: s, collate="list")))
        assert [len(sample) for sample in batch] == [1, 2, 3]

    def test_what_does_not_stack(self, texts):
        for transform in (lambda s: s, lambda s: {"a": 1} if len(s) == 1 else {"b": 1}, lambda s: (1,) * len(s)):
            with pytest.raises(CorruptDataError):
                next(iter(Batches(texts, batch_size=2, transform=transform)))

    def test_an_error_comes_again(self, texts):
        seen = []

        def fail(sample: Any) -> Any:
            seen.append(len(sample))
            return 1 / 0

        batches = iter(Batches(texts, batch_size=2, transform=fail))
        for _ in range(2):
            with pytest.raises(TransformError, match=r"0\.txt: the transform raised ZeroDivisionError") as caught:
                next(batches)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert seen == [1]

    def test_of_whole_batches(self, arrays):
        assert [int(total) for total in made(arrays, batch_transform=lambda batch: batch["n"].sum(), last="drop")] == [
            sum(order(0)[at : at + 4]) for at in range(0, COUNT - 3, 4)
        ]
        with pytest.raises(TransformError, match="KeyError"):
            next(iter(made(arrays, batch_transform=lambda batch: batch["y"])))

    def test_bad_samples_can_be_skipped(self, texts):
        data = Batches(texts, batch_size=3, transform=lambda s: 1 // (len(s) % 2), on_error="skip")
        assert [len(batch) for batch in data] == [2, 1]
        assert data.stats()["skipped"] == 3
        assert data.stats()["samples"] == 3

    def test_bad_samples_can_be_replaced(self, texts):
        data = Batches(texts, batch_size=3, transform=lambda s: 1 // (len(s) % 2), on_error="replace")
        assert [len(batch) for batch in data] == [3, 3]
        assert data.stats()["skipped"] >= 3
        assert data.stats()["samples"] == 6

    def test_bad_samples_are_bounded_with_records_that_cannot_be_read(self, texts, tmp_path):
        def refuse(sample) -> int:
            return 1 // (len(sample) % 2)

        for bound, on_error in ((4, "skip"), (3, "skip"), (0, "skip"), (0, "replace")):
            data = Batches(texts, batch_size=6, transform=refuse, on_error=on_error, max_errors=bound)
            gone = tmp_path / "0.txt"
            content = gone.read_bytes()
            gone.unlink()
            try:
                if bound == 4:
                    assert sum(len(batch) for batch in data) == 2
                    assert data.stats()["skipped"] == 4
                else:
                    with pytest.raises((TransformError, s3dlio.NotFoundError), match=f"more than {bound} bad records"):
                        list(data)
            finally:
                gone.write_bytes(content)

    def test_can_be_switched_off(self, texts):
        batch = next(iter(Batches(texts, batch_size=1, transform=len, loader_opts={"enable_transforms": False})))
        assert batch[0].tobytes() == b"0"


class TestState:
    def test_after_any_batch(self, arrays):
        for taken in range(7):
            data = made(arrays)
            batches = iter(data)
            first = numbers(next(batches) for _ in range(min(taken, 6)))
            if taken == 6:
                assert next(batches, None) is None
            again = made(arrays)
            again.load_state_dict(data.state_dict())
            rest = numbers(again)
            assert (first + rest if taken < 6 else rest) == order(taken // 6)

    def test_of_another_epoch(self, arrays):
        data = made(arrays)
        data.load_state_dict(data.state_at((2, 1)))
        data.set_epoch(2)
        assert numbers(data) == order(2)[4:]
        data.load_state_dict(data.state_at((2, 1)))
        data.set_epoch(1)
        assert numbers(data) == order(1)

    def test_is_pickled_with_the_loader(self, arrays):
        data = made(arrays)
        next(iter(data))
        assert numbers(pickle.loads(pickle.dumps(data))) == order(1)

    def test_inside_a_batch_is_refused(self, arrays):
        state = made(arrays).state_dict() | {"sample": 1}
        with pytest.raises(StateMismatchError, match="1 samples"):
            made(arrays).load_state_dict(state)


class TestRecords:
    """The records of files, and what is done about bad ones."""

    @pytest.fixture
    def files(self, tmp_path) -> str:
        for shard in range(3):
            with s3dlio.TFRecordWriter(tmp_path / f"{shard}.tfrecord", index=True) as writer:
                for number in range(7):
                    writer.write(b"%d" % (shard * 7 + number))
        return f"file://{tmp_path}/"

    @pytest.mark.parametrize("kind", ["tfrecord", "auto"])
    def test_of_tfrecord_files(self, files, kind):
        options = {"pattern": "*.tfrecord", "format": kind, "batch_size": 4, "transform": lambda r: int(r.tobytes())}
        batches = [batch.tolist() for batch in Batches(files, **options)]
        assert [number for batch in batches for number in batch] == [*range(21)]
        shuffled = Batches(files, shuffle=True, seed=SEED, **options)
        whole = [batch.tolist() for batch in shuffled]
        assert sorted(number for batch in whole for number in batch) == [*range(21)]
        assert whole != batches
        shuffled.load_state_dict(shuffled.state_at((0, 2)))
        assert [batch.tolist() for batch in shuffled] == whole[2:]
        assert shuffled.bottleneck().startswith("waited")

    def test_of_a_data_source(self, files):
        source = s3dlio.TFRecordDataSource([f"{files}{shard}.tfrecord" for shard in (2, 0)])
        (batch,) = Batches(source, batch_size=14)
        assert [array.tobytes() for array in batch] == [b"%d" % n for n in (*range(14, 21), *range(7))]

    def test_of_another_loader(self, arrays):
        assert numbers(Batches(made(arrays), batch_size=2, decoder="npz")) == [*range(COUNT)]
        with pytest.raises(TypeError, match="format"):
            Batches(made(arrays), format="tfrecord")

    def test_bad_ones_can_be_replaced(self, texts, tmp_path):
        data = Batches(texts, batch_size=2, on_error="replace", max_errors=1)
        assert data.keeps_sizes
        (tmp_path / "3.txt").unlink()
        assert [len(batch) for batch in data] == [2, 2, 2]
        assert data.stats()["skipped"] == 1
        (tmp_path / "4.txt").unlink()
        with pytest.raises(s3dlio.NotFoundError):
            list(data)
