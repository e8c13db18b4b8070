"""The documented functions, in both of their forms: a value as one object, and bytes in a store of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from s3dlio import _s3dlio
from s3dlio._s3dlio import BytesView
from s3dlio.arguments import at_least
from s3dlio.checkpoint import older, reading
from s3dlio.checkpoint.encode import encode
from s3dlio.checkpoint.leaves import processes
from s3dlio.checkpoint.manager import zstd_level
from s3dlio.checkpoint.store import PyCheckpointStore
from s3dlio.errors import CheckpointError, ConfigError, NotFoundError, UnsupportedError
from s3dlio.progress import BytesReport, watching

__all__ = [
    "finalize_distributed_checkpoint",
    "load_checkpoint",
    "load_checkpoint_with_validation",
    "save_checkpoint",
    "save_distributed_shard",
]

_STORE = ("step", "epoch", "framework", "data", "user_meta")
_SHARD = ("step", "epoch", "framework", "data", "world_size", "rank")
_FINALIZE = ("step", "epoch", "framework", "shard_metas", "world_size", "rank", "user_meta")


def _arguments(function: str, names: Sequence[str], given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Bind arguments to names, as Python does.

    Raises:
        TypeError: Too many, unknown or twice given arguments.
    """
    if len(given) > len(names):
        message = f"{function}() takes {len(names) + 1} positional arguments, found {len(given) + 1}"
        raise TypeError(message)
    bound = dict(zip(names, given, strict=False))
    for name, value in named.items():
        if name not in names or name in bound:
            reason = "got several values for" if name in bound else "got an unexpected"
            message = f"{function}() {reason} argument {name!r}"
            raise TypeError(message)
        bound[name] = value
    return bound


def _needed(function: str, bound: dict[str, Any], names: Iterable[str]) -> None:
    missing = [name for name in names if name not in bound]
    if missing:
        message = f"{function}() misses the arguments {missing}"
        raise TypeError(message)


def _is_step(given: tuple[Any, ...], named: dict[str, Any]) -> bool:
    return "step" in named or (bool(given) and isinstance(given[0], int) and not isinstance(given[0], bool))


def save_checkpoint(uri: str, *given: Any, **named: Any) -> str | None:
    """Save a checkpoint.

    ``save_checkpoint(uri, data, compress=False, allow_pickle=False, progress=None)`` writes values as one object, which
    appears whole or not at all; see docs/checkpoint.md for what values may be. ``compress`` is a bool or a level of
    zstd, ``progress`` as of :meth:`CheckpointManager.save`.

    ``save_checkpoint(uri, step, epoch, framework, data, user_meta=None)``, told by the integer, saves bytes as a step
    of the :class:`PyCheckpointStore` at ``uri`` and returns the key of its manifest.

    Raises:
        TypeError: A value that cannot be saved; the message names its path.
        ConfigError: An option out of range.
    """
    if _is_step(given, named):
        bound = _arguments("save_checkpoint", _STORE, given, named)
        _needed("save_checkpoint", bound, ("epoch", "framework", "data"))
        return PyCheckpointStore(uri).save(**bound)
    bound = _arguments("save_checkpoint", ("data", "compress", "allow_pickle", "progress"), given, named)
    _needed("save_checkpoint", bound, ("data",))
    level = zstd_level(bound.get("compress", False))
    encoded = encode(bound["data"], allow_pickle=bound.get("allow_pickle", False))
    with watching(bound.get("progress"), encoded.nbytes) as watch:
        watch.wait(_s3dlio.checkpoint_save(uri, encoded.items, encoded.tree, level, watch.counter))
    return None


def _open(uri: str) -> _s3dlio.Checkpoint | None:
    """Open what a URI names: an object, shards beside each other, or the newest step; ``None`` for nothing."""
    if not uri.endswith("/"):
        try:
            return _s3dlio.Checkpoint.object(uri).wait()
        except (NotFoundError, UnsupportedError):
            pass
    try:
        return _s3dlio.Checkpoint.beside(uri).wait()
    except NotFoundError:
        pass
    try:
        return _s3dlio.Checkpoint.step(uri, None).wait()
    except NotFoundError:
        return None


