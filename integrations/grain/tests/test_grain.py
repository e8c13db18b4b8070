"""Grain over our sources, and Orbax with states of our loaders."""

from __future__ import annotations

import json
import pickle
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import grain
import numpy as np
import pytest
import s3dlio
from absl import flags
from s3dlio.array_record import ArrayRecordWriter
from s3dlio.errors import CorruptDataError, NotFoundError, StateMismatchError
from s3dlio_grain import Source

FOLDER = Path(__file__).parents[1]
COUNT = 30
FORMATS = ["objects", "array_record", "tfrecord", "npz", "decoded"]


@pytest.fixture(scope="module", autouse=True)
def parsed_flags():
    # Worker processes of Grain need flags, which only an absl application parses.
    flags.FLAGS.mark_as_parsed()


def record(number: int) -> bytes:
    return f"{number:03}".encode()


def write(place: str, kind: str) -> Source:
    """Write the records 0 to 29 in a format, and return their source."""
    if kind == "objects":
        s3dlio.put_many([(f"{place}/o/{number:03}", record(number)) for number in range(COUNT)])
        return Source(f"{place}/o/")
    if kind == "decoded":
        for number in range(COUNT):
            s3dlio.write_npz(f"{place}/d/{number:03}.npz", {"x": np.frombuffer(record(number), np.uint8)})
        return Source(f"{place}/d/", decoder="npz")
    if kind == "npz":
        for part in range(3):
            members = {record(n).decode(): np.frombuffer(record(n), np.uint8) for n in range(part * 10, part * 10 + 10)}
            s3dlio.write_npz(f"{place}/n/{part}.npz", members)
        return Source(f"{place}/n/", format="npz")
    writer = ArrayRecordWriter if kind == "array_record" else s3dlio.TFRecordWriter
    for part in range(3):
        with writer(f"{place}/{kind}/{part}.{kind}") as file:
            for number in range(part * 10, part * 10 + 10):
                file.write(record(number))
    return Source(f"{place}/{kind}/", format="auto")


def text(found: Any) -> bytes:
    found = found["x"] if isinstance(found, dict) else found
    return found if isinstance(found, bytes) else found.tobytes()


@pytest.fixture
def source(request, bucket) -> Source:
    return write(bucket, request.param)


@pytest.mark.parametrize("source", FORMATS, indirect=True)
class TestFormats:
    def test_records_by_number(self, source):
        assert isinstance(source, grain.sources.RandomAccessDataSource)
        assert [text(source[number]) for number in (0, 7, COUNT - 1, -1)] == [record(n) for n in (0, 7, 29, 29)]
        assert [text(one) for one in source._getitems([12, 3, 12])] == [record(n) for n in (12, 3, 12)]
        with pytest.raises(IndexError):
            source[COUNT]
        again = pickle.loads(pickle.dumps(source))
        assert (repr(again), len(again), text(again[4])) == (repr(source), COUNT, record(4))

    def test_iterators_go_on(self, source):
        data = grain.MapDataset.source(source).shuffle(seed=1).map(text).batch(4)
        whole = [batch.tolist() for batch in data]
        assert sorted(one for batch in whole for one in batch) == [record(number) for number in range(COUNT)]
        batches = iter(data.to_iter_dataset())
        assert [next(batches).tolist() for _ in range(3)] == whole[:3]
        state = json.loads(json.dumps(batches.get_state()))
        again = iter(data.to_iter_dataset())
        again.set_state(state)
        assert [batch.tolist() for batch in again] == whole[3:]


@pytest.mark.parametrize("source", ["tfrecord"], indirect=True)
def test_worker_processes_go_on(source):
    data = grain.MapDataset.source(source).shuffle(seed=1).map(text).batch(4)
    whole = [batch.tolist() for batch in data]
    workers = data.to_iter_dataset().mp_prefetch(grain.MultiprocessingOptions(num_workers=2))
    batches = iter(workers)
    assert [next(batches).tolist() for _ in range(3)] == whole[:3]
    state = batches.get_state()
    again = iter(workers)
    again.set_state(state)
    assert [batch.tolist() for batch in again] == whole[3:]


def test_grains_data_loader_refuses_the_state_of_other_records(bucket):
    def loader(source: Source) -> Any:
        sampler = grain.samplers.IndexSampler(len(source), num_epochs=1, shuffle=True, seed=3)
        return grain.DataLoader(data_source=source, sampler=sampler, operations=[grain.transforms.Batch(5)])

    source = write(bucket, "objects")
    whole = [batch.tolist() for batch in loader(source)]
    batches = iter(loader(source))
    next(batches)
    state = batches.get_state()
    again = iter(loader(source))
    again.set_state(state)
    assert [batch.tolist() for batch in again] == whole[1:]
    with pytest.raises(ValueError, match="source"):
        iter(loader(write(bucket, "tfrecord"))).set_state(state)


def test_many_records_are_read_together(testkit):
    place = testkit.bucket()
    source = write(place, "array_record")
    assert len(source) == COUNT
    testkit.reset()
    assert [text(one) for one in source._getitems(range(COUNT))] == [record(number) for number in range(COUNT)]
    # One read for each of the three files, whose records are in one chunk, and what opening a file takes.
    assert testkit.counts()["requests"] <= 9


def test_data_sets_are_sources(bucket):
    dataset = write(bucket, "objects").dataset
    assert [text(one) for one in Source(dataset.select(range(3, 6)).repeat(2))._getitems([0, 3, 5])] == [
        record(number) for number in (3, 3, 5)
    ]
    with pytest.raises(TypeError, match="data set"):
        Source(dataset, format="npz")
    with pytest.raises(NotFoundError):
        Source(f"{bucket}/nothing/")


