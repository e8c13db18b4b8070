"""datasets, the Trainer and accelerate on our data."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3dlio
import torch
from s3dlio.array_record import ArrayRecordWriter
from s3dlio.errors import ConfigError, NotFoundError
from s3dlio.torch import Loader
from s3dlio_huggingface import iterable_dataset
from torchdata.stateful_dataloader import StatefulDataLoader

FOLDER = Path(__file__).parents[1]
COUNT = 50


@pytest.fixture(params=["s3", "file"])
def store(request, place) -> str:
    return place(request.param)


@pytest.fixture
def archives(bucket) -> str:
    for number in range(COUNT):
        x = np.full(4, number / COUNT, np.float32)
        s3dlio.write_npz(f"{bucket}/train/{number:03}.npz", {"x": x, "y": x[:1], "number": np.int64(number)})
    return f"{bucket}/train/"


def number_of(view: Any) -> dict[str, Any]:
    return {"number": int(bytes(view))}


def numbers(examples: Any) -> list[int]:
    return [int(example["number"]) for example in examples]


@pytest.fixture(params=["objects", "array_record"])
def records(request, store) -> dict[str, Any]:
    """Return the arguments that name 50 records, their numbers."""
    if request.param == "objects":
        s3dlio.put_many([(f"{store}/o/{number:03}", str(number).encode()) for number in range(COUNT)])
        return {"data": f"{store}/o/", "transform": number_of}
    for part in range(2):
        with ArrayRecordWriter(f"{store}/a/{part}.array_record") as file:
            for number in range(part * 25, part * 25 + 25):
                file.write(str(number).encode())
    return {"data": f"{store}/a/", "format": "array_record", "transform": number_of}


class TestDatasets:
    def test_examples_and_states(self, records):
        data = iterable_dataset(**records, block=8)
        assert data.num_shards == 7
        assert numbers(data) == [*range(COUNT)]
        for count in (0, 3, 8, 19, COUNT):
            running = iterable_dataset(**records, block=8)
            examples = iter(running)
            assert numbers(next(examples) for _ in range(count)) == [*range(count)]
            again = iterable_dataset(**records, block=8)
            again.load_state_dict(json.loads(json.dumps(running.state_dict())))
            assert numbers(again) == [*range(count, COUNT)]

    def test_shuffle_nodes_and_map(self, records):
        from datasets.distributed import split_dataset_by_node

        data = iterable_dataset(**records, block=5).map(lambda one: {"double": one["number"] * 2})
        mixed = data.shuffle(seed=3, buffer_size=4)
        seen = numbers(mixed)
        assert seen != sorted(seen)
        assert sorted(seen) == [*range(COUNT)]
        assert [one["double"] for one in data.take(3)] == [0, 2, 4]
        parts = [numbers(split_dataset_by_node(data, rank=rank, world_size=2)) for rank in range(2)]
        assert sorted(parts[0] + parts[1]) == [*range(COUNT)]
        assert len(parts[0]) == len(parts[1])

    def test_workers_go_on(self, archives):
        def loader() -> Any:
            data = iterable_dataset(archives, decoder="npz", block=5)
            return StatefulDataLoader(data.with_format("torch"), batch_size=4, num_workers=2)

        whole = [batch["number"].tolist() for batch in loader()]
        assert sorted(number for batch in whole for number in batch) == [*range(COUNT)]
        running = loader()
        batches = iter(running)
        assert [next(batches)["number"].tolist() for _ in range(5)] == whole[:5]
        state = running.state_dict()
        again = loader()
        again.load_state_dict(state)
        assert [batch["number"].tolist() for batch in again] == whole[5:]

    def test_fields(self, store):
        s3dlio.put(f"{store}/b/x", b"content")
        assert [*iterable_dataset(f"{store}/b/")] == [{"bytes": b"content"}]
        s3dlio.write_npy(f"{store}/n/x.npy", np.arange(3))
        (example,) = iterable_dataset(f"{store}/n/", decoder="npy")
        assert [*example["array"]] == [0, 1, 2]
        twice = s3dlio.create_dataset(f"{store}/b/").repeat(2)
        assert len([*iterable_dataset(twice)]) == 2

    def test_what_is_refused(self, store):
        with pytest.raises(NotFoundError):
            iterable_dataset(f"{store}/nothing/")
        s3dlio.put(f"{store}/b/x", b"content")
        with pytest.raises(ConfigError, match="block"):
            iterable_dataset(f"{store}/b/", block=0)
        with pytest.raises(TypeError, match="data set"):
            iterable_dataset(s3dlio.create_dataset(f"{store}/b/"), format="npz")


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 1)
        self.seen: list[list[int]] = []

    def forward(self, x: torch.Tensor, y: torch.Tensor, number: torch.Tensor) -> dict[str, Any]:
        self.seen.append(number.tolist())
        return {"loss": (self.layer(x) - y).square().mean()}


class TestTrainer:
    def train(self, archives: str, output: Path, steps: int = -1, resume: str | None = None, **options: Any) -> Model:
        from s3dlio_huggingface.trainer import Trainer
        from transformers import TrainingArguments

        arguments = TrainingArguments(
            str(output),
            num_train_epochs=3,
            max_steps=-1,
            save_steps=2,
            disable_tqdm=True,
            use_cpu=True,
            report_to="none",
            learning_rate=0.01,
            **options,
        )
        model = Model()
        loader = Loader(archives, batch_size=8, shuffle=True, seed=3, decoder="npz")
        trainer = Trainer(model, arguments, train_dataset=loader, callbacks=[_Stop(steps)] if steps > 0 else [])
        trainer.train(resume_from_checkpoint=resume)
        return model

    # 50 records are 7 batches an epoch: step 8 is in the second one, and so is step 6 with two batches a step.
    @pytest.mark.parametrize(("accumulated", "saved", "batches"), [(1, 8, 8), (2, 6, 11)])
    def test_it_goes_on_in_mid_epoch(self, archives, tmp_path, accumulated, saved, batches):
        options = {"gradient_accumulation_steps": accumulated}
        whole = self.train(archives, tmp_path / "whole", **options)
        assert len(whole.seen) == 3 * 7
        assert sorted(number for batch in whole.seen[7:14] for number in batch) == [*range(COUNT)]
        self.train(archives, tmp_path / "stopped", steps=saved + 1, **options)
        again = self.train(
            archives, tmp_path / "stopped", resume=str(tmp_path / f"stopped/checkpoint-{saved}"), **options
        )
        assert again.seen == whole.seen[batches:]
        assert torch.equal(again.layer.weight, whole.layer.weight)

    def test_other_data_sets_are_left_to_transformers(self, archives, tmp_path):
        from s3dlio_huggingface.trainer import Trainer
        from transformers import TrainingArguments

        arguments = TrainingArguments(
            str(tmp_path), max_steps=2, per_device_train_batch_size=4, use_cpu=True, report_to="none", disable_tqdm=True
        )
        data = iterable_dataset(archives, decoder="npz").with_format("torch")
        model = Model()
        Trainer(model, arguments, train_dataset=data).train()
        assert model.seen == [[0, 1, 2, 3], [4, 5, 6, 7]]


def _Stop(steps: int) -> Any:  # noqa: N802 - stands for a class, which needs its framework
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - its interface
            control.should_training_stop = state.global_step >= steps

    return Stop()


class TestDocuments:
    def test_the_readme(self, archives, bucket, tmp_path):
        names: dict[str, Any] = {"model": Model(), "output": str(tmp_path / "out"), "folder": str(tmp_path / "state")}
        for example in re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), flags=re.DOTALL):
            exec(example.replace("s3://bucket", bucket), names)  # noqa: S102 - the text of this project
        assert len([*names["data"]]) == COUNT
        whole = [*Loader(archives, batch_size=8, shuffle=True, decoder="npz")]
        assert names["first"]["number"].tolist() == whole[0]["number"].tolist()
        assert names["second"]["number"].tolist() == whole[1]["number"].tolist()

    def test_the_example_goes_on(self, bucket, tmp_path, monkeypatch, capsys):
        for steps, expected in (("8", "until step 8, on 64 samples"), ("-1", "until step 26, on 136 samples")):
            monkeypatch.setattr(sys, "argv", ["train.py", f"{bucket}/train", str(tmp_path / "out"), steps])
            runpy.run_path(str(FOLDER / "examples" / "train.py"), run_name="__main__")
            assert expected in capsys.readouterr().out