def load_checkpoint(
    uri: str,
    *,
    into: Any = None,
    select: Iterable[str] | None = None,
    rank: int | None = None,
    shards: Mapping[str, reading.Region] | None = None,
    verify: bool = True,
    allow_pickle: bool = False,
    progress: bool | BytesReport | None = None,
) -> Any:
    """Load a checkpoint of any form: one object, shards beside each other, or the newest step of a store.

    Args:
        uri: An object or a directory; safetensors files of other programs load as a dict of tensors.
        into: Values whose tensors are read in place.
        select: Patterns of dotted paths to load.
        rank: Whose values, of several; by default those of all put together.
        shards: By path the part of a tensor that is wanted: first element and length along each axis.
        verify: Whether the checksums of tensors are compared.
        allow_pickle: Whether pickled objects may be loaded, which can run any code.
        progress: As of :meth:`CheckpointManager.load`.

    Returns:
        The values; a ``BytesView`` of what :class:`PyCheckpointStore` saved; ``None`` where nothing is.

    Raises:
        CorruptDataError: Bytes are damaged, or not those of a checkpoint.
        IncompleteCheckpointError: Objects are missing.
    """
    checkpoint = _open(uri)
    if checkpoint is None:
        found = older.latest(uri)
        return None if found is None else older.read(uri, found, rank)
    value = reading.load(
        checkpoint,
        rank=rank,
        into=into,
        select=select,
        shards=shards,
        verify=verify,
        allow_pickle=allow_pickle,
        progress=progress,
    )
    stored = checkpoint.manifest()["attempt"] != "" and isinstance(value, bytes)
    return BytesView(value) if stored else value


def load_checkpoint_with_validation(uri: str, expected_keys: Sequence[str] | bool = True, **named: Any) -> Any:
    """Load a checkpoint and check what it holds.

    ``expected_keys`` are keys or dotted paths that must be there. A bool (also as ``validate_integrity=``) says
    whether the checksums of a single shard are compared, and gives its bytes.

    Raises:
        CheckpointError: Keys are missing; the message names them. Nothing is there.
        CorruptDataError: Bytes are damaged.
    """
    if "validate_integrity" in named:
        expected_keys = bool(named.pop("validate_integrity"))
    allow_pickle = named.pop("allow_pickle", False)
    if named:
        message = f"load_checkpoint_with_validation() got unexpected arguments {sorted(named)}"
        raise TypeError(message)
    if isinstance(expected_keys, str):
        expected_keys = [expected_keys]
    if isinstance(expected_keys, bool):
        value = reading.load(_s3dlio.Checkpoint.object(uri).wait(), verify=expected_keys, allow_pickle=allow_pickle)
        return BytesView(value) if isinstance(value, bytes) else value
    value = load_checkpoint(uri, allow_pickle=allow_pickle)
    if value is None:
        message = f"{uri}: no checkpoint is here, expected one with the keys {list(expected_keys)}"
        raise CheckpointError(message, uri=uri)
    missing = [key for key in expected_keys if not _holds(value, key)]
    if missing:
        message = f"{uri}: the checkpoint lacks the keys {missing}"
        raise CheckpointError(message, uri=uri)
    return value


def _holds(value: Any, key: Any) -> bool:
    """Tell whether a key, or a path of keys that may hold dots themselves, is there."""
    if not isinstance(value, dict):
        items: Sequence[Any] = cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()
        head, _, rest = str(key).partition(".")
        return head.isdecimal() and int(head) < len(items) and (not rest or _holds(items[int(head)], rest))
    held: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
    if key in held:
        return True
    parts = str(key).split(".")
    heads = {str(name): name for name in held}
    return any(
        (head := ".".join(parts[:cut])) in heads
        and (cut == len(parts) or _holds(held[heads[head]], ".".join(parts[cut:])))
        for cut in range(1, len(parts) + 1)
    )


