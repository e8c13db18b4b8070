"""Every way of starting workers, kind of data set, number of workers and of ranks, on a real object store."""

from __future__ import annotations

import pytest

from tests.frameworks.programs.numbers import put_numbers, run_program


@pytest.fixture(scope="module")
def base(s3) -> str:
    base = s3.bucket("torch-matrix")
    for count in (24, 26):
        put_numbers(f"{base}/{count}/", count)
    return base


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_every_sample_comes_once_in_the_pure_order(context: str, base: str, s3) -> None:
    done = run_program("-m", "tests.frameworks.programs.matrix", context, base, env=s3.env)
    assert "every sample once" in done.stdout
