"""States kept by torchdata's StatefulDataLoader, in its own form."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
from s3dlio.torch import Loader, S3IterableDataset, S3MapDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from tests.frameworks.programs.numbers import (
    numbers,
    put_numbers,
    rank_batches,
    rest_after,
    sequence,
)

# The last batch is short, which DataLoader in sample mode learns together with the end of the epoch.
COUNT = 14
BATCH = 4
SEED = 5
STEPS = 4
EPOCHS = 2

PURE = [rank_batches(sequence(COUNT, SEED, epoch), BATCH, 0, 1, None) for epoch in range(EPOCHS + 4)]


@pytest.fixture(scope="module")
def uri(s3) -> str:
    return put_numbers(f"{s3.bucket('torch-stateful')}/data/", COUNT)


def stateful(uri: str, mode: str, workers: int, **options: Any) -> StatefulDataLoader[Any]:
    if mode == "loader":
        data: Any = Loader(uri, batch_size=BATCH, shuffle=True, seed=SEED)
    elif mode == "ready":
        data = S3IterableDataset(uri, batch_size=BATCH, shuffle=True, seed=SEED)
    else:
        data = S3IterableDataset(uri, sample_block=BATCH, shuffle=True, seed=SEED)
    size = BATCH if mode == "sample" else None
    return StatefulDataLoader(data, batch_size=size, num_workers=workers, **options)


def states(loader: StatefulDataLoader[Any]) -> list[tuple[int, bytes]]:
    """(batches taken, pickled state) after every batch, and again when an epoch's loop has ended."""
    found = []
    taken = 0
    for _ in range(EPOCHS):
        for _ in loader:
            taken += 1
            found.append((taken, pickle.dumps(loader.state_dict())))
        found.append((taken, pickle.dumps(loader.state_dict())))
    return found


def check(loader: StatefulDataLoader[Any], taken: int) -> None:
    rest = rest_after(PURE, taken)
    lengths = []
    for _ in range(3):
        found = [numbers(batch) for batch in loader]
        lengths.append(len(found))
        assert found == rest[: len(found)], (taken, lengths)
        rest = rest[len(found) :]
    # Only the loop that goes on inside an epoch may be shorter.
    assert lengths[0] in (STEPS, (-taken) % STEPS)
    assert lengths[1:] == [STEPS, STEPS]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mode", ["ready", "sample", "loader"])
def test_a_state_after_any_batch_and_epoch_gives_exactly_the_rest(uri: str, mode: str, workers: int) -> None:
    for taken, state in states(stateful(uri, mode, workers)):
        resumed = stateful(uri, mode, workers)
        resumed.load_state_dict(pickle.loads(state))
        check(resumed, taken)


@pytest.mark.parametrize("mode", ["ready", "sample"])
def test_persistent_workers_resume(uri: str, mode: str) -> None:
    for taken, state in states(stateful(uri, mode, 2, persistent_workers=True)):
        resumed = stateful(uri, mode, 2, persistent_workers=True)
        resumed.load_state_dict(pickle.loads(state))
        check(resumed, taken)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_before_the_first_batch_is_the_beginning(uri: str, workers: int) -> None:
    loader = stateful(uri, "ready", workers)
    state = loader.state_dict()
    assert [numbers(batch) for batch in loader] == PURE[0]
    resumed = stateful(uri, "ready", workers)
    resumed.load_state_dict(state)
    check(resumed, 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_set_epoch_of_the_saved_epoch_keeps_the_position(uri: str, workers: int) -> None:
    source = stateful(uri, "ready", workers)
    list(source)
    batches = iter(source)
    next(batches)
    state = source.state_dict()
    del batches
    resumed = stateful(uri, "ready", workers)
    resumed.load_state_dict(state)
    for epoch in (1, 2, 3):
        resumed.dataset.set_epoch(epoch)
        expected = PURE[epoch][1:] if epoch == 1 else PURE[epoch]
        assert [numbers(batch) for batch in resumed] == expected


@pytest.mark.parametrize("mode", ["ready", "sample"])
@pytest.mark.parametrize("taken", [1, 2, 3])
def test_its_states_continue_what_a_counted_state_began(uri: str, mode: str, taken: int) -> None:
    def begun() -> StatefulDataLoader[Any]:
        loader = stateful(uri, mode, 2)
        loader.dataset.load_state_dict(loader.dataset.state_dict(batches=taken, epoch=1))
        return loader

    source = begun()
    for more, batch in enumerate(source, start=1):
        assert numbers(batch) == PURE[1][taken + more - 1]
        for resumed in (stateful(uri, mode, 2), begun()):
            resumed.load_state_dict(source.state_dict())
            check(resumed, STEPS + taken + more)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_map_data_set_resumes_by_its_sampler(uri: str, workers: int) -> None:
    def loader() -> StatefulDataLoader[Any]:
        data = S3MapDataset(uri)
        return StatefulDataLoader(data, batch_size=BATCH, num_workers=workers)

    source = loader()
    straight = rank_batches(range(COUNT), BATCH, 0, 1, None)
    for taken, _ in enumerate(source, start=1):
        resumed = loader()
        resumed.load_state_dict(source.state_dict())
        assert [numbers(batch) for batch in resumed] == straight[taken:]
        assert [numbers(batch) for batch in itertools.islice(resumed, STEPS)] == straight
