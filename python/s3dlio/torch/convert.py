"""From samples of the Rust core to what a PyTorch program expects."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from s3dlio._s3dlio import BytesView
from s3dlio.errors import ConfigError
from s3dlio.reader import ObjectReader

__all__ = ["Converter", "check_return_type"]

_RETURN_TYPES = ("tensor", "bytes", "reader")


def check_return_type(return_type: str) -> str:
    """Return the value, or raise ``ConfigError`` (a ``ValueError``)."""
    if return_type not in _RETURN_TYPES:
        message = f"option `return_type`: found {return_type!r}, expected one of {_RETURN_TYPES}"
        raise ConfigError(message)
    return return_type


@dataclass(frozen=True)
class Converter:
    """How samples become what the data set hands out.

    Attributes:
        return_type: For plain bytes: ``"tensor"`` (1-D uint8), ``"bytes"``, or ``"reader"`` (file-like).
        writable: Whether tensors of plain bytes are copies that may be written to; otherwise they share the memory of
            the object and must not be.
        suppress_nonwritable_warning: Whether torch's warning about read-only memory is kept quiet.
        memory_format: How stacked images (4-D tensors) lie in memory: ``"auto"`` leaves them as they are.
    """

    return_type: str = "tensor"
    writable: bool = False
    suppress_nonwritable_warning: bool = True
    memory_format: str = "auto"

    def sample(self, sample: Any) -> Any:
        """Convert one sample: bytes by ``return_type``, arrays to tensors of their own memory."""
        if isinstance(sample, BytesView):
            return self._bytes(sample)
        if isinstance(sample, dict):
            return {name: _own(array) for name, array in sample.items()}
        return _own(sample)

    def batch(self, data: Any) -> Any:
        """Convert a ready batch: stacks to tensors without a copy, lists sample by sample."""
        if isinstance(data, list):
            return [self.sample(sample) for sample in data]
        if isinstance(data, dict):
            return {name: self._column(column) for name, column in data.items()}
        return self._images(_tensor(data))

    def _column(self, column: Any) -> Any:
        # A feature with any number of values has each sample's for themselves.
        return [_own(row) for row in column] if isinstance(column, list) else self._images(_tensor(column))

    def _images(self, stack: Any) -> Any:
        images = isinstance(stack, torch.Tensor) and stack.dim() == 4  # noqa: PLR2004 - batch, channels, height, width
        if self.memory_format == "auto" or not images:
            return stack
        last = self.memory_format == "channels_last"
        return stack.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

    def _bytes(self, view: BytesView) -> Any:
        if self.return_type == "bytes":
            return view.to_bytes()
        if self.return_type == "reader":
            return ObjectReader(view)
        if len(view) == 0:
            return torch.empty(0, dtype=torch.uint8)
        if self.writable:
            return torch.frombuffer(bytearray(view), dtype=torch.uint8)
        if self.suppress_nonwritable_warning:
            _quiet_readonly_warning()
        return torch.frombuffer(view, dtype=torch.uint8)


_quiet = False


def _quiet_readonly_warning() -> None:
    """Use up the warning that torch gives once in a process about tensors over read-only memory."""
    global _quiet  # noqa: PLW0603 - once in a process, like the warning itself
    if not _quiet:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.frombuffer(b"\0", dtype=torch.uint8)
        _quiet = True


def _own(value: Any) -> Any:
    if isinstance(value, str | bytes):
        return value
    # The view into the record is read-only and mostly unaligned; a tensor needs neither to be true.
    return _tensor(np.array(value, order="C"))


def _tensor(array: np.ndarray[Any, Any]) -> Any:
    """Share an array's memory as a tensor; dtypes that torch does not have stay arrays."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    try:
        return torch.from_numpy(array)
    except TypeError:
        return array
