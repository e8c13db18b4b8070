"""The verbs under asyncio: many at once, cancelled, in several loops."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import pytest
import s3dlio


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_two_hundred_at_once(store):
    uris = [f"{store}/{i:03}" for i in range(200)]
    await asyncio.gather(*(s3dlio.put_async(uri, uri.encode()) for uri in uris))
    views = await asyncio.gather(*(s3dlio.get_async(uri) for uri in uris))
    assert [bytes(view) for view in views] == [uri.encode() for uri in uris]
    sizes = await asyncio.gather(*(s3dlio.stat_async(uri) for uri in uris))
    assert {stat["size"] for stat in sizes} == {len(uris[0])}
    assert all(await asyncio.gather(*(s3dlio.exists_async(uri) for uri in uris)))
    await asyncio.gather(*(s3dlio.delete_async(uri) for uri in uris))
    assert await s3dlio.list_async(f"{store}/", recursive=True) == []


async def test_one_failure_among_many(store):
    await s3dlio.put_async(f"{store}/there", b"x")
    uris = [f"{store}/there", f"{store}/missing", "nonsense"]
    found = await asyncio.gather(*(s3dlio.get_async(uri) for uri in uris), return_exceptions=True)
    assert found[0] == b"x"
    assert isinstance(found[1], s3dlio.NotFoundError)
    assert isinstance(found[2], s3dlio.InvalidUriError)


async def test_arguments_are_checked_when_awaited(tmp_path):
    for coroutine, error in (
        (s3dlio.put_async(f"file://{tmp_path}/x", "text"), TypeError),
        (s3dlio.get_async(f"file://{tmp_path}/x", offset=-1), ValueError),
        (s3dlio.get_many_async([], 0), ValueError),
        (s3dlio.list_async("memory://b/", pattern="["), ValueError),
    ):
        with pytest.raises(error):
            await coroutine


async def test_a_cancelled_task_ends_at_once_and_frees_its_request(to_silent):
    """The server sees the connection close: nothing goes on in the background."""
    tasks = [asyncio.ensure_future(s3dlio.get_async(f"s3://bucket/{i}")) for i in range(20)]
    await until(lambda: len(to_silent.requests) == 20)
    began = time.monotonic()
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert time.monotonic() - began < 10
    await until(lambda: to_silent.hung_up == 20)


async def until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


async def test_a_time_limit_of_asyncio_holds(to_silent):
    began = time.monotonic()
    for call in (
        s3dlio.get_async("s3://bucket/key"),
        s3dlio.get_many_async(["s3://bucket/a", "s3://bucket/b"]),
        s3dlio.put_async("s3://bucket/key", b"x"),
        s3dlio.list_async("s3://bucket/"),
    ):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, 0.1)
    assert time.monotonic() - began < 10


async def test_a_buffer_is_free_after_a_cancelled_write(to_silent):
    data = bytearray(b"x" * 1000)
    task = asyncio.ensure_future(s3dlio.put_async("s3://bucket/key", data))
    await until(lambda: to_silent.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    def free() -> bool:
        # Memory goes back to its owner with the next call from Python.
        s3dlio.put("memory://aio/other", b"")
        try:
            data.append(1)
        except BufferError:
            return False
        return True

    await until(free)


async def test_the_loop_goes_on_while_operations_wait(to_silent):
    waiting = asyncio.ensure_future(s3dlio.get_async("s3://bucket/key"))
    ticks, began = 0, time.monotonic()
    while time.monotonic() - began < 0.3:
        await asyncio.sleep(0.002)
        ticks += 1
    waiting.cancel()
    assert ticks > 20


def test_loops_in_threads_do_not_meet(store):
    uris = [f"{store}/{i}" for i in range(50)]
    s3dlio.put_many([(uri, uri.encode()) for uri in uris])
    failures: list[BaseException] = []

    async def main() -> None:
        for _ in range(3):
            views = await asyncio.gather(*(s3dlio.get_async(uri) for uri in uris))
            assert [bytes(view) for view in views] == [uri.encode() for uri in uris]

    def work() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_loops_leave_no_descriptors_behind(tmp_path):
    (tmp_path / "key").write_bytes(b"x")
    asyncio.run(s3dlio.get_async(f"file://{tmp_path}/key"))
    gc.collect()
    before = descriptors()
    for _ in range(100):
        asyncio.run(s3dlio.get_async(f"file://{tmp_path}/key"))
    gc.collect()
    assert descriptors() <= before + 2


def test_a_loop_that_is_closed_over_waiting_tasks(to_silent):
    """Their results have nowhere to go; the next loop starts afresh."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(s3dlio.get_async("s3://bucket/key"))
    loop.run_until_complete(until(lambda: to_silent.requests))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    assert asyncio.run(s3dlio.exists_async("memory://aio/none")) is False
