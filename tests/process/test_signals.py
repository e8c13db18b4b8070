"""Ctrl-C and other threads have their turn while a call waits for a store that does not answer."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import s3dlio

from tests.fixtures.programs import ends_within, interrupt, started

PRELUDE = """
import asyncio, os, signal, sys, threading, time
import s3dlio
os.environ |= {"AWS_ENDPOINT_URL_S3": sys.argv[1], "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
uris = [f"s3://bucket/{i}" for i in range(8)]
loader = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris))

async def iterate():
    async for _ in loader:
        pass

try:
    CALL
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

WAITS = {
    "get": 's3dlio.get("s3://bucket/key")',
    "get_range": 's3dlio.get_range("s3://bucket/key", 0, 5)',
    "get_many": "s3dlio.get_many(uris)",
    "put": 's3dlio.put("s3://bucket/key", b"x" * 100)',
    "put_many": 's3dlio.put_many([(uri, b"x") for uri in uris])',
    "list": 's3dlio.list("s3://bucket/")',
    "list_iter": 'next(s3dlio.list_iter("s3://bucket/"))',
    "stat": 's3dlio.stat("s3://bucket/key")',
    "stat_many": "s3dlio.stat_many(uris)",
    "exists": 's3dlio.exists("s3://bucket/key")',
    "delete": 's3dlio.delete("s3://bucket/key")',
    "create_dataset": 's3dlio.create_dataset("s3://bucket/")',
    "a loader": "list(loader)",
    "an async loader": "asyncio.run(iterate())",
    "get_async": 'asyncio.run(s3dlio.get_async("s3://bucket/key"))',
}


def wait_for(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.mark.parametrize("call", WAITS)
def test_ctrl_c_ends_the_wait_within_a_second(call, silent):
    def attempt() -> float:
        before = len(silent.requests)
        with started(PRELUDE.replace("CALL", WAITS[call]), silent.endpoint) as process:
            wait_for(lambda: len(silent.requests) > before)
            took = interrupt(process, "interrupted\n")
            assert process.stderr.read() == ""
        return took

    ends_within(1, attempt)


def test_a_signal_handler_runs_and_the_wait_goes_on(scripted):
    from tests.fixtures.servers import respond

    release = threading.Event()

    def answer(_request, connection) -> None:
        release.wait(20)
        respond(connection, b"late")

    server = scripted(answer)
    handled = 'signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))\n    '
    code = PRELUDE.replace("CALL", handled + 'print(bytes(s3dlio.get("s3://bucket/key")))')
    with started(code, server.endpoint) as process:
        wait_for(lambda: server.requests)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "handled\n"
        release.set()
        assert process.stdout.readline() == "b'late'\n"
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: s3dlio.get("s3://bucket/key"),
        lambda: s3dlio.get_many(["s3://bucket/key"]),
        lambda: s3dlio.list("s3://bucket/"),
        lambda: list(s3dlio.PyDataset.from_uris(["s3://bucket/key"])),
    ],
    ids=["get", "get_many", "list", "dataset"],
)
def test_other_threads_run_while_a_call_waits(call, to_silent, monkeypatch):
    # So long that the tests of the other process, which may have the cores for a second, leave something of it.
    monkeypatch.setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "4")
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(TimeoutError):
            call()
        ended.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: to_silent.requests)
    ticks, longest, last = 0, 0.0, time.monotonic()
    while not ended.is_set():
        time.sleep(0.002)
        now = time.monotonic()
        ticks, longest, last = ticks + 1, max(longest, now - last), now
    waiting.join()
    assert ticks > 50
    # A call that kept the interpreter would show as one gap of the whole time.
    assert longest < 3
