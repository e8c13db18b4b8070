"""The commands for checkpoints: ls, inspect, verify, diff, gc, export."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import s3dlio
import safetensors
from s3dlio.checkpoint import CheckpointManager, Shard
from safetensors.numpy import load as load_safetensors

from tests.unit.test_cli import cli, documents, lines

WHOLE = np.arange(40, dtype=np.float32).reshape(8, 5)


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """Return the URI of an empty place that another process sees."""
    return f"file://{tmp_path}/place" if request.param == "file" else str(request.getfixturevalue("bucket"))


def save(base: str, step: int, ranks: int, **extra: Any) -> None:
    """Save the whole in parts, by the last rank first, with what else each has."""
    for rank in reversed(range(ranks)):
        rows = np.array_split(np.arange(len(WHOLE)), ranks)[rank]
        tree = {"model": {"w": Shard(WHOLE[rows], WHOLE.shape, (int(rows[0]), 0))}, "lr": 0.5, "step": step, **extra}
        manager = CheckpointManager(base, rank=rank, world_size=ranks, timeout=5)
        manager.save(step, tree, attempt=f"{step:032x}", metrics={"loss": 1 / step}, framework="numpy")


def flip(uri: str) -> None:
    content = bytearray(s3dlio.get(uri))
    content[len(content) // 2] ^= 1
    s3dlio.put(uri, content)


def test_ls(place: str) -> None:
    save(place, 1, 2)
    save(place, 20, 1)
    first, second = documents("ckpt", "ls", place)
    assert (first["step"], first["world_size"], first["metrics"]) == (1, 2, {"loss": 1.0})
    assert (second["step"], second["framework"], second["has_pickle"]) == (20, "numpy", False)
    assert second["size"] == CheckpointManager(place).info(20).total_size
    text = lines("ckpt", "ls", place)
    assert [line.split()[0] for line in text] == ["1", "20"]
    assert "2 ranks" in text[0]
    cli("ckpt", "ls", f"{place}/nothing/", code=3)


def test_inspect_tells_paths_types_and_shapes(place: str) -> None:
    save(place, 1, 2, names=("a", None), table={3: np.zeros((2, 0))})
    (found,) = documents("ckpt", "inspect", "--values", place)
    assert (found["kind"], found["step"], found["world_size"]) == ("step", 1, 2)
    assert found["tensors"] == {
        "model.w": {"dtype": "F32", "shape": [8, 5], "bytes": 160},
        "table.3": {"dtype": "F64", "shape": [2, 0], "bytes": 0},
    }
    assert found["values"]["names.0"] == "a"
    assert found["values"]["names"] == {"container": "tuple"}
    text = "\n".join(lines("ckpt", "inspect", "--values", place))
    for part in ("model.w: F32 [8, 5]", "lr: 0.5", "names.1: None", "ranks          2"):
        assert part in text
    cli("ckpt", "inspect", "--step", "2", place, code=3)


def test_inspect_opens_objects_and_shards_beside_each_other(place: str) -> None:
    s3dlio.save_checkpoint(f"{place}/one.bin", {"x": np.arange(3), "n": 2**70}, compress=True)
    (found,) = documents("ckpt", "inspect", f"{place}/one.bin")
    assert (found["kind"], [*found["tensors"]]) == ("object", ["x"])
    for rank in range(2):
        s3dlio.save_distributed_shard(f"{place}/beside/{rank}.bin", {f"x{rank}": np.arange(3)}, rank, 2)
    s3dlio.finalize_distributed_checkpoint(f"{place}/beside/", 2)
    (found,) = documents("ckpt", "inspect", f"{place}/beside")
    assert (found["kind"], [*found["tensors"]]) == ("shards", ["x0", "x1"])


def test_verify_reads_on_behind_a_damaged_shard(place: str) -> None:
    save(place, 1, 2)
    save(place, 2, 2)
    assert [one["ok"] for one in documents("ckpt", "verify", "--all", place)] == [True, True]
    for shard in (uri for uri in s3dlio.list(f"{place}/data/", recursive=True) if "02-" in uri and "r00000-of" in uri):
        flip(shard)
    done = cli("--json", "ckpt", "verify", "--all", place, code=None)
    sound, damaged = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, sound["ok"], sound["bytes"]) == (1, True, 160)
    assert (damaged["ok"], damaged["bytes"], [fault["rank"] for fault in damaged["faults"]]) == (False, 80, [0])
    assert "sound: 160 bytes" in lines("ckpt", "verify", "--step", "1", place)[0]
    manifest = next(uri for uri in s3dlio.list(f"{place}/data/", recursive=True) if "01-" in uri and "MANIFEST" in uri)
    flip(manifest)
    assert b"manifest" in cli("ckpt", "verify", "--step", "1", place, code=None).stdout
    cli("ckpt", "verify", f"{place}/nothing", code=3)


def test_diff_does_not_mind_the_sharding(place: str) -> None:
    save(f"{place}/a", 1, 2)
    save(f"{place}/b", 1, 3)
    assert documents("ckpt", "diff", f"{place}/a", f"{place}/b") == []
    changed = WHOLE.copy()
    changed[2:, 3] += 1
    CheckpointManager(f"{place}/b").save(2, {"model": {"w": changed}, "lr": 0.25, "step": 1, "new": [1]})
    done = cli("--json", "ckpt", "diff", f"{place}/a", f"{place}/b", code=None)
    assert (done.returncode, done.stderr) == (1, b"")
    found = {one["path"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert set(found) == {"lr", "model.w", "new", "new.0"}
    assert found["model.w"]["elements"] == 6
    assert found["new"] == {"path": "new", "first": None, "second": {"container": "list"}, "elements": None}
    text = cli("ckpt", "diff", f"{place}/b", "--second-step", "1", code=None)
    assert b"lr: 0.25, then 0.5" in text.stdout
    assert b"model.w: 6 elements differ" in text.stdout
    cli("ckpt", "diff", f"{place}/a", code=2)


def test_gc_removes_nothing_unless_told(place: str) -> None:
    for step in (1, 2, 3, 4):
        save(place, step, 1)
    options = ("--keep-last", "1", "--keep-best", "-loss:1", "--keep-every", "3")
    before = s3dlio.list(f"{place}/", recursive=True)
    (would,) = documents("ckpt", "gc", *options, place)
    assert (would["removed"], would["steps"]) == (False, [1, 2])
    assert (would["objects"], s3dlio.list(f"{place}/", recursive=True)) == (8, before)
    assert lines("ckpt", "gc", *options, place)[:2] == ["would remove step 1", "would remove step 2"]
    (did,) = documents("ckpt", "gc", *options, "--delete", place)
    assert did == would | {"removed": True}
    assert CheckpointManager(place).steps() == [3, 4]
    assert len(s3dlio.list(f"{place}/", recursive=True)) == len(before) - 8
    assert documents("ckpt", "gc", "--delete", place)[0]["steps"] == []
    for wrong in ("loss", "loss:0", ":3"):
        cli("ckpt", "gc", "--keep-best", wrong, place, code=2)


def test_export_is_a_plain_safetensors_file(place: str, tmp_path: Any) -> None:
    save(place, 1, 3)
    (done,) = documents("ckpt", "export", place, f"{place}/out.safetensors")
    assert (done["tensors"], done["left_out"]) == (1, 2)
    content = bytes(s3dlio.get(f"{place}/out.safetensors"))
    assert len(content) == done["bytes"]
    loaded = load_safetensors(content)
    assert [*loaded] == ["model.w"]
    assert np.array_equal(loaded["model.w"], WHOLE)
    local = tmp_path / "model.safetensors"
    lines("ckpt", "export", "--below", "model", place, str(local))
    with safetensors.safe_open(local, "np") as opened:
        assert (opened.metadata(), [*opened.keys()]) == ({"format": "pt"}, ["w"])
        assert np.array_equal(opened.get_tensor("w"), WHOLE)
    cli("ckpt", "export", "--below", "mod", place, f"{place}/none", code=2)
    assert not s3dlio.exists(f"{place}/none")
