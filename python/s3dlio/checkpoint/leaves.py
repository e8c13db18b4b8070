"""Arrays as they lie in a checkpoint: from NumPy's memory and back into it, without a copy."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from s3dlio.checkpoint.shard import Shard
from s3dlio.errors import CheckpointError, CorruptDataError

__all__ = [
    "PARTED",
    "Packed",
    "Place",
    "Processes",
    "dtype_name",
    "dtype_of",
    "fillable",
    "framework",
    "pack",
    "part",
    "parts",
    "place",
    "plain_place",
    "processes",
    "target",
]

# The names of safetensors for NumPy's kinds and widths.
_STORED = {
    **{("f", width): f"F{width * 8}" for width in (2, 4, 8)},
    **{("i", width): f"I{width * 8}" for width in (1, 2, 4, 8)},
    **{("u", width): f"U{width * 8}" for width in (1, 2, 4, 8)},
    **{(kind, 8): "I64" for kind in "mM"},
    ("b", 1): "BOOL",
}
_PLAIN = {stored: f"<{kind}{width}" for (kind, width), stored in _STORED.items() if kind not in "mM"}

# Types that the package ml_dtypes adds to NumPy.
_ADDED = {
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    # Without a name there: their bytes, one for each element.
    "float8_e3m4": "U8",
    "float8_e4m3": "U8",
    "float8_e4m3b11fnuz": "U8",
    "float8_e4m3fnuz": "U8",
    "float8_e5m2fnuz": "U8",
    "float6_e2m3fn": "U8",
    "float6_e3m2fn": "U8",
    "float4_e2m1fn": "U8",
    "int4": "U8",
    "int2": "U8",
    "uint4": "U8",
    "uint2": "U8",
}


# Frameworks with tensors over several processes or devices.
_TENSORS = ("torch", "jax")

# Nodes of values that are made of tensors, and whose they are.
PARTED = {"torch_sparse": "torch", "jax_key": "jax"}

# Modules that are imported only where their framework is there.
_FRAMEWORKS = {
    "torch": "s3dlio.torch.leaves",
    "torch processes": "s3dlio.torch.collective",
    "jax": "s3dlio.jax.arrays",
    "jax processes": "s3dlio.jax.arrays",
}


@dataclass(frozen=True)
class Packed:
    """A tensor on its way out: how it is stored, its memory, and what the tree says of it."""

    stored: str
    shape: tuple[int, ...]
    memory: Any
    node: dict[str, Any]
    # Axes at the end of the stored shape that the tensor itself does not have.
    extra: int = 0


class Processes(Protocol):
    """The processes of a job, as a framework knows them."""

    def ranks(self) -> tuple[int, int] | None:
        """Return rank and world size; ``None`` where the framework runs a single process."""

    def agreed(self, digits: str) -> str:
        """Return the hexadecimal digits of rank 0, in all processes."""
        ...


@dataclass(frozen=True)
class Place:
    """A tensor on its way in: the memory that is filled, and what a node of the tree makes of it."""

    memory: NDArray[np.uint8]
    finish: Callable[[dict[str, Any]], Any] = field(compare=False)


def framework(name: str) -> Any:
    """Return a module of ours for a framework."""
    return importlib.import_module(_FRAMEWORKS[name])


def processes() -> Processes | None:
    """Return the first framework that runs this process as one of several, ``None`` where none does."""
    found = (framework(f"{name} processes") for name in _TENSORS if name in sys.modules)
    return next((job for job in found if job.ranks() is not None), None)


def part(value: Any, path: str) -> Shard | None:
    """Return this process's part of a tensor that several processes make up; ``None`` for anything else.

    Raises:
        TypeError: What it would store is no box.
    """
    found = (framework(name).part(value, path) for name in _TENSORS if name in sys.modules)
    return next((shard for shard in found if shard is not None), None)


def parts(value: Any) -> tuple[str, list[Any]] | None:
    """Take a value of a framework apart that is made of tensors: the kind of its node, and what lies in it."""
    found = ((kind, framework(name).parts(value)) for kind, name in PARTED.items() if name in sys.modules)
    return next(((kind, items) for kind, items in found if items is not None), None)


def target(into: Any) -> tuple[Shard, Callable[[Any], Any]] | None:
    """Return the part that an array over several devices needs, and what it makes of it; ``None`` for anything else."""
    found = (framework(name).target(into) for name in _TENSORS if name in sys.modules)
    return next((made for made in found if made is not None), None)


def _flat(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def pack(value: Any) -> Packed | None:
    """Describe an array of NumPy, torch or JAX; ``None`` for anything else."""
    if type(value) in {np.ndarray, np.memmap}:
        return _pack_array(value, "numpy")
    if "torch" in sys.modules and (packed := framework("torch").pack(value)) is not None:
        return cast("Packed", packed)
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.Array):
        return _pack_array(np.asarray(value), "jax")
    return None


def _pack_array(array: NDArray[Any], kind: str) -> Packed | None:
    dtype = array.dtype
    node: dict[str, Any] = {"tensor": "", "as": kind, "dtype": dtype.str}
    if dtype.name in _ADDED:
        node["dtype"] = dtype.name
        return Packed(_ADDED[dtype.name], array.shape, _flat(array), node)
    if dtype.hasobject or dtype.names is not None or dtype.kind == "V":
        return None
    if dtype.kind == "c" and dtype.isnative and dtype.itemsize in {8, 16}:
        stored = f"F{dtype.itemsize * 4}"
        return Packed(stored, (*array.shape, 2), _flat(array), node, 1)
    known = _STORED.get((dtype.kind, dtype.itemsize)) if dtype.isnative else None
    if known is not None:
        return Packed(known, array.shape, _flat(array), node)
    return Packed("U8", (*array.shape, dtype.itemsize), _flat(array), node, 1)


def dtype_name(dtype: np.dtype[Any]) -> str | None:
    """Return the name under which :func:`dtype_of` finds the type again; ``None`` for structures and objects."""
    if dtype.name in _ADDED:
        return dtype.name
    return None if dtype.hasobject or dtype.names is not None or dtype.kind == "V" else dtype.str


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the type of this name.

    Raises:
        CorruptDataError: Arrays cannot have it.
    """
    if name in _ADDED:
        added: np.dtype[Any] = np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
        return added
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype("O")
    if dtype.hasobject or dtype.names is not None or dtype.kind == "V" or dtype.str != name:
        message = f"the checkpoint has an array of the type {name!r}, which arrays cannot have"
        raise CorruptDataError(message)
    return dtype


