"""The tree of a checkpoint between its text and its values: merged, pruned, and built when the tensors are read."""

from __future__ import annotations

import base64
import fnmatch
import json
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from s3dlio.checkpoint.leaves import PARTED, dtype_of, framework
from s3dlio.errors import CheckpointError, CorruptDataError

__all__ = ["REFERENCES", "Node", "merge", "parse", "prune"]

# Kinds of nodes whose bytes lie in a tensor.
REFERENCES = ("tensor", "bytes_in", "bytearray_in", "pickle_in")

_PAIRS = ("dict", "odict")
_SEQUENCES = ("list", "tuple", "set", "frozenset", *PARTED)


class Node:
    """A value of the tree: its kind, what the text says of it, and the nodes inside it."""

    __slots__ = ("attributes", "children", "dropped", "keys", "kind", "meta", "path", "rank")

    def __init__(self, kind: str, attributes: Any, path: str, rank: int) -> None:
        self.kind = kind
        self.attributes = attributes
        self.path = path
        self.rank = rank
        self.keys: list[Any] = []
        self.children: list[Node] = []
        self.meta: Node | None = None
        self.dropped = False

    def leaves(self) -> Iterator[Node]:
        """Yield the nodes whose bytes lie in tensors."""
        if self.kind in REFERENCES:
            yield self
        for child in self.children:
            yield from child.leaves()
        if self.meta is not None:
            yield from self.meta.leaves()

    def build(self, tensor: Callable[[Node], Any], *, allow_pickle: bool) -> Any:
        """Return the value; ``tensor`` gives those that were read."""
        if self.dropped:
            return None
        items = [child.build(tensor, allow_pickle=allow_pickle) for child in self.children]
        if self.kind in _PAIRS:
            metadata = None if self.meta is None else self.meta.build(tensor, allow_pickle=allow_pickle)
            return _mapping(self.kind, self.keys, items, metadata)
        if self.kind in _SEQUENCES:
            return _sequence(self.kind, items)
        if self.kind in REFERENCES:
            value = tensor(self)
            return _unpickled(value, self.path, allow_pickle=allow_pickle) if self.kind == "pickle_in" else value
        if self.kind == "pickle":
            return _unpickled(base64.b64decode(self.attributes["pickle"]), self.path, allow_pickle=allow_pickle)
        return _scalar(self.kind, self.attributes)


def _mapping(kind: str, keys: list[Any], items: list[Any], metadata: Any) -> Any:
    pairs = zip(keys, items, strict=True)
    if kind == "dict":
        return dict(pairs)
    ordered: OrderedDict[Any, Any] = OrderedDict(pairs)
    if metadata is not None:
        # Where torch.nn.Module.state_dict keeps the versions of its modules.
        vars(ordered)["_metadata"] = metadata
    return ordered


def _sequence(kind: str, items: list[Any]) -> Any:
    if kind in PARTED:
        return framework(PARTED[kind]).from_parts(items)
    makers: dict[str, Callable[[list[Any]], Any]] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    return makers[kind](items)


def _unpickled(data: bytes, path: str, *, allow_pickle: bool) -> Any:
    if not allow_pickle:
        message = f"{path or 'data'}: the checkpoint holds a pickled object, which can run any code: allow_pickle=True"
        raise CheckpointError(message)
    return pickle.loads(data)  # noqa: S301 # the caller has allowed it


def _scalar(kind: str, attributes: Any) -> Any:
    if kind == "plain":
        return attributes
    value = attributes[kind]
    readers: dict[str, Callable[[], Any]] = {
        "int": lambda: int(value, 16),
        "float": lambda: struct.unpack(">d", bytes.fromhex(value))[0],
        "complex": lambda: complex(*struct.unpack(">dd", bytes.fromhex(value))),
        "str": lambda: base64.b64decode(value).decode("utf-8", "surrogatepass"),
        "bytes": lambda: base64.b64decode(value),
        "bytearray": lambda: bytearray(base64.b64decode(value)),
        "scalar": lambda: _numpy_scalar(attributes),
    }
    if kind in readers:
        return readers[kind]()
    return framework("torch").from_scalar(kind, value)


def _numpy_scalar(attributes: dict[str, Any]) -> Any:
    dtype = dtype_of(str(attributes["dtype"]))
    data = base64.b64decode(attributes["scalar"])
    if len(data) != dtype.itemsize:
        message = f"the checkpoint has a scalar of the type {attributes['dtype']!r} and {len(data)} bytes"
        raise CorruptDataError(message)
    if dtype.itemsize == 0:
        return dtype.type()
    return np.frombuffer(data, dtype)[0]


def parse(text: str, rank: int) -> Node:
    """Make the nodes of a tree, whose text the core has checked."""
    tokens = iter(cast("list[Any]", json.loads(text)))
    return _node(tokens, "", rank)


def _node(tokens: Iterator[Any], path: str, rank: int) -> Node:
    token = next(tokens)
    if not isinstance(token, dict):
        return Node("plain", token, path, rank)
    attributes = cast("dict[str, Any]", token)
    kinds = (*_PAIRS, *_SEQUENCES, *REFERENCES, "scalar")
    kind = next((kind for kind in kinds if kind in attributes), None) or next(iter(attributes))
    node = Node(kind, attributes, path, rank)
    if kind in _PAIRS:
        for _ in range(attributes[kind]):
            key = _node(tokens, path, rank).build(_no_tensor, allow_pickle=False)
            node.keys.append(key)
            node.children.append(_node(tokens, f"{path}.{key}" if path else str(key), rank))
        if attributes.get("meta"):
            node.meta = _node(tokens, f"{path}._metadata", rank)
    elif kind in _SEQUENCES:
        for number in range(attributes[kind]):
            node.children.append(_node(tokens, f"{path}.{number}" if path else str(number), rank))
    return node


def _no_tensor(node: Node) -> Any:
    message = f"{node.path or 'data'}: a tensor stands for a key"
    raise CorruptDataError(message)


def merge(first: Node, second: Node) -> None:
    """Add to ``first`` the entries of dicts that only ``second`` has."""
    if first.kind not in _PAIRS or second.kind not in _PAIRS:
        return
    known = {_hashable(key): child for key, child in zip(first.keys, first.children, strict=True)}
    for key, child in zip(second.keys, second.children, strict=True):
        if _hashable(key) in known:
            merge(known[_hashable(key)], child)
        else:
            first.keys.append(key)
            first.children.append(child)


def _hashable(key: Any) -> tuple[str, Any]:
    # 1, 1.0 and True are the same key of a dict but not the same entry of a checkpoint.
    return type(key).__name__, key


def prune(node: Node, patterns: Sequence[str]) -> bool:
    """Drop what no pattern selects; ``False`` when nothing is left. Items of sequences become ``None``."""
    if any(fnmatch.fnmatchcase(node.path, pattern) for pattern in patterns):
        return True
    if node.kind in _PAIRS:
        kept = [(key, child) for key, child in zip(node.keys, node.children, strict=True) if prune(child, patterns)]
        node.keys = [key for key, _ in kept]
        node.children = [child for _, child in kept]
        return bool(kept)
    if node.kind in {"list", "tuple"}:
        for child in node.children:
            child.dropped = not prune(child, patterns)
        return any(not child.dropped for child in node.children)
    return False
