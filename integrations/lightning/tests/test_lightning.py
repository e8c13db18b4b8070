"""Lightning's trainer on our data and checkpoints."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import s3dlio
import torch
from lightning.pytorch import Trainer
from s3dlio.errors import ConfigError, NotFoundError
from s3dlio_lightning import StoreCheckpointIO, StoreDataModule

FOLDER = Path(__file__).parents[1]


def put_numbers(prefix: str, count: int) -> None:
    s3dlio.put_many([(f"{prefix}{number:04}.bin", number.to_bytes(4, "little")) for number in range(count)])


@pytest.fixture(params=["s3", "file"])
def store(request, place) -> str:
    return place(request.param)


@pytest.mark.timeout(200)
def test_two_ranks_with_uneven_data_end_and_go_on_in_mid_epoch(tmp_path):
    # 45 records in batches of 4 on 2 ranks: the last ones have neither a full batch nor two of them.
    put_numbers(f"file://{tmp_path}/train/", 45)
    put_numbers(f"file://{tmp_path}/val/", 13)
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *(str(FOLDER / "tests" / "ddp.py"), f"file://{tmp_path}", str(tmp_path)),
        ],
        check=True,
        timeout=180,
    )
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    for rank in ranks:
        assert len(rank["whole"]) == 2 * 6
        assert rank["second"] == 2 * 6 - 8
        assert rank["stopped"] == rank["whole"]
        assert rank["equal"]
    for epoch in range(2):
        seen = [number for rank in ranks for first, *batch in rank["whole"] if first == epoch for number in batch]
        assert {*seen} == {*range(45)}
    assert sum(rank["validated"] for rank in ranks) >= 2 * 13


class TestCheckpointIO:
    @pytest.mark.parametrize("form", ["{}", "s3dlio+{}"])
    def test_round_trip(self, store, form):
        io, path = StoreCheckpointIO(), form.format(f"{store}/run/a.ckpt")
        checkpoint = {"state_dict": {"w": torch.arange(1000.0)}, "epoch": 3}
        io.save_checkpoint(checkpoint, path)
        loaded = io.load_checkpoint(path, weights_only=True)
        assert torch.equal(loaded["state_dict"]["w"], checkpoint["state_dict"]["w"])
        assert loaded["epoch"] == 3
        assert io.load_checkpoint(path, map_location="meta")["state_dict"]["w"].is_meta
        assert s3dlio.list(f"{store}/run/") == [f"{store}/run/a.ckpt"]
        io.remove_checkpoint(path)
        io.remove_checkpoint(path)
        with pytest.raises(NotFoundError):
            io.load_checkpoint(path)

    def test_a_failed_save_leaves_the_earlier_one(self, store):
        io = StoreCheckpointIO()
        io.save_checkpoint({"epoch": 1}, f"{store}/a.ckpt")
        with pytest.raises((AttributeError, TypeError), match="pickle"):
            io.save_checkpoint({"w": torch.zeros(9), "f": lambda: None}, f"{store}/a.ckpt")
        assert io.load_checkpoint(f"{store}/a.ckpt") == {"epoch": 1}
        with pytest.raises(TypeError, match="storage_options"):
            io.save_checkpoint({}, f"{store}/a.ckpt", storage_options={"a": 1})

    def test_local_paths(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        StoreCheckpointIO().save_checkpoint({"epoch": 1}, Path("sub/a.ckpt"))
        assert torch.load(tmp_path / "sub/a.ckpt") == {"epoch": 1}

    def test_folders_of_other_strategies_are_removed(self, store):
        put_numbers(f"{store}/sharded.ckpt/", 3)
        StoreCheckpointIO().remove_checkpoint(f"{store}/sharded.ckpt")
        assert s3dlio.list(store, recursive=True) == []


class TestData:
    def test_options_of_stages(self, store):
        put_numbers(f"{store}/a/", 10)
        data = StoreDataModule(
            f"{store}/a/", val=f"{store}/a/", batch_size=4, seed=3, transform=len, changes={"val": {"batch_size": 5}}
        )
        assert [batch.tolist() for batch in data.val_dataloader()] == [[4] * 5] * 2
        assert len(data.train_dataloader()) == 3
        with pytest.raises(ConfigError, match="trian"):
            StoreDataModule(f"{store}/a/", changes={"trian": {}})
        with pytest.raises(ConfigError, match="bach_size"):
            StoreDataModule(f"{store}/a/", bach_size=4).train_dataloader()

    def test_validation_is_in_order(self, store):
        put_numbers(f"{store}/a/", 10)
        data = StoreDataModule(val=f"{store}/a/", predict=f"{store}/a/", batch_size=4)
        for loader in (data.val_dataloader(), data.predict_dataloader()):
            assert [int(sample[0]) for batch in loader for sample in batch] == [*range(10)]


# A run that goes on finds its checkpoints, which Lightning warns of.
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")
class TestDocuments:
    def test_the_readme(self, bucket, tmp_path, monkeypatch):
        for number in range(20):
            s3dlio.write_npz(f"{bucket}/train/{number}.npz", {"x": torch.ones(4).numpy(), "y": torch.ones(1).numpy()})
        monkeypatch.chdir(tmp_path)
        names: dict[str, Any] = runpy.run_path(str(FOLDER / "examples" / "train.py"))
        monkeypatch.setattr(names["Model"], "training_step", lambda self, batch, _: self.layer(batch["x"]).mean())
        names = {"model": names["Model"](), "Trainer": Trainer}
        for example in re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), flags=re.DOTALL):
            exec(example.replace("s3://bucket", bucket), names)  # noqa: S102 - the text of this project
        assert s3dlio.exists(f"{bucket}/run/last.ckpt")

    def test_the_example_goes_on(self, bucket, monkeypatch, capsys):
        # A checkpoint is made every 5 steps, so the second run begins behind the 10th.
        for steps, expected in (("12", "until step 12, on 96 samples"), ("-1", "until step 52, on 326 samples")):
            monkeypatch.setattr(sys, "argv", ["train.py", f"{bucket}/run", steps])
            runpy.run_path(str(FOLDER / "examples" / "train.py"), run_name="__main__")
            assert expected in capsys.readouterr().out
