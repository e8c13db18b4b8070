"""JAX: arrays on devices, places in them, states, Grain."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3dlio
from s3dlio import ConfigError, CorruptDataError, NotFoundError, S3JaxIterable, StateMismatchError, TransformError
from s3dlio.errors import CheckpointError

from tests.fixtures.archives import COUNT, archive
from tests.fixtures.servers import free_port
from tests.frameworks.programs.archives import BATCH, OPTIONS, SEED, labels, pure, take
from tests.frameworks.programs.numbers import ROOT, put_numbers, sequence

PROGRAM = Path(__file__).parent / "programs" / "jax_train.py"

DOCUMENTED = """
from s3dlio import S3JaxIterable

# Create JAX-compatible iterable
jax_iter = S3JaxIterable(
    uri="s3://bucket/training-data/",
    pattern="*.npz",
    batch_size=32
)

# Iterate over batches
for batch in jax_iter:
    # JAX training code
    pass
"""


@pytest.fixture(scope="module")
def sj(jax) -> Any:
    import s3dlio.jax

    return s3dlio.jax


def loader(sj: Any, uri: str, **options: Any) -> Any:
    return sj.Loader(uri, **(OPTIONS | options))


def test_the_documented_iterable(jax, s3) -> None:
    bucket = s3.bucket("bucket")
    s3dlio.put_many([(f"{bucket}/training-data/{number:03}.npz", archive(number)) for number in range(40)])
    s3dlio.put(f"{bucket}/training-data/notes.txt", b"not for training")
    names: dict[str, Any] = {}
    exec(compile(DOCUMENTED, "documented", "exec"), names)  # noqa: S102 - the text is above
    assert [len(batch) for batch in names["jax_iter"]] == [32, 8]
    assert names["batch"].shape == (8, len(archive(0)))
    assert names["batch"][7].tobytes() == archive(39)
    assert names["S3JaxIterable"] is __import__("s3dlio.jax", fromlist=["S3JaxIterable"]).S3JaxIterable


class TestBatches:
    def test_arrays_of_jax(self, jax, sj, arrays) -> None:
        batches = list(loader(sj, arrays))
        assert [labels(batch) for batch in batches] == pure(0)
        for batch in batches:
            assert isinstance(batch["x"], jax.Array)
            assert batch["x"].dtype == np.float32
            assert batch["x"].shape == (len(batch["label"]), 2, 3)
            assert np.array_equal(batch["x"][:, 0, 0], batch["label"])
            # JAX has no text.
            assert [int(name) for name in batch["name"]] == [*labels(batch)]

    def test_arrays_of_numpy(self, sj, arrays) -> None:
        for batch in loader(sj, arrays, arrays="numpy"):
            assert type(batch["x"]) is type(batch["label"]) is np.ndarray

    def test_each_iteration_is_the_next_epoch(self, sj, arrays) -> None:
        data = loader(sj, arrays)
        assert len(data) == len(pure(0))
        assert [[labels(batch) for batch in data] for _ in range(3)] == [pure(0), pure(1), pure(2)]
        data.set_epoch(1)
        assert data.epoch == 1
        assert take(data, 3) == pure(1)[:3]

    @pytest.mark.parametrize("last", ["drop", "pad", "wrap", "uneven", None])
    def test_processes_share_the_data(self, sj, arrays, last) -> None:
        for index in range(3):
            part = loader(sj, arrays, process_index=index, process_count=3, last=last)
            assert [labels(batch) for batch in part] == pure(0, index, 3, last=last)
            assert len(part) == len(pure(0, index, 3, last=last))

    def test_this_process_is_the_default(self, sj, arrays, monkeypatch) -> None:
        # Processes of JAX and not those of another launcher.
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        assert loader(sj, arrays).state_dict()["world"] == 1
        monkeypatch.setattr("jax.process_count", lambda: 2)
        monkeypatch.setattr("jax.process_index", lambda: 1)
        assert [labels(batch) for batch in loader(sj, arrays)] == pure(0, 1, 2)

    def test_functions_of_the_user(self, jax, sj, arrays) -> None:
        data = loader(
            sj,
            arrays,
            transform=lambda sample: (sample["x"].sum(), int(sample["label"])),
            batch_transform=lambda batch: {"total": batch[0], "label": batch[1]},
        )
        for batch in data:
            assert np.array_equal(batch["total"], batch["label"] * 6)
        assert isinstance(batch["total"], jax.Array)

    def test_plain_bytes(self, jax, sj, tmp_path) -> None:
        for number in range(4):
            (tmp_path / f"{number}").write_bytes(bytes([number]) * (2 + number // 2))
        even, uneven = (list(sj.Loader(f"file://{tmp_path}/", batch_size=size)) for size in (2, 4))
        assert [batch.shape for batch in even] == [(2, 2), (2, 3)]
        assert [batch.tolist() for batch in uneven[0]] == [[0, 0], [1, 1], [2, 2, 2], [3, 3, 3]]
        assert isinstance(uneven[0][0], jax.Array)


@pytest.mark.usefixtures("sj")
class TestIterable:
    def test_one_array_for_each_object(self, tmp_path) -> None:
        put_numbers(f"file://{tmp_path}/", 10)
        for data in (S3JaxIterable(f"file://{tmp_path}/"), S3JaxIterable.from_prefix(f"file://{tmp_path}/", seed=1)):
            samples = list(data)
            assert [int.from_bytes(sample.tobytes(), "little") for sample in samples] == [*range(10)]
            assert {(type(s), s.dtype.str, s.shape, s.flags.writeable) for s in samples} == {
                (np.ndarray, "|u1", (4,), False)
            }

    def test_a_state_counts_samples(self, tmp_path) -> None:
        put_numbers(f"file://{tmp_path}/", 100)
        data = S3JaxIterable(f"file://{tmp_path}/", shuffle=True, transform=lambda s: int(s.view("<u4")[0]))
        first = list(itertools.islice(data, 37))
        again = S3JaxIterable(f"file://{tmp_path}/", shuffle=True, transform=lambda s: int(s.view("<u4")[0]))
        again.load_state_dict(data.state_dict())
        assert first + list(again) == sequence(100, 0, 0)

    def test_writable_samples(self, tmp_path) -> None:
        put_numbers(f"file://{tmp_path}/", 2)
        with pytest.warns(UserWarning, match="read-only"):
            S3JaxIterable(f"file://{tmp_path}/", suppress_nonwritable_warning=False)
        for sample in S3JaxIterable(f"file://{tmp_path}/", writable=True, suppress_nonwritable_warning=False):
            sample[0] = 1

    def test_options_in_a_dict(self, tmp_path) -> None:
        put_numbers(f"file://{tmp_path}/", 10)
        found = list(S3JaxIterable(f"file://{tmp_path}/", loader_opts={"batch_size": 4, "drop_last": True}))
        assert [batch.shape for batch in found] == [(4, 4), (4, 4)]


class TestState:
    @pytest.mark.parametrize("ahead", [0, 2, 50])
    def test_after_any_batch_it_gives_the_rest(self, sj, arrays, ahead) -> None:
        expected = [*pure(0), *pure(1), *pure(2)]
        for taken in (0, 1, 5, len(pure(0)), len(pure(0)) + 3):
            data = loader(sj, arrays, device_prefetch=ahead)
            assert take(data, taken) == expected[:taken]
            state = data.state_dict()
            again = loader(sj, arrays, device_prefetch=ahead)
            again.load_state_dict(pickle.loads(pickle.dumps(state)))
            assert take(again, 10) == expected[taken : taken + 10]

    def test_at_the_end_of_an_epoch(self, sj, arrays) -> None:
        data = loader(sj, arrays, device_prefetch=2)
        list(data)
        assert (data.state_dict()["epoch"], data.state_dict()["batch"]) == (1, 0)

    def test_other_processes_go_on(self, sj, arrays) -> None:
        whole = loader(sj, arrays, last="wrap")
        assert take(whole, 3) == pure(0, last="wrap")[:3]
        rest = []
        for index in range(2):
            part = loader(sj, arrays, process_index=index, process_count=2, batch_size=BATCH // 2)
            part.load_state_dict(whole.state_dict())
            rest.append([labels(batch) for batch in part])
        assert [a + b for a, b in zip(*rest, strict=True)] == pure(0, last="wrap")[3:]

    def test_iterators_have_states_too(self, sj, arrays) -> None:
        data = loader(sj, arrays, device_prefetch=1)
        iterator = iter(data)
        for _ in range(3):
            next(iterator)
        state = iterator.get_state()
        assert state == data.get_state()
        rest = [labels(batch) for batch in iterator]
        iterator.set_state(state)
        assert [labels(batch) for batch in iterator] == rest == pure(0)[3:]

    def test_another_order_is_refused(self, sj, arrays) -> None:
        state = loader(sj, arrays).state_dict()
        with pytest.raises(StateMismatchError, match="seed"):
            loader(sj, arrays, seed=SEED + 1).load_state_dict(state)

    def test_a_pickled_loader_goes_on(self, sj, arrays) -> None:
        data = loader(sj, arrays)
        data.load_state_dict(data.state_at((1, 2)))
        assert take(pickle.loads(pickle.dumps(data)), 3) == pure(1)[2:5]


class TestPlaces:
    def test_batches_lie_on_all_devices(self, jax, sj, arrays) -> None:
        mesh = jax.make_mesh((4,), ("data",))
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        data = loader(sj, arrays, batch_size=8, sharding=sharding, device_prefetch=2)
        batches = list(data)
        assert [labels(batch) for batch in batches] == pure(0, batch=8, last="wrap")
        for batch in batches:
            assert batch["x"].sharding.is_equivalent_to(sharding, 3)
            assert {shard.data.shape for shard in batch["x"].addressable_shards} == {(2, 2, 3)}

    def test_a_tree_of_shardings(self, jax, sj, arrays) -> None:
        mesh = jax.make_mesh((4,), ("data",))
        spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        data = loader(
            sj,
            arrays,
            sharding={"x": spread, "label": everywhere},
            transform=lambda sample: {"x": sample["x"], "label": sample["label"]},
        )
        batch = next(iter(data))
        assert batch["x"].sharding.is_equivalent_to(spread, 3)
        assert batch["label"].sharding.is_fully_replicated

    def test_one_device(self, jax, sj, arrays) -> None:
        device = jax.devices()[2]
        assert {batch["x"].device for batch in loader(sj, arrays, device=device)} == {device}

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({"arrays": "torch"}, "arrays"),
            ({"arrays": "numpy", "device_prefetch": 2}, "arrays"),
            ({"device_prefetch": -1}, "device_prefetch"),
            ({"process_index": 0}, "process_index"),
            ({"sharding": "s", "device": "d"}, "device"),
            ({"sharding": "s", "last": "uneven"}, "last"),
            ({"sharding": "s", "on_error": "skip"}, "on_error"),
            ({"batched": False}, "batch_size"),
            ({"batched": False, "batch_size": 1, "batch_transform": len}, "batch_transform"),
            ({"shufle": True}, "shufle"),
        ],
    )
    def test_options_that_cannot_be(self, sj, arrays, options, name) -> None:
        with pytest.raises(ConfigError, match=name):
            loader(sj, arrays, **options)


class TestErrors:
    @pytest.mark.parametrize("ahead", [0, 2])
    def test_a_lost_object_ends_no_epoch_in_silence(self, sj, tmp_path, ahead) -> None:
        uri = f"file://{tmp_path}/"
        put_numbers(uri, 12)
        data = iter(sj.Loader(uri, batch_size=2, device_prefetch=ahead, prefetch=1))
        (tmp_path / "0009.bin").unlink()
        assert len([*itertools.islice(data, 4)]) == 4
        for _ in range(2):
            with pytest.raises(NotFoundError, match=r"0009\.bin"):
                next(data)

    def test_bad_samples_can_be_skipped(self, sj, tmp_path) -> None:
        uri = f"file://{tmp_path}/"
        put_numbers(uri, 6)

        def refuse(sample: Any) -> Any:
            if sample[0] in (0, 2, 3):
                raise ValueError
            return sample

        with pytest.raises(TransformError, match=r"0000\.bin"):
            list(sj.Loader(uri, batch_size=2, transform=refuse))
        data = sj.Loader(uri, batch_size=2, transform=refuse, on_error="skip")
        with pytest.warns(RuntimeWarning, match="batch 1"):
            assert [len(batch) for batch in data] == [1, 2]
        assert data.stats()["skipped"] == 3

    def test_samples_that_do_not_stack(self, sj, tmp_path) -> None:
        for number in range(2):
            (tmp_path / f"{number}").write_bytes(bytes(number + 1))
        with pytest.raises(CorruptDataError, match="collate='list'"):
            list(sj.Loader(f"file://{tmp_path}/", transform=lambda sample: {"x": sample}))


class TestGrain:
    def test_a_source(self, sj, arrays) -> None:
        import grain

        source = sj.Source(arrays, decoder="npz")
        assert isinstance(source, grain.sources.RandomAccessDataSource)
        assert len(source) == COUNT
        assert repr(source) == repr(pickle.loads(pickle.dumps(source)))
        assert [int(sample["label"]) for sample in source.__getitems__([3, -1])] == [3, COUNT - 1]
        with pytest.raises(IndexError):
            source[COUNT]
        data = grain.MapDataset.source(source).shuffle(seed=1).map(lambda s: {"label": s["label"]}).batch(BATCH)
        found = iter(data.to_iter_dataset())
        first = labels(next(found))
        state = found.get_state()
        rest = [labels(batch) for batch in found]
        again = iter(data.to_iter_dataset())
        again.set_state(state)
        assert [labels(batch) for batch in again] == rest
        assert sorted([*first, *(label for batch in rest for label in batch)]) == [*range(COUNT)]

    def test_records_of_files(self, sj, tmp_path) -> None:
        with s3dlio.TFRecordWriter(tmp_path / "a.tfrecord", index=True) as writer:
            for number in range(5):
                writer.write(bytes([number]))
        source = sj.Source(f"file://{tmp_path}/", pattern="*.tfrecord", format="tfrecord")
        assert [sample.tolist() for sample in source.__getitems__(range(5))] == [[number] for number in range(5)]
        (batch,) = sj.Loader(source.dataset, batch_size=5)
        assert batch.shape == (5, 1)

    def test_plain_bytes(self, sj, tmp_path) -> None:
        put_numbers(f"file://{tmp_path}/", 3)
        assert sj.Source(f"file://{tmp_path}/", pattern="*2.bin")[0].tolist() == [2, 0, 0, 0]


def two_processes(program: str, place: str) -> list[str]:
    """Run a program as two processes with two devices each; the last line of each."""
    port = free_port()
    command = [sys.executable, "-m", f"tests.frameworks.programs.{program}", place, str(port)]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
    processes = [
        subprocess.Popen(
            [*command, str(index)], env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for index in range(2)
    ]
    said = [process.communicate(timeout=90) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return [out.splitlines()[-1] for out, _ in said]


def test_two_processes_make_global_arrays(arrays) -> None:
    found = [json.loads(line) for line in two_processes("jax_processes", arrays)]
    for rank, one in enumerate(found):
        assert [tuple(batch) for batch in one["own"]] == pure(0, rank, 2)
        assert (one["state"]["rank"], one["state"]["world"]) == (rank, 2)
    whole = [sum(a) + sum(b) for a, b in zip(pure(0, 0, 2), pure(0, 1, 2), strict=True)]
    assert found[0]["sums"] == found[1]["sums"] == whole


class TestCheckpoints:
    """Arrays over a mesh are saved in parts, and loaded under another."""

    def test_two_processes(self, tmp_path) -> None:
        assert two_processes("jax_checkpoints", f"file://{tmp_path}/c") == ["both agree"] * 2
        loaded = s3dlio.CheckpointManager(f"file://{tmp_path}/c").load()
        whole = np.arange(16 * 6, dtype=np.float32).reshape(16, 6)
        assert sorted(loaded["model"]) == ["copied", "copies", "grid", "rows", "turned"]
        assert all(np.array_equal(array, whole) for array in loaded["model"].values())

    @pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2", "float8_e4m3fn", "float4_e2m1fn", "int4", "uint2"])
    def test_scalars_of_types_that_numpy_has_not(self, tmp_path, name) -> None:
        scalar = getattr(importlib.import_module("ml_dtypes"), name)(1)
        s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"a": scalar})
        loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c")["a"]
        assert type(loaded) is type(scalar)
        assert loaded == scalar

    @pytest.mark.parametrize("kind", ["threefry2x32", "rbg", "unsafe_rbg"])
    def test_keys_of_random_numbers(self, jax, tmp_path, kind) -> None:
        keys = {"one": jax.random.key(3, impl=kind), "many": jax.random.split(jax.random.key(4, impl=kind), 6)}
        s3dlio.save_checkpoint(f"file://{tmp_path}/c", keys)
        loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c")
        for name, key in keys.items():
            assert loaded[name].dtype == key.dtype
            assert loaded[name].shape == key.shape
            assert np.array_equal(jax.random.key_data(loaded[name]), jax.random.key_data(key))

    @pytest.mark.parametrize(
        "name",
        ["bfloat16", "int4", "uint4", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e5m2fnuz"],
    )
    def test_types_that_numpy_does_not_have(self, jax, tmp_path, name) -> None:
        array = jax.numpy.arange(7).astype(name).reshape(7, 1)
        for value in (array, np.asarray(array)):
            s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"a": value})
            loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c")["a"]
            assert type(loaded) is type(value)
            assert loaded.dtype == array.dtype
            assert np.array_equal(np.asarray(loaded).astype(np.float32), np.asarray(array).astype(np.float32))

    def test_one_process_with_another_mesh(self, jax, tmp_path) -> None:
        devices = np.array(jax.devices())
        assert len(devices) > 1

        def sharding(*axes: str | None) -> Any:
            return jax.sharding.NamedSharding(jax.sharding.Mesh(devices, ("x",)), jax.sharding.PartitionSpec(*axes))

        whole = np.arange(8 * len(devices), dtype=np.int32).reshape(-1, len(devices))
        s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"w": jax.device_put(whole, sharding("x"))})
        into = {"w": jax.device_put(np.zeros_like(whole), sharding(None, "x"))}
        loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c", into=into)
        assert loaded["w"].sharding == into["w"].sharding
        assert np.array_equal(loaded["w"], whole)
        with pytest.raises(CheckpointError, match="w: found a tensor of shape"):
            s3dlio.load_checkpoint(f"file://{tmp_path}/c", into={"w": into["w"][:3]})


@pytest.mark.usefixtures("jax")
class TestTraining:
    """A program on four devices is killed in mid-epoch; what goes on ends with the very same model."""

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        # The flag of XLA takes the place of the setting that the tests themselves run with.
        environment = {name: value for name, value in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"}
        environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
        # The folder of the program has a `numbers` of its own.
        command = [sys.executable, "-P", str(PROGRAM), *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_a_killed_run_goes_on_exactly(self, arrays, tmp_path) -> None:
        from tests.frameworks.programs import jax_train

        broken = self.start(arrays, str(tmp_path / "broken"), "7")
        jax_train.main(arrays, tmp_path / "whole", 0)
        said = broken.communicate(timeout=60)
        assert broken.returncode == -signal.SIGKILL, said
        assert (tmp_path / "broken" / "checkpoint.npz").exists()
        resumed = self.start(arrays, str(tmp_path / "broken"), "0")
        said = resumed.communicate(timeout=60)
        assert resumed.returncode == 0, said
        ended = [s3dlio.read_npz(f"file://{tmp_path}/{name}/checkpoint.npz") for name in ("whole", "broken")]
        assert ended[0]["steps"] == 12
        assert np.array_equal(ended[0]["weights"], ended[1]["weights"])
        assert np.any(ended[0]["weights"])
