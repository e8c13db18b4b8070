"""The loader of plain bytes: steps, batches, epochs, and both kinds of iteration."""

from __future__ import annotations

import asyncio
import gc
import io
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import s3dlio


@pytest.fixture
def filled(store):
    s3dlio.put_many([(f"{store}/{i:02}", str(i).encode()) for i in range(10)])
    return f"{store}/"


async def collect(loader) -> list:
    return [step async for step in loader]


@pytest.fixture(params=["for", "async for"])
def steps(request):
    """Return a function that runs one epoch."""
    return list if request.param == "for" else lambda loader: asyncio.run(collect(loader))


def numbers(batch) -> list[int]:
    return [int(view) for view in batch]


def test_without_a_batch_size_a_step_is_one_view(filled, steps):
    loader = s3dlio.create_async_loader(filled)
    assert type(loader) is s3dlio.PyBytesAsyncDataLoader
    assert len(loader) == 10
    found = steps(loader)
    assert all(type(view) is s3dlio.BytesView for view in found)
    assert numbers(found) == [*range(10)]


@pytest.mark.parametrize("size", [1, 3, 5, 10, 100])
def test_with_a_batch_size_a_step_is_a_list(filled, steps, size):
    loader = s3dlio.create_async_loader(filled, {"batch_size": size})
    found = steps(loader)
    assert all(type(batch) is list for batch in found)
    assert [numbers(batch) for batch in found] == [[*range(at, min(at + size, 10))] for at in range(0, 10, size)]
    assert len(loader) == len(found)


def test_the_documented_forms_of_options(filled, steps):
    options = {"batch_size": 4, "drop_last": True}
    built = s3dlio.PyLoaderOptions().with_batch_size(4).drop_last(True)
    dataset = s3dlio.create_dataset(filled)
    for loader in (
        s3dlio.create_async_loader(filled, options),
        s3dlio.create_async_loader(filled, options=options),
        s3dlio.create_async_loader(filled, opts=options),
        s3dlio.create_async_loader(filled, built),
        s3dlio.PyBytesAsyncDataLoader(dataset, built),
        s3dlio.PyBytesAsyncDataLoader(dataset, opts=options),
        s3dlio.PyBytesAsyncDataLoader(s3dlio.create_dataset(filled, options)),
        s3dlio.PyBytesAsyncDataLoader(s3dlio.create_dataset(filled, {"batch_size": 9}), built),
    ):
        assert [len(batch) for batch in steps(loader)] == [4, 4]
    with pytest.raises(TypeError, match="options"):
        s3dlio.PyBytesAsyncDataLoader(dataset, options, opts=options)


def test_a_pattern_selects(filled, steps):
    assert numbers(steps(s3dlio.create_async_loader(filled, pattern="0[2-4]"))) == [2, 3, 4]


def test_each_iteration_is_the_next_epoch(filled, steps):
    loader = s3dlio.create_async_loader(filled, {"shuffle": True, "seed": 5})
    expected = [s3dlio.order.permutation(10, 5, epoch).tolist() for epoch in range(3)]
    assert [numbers(steps(loader)) for _ in range(3)] == expected
    loader.set_epoch(1)
    assert numbers(steps(loader)) == expected[1]
    assert numbers(item.data for item in loader.items()) == expected[2]


def test_two_iterations_at_once_do_not_disturb_each_other(filled):
    loader = s3dlio.create_async_loader(filled, {"shuffle": True})
    first, second = iter(loader), iter(loader)
    pairs = [(int(next(first)), int(next(second))) for _ in range(10)]
    assert [a for a, _ in pairs] == s3dlio.order.permutation(10, 0, 0).tolist()
    assert [b for _, b in pairs] == s3dlio.order.permutation(10, 0, 1).tolist()


@pytest.mark.parametrize("options", [{"prefetch": 1}, {"num_workers": 1}, {"prefetch": 3, "num_workers": 2}])
def test_how_far_ahead_is_read_changes_nothing_else(filled, steps, options):
    assert numbers(steps(s3dlio.create_async_loader(filled, options))) == [*range(10)]


def test_a_small_budget_is_enough_for_large_objects(store, steps):
    s3dlio.put_many([(f"{store}/{i}", bytes([i]) * 3_000_000) for i in range(4)])
    loader = s3dlio.create_async_loader(f"{store}/", {"memory_budget": 1 << 20})
    assert [(view[0], len(view)) for view in steps(loader)] == [(i, 3_000_000) for i in range(4)]


def test_an_object_that_has_gone_ends_the_epoch_with_an_error(filled, steps):
    loader = s3dlio.create_async_loader(filled)
    s3dlio.delete(f"{filled}07")
    with pytest.raises(s3dlio.NotFoundError, match="07"):
        steps(loader)
    iterator = iter(loader)
    assert numbers(next(iterator) for _ in range(7)) == [*range(7)]
    with pytest.raises(s3dlio.NotFoundError, match="07"):
        next(iterator)


