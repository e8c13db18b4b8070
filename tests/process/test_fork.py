"""Forks after use: the child starts anew, and nothing it inherits can hang it."""

from __future__ import annotations

import pytest

from tests.fixtures.programs import run

PRELUDE = """
import os, sys, threading, time, traceback
import s3dlio

def child(work, seconds=20):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, f"child ended with {status}"
            return
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise SystemExit("the child hung")
        time.sleep(0.002)

place = sys.argv[1]
uris = [f"{place}/{i:02}" for i in range(20)]
s3dlio.put_many([(uri, uri.encode()) for uri in uris])

def use():
    assert s3dlio.get(uris[0]) == uris[0].encode()
    assert s3dlio.get_many(uris) == [(uri, uri.encode()) for uri in uris]
    s3dlio.put(f"{place}/from-{os.getpid()}", b"x")
    assert s3dlio.exists(f"{place}/from-{os.getpid()}")
    s3dlio.delete(f"{place}/from-{os.getpid()}")
    assert s3dlio.list(f"{place}/") == uris
    assert len(list(s3dlio.create_async_loader(f"{place}/"))) == 20
"""


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    return f"file://{tmp_path}" if request.param == "file" else request.getfixturevalue("bucket")


def program(body: str, place: str, **options) -> str:
    return run(PRELUDE + body, place, **options)


def test_children_and_grandchildren_of_a_warm_process_work(place):
    program(
        """
use()
child(lambda: (use(), child(use)))
use()
child(use)
""",
        place,
    )


def test_asyncio_works_in_a_child(place):
    program(
        """
import asyncio

async def fetch():
    views = await asyncio.gather(*(s3dlio.get_async(uri) for uri in uris))
    assert [bytes(view) for view in views] == [uri.encode() for uri in uris]

asyncio.run(fetch())
child(lambda: asyncio.run(fetch()))
""",
        place,
    )


def test_the_loop_of_the_parent_says_so_in_a_child(place):
    program(
        """
import asyncio

loop = asyncio.new_event_loop()
loop.run_until_complete(s3dlio.get_async(uris[0]))

def inherited():
    try:
        loop.run_until_complete(s3dlio.get_async(uris[0]))
    except s3dlio.ForkedProcessError as error:
        assert "event loop" in str(error)
    else:
        raise AssertionError("the loop of the parent was used")
    assert asyncio.run(s3dlio.get_async(uris[0])) == uris[0].encode()

child(inherited)
assert loop.run_until_complete(s3dlio.get_async(uris[0])) == uris[0].encode()
loop.close()
""",
        place,
    )


def test_an_inherited_iterator_says_so_and_goes_quietly(place):
    program(
        """
loader = s3dlio.create_async_loader(f"{place}/", {"prefetch": 2})
iterator = iter(loader)
assert next(iterator) == uris[0].encode()

# The generator keeps what it has taken, so the core's iterator shows it at once.
batches = loader._core().iterate(0, 0)
assert batches.next() is not None

def inherited():
    global iterator, batches
    try:
        batches.next()
    except s3dlio.ForkedProcessError as error:
        assert "parent" in str(error)
    else:
        raise AssertionError("no error")
    try:
        list(iterator)
    except s3dlio.ForkedProcessError:
        pass
    else:
        raise AssertionError("no error")
    assert set(batches.stats().values()) == {0}
    batches.stop()
    del iterator, batches
    assert len(list(loader)) == 20

child(inherited)
assert [bytes(view) for view in iterator] == [uri.encode() for uri in uris[1:]]
child(use)
""",
        place,
    )


def test_an_iterator_that_a_thread_waits_on_at_the_fork(silent, tmp_path):
    """The thread holds the iterator's lock at that moment, and the child has no such thread."""
    program(
        """
os.environ |= {"AWS_ENDPOINT_URL_S3": sys.argv[2], "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
loader = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(["s3://bucket/key"]))
batches = loader._core().iterate(0, 0)
threading.Thread(target=batches.next, daemon=True).start()
time.sleep(0.3)

def inherited():
    global batches
    try:
        batches.next()
    except s3dlio.ForkedProcessError:
        pass
    batches.stats()
    batches.stop()
    del batches
    use()

for _ in range(20):
    child(inherited, seconds=5)
""".replace("sys.argv[2]", repr(silent.endpoint)),
        f"file://{tmp_path}",
    )


def test_memory_does_not_cross_a_fork():
    program(
        """
def refused():
    for call in (
        lambda: s3dlio.get(uris[0]),
        lambda: s3dlio.put(uris[0], b"x"),
        lambda: s3dlio.list(place),
        lambda: s3dlio.get_many(uris),
        lambda: list(dataset),
    ):
        try:
            call()
        except s3dlio.ForkedProcessError as error:
            assert "memory://" in str(error) and "file://" in str(error)
        else:
            raise AssertionError("memory:// worked in a child")

dataset = s3dlio.create_dataset(f"{place}/")
child(refused)
use()
""",
        "memory://fork",
    )


@pytest.mark.timeout(150)
def test_400_forks_under_load(place):
    out = program(
        """
stop, reads = threading.Event(), 0

def load():
    global reads
    while not stop.is_set():
        s3dlio.get_many(uris, 4)
        reads += len(uris)

threads = [threading.Thread(target=load) for _ in range(3)]
for thread in threads:
    thread.start()
began = time.monotonic()
running = set()

def reap(limit):
    while len(running) > limit:
        for pid in [*running]:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, f"child ended with {status}"
                running.remove(pid)
        assert time.monotonic() - began < 100, f"{len(running)} children hang"
        time.sleep(0.001)

for number in range(400):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = s3dlio.get(uris[number % 20]) != uris[number % 20].encode()
        finally:
            os._exit(code)
    running.add(pid)
    reap(4)
reap(0)
stop.set()
for thread in threads:
    thread.join()
print(reads, time.monotonic() - began)
""",
        place,
        timeout=140,
    )
    reads, seconds = map(float, out.split())
    assert reads > 0
    assert seconds < 100
