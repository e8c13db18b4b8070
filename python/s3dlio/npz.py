"""NumPy archives straight from a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from s3dlio import _s3dlio, storage
from s3dlio.process import load_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_npy", "read_npz"]


@overload
def read_npz(uri: str, array_name: None = None) -> dict[str, NDArray[Any]]: ...
@overload
def read_npz(uri: str, array_name: str) -> NDArray[Any]: ...
def read_npz(uri: str, array_name: str | None = None) -> dict[str, NDArray[Any]] | NDArray[Any]:
    """Read the arrays of an NPZ archive: all as a dict by name, or the one called ``array_name``.

    Members that ``numpy.savez`` stored are read-only views of the object's bytes; compressed ones are inflated into a
    buffer each. Checksums are verified.

    Raises:
        NotFoundError: There is no such object.
        CorruptDataError: The archive is damaged, is none, or has no such member; the message names the URI.
        UnsupportedError: The archive needs pickle (object arrays) or is encrypted.
    """
    load_numpy()
    return _s3dlio.parse_npz(storage.get(uri), uri, array_name)


def read_npy(uri: str) -> NDArray[Any]:
    """Read an NPY file as a read-only view of its bytes.

    Raises:
        NotFoundError: There is no such object.
        CorruptDataError: The file is damaged or is none; the message names the URI.
        UnsupportedError: The array holds Python objects, which only pickle can read.
    """
    load_numpy()
    return _s3dlio.parse_npy(storage.get(uri), uri)
