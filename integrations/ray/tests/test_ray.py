"""Ray Data on our sources, and Ray Train with the state of our loaders."""

from __future__ import annotations

import re
import runpy
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import ray
import ray.data
import s3dlio
import torch
from s3dlio import tfrecord
from s3dlio.array_record import ArrayRecordWriter
from s3dlio.errors import ConfigError, CorruptDataError, NotFoundError, StateMismatchError
from s3dlio.torch import Loader
from s3dlio_ray import StoreDatasource, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.servers import S3Server

FOLDER = Path(__file__).parents[1]
COUNT = 30

# Processes of Ray start slowly where others keep the cores busy.
pytestmark = [
    pytest.mark.timeout(300),
    # Ray's context says so of its own defaults.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
    pytest.mark.filterwarnings("ignore:`target_shuffle_max_block_size` is deprecated:UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster(s3: S3Server) -> Iterator[None]:
    """Run Ray on this machine, with workers that find the S3 server in their environment."""
    # Paths of sockets have 107 characters at most, which those of pytest's folders would not leave.
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            # Elsewhere Ray keeps a token in the home directory.
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            # The default, two seconds, is what a short run would mostly wait for.
            "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
            # Ray sets its own, and this gives back what was there.
            "PYTHONBREAKPOINT": "pdb.set_trace",
        }.items():
            patch.setenv(name, value)
        # Ray and its trainers take these over and keep them.
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 << 20,
            log_to_driver=False,
            configure_logging=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        try:
            ray.data.DataContext.get_current().enable_progress_bars = False
            yield
        finally:
            ray.shutdown()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["s3", "file"])
def store(request, place) -> str:
    return place(request.param)


def record(number: int) -> bytes:
    # Some end in zeros, which NumPy's own type for bytes would lose.
    return f"{number:03}".encode() + bytes(number % 3)


def put_records(place: str) -> None:
    s3dlio.put_many([(f"{place}/{number:03}", record(number)) for number in range(COUNT)])


def blocks_of(source: StoreDatasource, tasks: int, **options: Any) -> list[list[Any]]:
    """Read in this process what the tasks of a source would."""
    return [[*task()] for task in source.get_read_tasks(tasks, **options)]


class TestRead:
    def test_objects_are_rows(self, store):
        put_records(store)
        rows = read(f"{store}/", include_paths=True, include_position=True, override_num_blocks=3)
        assert rows.count() == COUNT
        # Ray gives blocks in the order in which their tasks end.
        assert sorted(rows.take_all(), key=lambda row: row["position"]) == [
            {"bytes": record(number), "path": f"{store}/{number:03}", "position": number} for number in range(COUNT)
        ]

    def test_an_error_of_a_task_keeps_its_class_and_uri(self, bucket):
        put_records(bucket)
        rows = read([f"{bucket}/001", f"{bucket}/missing"], override_num_blocks=1)
        with pytest.raises(NotFoundError, match=f"{bucket}/missing") as caught:
            rows.take_all()
        assert caught.value.uri == f"{bucket}/missing"
        assert type(caught.value.cause) is NotFoundError

    def test_options(self, bucket):
        put_records(bucket)
        with pytest.raises(TypeError, match="override_blocks"):
            read(bucket, override_blocks=3)
        with pytest.raises(NotFoundError):
            read(f"{bucket}/nothing/")


