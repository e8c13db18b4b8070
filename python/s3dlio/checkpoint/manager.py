"""Checkpoints by step: saved by one or many processes, visible when they are complete and not before."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from s3dlio import _s3dlio
from s3dlio.arguments import at_least
from s3dlio.checkpoint import reading
from s3dlio.checkpoint.encode import Encoded, encode
from s3dlio.checkpoint.handle import SaveHandle
from s3dlio.checkpoint.leaves import processes
from s3dlio.errors import ConfigError
from s3dlio.progress import BytesReport, Watch, watching

__all__ = ["CheckpointInfo", "CheckpointManager", "zstd_level"]

# The level of zstd that `compress=True` stands for: above it weights hardly get smaller, and saving gets slower.
_LEVEL = 3

_DAY = 86_400.0


def zstd_level(compress: bool | int) -> int | None:
    """Return the level of zstd that an option stands for; ``None`` for no compression.

    Raises:
        ConfigError: It is no bool and no level from 1 to 22.
    """
    if compress is False:
        return None
    if compress is True:
        return _LEVEL
    if 1 <= at_least("compress", compress, 0) <= 22:  # noqa: PLR2004 # the levels that zstd has
        return compress
    message = f"option `compress`: found {compress!r}, expected a bool or a level of zstd from 1 to 22"
    raise ConfigError(message)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a committed checkpoint says of itself.

    Attributes:
        step: The step.
        attempt: Which save it was: 32 hexadecimal digits.
        world_size: Processes that saved it.
        epoch: The epoch.
        name: The name it was given.
        framework: The framework it was said to be of.
        wall_time: Seconds since 1970 on the clock of the process that committed it.
        user_meta: What the user saved beside it, as JSON has it.
        metrics: Figures by which ``gc(keep_best=)`` chooses.
        has_pickle: Whether loading needs ``allow_pickle=True``.
        total_size: Bytes of its objects.
    """

    step: int
    attempt: str
    world_size: int
    epoch: int
    name: str
    framework: str
    wall_time: int
    user_meta: Any
    metrics: dict[str, float]
    has_pickle: bool
    total_size: int


def _describe(checkpoint: _s3dlio.Checkpoint) -> CheckpointInfo:
    manifest = checkpoint.manifest()
    return CheckpointInfo(
        step=manifest["step"],
        attempt=manifest["attempt"],
        world_size=manifest["world_size"],
        epoch=manifest["epoch"],
        name=manifest["name"],
        framework=manifest["framework"],
        wall_time=manifest["wall_time"],
        user_meta=json.loads(manifest["user_meta"] or "null"),
        metrics=json.loads(manifest["metrics"] or "{}"),
        has_pickle=manifest["has_pickle"],
        total_size=sum(size for _, _, size in manifest["shards"]),
    )


@dataclass(frozen=True)
class _About:
    """What a save tells the manifest of itself."""

    epoch: int
    name: str
    framework: str
    user_meta: str
    metrics: str

    @classmethod
    def of(cls, epoch: int, name: str, framework: str, user_meta: Any, metrics: Mapping[str, float] | None) -> _About:
        return cls(at_least("epoch", epoch, 0), name, framework, json.dumps(user_meta), json.dumps(dict(metrics or {})))


