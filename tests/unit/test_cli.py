"""The command line as a program of its own: output, exit codes, interruption."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import s3dlio

from tests.fixtures.programs import ends_within

PROGRAM = str(Path(sys.executable).with_name("s3dlio"))


def cli(*arguments: str, code: int | None = 0, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program; it must end with this code, if there is one."""
    done = subprocess.run(
        [PROGRAM, *arguments], env=os.environ | environment, capture_output=True, timeout=60, check=False
    )
    if code is None:
        return done
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert (done.stderr == b"") == (code == 0), done.stderr
    return done


def lines(*arguments: str, **options) -> list[str]:
    return cli(*arguments, **options).stdout.decode().splitlines()


def documents(*arguments: str, **options) -> list:
    return [json.loads(line) for line in lines("--json", *arguments, **options)]


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path) -> str:
    """Return the URI of an empty place that another process sees."""
    return f"file://{tmp_path}/place" if request.param == "file" else request.getfixturevalue("bucket")


@pytest.fixture
def tree(place) -> str:
    for name in ("a/1.npz", "a/b/2.npz", "a/b/ü %20.txt", "top"):
        s3dlio.put(f"{place}/{name}", name.encode())
    return place


def test_ls(tree):
    assert lines("ls", f"{tree}/a/") == [f"{tree}/a/1.npz", f"{tree}/a/b/"]
    everything = [f"{tree}/a/1.npz", f"{tree}/a/b/2.npz", f"{tree}/a/b/ü %20.txt", f"{tree}/top"]
    assert lines("ls", "-r", f"{tree}/") == everything
    assert lines("ls", "-r", "--pattern", "*.npz", f"{tree}/") == everything[:2]
    size, when, uri = lines("ls", "-l", f"{tree}/top")[0].split()
    assert (size, uri) == ("3", f"{tree}/top")
    assert when.endswith("Z")
    assert lines("ls", f"{tree}/top", f"{tree}/a/b/2.npz") == [f"{tree}/top", f"{tree}/a/b/2.npz"]


def test_ls_json(tree):
    object_, directory = sorted(documents("ls", f"{tree}/a/"), key=lambda entry: entry["uri"])
    assert (object_["uri"], object_["size"], object_["directory"]) == (f"{tree}/a/1.npz", 7, False)
    assert object_["last_modified"].startswith("20")
    assert (directory["uri"], directory["size"], directory["directory"]) == (f"{tree}/a/b/", None, True)


def test_ls_of_nothing(tree):
    assert cli("ls", f"{tree}/nothing", code=3).stdout == b""


def test_ls_of_what_exists_and_is_empty(bucket, tmp_path):
    assert lines("ls", bucket) == []
    (tmp_path / "empty").mkdir()
    assert lines("ls", f"file://{tmp_path}/empty") == []


def test_one_bad_uri_does_not_stop_the_others(tree):
    done = cli("ls", f"{tree}/nothing", f"{tree}/top", "no-scheme", code=3)
    assert done.stdout.decode().splitlines() == [f"{tree}/top"]
    assert len(done.stderr.splitlines()) == 2


def test_cat(tree):
    assert cli("cat", f"{tree}/top", f"{tree}/a/1.npz").stdout == b"topa/1.npz"
    assert cli("cat", "--offset", "1", "--length", "4", f"{tree}/a/1.npz").stdout == b"/1.n"
    data = os.urandom(1 << 20) * 30 + b"end"
    s3dlio.put(f"{tree}/big", data)
    assert cli("cat", f"{tree}/big").stdout == data
    text, binary = documents("cat", f"{tree}/top", f"{tree}/big")
    assert text == {"uri": f"{tree}/top", "size": 3, "encoding": "utf-8", "data": "top"}
    assert binary["encoding"] == "base64"
    assert base64.b64decode(binary["data"]) == data


def test_cat_of_a_file_without_a_size():
    assert cli("cat", "file:///proc/self/stat").stdout != b""


def test_stat(tree):
    (stat,) = documents("stat", f"{tree}/top")
    expected = s3dlio.stat(f"{tree}/top")
    assert stat["uri"] == f"{tree}/top"
    assert {name: stat[name] for name in stat if name != "uri"} == {
        name: expected[name] for name in stat if name != "uri"
    }
    text = lines("stat", f"{tree}/top")
    assert any(line.split() == ["size", "3"] for line in text)
    cli("stat", f"{tree}/nothing", code=3)


