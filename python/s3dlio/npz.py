"""NumPy archives and files, in any store.

Arrays come back as NumPy would load them: the same dtype, shape, order and items. Nothing is ever unpickled. What an
archive stores uncompressed, and any NPY file, is a read-only view of the bytes that were fetched. ``numpy.savez`` puts
its members at any offset, so such a view may not be aligned to its items; NumPy handles that, and
``numpy.require(array, requirements="A")`` copies where other code does not. Archives written here are aligned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

from s3dlio import _s3dlio, aio
from s3dlio.arguments import at_least
from s3dlio.errors import ConfigError, StoreError
from s3dlio.process import load_numpy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray
    from typing_extensions import Buffer

    from s3dlio._s3dlio import BytesView

__all__ = [
    "GivenArray",
    "NpzFile",
    "generate_npz_bytes",
    "open_npz",
    "read_npy",
    "read_npy_async",
    "read_npz",
    "read_npz_async",
    "read_npz_many",
    "read_npz_many_async",
    "write_npy",
    "write_npy_async",
    "write_npz",
    "write_npz_async",
]

GivenArray: TypeAlias = "tuple[str, bool, tuple[int, ...], Buffer]"
"""An array as the core takes it: description of the dtype, whether the first axis varies fastest, shape, items."""

# What `numpy.savez_compressed` uses.
_LEVEL = 6


def _names(names: Iterable[str] | None) -> list[str] | None:
    if isinstance(names, str):
        raise TypeError(f"option `names`: found the string {names!r}, expected a sequence of names")
    return None if names is None else [*names]


def _read(uri: str, array_name: str | None, names: Iterable[str] | None) -> _s3dlio.Operation[dict[str, NDArray[Any]]]:
    if array_name is not None and names is not None:
        raise ConfigError("options `array_name` and `names`: found both, expected one of them")
    load_numpy()
    return _s3dlio.read_npz(uri, _names(names) if array_name is None else [array_name])


@overload
def read_npz(uri: str, array_name: None = None, *, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]: ...
@overload
def read_npz(uri: str, array_name: str) -> NDArray[Any]: ...
def read_npz(
    uri: str, array_name: str | None = None, *, names: Iterable[str] | None = None
) -> dict[str, NDArray[Any]] | NDArray[Any]:
    """Read the arrays of an NPZ archive: all as a dict by name, those called ``names``, or the one ``array_name``.

    Where names are given, only the end of the archive and their members are fetched: from a network store one request
    for an archive up to 64 KiB, for a larger one another for each group of neighbours. Compressed members are inflated
    on the decoding threads, each into a buffer of its own; checksums are verified.

    Members whose name does not end in ``.npy`` are no arrays and are left out; one that is asked for by its full name
    is read if it has the format of an array.

    Raises:
        NotFoundError: There is no such object.
        MissingArrayError: The archive has no array of that name.
        CorruptDataError: The archive is damaged or is none; the message names URI, position and cause.
        UnsupportedError: It needs pickle (object arrays), is encrypted, or is compressed by another method than
            deflate; a member becomes more than 16 GiB.
    """
    arrays = _read(uri, array_name, names).wait()
    return arrays if array_name is None else arrays[array_name]


@overload
async def read_npz_async(
    uri: str, array_name: None = None, *, names: Iterable[str] | None = None
) -> dict[str, NDArray[Any]]: ...
@overload
async def read_npz_async(uri: str, array_name: str) -> NDArray[Any]: ...
async def read_npz_async(
    uri: str, array_name: str | None = None, *, names: Iterable[str] | None = None
) -> dict[str, NDArray[Any]] | NDArray[Any]:
    """As :func:`read_npz`."""
    arrays = await aio.result(_read(uri, array_name, names))
    return arrays if array_name is None else arrays[array_name]


def _read_many(
    uris: Sequence[str], names: Iterable[str] | None, max_in_flight: int
) -> _s3dlio.Operation[list[dict[str, NDArray[Any]]]]:
    load_numpy()
    return _s3dlio.read_npz_many([*uris], _names(names), at_least("max_in_flight", max_in_flight, 1))


def read_npz_many(
    uris: Sequence[str], names: Iterable[str] | None = None, *, max_in_flight: int = 64
) -> list[dict[str, NDArray[Any]]]:
    """Read many NPZ archives, or of each the arrays called ``names``; the dicts stand in the order of ``uris``.

    Local archives are read and decoded by all decoding threads; of those in network stores at most ``max_in_flight``
    are fetched at a time. The first failure ends the call.

    Raises:
        ConfigError: The bound is below 1.
        NotFoundError, MissingArrayError, CorruptDataError, UnsupportedError: As :func:`read_npz`, naming the URI.
    """
    return _read_many(uris, names, max_in_flight).wait()


async def read_npz_many_async(
    uris: Sequence[str], names: Iterable[str] | None = None, *, max_in_flight: int = 64
) -> list[dict[str, NDArray[Any]]]:
    """As :func:`read_npz_many`."""
    return await aio.result(_read_many(uris, names, max_in_flight))


def read_npy(uri: str) -> NDArray[Any]:
    """Read an NPY file as a read-only view of its bytes.

    Raises:
        NotFoundError: There is no such object.
        CorruptDataError: The file is damaged or is none; the message names the URI.
        UnsupportedError: The array holds Python objects, which only pickle can read.
    """
    load_numpy()
    return _s3dlio.read_npy(uri).wait()


async def read_npy_async(uri: str) -> NDArray[Any]:
    """As :func:`read_npy`."""
    load_numpy()
    return await aio.result(_s3dlio.read_npy(uri))


def _given(value: ArrayLike) -> GivenArray:
    """Description and memory of an array, as an NPY file has them."""
    import numpy as np  # noqa: PLC0415 - only who uses arrays waits for NumPy

    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("found a masked array, expected one without a mask: the format has no place for it")
    array = np.asarray(value)
    described = np.lib.format.dtype_to_descr(array.dtype)
    descr = described if isinstance(described, str) else repr(described)
    fortran = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
    # Objects are refused by the core, which must not see their memory.
    if array.dtype.hasobject or not array.nbytes:
        return descr, fortran, array.shape, b""
    items = array.T if fortran else np.ascontiguousarray(array)
    return descr, fortran, array.shape, items.reshape(-1).view(np.uint8).data


def _write(
    uri: str, arrays: Mapping[str, ArrayLike] | Sequence[ArrayLike], compress: bool | int
) -> _s3dlio.Operation[None]:
    if isinstance(arrays, Mapping):
        named = [*arrays.items()]
    elif isinstance(arrays, (list, tuple)):
        named = [(f"arr_{number}", array) for number, array in enumerate(arrays)]
    else:
        raise TypeError(f"option `arrays`: found {type(arrays).__name__}, expected a dict by name, a list or a tuple")
    level = {False: None, True: _LEVEL}[compress] if isinstance(compress, bool) else compress
    if level is not None and not 1 <= level <= 9:  # noqa: PLR2004 - the levels of deflate
        raise ConfigError(f"option `compress`: found {compress!r}, expected True, False, or a level from 1 to 9")
    return _s3dlio.write_npz(uri, [(name, _given(array)) for name, array in named], level)


def write_npz(uri: str, arrays: Mapping[str, ArrayLike] | Sequence[ArrayLike], *, compress: bool | int = False) -> None:
    """Write arrays as an NPZ archive, which ``numpy.load`` reads; it appears whole or not at all.

    A list or tuple is named ``arr_0``, ``arr_1`` and so on, as ``numpy.savez`` does. No extension is added to ``uri``.
    ``compress`` deflates every array, ``True`` with level 6, or with a level from 1 (fast) to 9 (small), on the
    decoding threads. Arrays are not copied first: leave them unchanged until the call returns.

    Raises:
        ConfigError: A level out of range; a name that occurs twice, is too long or holds a zero byte.
        UnsupportedError: An array of Python objects.
        TypeError: A masked array, or no mapping, list or tuple.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    _write(uri, arrays, compress).wait()


