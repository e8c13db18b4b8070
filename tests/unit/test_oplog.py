"""The operation log as programs use it; its lines and files are tested with the core."""

from __future__ import annotations

import sys

import pytest
import s3dlio
import zstandard
from s3dlio import oplog


@pytest.fixture(autouse=True)
def _no_log_is_left():
    yield
    s3dlio.finalize_op_log()


@pytest.fixture
def data(tmp_path):
    """Return the URI of 5 files of 100 bytes."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(5):
        (folder / str(number)).write_bytes(bytes(100))
    return f"file://{folder}/"


def load(uri: str) -> int:
    return len(list(s3dlio.create_async_loader(uri)))


@pytest.mark.parametrize("form", ["path", "str", "uri"])
def test_a_log_from_begin_to_end(tmp_path, data, form):
    path = tmp_path / "ops.tsv.zst"
    assert not s3dlio.is_op_log_active()
    s3dlio.init_op_log({"path": path, "str": str(path), "uri": f"file://{path}"}[form])
    assert s3dlio.is_op_log_active()
    assert load(data) == 5
    s3dlio.finalize_op_log()
    assert not s3dlio.is_op_log_active()
    load(data)
    get = oplog.summary(path)["verbs"]["GET"]
    assert (get["operations"], get["failed"], get["bytes"], get["objects"]) == (5, 0, 500, 5)


def test_a_block(tmp_path, data):
    for name in ("one", "two"):
        with s3dlio.op_log(tmp_path / name):
            assert s3dlio.is_op_log_active()
            load(data)
        assert not s3dlio.is_op_log_active()
    with pytest.raises(s3dlio.NotFoundError), s3dlio.op_log(tmp_path / "broken"):
        load(data) and load(data + "missing/")
    assert not s3dlio.is_op_log_active()
    together = oplog.summary(tmp_path / "one", f"file://{tmp_path}/two", tmp_path / "broken")
    assert (together["verbs"]["GET"]["operations"], together["complete"]) == (15, True)


def test_one_log_at_a_time(tmp_path):
    s3dlio.init_op_log(tmp_path / "first")
    with pytest.raises(s3dlio.ConfigError, match="first"):
        s3dlio.init_op_log(tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_ending_without_a_log_does_nothing():
    s3dlio.finalize_op_log()
    s3dlio.finalize_op_log()


@pytest.mark.parametrize(
    ("place", "error"),
    [("s3://bucket/log", s3dlio.UnsupportedError), ("no/such/folder", s3dlio.NotFoundError), (5, TypeError)],
)
def test_places_that_cannot_be(place, error):
    with pytest.raises(error):
        s3dlio.init_op_log(place)
    assert not s3dlio.is_op_log_active()


def test_the_client_is_named_by_the_environment(tmp_path, data, monkeypatch):
    monkeypatch.setenv("S3DLIO_CLIENT_ID", "node-7")
    with s3dlio.op_log(tmp_path / "log"):
        load(data)
    assert {row[3] for row in rows(tmp_path / "log")} == {"node-7"}


def rows(path) -> list[list[str]]:
    """The rows of a log, read by another implementation of zstd than the one that wrote them."""
    with zstandard.open(path, "rt") as file:
        header, *lines = file.read().splitlines()
    assert header.split("\t")[0] == "idx"
    return [line.split("\t") for line in lines]


def test_failures_are_in_the_log(tmp_path):
    missing = f"file://{tmp_path}/missing"
    with s3dlio.op_log(tmp_path / "log"), pytest.raises(s3dlio.NotFoundError):
        list(s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris([missing])))
    summary = oplog.summary(tmp_path / "log")
    assert (summary["verbs"]["GET"]["operations"], summary["failed"]) == (1, 1)
    (error,) = summary["errors"]
    assert (error["verb"], error["count"]) == ("GET", 1)
    assert "not found" in error["error"]
    assert "missing" not in error["error"]


def test_a_summary_of_what_is_no_log(tmp_path):
    (tmp_path / "text").write_text("a\tb\n")
    with pytest.raises(s3dlio.StoreError):
        oplog.summary(tmp_path / "text")
    with pytest.raises(s3dlio.NotFoundError):
        oplog.summary(tmp_path / "missing")


@pytest.mark.parametrize("empty", [False, True])
def test_a_plot(tmp_path, data, empty):
    with s3dlio.op_log(tmp_path / "log"):
        if not empty:
            load(data)
    oplog.plot(tmp_path / "log", tmp_path / "log.png")
    assert (tmp_path / "log.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        oplog.plot(tmp_path / "log", tmp_path / "log.png")