class TestTasks:
    @pytest.mark.parametrize("kind", ["array_record", "tfrecord", "auto"])
    def test_records_of_files_are_divided_evenly(self, bucket, kind):
        writer = s3dlio.TFRecordWriter if kind == "tfrecord" else ArrayRecordWriter
        for part in range(2):
            with writer(f"{bucket}/{part}.{'array_record' if kind == 'auto' else kind}") as file:
                for number in range(part * 15, part * 15 + 15):
                    file.write(record(number))
        source = StoreDatasource(f"{bucket}/", format=kind)
        tasks = source.get_read_tasks(4)
        assert [task.metadata.num_rows for task in tasks] == [7, 8, 7, 8]
        assert sum(task.metadata.size_bytes for task in tasks) == source.estimate_inmemory_data_size()
        found = [value for blocks in blocks_of(source, 4) for block in blocks for value in block["bytes"].to_pylist()]
        assert found == [record(number) for number in range(COUNT)]
        assert len(source.get_read_tasks(1000)) == COUNT

    def test_blocks_are_bounded(self, tmp_path):
        s3dlio.put_many([(f"file://{tmp_path}/{number:03}", bytes(10_000)) for number in range(COUNT)])
        context = ray.data.DataContext.get_current().copy()
        context.target_max_block_size = 40_000
        (blocks,) = blocks_of(StoreDatasource(f"file://{tmp_path}/"), 1, data_context=context)
        assert [block.num_rows for block in blocks] == [4] * 7 + [2]

    def test_a_limit_reads_no_more(self, testkit):
        place = testkit.bucket()
        put_records(place)
        source = StoreDatasource(f"{place}/")
        tasks = source.get_read_tasks(2, per_task_row_limit=3)
        assert [task.metadata.num_rows for task in tasks] == [3, 3]
        testkit.reset()
        assert sum(block.num_rows for task in tasks for block in task()) == 6
        assert testkit.counts()["requests"] == 6

    def test_sizes_that_nothing_has_told(self, bucket):
        put_records(bucket)
        source = StoreDatasource([f"{bucket}/{number:03}" for number in range(4)])
        assert source.estimate_inmemory_data_size() is None
        assert [task.metadata.size_bytes for task in source.get_read_tasks(2)] == [None, None]

    def test_records_that_are_left_out(self, bucket):
        put_records(bucket)
        uris = [f"{bucket}/000", f"{bucket}/missing", f"{bucket}/002"]
        source = StoreDatasource(uris, options={"on_error": "skip"})
        (task,) = source.get_read_tasks(1, per_task_row_limit=2)
        assert task.metadata.num_rows is None
        assert [value for block in task() for value in block["bytes"].to_pylist()] == [record(0), record(2)]
        with pytest.raises(ConfigError, match="on_error"):
            StoreDatasource(uris, options={"on_error": "skip"}, include_paths=True)

    def test_data_sets_are_sources(self, bucket):
        put_records(bucket)
        dataset = s3dlio.PyDataset(f"{bucket}/")
        (blocks,) = blocks_of(StoreDatasource(dataset.select(range(3, 5)).repeat(2)), 1)
        assert blocks[0]["bytes"].to_pylist() == [record(number) for number in (3, 4, 3, 4)]
        with pytest.raises(TypeError, match="data set"):
            StoreDatasource(dataset, decoder="npz")
        with pytest.raises(ConfigError, match="shuffle"):
            StoreDatasource(f"{bucket}/", options={"shuffle": True})


class TestColumns:
    def rows(self, source: StoreDatasource) -> list[dict[str, Any]]:
        (blocks,) = blocks_of(source, 1)
        return [row for block in blocks for row in ray.data.block.BlockAccessor.for_block(block).iter_rows(True)]

    def test_fields(self, bucket):
        for number in range(3):
            fields = {"x": np.full((2, 3), number), "ragged": np.ones((number + 1, 2)), "label": np.int64(number)}
            s3dlio.write_npz(f"{bucket}/{number}.npz", fields)
        rows = self.rows(StoreDatasource(f"{bucket}/", decoder="npz", include_position=True))
        for number, row in enumerate(rows):
            assert row["x"].tolist() == np.full((2, 3), number).tolist()
            assert row["ragged"].shape == (number + 1, 2)
            assert (row["label"], row["position"]) == (number, number)
        s3dlio.write_npz(f"{bucket}/9.npz", {"position": np.ones(1)})
        with pytest.raises(ConfigError, match=r"9\.npz.*'position'"):
            self.rows(StoreDatasource(f"{bucket}/", decoder="npz", include_position=True))

    def test_records_with_other_fields_begin_a_block(self, bucket):
        for number, name in enumerate("aab"):
            s3dlio.write_npz(f"{bucket}/{number}.npz", {name: np.ones(2)})
        assert [[*row] for row in self.rows(StoreDatasource(f"{bucket}/", decoder="npz"))] == [["a"], ["a"], ["b"]]

    def test_arrays_texts_and_images(self, bucket):
        from io import BytesIO

        from PIL import Image

        s3dlio.write_npz(f"{bucket}/n/0.npz", {"a": np.arange(3), "b": np.arange(3, 6)})
        rows = self.rows(StoreDatasource(f"{bucket}/n/", format="npz"))
        assert [row["array"].tolist() for row in rows] == [[0, 1, 2], [3, 4, 5]]
        s3dlio.put(f"{bucket}/t/0", "ä".encode())
        assert self.rows(StoreDatasource(f"{bucket}/t/", decoder="text")) == [{"text": "ä"}]
        for width in (4, 5):
            Image.new("RGB", (width, 3), "red").save(encoded := BytesIO(), "png")
            s3dlio.put(f"{bucket}/i/{width}", encoded.getvalue())
        rows = self.rows(StoreDatasource(f"{bucket}/i/", decoder="image"))
        assert [row["image"].shape for row in rows] == [(3, 4, 3), (3, 5, 3)]
        s3dlio.put(f"{bucket}/i/9", b"no image")
        with pytest.raises(CorruptDataError, match=f"{bucket}/i/9"):
            self.rows(StoreDatasource(f"{bucket}/i/", decoder="image"))

    def test_examples(self, bucket):
        names = {"name": np.array([b"a\0", b"b"], object), "label": np.int64(7)}
        with s3dlio.TFRecordWriter(f"{bucket}/a.tfrecord") as file:
            file.write(tfrecord.serialize_example(names))
        features = {
            "name": tfrecord.FixedLenFeature((2,), "bytes"),
            "label": tfrecord.FixedLenFeature((), "int64"),
        }
        decoder = tfrecord.example_decoder(features)
        (row,) = self.rows(StoreDatasource(f"{bucket}/", format="tfrecord", decoder=decoder))
        assert (list(row["name"]), row["label"]) == ([b"a\0", b"b"], 7)


