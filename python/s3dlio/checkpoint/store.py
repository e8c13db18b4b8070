"""Bytes by step and epoch: the object-oriented form of the documented interface, on the same files."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import Buffer

from s3dlio import _s3dlio
from s3dlio._s3dlio import BytesView
from s3dlio.arguments import at_least
from s3dlio.checkpoint import older, reading
from s3dlio.checkpoint.encode import encode
from s3dlio.checkpoint.manager import CheckpointInfo, CheckpointManager, zstd_level
from s3dlio.errors import CheckpointError, ConfigError, NotFoundError

__all__ = ["PyCheckpointInfo", "PyCheckpointReader", "PyCheckpointStore", "PyCheckpointStream", "PyCheckpointWriter"]

_STRATEGIES = {"flat": "flat", "round_robin": "round_robin", "roundrobin": "round_robin", "binary": "binary"}


@dataclass(frozen=True)
class PyCheckpointInfo:
    """A checkpoint of a store.

    Attributes:
        step: The step.
        epoch: The epoch.
        timestamp: Seconds since 1970 on the clock of the process that committed it.
        status: ``"complete"``: what is not complete is not listed.
        framework: The framework it was said to be of.
        world_size: Processes that saved it.
        total_size: Bytes of its objects.
    """

    step: int
    epoch: int
    timestamp: int
    status: str
    framework: str
    world_size: int
    total_size: int

    @property
    def size_mb(self) -> float:
        """Size in MiB."""
        return self.total_size / 2**20

    @property
    def size_gb(self) -> float:
        """Size in GiB."""
        return self.total_size / 2**30

    @property
    def is_complete(self) -> bool:
        """Whether all of it is there, which is so of all that are listed."""
        return self.status == "complete"

    @property
    def is_single_rank(self) -> bool:
        """Whether one process has saved it."""
        return self.world_size == 1


def _info(found: CheckpointInfo) -> PyCheckpointInfo:
    return PyCheckpointInfo(
        found.step, found.epoch, found.wall_time, "complete", found.framework, found.world_size, found.total_size
    )


def _bytes(data: Buffer) -> bytes:
    try:
        return bytes(memoryview(data))
    except TypeError:
        # bytes() alone would make so many zeros of an integer, and the keys of a dict.
        message = f"data: expected bytes or a buffer, found {type(data).__name__}"
        raise TypeError(message) from None


def _older_info(found: Mapping[str, Any]) -> PyCheckpointInfo:
    total = sum(int(shard["size"]) for shard in found["shards"])
    step, epoch, framework = int(found["global_step"]), int(found["epoch"]), str(found["framework"])
    return PyCheckpointInfo(step, epoch, older.timestamp(found), "complete", framework, int(found["world_size"]), total)


class PyCheckpointStore:
    """Checkpoints of bytes below a URI; each step appears whole or not at all.

    What the earlier store of this name wrote is read, listed before what this one saves, and never changed.

    Args:
        uri: A directory of any store.
        strategy: How keys are spread: ``"flat"``, ``"round_robin"`` (or ``"roundrobin"``), ``"binary"``.
        multipart_threshold: Bytes; without effect and with a warning, as uploads choose their parts themselves.
        compression_level: Level of zstd, 1 to 22; none by default.

    Raises:
        ConfigError: An option out of range.
    """

    def __init__(
        self,
        uri: str,
        strategy: str | None = None,
        multipart_threshold: int | None = None,
        compression_level: int | None = None,
    ) -> None:
        if (strategy or "flat") not in _STRATEGIES:
            message = f"option `strategy`: found {strategy!r}, expected one of {sorted(_STRATEGIES)}"
            raise ConfigError(message)
        if multipart_threshold is not None:
            at_least("multipart_threshold", multipart_threshold, 0)
            message = "multipart_threshold: without effect, uploads choose their parts themselves"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        self.uri = uri
        self.strategy = _STRATEGIES[strategy or "flat"]
        self.compression_level = compression_level
        level = False if compression_level is None else at_least("compression_level", compression_level, 1)
        self.manager = CheckpointManager(uri, rank=0, world_size=1, compress=level, strategy=self.strategy)

    @staticmethod
    def open(uri: str) -> PyCheckpointStore:
        """Return the store at ``uri``."""
        return PyCheckpointStore(uri)

    @staticmethod
    def open_auto_config(uri: str) -> PyCheckpointStore:
        """Return the store at ``uri``; there is nothing to configure."""
        return PyCheckpointStore(uri)

    def save(
        self,
        step: int = 0,
        epoch: int = 0,
        framework: str | None = None,
        data: Buffer | None = None,
        user_meta: Any = None,
        *,
        name: str | None = None,
        metadata: Any = None,
    ) -> str | None:
        """Save bytes as a step, in the place of an earlier checkpoint of that step; returns the manifest's key.

        Args:
            step: The step.
            epoch: The epoch.
            framework: What the bytes are of.
            data: The bytes.
            user_meta: Anything that JSON can hold; also spelt ``metadata``.
            name: A name.
            metadata: The same as ``user_meta``.

        Raises:
            TypeError: No data, or none that are bytes.
        """
        if data is None:
            message = "save() misses the argument 'data'"
            raise TypeError(message)
        if user_meta is not None and metadata is not None:
            message = "save() got both user_meta and metadata, which are the same"
            raise TypeError(message)
        return self.manager.save(
            step,
            _bytes(data),
            overwrite=True,
            epoch=epoch,
            name=name or "",
            framework=framework or "",
            user_meta=metadata if user_meta is None else user_meta,
        )

    def load_latest(self) -> BytesView | None:
        """Return the bytes of the newest step; ``None`` where there is none.

        Steps that the earlier store wrote count where this one has saved none.

        Raises:
            CheckpointError: Several processes have saved it.
        """
        if self.manager.latest() is not None:
            return self.load()
        found = older.latest(self.uri)
        return None if found is None else older.read(self.uri, found, None)

    def load(self, step: int | None = None, rank: int | None = None) -> BytesView:
        """Return the bytes of a step, by default the newest, and of a rank.

        Raises:
            NotFoundError: The step is not there.
            CheckpointError: Several processes have saved it and no rank is given.
        """
        try:
            ranks = self.manager.info(step).world_size
        except NotFoundError:
            found = older.latest(self.uri) if step is None else older.find(self.uri, step)
            if found is None:
                raise
            return older.read(self.uri, found, rank)
        if rank is None and ranks > 1:
            message = f"{self.uri}: the checkpoint was saved by {ranks} ranks: say which with rank="
            raise CheckpointError(message, uri=self.uri)
        return BytesView(self.manager.load(step, rank=rank or 0))

    def list_checkpoints(self) -> list[PyCheckpointInfo]:
        """Return the checkpoints, oldest step first."""
        steps = {int(found["global_step"]): _older_info(found) for found in older.manifests(self.uri)}
        steps |= {step: _info(self.manager.info(step)) for step in self.manager.steps()}
        return [steps[step] for step in sorted(steps)]

    def delete_checkpoint(self, step: int) -> bool:
        """Remove a step; ``False`` if it is not there.

        Raises:
            CheckpointError: The earlier store wrote it.
        """
        if step not in self.manager.steps():
            if older.find(self.uri, step) is not None:
                message = f"{self.uri}: step {step} was written by the earlier store, which is only read"
                raise CheckpointError(message, uri=self.uri)
            return False
        _s3dlio.checkpoint_gc(self.uri, [step], 86_400.0).wait()
        return True

    def writer(self, world_size: int, rank: int) -> PyCheckpointWriter:
        """Return a writer for one process of several."""
        return PyCheckpointWriter(self, world_size, rank)

    def reader(self) -> PyCheckpointReader:
        """Return a reader."""
        return PyCheckpointReader(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return PyCheckpointStore, (self.uri, self.strategy, None, self.compression_level)


class PyCheckpointWriter:
    """Saves what one process of several holds, and commits what all have saved.

    Args:
        store: The store.
        world_size: Number of processes.
        rank: This one.
    """

    def __init__(self, store: PyCheckpointStore, world_size: int, rank: int) -> None:
        self.store = store
        self.world_size = at_least("world_size", world_size, 1)
        self.rank = at_least("rank", rank, 0)
        if self.rank >= self.world_size:
            message = f"option `rank`: found {rank}, expected one below world_size={world_size}"
            raise ConfigError(message)

    def save_distributed_shard(self, step: int, epoch: int, framework: str, data: Buffer) -> dict[str, Any]:
        """Save the bytes of this process; the result is for :meth:`finalize_distributed_checkpoint`."""
        encoded = encode(_bytes(data))
        found = _s3dlio.checkpoint_save_shard(
            self.store.uri,
            encoded.items,
            encoded.tree,
            zstd_level(self.store.compression_level or False),
            at_least("step", step, 0),
            secrets.token_hex(16),
            self.rank,
            self.world_size,
            secrets.randbits(64),
            self.store.strategy,
            announce=False,
            progress=_s3dlio.Progress(),
        ).wait()
        found["description"] = found["description"].hex()
        return {**found, "step": step, "epoch": at_least("epoch", epoch, 0), "framework": framework}

    def get_distributed_shard_stream(self, step: int, epoch: int, framework: str) -> PyCheckpointStream:
        """Return a stream that takes the bytes of this process piece by piece."""
        return PyCheckpointStream(self, step, epoch, framework)

    def finalize_distributed_checkpoint(
        self,
        step: int,
        epoch: int,
        framework: str,
        shard_metas: Sequence[Mapping[str, Any]],
        user_meta: Any = None,
    ) -> str:
        """Commit what all processes have saved, in the place of an earlier checkpoint of that step.

        Raises:
            IncompleteCheckpointError: There is not exactly one shard of each rank.
        """
        return _s3dlio.checkpoint_commit(
            self.store.uri,
            step,
            secrets.token_hex(16),
            self.world_size,
            0.0,
            overwrite=True,
            framework=framework,
            name="",
            epoch=at_least("epoch", epoch, 0),
            user_meta=json.dumps(user_meta),
            metrics="{}",
            shards=[bytes.fromhex(meta["description"]) for meta in shard_metas],
        ).wait()


class PyCheckpointStream:
    """Bytes of one process, taken piece by piece; they stay in memory until :meth:`finalize`.

    Args:
        writer: The writer of the process.
        step: The step.
        epoch: The epoch.
        framework: What the bytes are of.
    """

    def __init__(self, writer: PyCheckpointWriter, step: int, epoch: int, framework: str) -> None:
        self._writer = writer
        self._about = (step, epoch, framework)
        self._taken: bytearray | None = bytearray()

    def _open(self) -> bytearray:
        if self._taken is None:
            message = "the stream is finalized or cancelled"
            raise CheckpointError(message)
        return self._taken

    @property
    def bytes_written(self) -> int:
        """Bytes taken so far."""
        return len(self._open())

    def write_chunk(self, data: Buffer) -> None:
        """Take the next bytes."""
        self._open().extend(_bytes(data))

    def finalize(self) -> dict[str, Any]:
        """Save the bytes; the result is for ``finalize_distributed_checkpoint``."""
        data, self._taken = self._open(), None
        return self._writer.save_distributed_shard(*self._about, data)

    def cancel(self) -> None:
        """Forget the bytes."""
        self._taken = None


class PyCheckpointReader:
    """Reads what processes have saved, rank by rank.

    Args:
        store: The store.
    """

    def __init__(self, store: PyCheckpointStore) -> None:
        self.store = store

    def load_latest_manifest(self) -> dict[str, Any] | None:
        """Return what the newest step says of itself; ``None`` where there is none."""
        try:
            return _s3dlio.Checkpoint.step(self.store.uri, None).wait().manifest()
        except NotFoundError:
            found = older.latest(self.store.uri)
            return None if found is None else dict(found)

    def read_shard_by_rank(self, manifest: Mapping[str, Any], rank: int) -> BytesView:
        """Return the bytes of a rank.

        Raises:
            CheckpointError: The checkpoint was replaced since the manifest was read.
        """
        if older.is_older(manifest):
            return older.read(self.store.uri, manifest, rank)
        checkpoint = _s3dlio.Checkpoint.step(self.store.uri, manifest["step"]).wait()
        if checkpoint.manifest()["attempt"] != manifest["attempt"]:
            message = f"{self.store.uri}: step {manifest['step']} was replaced since its manifest was read"
            raise CheckpointError(message, uri=self.store.uri)
        return BytesView(reading.load(checkpoint, rank=rank))