def test_bad_objects_are_left_out_and_logged_when_asked(filled, steps, caplog):
    loader = s3dlio.create_async_loader(filled, {"on_error": "skip", "batch_size": 5})
    s3dlio.delete(f"{filled}07")
    assert [numbers(batch) for batch in steps(loader)] == [[0, 1, 2, 3, 4], [5, 6, 8, 9]]
    assert [record.args[:2] for record in caplog.records] == [(7, f"{filled}07")]


def test_arrays_come_decoded(store, steps):
    content = [io.BytesIO() for _ in range(4)]
    for number, file in enumerate(content):
        np.savez(file, x=np.full((2,), number))
    s3dlio.put_many([(f"{store}/{at}.npz", file.getbuffer()) for at, file in enumerate(content)])
    batches = steps(s3dlio.create_async_loader(f"{store}/", {"decoder": "npz", "batch_size": 2}))
    assert [batch["x"].tolist() for batch in batches] == [[[0, 0], [1, 1]], [[2, 2], [3, 3]]]
    samples = steps(s3dlio.create_async_loader(f"{store}/", {"decoder": "npz"}))
    assert [sample["x"].tolist() for sample in samples] == [[at, at] for at in range(4)]


def test_a_pickle_continues_with_the_same_data(filled, steps):
    loader = s3dlio.create_async_loader(filled, {"shuffle": True, "batch_size": 3})
    steps(loader)
    again = pickle.loads(pickle.dumps(loader))
    assert again.options == loader.options
    assert [numbers(batch) for batch in steps(again)] == [numbers(batch) for batch in steps(loader)]


def test_breaking_off_stops_reading(filled):
    loader = s3dlio.create_async_loader(filled, {"prefetch": 1})
    for _ in range(50):
        for _step in loader:
            break
    gc.collect()
    assert wait_until(lambda: planning_threads() == 0)


def planning_threads() -> int:
    count = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            count += (task / "comm").read_text().startswith("s3dlio-plan")
        except FileNotFoundError:
            continue
    return count


def wait_until(condition, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


def test_a_cancelled_wait_ends_at_once(to_silent):
    """Nothing answers: the task, its thread and its loop must not wait for the store's own time limit."""
    dataset = s3dlio.PyDataset.from_uris([f"s3://bucket/{i}" for i in range(4)])

    async def consume() -> None:
        await asyncio.wait_for(collect(s3dlio.PyBytesAsyncDataLoader(dataset)), 0.3)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(consume())
    assert time.monotonic() - began < 10
    assert wait_until(lambda: planning_threads() == 0)


def test_a_wait_can_be_limited(to_silent, steps):
    dataset = s3dlio.PyDataset.from_uris(["s3://bucket/key"])
    loader = s3dlio.PyBytesAsyncDataLoader(dataset, {"timeout_seconds": 0.3})
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="timeout_seconds"):
        steps(loader)
    assert time.monotonic() - began < 10


async def test_the_event_loop_goes_on_while_a_loader_waits(to_silent):
    dataset = s3dlio.PyDataset.from_uris(["s3://bucket/key"])
    waiting = asyncio.ensure_future(collect(s3dlio.PyBytesAsyncDataLoader(dataset)))
    ticks = 0
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        await asyncio.sleep(0.005)
        ticks += 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ticks > 20


async def test_breaking_off_an_async_iteration_stops_reading(filled):
    loader = s3dlio.create_async_loader(filled, {"prefetch": 1})
    for _ in range(10):
        steps = aiter(loader)
        assert int(await anext(steps)) == 0
        await steps.aclose()
    assert wait_until(lambda: planning_threads() == 0)


def test_threads_may_share_an_iterator(filled):
    core = s3dlio.create_async_loader(filled, {"batch_size": 1})._core()
    batches = core.iterate(0, 0)
    taken: list[int] = []

    def take() -> None:
        while (batch := batches.next()) is not None:
            taken.extend(numbers(batch[3]))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [*range(10)]
    assert batches.stats()["samples"] == 10
    assert batches.next() is None


def test_a_stopped_iteration_gives_nothing_more(filled):
    batches = s3dlio.create_async_loader(filled, {"batch_size": 2})._core().iterate(0, 0)
    assert batches.next() is not None
    batches.stop()
    batches.stop()
    assert batches.next() is None
    assert batches.next_many(5) == []
    assert set(batches.stats().values()) == {0}


