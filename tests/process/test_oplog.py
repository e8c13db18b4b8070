"""Logs of processes that end, fork, or are killed."""

from __future__ import annotations

import os
import time

import pytest
from s3dlio import oplog

from tests.fixtures.programs import run, started

PRELUDE = """
import multiprocessing, os, sys, threading, time
import s3dlio

data, log = sys.argv[1:]

def load():
    assert len(list(s3dlio.create_async_loader(data))) == 5
"""


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(5):
        (folder / str(number)).write_bytes(bytes(100))
    return f"file://{folder}/"


@pytest.fixture
def log(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "ops.tsv.zst"


def operations(*logs) -> tuple[int, bool]:
    """The reads of objects in some logs, and whether all logs have been ended."""
    summary = oplog.summary(*logs)
    return summary["verbs"].get("GET", {"operations": 0})["operations"], summary["complete"]


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "threading.Thread(target=load).start()"])
def test_a_log_that_nobody_ends_is_complete_at_exit(data, log, ending):
    run(PRELUDE + f"s3dlio.init_op_log(log)\nload()\n{ending}", data, str(log))
    expected = 10 if "Thread" in ending else 5
    assert operations(log) == (expected, True)


def test_a_failing_log_is_told_at_exit(data):
    """Of a full disk; the operations go on."""
    code = (
        PRELUDE
        + """
import logging, resource
logging.getLogger("s3dlio").addHandler(logging.NullHandler())
s3dlio.init_op_log(log)
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(log), resource.RLIM_INFINITY))
load()
try:
    s3dlio.finalize_op_log()
except s3dlio.StoreError as error:
    lost = int(str(error).split(" operations are not in the log")[0].rpartition(" ")[2])
    assert lost >= 5, error
else:
    raise AssertionError("no error")
"""
    )
    run(code, data, str(data.removeprefix("file://")).rstrip("/") + ".log")


def test_a_killed_program_loses_at_most_the_last_second(data, log):
    code = (
        PRELUDE
        + """
s3dlio.init_op_log(log)
load()
print("loaded", flush=True)
time.sleep(60)
"""
    )
    with started(code, data, str(log)) as program:
        assert program.stdout.readline() == "loaded\n"
        deadline = time.monotonic() + 20
        while operations(log)[0] < 5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert operations(log) == (5, False)


def test_each_forked_child_has_a_file(data, log):
    code = (
        PRELUDE
        + """
s3dlio.init_op_log(log)
load()

def child(finish):
    load()
    load()
    finish()
    os._exit(0)

pid = os.fork()
if pid == 0:
    child(s3dlio.finalize_op_log)
os.waitpid(pid, 0)
load()
print(pid)
"""
    )
    pid = run(code, data, str(log)).strip()
    child = log.with_name(f"ops.{pid}.tsv.zst")
    assert sorted(os.listdir(log.parent)) == sorted([log.name, child.name])
    assert (operations(log), operations(child)) == ((10, True), (10, True))


def test_workers_of_multiprocessing_end_their_logs_themselves(data, log):
    code = (
        PRELUDE
        + """
s3dlio.init_op_log(log)
load()
workers = [multiprocessing.get_context("fork").Process(target=load) for _ in range(2)]
[worker.start() for worker in workers]
[worker.join() for worker in workers]
assert [worker.exitcode for worker in workers] == [0, 0]
"""
    )
    run(code, data, str(log))
    logs = list(log.parent.iterdir())
    assert len(logs) == 3
    assert operations(*logs) == (15, True)


def test_a_fork_while_other_threads_write_the_log(data, log):
    code = (
        PRELUDE
        + """
s3dlio.init_op_log(log)
load()  # a thread that imports NumPy at the moment of a fork would leave its import lock to the child
stop = threading.Event()

def work():
    while not stop.is_set():
        load()

threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        load()
        s3dlio.finalize_op_log()
        os._exit(0)
    deadline = time.monotonic() + 20
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline, "the child hung"
        time.sleep(0.002)
stop.set()
[thread.join() for thread in threads]
"""
    )
    run(code, data, str(log))
    children = [path for path in log.parent.iterdir() if path != log]
    assert operations(*children) == (100, True)
    assert operations(log)[1]


def test_daemon_threads_that_log_to_the_end(data, log):
    code = (
        PRELUDE
        + """
s3dlio.init_op_log(log)

def work():
    while True:
        load()

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
"""
    )
    run(code, data, str(log))
    assert operations(log)[1]
