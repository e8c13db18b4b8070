"""The commands for record files: inspect, verify, convert."""

from __future__ import annotations

import json

import numpy as np
import pytest
import s3dlio
from s3dlio import disky
from s3dlio.array_record import ArrayRecordReader, ArrayRecordWriter

from tests.unit.test_cli import cli, documents, lines

RECORDS = [b"record %d|" % number * (1 + number % 9) for number in range(300)]
BYTES = sum(map(len, RECORDS))


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path) -> str:
    """Return the URI of an empty place that another process sees."""
    return f"file://{tmp_path}/place" if request.param == "file" else request.getfixturevalue("bucket")


@pytest.fixture
def files(place) -> dict[str, str]:
    """Return a file of each format, by the format's name."""
    uris = {kind: f"{place}/data/a.{kind}" for kind in ("array_record", "disky", "tfrecord", "npz", "npy")}
    with ArrayRecordWriter(uris["array_record"], "group_size:100,zstd") as writer:
        for record in RECORDS:
            writer.write(record)
    with disky.RecordWriter(uris["disky"]) as writer:
        for record in RECORDS:
            writer.write_record(record)
    with s3dlio.TFRecordWriter(uris["tfrecord"]) as writer:
        for record in RECORDS:
            writer.write(record)
    s3dlio.write_npz(uris["npz"], {"x": np.zeros((3, 4), "<f4"), "y": np.arange(5)})
    s3dlio.write_npy(uris["npy"], np.zeros((3, 4), "<f4"))
    return uris


def damage(uri: str, at: int) -> None:
    content = bytearray(s3dlio.get(uri))
    content[at] ^= 1
    s3dlio.put(uri, content)


class TestInspect:
    def test_documents(self, files):
        found = {one["format"]: one for one in documents("inspect", *files.values())}
        assert {kind: one["uri"] for kind, one in found.items()} == files
        assert all(one["damage"] is None and one["size"] == s3dlio.stat(one["uri"])["size"] for one in found.values())
        records = found["array_record"]
        assert (records["records"], records["record_bytes"], records["chunks"]) == (300, BYTES, 3)
        assert (records["group_size"], records["compression"], records["transposed"]) == (100, ["zstd"], False)
        assert records["writer_options"].startswith("group_size:100,")
        plain = found["disky"]
        assert (plain["records"], plain["record_bytes"], plain["compression"]) == (300, BYTES, ["uncompressed"])
        records = found["tfrecord"]
        assert (records["records"], records["smallest"], records["largest"]) == (300, 9, 11 * 9)
        x, y = found["npz"]["arrays"]
        assert (x["name"], x["dtype"], x["shape"], x["compression"]) == ("x", "<f4", [3, 4], "stored")
        assert (y["name"], y["dtype"], y["shape"]) == ("y", "<i8", [5])
        assert found["npy"]["arrays"][0]["shape"] == [3, 4]

    def test_text(self, files):
        text = "\n".join(lines("inspect", files["array_record"], files["npz"]))
        for part in (files["array_record"], "300", "group_size:100", "zstd", "<f4, 3 x 4"):
            assert part in text

    def test_damage_is_told(self, files, place):
        damage(files["array_record"], 65536 + 70)
        done = cli("--json", "inspect", files["array_record"], files["disky"], code=None)
        first, second = (json.loads(line) for line in done.stdout.splitlines())
        assert done.returncode == 1
        assert "damaged" in first["damage"]
        assert second["records"] == 300
        cli("inspect", f"{place}/missing", code=3)
        s3dlio.put(f"{place}/text", b"text")
        assert b"array_record, disky" in cli("inspect", f"{place}/text", code=1).stderr