def test_items_are_objects_with_their_uris(filled, store):
    dataset = s3dlio.PyDataset.from_uris([f"{store}/{i:02}" for i in (4, 2, 9, 0, 7)])
    items = s3dlio.PyBytesAsyncDataLoader(dataset, {"prefetch": 64, "skip_head": True}).items()
    assert type(items) is s3dlio.PyObjectDataLoaderSyncIter
    first = items.collect_batch(2)
    assert [type(item) for item in first] == [s3dlio.PyObjectItem] * 2
    assert [(item.uri, item.byte_count, len(item), bytes(item), item.data) for item in first] == [
        (f"{store}/{i:02}", 1, 1, str(i).encode(), str(i).encode()) for i in (4, 2)
    ]
    assert next(items).uri == f"{store}/09"
    assert [bytes(item) for item in items.collect_batch(50)] == [b"0", b"7"]
    assert items.collect_batch(50) == []
    with pytest.raises(s3dlio.ConfigError, match="`n`"):
        items.collect_batch(0)


@pytest.mark.parametrize("options", [{}, {"batch_size": 4, "drop_last": True}, {"shuffle": True, "seed": 3}])
def test_items_come_in_the_order_of_the_steps(filled, options):
    loader = s3dlio.create_async_loader(filled, options)
    steps = [view for step in loader for view in (step if "batch_size" in options else [step])]
    loader.set_epoch(0)
    items = loader.items()
    found = []
    while batch := items.collect_batch(3):
        assert len(batch) == 3 or items.collect_batch(3) == []
        found += batch
    assert [item.data for item in found] == steps
    assert all(item.uri.endswith(f"/{int(item.data):02}") for item in found)


def test_items_are_bytes(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(s3dlio.ConfigError, match="decoder"):
        s3dlio.create_async_loader(f"file://{tmp_path}/", {"decoder": "npy"}).items()


@pytest.mark.parametrize("take", [next, lambda items: items.collect_batch(9)])
def test_an_error_of_items_comes_again(tmp_path, take):
    s3dlio.put(f"file://{tmp_path}/a", b"a")
    dataset = s3dlio.PyDataset.from_uris([f"file://{tmp_path}/{name}" for name in ("a", "nothing")])
    items = s3dlio.PyBytesAsyncDataLoader(dataset).items()
    assert next(items).data == b"a"
    for _ in range(3):
        with pytest.raises(s3dlio.NotFoundError, match="nothing"):
            take(items)


def test_sizes_are_asked_for_before_the_reading_if_that_is_wanted(bucket):
    uris = [f"{bucket}/{i}" for i in range(5)]
    s3dlio.put_many([(uri, b"content") for uri in uris])

    def heads(options: dict) -> int:
        before = s3dlio.stats()["head_requests"]
        dataset = s3dlio.PyDataset.from_uris(uris, options)
        assert [bytes(item) for item in s3dlio.PyBytesAsyncDataLoader(dataset)] == [b"content"] * 5
        return s3dlio.stats()["head_requests"] - before

    assert heads({}) == heads({"skip_head": True}) == 0
    # Once where the data set is made, once where the epoch begins.
    assert heads({"skip_head": False}) == 10


class TestBytesInMemory:
    def test_is_a_data_set_like_any_other(self, steps):
        content = [b"a", b"", bytearray(b"ccc"), memoryview(b"dd"), s3dlio.BytesView(b"e" * 100_000)]
        dataset = s3dlio.PyDataset.from_bytes_list(content)
        content[2][:] = b"xxx"
        expected = [b"a", b"", b"ccc", b"dd", b"e" * 100_000]
        assert len(dataset) == 5
        assert dataset[-2] == b"dd"
        assert dataset[1:3] == [b"", b"ccc"]
        assert [*dataset] == expected
        assert dataset.uris() == [f"bytes:{i}" for i in range(5)]
        assert steps(s3dlio.PyBytesAsyncDataLoader(dataset, {"batch_size": 2})) == [
            expected[:2],
            expected[2:4],
            expected[4:],
        ]
        again = pickle.loads(pickle.dumps(dataset))
        assert [*again] == expected
        assert again.objects.fingerprint == dataset.objects.fingerprint
        assert s3dlio.PyDataset.concat([dataset, again.select([2])])[5] == b"ccc"
        assert dataset.objects.fingerprint != s3dlio.PyDataset.from_bytes_list(expected[:4]).objects.fingerprint

    def test_is_shuffled_and_decoded(self):
        buffers = []
        for i in range(20):
            buffer = io.BytesIO()
            np.save(buffer, np.full(3, i))
            buffers.append(buffer.getbuffer())
        dataset = s3dlio.PyDataset.from_bytes_list(buffers, {"decoder": "npy", "shuffle": True, "batch_size": 20})
        (batch,) = s3dlio.PyBytesAsyncDataLoader(dataset)
        assert batch.shape == (20, 3)
        assert sorted(batch[:, 0]) == [*range(20)] != [*batch[:, 0]]

    def test_what_is_refused(self):
        with pytest.raises(s3dlio.ConfigError, match="items"):
            s3dlio.PyDataset.from_bytes_list([])
        with pytest.raises(TypeError):
            s3dlio.PyDataset.from_bytes_list(["text"])
        with pytest.raises(IndexError):
            _ = s3dlio.PyDataset.from_bytes_list([b"a"])[1]