def _logical(dtype: np.dtype[Any], stored: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the array that is stored in this one."""
    if dtype.name in _ADDED:
        fits, extra = stored == _ADDED[dtype.name], 0
    elif dtype.kind == "c" and dtype.isnative and dtype.itemsize in {8, 16}:
        fits, extra = stored == f"F{dtype.itemsize * 4}" and shape[-1:] == (2,), 1
    elif dtype.isnative and (dtype.kind, dtype.itemsize) in _STORED:
        fits, extra = stored == _STORED[dtype.kind, dtype.itemsize], 0
    else:
        fits, extra = stored == "U8" and shape[-1:] == (dtype.itemsize,), 1
    if not fits:
        message = f"the checkpoint has an array of the type {dtype} that is stored as {stored} of shape {shape}"
        raise CorruptDataError(message)
    return shape[: len(shape) - extra]


def _jax(array: NDArray[Any]) -> Any:
    numpy = importlib.import_module("jax.numpy")
    return numpy.asarray(array)


def place(node: dict[str, Any], stored: str, shape: tuple[int, ...], into: Any) -> Place:
    """Make a place for a tensor of the stored type and shape; in the memory of ``into`` where that fits."""
    kind = node.get("as")
    if kind == "torch":
        return cast("Place", framework("torch").place(node, stored, shape, into))
    if kind == "plain":
        return plain_place(stored, shape, into)
    if kind not in {"numpy", "jax"}:
        message = f"the checkpoint has a tensor of the kind {kind!r}, expected numpy, torch, jax or plain"
        raise CorruptDataError(message)
    dtype = dtype_of(str(node.get("dtype")))
    logical = _logical(dtype, stored, shape)
    if kind == "jax" and not isinstance(into, np.ndarray):
        array = np.empty(logical, dtype)
        return Place(_flat(array), lambda _: _jax(array))
    return _array_place(logical, dtype, into)


def fillable(into: Any) -> bool:
    """Whether a tensor could be read into it, or into something inside it."""
    if isinstance(into, (dict, list, tuple)):
        return len(cast("Any", into)) > 0
    return isinstance(into, (np.ndarray, Shard)) or ("torch" in sys.modules and framework("torch").is_tensor(into))


def _array_place(shape: tuple[int, ...], dtype: np.dtype[Any], into: Any) -> Place:
    if fillable(into) and not isinstance(into, np.ndarray):
        message = f"into: found a {type(into).__name__}, expected a NumPy array {dtype} of shape {shape}"
        raise CheckpointError(message)
    if not isinstance(into, np.ndarray):
        array = np.empty(shape, dtype)
        return Place(_flat(array), lambda _: array)
    given = cast("NDArray[Any]", into)
    if given.shape != shape or given.dtype != dtype:
        message = f"into: found an array {given.dtype} of shape {given.shape}, expected {dtype} of shape {shape}"
        raise CheckpointError(message)
    if given.flags.c_contiguous and given.flags.writeable:
        return Place(given.reshape(-1).view(np.uint8), lambda _: given)
    array = np.empty(shape, dtype)

    def finish(_: dict[str, Any]) -> NDArray[Any]:
        given[...] = array
        return given

    return Place(_flat(array), finish)


def plain_place(stored: str, shape: tuple[int, ...], into: Any) -> Place:
    """Make a place for a tensor of a file that another program wrote: NumPy's where it has the type, else torch's."""
    if stored in _PLAIN and not ("torch" in sys.modules and framework("torch").is_tensor(into)):
        return _array_place(shape, np.dtype(_PLAIN[stored]), into)
    if stored == "C64":
        return _array_place(shape, np.dtype("<c8"), into)
    return cast("Place", framework("torch").plain_place(stored, shape, into))
