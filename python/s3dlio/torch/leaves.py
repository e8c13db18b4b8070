"""Tensors in checkpoints: from torch's memory and back into it, with their kind, their type and what they share."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from s3dlio.checkpoint.leaves import Packed, Place, fillable
from s3dlio.checkpoint.shard import Shard
from s3dlio.errors import CheckpointError, CorruptDataError

__all__ = [
    "from_parts",
    "from_scalar",
    "is_tensor",
    "memory_for",
    "pack",
    "part",
    "parts",
    "place",
    "plain_place",
    "scalar",
    "share",
    "target",
]

_STORED = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "U8",
    "float8_e5m2fnuz": "U8",
}
_COMPLEX = {"complex32": "F16", "complex64": "F32", "complex128": "F64"}

_SPARSE = {torch.sparse_csr: "csr", torch.sparse_csc: "csc"}


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a tensor."""
    return isinstance(value, torch.Tensor)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _memory(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """Return the bytes of a contiguous tensor in the memory of this machine, without a copy."""
    plain = tensor.detach()
    if plain.numel() == 0:
        return np.empty(0, np.uint8)
    if plain.is_complex():
        plain = torch.view_as_real(plain)
    return cast("NDArray[np.uint8]", plain.reshape(-1).view(torch.uint8).numpy())


def pack(value: Any) -> Packed | None:
    """Describe a dense tensor; ``None`` for anything else."""
    if type(value) not in {torch.Tensor, torch.nn.Parameter, torch.nn.Buffer}:
        return None
    tensor = cast("torch.Tensor", value)
    name = _name(tensor.dtype)
    stored = _STORED.get(name) or _COMPLEX.get(name)
    # A nested tensor calls itself strided, and has no shape.
    if stored is None or tensor.layout != torch.strided or tensor.is_meta or tensor.is_nested:
        return None
    node: dict[str, Any] = {"tensor": "", "as": "torch", "dtype": name}
    if type(value) is torch.nn.Parameter:
        node["param"] = tensor.requires_grad
    elif type(value) is torch.nn.Buffer:
        node["buffer"] = value.persistent
    elif tensor.requires_grad:
        node["grad"] = True
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    extra = 1 if name in _COMPLEX else 0
    return Packed(stored, (*tensor.shape, *([2] * extra)), _memory(plain), node, extra)


def part(value: Any, path: str) -> Shard | None:
    """Return the part of a ``DTensor`` that this process holds; the first of those with the same part stores it.

    Raises:
        TypeError: Its parts are summands of it.
    """
    tensors = sys.modules.get("torch.distributed.tensor")
    if tensors is None or not isinstance(value, tensors.DTensor):
        return None
    if any(placement.is_partial() for placement in value.placements):
        message = f"{path}: a DTensor with partial sums cannot be saved; redistribute it first: {value.placements}"
        raise TypeError(message)
    coordinate = value.device_mesh.get_coordinate()
    if coordinate is None:
        message = f"{path}: this process is not in the mesh of the DTensor, {value.device_mesh}"
        raise TypeError(message)
    copies = zip(coordinate, value.placements, strict=True)
    stored = all(number == 0 for number, placement in copies if placement.is_replicate())
    (chunk,) = value.__create_chunk_list__()
    return Shard(value.detach().to_local(), value.shape, chunk.offsets, stored=stored)


def target(into: Any) -> tuple[Shard, Callable[[Any], Any]] | None:
    """Return the part of a ``DTensor`` that is read into it; ``None`` for what is none."""
    shard = part(into, "into")
    return None if shard is None else (shard, lambda _: into)


def share(packed: list[tuple[str, Packed, Any]]) -> list[tuple[str, Packed, Any]]:
    """Let tensors of one storage share what is saved of it."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for at, (_, leaf, value) in enumerate(packed):
        if isinstance(value, torch.Tensor) and leaf.node.get("as") == "torch" and value.numel() > 0:
            if value.is_conj() or value.is_neg():
                continue
            storage = value.untyped_storage().data_ptr()
            groups.setdefault((value.device, storage, value.dtype), []).append(at)
    result = list(packed)
    for key, members in groups.items():
        if len(members) < 2:  # noqa: PLR2004 # a pair is the least that can share
            continue
        shapes = {_geometry(packed[at][2]) for at in members}
        for at in members:
            packed[at][1].node["shares"] = f"{key[0]}-{key[1]}-{key[2]}"
        if len(shapes) > 1:
            whole, start = _covering([packed[at][2] for at in members])
            for at in members:
                path, leaf, value = packed[at]
                offset, size, stride = _geometry(value)
                leaf.node.update({"start": offset - start, "size": list(size), "stride": list(stride)})
                shape = (whole.numel(), *([2] * leaf.extra))
                result[at] = (path, Packed(leaf.stored, shape, _memory(whole), leaf.node, leaf.extra), value)
    return result


def _geometry(tensor: torch.Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride())


def _last(size: Sequence[int], stride: Sequence[int]) -> int:
    """Return how far the last element of a view lies behind its first."""
    return sum((length - 1) * step for length, step in zip(size, stride, strict=True))


def _covering(tensors: list[torch.Tensor]) -> tuple[torch.Tensor, int]:
    """Return the part of the storage from the first to the last element of the tensors."""
    start = min(int(tensor.storage_offset()) for tensor in tensors)
    ends = [
        int(tensor.storage_offset())
        + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        for tensor in tensors
    ]
    span = max(ends) + 1 - start
    return tensors[0].detach().as_strided((span,), (1,), start).cpu(), start


def place(node: dict[str, Any], stored: str, shape: tuple[int, ...], into: Any) -> Place:
    """Make a place for a tensor; in the memory of ``into`` where that fits."""
    name = str(node.get("dtype"))
    known = _STORED.get(name) == stored or (_COMPLEX.get(name) == stored and shape[-1:] == (2,))
    if not known:
        message = f"the checkpoint has a tensor of the type {name!r} that is stored as {stored} of shape {shape}"
        raise CorruptDataError(message)
    logical = shape[:-1] if name in _COMPLEX else shape
    return _place(getattr(torch, name), logical, into, viewed="size" in node)


def plain_place(stored: str, shape: tuple[int, ...], into: Any) -> Place:
    """Make a place for a tensor of a file that another program wrote."""
    names = [name for name, known in _STORED.items() if known == stored]
    return _place(getattr(torch, names[0]), shape, into, viewed=False)


def _place(dtype: torch.dtype, shape: tuple[int, ...], into: Any, *, viewed: bool) -> Place:
    if not isinstance(into, torch.Tensor):
        if fillable(into):
            message = f"into: found a {type(into).__name__}, expected a tensor {dtype} of shape {tuple(shape)}"
            raise CheckpointError(message)
        base = torch.empty(shape, dtype=dtype)
        return Place(_memory(base), lambda node: _finished(base, node))
    if into.dtype != dtype or (not viewed and tuple(into.shape) != tuple(shape)):
        message = f"into: found a tensor {into.dtype} of shape {tuple(into.shape)}, expected {dtype} of shape {shape}"
        raise CheckpointError(message)
    if not viewed and into.is_contiguous() and into.device.type == "cpu" and not into.is_conj():
        return Place(_memory(into), lambda _: into)
    base = torch.empty(shape, dtype=dtype)

    def finish(node: dict[str, Any]) -> torch.Tensor:
        with torch.no_grad():
            return into.copy_(_viewed(base, node))

    return Place(_memory(base), finish)


def _viewed(base: torch.Tensor, node: dict[str, Any]) -> torch.Tensor:
    if "size" not in node:
        return base
    size, stride, start = node["size"], node["stride"], node["start"]
    last = start + _last(size, stride)
    if min([start, *size, *stride]) < 0 or last >= base.numel():
        message = f"the checkpoint has a view of size {size}, stride {stride} and start {start} beyond its tensor"
        raise CorruptDataError(message)
    return base.as_strided(size, stride, start)


def _finished(base: torch.Tensor, node: dict[str, Any]) -> torch.Tensor:
    tensor = _viewed(base, node)
    if "param" in node:
        return torch.nn.Parameter(tensor, requires_grad=bool(node["param"]))
    if "buffer" in node:
        return torch.nn.Buffer(tensor, persistent=bool(node["buffer"]))
    # A detached tensor of its own, as state dicts have them: it shares the memory, not the flag.
    return tensor.detach().requires_grad_(bool(node.get("grad")))


def memory_for(
    stored: str, shape: tuple[int, ...], extra: int, tensor: torch.Tensor
) -> tuple[torch.Tensor | None, NDArray[np.uint8]]:
    """Return the memory for a part of a tensor, and what is to be copied into it then if that is not its own."""
    name = _name(tensor.dtype)
    fits = _STORED.get(name) == stored if not extra else _COMPLEX.get(name) == stored
    if fits and tensor.is_contiguous() and tensor.device.type == "cpu" and not tensor.is_conj():
        return None, _memory(tensor)
    names = _COMPLEX if extra else _STORED
    dtype = tensor.dtype if fits else getattr(torch, next(name for name, known in names.items() if known == stored))
    base = torch.empty(shape[: len(shape) - extra], dtype=dtype)
    return base, _memory(base)


def scalar(value: Any) -> dict[str, Any] | None:
    """Describe a shape, type or device; ``None`` for anything else."""
    if type(value) is torch.Size:
        return {"torch_size": [int(length) for length in value]}
    if isinstance(value, torch.dtype):
        return {"torch_dtype": _name(value)}
    if isinstance(value, torch.device):
        return {"torch_device": str(value)}
    return None


def from_scalar(kind: str, value: Any) -> Any:
    """Return the shape, type or device that a node describes."""
    if kind == "torch_size":
        return torch.Size(value)
    if kind == "torch_device":
        return torch.device(value)
    dtype = getattr(torch, str(value), None)
    if not isinstance(dtype, torch.dtype):
        message = f"the checkpoint names {value!r}, which is no type of torch"
        raise CorruptDataError(message)
    return dtype


def parts(value: Any) -> list[Any] | None:
    """Take a sparse tensor apart; ``None`` for anything else."""
    if not isinstance(value, torch.Tensor):
        return None
    plain = value.detach()
    if plain.layout == torch.sparse_coo:
        # The public accessors refuse a tensor whose duplicates are not summed up.
        parts = [plain._indices(), plain._values()]  # noqa: SLF001
        return ["coo", *parts, tuple(plain.shape), plain.is_coalesced()]
    if plain.layout == torch.sparse_csr:
        return ["csr", plain.crow_indices(), plain.col_indices(), plain.values(), tuple(plain.shape)]
    if plain.layout == torch.sparse_csc:
        return ["csc", plain.ccol_indices(), plain.row_indices(), plain.values(), tuple(plain.shape)]
    return None


def from_parts(parts: list[Any]) -> torch.Tensor:
    """Put a sparse tensor together; torch checks that its indices fit."""
    try:
        if parts[0] == "coo":
            _, indices, values, size, coalesced = parts
            return torch.sparse_coo_tensor(indices, values, size, is_coalesced=coalesced, check_invariants=True)
        make = {"csr": torch.sparse_csr_tensor, "csc": torch.sparse_csc_tensor}[parts[0]]
        return make(parts[1], parts[2], parts[3], parts[4], check_invariants=True)
    except (KeyError, RuntimeError, TypeError, ValueError, IndexError) as error:
        message = f"the checkpoint has a sparse tensor whose parts do not fit together: {error}"
        raise CorruptDataError(message) from error
