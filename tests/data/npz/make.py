"""Write the NPY and NPZ files beside this script with numpy, and a manifest of what they hold.

Run as `python make.py`. The manifest gives for each array numpy's own description of the dtype, the bytes per item,
the shape, whether the file stores it in Fortran order, and the SHA-256 of its items in C order.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RNG = np.random.default_rng(20240229)

SCALARS = [
    "|b1",
    "|i1",
    "|u1",
    "<i2",
    ">i2",
    "<u4",
    ">u4",
    "<i8",
    ">u8",
    "<f2",
    "<f4",
    ">f4",
    "<f8",
    ">f8",
    "<f16",
    "<c8",
    ">c16",
    "|S3",
    "<U5",
    ">U2",
    "|V6",
]


def filled(descr: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of `descr` with values that differ from each other."""
    dtype = np.dtype(descr)
    if dtype.kind in "SU":
        return np.array(["", "a", "bc", "\xe9\xdf" if dtype.kind == "U" else "xyz"], dtype)[:3].reshape(-1)
    if dtype.kind == "V":
        return np.frombuffer(RNG.bytes(4 * dtype.itemsize), dtype)
    array = RNG.integers(0, 100, shape).astype(dtype)
    if dtype == np.longdouble:
        # An x87 number fills ten of its sixteen bytes; the rest is whatever memory held.
        array.view("u1").reshape(*shape, 16)[..., 10:] = 0
    return array


def single() -> dict[str, np.ndarray]:
    """Return the arrays saved as one NPY file each, by file name without suffix."""
    plain = {f"plain_{'lbn'['<>|'.index(d[0])]}_{d[1:]}": filled(d, (2, 3)) for d in SCALARS}
    padded = np.dtype([("a", "u1"), ("b", "<f8"), ("c", "<i2")], align=True)
    nested = [("p", [("x", "<f4"), ("y", ">f4", (2,))]), ("m", "<i2", (2, 3)), ("s", "S2")]
    titled = [(("the title", "t"), "<i4"), ("quote'\\", "<u2")]
    return plain | {
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 4), "<f4"),
        "fortran": np.asfortranarray(np.arange(24, dtype="<i4").reshape(2, 3, 4)),
        "many_dimensions": np.arange(2, dtype="<i2").reshape((1,) * 31 + (2,)),
        "datetime": np.array(["1970-01-02", "NaT"], "<M8[ns]"),
        "datetime_multiple": np.array([1, 2], "<M8[25us]"),
        "datetime_generic": np.array(["NaT"], "M8"),
        "timedelta_big_endian": np.array([1, -2], ">m8[D]"),
        "structured": np.array([(1, 2.5), (3, 4.5)], [("a", "<i4"), ("b", "<f8")]),
        "structured_padded": np.frombuffer(bytes(range(72)), padded),
        "structured_nested": np.ones((2, 2), nested),
        "structured_titled": np.ones(2, titled),
        "structured_latin1": np.ones(2, [("h\xf6he", "<i4")]),
        "structured_utf8": np.ones(2, [("\u9ad8\u3055", "<i4")]),
    }


def describe(array: np.ndarray) -> dict[str, object]:
    """Return the manifest entry of an array."""
    descr = np.lib.format.dtype_to_descr(array.dtype)
    return {
        "descr": descr if isinstance(descr, str) else repr(descr),
        "item_size": array.dtype.itemsize,
        "shape": list(array.shape),
        "fortran_order": bool(array.flags.f_contiguous and not array.flags.c_contiguous),
        "sha256": hashlib.sha256(array.tobytes("C")).hexdigest(),
    }


class Unseekable(io.BytesIO):
    """A sink such as a socket, which makes zipfile write data descriptors."""

    def seekable(self) -> bool:
        """Return that it cannot seek."""
        return False

    def seek(self, *_: object) -> int:
        """Refuse to seek."""
        raise io.UnsupportedOperation

    def tell(self) -> int:
        """Refuse to tell the position."""
        raise io.UnsupportedOperation


def archives() -> dict[str, dict[str, np.ndarray]]:
    """Write the NPZ files and return their arrays."""
    small = {"x": np.arange(6, dtype="<f4").reshape(2, 3), "label": np.array(7), "none": np.zeros((0, 2), "<i2")}
    mixed = small | {
        "gr\xf6\xdfe": np.asfortranarray(np.arange(6, dtype=">i8").reshape(2, 3)),
        "folder/rows": np.ones(2, [("a", "<i4"), ("b", "S3")]),
        "zeros": np.zeros(5000, "<f8"),
    }
    np.savez(HERE / "stored.npz", **small)
    np.savez_compressed(HERE / "deflated.npz", **small)
    np.savez_compressed(HERE / "mixed.npz", **mixed)
    np.savez(HERE / "positional.npz", np.arange(3), np.arange(4.0))
    np.savez(HERE / "no_arrays.npz")
    streamed = Unseekable()
    np.savez_compressed(streamed, **small)
    (HERE / "streamed.npz").write_bytes(streamed.getvalue())
    limits = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 1, 1
    np.savez(HERE / "zip64_stored.npz", **small)
    np.savez_compressed(HERE / "zip64_deflated.npz", **small)
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limits
    np.savez(HERE / "with_comment_and_text.npz", **small)
    with zipfile.ZipFile(HERE / "with_comment_and_text.npz", "a") as archive:
        archive.writestr(zipfile.ZipInfo("notes.txt"), "not an array")
        archive.comment = b"made for a test"
    return {
        "stored.npz": small,
        "deflated.npz": small,
        "mixed.npz": mixed,
        "positional.npz": {"arr_0": np.arange(3), "arr_1": np.arange(4.0)},
        "no_arrays.npz": {},
        "streamed.npz": small,
        "zip64_stored.npz": small,
        "zip64_deflated.npz": small,
        "with_comment_and_text.npz": small,
    }


def unsupported() -> None:
    """Write the files that must be refused: pickled objects and a compression numpy does not write."""
    objects = np.array([{"a": 1}, None], dtype=object)
    np.save(HERE / "object.npy", objects)
    np.save(HERE / "object_field.npy", np.array([(1, "x")], [("a", "<i4"), ("b", "O")]))
    np.savez(HERE / "object.npz", fine=np.arange(2), objects=objects)
    with zipfile.ZipFile(HERE / "bzip2.npz", "w", zipfile.ZIP_BZIP2) as archive:
        content = io.BytesIO()
        np.save(content, np.arange(3))
        archive.writestr(zipfile.ZipInfo("x.npy"), content.getvalue(), zipfile.ZIP_BZIP2)


def main() -> None:
    """Write every file."""
    manifest: dict[str, dict[str, object]] = {}
    for name, array in single().items():
        np.save(HERE / f"{name}.npy", array)
        manifest[f"{name}.npy"] = describe(array)
    for version in [(1, 0), (2, 0), (3, 0)]:
        array = np.arange(5, dtype="<u2")
        with (HERE / f"version_{version[0]}.npy").open("wb") as file:
            np.lib.format.write_array(file, array, version)
        manifest[f"version_{version[0]}.npy"] = describe(array)
    for name, arrays in archives().items():
        manifest[name] = {"arrays": [{"name": key} | describe(array) for key, array in arrays.items()]}
    unsupported()
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
