"""What programs see of the library's log."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.programs import run

PRELUDE = """
import asyncio, logging, os, sys, threading, time
import s3dlio

data = sys.argv[1]

def load():
    assert len(list(s3dlio.create_async_loader(data))) == 5
"""


@pytest.fixture
def data(tmp_path):
    for number in range(5):
        (tmp_path / str(number)).write_bytes(bytes(100))
    return f"file://{tmp_path}/"


def printed(code: str, *arguments: str, **environment: str) -> list[str]:
    """The lines on stderr of a program that must succeed."""
    command = [sys.executable, "-c", PRELUDE + code, *arguments]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def operations(lines: list[str]) -> int:
    return sum("get file://" in line and "100 bytes" in line for line in lines)


def test_nothing_is_printed_unless_asked(data):
    assert run(PRELUDE + "load()", data) == ""


@pytest.mark.parametrize("how", ["call", "variable", "both"])
def test_debug_has_a_line_for_each_operation(data, how):
    code = "load()" if how == "variable" else "s3dlio.init_logging('DEBUG')\ns3dlio.init_logging('debug')\nload()"
    lines = printed(code, data, **({} if how == "call" else {"S3DLIO_LOG": "debug"}))
    assert operations(lines) == 5
    assert len(set(lines)) == len(lines)
    assert all(" DEBUG s3dlio s3dlio_store::observe: " in line for line in lines)


def test_the_level_can_change_at_any_time(data):
    code = """
for level in ("debug", "info", "trace", "error", "warning", "debug"):
    s3dlio.init_logging(level)
    load()
"""
    assert operations(printed(code, data)) == 15


@pytest.mark.parametrize(("level", "near"), [("debgu", "debug"), ("inf", "info"), ("42", None), ("", None)])
def test_an_unknown_level_is_an_error(level, near):
    code = f"""
try:
    s3dlio.init_logging({level!r})
except s3dlio.ConfigError as error:
    print(error)
"""
    message = run(PRELUDE + code, "")
    assert "trace, debug, info, warn, error" in message
    assert ("did you mean" in message, near is None or near in message) == (near is not None, True)


def test_an_unknown_level_in_the_environment_is_an_error():
    code = """
import os
os.environ["S3DLIO_LOG"] = "verbose"
try:
    import s3dlio
except ValueError as error:
    assert "S3DLIO_LOG" in str(error)
else:
    raise AssertionError("no error")
"""
    run(code)


def test_handlers_of_the_program_get_the_records_and_nothing_is_printed_twice(data):
    code = """
records = []
class Keep(logging.Handler):
    def emit(self, record):
        records.append(record)
logging.getLogger().addHandler(Keep())
s3dlio.init_logging("debug")
before = time.time()
load()
time.sleep(0.2)
s3dlio.init_logging("debug")
list(s3dlio.create_async_loader(data))
mine = [record for record in records if record.name == "s3dlio" and record.getMessage().startswith("get file://")]
assert len(mine) >= 5, records
for record in mine:
    assert (record.levelno, record.levelname) == (logging.DEBUG, "DEBUG")
    assert before <= record.created <= time.time()
    assert record.target == "s3dlio_store::observe"
    assert record.threadName.startswith("s3dlio-io"), record.threadName
"""
    assert printed(code, data) == []


def test_a_handler_may_call_the_library(data):
    code = """
calls = []
class Store(logging.Handler):
    def emit(self, record):
        calls.append(s3dlio.exists(data))
logging.getLogger("s3dlio").addHandler(Store())
s3dlio.init_logging("debug")
load()
load()
assert len(calls) >= 5
"""
    printed(code, data)


def test_asyncio_delivers_too(data):
    code = """
s3dlio.init_logging("debug")
async def main():
    async for _ in s3dlio.create_async_loader(data):
        pass
asyncio.run(main())
"""
    assert operations(printed(code, data)) == 5


def test_a_forked_child_logs_its_own_and_not_its_parents(data):
    code = """
s3dlio.init_logging("debug")
load()
sys.stderr.flush()
pid = os.fork()
load()
if pid == 0:
    s3dlio.logging._deliver()
    sys.stderr.flush()
    os._exit(0)
assert os.waitpid(pid, 0) == (pid, 0)
"""
    assert operations(printed(code, data)) == 15


def test_daemon_threads_that_log_while_the_interpreter_ends(data):
    """A thread that Python ends in the middle of a handler, beneath frames of Rust."""
    code = """
s3dlio.init_logging("debug")
def work():
    while True:
        load()
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
"""
    with ThreadPoolExecutor(4) as threads:
        for lines in threads.map(lambda _: printed(code, data), range(30)):
            assert not any("Fatal" in line or "panicked" in line for line in lines)