class CheckpointManager:
    """The checkpoints below a URI, one for each step.

    Args:
        base_uri: A directory of any store.
        rank: This process; by default that of ``torch.distributed`` or ``jax.distributed`` where one runs, else 0.
        world_size: Number of processes; likewise, else 1.
        compress: ``True`` or a level of zstd; ``False`` stores plain safetensors files.
        allow_pickle: Whether values that the format does not know are pickled, and loaded again.
        strategy: How keys of shards are spread: ``"flat"``, ``"round_robin"`` or ``"binary"``.
        timeout: Seconds that the committing process waits for the shards of the others.

    Raises:
        ConfigError: An option out of range.
    """

    def __init__(
        self,
        base_uri: str,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        compress: bool | int = False,
        allow_pickle: bool = False,
        strategy: str = "flat",
        timeout: float = 600.0,
    ) -> None:
        self.base_uri = base_uri
        job = processes()
        found = None if job is None else job.ranks()
        self.rank = at_least("rank", (found[0] if found else 0) if rank is None else rank, 0)
        self.world_size = at_least("world_size", (found[1] if found else 1) if world_size is None else world_size, 1)
        if self.rank >= self.world_size:
            message = f"option `rank`: found {self.rank}, expected one below world_size={self.world_size}"
            raise ConfigError(message)
        self.level = zstd_level(compress)
        self.allow_pickle = allow_pickle
        self.strategy = strategy
        self.timeout = timeout
        self._last: SaveHandle | None = None

    def save(
        self,
        step: int,
        tree: Any,
        *,
        attempt: str | None = None,
        overwrite: bool = False,
        replicated: Sequence[str] = (),
        epoch: int = 0,
        name: str = "",
        framework: str = "",
        user_meta: Any = None,
        metrics: Mapping[str, float] | None = None,
        progress: bool | BytesReport | None = None,
    ) -> str | None:
        """Save a step. The process of rank 0 commits it when the shards of all processes are there.

        Args:
            step: The step.
            tree: The values of this process.
            attempt: 32 hexadecimal digits that all processes of this save share and no other save has. Needed with
                several processes, unless ``torch.distributed`` or ``jax.distributed`` runs, which then
                agrees on them.
            overwrite: Whether a checkpoint of this step is replaced; until the commit it stays as it is.
            replicated: Patterns of paths whose tensors are the same in all processes: each is stored once.
            epoch: For the manifest.
            name: For the manifest.
            framework: For the manifest.
            user_meta: For the manifest: anything that JSON can hold.
            metrics: For the manifest: figures by which ``gc(keep_best=)`` chooses.
            progress: ``True`` for a bar (needs ``tqdm``), or a function that is called about ten times a second with
                the bytes of this process's tensors that are written, and how many there are.

        Returns:
            The key of the manifest; ``None`` in processes other than rank 0.

        Raises:
            TypeError: A value that cannot be saved.
            CheckpointExistsError: The step is committed already.
            IncompleteCheckpointError: Shards were missing when the time was over.
        """
        self._settle()
        encoded = self._encode(tree, replicated)
        about = _About.of(epoch, name, framework, user_meta, metrics)
        agreed = self._attempt(attempt)
        with watching(progress, encoded.nbytes) as watch:
            return self._save(step, encoded, agreed, about, overwrite=overwrite, watch=watch)

    def save_async(
        self,
        step: int,
        tree: Any,
        *,
        attempt: str | None = None,
        overwrite: bool = False,
        replicated: Sequence[str] = (),
        epoch: int = 0,
        name: str = "",
        framework: str = "",
        user_meta: Any = None,
        metrics: Mapping[str, float] | None = None,
    ) -> SaveHandle:
        """Copy the tensors and save them in the background; arguments and errors as of :meth:`save`.

        The values may be changed as soon as the call returns. One save is in flight at a time: the next call waits for
        it, and raises what went wrong with it unless its handle has told already.
        """
        self._settle()
        staged = self._encode(tree, replicated).staged()
        agreed = self._attempt(attempt)
        about = _About.of(epoch, name, framework, user_meta, metrics)
        watch = Watch(None, staged.nbytes)
        work = partial(self._save, step, staged, agreed, about, overwrite=overwrite, watch=watch)
        handle = SaveHandle(work, watch)
        self._last = handle
        return handle

    def _settle(self) -> None:
        last, self._last = self._last, None
        if last is not None and not last.reported:
            last.result()

    def _encode(self, tree: Any, replicated: Sequence[str]) -> Encoded:
        return encode(
            tree,
            allow_pickle=self.allow_pickle,
            replicated=replicated,
            rank=self.rank,
            world_size=self.world_size,
        )

    def _attempt(self, attempt: str | None) -> str:
        if attempt is not None:
            return attempt
        made = secrets.token_hex(16)
        if self.world_size == 1:
            return made
        job = processes()
        if job is None:
            message = "option `attempt`: with several processes all must give the same 32 hexadecimal digits"
            raise ConfigError(message)
        return job.agreed(made)

    def _save(
        self, step: int, encoded: Encoded, attempt: str, about: _About, *, overwrite: bool, watch: Watch
    ) -> str | None:
        saving = _s3dlio.checkpoint_save_shard(
            self.base_uri,
            encoded.items,
            encoded.tree,
            self.level,
            at_least("step", step, 0),
            attempt,
            self.rank,
            self.world_size,
            secrets.randbits(64),
            self.strategy,
            announce=True,
            progress=watch.counter,
        )
        watch.wait(saving)
        if self.rank != 0:
            return None
        return _s3dlio.checkpoint_commit(
            self.base_uri,
            step,
            attempt,
            self.world_size,
            self.timeout,
            overwrite,
            about.framework,
            about.name,
            about.epoch,
            about.user_meta,
            about.metrics,
            None,
        ).wait()

    def load(
        self,
        step: int | None = None,
        *,
        into: Any = None,
        select: Iterable[str] | None = None,
        rank: int | None = None,
        shards: Mapping[str, reading.Region] | None = None,
        verify: bool = True,
        progress: bool | BytesReport | None = None,
    ) -> Any:
        """Load a step.

        Args:
            step: The step; the newest by default.
            into: Values of the same form, whose tensors are read in place; those of another form are an error. A
                :class:`Shard` in it says which part of a tensor is wanted.
            select: Patterns of dotted paths (``"model.*"``) to load; in lists and tuples the others are ``None``.
            rank: Whose values. By default those of all ranks put together: entries of dicts that only one has, and of
                others those of the lowest rank; tensors that several make up are whole.
            shards: By path the part of a tensor that is wanted: first element and length along each axis.
            verify: Whether the checksums of tensors are compared.
            progress: As of :meth:`save`, for the bytes that are read into tensors.

        Raises:
            NotFoundError: The step is not there.
            CorruptDataError: Bytes are damaged.
            IncompleteCheckpointError: Objects of the step are missing.
        """
        return reading.load(
            self._open(step),
            rank=rank,
            into=into,
            select=select,
            shards=shards,
            verify=verify,
            allow_pickle=self.allow_pickle,
            progress=progress,
        )

    def _open(self, step: int | None) -> _s3dlio.Checkpoint:
        return _s3dlio.Checkpoint.step(self.base_uri, None if step is None else at_least("step", step, 0)).wait()

    def steps(self) -> list[int]:
        """Return the committed steps, in order."""
        return _s3dlio.checkpoint_steps(self.base_uri).wait()

    def latest(self) -> int | None:
        """Return the newest committed step; ``None`` where there is none."""
        return _s3dlio.checkpoint_latest(self.base_uri).wait()

    def info(self, step: int | None = None) -> CheckpointInfo:
        """Return what a step, by default the newest, says of itself.

        Raises:
            NotFoundError: The step is not there.
        """
        return _describe(self._open(step))

    def verify(self, step: int | None = None) -> int:
        """Read all of a step, compare it with its checksums, and return the number of bytes of its tensors.

        Raises:
            CorruptDataError: Bytes are damaged.
            IncompleteCheckpointError: Objects of the step are missing.
        """
        return self._open(step).verify().wait()

    def gc(
        self,
        *,
        keep_last: int | None = None,
        keep_every: int | None = None,
        keep_best: tuple[str, int] | None = None,
        grace: float = _DAY,
    ) -> list[int]:
        """Remove steps, and what unfinished saves have left.

        Args:
            keep_last: How many of the newest steps stay.
            keep_every: Steps that are multiples of it stay.
            keep_best: A metric and how many steps stay for its largest values; ``"-loss"`` means the smallest.
            grace: Seconds, by the times of the store, after which an unfinished save counts as given up. The newest
                save is never removed.

        Returns:
            The steps that were removed; without any ``keep_...`` none are.

        Raises:
            ConfigError: An option out of range.
            CheckpointError: No step has that metric.
        """
        last = None if keep_last is None else at_least("keep_last", keep_last, 0)
        every = None if keep_every is None else at_least("keep_every", keep_every, 1)
        best = None if keep_best is None else (keep_best[0], at_least("keep_best", keep_best[1], 1))
        unwanted = _s3dlio.checkpoint_unwanted(self.base_uri, last, every, best).wait()
        removed, _ = _s3dlio.checkpoint_gc(self.base_uri, unwanted, grace).wait()
        return removed
