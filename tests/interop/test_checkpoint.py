"""Uncompressed checkpoints are safetensors files, and safetensors files load as checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import s3dlio
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch


def test_safetensors_opens_a_checkpoint(tmp_path) -> None:
    weights = {"layer.0.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "layer.0.bias": np.zeros(3, np.float16)}
    s3dlio.save_checkpoint(
        f"file://{tmp_path}/c", {"model_state": weights, "step": 3, "odd": np.arange(5, dtype=np.int8)}
    )
    loaded = load_file(tmp_path / "c")
    assert np.array_equal(loaded["model_state.layer.0.weight"], weights["layer.0.weight"])
    assert loaded["odd"].tolist() == [0, 1, 2, 3, 4]
    with safe_open(tmp_path / "c", "np") as file:
        assert "s3dlio" in file.metadata()
    head = (tmp_path / "c").read_bytes()
    assert (int.from_bytes(head[:8], "little") + 8) % 64 == 0


def test_a_checkpoint_opens_safetensors(tmp_path) -> None:
    arrays = {
        "a": np.arange(6, dtype=np.float64).reshape(2, 3),
        "b.c": np.array([True]),
        "e": np.empty((0, 2), np.int32),
    }
    save_file(arrays, tmp_path / "c", metadata={"any": "thing"})
    loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c")
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert np.array_equal(loaded[name], array)
    assert list(s3dlio.load_checkpoint(f"file://{tmp_path}/c", select=["b.*"])) == ["b.c"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.uint16])
def test_types_that_numpy_lacks(tmp_path, dtype: torch.dtype) -> None:
    tensor = torch.arange(8).to(dtype)
    save_torch({"t": tensor}, tmp_path / "c")
    into = {"t": torch.zeros(8, dtype=dtype)}
    s3dlio.load_checkpoint(f"file://{tmp_path}/c", into=into)
    assert torch.equal(into["t"].view(torch.uint8), tensor.view(torch.uint8))
    s3dlio.save_checkpoint(f"file://{tmp_path}/d", {"t": tensor})
    assert torch.equal(load_torch(tmp_path / "d")["t"].view(torch.uint8), tensor.view(torch.uint8))
