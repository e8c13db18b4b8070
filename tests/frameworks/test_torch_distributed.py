"""Several ranks: torchrun, processes without a launcher's environment, and the environment alone."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import s3dlio
from s3dlio import ConfigError
from s3dlio.torch import Loader, S3IterableDataset

from tests.frameworks.programs.numbers import (
    numbers,
    put_numbers,
    rank_batches,
    run_program,
    sequence,
)

COUNT = 24
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def uri(s3) -> str:
    return put_numbers(f"{s3.bucket('torch-ranks')}/data/", COUNT)


def test_torchrun_trains_on_disjoint_parts(bucket: str, s3) -> None:
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        x = generator.standard_normal(4, dtype=np.float32)
        content = io.BytesIO()
        np.savez(content, x=x, y=x.sum(keepdims=True), number=np.int64(number))
        s3dlio.put(f"{bucket}/npz/{number:03}.npz", content.getvalue())
    done = run_program(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("--module", "tests.frameworks.programs.train", f"{bucket}/npz/", str(COUNT)),
        env={**s3.env, "OMP_NUM_THREADS": "1"},
    )
    assert "both ranks trained" in done.stdout


def test_spawned_workers_of_ranks_without_a_launcher(uri: str, s3, tmp_path: Path) -> None:
    done = run_program(
        *("-m", "tests.frameworks.programs.spawned", uri, str(COUNT), str(tmp_path / "meet")),
        env=s3.env,
    )
    assert "both ranks have their parts" in done.stdout


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_come_from_the_environment(uri: str, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        expected = rank_batches(sequence(COUNT, 0, 0), 4, rank, world, None)
        for data in (
            Loader(uri, batch_size=4, shuffle=True),
            S3IterableDataset(uri, batch_size=4, shuffle=True, enable_sharding=True),
        ):
            assert len(data) == len(expected)
            assert [numbers(batch) for batch in data] == expected
    given = Loader(uri, batch_size=4, shuffle=True, rank=0, world_size=1)
    assert [n for batch in given for n in numbers(batch)] == sequence(COUNT, 0, 0)


@pytest.mark.parametrize(
    ("rank", "world", "named"), [("2", "2", "RANK"), ("x", "2", "RANK"), ("0", "two", "WORLD_SIZE")]
)
def test_a_wrong_environment_is_named(
    uri: str, rank: str, world: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(ConfigError, match=named):
        Loader(uri, batch_size=4)


def test_several_ranks_with_one_uri_and_no_word_about_sharding_warn_once(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            data = S3IterableDataset(uri, batch_size=4)
    (warning,) = caught
    assert warning.category is UserWarning
    assert os.path.basename(warning.filename) == os.path.basename(__file__)
    for words in ("WORLD_SIZE is 2", "enable_sharding=True", "enable_sharding=False"):
        assert words in str(warning.message)
    assert sum(len(batch) for batch in data) == COUNT
    # Whoever says what is meant is not warned.
    S3IterableDataset(uri, batch_size=4, enable_sharding=True)
    S3IterableDataset(uri, batch_size=4, enable_sharding=False)
    S3IterableDataset(uri, loader_opts={"shard_rank": 1, "shard_world_size": 2})
    Loader(uri, batch_size=4)


@pytest.mark.parametrize("options", [{"rank": 0}, {"world_size": 2}])
def test_rank_and_world_size_come_together(uri: str, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="world_size"):
        Loader(uri, batch_size=4, **options)
