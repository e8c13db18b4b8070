"""Copies between stores and local files: documented calls, layout, safety, resumption."""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.request
import uuid
from pathlib import Path

import pytest
import s3dlio

from tests.fixtures.programs import ends_within, interrupt, started

NAMES = [
    "plain",
    "with space",
    "per%20cent",
    "100%",
    "ümläut/日本語.bin",
    "a+b&c=d;e,f@g",
    "q?x=1#1",
    "[brackets]{braces}",
    "deep/er/still/file",
    "back\\slash",
]
MIB = 1 << 20


def fill(root: str, *names: str) -> None:
    s3dlio.put_many([(f"{root}/{name}", name.encode()) for name in names])


def tree(root: str) -> dict[str, bytes]:
    """Content by path below the root."""
    pairs = s3dlio.get_many(s3dlio.list(f"{root}/", recursive=True))
    return {uri.removeprefix(f"{root}/"): bytes(data) for uri, data in pairs}


def same(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


@pytest.fixture(params=["file", "memory", "s3"])
def other(request, tmp_path_factory) -> str:
    """Return the URI of a second empty place."""
    if request.param == "file":
        return f"file://{tmp_path_factory.mktemp('other')}"
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    return request.getfixturevalue("s3").bucket(f"other-{uuid.uuid4().hex[:12]}")


def test_a_tree_is_copied_in_every_direction(store, other, verbs):
    # Azure has no backslash in names.
    names = [name for name in NAMES if not (store.startswith("az://") and "\\" in name)]
    s3dlio.put_many([(f"{store}/from/{name}", name.encode()) for name in names] + [(f"{store}/from/empty", b"")])
    done = verbs.copy(f"{store}/from/", f"{other}/to")
    assert type(done) is s3dlio.TransferSummary
    assert (done.objects, done.bytes, done.skipped) == (len(names) + 1, sum(len(n.encode()) for n in names), 0)
    assert done.seconds > 0
    assert tree(f"{other}/to") == same(*names) | {"empty": b""}


def test_large_objects_are_copied_in_parts(store, other, verbs):
    data = os.urandom(MIB) * 40 + b"tail"
    s3dlio.put(f"{store}/big", data)
    assert verbs.copy(f"{store}/big", f"{other}/copy").bytes == len(data)
    assert s3dlio.get(f"{other}/copy") == data
    assert s3dlio.list(f"{other}/", recursive=True) == [f"{other}/copy"]


def test_a_store_copies_inside_a_bucket_itself(bucket):
    data = b"x" * 20 * MIB
    s3dlio.put(f"{bucket}/a/key", data)
    before = s3dlio.stats()["get_bytes"]
    s3dlio.copy(f"{bucket}/a/", f"{bucket}/b/")
    assert s3dlio.stats()["get_bytes"] == before
    assert s3dlio.stat(f"{bucket}/b/key")["size"] == len(data)


def test_the_content_type_travels(bucket, s3):
    request = urllib.request.Request(
        f"{s3.endpoint}/{bucket.removeprefix('s3://')}/page", b"<p>", {"Content-Type": "text/html"}, method="PUT"
    )
    urllib.request.urlopen(request, timeout=30).close()
    there = s3.bucket(f"other-{uuid.uuid4().hex[:12]}")
    s3dlio.copy(f"{bucket}/page", f"{there}/page")
    assert s3dlio.stat(f"{there}/page")["content_type"] == "text/html"


# The documented calls, with the places of the documents replaced by those of the test.


def test_documented_07(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("local_file.txt").write_bytes(b"local_file.txt")
    s3dlio.upload(["local_file.txt"], f"{bucket}/prefix/")
    assert tree(f"{bucket}/prefix") == same("local_file.txt")
    s3dlio.download(f"{bucket}/prefix/", f"{tmp_path}/local/dir/")
    assert tree(f"file://{tmp_path}/local/dir") == same("local_file.txt")


def test_documented_08(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(f"file://{tmp_path}/data", "a.dat", "b.dat", "c.txt")
    s3dlio.upload(src_patterns=["./data/*.dat"], dest_prefix=f"{store}/output/", max_in_flight=4, create_bucket=False)
    assert tree(f"{store}/output") == same("a.dat", "b.dat")
    s3dlio.download(src_uri=f"{store}/output/", dest_dir="./downloads/", max_in_flight=4, recursive=True)
    assert tree(f"file://{tmp_path}/downloads") == same("a.dat", "b.dat")


def test_documented_09(store, tmp_path):
    fill(f"file://{tmp_path}/files", "a.dat", "sub/b.dat", "c.txt")
    s3dlio.upload(local_dir=f"{tmp_path}/files/", remote_uri=f"{store}/uploads/", pattern="*.dat")
    assert tree(f"{store}/uploads") == same("a.dat", "sub/b.dat")
    fill(f"{store}/uploads", "x.txt")
    s3dlio.download(remote_uri=f"{store}/uploads/", local_dir=f"{tmp_path}/output/", pattern="*.dat")
    assert tree(f"file://{tmp_path}/output") == same("a.dat", "sub/b.dat")


def test_documented_table(store, tmp_path, verbs):
    fill(f"file://{tmp_path}/local", "a", "b/c")
    assert verbs.upload(f"{tmp_path}/local", f"{store}/remote").objects == 2
    assert verbs.download(f"{store}/remote", f"{tmp_path}/back").objects == 2
    assert tree(f"file://{tmp_path}/back") == same("a", "b/c")


def test_one_file_goes_where_it_is_told(store, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"x")
    s3dlio.upload(path, f"{store}/exact.bin")
    s3dlio.upload(str(path), f"{store}/a/")
    s3dlio.upload([path], f"{store}/b")
    s3dlio.upload(src_patterns=path, dest_prefix=f"{store}/c")
    s3dlio.upload(src_uri=f"file://{path}", dest_uri=f"{store}/d")
    expected = ["a/file.bin", "b/file.bin", "c/file.bin", "d", "exact.bin"]
    assert [name for name in tree(store) if name != "file.bin"] == expected
    s3dlio.download(f"{store}/exact.bin", tmp_path / "out")
    assert (tmp_path / "out" / "exact.bin").read_bytes() == b"x"
    s3dlio.download([f"{store}/d", f"{store}/a/file.bin"], tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["d", "exact.bin", "file.bin"]


def test_the_bucket_of_a_local_destination_needs_no_making(tmp_path):
    fill(f"file://{tmp_path}/in", "a")
    s3dlio.upload([f"{tmp_path}/in"], f"file://{tmp_path}/out", create_bucket=True)
    assert tree(f"file://{tmp_path}/out") == same("a")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.npz", ["1.npz", "b/2.npz"]),
        ("b/*", ["b/2.npz", "b/3.txt"]),
        (re.compile(r"^\d"), ["1.npz"]),
        (re.compile("TXT$", re.IGNORECASE), ["b/3.txt"]),
        (re.compile("2 [.]  # dot", re.VERBOSE), ["b/2.npz"]),
    ],
)
def test_patterns_select(store, verbs, tmp_path, pattern, expected):
    fill(f"{store}/from", "1.npz", "b/2.npz", "b/3.txt")
    verbs.download(f"{store}/from/", tmp_path / "to", pattern=pattern)
    assert tree(f"file://{tmp_path}/to") == same(*expected)


def test_one_level_only(store, tmp_path):
    fill(f"{store}/from", "1", "b/2")
    assert s3dlio.download(f"{store}/from/", tmp_path / "to", recursive=False).objects == 1


def test_names_that_collide_are_refused_before_anything_is_written(store, tmp_path, verbs):
    fill(f"file://{tmp_path}", "a/same.bin", "b/same.bin", "b/other.bin")
    with pytest.raises(s3dlio.InvalidUriError, match=r"same\.bin.*same\.bin"):
        verbs.upload([f"{tmp_path}/*/*.bin"], f"{store}/out/")
    assert s3dlio.list(f"{store}/out/", recursive=True) == []


def test_a_file_and_a_directory_of_one_name_are_refused(bucket, tmp_path):
    fill(f"{bucket}/in", "a", "a/b", "c")
    with pytest.raises(s3dlio.InvalidUriError, match="directory"):
        s3dlio.download(f"{bucket}/in/", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped", "a/../escaped", "./escaped", "a//escaped"])
def test_nothing_is_written_outside_of_the_destination(bucket, s3, tmp_path, name):
    """Such keys exist: a store takes any text."""
    import boto3

    client = boto3.client(
        "s3", endpoint_url=s3.endpoint, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
    )
    client.put_object(Bucket=bucket.removeprefix("s3://"), Key=f"in/{name}", Body=b"evil")
    client.put_object(Bucket=bucket.removeprefix("s3://"), Key="in/good", Body=b"good")
    with pytest.raises(s3dlio.S3dlioError):
        s3dlio.download(f"{bucket}/in/", tmp_path / "out" / "dir")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_marker_of_a_directory_is_no_object(bucket, s3, tmp_path):
    import boto3

    client = boto3.client(
        "s3", endpoint_url=s3.endpoint, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
    )
    for key, body in {"in/": b"", "in/full/": b"", "in/full/a": b"full/a", "in/empty/": b"", "in/zero": b""}.items():
        client.put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=body)
    expected = same("full/a") | {"zero": b""}
    s3dlio.download(f"{bucket}/in/", tmp_path / "out")
    assert tree(f"file://{tmp_path}/out") == expected
    s3dlio.copy(f"{bucket}/in/", f"{bucket}/out/")
    assert tree(f"{bucket}/out") == expected


def test_a_transfer_resumes(store, other, verbs):
    fill(f"{store}/in", *(f"{i:02}" for i in range(30)))
    assert verbs.copy(f"{store}/in/", f"{other}/out", resume=True).objects == 30
    assert verbs.copy(f"{store}/in/", f"{other}/out", resume=True).skipped == 30
    s3dlio.delete(f"{other}/out/07")
    s3dlio.put(f"{other}/out/09", b"of another size")
    done = verbs.copy(f"{store}/in/", f"{other}/out", resume=True)
    assert (done.objects, done.skipped) == (2, 28)
    assert tree(f"{other}/out") == tree(f"{store}/in")


def test_what_changed_is_copied_again(bucket, tmp_path):
    path = tmp_path / "in" / "file"
    fill(f"file://{tmp_path}/in", "file")
    s3dlio.upload(tmp_path / "in", bucket, resume=True)
    path.write_bytes(b"elif")
    later = time.time() + 5
    os.utime(path, (later, later))
    assert s3dlio.upload(tmp_path / "in", bucket, resume=True).objects == 1
    assert s3dlio.get(f"{bucket}/file") == b"elif"


def test_a_killed_transfer_leaves_whole_objects_and_resumes(bucket, tmp_path):
    """What stands under a final name is complete, and the second run copies only the rest."""
    data = {f"{i:03}": bytes([i]) * MIB for i in range(120)} | {"big": b"B" * 64 * MIB}
    s3dlio.put_many([(f"{bucket}/in/{name}", body) for name, body in data.items()])
    out = tmp_path / "out"
    code = "import sys, s3dlio; s3dlio.download(sys.argv[1], sys.argv[2], 4)"
    with started(code, f"{bucket}/in/", str(out)) as process:
        deadline = time.monotonic() + 30
        while not (out.is_dir() and len(os.listdir(out)) > 5):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.wait()
    found = {path.name: path.read_bytes() for path in out.iterdir() if path.name in data}
    assert 0 < len(found) < len(data)
    assert all(body == data[name] for name, body in found.items())
    done = s3dlio.download(f"{bucket}/in/", out, resume=True)
    assert (done.objects, done.skipped) == (len(data) - len(found), len(found))
    assert all((out / name).read_bytes() == body for name, body in data.items())


def test_what_is_there_can_be_protected(store, other, verbs):
    fill(f"{store}/in", *(f"{i:02}" for i in range(20)))
    s3dlio.put(f"{other}/out/13", b"mine")
    with pytest.raises(FileExistsError, match="13"):
        verbs.copy(f"{store}/in/", f"{other}/out/", overwrite=False)
    assert tree(f"{other}/out") == {"13": b"mine"}


def test_progress_is_told(store, other, verbs):
    fill(f"{store}/in", "a", "bb", "ccc")
    told: list[tuple[int, ...]] = []
    verbs.copy(f"{store}/in/", f"{other}/out", progress=lambda *figures: told.append(figures))
    assert told[-1] == (3, 3, 6, 6)
    assert told == sorted(told)


def test_progress_draws_a_bar(store, other, verbs, capfd):
    fill(f"{store}/in", "a", "bb", "ccc")
    assert verbs.copy(f"{store}/in/", f"{other}/out", progress=True).objects == 3
    assert "3/3 objects" in capfd.readouterr().err


def test_an_error_of_the_progress_function_ends_the_transfer(to_silent, verbs, tmp_path):
    def fail(*_figures: int) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        verbs.download("s3://bucket/key", tmp_path, progress=fail)


@pytest.mark.parametrize(
    "call",
    [
        s3dlio.upload,
        lambda: s3dlio.upload("a"),
        lambda: s3dlio.upload("a", "memory://b/", dest_prefix="memory://b/"),
        lambda: s3dlio.upload(src="a", local_dir="b", dest="memory://b/"),
        lambda: s3dlio.download("memory://b/"),
        lambda: s3dlio.download("memory://b/", "x", local_dir="y"),
        lambda: s3dlio.copy(5, "memory://b/"),
        lambda: s3dlio.copy("memory://b/", b"memory://b/"),
        lambda: s3dlio.copy("memory://a/", "memory://b/", True),
        lambda: s3dlio.copy("memory://a/", "memory://b/", 1.5),
    ],
)
def test_wrong_arguments_are_refused(call):
    with pytest.raises(TypeError):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: s3dlio.copy("memory://a/", "memory://b/", 0),
        lambda: s3dlio.copy("memory://a/", "memory://b/", pattern="["),
        lambda: s3dlio.copy("relative/path", "memory://b/"),
        lambda: s3dlio.upload(["x"], "no/scheme"),
        lambda: s3dlio.download("no/scheme", "out"),
        lambda: s3dlio.download("memory://b/", "s3:/typo"),
        lambda: s3dlio.download("memory://b/", ""),
    ],
)
def test_wrong_values_are_refused(call):
    with pytest.raises(ValueError):
        call()


