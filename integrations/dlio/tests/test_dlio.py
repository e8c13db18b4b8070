"""DLIO's own workloads, made small: two MPI ranks make a data set and train two epochs on it, on S3 and on files.

Each rank imports TensorFlow whatever it trains, so each workload runs on one kind of store.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import s3dlio
import yaml

BIN = Path(sys.executable).parent
FOLDER = Path(__file__).parents[1]

SMALL = {
    "workflow.generate_data": True,
    "workflow.checkpoint": False,
    "dataset.record_length": 4096,
    "dataset.record_length_stdev": 0,
    "dataset.record_length_resize": 1024,
    "reader.batch_size": 4,
    "reader.computation_threads": 1,
    "train.epochs": 2,
    # Made even where no checkpoint is.
    "checkpoint.model_size": 64,
    "checkpoint.layer_parameters": "[1]",
    "train.computation_time": 0.001,
}


@pytest.fixture(params=["file", "s3"])
def root(request, place) -> str:
    return f"{place(request.param)}/dlio"


def run(workload: str, output: Path, *arguments: str, **options: object) -> list[dict]:
    """Run DLIO with two ranks and return what each of them saves of the epochs."""
    chosen = SMALL | {name.replace("__", "."): value for name, value in options.items()}
    command = [BIN / "mpiexec", "-n", "2", BIN / "s3dlio-dlio", *arguments, f"workload={workload}"]
    command += [f"++workload.{name}={value}" for name, value in chosen.items()]
    command += [f"++workload.output.folder={output}", f"hydra.run.dir={output}/hydra"]
    # One thread for each rank computes; a test machine has few cores, and none of them a device.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environment |= {"TMPDIR": str(output.parent)}
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
        env=environment,
        cwd=output.parent,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return [json.loads((output / f"{rank}_output.json").read_text()) for rank in range(2)]


def steps(found: list[dict]) -> list[list[int]]:
    """Return how many steps each rank loaded in each epoch."""
    return [[len(rank[epoch]["load"]["block1"]) for epoch in ("1", "2")] for rank in found]


def test_npz(place, tmp_path):
    root = f"{place('s3')}/dlio"
    found = run(
        "unet3d_a100",
        tmp_path / "output",
        storage__storage_type="s3",
        storage__storage_root=root,
        dataset__num_files_train=8,
        dataset__num_samples_per_file=4,
        reader__read_threads=1,
    )
    # Eight files of four samples, in batches of four, over two ranks.
    assert steps(found) == [[4, 4], [4, 4]]
    uris = s3dlio.list(f"{root}/data/unet3d/train/")
    assert [uri.rpartition("/")[2] for uri in uris] == [f"img_{number}_of_8.npz" for number in range(8)]
    arrays = s3dlio.read_npz_many(uris)
    assert {(a["x"].shape, a["x"].dtype.str, a["y"].tolist().count(0)) for a in arrays} == {((64, 64, 4), "|u1", 4)}
    assert len({a["x"].tobytes() for a in arrays}) == 8


def test_tfrecord(place, tmp_path):
    root = f"{place('file')}/dlio"
    found = run(
        "resnet50_a100",
        tmp_path / "output",
        storage__storage_type="local_fs",
        storage__storage_root=root,
        dataset__num_files_train=4,
        dataset__num_samples_per_file=8,
        reader__read_threads=1,
    )
    assert steps(found) == [[4, 4], [4, 4]]
    uris = s3dlio.list(f"{root}/data/resnet50/train/")
    assert [uri.rpartition("/")[2] for uri in uris] == [f"img_{number}_of_4.tfrecord" for number in range(4)]
    for uri in uris:
        entries = s3dlio.get_tfrecord_index_entries(uri)
        assert len(entries) == 8
        name = uri.rpartition("/")[2]
        assert s3dlio.read_tfrecord_index(f"{root}/data/resnet50/index/train/{name}.idx") == entries


PROGRAM = """
import s3dlio_dlio
from dlio_benchmark.common.enumerations import FormatType, MetadataType, StorageType
from dlio_benchmark.data_generator.generator_factory import GeneratorFactory
from dlio_benchmark.storage.file_storage import FileStorage
from dlio_benchmark.storage.storage_factory import StorageFactory
from dlio_benchmark.utils.config import ConfigArguments
from dlio_benchmark.utils.utility import DLIOMPI
import s3dlio

DLIOMPI.get_instance().initialize()
s3dlio_dlio.install()
s3dlio_dlio.install()
arguments = ConfigArguments.get_instance()
arguments.format = FormatType.NPY
assert type(StorageFactory.get_storage(StorageType.LOCAL_FS, {plain!r})) is FileStorage
assert arguments.reader_classname is None
storage = StorageFactory.get_storage(StorageType.S3, {root!r} + "/", "pytorch")
assert type(storage) is s3dlio_dlio.Storage
assert arguments.reader_classname == "s3dlio_dlio.NPYReader"
assert storage.create_namespace(exist_ok=True) and storage.get_namespace() == {root!r}
assert storage.get_uri("./a//b/") == {root!r} + "/a/b" and storage.get_uri("s3://x/y") == "s3://x/y"
assert storage.walk_node("a") == [] and storage.get_node("a") is None
storage.put_data("a/b/c.npy", "text")
storage.put_data("a/d/e.npy", b"0123456789", length=5)
assert storage.get_data("a/d/e.npy", None) == b"01234" and storage.get_data("a/d/e.npy", None, 1, 2) == b"12"
assert storage.get_node("a") is MetadataType.DIRECTORY and storage.get_node("a/b/c.npy") is MetadataType.FILE
assert sorted(storage.walk_node("a")) == ["b", "d"]
found = storage.walk_node("a/*/*.npy", use_pattern=True)
assert found == [{root!r} + "/a/b/c.npy", {root!r} + "/a/d/e.npy"], found
assert storage.get_basename(found[0]) == "c.npy"
for wrong in (lambda: storage.put_data("x", b"", offset=1),):
    try:
        wrong()
    except NotImplementedError:
        pass
    else:
        raise AssertionError
assert storage.delete_node("a") and storage.get_node("a") is None
arguments.storage_root = {root!r}
for format_, answer in ((FormatType.NPY, "NPYGenerator"), (FormatType.HDF5, None)):
    try:
        assert type(GeneratorFactory.get_generator(format_)).__name__ == answer
    except s3dlio.UnsupportedError as error:
        assert answer is None and "hdf5" in str(error)
DLIOMPI.get_instance().finalize()
"""


def test_the_storage(root, tmp_path):
    program = PROGRAM.format(root=root, plain=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=100, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_the_example_is_a_workload():
    example = yaml.safe_load((FOLDER / "examples" / "workload" / "npz.yaml").read_text())
    assert example["storage"]["storage_root"].startswith("s3://")
    readme = (FOLDER / "README.md").read_text()
    for block in re.findall(r"^```yaml\n# examples/workload/npz.yaml\n(.*?)^```", readme, re.DOTALL | re.MULTILINE):
        assert yaml.safe_load(block).items() <= example.items()
    assert np.isin(example["dataset"]["format"], ["npz", "npy"])