def save_distributed_shard(uri: str, *given: Any, **named: Any) -> dict[str, Any] | None:
    """Save what one process of several holds.

    ``save_distributed_shard(uri, shard_data, rank, world_size, compress=False, allow_pickle=False, save_id="",
    overwrite=False)`` writes values as the object ``uri``; :func:`finalize_distributed_checkpoint` of its directory
    makes the shards of all ranks a checkpoint. All shards of one save carry the same ``save_id``.

    ``save_distributed_shard(uri, step, epoch, framework, data, world_size, rank)``, told by the integer, saves bytes
    for a step of the store at ``uri`` and returns what :func:`finalize_distributed_checkpoint` has to be given.

    Raises:
        CheckpointExistsError: A finished checkpoint lies in the directory and ``overwrite`` is not set.
        TypeError: A value that cannot be saved; the message names its path.
    """
    if _is_step(given, named):
        bound = _arguments("save_distributed_shard", _SHARD, given, named)
        _needed("save_distributed_shard", bound, _SHARD)
        writer = PyCheckpointStore(uri).writer(bound.pop("world_size"), bound.pop("rank"))
        return writer.save_distributed_shard(**bound)
    options = ("compress", "allow_pickle", "save_id", "overwrite")
    bound = _arguments("save_distributed_shard", ("shard_data", "rank", "world_size", *options), given, named)
    _needed("save_distributed_shard", bound, ("shard_data", "rank"))
    world_size = bound.get("world_size") or _world_size()
    rank = at_least("rank", bound["rank"], 0)
    if rank >= world_size:
        message = f"option `rank`: found {rank}, expected one below world_size={world_size}"
        raise ConfigError(message)
    encoded = encode(bound["shard_data"], allow_pickle=bound.get("allow_pickle", False))
    level = zstd_level(bound.get("compress", False))
    _s3dlio.checkpoint_save_beside(
        uri,
        encoded.items,
        encoded.tree,
        level,
        bound.get("save_id", ""),
        rank,
        world_size,
        bound.get("overwrite", False),
    ).wait()
    return None


def _world_size() -> int:
    job = processes()
    ranks = None if job is None else job.ranks()
    if ranks is None:
        message = (
            "option `world_size`: found none, expected the number of processes, as neither torch.distributed nor "
            "jax.distributed runs"
        )
        raise ConfigError(message)
    return ranks[1]


def finalize_distributed_checkpoint(base_uri: str = "", *given: Any, **named: Any) -> str:
    """Make the shards of all ranks a checkpoint.

    ``finalize_distributed_checkpoint(base_uri, world_size)`` looks for the shards beside each other below
    ``base_uri`` and returns the URI of the manifest that it writes.

    ``finalize_distributed_checkpoint(uri, step, epoch, framework, shard_metas, world_size, rank, user_meta=None)``
    commits what the ranks have saved in the store at ``uri`` and returns the key of the manifest.

    Raises:
        IncompleteCheckpointError: There is not exactly one shard of each rank, all of one save.
        CheckpointExistsError: Another save is finished here.
    """
    base_uri = str(named.pop("uri", base_uri))
    if "step" in named or len(given) > 1:
        bound = _arguments("finalize_distributed_checkpoint", _FINALIZE, given, named)
        _needed("finalize_distributed_checkpoint", bound, _FINALIZE[:-1])
        writer = PyCheckpointStore(base_uri).writer(bound.pop("world_size"), bound.pop("rank"))
        return writer.finalize_distributed_checkpoint(**bound)
    bound = _arguments("finalize_distributed_checkpoint", ("world_size",), given, named)
    _needed("finalize_distributed_checkpoint", bound, ("world_size",))
    return _s3dlio.checkpoint_finalize(base_uri, at_least("world_size", bound["world_size"], 1)).wait()
