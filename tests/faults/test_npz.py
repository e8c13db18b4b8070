"""Damaged and hostile NPZ archives: an error that names the file, or the very same arrays; never anything else."""

from __future__ import annotations

import io
import resource
import struct
import zipfile
import zlib

import numpy as np
import pytest
import s3dlio

ARRAYS = {"x": np.arange(40, dtype="<u2"), "y": np.ones((2, 3), [("a", "<f4"), ("b", "S3")])}


def archive(*, compress: bool = False) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(out, **ARRAYS)
    return out.getvalue()


def written(*, compress: bool) -> bytes:
    s3dlio.write_npz("memory://npz-faults/ours.npz", ARRAYS, compress=compress)
    return bytes(s3dlio.get("memory://npz-faults/ours.npz"))


MAKERS = {
    "numpy stored": archive,
    "numpy deflated": lambda: archive(compress=True),
    "ours stored": lambda: written(compress=False),
    "ours deflated": lambda: written(compress=True),
}


@pytest.fixture(params=MAKERS)
def whole(request) -> bytes:
    return MAKERS[request.param]()


def readings(path):
    """Each way to read an archive, as a dict of its arrays."""
    uri = f"file://{path}"
    yield lambda: s3dlio.read_npz(uri)
    yield lambda: s3dlio.read_npz(uri, names=["x", "y"])
    yield lambda: s3dlio.read_npz_many([uri])[0]


def check(path) -> int:
    """Read in every way; returns how many refused."""
    refused = 0
    for read in readings(path):
        try:
            found = read()
        except s3dlio.S3dlioError as error:
            assert path.name in str(error)  # noqa: PT017
            assert error.uri == f"file://{path}"  # noqa: PT017
            refused += 1
            continue
        for name, array in found.items():
            assert array.dtype == ARRAYS[name].dtype
            assert array.tobytes() == ARRAYS[name].tobytes()
    return refused


def test_every_truncation(tmp_path, whole):
    path = tmp_path / "cut.npz"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert check(path) == 3, length


@pytest.mark.parametrize("change", [lambda byte: byte ^ 0xFF, lambda byte: byte ^ 1, lambda _: 0, lambda _: 0xFF])
def test_every_changed_byte(tmp_path, whole, change):
    path = tmp_path / "changed.npz"
    for at, byte in enumerate(whole):
        path.write_bytes(whole[:at] + bytes([change(byte)]) + whole[at + 1 :])
        check(path)


def npy(items: bytes = b"\1\2\3") -> bytes:
    out = io.BytesIO()
    np.save(out, np.frombuffer(items, "u1"))
    return out.getvalue()


def member(name: str, content: bytes, *, method: int = 0, flags: int = 0, size: int | None = None) -> tuple[bytes, ...]:
    """Return the header with content and the directory entry (without its offset and name) of a member."""
    raw = name.encode()
    common = struct.pack(
        "<HHHHHIII", 20, flags, method, 0, 33, zlib.crc32(npy()), len(content), len(npy()) if size is None else size
    )
    local = b"PK\3\4" + common + struct.pack("<HH", len(raw), 0) + raw + content
    return local, b"PK\1\2\x14\0" + common + struct.pack("<HHHHHI", len(raw), 0, 0, 0, 0, 0), raw


def built(*members: tuple[bytes, ...]) -> bytes:
    body, directory = b"", b""
    for local, entry, raw in members:
        directory += entry + struct.pack("<I", len(body)) + raw
        body += local
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + end


