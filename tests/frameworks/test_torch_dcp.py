"""torch.distributed.checkpoint over our storage: several ranks, other numbers of ranks, and its own directories."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from s3dlio.errors import CheckpointExistsError, CorruptDataError, NotFoundError
from s3dlio.torch.dcp import DCPReader, DCPWriter
from safetensors.torch import load_file

from tests.frameworks.programs.numbers import run_program

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore:.*torch.distributed.*:UserWarning")]


def ranks(number: int, what: str, uri: str) -> None:
    done = run_program(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)),
        *("--module", "tests.frameworks.programs.checkpoints", what, uri),
        env={"OMP_NUM_THREADS": "1"},
    )
    assert "all ranks agree" in done.stdout


def test_4_ranks_save_and_2_load(tmp_path: Path) -> None:
    ranks(4, "save", f"file://{tmp_path}/c")
    ranks(2, "load", f"file://{tmp_path}/c")


def test_directories_of_torch_are_read_without_running_code(tmp_path: Path) -> None:
    ranks(2, "foreign", f"file://{tmp_path}/c")

    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "bomb"),)

    metadata = tmp_path / "c/.metadata"
    whole = metadata.read_bytes()
    for content in (pickle.dumps(Bomb()), whole[:-20], b"", pickle.dumps({"a": 1})):
        metadata.write_bytes(content)
        with pytest.raises(CorruptDataError):
            DCPReader(tmp_path / "c").read_metadata()
    assert not (tmp_path / "bomb").exists()


def test_one_process(tmp_path: Path) -> None:
    value = {"w": torch.arange(12.0).reshape(3, 4), "c": torch.tensor(1 + 2j), "e": torch.empty(0, 3), "n": {"step": 3}}
    dcp.save(value, storage_writer=DCPWriter(tmp_path / "c"), no_dist=True)
    loaded = {
        "w": torch.zeros(4, 3).T.contiguous().T.reshape(3, 4),
        "c": torch.tensor(0j),
        "e": torch.empty(0, 3),
        "n": {"step": 0},
    }
    dcp.load(loaded, storage_reader=DCPReader(tmp_path / "c"), no_dist=True)
    assert torch.equal(loaded["w"], value["w"])
    assert loaded["c"] == value["c"]
    assert loaded["n"] == {"step": 3}
    with pytest.raises(NotFoundError):
        DCPReader(tmp_path / "none").read_metadata()


def test_a_second_save_replaces_the_first_at_once_or_is_refused(tmp_path: Path) -> None:
    def save(number: float, **options: Any) -> None:
        dcp.save({"w": torch.full((9,), number)}, storage_writer=DCPWriter(tmp_path / "c", **options), no_dist=True)

    save(1)
    save(2)
    loaded = {"w": torch.zeros(9)}
    dcp.load(loaded, storage_reader=DCPReader(tmp_path / "c"), no_dist=True)
    assert loaded["w"].tolist() == [2.0] * 9
    with pytest.raises((CheckpointExistsError, dcp.CheckpointException)):
        save(3, overwrite=False)


def test_damage_is_noticed(tmp_path: Path) -> None:
    dcp.save({"w": torch.ones(1000)}, storage_writer=DCPWriter(tmp_path / "c"), no_dist=True)
    shard = next((tmp_path / "c").rglob("*.safetensors"))
    whole = bytearray(shard.read_bytes())
    whole[-2000] ^= 1
    shard.write_bytes(whole)
    with pytest.raises((CorruptDataError, dcp.CheckpointException)):
        dcp.load({"w": torch.zeros(1000)}, storage_reader=DCPReader(tmp_path / "c"), no_dist=True)


def test_the_command_line_sees_whole_tensors(tmp_path: Path) -> None:
    ranks(2, "save", f"file://{tmp_path}/c")
    program = [sys.executable, "-m", "s3dlio.cli"]
    inspect = subprocess.run(
        [*program, "ckpt", "inspect", str(tmp_path / "c")], check=True, timeout=60, capture_output=True, text=True
    )
    assert "model.w: F32 [30, 6]" in inspect.stdout
    dest = tmp_path / "out.safetensors"
    subprocess.run([*program, "ckpt", "export", str(tmp_path / "c"), str(dest)], check=True, timeout=60)
    assert torch.equal(load_file(dest)["model.w"], torch.arange(180.0).reshape(30, 6))
    # Cut along another axis, and compressed.
    subprocess.run([*program, "ckpt", "diff", str(tmp_path / "c"), str(tmp_path / "c/async")], check=True, timeout=60)
