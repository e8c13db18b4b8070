"""What the processes of a job agree on."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import torch
import torch.distributed

__all__ = ["agreed", "ranks"]


def ranks() -> tuple[int, int] | None:
    """Return rank and world size; ``None`` where ``torch.distributed`` does not run."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return None
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def agreed(digits: str) -> str:
    """Return the hexadecimal digits of rank 0, in all processes."""
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    tensor = torch.tensor(list(bytes.fromhex(digits)), dtype=torch.uint8, device=device)
    torch.distributed.broadcast(tensor, src=0)
    return bytes(tensor.cpu().numpy()).hex()