class TestVerify:
    def test_sound_files(self, files):
        found = documents("verify", *files.values())
        assert [(one["uri"], one["format"], one["ok"]) for one in found] == [
            (uri, kind, True) for kind, uri in files.items()
        ]
        assert [one["records"] for one in found] == [300, 300, 300, 2, 1]
        assert all("sound" in line for line in lines("verify", *files.values()))

    def test_damage_is_reported_by_its_place(self, files):
        for kind in ("array_record", "disky", "tfrecord", "npz"):
            damage(files[kind], 200)
        done = cli("--json", "verify", *files.values(), code=None)
        assert done.returncode == 1
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["ok"] for one in found] == [False, False, False, False, True]
        for one in found[:4]:
            assert one["num_faults"] == len(one["faults"]) == 1
            ((start, end), offset) = one["faults"][0]["lost"], one["faults"][0]["offset"]
            assert start <= offset <= 200 < end
        assert found[2]["records"] == 299
        text = cli("verify", files["tfrecord"], code=None)
        assert text.returncode == 1
        assert b"checksum" in text.stdout

    def test_everything_below(self, files, place):
        s3dlio.put(f"{place}/data/deep/README", b"text")
        s3dlio.put(f"{place}/data/deep/cut.tfrecord", b"text")
        done = cli("--json", "verify", "-r", f"{place}/data/", code=None)
        found = {one["uri"]: one["ok"] for one in map(json.loads, done.stdout.splitlines())}
        expected = dict.fromkeys(files.values(), True)
        assert found == expected | {f"{place}/data/deep/README": None, f"{place}/data/deep/cut.tfrecord": False}
        assert done.returncode == 1
        assert len(documents("verify", "-r", "--pattern", "*.np?", f"{place}/data")) == 2
        cli("verify", "-r", f"{place}/nothing/", code=3)
        cli("verify", "--format", "tar", files["npz"], code=2)


class TestConvert:
    @pytest.mark.parametrize("source", ["array_record", "disky", "tfrecord"])
    def test_records(self, files, place, source):
        for to, options in [("array_record", "group_size:7,brotli:1"), ("disky", "zstd"), ("tfrecord", "gzip:1")]:
            dest = f"{place}/out/b.{to}"
            (done,) = documents("convert", "--options", options, files[source], dest)
            assert (done["from"], done["format"], done["records"], done["record_bytes"]) == (source, to, 300, BYTES)
        assert ArrayRecordReader(f"{place}/out/b.array_record").read_all() == RECORDS
        assert list(disky.RecordReader(f"{place}/out/b.disky")) == RECORDS
        assert list(s3dlio.TFRecordReader(f"{place}/out/b.tfrecord")) == RECORDS

    def test_arrays(self, files, place):
        lines("convert", "--array", "x", files["npz"], f"{place}/x.npy")
        assert s3dlio.read_npy(f"{place}/x.npy").shape == (3, 4)
        lines("convert", "--options", "9", files["npz"], f"{place}/packed.npz")
        assert [*s3dlio.read_npz(f"{place}/packed.npz")] == ["x", "y"]
        lines("convert", files["npy"], f"{place}/one.npz")
        assert s3dlio.read_npz(f"{place}/one.npz", "arr_0").shape == (3, 4)
        lines("convert", f"{place}/one.npz", f"{place}/back.npy")
        assert s3dlio.get(f"{place}/back.npy") == s3dlio.get(files["npy"])

    def test_a_damaged_source(self, files, place):
        damage(files["tfrecord"], 250)
        dest = f"{place}/out.array_record"
        assert files["tfrecord"].encode() in cli("convert", files["tfrecord"], dest, code=1).stderr
        assert not s3dlio.exists(dest)
        (done,) = documents("convert", "--recover", files["tfrecord"], dest)
        assert (done["records"], done["faults"]) == (299, 1)
        assert len(ArrayRecordReader(dest)) == 299

    def test_what_cannot_be(self, files, place):
        for source, dest, words, code in [
            ("npz", "out.disky", [], 1),
            ("disky", "out.npz", [], 1),
            ("npz", "out.npy", [], 2),
            ("disky", "out", [], 2),
            ("disky", "out.tfrecord", ["--options", "bzip2"], 2),
            ("disky", "out.tfrecord", ["--array", "x"], 2),
            ("disky", "out.array_record", ["--options", "zstd:99"], 2),
            ("disky", "data/a.disky", [], 2),
        ]:
            assert cli("convert", *words, files[source], f"{place}/{dest}", code=code).stdout == b"", (source, dest)
        assert len(s3dlio.list(f"{place}/", recursive=True)) == 5
