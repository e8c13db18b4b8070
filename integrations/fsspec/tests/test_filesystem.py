"""What fsspec's own suite does not ask of a file system, on every kind of store."""

from __future__ import annotations

import pickle
import re
import runpy
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
import s3dlio
import s3dlio_fsspec

FOLDER = Path(__file__).parents[1]


@pytest.fixture(params=["s3", "gs", "az", "file"])
def store(request, place) -> str:
    """Return the URI of an empty place."""
    return place(request.param)


@pytest.fixture
def url(store) -> str:
    return f"s3dlio+{store}"


@pytest.fixture
def fs(url) -> Any:
    return fsspec.url_to_fs(url)[0]


def test_what_is_there(fs, store, url):
    s3dlio.put_many([(f"{store}/dir/{name}", b"12345") for name in ("a", "b/c")])
    info = fs.info(f"{url}/dir/a")
    assert (info["type"], info["size"], info["ETag"]) == ("file", 5, s3dlio.stat(f"{store}/dir/a")["etag"])
    assert fs.unstrip_protocol(info["name"]) == f"{store}/dir/a"
    assert abs(fs.modified(f"{url}/dir/a") - datetime.now(UTC)) < timedelta(minutes=5)
    assert fs.info(f"{url}/dir")["type"] == fs.info(f"{url}/dir/")["type"] == "directory"
    assert fs.isdir(url)
    assert [one["type"] for one in fs.ls(f"{url}/dir")] == ["file", "directory"]
    assert fs.ls(f"{url}/dir/a", detail=False) == [info["name"]]
    assert fs.find(f"{url}/dir") == [fs._strip_protocol(f"{url}/dir/{name}") for name in ("a", "b/c")]
    assert fs.du(f"{url}/dir") == 10
    assert fs.glob(f"{url}/dir/*/c") == [fs._strip_protocol(f"{url}/dir/b/c")]
    assert fs.find(f"{url}/nothing") == []
    for missing in (fs.info, fs.ls, fs.cat_file, fs.rm, fs.open):
        with pytest.raises(FileNotFoundError):
            missing(f"{url}/nothing")


def test_bytes_of_files(fs, url):
    fs.pipe({f"{url}/{number}": bytes([number]) * 10 for number in range(3)})
    assert fs.cat(f"{url}/*") == {fs._strip_protocol(f"{url}/{n}"): bytes([n]) * 10 for n in range(3)}
    fs.pipe_file(f"{url}/x", b"0123456789")
    assert fs.cat_file(f"{url}/x", 2, 5) == b"234"
    assert fs.cat_file(f"{url}/x", -3) == b"789"
    assert fs.cat_file(f"{url}/x", 1, -7) == b"12"
    assert fs.cat_file(f"{url}/x", 5, 5) == b""
    assert fs.cat_ranges([f"{url}/x"] * 2, [0, 8], [2, 10]) == [b"01", b"89"]
    with fs.open(f"{url}/x", block_size=4) as file:
        file.seek(-4, 2)
        assert (file.read(2), file.tell()) == (b"67", 8)


def fail_in(file: Any, content: bytes) -> None:
    with file:
        file.write(content)
        raise ZeroDivisionError


def test_a_written_file_appears_whole(fs, url):
    content = bytes(range(256)) * 60_000
    with fs.open(f"{url}/dir/x", "wb", block_size=5 << 20) as file:
        for at in range(0, len(content), 1_000_000):
            file.write(content[at : at + 1_000_000])
        assert not fs.exists(f"{url}/dir/x")
    assert fs.cat_file(f"{url}/dir/x") == content
    for size in (10, len(content)):
        with pytest.raises(ZeroDivisionError):
            fail_in(fs.open(f"{url}/dir/y", "wb", block_size=5 << 20), content[:size])
        assert fs.ls(f"{url}/dir", detail=False) == [fs._strip_protocol(f"{url}/dir/x")]


