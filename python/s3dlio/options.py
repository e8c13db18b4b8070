"""Options of datasets and loaders."""

from __future__ import annotations

import difflib
import importlib
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from s3dlio.errors import ConfigError

__all__ = ["LoaderOptions", "PyLoaderOptions"]

_Check = Callable[[Any], str | None]


def _integer(least: int, most: int) -> _Check:
    def check(value: Any) -> str | None:
        # NumPy's integers count as well.
        good = hasattr(value, "__index__") and not isinstance(value, bool) and least <= operator.index(value) <= most
        return None if good else f"an integer from {least} to {most}"

    return check


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) or value in (0, 1) else "True or False"


def _word(*words: object) -> _Check:
    def check(value: Any) -> str | None:
        return None if any(value is word or (value == word) for word in words) else f"one of {words}"

    return check


def _decoder(value: Any) -> str | None:
    described = isinstance(value, str) and value.startswith(("image:", "example["))
    if value in {"bytes", "npz", "npy", "text", "image"} or described:
        return None
    return (
        "'bytes', 'npz', 'npy', 'text', 'image' as in 'image:224x224,crop,rgb,hwc' (see image_decoder), or the "
        "features of an example as in 'example[label:int64]' (see example_decoder)"
    )


def _optional(inner: _Check) -> _Check:
    def check(value: Any) -> str | None:
        return None if value is None or (wrong := inner(value)) is None else f"None or {wrong}"

    return check


# A day: longer waits are typing errors, and much larger numbers overflow the clock.
_MAX_SECONDS = 86_400


def _seconds(value: Any) -> str | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MAX_SECONDS
    return None if good else "seconds, above 0 and up to 86400"


def _shuffle(value: Any) -> str | None:
    return None if value in (0, 1, "none", "global", "block") else "True, False, 'none', 'global' or 'block'"


_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1

# Name -> (default, check). The ranges are those of the Rust core; a test compares the two.
_FIELDS: dict[str, tuple[Any, _Check]] = {
    "batch_size": (32, _integer(1, 1 << 24)),
    "drop_last": (False, _flag),
    "last": (None, _optional(_word("drop", "pad", "wrap", "uneven"))),
    "shuffle": (False, _shuffle),
    "seed": (0, _integer(0, _U64)),
    "shuffle_window": (0, _integer(0, 1 << 16)),
    "decoder": ("bytes", _decoder),
    "collate": ("stack", _word("stack", "list")),
    "on_error": ("raise", _word("raise", "skip", "replace")),
    "max_errors": (None, _optional(_integer(0, _U64))),
    "memory_budget": (None, _optional(_integer(1 << 20, 1 << 46))),
    "num_workers": (0, _integer(0, 512)),
    "prefetch": (0, _integer(0, 1024)),
    "timeout_seconds": (None, _optional(_seconds)),
    "reader_mode": ("sequential", _word("sequential", "range")),
    "part_size": (8 << 20, _integer(1 << 16, 1 << 32)),
    "max_inflight_parts": (4, _integer(1, 256)),
    "skip_head": (True, _flag),
    "shard_rank": (0, _integer(0, _U32)),
    "shard_world_size": (1, _integer(1, _U32)),
    "worker_id": (0, _integer(0, _U32)),
    "num_workers_pytorch": (1, _integer(1, _U32)),
    "auto_tune": (False, _flag),
    "enable_transforms": (True, _flag),
    "collate_buffer_size": (1024, _integer(64, 1 << 20)),
    "memory_format": ("auto", _word("auto", "channels_last", "channels_first")),
    "non_blocking": (False, _flag),
    "pin_memory": (False, _flag),
    "persistent_workers": (False, _flag),
    "multiprocessing_context": (None, _optional(_word("spawn", "fork", "forkserver"))),
    "generator_seed": (None, _optional(_integer(0, _U64))),
}

# What the core takes by these very names; the rest belongs to readers and to DataLoader.
CORE = (
    "batch_size",
    "drop_last",
    "last",
    "seed",
    "shuffle_window",
    "decoder",
    "collate",
    "on_error",
    "max_errors",
    "memory_budget",
    "num_workers",
    "prefetch",
    "timeout_seconds",
    "shard_rank",
    "shard_world_size",
    "worker_id",
    "num_workers_pytorch",
)

DATALOADER = ("pin_memory", "persistent_workers", "multiprocessing_context", "generator_seed")

# What has a meaning only where samples are tensors.
TORCH = (*DATALOADER, "non_blocking", "memory_format")


class _Setting(int):
    """The value of an option that shares its name with the method that sets it."""

    _set: Callable[..., LoaderOptions]

    def __new__(cls, value: int, setter: Callable[..., LoaderOptions]) -> Self:
        self = super().__new__(cls, value)
        self._set = setter
        return self

    def __call__(self, *args: Any) -> LoaderOptions:
        return self._set(*args)

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)

    def __repr__(self) -> str:
        return repr(int(self))


