"""States: saved anywhere, they give exactly what was left, also elsewhere."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from s3dlio import ConfigError, StateMismatchError
from s3dlio.torch import Loader, S3IterableDataset
from torch.utils.data import DataLoader

from tests.frameworks.programs.numbers import (
    number,
    numbers,
    put_numbers,
    rank_batches,
    rest_after,
    sequence,
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

COUNT = 14
BATCH = 4
SEED = 3
EPOCHS = 3


@pytest.fixture(scope="module")
def uri(s3) -> str:
    return put_numbers(f"{s3.bucket('torch-resume')}/data/", COUNT)


def pure(epoch: int) -> list[tuple[int, ...]]:
    return rank_batches(sequence(COUNT, SEED, epoch), BATCH, 0, 1, "uneven")


PURE = [pure(epoch) for epoch in range(EPOCHS + 3)]


def dataset(uri: str, mode: str = "ready", **options: Any) -> S3IterableDataset:
    size = {"batch_size": BATCH} if mode == "ready" else {"sample_block": BATCH}
    return S3IterableDataset(uri, **({"shuffle": True, "seed": SEED} | size | options))


def in_process(uri: str, kind: str) -> S3IterableDataset:
    if kind == "loader":
        return Loader(uri, batch_size=BATCH, shuffle=True, seed=SEED)
    return dataset(uri)


def dataloader(data: S3IterableDataset, mode: str, workers: int, **options: Any) -> DataLoader[Any]:
    size = None if mode == "ready" else BATCH
    return DataLoader(data, batch_size=size, num_workers=workers, **options)


def epochs_of(data: Any) -> Iterator[tuple[int, ...]]:
    """Batch after batch, epoch after epoch."""
    for _ in itertools.count():
        for batch in data:
            yield numbers(batch)


def take(data: Any, count: int) -> list[tuple[int, ...]]:
    return list(itertools.islice(epochs_of(data), count))


@pytest.mark.parametrize("kind", ["loader", "dataset"])
def test_a_state_after_any_batch_gives_exactly_the_rest(uri: str, kind: str) -> None:
    total = EPOCHS * len(PURE[0])
    source = in_process(uri, kind)
    states = [source.state_dict()]
    for _ in range(EPOCHS):
        for _ in source:
            states.append(source.state_dict())
    assert len(states) == total + 1
    for taken, state in enumerate(states[:-1]):
        resumed = in_process(uri, kind)
        resumed.load_state_dict(json.loads(json.dumps(state)))
        assert take(resumed, total - taken) == rest_after(PURE[:EPOCHS], taken), state
        assert len(json.dumps(state)) < 1024


def test_a_state_at_the_end_of_an_epoch_starts_the_next(uri: str) -> None:
    loader = in_process(uri, "loader")
    for epoch in range(2):
        assert loader.epoch == epoch
        assert [numbers(batch) for batch in loader] == PURE[epoch]
        resumed = in_process(uri, "loader")
        resumed.load_state_dict(loader.state_dict())
        assert resumed.epoch == epoch + 1
        assert [numbers(batch) for batch in resumed] == PURE[epoch + 1]


def test_a_state_after_any_sample_gives_exactly_the_rest(uri: str) -> None:
    flat = [sample for epoch in PURE[:2] for batch in epoch for sample in batch]
    source = dataset(uri, "sample")
    states = [source.state_dict()]
    for _ in range(2):
        for _ in source:
            states.append(source.state_dict())
    assert [state.get("sample", 0) for state in states[:6]] == [0, 1, 2, 3, 0, 1]
    for taken, state in enumerate(states):
        resumed = dataset(uri, "sample")
        resumed.load_state_dict(state)
        found = [number(sample) for _ in range(2) for sample in resumed]
        whole = [sample for batch in pure(2) + pure(3) for sample in batch]
        assert found == (flat[taken:] + whole)[: len(found)], state
        assert len(found) >= COUNT


def test_a_state_inside_a_block_needs_the_same_layout(uri: str) -> None:
    source = dataset(uri, "sample")
    samples = iter(source)
    for _ in range(5):
        next(samples)
    state = source.state_dict()
    assert state["sample"] == 1
    for other in ({"sample_block": 2}, {"last": "uneven", "loader_opts": {"shard_world_size": 2}}):
        with pytest.raises(StateMismatchError, match="inside a batch"):
            dataset(uri, "sample", **other).load_state_dict(state)


def global_batches(uri: str, world: int, batch: int, state: Any, epochs: int) -> list[list[int]]:
    """What all ranks give at each step, in rank order."""
    ranks = []
    for rank in range(world):
        options = {"shuffle": True, "seed": SEED, "last": "wrap"}
        loader = Loader(uri, batch_size=batch, rank=rank, world_size=world, **options)
        if state is not None:
            loader.load_state_dict(state)
        ranks.append([numbers(found) for _ in range(epochs) for found in loader])
    return [[n for batch in step for n in batch] for step in zip(*ranks, strict=True)]


def test_a_state_goes_on_with_other_numbers_of_ranks(uri: str) -> None:
    whole = global_batches(uri, 1, 6, None, 2)
    assert whole == [
        list(batch) for epoch in range(2) for batch in rank_batches(sequence(COUNT, SEED, epoch), 6, 0, 1, "wrap")
    ]
    for world, batch, rank in ((1, 6, 0), (2, 3, 1), (3, 2, 2)):
        source = Loader(uri, batch_size=batch, shuffle=True, seed=SEED, last="wrap", rank=rank, world_size=world)
        batches = iter(source)
        for taken in range(1, len(source) + 1):
            next(batches)
            state = source.state_dict()
            for other_world, other_batch in ((1, 6), (2, 3), (3, 2), (6, 1)):
                found = global_batches(uri, other_world, other_batch, state, 2)
                assert found == whole[taken : taken + len(found)], (state, other_world)


def test_a_run_of_one_rank_goes_on_as_two_by_default(uri: str) -> None:
    options = {"shuffle": True, "seed": SEED}
    source = Loader(uri, batch_size=6, rank=0, world_size=1, **options)
    next(iter(source))
    ranks = [Loader(uri, batch_size=3, rank=rank, world_size=2, **options) for rank in range(2)]
    for loader in ranks:
        loader.load_state_dict(source.state_dict())
    found = [n for step in zip(*ranks, strict=True) for batch in step for n in numbers(batch)]
    order = [int(n) for n in sequence(COUNT, SEED, 0)]
    # Several ranks fill their last batches from the beginning of the epoch, so that their numbers stay equal.
    assert found == order[6:] + order[: 18 - COUNT]


def test_a_finer_global_batch_takes_any_state_and_a_coarser_one_says_what_fits(uri: str) -> None:
    source = Loader(uri, batch_size=4, shuffle=True, seed=SEED)
    next(iter(source))
    finer = Loader(uri, batch_size=2, shuffle=True, seed=SEED)
    finer.load_state_dict(source.state_dict())
    order = sequence(COUNT, SEED, 0)
    assert [n for batch in finer for n in numbers(batch)] == order[4:]
    coarser = Loader(uri, batch_size=3, shuffle=True, seed=SEED)
    with pytest.raises(StateMismatchError, match=r"global batch.*4 samples.*consumed"):
        coarser.load_state_dict(source.state_dict())


@pytest.mark.parametrize("mode", ["ready", "sample"])
def test_a_counted_state_resumes_on_any_number_of_workers(uri: str, mode: str) -> None:
    data = dataset(uri, mode)
    loader = dataloader(data, mode, 2)
    assert [numbers(batch) for batch in loader] == PURE[0]
    states = []
    for taken, batch in enumerate(loader, start=1):
        assert numbers(batch) == PURE[1][taken - 1]
        states.append(data.state_dict(batches=taken))
    assert data.state_dict(batches=0, epoch=1)["epoch"] == 1
    for taken, state in enumerate([data.state_dict(batches=0, epoch=1), *states]):
        assert state["epoch"] == 1
        for workers in (0, 1, 3):
            resumed = dataset(uri, mode)
            resumed.load_state_dict(state)
            found = [numbers(b) for _ in range(2) for b in dataloader(resumed, mode, workers)]
            assert found == (rest_after([PURE[1], PURE[2]], taken)), (state, workers)


def test_workers_hold_the_position_so_that_the_count_is_needed(uri: str) -> None:
    data = dataset(uri)
    assert data.state_dict()["batch"] == 0
    assert len(list(data)) == len(PURE[0])
    batches = iter(dataloader(data, "ready", 2))
    next(batches)
    with pytest.raises(StateMismatchError, match="batches="):
        data.state_dict()
    assert data.state_dict(batches=1)["epoch"] == 1
    del batches


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_go_from_epoch_to_epoch(uri: str, *, persistent: bool, announced: bool) -> None:
    data = dataset(uri)
    loader = dataloader(data, "ready", 2, persistent_workers=persistent)
    for epoch in range(EPOCHS):
        if announced:
            data.set_epoch(epoch)
        assert data.epoch == epoch
        assert [numbers(batch) for batch in loader] == PURE[epoch]
    data.set_epoch(1)
    assert [numbers(batch) for batch in loader] == PURE[1]
    assert [numbers(batch) for batch in loader] == PURE[2]


@pytest.mark.parametrize("taken", [1, 2, 3])
@pytest.mark.parametrize("persistent", [False, True])
def test_all_workers_agree_on_the_epoch_after_a_loop_was_left(uri: str, *, persistent: bool, taken: int) -> None:
    loader = dataloader(dataset(uri), "ready", 3, persistent_workers=persistent)
    for epoch in range(EPOCHS - 1):
        batches = iter(loader)
        assert [numbers(next(batches)) for _ in range(taken)] == PURE[epoch][:taken]
        del batches
    assert [numbers(batch) for batch in loader] == PURE[EPOCHS - 1]


def test_persistent_workers_see_a_state_that_is_loaded_later(uri: str) -> None:
    source = dataset(uri)
    data = dataset(uri)
    loader = dataloader(data, "ready", 2, persistent_workers=True)
    assert [numbers(batch) for batch in loader] == PURE[0]
    for epoch, taken in ((1, 3), (0, 2), (1, 1)):
        data.load_state_dict(source.state_dict(batches=taken, epoch=epoch))
        assert [numbers(batch) for batch in loader] == PURE[epoch][taken:]
        assert [numbers(batch) for batch in loader] == PURE[epoch + 1]
    data.set_epoch(1)
    assert [numbers(batch) for batch in loader] == PURE[1]


def test_set_epoch_keeps_a_loaded_position_only_in_its_own_epoch(uri: str) -> None:
    source = dataset(uri)
    state = source.state_dict(batches=2, epoch=1)
    for epoch, expected in ((1, PURE[1][2:]), (0, PURE[0]), (2, PURE[2])):
        resumed = dataset(uri)
        resumed.load_state_dict(state)
        resumed.set_epoch(epoch)
        assert [numbers(batch) for batch in resumed] == expected
        assert resumed.epoch == epoch + 1
    resumed = dataset(uri)
    resumed.load_state_dict(state)
    next(iter(resumed))
    resumed.set_epoch(1)
    assert [numbers(batch) for batch in resumed] == PURE[1], "the epoch had begun"
    with pytest.raises(ConfigError, match="epoch"):
        resumed.set_epoch(-1)


def test_the_last_loaded_state_counts(uri: str) -> None:
    source = dataset(uri)
    resumed = dataset(uri)
    resumed.load_state_dict(source.state_dict(batches=3, epoch=2))
    resumed.load_state_dict(source.state_dict(batches=1, epoch=0))
    assert resumed.state_dict() == source.state_dict(batches=1, epoch=0)
    assert [numbers(batch) for batch in resumed] == PURE[0][1:]
    assert [numbers(batch) for batch in resumed] == PURE[1]
    # The same state again, after its epoch was read.
    resumed.load_state_dict(source.state_dict(batches=1, epoch=0))
    assert [numbers(batch) for batch in resumed] == PURE[0][1:]


def test_a_state_of_the_running_iteration_does_not_disturb_it(uri: str) -> None:
    loader = in_process(uri, "loader")
    found = []
    for batch in loader:
        loader.state_dict()
        found.append(numbers(batch))
    assert found == PURE[0]


@pytest.mark.parametrize("clone", [copy.copy, lambda data: pickle.loads(pickle.dumps(data))])
def test_a_copy_goes_on_from_the_loaded_state(uri: str, clone: Any) -> None:
    data = dataset(uri)
    data.load_state_dict(data.state_dict(batches=2, epoch=1))
    assert [numbers(batch) for batch in clone(data)] == PURE[1][2:]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 4}, "seed"), ({"shuffle": False}, "shuffle")],
)
def test_a_state_of_another_order_is_refused(uri: str, change: dict[str, Any], named: str) -> None:
    state = dataset(uri).state_dict(batches=1)
    with pytest.raises(StateMismatchError, match=named):
        dataset(uri, **change).load_state_dict(state)


def test_a_state_of_another_data_set_is_refused(uri: str, bucket: str) -> None:
    state = dataset(uri).state_dict(batches=1)
    put_numbers(f"{bucket}/more/", COUNT + 1)
    with pytest.raises(StateMismatchError, match="number of samples: saved 14, current 15"):
        dataset(f"{bucket}/more/").load_state_dict(state)
    put_numbers(f"{bucket}/other/x", COUNT)
    with pytest.raises(StateMismatchError, match=r"data set \(fingerprint\)"):
        dataset(f"{bucket}/other/").load_state_dict(state)


@pytest.mark.parametrize("state", [{}, "no JSON", {"v": 2}, "[]"])
def test_what_is_no_state_is_refused(uri: str, state: Any) -> None:
    with pytest.raises(StateMismatchError, match="state"):
        dataset(uri).load_state_dict(state)


def test_epochs_differ_and_a_seed_repeats(uri: str) -> None:
    first, again = in_process(uri, "loader"), in_process(uri, "loader")
    epochs = [take(first, len(PURE[0])) for _ in range(EPOCHS)]
    assert len({str(epoch) for epoch in epochs}) == EPOCHS
    assert [take(again, len(PURE[0])) for _ in range(EPOCHS)] == epochs
    other = Loader(uri, batch_size=BATCH, shuffle=True, seed=SEED + 1)
    assert take(other, len(PURE[0])) != epochs[0]
    plain = Loader(uri, batch_size=BATCH)
    straight = rank_batches(range(COUNT), BATCH, 0, 1, None)
    assert [take(plain, len(straight)) for _ in range(2)] == [straight, straight]