def test_a_transaction(fs, url):
    with fs.transaction:
        with fs.open(f"{url}/x", "wb") as file:
            file.write(b"content")
        assert not fs.exists(f"{url}/x")
    assert fs.cat_file(f"{url}/x") == b"content"


def test_writing_that_is_refused(fs, url):
    fs.pipe_file(f"{url}/x", b"old")
    with pytest.raises(FileExistsError):
        fs.open(f"{url}/x", "xb")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{url}/x", b"new", mode="create")
    with pytest.raises(NotImplementedError):
        fs.open(f"{url}/x", "ab")
    with pytest.raises(NotImplementedError):
        fs.touch(f"{url}/x", truncate=False)
    assert fs.cat_file(f"{url}/x") == b"old"


def test_local_files(fs, url, tmp_path):
    (tmp_path / "up").write_bytes(b"content")
    fs.put_file(tmp_path / "up", f"{url}/x")
    fs.cp_file(f"{url}/x", f"{url}/y")
    fs.mv(f"{url}/y", f"{url}/z")
    fs.get_file(f"{url}/z", tmp_path / "sub" / "down")
    assert (tmp_path / "sub" / "down").read_bytes() == b"content"
    assert not fs.exists(f"{url}/y")
    fs.rm(f"{url}/z")
    assert fs.find(url) == [fs._strip_protocol(f"{url}/x")]


def test_it_pickles_and_chains(fs, url):
    again = pickle.loads(pickle.dumps(fs))
    again.pipe_file(f"{url}/x", b"content")
    with fsspec.open(f"simplecache::{url}/x") as file:
        assert file.read() == b"content"
    assert again == fs


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_buckets_and_directories(kind, place):
    fs, path = fsspec.url_to_fs(f"s3dlio+{place(kind)}")
    made = f"{path}/made" if kind == "file" else f"made-{path}"
    assert not fs.exists(made)
    fs.mkdir(made)
    assert fs.isdir(made)
    assert fs.ls(made) == []
    fs.rmdir(made)
    assert not fs.exists(made)


def test_plain_protocols(bucket, monkeypatch):
    # Whatever is registered here is forgotten afterwards.
    for name in ("s3", "gs"):
        monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, name, s3dlio_fsspec.S3FileSystem)
    s3dlio_fsspec.register("s3", "gs")
    with fsspec.open(f"{bucket}/x", "wb") as file:
        file.write(b"content")
    assert isinstance(fsspec.filesystem("gs"), s3dlio_fsspec.GCSFileSystem)
    assert s3dlio.get(f"{bucket}/x") == b"content"
    with pytest.raises(ValueError, match="ftp"):
        s3dlio_fsspec.register("s3", "ftp")


class TestReaders:
    def test_the_readme(self, bucket):
        (example,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), flags=re.DOTALL)
        names: dict[str, Any] = {}
        exec(example.replace("s3://bucket", bucket), names)  # noqa: S102 - the text of this project
        assert names["labels"]["label"].tolist() == [3, 1, 2]

    def test_the_example(self, bucket, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["labels.py", f"s3dlio+{bucket}/labels"])
        runpy.run_path(str(FOLDER / "examples" / "labels.py"), run_name="__main__")
        assert capsys.readouterr().out == "8000 bytes; the last line is 00999,9\n"

    def test_parquet(self, fs, url):
        import pandas as pd
        import pyarrow.dataset as ds

        frame = pd.DataFrame({"n": range(1000), "text": [f"{n}" for n in range(1000)]})
        for part in range(2):
            frame.iloc[part * 500 :][:500].to_parquet(f"{url}/table/{part}.parquet", row_group_size=100)
        assert pd.read_parquet(f"{url}/table/1.parquet")["n"].sum() == sum(range(500, 1000))
        table = ds.dataset(f"{fs._strip_protocol(url)}/table", filesystem=fs).to_table(filter=ds.field("n") < 3)
        assert table.column("text").to_pylist() == ["0", "1", "2"]
