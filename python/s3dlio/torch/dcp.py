"""Storage for ``torch.distributed.checkpoint``, with the guarantees of ``s3dlio.checkpoint``.

``dcp.save(state, storage_writer=DCPWriter(uri))`` and ``dcp.load(state, storage_reader=DCPReader(uri))``, also
``async_save``: one conditional write commits, every byte is verified, and nothing is unpickled from the store.
"""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import secrets
from pathlib import PurePath
from typing import Any

import torch
from torch.distributed.checkpoint import metadata as md
from torch.distributed.checkpoint.filesystem import _StorageInfo  # pyright: ignore[reportPrivateUsage]
from torch.distributed.checkpoint.planner import (
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    SavePlan,
    SavePlanner,
    WriteItemType,
)
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from s3dlio import _s3dlio
from s3dlio.checkpoint import reading
from s3dlio.checkpoint.encode import Item, encode
from s3dlio.checkpoint.manager import zstd_level
from s3dlio.errors import CheckpointError, CorruptDataError, NotFoundError
from s3dlio.storage import get, get_range
from s3dlio.torch import leaves

__all__ = ["DCPReader", "DCPWriter"]

# A checkpoint of DCP has a place of its own, so its one step needs no name.
_STEP = 0


@dataclasses.dataclass(frozen=True)
class _Task:
    """What the coordinator tells a rank that has something to write."""

    attempt: str
    rank: int
    world_size: int


@dataclasses.dataclass(frozen=True)
class _Stored:
    """Where an item lies: the shard, its name there, and with the first of a shard what the shard says of itself."""

    rank: int
    name: str
    description: str = ""


def _uri(checkpoint_id: str | os.PathLike[str]) -> str:
    text = os.fspath(checkpoint_id)
    return text if "://" in text else f"file://{os.path.abspath(text)}"  # noqa: PTH100 # as torch spells it