@pytest.mark.parametrize("source", ["nothing", "nothing/", "no*thing"])
def test_a_missing_source_is_not_found(store, verbs, source, tmp_path):
    with pytest.raises(s3dlio.NotFoundError, match="nothing"):
        verbs.download(f"{store}/{source}", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_not_found(verbs, tmp_path):
    for source in (f"{tmp_path}/nothing", f"{tmp_path}/*.nothing", [f"{tmp_path}/nothing"]):
        with pytest.raises(s3dlio.NotFoundError, match="nothing"):
            verbs.upload(source, "memory://missing/")


def test_a_path_is_fixed_when_the_call_is_made(tmp_path, monkeypatch):
    fill(f"file://{tmp_path}/one", "a")
    (tmp_path / "two").mkdir()

    async def run() -> None:
        monkeypatch.chdir(tmp_path / "one")
        task = asyncio.ensure_future(s3dlio.upload_async(["a"], "file://./copy/"))
        await asyncio.sleep(0)
        monkeypatch.chdir(tmp_path / "two")
        await task

    asyncio.run(run())
    assert tree(f"file://{tmp_path}/one/copy") == same("a")


async def test_a_cancelled_transfer_ends(to_silent, tmp_path):
    task = asyncio.ensure_future(s3dlio.download_async("s3://bucket/in/", tmp_path, progress=lambda *_: None))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)


def test_ctrl_c_ends_a_transfer_within_a_second(silent, tmp_path):
    code = """
    import os, sys, s3dlio
    os.environ |= {"AWS_ENDPOINT_URL_S3": sys.argv[1], "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    try:
        s3dlio.download("s3://bucket/in/", sys.argv[2])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    """

    def attempt() -> float:
        before = len(silent.requests)
        with started(code, silent.endpoint, str(tmp_path)) as process:
            deadline = time.monotonic() + 20
            while len(silent.requests) == before:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            return interrupt(process, "interrupted\n")

    ends_within(1, attempt)