def deflated(content: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(content) + stream.flush()


HOSTILE = {
    "a size that deflate cannot reach": (
        built(member("x.npy", deflated(npy()), method=8, size=2**32 - 2)),
        "expected at",
    ),
    "a size beyond the content": (
        built(member("x.npy", deflated(npy()), method=8, size=len(npy()) + 1)),
        "expected 132",
    ),
    "a size below the content": (built(member("x.npy", deflated(npy()), method=8, size=5)), "goes on behind"),
    "half a stream": (built(member("x.npy", deflated(npy())[:20], method=8)), "only the beginning"),
    "a stored size that differs": (built(member("x.npy", npy(), size=5)), "expected equal sizes"),
    "another checksum": (built(member("x.npy", npy(b"\3\2\1"))), "CRC-32"),
    "a name twice": (built(member("x.npy", npy()), member("x.npy", npy())), "occurs twice"),
    "an encrypted member": (built(member("x.npy", npy(), flags=1)), "encrypted"),
    "strong encryption": (built(member("x.npy", npy(), flags=1 | 1 << 6)), "encrypted"),
    "another method": (built(member("x.npy", npy(), method=93)), "zstd"),
    "an unknown method": (built(member("x.npy", npy(), method=77)), "77"),
    "no array": (built(member("x.npy", b"text" * 32 + b"abc")), "CRC-32"),
}


@pytest.mark.parametrize(("whole", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives(tmp_path, whole, words):
    path = tmp_path / "hostile.npz"
    path.write_bytes(whole)
    for read in (
        lambda: s3dlio.read_npz(f"file://{path}"),
        lambda: s3dlio.read_npz(f"file://{path}", "x"),
        lambda: s3dlio.read_npz_many([f"file://{path}"]),
    ):
        with pytest.raises((s3dlio.CorruptDataError, s3dlio.UnsupportedError), match=words) as caught:
            read()
        unsupported = any(word in words for word in ("encrypted", "zstd", "77"))
        assert isinstance(caught.value, s3dlio.UnsupportedError) == unsupported


def test_a_sound_archive_of_the_same_make(tmp_path):
    (tmp_path / "a.npz").write_bytes(built(member("x.npy", npy()), member("y.npy", deflated(npy()), method=8)))
    found = s3dlio.read_npz(f"file://{tmp_path}/a.npz")
    assert {name: array.tolist() for name, array in found.items()} == {"x": [1, 2, 3], "y": [1, 2, 3]}


def test_members_that_share_bytes_are_refused(tmp_path):
    """Overlapping members are how a small archive becomes a huge one."""
    local, entry, raw = member("x.npy", npy())
    entries = b"".join(entry + struct.pack("<I", 0) + bytes([raw[0] + at]) + raw[1:] for at in range(3))
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 3, 3, len(entries), len(local), 0)
    (tmp_path / "shared.npz").write_bytes(local + entries + end)
    with pytest.raises(s3dlio.CorruptDataError, match="belongs to what follows"):
        s3dlio.read_npz(f"file://{tmp_path}/shared.npz")


def test_no_memory_is_taken_for_what_is_only_announced(tmp_path):
    """A terabyte in a header, or in a directory, costs nothing."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (137438953472,), }"
    lying = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    (tmp_path / "lying.npy").write_bytes(lying)
    entries = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65_000, 65_000, 2**31, 0, 0)
    (tmp_path / "lying.npz").write_bytes(entries)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(s3dlio.CorruptDataError, match="1099511627776 bytes"):
        s3dlio.read_npy(f"file://{tmp_path}/lying.npy")
    for read in (s3dlio.read_npz, s3dlio.open_npz):
        with pytest.raises(s3dlio.CorruptDataError, match=r"lying\.npz"):
            read(f"file://{tmp_path}/lying.npz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_an_archive_behind_other_bytes_is_refused(tmp_path):
    (tmp_path / "shell.npz").write_bytes(b"#!/bin/sh\n" + archive())
    with pytest.raises(s3dlio.CorruptDataError, match=r"shell\.npz"):
        s3dlio.read_npz(f"file://{tmp_path}/shell.npz")


def test_a_text_member_that_calls_itself_an_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as out:
        out.writestr("x.npy", "text")
    with pytest.raises(s3dlio.CorruptDataError, match=r"x\.npy.*not NPY data"):
        s3dlio.read_npz(f"file://{tmp_path}/text.npz")
