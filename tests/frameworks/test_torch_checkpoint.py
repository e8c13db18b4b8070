"""Tensors of torch in checkpoints: every dense type, what they share, modules and optimizers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import s3dlio
import torch
from s3dlio.checkpoint import CheckpointManager, Shard
from s3dlio.errors import CheckpointError
from safetensors.torch import load_file

pytestmark = [
    pytest.mark.timeout(60),
    # torch says once that these kinds of tensors are young.
    pytest.mark.filterwarnings("ignore:ComplexHalf support", "ignore:Sparse CSR tensor support"),
]

TYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128, torch.complex32),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
]


def bits(tensor: torch.Tensor) -> bytes:
    plain = tensor.detach().contiguous()
    plain = torch.view_as_real(plain) if plain.is_complex() else plain
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


def load(tmp_path: Any, value: Any, **options: Any) -> Any:
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", value, **options)
    return s3dlio.load_checkpoint(f"file://{tmp_path}/c")


def test_importing_does_not_import_torch() -> None:
    program = "import sys, s3dlio; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_types_and_shapes(tmp_path: Any, dtype: torch.dtype, compress: bool) -> None:
    tensor = (torch.arange(24) % 2).reshape(2, 3, 4).to(dtype)
    value = {
        "t": tensor,
        "zero": tensor[0, 0, 0].clone(),
        "empty": tensor[:0].clone(),
        "turned": tensor.transpose(0, 2),
    }
    loaded = load(tmp_path, value, compress=compress)
    for name, expected in value.items():
        assert loaded[name].dtype == dtype
        assert loaded[name].shape == expected.shape
        assert bits(loaded[name]) == bits(expected)


def test_kinds_of_tensors(tmp_path: Any) -> None:
    value = {
        "param": torch.nn.Parameter(torch.ones(2)),
        "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "grad": torch.ones(2, requires_grad=True),
        "buffer": torch.nn.Buffer(torch.ones(2)),
        "size": torch.Size([1, 2]),
        "dtype": torch.bfloat16,
        "device": torch.device("cuda:1"),
        "conj": torch.tensor([1 + 2j]).conj(),
        "rng": torch.get_rng_state(),
    }
    loaded = load(tmp_path, value)
    for name, expected in value.items():
        assert type(loaded[name]) is type(expected)
        if isinstance(expected, torch.Tensor):
            assert loaded[name].requires_grad == expected.requires_grad
            assert torch.equal(loaded[name], expected)
        else:
            assert loaded[name] == expected


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path: Any) -> None:
    weight = torch.randn(1000, 1000)
    tied = {"embedding": weight, "head": weight.detach(), "rows": weight[10:20], "turned": weight.T}
    loaded = load(tmp_path, tied)
    assert (tmp_path / "c").stat().st_size < 4_100_000
    loaded["embedding"][12, 3] = 99
    assert loaded["head"][12, 3] == 99
    assert loaded["rows"][2, 3] == 99
    assert loaded["turned"][3, 12] == 99
    assert torch.equal(loaded["rows"], loaded["embedding"][10:20])


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_sparse_tensors(tmp_path: Any, layout: str) -> None:
    dense = torch.tensor([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]])
    sparse = {"coo": dense.to_sparse(), "csr": dense.to_sparse_csr(), "csc": dense.to_sparse_csc()}[layout]
    loaded = load(tmp_path, {"s": sparse})["s"]
    assert loaded.layout == sparse.layout
    assert torch.equal(loaded.to_dense(), dense)


def test_a_model_and_its_optimizer_go_on_alike(tmp_path: Any) -> None:
    def step(model: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()

    def made() -> tuple[Any, Any]:
        model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 2))
        return model, torch.optim.AdamW(model.parameters())

    model, optimizer = made()
    step(model, optimizer)
    manager = CheckpointManager(f"file://{tmp_path}/m")
    handle = manager.save_async(1, {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    step(model, optimizer)
    handle.result(30)
    other, resumed = made()
    loaded = manager.load()
    assert type(loaded["model"]) is type(model.state_dict())
    assert loaded["model"]._metadata == model.state_dict()._metadata
    other.load_state_dict(loaded["model"])
    resumed.load_state_dict(loaded["optimizer"])
    step(other, resumed)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    fresh, _ = made()
    manager.load(into={"model": fresh.state_dict()}, select=["model.*"])
    assert torch.equal(fresh.state_dict()["0.weight"], loaded["model"]["0.weight"])


def test_into_takes_tensors_of_any_stride(tmp_path: Any) -> None:
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"a": torch.arange(6.0), "b": torch.arange(6.0).reshape(2, 3)})
    into = {"a": torch.zeros(12)[::2], "b": torch.nn.Parameter(torch.zeros(3, 2)).T}
    loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c", into=into)
    assert into["a"].tolist() == [0, 1, 2, 3, 4, 5]
    assert loaded["b"] is into["b"]
    assert into["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(s3dlio.CheckpointError, match="into"):
        s3dlio.load_checkpoint(f"file://{tmp_path}/c", into={"a": torch.zeros(6, dtype=torch.int64)})


def test_parts_of_tensors(tmp_path: Any) -> None:
    whole = torch.arange(24).reshape(6, 4).to(torch.complex64)
    for rank in (1, 0):
        manager = CheckpointManager(f"file://{tmp_path}", rank=rank, world_size=2)
        part = Shard(whole[:, rank * 2 : rank * 2 + 2], whole.shape, (0, rank * 2))
        manager.save(1, {"w": part}, attempt="0" * 32)
    manager = CheckpointManager(f"file://{tmp_path}")
    assert torch.equal(manager.load()["w"], whole)
    assert torch.equal(manager.load(shards={"w": ((1, 1), (3, 2))})["w"], whole[1:4, 1:3])


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.Linear(1, 1),
        lambda: torch.empty(2, device="meta"),
        lambda: torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8),
        torch.Generator,
        lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),
    ],
    ids=["module", "meta", "quantized", "generator", "nested"],
)
# To make a quantized tensor warns of its end, a nested one of its beginning.
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:.*nested tensors")
def test_others_are_refused_by_their_path(tmp_path: Any, make: Any) -> None:
    with pytest.raises(TypeError, match=r"^x\.0: "):
        s3dlio.save_checkpoint(f"file://{tmp_path}/c", {"x": [make()]})


def test_exported_by_the_command_line_views_and_tied_weights_are_tensors_of_their_own(tmp_path: Any) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tied = torch.nn.Parameter(torch.ones(3))
    value = {"row": base[1], "columns": base[:, 2:4], "a": tied, "b": tied, "c": torch.tensor([1 + 2j]), "n": 3}
    CheckpointManager(f"file://{tmp_path}/m").save(1, value)
    dest = tmp_path / "out.safetensors"
    arguments = ["ckpt", "export", f"file://{tmp_path}/m", str(dest)]
    subprocess.run([sys.executable, "-m", "s3dlio.cli", *arguments], check=True, timeout=60, capture_output=True)
    loaded = load_file(dest)
    assert loaded.pop("c").tolist() == [[1.0, 2.0]]
    assert {name: tensor.tolist() for name, tensor in loaded.items()} == {
        "row": base[1].tolist(),
        "columns": base[:, 2:4].tolist(),
        "a": [1.0] * 3,
        "b": [1.0] * 3,
    }


@pytest.mark.parametrize("into", [{"fc1.weight": torch.zeros(2, 2)}, {"fc.weight": np.zeros((2, 2), np.float32)}])
def test_into_of_another_form_is_refused(tmp_path: Any, into: Any) -> None:
    """A layer that was renamed would else keep its random weights without a word."""
    uri = f"file://{tmp_path}/c"
    s3dlio.save_checkpoint(uri, {"fc.weight": torch.ones(2, 2)})
    with pytest.raises(CheckpointError, match=r"into: found"):
        s3dlio.load_checkpoint(uri, into=into)