def test_cp(tree, tmp_path):
    out = tmp_path / "out"
    assert lines("cp", "-r", f"{tree}/a", str(out))[0].startswith("3 objects, 30 B in ")
    assert (out / "b" / "ü %20.txt").read_bytes().decode() == "a/b/ü %20.txt"
    (summary,) = documents("cp", "-r", "--resume", f"{tree}/a", str(out))
    assert (summary["objects"], summary["skipped"], summary["bytes"]) == (0, 3, 0)
    cli("cp", str(out / "1.npz"), str(out / "b" / "2.npz"), f"{tree}/new/")
    assert s3dlio.list(f"{tree}/new/") == [f"{tree}/new/1.npz", f"{tree}/new/2.npz"]
    cli("cp", f"{tree}/top", f"{tree}/bottom")
    assert s3dlio.get(f"{tree}/bottom") == b"top"


def test_cp_refuses(tree, tmp_path):
    assert b"recursively" in cli("cp", f"{tree}/a", str(tmp_path / "out"), code=1).stderr
    cli("cp", f"{tree}/nothing", str(tmp_path / "out"), code=3)
    cli("cp", f"{tree}/top", "s3:/typo", code=2)
    cli("cp", "--no-overwrite", f"{tree}/top", f"{tree}/a/1.npz", code=1)
    cli("cp", "--jobs", "0", f"{tree}/top", f"{tree}/x", code=2)
    assert not (tmp_path / "out").exists()
    assert s3dlio.get(f"{tree}/a/1.npz") == b"a/1.npz"


def test_rm(tree):
    assert lines("rm", f"{tree}/top") == [f"removed {tree}/top"]
    cli("rm", f"{tree}/top", code=3)
    cli("rm", "-f", f"{tree}/top")
    assert documents("rm", "-r", f"{tree}/a/b") == [{"uri": f"{tree}/a/b", "removed": True}]
    assert s3dlio.list(f"{tree}/", recursive=True) == [f"{tree}/a/1.npz"]


def test_rm_removes_no_directory_without_the_flag(tree):
    before = s3dlio.list(f"{tree}/", recursive=True)
    for arguments in ([f"{tree}/a/"], ["-f", f"{tree}/a/"], [f"{tree}/"], [f"{tree}/*"], [f"{tree}/a/*"]):
        code = 3 if "*" in arguments[-1] else 1
        assert cli("rm", *arguments, code=code).stdout == b""
    # Where a directory is only the beginning of keys, its name without a slash names nothing.
    cli("rm", f"{tree}/a", code=1 if tree.startswith("file") else 3)
    cli("rm", "-r", f"{tree}/nothing", code=3)
    told = lines("rm", "-r", "-n", f"{tree}/a")
    assert sorted(told) == [f"would remove {uri}" for uri in before if "/a/" in uri]
    assert s3dlio.list(f"{tree}/", recursive=True) == before


def test_bench(place):
    (put,) = documents("bench", "put", place, "--count", "20", "--size", "1000", "--keep")
    assert (put["operations"], put["bytes"]) == (20, 20_000)
    (get,) = documents("bench", "get", place, "-j", "4")
    assert (get["operations"], get["bytes"]) == (20, 20_000)
    assert 0 < get["latency_seconds"]["p50"] <= get["latency_seconds"]["p99"] <= get["latency_seconds"]["max"]
    assert get["bytes_per_second"] > 0
    assert "operations/s" in lines("bench", "put", place, "--count", "2", "--size", "10")[0]
    assert len(s3dlio.list(f"{place}/", recursive=True)) == 20


@pytest.mark.parametrize("arguments", [["--help"], ["cp", "--help"], ["--version"]])
def test_help_is_output(arguments):
    assert cli(*arguments).stdout


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["ls"], ["ls", "--nonsense", "memory://b/"], ["cp", "memory://b/"], ["ls", "x"]]
)
def test_wrong_usage_is_2(arguments):
    assert cli(*arguments, code=2).stdout == b""


def test_missing_rights_are_4(strict_s3):
    assert b"permission" in cli("ls", "s3://bucket/", code=4, **strict_s3.env).stderr


def test_silence_is_5(silent):
    environment = silent.env() | {"S3DLIO_OPERATION_TIMEOUT_SECS": "1", "S3DLIO_MAX_RETRY_ATTEMPTS": "0"}
    assert b"timed out" in cli("ls", "s3://bucket/", code=5, **environment).stderr


def test_a_bad_setting_is_2(bucket):
    assert b"S3DLIO_MAX_RETRY_ATTEMPTS" in cli("ls", bucket, code=2, S3DLIO_MAX_RETRY_ATTEMPTS="many").stderr


