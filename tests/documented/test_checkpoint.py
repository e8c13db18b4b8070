"""The documented calls of checkpoints, as they are written there."""

from __future__ import annotations

from typing import Any

import pytest
import s3dlio
import torch

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_functions(place, kind: str) -> None:
    base = place(kind)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, lr=0.1)
    uri = f"{base}/checkpoints/ckpt_epoch_10.bin"
    checkpoint_data = {"epoch": 10, "model_state": model.state_dict(), "optimizer_state": optimizer.state_dict()}
    s3dlio.save_checkpoint(uri=uri, data=checkpoint_data, compress=True)
    checkpoint = s3dlio.load_checkpoint(uri)
    assert checkpoint["epoch"] == 10
    checkpoint = s3dlio.load_checkpoint_with_validation(
        uri=uri, expected_keys=["epoch", "model_state", "optimizer_state"]
    )
    model.load_state_dict(checkpoint["model_state"])
    optimizer.load_state_dict(checkpoint["optimizer_state"])


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_training_loop(place, kind: str) -> None:
    base, model, loss = place(kind), torch.nn.Linear(3, 2), torch.tensor(0.5)
    for epoch in range(2):
        s3dlio.save_checkpoint(
            f"{base}/checkpoints/epoch_{epoch}.bin", {"epoch": epoch, "model": model.state_dict(), "loss": loss}
        )
    assert s3dlio.load_checkpoint(f"{base}/checkpoints/epoch_1.bin")["loss"] == loss


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_distributed(place, kind: str) -> None:
    base, world_size = place(kind), 2
    for rank in range(world_size):
        s3dlio.save_distributed_shard(
            uri=f"{base}/checkpoints/shard_{rank}.bin",
            shard_data={"rank": rank, f"weights{rank}": torch.full((3,), rank)},
            rank=rank,
            world_size=world_size,
        )
    s3dlio.finalize_distributed_checkpoint(base_uri=f"{base}/checkpoints/", world_size=world_size)
    loaded = s3dlio.load_checkpoint(f"{base}/checkpoints/")
    assert loaded["weights1"].tolist() == [1, 1, 1]


def test_the_store_of_bytes(tmp_path: Any) -> None:
    uri = f"file://{tmp_path}/checkpoints"
    for store in (s3dlio.PyCheckpointStore(uri), s3dlio.PyCheckpointStore(uri, compression_level=6)):
        test_data = b"Model weights or state"
        store.save(epoch=1, step=0, name="model", data=test_data, metadata=None)
        loaded_data = store.load_latest()
        assert loaded_data == test_data


def test_the_functions_of_the_store(tmp_path: Any) -> None:
    uri = f"file://{tmp_path}/store"
    assert s3dlio.load_checkpoint(uri) is None
    assert isinstance(s3dlio.save_checkpoint(uri, 1, 0, "torch", b"bytes", {"a": 1}), str)
    s3dlio.save_checkpoint(uri, step=2, epoch=0, framework="torch", data=b"newer")
    assert s3dlio.load_checkpoint(uri) == b"newer"
    assert isinstance(s3dlio.load_checkpoint(uri), s3dlio.BytesView)
    metas = [s3dlio.save_distributed_shard(uri, 3, 0, "torch", bytes([rank]), 2, rank) for rank in range(2)]
    s3dlio.finalize_distributed_checkpoint(uri, 3, 0, "torch", metas, 2, 0)
    reader = s3dlio.PyCheckpointStore(uri).reader()
    manifest = reader.load_latest_manifest()
    assert [reader.read_shard_by_rank(manifest, rank) for rank in range(2)] == [b"\x00", b"\x01"]
    shard = f"{uri}/{metas[1]['key']}"
    assert s3dlio.load_checkpoint_with_validation(shard, validate_integrity=True) == b"\x01"
    assert s3dlio.load_checkpoint_with_validation(shard, True) == b"\x01"
