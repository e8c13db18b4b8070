"""``check``: reports instead of raising, and warnings about variables that nothing reads."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
import s3dlio
from s3dlio.check import CheckReport, CheckStep, check, check_async


def names(report: CheckReport) -> list[str]:
    return [step.name for step in report.steps]


def step(report: CheckReport, name: str) -> CheckStep:
    return next(step for step in report.steps if step.name == name)


@pytest.mark.parametrize("call", [check, lambda *a, **k: asyncio.run(check_async(*a, **k))], ids=["sync", "async"])
def test_a_directory_passes(tmp_path, call):
    report = call(f"file://{tmp_path}/", write=True)
    assert report.ok
    assert names(report) == ["uri", "exists", "readable", "writable"]
    assert all(0 <= step.seconds < 60 for step in report.steps)
    assert not list(tmp_path.iterdir())


def test_a_bucket_passes_and_keeps_nothing(bucket):
    report = s3dlio.check(f"{bucket}/folder/", write=True)
    assert report.ok, str(report)
    assert "AWS_ACCESS_KEY_ID" in step(report, "credentials").detail
    for name in ("bucket", "list", "write", "range", "conditional put", "delete"):
        assert step(report, name).ok, str(report)
    assert s3dlio.list(bucket) == []


def test_a_missing_bucket_is_named_with_what_to_do(s3):
    del s3
    report = s3dlio.check("s3://there-is-no-such-bucket/")
    assert not report.ok
    assert step(report, "bucket").ok is False
    assert "create_bucket" in step(report, "bucket").advice


def test_what_is_no_uri_is_reported_too():
    report = s3dlio.check("some/path")
    assert not report.ok
    assert names(report) == ["uri"]


def test_a_report_is_a_table_and_a_document(tmp_path):
    report = s3dlio.check(f"file://{tmp_path}/missing")
    lines = str(report).splitlines()
    assert lines[0].endswith("FAILED")
    assert any(line.strip().startswith("->") for line in lines)
    document = json.loads(json.dumps(report.to_dict()))
    assert document["ok"] is False
    assert [step["name"] for step in document["steps"]] == names(report)
    assert set(document["steps"][0]) == {"name", "ok", "detail", "advice", "seconds"}


def test_a_misspelt_variable_warns_once_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("S3DLIO_CONECT_TIMEOUT_SECS", "1")
    monkeypatch.setenv("S3DLIO_RT_THREADS", "2")
    program = "import s3dlio, importlib; importlib.import_module('s3dlio'); import s3dlio.check"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.count("RuntimeWarning") == 1
    assert "S3DLIO_CONECT_TIMEOUT_SECS; did you mean S3DLIO_CONNECT_TIMEOUT_SECS?" in done.stderr
    assert "S3DLIO_RT_THREADS" not in done.stderr
