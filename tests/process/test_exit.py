"""The interpreter may end at any moment, whatever is in flight: exit code 0, nothing on stderr."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.programs import run

TIMES = 30

PRELUDE = """
import asyncio, os, sys, threading, time
import s3dlio

place, silent = sys.argv[1:]
if silent:
    os.environ |= {"AWS_ENDPOINT_URL_S3": silent, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
"""

ENDINGS = {
    "tasks that asyncio.run cancels": """
async def main():
    tasks = [asyncio.ensure_future(s3dlio.get_async("s3://bucket/key")) for _ in range(20)]
    tasks += [asyncio.ensure_future(s3dlio.get_async(f"{place}/key")) for _ in range(20)]
    await asyncio.sleep(0)
asyncio.run(main())
""",
    "results that nobody takes": """
async def main():
    tasks = [asyncio.ensure_future(s3dlio.get_async(f"{place}/key")) for _ in range(50)]
    await tasks[0]
asyncio.run(main())
""",
    "a get in a daemon thread": """
threading.Thread(target=s3dlio.get, args=("s3://bucket/key",), daemon=True).start()
time.sleep(0.02)
""",
    "gets in daemon threads that end all the time": """
def work():
    while True:
        s3dlio.get(f"{place}/key")
        s3dlio.get_many([f"{place}/key"] * 4)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.02)
""",
    "a loader in a daemon thread that has just begun": """
def work():
    while True:
        for _ in s3dlio.create_async_loader(f"{place}/"):
            pass
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.02)
""",
    "a loader in a daemon thread in full flight": """
flying = threading.Event()
def work():
    while True:
        for _ in s3dlio.create_async_loader(f"{place}/"):
            flying.set()
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
flying.wait()
time.sleep(0.02)
""",
    "a loader that waits in a daemon thread": """
dataset = s3dlio.PyDataset.from_uris(["s3://bucket/key"])
threading.Thread(target=list, args=(dataset,), daemon=True).start()
time.sleep(0.02)
""",
    "iterators that are still there": """
loader = s3dlio.create_async_loader(f"{place}/", {"prefetch": 1})
iterators = [iter(loader) for _ in range(5)]
for iterator in iterators:
    next(iterator)
""",
    "an async iteration that is left by sys.exit": """
async def main():
    async for _ in s3dlio.create_async_loader(f"{place}/"):
        sys.exit(0)
asyncio.run(main())
""",
    "put and listing in daemon threads": """
def write():
    while True:
        s3dlio.put(f"{place}/own", bytearray(100_000))
def read():
    while True:
        list(s3dlio.list_iter(f"{place}/"))
for target in (write, read):
    threading.Thread(target=target, daemon=True).start()
time.sleep(0.02)
""",
}


@pytest.fixture
def place(tmp_path):
    (tmp_path / "key").write_bytes(b"x" * 1000)
    for number in range(20):
        (tmp_path / str(number)).write_bytes(b"x")
    return f"file://{tmp_path}"


def repeatedly(code: str, *arguments: str, times: int = TIMES) -> None:
    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(lambda _: run(code, *arguments, timeout=30), range(times)):
            pass


@pytest.mark.parametrize("ending", ENDINGS)
def test_ends_quietly(ending, place, silent):
    repeatedly(PRELUDE + ENDINGS[ending], place, silent.endpoint)


def test_ends_quietly_with_network_results_on_their_way(bucket):
    repeatedly(
        PRELUDE
        + """
s3dlio.put(f"{place}/key", b"x")
async def main():
    tasks = [asyncio.ensure_future(s3dlio.get_async(f"{place}/key")) for _ in range(20)]
    await tasks[0]
asyncio.run(main())
""",
        bucket,
        "",
    )


def test_tasks_that_nobody_cancels(place, silent):
    """Python complains about them; that is all that happens."""
    code = (
        PRELUDE
        + """
loop = asyncio.new_event_loop()
async def main():
    for _ in range(10):
        tasks.append(asyncio.ensure_future(s3dlio.get_async("s3://bucket/key")))
    await asyncio.sleep(0.01)
tasks = []
loop.run_until_complete(main())
"""
    )
    for _ in range(10):
        done = subprocess.run(
            [sys.executable, "-c", code, place, silent.endpoint],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0
        assert "panicked" not in done.stderr
        assert "Traceback" not in done.stderr


def test_an_exception_ends_the_program_as_usual(place, silent):
    code = (
        PRELUDE
        + """
threading.Thread(target=s3dlio.get, args=("s3://bucket/key",), daemon=True).start()
for _ in s3dlio.create_async_loader(f"{place}/", {"prefetch": 1}):
    raise KeyError("mine")
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", code, place, silent.endpoint], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith("KeyError: 'mine'\n")
    assert "panicked" not in done.stderr
