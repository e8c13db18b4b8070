"""Bad data, bad stores and bad user code: the documented exception, with the URI, soon, from any worker."""

from __future__ import annotations

import gc
import io
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import s3dlio
import torch
from s3dlio import (
    CorruptDataError,
    InvalidUriError,
    NotFoundError,
    PermissionDeniedError,
    S3dlioError,
    StoreError,
    StoreTimeoutError,
    TransformError,
)
from s3dlio.batches import Batches
from s3dlio.torch import Loader, S3IterableDataset, S3MapDataset
from torch.utils.data import DataLoader

from tests.fixtures.servers import free_port

COUNT = 12
BATCH = 3
KINDS: list[Callable[..., Any]] = [S3MapDataset, S3IterableDataset, Loader]


def npz(number: int) -> bytes:
    content = io.BytesIO()
    np.savez(content, number=np.int64(number), x=np.zeros(16, np.float32))
    return content.getvalue()


@pytest.fixture(params=[None, "fork", "spawn"])
def context(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str | None]:
    """How workers are started, or that there are none."""
    yield request.param
    # DataLoader waits five seconds for the workers of any iteration that failed. Here nobody measures that wait.
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)
    gc.collect()


@pytest.fixture
def records(bucket: str) -> list[str]:
    uris = [f"{bucket}/records/{i:02}.npz" for i in range(COUNT)]
    s3dlio.put_many([(uri, npz(i)) for i, uri in enumerate(uris)])
    return uris


def prefix(uris: list[str]) -> str:
    return uris[0].rpartition("/")[0] + "/"


def batches(data: Any, context: str | None) -> Iterator[Any]:
    """Batches of a data set, read here or by one worker."""
    size = None if isinstance(data, S3IterableDataset) else BATCH
    workers = {} if context is None else {"num_workers": 1, "multiprocessing_context": context}
    return iter(DataLoader(data, batch_size=size, **workers))


def dataset(kind: Any, data: Any, **options: Any) -> Any:
    size = {} if kind is S3MapDataset else {"batch_size": BATCH}
    return kind(data, **size, **options)