async def write_npz_async(
    uri: str, arrays: Mapping[str, ArrayLike] | Sequence[ArrayLike], *, compress: bool | int = False
) -> None:
    """As :func:`write_npz`."""
    await aio.result(_write(uri, arrays, compress))


def write_npy(uri: str, array: ArrayLike) -> None:
    """Write an array as an NPY file, byte for byte as ``numpy.save`` does; it appears whole or not at all.

    Raises:
        UnsupportedError: An array of Python objects.
        TypeError: A masked array.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    _s3dlio.write_npy(uri, _given(array)).wait()


async def write_npy_async(uri: str, array: ArrayLike) -> None:
    """As :func:`write_npy`."""
    await aio.result(_s3dlio.write_npy(uri, _given(array)))


class NpzFile(Mapping[str, "NDArray[Any]"]):
    """An open NPZ archive: a mapping from names to arrays that are fetched when they are asked for.

    Its directory is read at once, from a network store by one request in most cases. Every look-up fetches the member
    anew; :meth:`read` fetches several together. It can be pickled, and used in a forked child; a pickled one opens the
    archive again.

    Attributes:
        uri: The archive.
        files: Names of its arrays, in their order.
    """

    def __init__(self, uri: str) -> None:
        load_numpy()
        self.uri = uri
        self._archive: _s3dlio.NpzArchive | None = _s3dlio.NpzArchive.open(uri).wait()
        self.files = self._archive.names()
        self._known = frozenset(self.files)

    def _opened(self) -> _s3dlio.NpzArchive:
        if self._archive is None:
            raise StoreError(f"{self.uri}: the archive is closed", uri=self.uri)
        return self._archive

    def read(self, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Read the arrays called ``names``, or all, by few requests.

        Raises:
            MissingArrayError, CorruptDataError, UnsupportedError: As :func:`read_npz`.
            PreconditionError: The object was replaced since the archive was opened.
        """
        wanted = _names(names)
        wanted = self.files if wanted is None else wanted
        return dict(zip(wanted, self._opened().read(wanted).wait(), strict=True))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._opened().read([name]).wait()[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._known or name.removesuffix(".npy") in self._known)

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"NpzFile({self.uri!r}) with {len(self.files)} arrays"

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.uri,)

    def close(self) -> None:
        """Let go of the archive; arrays that were read stay."""
        self._archive = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_npz(uri: str) -> NpzFile:
    """Open an NPZ archive without reading its arrays; see :class:`NpzFile`.

    Raises:
        NotFoundError: There is no such object.
        CorruptDataError: It is no NPZ archive, or a damaged one.
    """
    return NpzFile(uri)


def generate_npz_bytes(
    shape: Sequence[int], dtype: DTypeLike = "<f4", num_samples: int = 1, *, seed: int | None = None
) -> BytesView:
    """Make an NPZ archive for benchmarks.

    It has ``x`` of this shape and dtype with random bytes for items, and ``y`` with ``num_samples`` int64 zeros. The
    same ``seed`` gives the same bytes; without one each call gives others.

    Raises:
        ConfigError: A dtype other than booleans, integers, floating and complex numbers; a negative size.
    """
    import numpy as np  # noqa: PLC0415 - only who uses arrays waits for NumPy

    kind = np.dtype(dtype)
    if kind.kind not in "biufc":
        raise ConfigError(f"option `dtype`: found {kind}, expected a type of numbers or booleans")
    sizes = [at_least("shape", size, 0) for size in shape]
    number = int.from_bytes(os.urandom(8), "little") if seed is None else at_least("seed", seed, 0)
    return _s3dlio.generate_npz(kind.str, sizes, at_least("num_samples", num_samples, 0), number)
