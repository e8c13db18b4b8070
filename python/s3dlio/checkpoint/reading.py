"""From an open checkpoint to values: what is wanted is found in the trees, read at once, and put together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from s3dlio import _s3dlio
from s3dlio.checkpoint.leaves import PARTED, Place, fillable, place, target
from s3dlio.checkpoint.nodes import Node, merge, parse, prune
from s3dlio.checkpoint.shard import Shard
from s3dlio.errors import CheckpointError
from s3dlio.progress import BytesReport, watching

__all__ = ["Region", "load"]

# First element and lengths along each axis.
Region = tuple[Sequence[int], Sequence[int]]

# Name, whether of all ranks, first element and lengths of the part, and the memory to fill.
Wanted = tuple[str, bool, tuple[list[int], list[int]] | None, Any]


class _Reader:
    """The tensors of one load: each is read once, however often the tree refers to it."""

    def __init__(self, checkpoint: _s3dlio.Checkpoint, shards: Mapping[str, Region], *, whole: bool) -> None:
        self.checkpoint = checkpoint
        self.specs: dict[int, dict[str, tuple[str, list[int]]]] = {}
        self.shards = shards
        self.whole = whole
        self.places: dict[str, Place] = {}
        self.values: dict[str, Any] = {}
        self.wanted: dict[int, list[Wanted]] = {}

    def tree(self, rank: int) -> Node:
        text, specs = self.checkpoint.tree(rank).wait()
        self.specs[rank] = {name: (stored, shape) for name, stored, shape in specs}
        return parse(text, rank)

    def plan(self, node: Node, into: Any) -> None:
        identity = self._identity(node)
        if identity in self.places:
            return
        name = str(node.attributes[node.kind])
        everybodys = node.attributes.get("global") is True
        whole = self.checkpoint.whole(name) if everybodys else None
        known = whole or self.specs[node.rank].get(name)
        if known is None:
            message = f"{node.path or 'data'}: no shard holds the tensor {name!r}"
            raise CheckpointError(message)
        stored, shape = known
        spread = target(into)
        if spread is not None:
            into = spread[0]
        region = self._region(node, into) if whole is not None or isinstance(into, Shard) else None
        if isinstance(into, Shard):
            if tuple(shape[: len(into.global_shape)]) != into.global_shape:
                message = f"{node.path or 'data'}: found a tensor of shape {shape}, expected {list(into.global_shape)}"
                raise CheckpointError(message)
            into = into.local
        if region is not None:
            extra = list(shape[len(region[0]) :])
            region = ([*region[0], *(0 for _ in extra)], [*region[1], *extra])
            shape = region[1]
        if node.kind == "tensor":
            made = place(node.attributes, stored, tuple(shape), into)
        else:
            memory = np.empty(shape, np.uint8).reshape(-1)
            kind = bytearray if node.kind == "bytearray_in" else bytes
            made = Place(memory, lambda _: kind(memory))
        if spread is not None:
            made = _spread(made, spread[1])
        self.places[identity] = made
        self.wanted.setdefault(node.rank, []).append((name, whole is not None, region, made.memory))

    def _region(self, node: Node, into: Any) -> tuple[list[int], list[int]] | None:
        """Return which part of a whole is wanted: what is asked for, what ``into`` holds, or what the rank had."""
        if node.path in self.shards:
            offsets, lengths = self.shards[node.path]
            return [int(offset) for offset in offsets], [int(length) for length in lengths]
        if isinstance(into, Shard):
            return list(into.offsets), list(into.lengths)
        if self.whole or "offsets" not in node.attributes:
            return None
        return list(node.attributes["offsets"]), list(node.attributes["lengths"])

    def _identity(self, node: Node) -> str:
        everybodys = node.attributes.get("global") is True
        part = self.shards.get(node.path)
        own = None if part is None else node.path
        place = [node.attributes.get("offsets"), node.attributes.get("lengths")]
        return json.dumps([None if everybodys else node.rank, node.attributes[node.kind], place, own])

    def read(self, *, verify: bool, progress: bool | BytesReport | None) -> None:
        total = sum(memory.nbytes for wanted in self.wanted.values() for *_, memory in wanted)
        with watching(progress, total) as watch:
            for rank, wanted in self.wanted.items():
                watch.wait(self.checkpoint.read(rank, wanted, verify, watch.counter))

    def value(self, node: Node) -> Any:
        identity = self._identity(node)
        value = f"{identity} {json.dumps(node.attributes)}"
        if value not in self.values:
            self.values[value] = self.places[identity].finish(node.attributes)
        return self.values[value]


def _spread(made: Place, finish: Callable[[Any], Any]) -> Place:
    """Have a part, once it is read, made what it is a part of."""
    return Place(made.memory, lambda node: finish(made.finish(node)))


def _inside(into: Any, node: Node, key: Any, number: int) -> Any:
    """Return what lies in ``into`` where a child of the node belongs."""
    if node.kind in {"dict", "odict"}:
        pairs: Any = into if isinstance(into, dict) else {}  # pyright: ignore[reportUnknownVariableType]
        return pairs.get(key)
    items = cast("Sequence[Any]", into) if isinstance(into, (list, tuple)) else ()
    return items[number] if number < len(items) else None


def _check_form(node: Node, into: Any) -> None:
    """Refuse what has no counterpart in the checkpoint: its tensors would stay as they are without a word."""
    where = node.path or "data"
    found = type(into).__name__
    if node.kind in {"dict", "odict"}:
        if not isinstance(into, dict):
            message = f"{where}: into: found a {found}, expected a dict"
            raise CheckpointError(message)
        known = set(node.keys)
        unknown = [key for key in cast("Iterable[Any]", into) if key not in known]
        if unknown:
            message = f"{where}: into: found the key {unknown[0]!r}, which the checkpoint does not have there"
            raise CheckpointError(message)
    elif node.kind in {"list", "tuple"}:
        items = cast("Sequence[Any]", into) if isinstance(into, (list, tuple)) else None
        if items is None or len(items) != len(node.children):
            number = "" if items is None else f" of {len(items)}"
            message = f"{where}: into: found a {found}{number}, expected a {node.kind} of {len(node.children)}"
            raise CheckpointError(message)
    elif node.kind != "tensor" and node.kind not in PARTED and fillable(into):
        message = f"{where}: into: found a {found}, and the checkpoint has no tensor there"
        raise CheckpointError(message)


def _plan(reader: _Reader, node: Node, into: Any) -> None:
    if node.dropped:
        return
    if into is not None:
        _check_form(node, into)
    if node.children:
        for number, child in enumerate(node.children):
            key = node.keys[number] if node.keys else None
            _plan(reader, child, _inside(into, node, key, number))
        if node.meta is not None:
            _plan(reader, node.meta, None)
    else:
        for leaf in node.leaves():
            reader.plan(leaf, into)


def load(
    checkpoint: _s3dlio.Checkpoint,
    *,
    rank: int | None = None,
    into: Any = None,
    select: Iterable[str] | None = None,
    shards: Mapping[str, Region] | None = None,
    verify: bool = True,
    allow_pickle: bool = False,
    progress: bool | BytesReport | None = None,
) -> Any:
    """Load values from an open checkpoint.

    Args:
        checkpoint: The checkpoint.
        rank: Whose values; by default those of all ranks put together, with whole tensors.
        into: Values whose tensors are read in place.
        select: Patterns of paths; everything by default.
        shards: By path the part of a tensor that is wanted.
        verify: Whether checksums are compared.
        allow_pickle: Whether pickled objects may be loaded.
        progress: ``True`` for a bar, or a function that is told the bytes read and all bytes.
    """
    reader = _Reader(checkpoint, shards or {}, whole=rank is None)
    world = checkpoint.manifest()["world_size"]
    root = reader.tree(0 if rank is None else rank)
    for other in range(1, world) if rank is None else ():
        merge(root, reader.tree(other))
    if select is not None:
        patterns = [select] if isinstance(select, str) else list(select)
        if not prune(root, patterns):
            message = f"select: nothing in the checkpoint has a path like {patterns}"
            raise CheckpointError(message)
    _plan(reader, root, into)
    reader.read(verify=verify, progress=progress)
    return root.build(reader.value, allow_pickle=allow_pickle)