def test_a_reader_that_goes_away_ends_the_output(tmp_path):
    (tmp_path / "big").write_bytes(bytes(50 << 20))
    with subprocess.Popen(
        [PROGRAM, "cat", f"file://{tmp_path}/big"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.read(1000)
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "s3://bucket/"],
        ["cat", "s3://bucket/key"],
        ["stat", "s3://bucket/key"],
        ["rm", "s3://bucket/key"],
        ["cp", "s3://bucket/key", "PATH"],
        ["cp", "-r", "s3://bucket/in/", "PATH"],
        ["bench", "get", "s3://bucket/"],
        # Small objects: this test's server reads slowly, in the process that takes the time.
        ["bench", "put", "s3://bucket/", "--size", "4096"],
    ],
    ids=" ".join,
)
def test_ctrl_c_ends_a_command_within_a_second(silent, tmp_path, arguments):
    words = [word.replace("PATH", str(tmp_path / "out")) for word in arguments]

    def attempt() -> float:
        before = len(silent.requests)
        with subprocess.Popen(
            [PROGRAM, *words], env=os.environ | silent.env() | {"S3DLIO_OPERATION_TIMEOUT_SECS": "60"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            took = interrupt(process, lambda: len(silent.requests) > before)
            assert process.stderr.read() == b"s3dlio: interrupted\n"
        return took

    ends_within(1, attempt)


def test_ctrl_c_ends_a_command_whose_output_nobody_reads(tmp_path):
    (tmp_path / "big").write_bytes(bytes(5 << 20))

    def attempt() -> float:
        with subprocess.Popen(
            [PROGRAM, "cat", f"file://{tmp_path}/big"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            return interrupt(process, lambda: process.stdout.peek(1))

    ends_within(1, attempt)


def interrupt(process: subprocess.Popen[bytes], ready) -> float:
    """Send Ctrl-C once the program is at work; returns the seconds until it has ended."""
    deadline = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.1)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    return time.monotonic() - began


def test_an_interrupted_copy_resumes(bucket, tmp_path):
    data = {f"{i:03}": bytes([i]) * (1 << 20) for i in range(100)}
    s3dlio.put_many([(f"{bucket}/in/{name}", body) for name, body in data.items()])
    out = tmp_path / "out"
    with subprocess.Popen(
        [PROGRAM, "cp", "-r", "-j", "2", f"{bucket}/in/", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        interrupt(process, lambda: out.is_dir() and len(os.listdir(out)) > 3)
    there = [path for path in out.iterdir() if path.name in data]
    assert 0 < len(there) < len(data)
    assert all(path.read_bytes() == data[path.name] for path in there)
    (summary,) = documents("cp", "-r", "--resume", f"{bucket}/in/", str(out))
    assert (summary["objects"], summary["skipped"]) == (len(data) - len(there), len(there))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == data


def test_the_module_is_the_program(tmp_path):
    command = [sys.executable, "-m", "s3dlio.cli", "ls", f"file://{tmp_path}/nothing"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, b"")


class TestIndex:
    """Indexes of TFRecord files; their text has tests of its own."""

    @pytest.fixture
    def records(self, place) -> list[str]:
        uris = [f"{place}/data/{name}.tfrecord" for name in ("a", "b", "deep/c")]
        for uri in uris:
            with s3dlio.TFRecordWriter(uri) as writer:
                writer.write(b"x" * 4)
        return uris

    def test_files(self, records, place, tmp_path):
        assert lines("index", *records[:2]) == [f"{uri}.idx: 1 records" for uri in records[:2]]
        assert s3dlio.get(f"{records[0]}.idx") == b"0 20\n"
        assert lines("index", "-o", str(tmp_path / "one.idx"), records[0]) == [f"file://{tmp_path}/one.idx: 1 records"]
        assert (tmp_path / "one.idx").read_bytes() == b"0 20\n"
        names = [f"{place}/many/{name}.tfrecord.idx" for name in ("a", "b")]
        found = documents("index", "-o", f"{place}/many", *records[:2])
        assert found == [{"uri": uri, "index": name, "records": 1} for uri, name in zip(records, names, strict=False)]

    def test_everything_below(self, records, place):
        command = ["index", "-r", "--pattern", "*.tfrecord", f"{place}/data/"]
        assert [one["index"] for one in documents(*command)] == [f"{uri}.idx" for uri in records]
        assert lines(*command, "--resume") == [f"{uri}.idx: there already" for uri in records]
        shares = [documents(*command, "-o", f"{place}/out", "--shard", f"{rank}/2", "-j", "1") for rank in range(2)]
        assert [[one["uri"] for one in share] for share in shares] == [[records[0], records[2]], [records[1]]]
        assert s3dlio.exists(f"{place}/out/deep/c.tfrecord.idx")

    def test_what_fails_is_told_and_the_rest_is_done(self, records, place):
        s3dlio.put(f"{place}/bad", b"no record, but longer than a header")
        done = cli("index", f"{place}/bad", records[0], code=1)
        assert b"ends inside a record" in done.stderr
        assert s3dlio.exists(f"{records[0]}.idx")
        assert not s3dlio.exists(f"{place}/bad.idx")
        cli("index", f"{place}/missing", code=3)
        for wrong in (["--shard", "2/2"], ["--shard", "x"], ["--resume"]):
            recursive = [] if wrong == ["--resume"] else ["-r"]
            cli("index", *recursive, *wrong, records[0], code=2)