class DCPWriter(StorageWriter):
    """Writes what ``torch.distributed.checkpoint`` saves.

    Args:
        checkpoint_id: The place: a URI of any store, or a local path. ``dcp.save(checkpoint_id=...)`` names another.
        compress: ``True`` or a level of zstd; not by default.
        overwrite: Whether an earlier checkpoint of that place is replaced; it stays as it is until the commit.
    """

    def __init__(
        self, checkpoint_id: str | os.PathLike[str], *, compress: bool | int = False, overwrite: bool = True
    ) -> None:
        self.checkpoint_id = _uri(checkpoint_id)
        self.level = zstd_level(compress)
        self.overwrite = overwrite
        self.save_id = ""

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Save at another place if one is given."""
        if checkpoint_id is not None:
            self.checkpoint_id = _uri(checkpoint_id)

    def set_up_storage_writer(
        self,
        is_coordinator: bool,  # noqa: ARG002 # torch's interface
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Name the attempt: the coordinator's plan tells the other ranks. torch calls it once for every save."""
        self.save_id = secrets.token_hex(16)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Return the plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Number the shards of the ranks that have something to write."""
        writing = [at for at, plan in enumerate(plans) if plan.items]
        tasks = {at: _Task(self.save_id, number, len(writing)) for number, at in enumerate(writing)}
        return [dataclasses.replace(plan, storage_data=tasks.get(at)) for at, plan in enumerate(plans)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write the shard of this rank."""
        future: Future[list[WriteResult]] = Future()
        future.set_result(self._write(plan, planner) if plan.items else [])
        return future

    def _write(self, plan: SavePlan, planner: SavePlanner) -> list[WriteResult]:
        task = plan.storage_data
        objects: dict[str, Any] = {}
        items: list[Item] = []
        sizes: list[int] = []
        for item in plan.items:
            if item.type == WriteItemType.BYTE_IO:
                objects[item.index.fqn] = _object(planner, item)
                sizes.append(0)
                continue
            tensor = planner.resolve_data(item)
            packed = leaves.pack(torch.Tensor.detach(tensor)) if isinstance(tensor, torch.Tensor) else None
            if packed is None:
                message = f"{item.index.fqn}: a tensor of the kind {type(tensor).__name__} cannot be saved"
                raise TypeError(message)
            items.append((_name(item.index), packed.stored, list(packed.shape), packed.memory, None, False))
            sizes.append(packed.memory.nbytes)
        encoded = encode(objects)
        found = _s3dlio.checkpoint_save_shard(
            self.checkpoint_id,
            [*encoded.items, *items],
            encoded.tree,
            self.level,
            _STEP,
            task.attempt,
            task.rank,
            task.world_size,
            secrets.randbits(64),
            "flat",
            announce=False,
            progress=_s3dlio.Progress(),
        ).wait()
        description = found["description"].hex()
        return [
            WriteResult(item.index, size, _Stored(task.rank, _name(item.index), "" if number else description))
            for number, (item, size) in enumerate(zip(plan.items, sizes, strict=True))
        ]

    def finish(self, metadata: md.Metadata, results: list[list[WriteResult]]) -> None:
        """Commit the shards of all ranks; runs on the coordinator."""
        written = [result for rank in results for result in rank]
        shards = [
            bytes.fromhex(result.storage_data.description) for result in written if result.storage_data.description
        ]
        _s3dlio.checkpoint_commit(
            self.checkpoint_id,
            _STEP,
            self.save_id,
            max(len(shards), 1),
            0.0,
            overwrite=self.overwrite,
            framework="torch.distributed.checkpoint",
            name="",
            epoch=0,
            user_meta=json.dumps(_encode(metadata, written)),
            metrics="{}",
            shards=shards,
        ).wait()

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether this is a place that can be written to."""
        return bool(os.fspath(checkpoint_id))

    def storage_meta(self) -> md.StorageMeta | None:
        """Return the place and the save."""
        return md.StorageMeta(checkpoint_id=self.checkpoint_id, save_id=self.save_id)


def _object(planner: SavePlanner, item: Any) -> Any:
    """Return the object itself: what planners make of it is a pickle."""
    lookup = getattr(planner, "lookup_object", None)
    if lookup is None:
        message = f"{item.index.fqn}: the planner {type(planner).__name__} gives only a pickle, which is not stored"
        raise CheckpointError(message)
    return lookup(item.index)


def _name(index: md.MetadataIndex) -> str:
    place = ",".join(str(offset) for offset in index.offset or ())
    return f"item:{index.fqn}@{place}"


def _encode(metadata: md.Metadata, written: list[WriteResult]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for fqn, entry in metadata.state_dict_metadata.items():
        if isinstance(entry, md.TensorStorageMetadata):
            chunks = [[list(chunk.offsets), list(chunk.sizes)] for chunk in entry.chunks]
            dtype = str(entry.properties.dtype).removeprefix("torch.")
            state[fqn] = {
                "dtype": dtype,
                "grad": entry.properties.requires_grad,
                "size": list(entry.size),
                "chunks": chunks,
            }
        else:
            state[fqn] = None
    planner = {fqn: list(path) for fqn, path in (metadata.planner_data or {}).items()}
    storage = [
        [result.index.fqn, None if result.index.offset is None else list(result.index.offset), result.storage_data.rank]
        for result in written
    ]
    return {"dcp": 1, "state": state, "planner": planner, "storage": storage}


def _decode(stored: Any) -> md.Metadata:
    try:
        state: dict[str, md.TensorStorageMetadata | md.BytesStorageMetadata] = {}
        for fqn, entry in stored["state"].items():
            if entry is None:
                state[fqn] = md.BytesStorageMetadata()
                continue
            properties = md.TensorProperties(
                leaves.from_scalar("torch_dtype", entry["dtype"]), requires_grad=entry["grad"]
            )
            chunks = [md.ChunkStorageMetadata(torch.Size(at), torch.Size(size)) for at, size in entry["chunks"]]
            state[fqn] = md.TensorStorageMetadata(properties, torch.Size(entry["size"]), chunks)
        storage: dict[md.MetadataIndex, _Stored] = {}
        for fqn, offset, rank in stored["storage"]:
            index = md.MetadataIndex(fqn, None if offset is None else torch.Size(offset))
            storage[index] = _Stored(int(rank), _name(index))
        planner = {fqn: tuple(path) for fqn, path in stored["planner"].items()}
    except (KeyError, TypeError, ValueError) as error:
        message = f"the manifest does not describe a checkpoint of torch.distributed.checkpoint: {error!r}"
        raise CorruptDataError(message) from error
    return md.Metadata(state, planner, storage, md.StorageMeta())


class DCPReader(StorageReader):
    """Reads what :class:`DCPWriter` wrote, under any sharding; also directories of ``FileSystemWriter``.

    Of those the metadata is unpickled with nothing but its own classes allowed, and contents with ``weights_only``.

    Args:
        checkpoint_id: The place: a URI of any store, or a local path.
        verify: Whether the checksums of tensors are compared.
    """

    def __init__(self, checkpoint_id: str | os.PathLike[str], *, verify: bool = True) -> None:
        self.checkpoint_id = _uri(checkpoint_id)
        self.verify = verify
        self._checkpoint: _s3dlio.Checkpoint | None = None
        self._storage: dict[md.MetadataIndex, Any] = {}
        self._objects: dict[int, Any] = {}

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin a load, from another place if one is given."""
        if checkpoint_id is not None:
            self.checkpoint_id = _uri(checkpoint_id)
        self._checkpoint = None
        self._objects = {}

    def _open(self) -> _s3dlio.Checkpoint:
        if self._checkpoint is None:
            self._checkpoint = _s3dlio.Checkpoint.step(self.checkpoint_id, _STEP).wait()
        return self._checkpoint

    def read_metadata(self, *args: Any, **kwargs: Any) -> md.Metadata:  # noqa: ARG002 # torch gives a rank
        """Read what the checkpoint holds.

        Raises:
            NotFoundError: Nothing is there.
            CorruptDataError: It is damaged, or no checkpoint of this kind.
        """
        try:
            checkpoint = self._open()
        except NotFoundError as error:
            return _foreign(self.checkpoint_id, error)
        return _decode(json.loads(checkpoint.manifest()["user_meta"] or "null"))

    def set_up_storage_reader(
        self,
        metadata: md.Metadata,
        is_coordinator: bool,  # noqa: ARG002 # torch's interface
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Take note of where items lie."""
        self._storage = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """Return the plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Return the plans as they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Read what the plan asks for, tensors straight into their own memory where it lies together."""
        by_rank: dict[int, list[Any]] = {}
        for item in plan.items:
            place = self._storage[item.storage_index]
            if isinstance(place, _StorageInfo):
                _read_foreign(self.checkpoint_id, place, item, planner)
            else:
                by_rank.setdefault(place.rank, []).append(item)
        for rank, items in by_rank.items():
            self._read(rank, items, planner)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def _read(self, rank: int, items: list[Any], planner: LoadPlanner) -> None:
        checkpoint = self._open()
        _, specs = checkpoint.tree(rank).wait()
        known = {name: (stored, shape) for name, stored, shape in specs}
        wanted: list[Any] = []
        finished: list[Any] = []
        for item in items:
            if item.type == LoadItemType.BYTE_IO:
                planner.load_bytes(item, _pickled(self._object(rank, item.storage_index.fqn)))
                continue
            target = planner.resolve_tensor(item).detach()
            name = self._storage[item.storage_index].name
            if name not in known:
                message = f"{item.storage_index.fqn}: the shard of rank {rank} lacks it"
                raise CorruptDataError(message)
            stored, shape = known[name]
            extra = list(shape[len(item.lengths) :])
            lengths = [*item.lengths, *extra]
            base, memory = leaves.memory_for(stored, tuple(lengths), len(extra), target)
            wanted.append((name, False, ([*item.storage_offsets, *(0 for _ in extra)], lengths), memory))
            finished.append((item, target, base))
        checkpoint.read(rank, wanted, self.verify, _s3dlio.Progress()).wait()
        for item, target, base in finished:
            if base is not None:
                target.copy_(base)
            planner.commit_tensor(item, target)

    def _object(self, rank: int, fqn: str) -> Any:
        if rank not in self._objects:
            self._objects[rank] = reading.load(self._open(), rank=rank, verify=self.verify)
        return self._objects[rank][fqn]

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether this is a place that can be read."""
        return bool(os.fspath(checkpoint_id))


def _pickled(value: Any) -> io.BytesIO:
    """Return a value as planners take it: in a pickle, which was made here and of known types only."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return buffer


_METADATA = ("Metadata", "TensorStorageMetadata", "ChunkStorageMetadata", "BytesStorageMetadata", "MetadataIndex")
_ALLOWED: dict[tuple[str, str], Any] = {
    **{("torch.distributed.checkpoint.metadata", name): getattr(md, name) for name in _METADATA},
    ("torch.distributed.checkpoint.metadata", "TensorProperties"): md.TensorProperties,
    ("torch.distributed.checkpoint.metadata", "StorageMeta"): md.StorageMeta,
    ("torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING"): getattr(md, "_MEM_FORMAT_ENCODING"),  # noqa: B009
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): _StorageInfo,
    ("torch", "Size"): torch.Size,
    ("torch.serialization", "_get_layout"): {"torch.strided": torch.strided}.__getitem__,
    ("collections", "OrderedDict"): dict,
    # The place that the directory was written to, of which nothing is used.
    **{
        ("pathlib", name): PurePath for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
}


class _MetadataUnpickler(pickle.Unpickler):
    """Unpickles the metadata of ``FileSystemWriter``, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        dtype = getattr(torch, name, None) if module == "torch" else None
        if isinstance(dtype, torch.dtype):
            return dtype
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        message = f"the metadata asks for {module}.{name}, which no metadata needs"
        raise CorruptDataError(message)


def _foreign(place: str, missing: NotFoundError) -> md.Metadata:
    try:
        data = get(f"{place.rstrip('/')}/.metadata")
    except NotFoundError:
        raise missing from None
    try:
        metadata = _MetadataUnpickler(io.BytesIO(data)).load()
    except CorruptDataError:
        raise
    except Exception as error:
        message = f"{place}: the metadata is damaged: {error!r}"
        raise CorruptDataError(message) from error
    if not isinstance(metadata, md.Metadata):
        message = f"{place}: the metadata is a {type(metadata).__name__}"
        raise CorruptDataError(message)
    metadata.storage_meta = metadata.storage_meta or md.StorageMeta()
    return metadata


def _read_foreign(base: str, place: _StorageInfo, item: Any, planner: LoadPlanner) -> None:
    name: Any = place.relative_path
    # Strategies against throttling put the files of ranks below prefixes.
    inside = isinstance(name, str) and not {"", ".", ".."} & {*name.split("/")}
    if not inside or place.transform_descriptors:
        message = f"{base}: the metadata names the file {name!r} with {place.transform_descriptors}"
        raise CorruptDataError(message)
    data = get_range(f"{base.rstrip('/')}/{name}", place.offset, place.length)
    try:
        value = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        message = f"{base}/{name}: {item.storage_index.fqn} cannot be read without running code: {error}"
        raise CorruptDataError(message) from error
    if item.type == LoadItemType.BYTE_IO:
        planner.load_bytes(item, _pickled(value))
        return
    for axis, (offset, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
        value = value.narrow(axis, offset, length)
    target = planner.resolve_tensor(item).detach()
    target.copy_(value)
    planner.commit_tensor(item, target)
