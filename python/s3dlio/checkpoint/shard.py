"""Parts of tensors that several processes make up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from s3dlio.errors import ConfigError

__all__ = ["Shard"]


class Shard:
    """A process's part of a tensor: a box of it.

    Saved by all processes of a job, the parts are one tensor, which loads whole or as any other boxes.

    Args:
        local: The part: a NumPy array or a torch tensor.
        global_shape: Shape of the whole.
        offsets: First element of the part along each axis.
        stored: Whether this process stores it; ``False`` where another one that has the same part does.

    Raises:
        ConfigError: The part does not lie inside the whole.
    """

    def __init__(self, local: Any, global_shape: Sequence[int], offsets: Sequence[int], *, stored: bool = True) -> None:
        self.local = local
        self.stored = stored
        self.global_shape = tuple(int(length) for length in global_shape)
        self.offsets = tuple(int(offset) for offset in offsets)
        lengths = tuple(int(length) for length in local.shape)
        inside = len(lengths) == len(self.global_shape) == len(self.offsets) and all(
            offset >= 0 and offset + length <= whole
            for offset, length, whole in zip(self.offsets, lengths, self.global_shape, strict=True)
        )
        if not inside:
            message = f"Shard: a part of shape {lengths} at {self.offsets} does not lie in one of {self.global_shape}"
            raise ConfigError(message)
        self.lengths = lengths

    def __repr__(self) -> str:
        return f"Shard({self.lengths} at {self.offsets} of {self.global_shape})"
