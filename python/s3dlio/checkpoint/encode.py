"""From values to the flat tree of a checkpoint and its tensors; docs/checkpoint.md lists the values."""

# Values may be of any type, and once a type was asked for, what they hold is of an unknown one.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import base64
import fnmatch
import json
import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from s3dlio import _s3dlio
from s3dlio.checkpoint.leaves import Packed, dtype_name, framework, pack, part, parts
from s3dlio.checkpoint.shard import Shard
from s3dlio.errors import CheckpointError

__all__ = ["Encoded", "encode"]

# Integers beyond these lose digits in programs that read JSON numbers as floats.
_EXACT = 2**53

# Bytes from this length on are stored as a tensor and not in the header.
_LONG = 4096

_MOST_DEPTH = 128

# Name, type, shape, memory, shape of the whole and place in it, whether it is everybody's.
Item = tuple[str, str, list[int], Any, tuple[list[int], list[int]] | None, bool]


class Encoded:
    """A tree as text, and its tensors."""

    def __init__(self, tree: str, items: list[Item]) -> None:
        self.tree = tree
        self.items = items

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(memoryview(item[3]).nbytes for item in self.items)

    def staged(self) -> Encoded:
        """Return a copy that later changes of the tensors do not reach."""
        items: list[Item] = [(*item[:3], np.array(item[3], copy=True), *item[4:]) for item in self.items]
        return Encoded(self.tree, items)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class _Encoder:
    def __init__(self, *, allow_pickle: bool, replicated: Sequence[str]) -> None:
        self.nodes: list[Any] = []
        self.packed: list[tuple[str, Packed, Any]] = []
        self.allow_pickle = allow_pickle
        self.replicated = replicated

    def value(self, value: Any, path: str, depth: int = 0) -> None:
        if depth > _MOST_DEPTH:
            message = f"{path or 'data'}: more than {_MOST_DEPTH} containers inside each other (or one inside itself)"
            raise CheckpointError(message)
        if not (self.scalar(value) or self.container(value, path, depth) or self.leaf(value, path)):
            self.other(value, path)

    def scalar(self, value: Any) -> bool:
        kind = type(value)
        if value is None or kind is bool:
            self.nodes.append(value)
        elif kind is int:
            self.nodes.append(value if -_EXACT < value < _EXACT else {"int": format(value, "x")})
        elif kind is float:
            self.nodes.append({"float": struct.pack(">d", value).hex()})
        elif kind is complex:
            self.nodes.append({"complex": struct.pack(">dd", value.real, value.imag).hex()})
        elif kind is str:
            self.nodes.append(value if _is_unicode(value) else {"str": _text(value.encode("utf-8", "surrogatepass"))})
        elif isinstance(value, np.generic) and value.dtype.names is None and not value.dtype.hasobject:
            name = dtype_name(value.dtype)
            if name is None:
                return False
            self.nodes.append({"scalar": _text(value.tobytes()), "dtype": name})
        elif "torch" in sys.modules and (node := framework("torch").scalar(value)) is not None:
            self.nodes.append(node)
        else:
            return False
        return True

    def container(self, value: Any, path: str, depth: int) -> bool:
        kind = type(value)
        if kind in {dict, OrderedDict}:
            extra = getattr(value, "_metadata", None) if kind is OrderedDict else None
            node: dict[str, Any] = {"odict" if kind is OrderedDict else "dict": len(value)}
            self.nodes.append(node if extra is None else {**node, "meta": True})
            for key, item in value.items():
                self.key(key, path)
                self.value(item, f"{path}.{key}" if path else str(key), depth + 1)
            if extra is not None:
                self.value(extra, f"{path}._metadata", depth + 1)
        elif kind in {list, tuple, set, frozenset} or (isinstance(value, tuple) and hasattr(value, "_fields")):
            name = "tuple" if isinstance(value, tuple) else kind.__name__
            self.nodes.append({name: len(value)})
            for number, item in enumerate(value):
                self.value(item, f"{path}.{number}" if path else str(number), depth + 1)
        elif (taken := parts(value)) is not None:
            name, items = taken
            self.nodes.append({name: len(items)})
            for number, item in enumerate(items):
                self.value(item, f"{path}.{number}", depth + 1)
        else:
            return False
        return True

    def key(self, key: Any, path: str) -> None:
        if isinstance(key, tuple) and type(key) is tuple:
            self.nodes.append({"tuple": len(key)})
            for part in key:
                self.key(part, path)
        elif not isinstance(key, (str, int, float, bool, bytes, type(None))) or not self.scalar(key):
            if type(key) is not bytes:
                message = f"{path or 'data'}: a key of the type {type(key).__name__} cannot be saved: {key!r}"
                raise TypeError(message)
            self.nodes.append({"bytes": _text(key)})

    def leaf(self, value: Any, path: str) -> bool:
        kind = type(value)
        if kind in {bytes, bytearray}:
            if len(value) < _LONG:
                self.nodes.append({kind.__name__: _text(bytes(value))})
            else:
                node = {f"{kind.__name__}_in": ""}
                self.tensor(path, Packed("U8", (len(value),), np.frombuffer(value, np.uint8), node), None)
            return True
        shard = value if isinstance(value, Shard) else part(value, path)
        packed = pack(value if shard is None else shard.local)
        if packed is not None:
            self.tensor(path, packed, shard or value)
        return packed is not None

    def tensor(self, path: str, packed: Packed, value: Any) -> None:
        self.nodes.append(packed.node)
        self.packed.append((path, packed, value))

    def other(self, value: Any, path: str) -> None:
        if not self.allow_pickle:
            message = (
                f"{path or 'data'}: a value of the type {type(value).__module__}.{type(value).__qualname__} cannot be "
                "saved without pickle; allow_pickle=True takes it, and loading then needs allow_pickle=True as well"
            )
            raise TypeError(message)
        data = pickle.dumps(value)
        if len(data) < _LONG:
            self.nodes.append({"pickle": _text(data)})
        else:
            packed = Packed("U8", (len(data),), np.frombuffer(data, np.uint8), {"pickle_in": ""})
            self.tensor(path, packed, None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encode(
    tree: Any, *, allow_pickle: bool = False, replicated: Sequence[str] = (), rank: int = 0, world_size: int = 1
) -> Encoded:
    """Encode values; tensors are lent, not copied.

    Args:
        tree: The values.
        allow_pickle: Whether values that the format does not know are pickled.
        replicated: Patterns of paths whose tensors all ranks have: each is stored by one of them.
        rank: This process.
        world_size: Number of processes.

    Raises:
        TypeError: A value that cannot be saved; the message names its path.
    """
    encoder = _Encoder(allow_pickle=allow_pickle, replicated=replicated)
    encoder.value(tree, "")
    packed = encoder.packed
    if "torch" in sys.modules:
        packed = framework("torch").share(packed)
    items: list[Item] = []
    names: dict[tuple[int, str], str] = {}
    taken: set[str] = {"__metadata__", "__s3dlio_crc32c__"}
    everybodys: list[tuple[Item, int]] = []
    for path, leaf, value in packed:
        kind = next(iter(leaf.node))
        shard = value if isinstance(value, Shard) else None
        # What was met before is the same memory under another path.
        identity = (id(leaf.memory if value is None else value), leaf.stored) if shard is None else None
        if leaf.node.get("shares") is not None:
            identity = (leaf.node.pop("shares"), "")
        known = names.get(identity) if identity is not None else None
        name = known or _name(path, taken)
        leaf.node[kind] = name
        place = None
        if shard is not None:
            extra = list(leaf.shape[len(leaf.shape) - leaf.extra :])
            place = ([*shard.global_shape, *extra], [*shard.offsets, *(0 for _ in extra)])
            leaf.node.update({"global": True, "offsets": list(shard.offsets), "lengths": list(shard.lengths)})
        mine = shard is None and any(fnmatch.fnmatchcase(path, pattern) for pattern in replicated)
        if mine:
            leaf.node["global"] = True
        if known is not None or not (shard is None or shard.stored):
            continue
        if identity is not None:
            names[identity] = name
        item: Item = (name, leaf.stored, list(leaf.shape), leaf.memory, place, mine)
        if mine:
            everybodys.append((item, memoryview(leaf.memory).nbytes))
        else:
            items.append(item)
    owners = _s3dlio.checkpoint_balance([(item[0], size) for item, size in everybodys], world_size)
    items += [item for (item, _), owner in zip(everybodys, owners, strict=True) if owner == rank]
    return Encoded(json.dumps(encoder.nodes, separators=(",", ":")), items)


def _name(path: str, taken: set[str]) -> str:
    base = path.encode("ascii" if path.isascii() else "utf-8", "backslashreplace").decode() or "data"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}~{number}"
    taken.add(name)
    return name