class TestOrbax:
    def test_a_manager_keeps_the_state(self, bucket, tmp_path):
        import orbax.checkpoint as ocp
        from s3dlio.jax import Loader
        from s3dlio_grain.orbax import LoaderRestore, LoaderSave

        s3dlio.put_many([(f"{bucket}/o/{number:03}", record(number)) for number in range(COUNT)])

        def loader(**options: Any) -> Any:
            return Loader(f"{bucket}/o/", batch_size=4, shuffle=True, arrays="numpy", seed=3, **options)

        whole = [[one.tobytes() for one in batch] for batch in loader()]
        running = loader()
        batches = iter(running)
        model = {"w": np.arange(3)}
        with ocp.CheckpointManager(tmp_path / "run") as manager:
            for _ in range(3):
                next(batches)
            saved = ocp.args.Composite(model=ocp.args.StandardSave(model), loader=LoaderSave(running))
            manager.save(3, args=saved)
            manager.wait_until_finished()
        again = loader()
        with ocp.CheckpointManager(tmp_path / "run") as manager:
            wanted = ocp.args.Composite(model=ocp.args.StandardRestore(model), loader=LoaderRestore(again))
            assert manager.restore(3, args=wanted)["model"]["w"].tolist() == [0, 1, 2]
        assert [[one.tobytes() for one in batch] for batch in again] == whole[3:]

    def test_a_manager_keeps_trees_in_the_format_of_s3dlio(self, tmp_path):
        import jax
        import orbax.checkpoint as ocp
        from s3dlio_grain.orbax import TreeRestore, TreeSave

        tree = {
            "layers": [{"w": jax.numpy.arange(12, dtype="bfloat16").reshape(3, 4)}, {"b": np.float32(0.5)}],
            "step": 7,
            "key": jax.random.key(3),
        }
        with ocp.CheckpointManager(tmp_path / "run") as manager:
            for step in (1, 2):
                manager.save(step, args=ocp.args.Composite(tree=TreeSave(tree | {"step": step})))
            manager.wait_until_finished()
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("x",))
        placed = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
        into = tree | {
            "layers": [{"w": jax.device_put(jax.numpy.zeros((3, 4), "bfloat16"), placed)}, tree["layers"][1]]
        }
        with ocp.CheckpointManager(tmp_path / "run") as manager:
            plain = manager.restore(2, args=ocp.args.Composite(tree=TreeRestore()))["tree"]
            found = manager.restore(1, args=ocp.args.Composite(tree=TreeRestore(into)))["tree"]
        assert (plain["step"], found["step"]) == (2, 1)
        assert found["layers"][0]["w"].sharding == placed
        for restored in (plain, found):
            weights = np.asarray(restored["layers"][0]["w"])
            assert (weights == np.asarray(tree["layers"][0]["w"])).all()
            assert jax.random.key_data(restored["key"]).tolist() == jax.random.key_data(tree["key"]).tolist()
        # What Orbax has renamed is a checkpoint like any other.
        own = s3dlio.CheckpointManager(f"file://{tmp_path}/run/2/tree")
        assert own.steps() == [0]
        own.verify(0)

    def test_damage_of_a_tree_is_noticed(self, tmp_path):
        from s3dlio_grain.orbax import TreeHandler, TreeRestore, TreeSave

        TreeHandler().save(tmp_path, TreeSave({"w": np.arange(1000.0)}))
        largest = max((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
        with pytest.raises(CorruptDataError):
            TreeHandler().restore(tmp_path, TreeRestore())
        with pytest.raises(NotFoundError):
            TreeHandler().restore(tmp_path / "nothing", TreeRestore())
        with pytest.raises(TypeError, match="model"):
            TreeHandler().save(tmp_path / "other", TreeSave({"model": object()}))

    def test_what_cannot_be_restored(self, bucket, tmp_path):
        from s3dlio.batches import Batches
        from s3dlio_grain.orbax import LoaderHandler, LoaderRestore, LoaderSave

        s3dlio.put_many([(f"{bucket}/o/{number:03}", record(number)) for number in range(COUNT)])
        loader = Batches(f"{bucket}/o/", seed=1)
        with pytest.raises(NotFoundError, match=r"loader\.json"):
            LoaderHandler().restore(tmp_path, LoaderRestore(loader))
        LoaderHandler().save(tmp_path, LoaderSave(loader))
        with pytest.raises(StateMismatchError):
            LoaderHandler().restore(tmp_path, LoaderRestore(Batches(f"{bucket}/o/", seed=2)))
        (tmp_path / "loader.json").write_text("{")
        with pytest.raises(CorruptDataError):
            LoaderHandler().restore(tmp_path, LoaderRestore(loader))


class TestDocuments:
    def test_the_readme(self, bucket, tmp_path):
        with ArrayRecordWriter(f"{bucket}/train/a.array_record") as file:
            for number in range(COUNT):
                file.write(record(number))
        names: dict[str, Any] = {"folder": tmp_path / "run"}
        for example in re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), flags=re.DOTALL):
            exec(example.replace("s3://bucket", bucket), names)  # noqa: S102 - the text of this project
        assert names["first"].tolist() == [3] * 8
        assert names["loader"].state_dict()["batch"] == 1

    def test_the_example(self, bucket, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["train.py", f"{bucket}/run"])
        runpy.run_path(str(FOLDER / "examples" / "train.py"), run_name="__main__")
        assert capsys.readouterr().out == "64 records, 64 different ones\n"