@contextmanager
def raising(error: type[Exception], uri: str, *, within: float) -> Iterator[list[str]]:
    """Expect an error that names ``uri``; yields a list that gets its whole traceback."""
    said: list[str] = []
    began = time.monotonic()
    with pytest.raises(error) as caught:
        yield said
    assert time.monotonic() - began < within
    assert uri in str(caught.value)
    assert isinstance(caught.value, S3dlioError)
    said.append("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_that_is_not_there(kind: Any, bucket: str, tmp_path: Any) -> None:
    s3dlio.put(f"{bucket}/there/1.bin", b"1")
    for uri in (
        f"{bucket}/missing/",
        f"{bucket}-missing/data/",
        f"file://{tmp_path}/missing/",
        f"file://{tmp_path}/",
    ):
        with raising(NotFoundError, uri.rstrip("/"), within=10):
            kind(uri)
    with raising(NotFoundError, f"{bucket}/there/", within=10):
        kind(f"{bucket}/there/", pattern="*.npz")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("uri", ["ftp://host/data/", "no uri", ""])
def test_what_is_no_uri_of_ours(kind: Any, uri: str) -> None:
    with raising(InvalidUriError, uri, within=1):
        kind(uri)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_credentials_at_the_listing(kind: Any, strict_s3, s3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in strict_s3.env.items():
        monkeypatch.setenv(name, value)
    with raising(PermissionDeniedError, "s3://private/data/", within=10):
        kind("s3://private/data/")


@pytest.mark.parametrize("kind", [S3MapDataset, S3IterableDataset])
def test_wrong_credentials_at_a_read(
    kind: Any, context: str | None, strict_s3, s3, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(kind, ["s3://private/data/1", "s3://private/data/2"])
    for name, value in strict_s3.env.items():
        monkeypatch.setenv(name, value)
    with raising(PermissionDeniedError, "s3://private/data/", within=40):
        next(batches(data, context))


@pytest.mark.parametrize("kind", KINDS)
def test_an_endpoint_that_nobody_serves(kind: Any, s3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "2")
    with raising((StoreError, StoreTimeoutError), "s3://bucket/data/", within=10):
        kind("s3://bucket/data/")
    with raising((StoreError, StoreTimeoutError), "s3://bucket/data/1", within=10):
        next(batches(dataset(kind, ["s3://bucket/data/1"]), None))


@pytest.mark.parametrize("kind", [S3MapDataset, S3IterableDataset])
def test_an_endpoint_that_is_silent(kind: Any, context: str | None, to_silent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "1")
    data = dataset(kind, ["s3://bucket/data/1"])
    with raising(StoreTimeoutError, "s3://bucket/data/1", within=40 if context == "spawn" else 10):
        next(batches(data, context))


@pytest.mark.usefixtures("to_silent")
def test_the_wait_for_a_batch_has_a_limit_of_its_own() -> None:
    loader = Loader(["s3://bucket/data/1"], timeout_seconds=0.5)
    with raising(StoreTimeoutError, "timeout_seconds", within=2):
        next(iter(loader))


@pytest.mark.parametrize("kind", [S3MapDataset, S3IterableDataset])
@pytest.mark.parametrize("bad", ["truncated", "foreign"])
def test_an_object_that_is_no_whole_npz(kind: Any, context: str | None, bad: str, records: list[str]) -> None:
    s3dlio.put(records[4], npz(4)[:-40] if bad == "truncated" else b"plain text")
    found = batches(dataset(kind, prefix(records), decoder="npz"), context)
    assert next(found)["number"].tolist() == [0, 1, 2]
    with raising(CorruptDataError, records[4], within=10):
        next(found)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_vanished_after_the_listing(kind: Any, records: list[str]) -> None:
    data = dataset(kind, prefix(records), decoder="npz")
    s3dlio.delete(records[7])
    found = batches(data, None)
    assert [next(found)["number"].tolist() for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
    with raising(NotFoundError, records[7], within=10):
        list(found)


def test_an_iteration_that_failed_fails_again(records: list[str]) -> None:
    s3dlio.put(records[0], b"")
    found = iter(Loader(prefix(records), batch_size=BATCH, decoder="npz"))
    for _ in range(3):
        with raising(CorruptDataError, records[0], within=10):
            next(found)


def my_broken_transform(sample: dict[str, torch.Tensor]) -> torch.Tensor:
    number = int(sample["number"])
    if number % 3 == 1:
        message = f"cannot use {number}"
        raise KeyError(message)
    return sample["number"]


@pytest.mark.parametrize("kind", [S3MapDataset, S3IterableDataset])
def test_a_transform_that_raises(kind: Any, context: str | None, records: list[str]) -> None:
    data = dataset(kind, prefix(records), decoder="npz", transform=my_broken_transform)
    with raising(TransformError, records[1], within=40) as said:
        next(batches(data, context))
    for words in ("my_broken_transform", "raise KeyError(message)", "cannot use 1"):
        assert words in said[0]


class Once:
    """A transform that fails at one record, with any exception, the first time or always."""

    def __init__(self, error: BaseException, *, always: bool = True) -> None:
        self.error, self.always, self.failed = error, always, False

    def __call__(self, sample: Any) -> Any:
        if int(sample["number"]) == 2 * BATCH + 1 and (self.always or not self.failed):
            self.failed = True
            raise self.error
        return sample


def given(batches: Iterator[Any], *errors: type[BaseException]) -> list[Any]:
    """What a loop receives that goes on after these errors; for each error its class."""
    found: list[Any] = []
    for _ in range(2 * COUNT):
        try:
            found.append(next(batches)["number"].tolist())
        except StopIteration:
            break
        except errors as error:
            found.append(type(error))
    return found


FIRST = [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("options", [{}, {"device": "cpu"}, {"progress": True}], ids=str)
def test_an_iteration_whose_transform_failed_fails_again(records: list[str], options: dict[str, Any]) -> None:
    loader = Loader(records, batch_size=BATCH, decoder="npz", transform=Once(ValueError("no")), **options)
    found = given(iter(loader), TransformError)
    assert found == [*FIRST, *[TransformError] * (2 * COUNT - 2)]
    assert loader.state_dict()["batch"] == 2


def test_samples_whose_transform_failed_fail_again(records: list[str]) -> None:
    data = S3IterableDataset(records, decoder="npz", transform=Once(ValueError("no")))
    found = given(iter(data), TransformError)
    assert found == [*range(2 * BATCH + 1), *[TransformError] * (2 * COUNT - 2 * BATCH - 1)]


def test_a_batch_that_cannot_be_stacked_fails_again(records: list[str]) -> None:
    def uneven(sample: Any) -> Any:
        return sample | {"x": sample["x"][: int(sample["number"]) // 7 + 1]}

    loader = Loader(records, batch_size=BATCH, decoder="npz", transform=uneven)
    found = given(iter(loader), RuntimeError)
    assert found == [*FIRST, *[RuntimeError] * (2 * COUNT - 2)]


@pytest.mark.parametrize("make", [
    lambda records, transform: iter(Loader(records, batch_size=BATCH, decoder="npz", transform=transform)),
    lambda records, transform: iter(Batches(records, batch_size=BATCH, decoder="npz", transform=transform)),
], ids=["torch", "numpy"])  # fmt: skip
def test_an_interrupted_batch_comes_again(records: list[str], make: Any) -> None:
    found = given(make(records, Once(KeyboardInterrupt(), always=False)), KeyboardInterrupt)
    assert found == [*FIRST, KeyboardInterrupt, [6, 7, 8], [9, 10, 11]]


def test_an_interrupted_sample_comes_again(records: list[str]) -> None:
    data = S3IterableDataset(records, decoder="npz", transform=Once(KeyboardInterrupt(), always=False))
    found = given(iter(data), KeyboardInterrupt)
    assert [number for number in found if number is not KeyboardInterrupt] == list(range(COUNT))


@pytest.mark.parametrize("kind", KINDS)
def test_a_transform_that_raises_is_the_cause(kind: Any, records: list[str]) -> None:
    data = dataset(kind, prefix(records), decoder="npz", transform=my_broken_transform)
    with pytest.raises(TransformError) as caught:
        next(batches(data, None))
    assert isinstance(caught.value.__cause__, KeyError)
    assert (caught.value.uri, caught.value.record) == (records[1], 1)


def skipping(uri: str, rank: int = 0, world: int = 1, **options: Any) -> Loader:
    place = {"rank": rank, "world_size": world}
    return Loader(uri, batch_size=BATCH, decoder="npz", on_error="skip", **place, **options)


def test_skipped_samples_are_counted_and_logged_and_batches_stay(
    records: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="s3dlio")
    bad = {2: b"plain text", 6: npz(6)[:-40]}
    for index, content in bad.items():
        s3dlio.put(records[index], content)
    loaders = [skipping(prefix(records), rank, 2) for rank in range(2)]
    s3dlio.delete(records[10])
    found = [[batch["number"].tolist() for batch in loader] for loader in loaders]
    assert found == [[[0, 1], [7, 8]], [[3, 4, 5], [9, 11]]]
    assert [loader.stats()["skipped"] for loader in loaders] == [2, 1]
    lines = [line for line in caplog.messages if "skipped record" in line]
    assert len(lines) == 3
    for index in (2, 6, 10):
        assert sum(f"skipped record {index} ({records[index]})" in line for line in lines) == 1


def test_samples_that_the_transform_refuses_are_skipped_too(
    records: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="s3dlio")
    loader = skipping(prefix(records), transform=my_broken_transform)
    assert [b.tolist() for b in loader] == [[0, 2], [3, 5], [6, 8], [9, 11]]
    stats = loader.stats()
    assert (stats["samples"], stats["skipped"]) == (8, 4)
    assert sum("my_broken" in line or "cannot use" in line for line in caplog.messages) == 4


@pytest.mark.parametrize("transform", [None, lambda sample: sample["number"]])
def test_a_batch_of_bad_records_gets_one_of_another(records: list[str], transform: Any) -> None:
    for index in (3, 4, 5):
        s3dlio.put(records[index], b"plain text")
    loader = skipping(prefix(records), transform=transform)
    batches = [batch["number"] if transform is None else batch for batch in loader]
    assert [len(batch) for batch in batches] == [3, 1, 3, 3]
    assert int(batches[1][0]) not in (3, 4, 5)
    assert loader.stats()["skipped"] == 3


def test_a_batch_that_loses_all_samples_to_the_transform_warns(records: list[str]) -> None:
    def refuse(sample: dict[str, Any]) -> Any:
        if int(sample["number"]) in (3, 4, 5):
            raise ValueError
        return sample["number"]

    with pytest.warns(RuntimeWarning, match="every sample of batch 1 was skipped"):
        assert len(list(skipping(prefix(records), transform=refuse))) == 3


def test_skipping_in_sample_mode(records: list[str]) -> None:
    for index in (0, 4, 5, 11):
        s3dlio.put(records[index], b"plain text")
    data = S3IterableDataset(prefix(records), decoder="npz", on_error="skip", sample_block=BATCH)
    states, found = [data.state_dict()], []
    for sample in data:
        found.append(int(sample["number"]))
        states.append(data.state_dict())
    assert found == [1, 2, 3, 6, 7, 8, 9, 10]
    assert data.stats()["skipped"] == 4
    for taken, state in enumerate(states[:-1]):
        resumed = S3IterableDataset(prefix(records), decoder="npz", on_error="skip", sample_block=BATCH)
        resumed.load_state_dict(state)
        assert [int(sample["number"]) for sample in resumed] == found[taken:]


def test_an_outage_is_not_skipped(records: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    loader = skipping(prefix(records))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "1")
    with raising((StoreError, StoreTimeoutError), prefix(records), within=5):
        list(loader)
