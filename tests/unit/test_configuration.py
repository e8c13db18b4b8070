"""Settings by a call."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import s3dlio


def test_s3(monkeypatch, tmp_path, s3):
    uri = f"{s3.bucket('configured')}/key"
    s3dlio.put(uri, b"content")
    endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CA_BUNDLE", "")
    s3dlio.configure_s3(endpoint_url=endpoint)
    assert s3dlio.get(uri) == b"content"
    assert os.environ["AWS_REGION"] == "eu-central-1"
    pem = tmp_path / "ca.pem"
    pem.touch()
    s3dlio.configure_s3(region="us-east-1", ca_bundle=pem)
    assert (os.environ["AWS_REGION"], os.environ["AWS_CA_BUNDLE"]) == ("us-east-1", str(pem))


@pytest.mark.parametrize("wrong", [{"endpoint_url": "host:9000"}, {"region": ""}, {"ca_bundle": "/no/such.pem"}])
def test_settings_that_are_refused(monkeypatch, wrong):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    before = dict(os.environ)
    (name,) = wrong
    with pytest.raises(s3dlio.ConfigError, match=name):
        s3dlio.configure_s3(**wrong)
    assert dict(os.environ) == before


THREADS = """
import os, pathlib, time, s3dlio

def running():
    names = [task.joinpath("comm").read_text() for task in pathlib.Path("/proc/self/task").iterdir()]
    return sum(name.startswith("s3dlio-net") for name in names)

assert s3dlio.configure_tokio_threads(7) == 7
assert s3dlio.configure_tokio_threads(5) == 5
try:
    s3dlio.get_many(["memory://bucket/key"])
except FileNotFoundError:
    pass
until = time.monotonic() + 10
# A thread gives itself its name.
while running() != 5 and time.monotonic() < until:
    time.sleep(0.01)
assert running() == 5, running()
assert s3dlio.configure_tokio_threads(5) == s3dlio.configure_tokio_threads() == 5
try:
    s3dlio.configure_tokio_threads(6)
except s3dlio.ConfigError as error:
    assert "running" in str(error)
else:
    raise AssertionError
child = os.fork()
if child == 0:
    assert s3dlio.configure_tokio_threads(3) == 3
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_network_threads():
    subprocess.run([sys.executable, "-c", THREADS], check=True, timeout=60)


def test_network_threads_of_the_environment():
    program = "import s3dlio; print(s3dlio.configure_tokio_threads())"
    environment = os.environ | {"S3DLIO_RT_THREADS": "9"}
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=60, env=environment, capture_output=True, text=True
    )
    assert run.stdout == "9\n"
    with pytest.raises(s3dlio.ConfigError, match="`n`"):
        s3dlio.configure_tokio_threads(-1)