# Methods of the documented builder that carry the name of their option.
_SETTERS = (
    "drop_last",
    "shuffle",
    "num_workers",
    "prefetch",
    "auto_tune",
    "enable_transforms",
    "collate_buffer_size",
    "non_blocking",
    "pin_memory",
    "persistent_workers",
)


def _plain(value: Any, default: object) -> Any:
    """Return a value as the plain type that it stands for, whatever else it can do."""
    if isinstance(default, bool) and not isinstance(value, str):
        return bool(value)
    return value if isinstance(value, str) or not hasattr(value, "__index__") else operator.index(value)


def _wrong(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"option `{name}`: found {value!r}, expected {expected}")


class LoaderOptions(Mapping[str, Any]):
    """Options of a dataset or loader, checked when they are set.

    Give them as keyword arguments, as a dict, or by the builder methods, each of which returns a new object::

        LoaderOptions(batch_size=64, shuffle=True, seed=7)
        LoaderOptions({"batch_size": 64})
        PyLoaderOptions().with_batch_size(64).shuffle(True, 7).drop_last(True)

    Reading an attribute gives the value; those that share their name with a builder method are also there as
    ``shuffle_value`` and so on. The object is also a mapping of the options that were set. It pickles.

    Options (default): ``batch_size`` (32) samples in a batch; ``drop_last`` (False); ``last`` (None) what becomes of
    an uneven tail: ``"drop"``, ``"pad"``, ``"wrap"``, ``"uneven"``; ``shuffle`` (False) also ``"global"``,
    ``"block"``, and True for the one that fits the data set; ``seed`` (0); ``shuffle_window`` (0: about 32 MiB) blocks
    that a block shuffle mixes; ``decoder`` (``"bytes"``) also ``"npz"``, ``"npy"``, ``"text"`` (UTF-8), ``"image"``
    (see :func:`~s3dlio.image_decoder`), and features of ``tf.train.Example`` (see :func:`~s3dlio.example_decoder`);
    ``collate`` (``"stack"``) or ``"list"``; ``on_error`` (``"raise"``), ``"skip"`` or ``"replace"``; ``max_errors``
    (None: no bound) bad samples of an iteration beyond which the next one is raised all the same; ``memory_budget``
    (None: ``S3DLIO_MEMORY_BUDGET`` or 256 MiB) bytes read ahead; ``num_workers`` (0: automatic) network reads in
    flight; ``prefetch`` (0: as the budget allows) batches read ahead; ``timeout_seconds`` (None) longest wait for a
    batch; ``reader_mode`` (``"sequential"``) or ``"range"``: whether objects above twice ``part_size`` (8 MiB) come in
    up to ``max_inflight_parts`` (4) parallel ranges; ``skip_head`` (True) or False: objects whose sizes no listing has
    told are asked for them before they are read; ``shard_rank`` (0) of ``shard_world_size`` (1); ``worker_id`` (0) of
    ``num_workers_pytorch`` (1); ``auto_tune`` (False) chooses ``num_workers`` and ``prefetch`` whatever they say;
    ``enable_transforms`` (True) whether a ``transform`` runs; ``collate_buffer_size`` (1024) samples taken from the
    core at once where they are handed out one by one.

    For tensors: ``memory_format`` (``"auto"``) or ``"channels_last"``, ``"channels_first"`` of stacked images;
    ``non_blocking`` (False) copies to a device. For ``torch.utils.data.DataLoader``: ``pin_memory``,
    ``persistent_workers``, ``multiprocessing_context``, ``generator_seed``: see :meth:`dataloader_kwargs`.

    Raises:
        ConfigError: An unknown name (with the nearest known one), or a value out of range.
        TypeError: The options are no mapping.
    """

    _values: dict[str, Any]

    def __init__(self, options: Mapping[str, Any] | None = None, /, **keywords: Any) -> None:
        if options is not None and not isinstance(options, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            message = f"options: found {type(options).__name__}, expected LoaderOptions or a dict"
            raise TypeError(message)
        object.__setattr__(self, "_values", {})
        for name, value in {**(options or {}), **keywords}.items():
            self._put(name, value)

    def _put(self, name: str, value: Any) -> None:
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            message = f"option `{name}` is unknown{hint}"
            raise ConfigError(message)
        default, check = _FIELDS[name]
        if (wrong := check(value)) is not None:
            raise _wrong(name, value, wrong)
        self._values[name] = _plain(value, default)

    def _with(self, **changes: Any) -> LoaderOptions:
        return LoaderOptions(self._values | changes)

    def _set(self, name: str, *args: Any) -> LoaderOptions:
        if name == "shuffle" and len(args) == 2:  # noqa: PLR2004 - shuffle(on, seed)
            return self._with(shuffle=args[0], seed=args[1])
        (value,) = args
        return self._with(**{name: value})

    def __getattr__(self, name: str) -> Any:
        setting = name.removesuffix("_value")
        if setting != name and setting in _SETTERS:
            return self.value(setting)
        if name.startswith("_") or name not in _FIELDS:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(message)
        value = self._values.get(name, _FIELDS[name][0])
        if name in _SETTERS and isinstance(value, int):
            return _Setting(value, lambda *args: self._set(name, *args))
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self._put(name, value)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"LoaderOptions({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"

    def __reduce__(self) -> tuple[type[LoaderOptions], tuple[dict[str, Any]]]:
        return LoaderOptions, (self._values,)

    def value(self, name: str) -> Any:
        """Return the value of an option, or its default."""
        return self._values.get(name, _FIELDS[name][0])

    def with_batch_size(self, size: int) -> LoaderOptions:
        """Return options with ``batch_size``."""
        return self._with(batch_size=size)

    def with_timeout(self, seconds: float) -> LoaderOptions:
        """Return options with ``timeout_seconds``."""
        return self._with(timeout_seconds=seconds)

    def use_spawn(self) -> LoaderOptions:
        """Return options whose ``DataLoader`` workers are spawned."""
        return self._with(multiprocessing_context="spawn")

    def use_fork(self) -> LoaderOptions:
        """Return options whose ``DataLoader`` workers are forked."""
        return self._with(multiprocessing_context="fork")

    def use_forkserver(self) -> LoaderOptions:
        """Return options whose ``DataLoader`` workers come from a fork server."""
        return self._with(multiprocessing_context="forkserver")

    def random_sampling(self, replacement: bool = False) -> LoaderOptions:
        """Return options with a global shuffle; drawing with replacement raises ``ConfigError``."""
        if replacement:
            raise _wrong("replacement", replacement, "False: every record comes exactly once in an epoch")
        return self._with(shuffle=True)

    def distributed_sampling(self, rank: int, world_size: int) -> LoaderOptions:
        """Return options for one rank of several."""
        return self._with(shard_rank=rank, shard_world_size=world_size)

    def channels_last(self) -> LoaderOptions:
        """Return options whose stacked images lie in memory with the channels last."""
        return self._with(memory_format="channels_last")

    def channels_first(self) -> LoaderOptions:
        """Return options whose stacked images lie in memory with the channels first."""
        return self._with(memory_format="channels_first")

    def with_generator_seed(self, seed: int) -> LoaderOptions:
        """Return options whose ``DataLoader`` gets a generator with this seed."""
        return self._with(generator_seed=seed)

    def gpu_optimized(self) -> LoaderOptions:
        """Return options for feeding a GPU from spawned, persistent workers through pinned memory."""
        return self._with(
            pin_memory=True,
            persistent_workers=True,
            non_blocking=True,
            memory_format="channels_first",
            multiprocessing_context="spawn",
        )

    def distributed_optimized(self, rank: int, world_size: int) -> LoaderOptions:
        """Return :meth:`gpu_optimized` options for one rank of several."""
        return self.gpu_optimized().distributed_sampling(rank, world_size)

    def debug_mode(self) -> LoaderOptions:
        """Return options for looking into a problem: no workers, 10 s time limit, nothing tuned."""
        return self._with(num_workers=0, persistent_workers=False, timeout_seconds=10.0, auto_tune=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all options, defaults included, and the sampler that they amount to."""
        rank, world = self.value("shard_rank"), self.value("shard_world_size")
        shuffled = self.value("shuffle") not in (False, "none")
        return {name: self.value(name) for name in _FIELDS} | {
            "sampler_type": "distributed" if world > 1 else "random" if shuffled else "sequential",
            "sampler_replacement": False,
            "sampler_rank": rank,
            "sampler_world_size": world,
        }

    def dataloader_kwargs(self) -> dict[str, Any]:
        """Return keyword arguments for ``torch.utils.data.DataLoader``: those options that concern its workers."""
        found = {name: self._values[name] for name in DATALOADER if name in self._values}
        seed = found.pop("generator_seed", None)
        if seed is not None:
            found["generator"] = importlib.import_module("torch").Generator().manual_seed(seed)
        return found

    def for_records(self, decoder: str | None) -> LoaderOptions:
        """Return options with the ``decoder`` that the records need, unless one was chosen."""
        return self if decoder is None or "decoder" in self._values else self._with(decoder=decoder)

    def core_kwargs(self, **changes: Any) -> dict[str, Any]:
        """Return the keyword arguments of the Rust loader, some of them replaced by ``changes``."""
        shuffle = self.value("shuffle")
        words = {True: "auto", False: "none"}
        values: dict[str, Any] = {name: self.value(name) for name in CORE}
        if self.value("auto_tune"):
            values |= {"num_workers": 0, "prefetch": 0}
        return values | {"shuffle": words.get(shuffle, shuffle)} | changes

    def access(self) -> tuple[int, int]:
        """Return (bytes of a range request, ranges of one object in flight)."""
        if self.value("reader_mode") == "range":
            return self.value("part_size"), self.value("max_inflight_parts")
        # One stream for each object, however large.
        return 1 << 62, 1


# The name in the documented generations of this API.
PyLoaderOptions = LoaderOptions