def undisturbed(place: str) -> list[float]:
    """Train as the example does, both ranks in this process."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    ranks = [
        Loader(f"{place}/train/", batch_size=8, decoder="npz", shuffle=True, seed=3, rank=rank, world_size=2)
        for rank in range(2)
    ]
    for _ in range(2):
        for batches in zip(*ranks, strict=True):
            optimizer.zero_grad()
            for batch in batches:
                # What DistributedDataParallel does: the mean of the gradients of all ranks.
                ((model(batch["x"]) - batch["y"]).square().mean() / 2).backward()
            optimizer.step()
    return [value for tensor in model.parameters() for value in tensor.flatten().tolist()]


class TestTrain:
    def test_a_killed_worker_costs_no_step(self, bucket, monkeypatch, capsys):
        # Each rank has 13 batches in an epoch, so it is in the second one that a worker is killed.
        monkeypatch.setattr(sys, "argv", ["train.py", bucket, "22"])
        runpy.run_path(str(FOLDER / "examples" / "train.py"), run_name="__main__")
        found = re.search(r"^(\d+) steps .*, weights \[(.*)\]$", capsys.readouterr().out, flags=re.MULTILINE)
        assert found is not None
        # Saved were steps 5, 10, 15 and 20, of which Ray may not have noted the last one.
        assert int(found[1]) in {26 - 20, 26 - 15}
        assert [float(value) for value in found[2].split(",")] == undisturbed(bucket)

    def test_what_cannot_be_restored(self, bucket, tmp_path, monkeypatch):
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer
        from s3dlio_ray.train import report, restore, storage

        put_records(bucket)
        found: list[Any] = []
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

        def train() -> None:
            loader = Loader(f"{bucket}/", batch_size=4)
            found.append(restore({"loader": loader}))
            next(iter(loader))
            report({}, {"loader": loader})
            again = Loader(f"{bucket}/", batch_size=4)
            found.append(restore({"loader": again}))
            found.append(again.state_dict()["batch"])
            for state in ({"model": loader}, {"loader": Loader(f"{bucket}/", batch_size=4, seed=1)}):
                with pytest.raises(StateMismatchError):
                    restore(state)

        TorchTrainer(
            train, scaling_config=ScalingConfig(num_workers=0), run_config=RunConfig(**storage(f"{bucket}/runs"))
        ).fit()
        assert found == [False, True, 1]
        with pytest.raises(ValueError, match="ftp"):
            storage("ftp://host/runs")


class TestDocuments:
    def test_the_readme(self, bucket, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        for number in range(20):
            x = np.full(4, number, np.float32)
            s3dlio.write_npz(f"{bucket}/train/{number:02}.npz", {"x": x, "y": x[:1]})
        names: dict[str, Any] = {}
        for example in re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), flags=re.DOTALL):
            # Without workers the function runs in this process.
            text = example.replace("s3://bucket", bucket).replace("num_workers=2", "num_workers=0")
            exec(text, names)  # noqa: S102 - the text of this project
        sums = {f"{bucket}/train/{number:02}.npz": number * 4 for number in range(20)}
        assert [row["sum"] for row in names["first"]] == [sums[row["path"]] for row in names["first"]]
        assert names["result"].metrics["epoch"] == 2
