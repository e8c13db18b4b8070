"""The order of an epoch is a pure function."""

from __future__ import annotations

import numpy as np
import pytest
import s3dlio
from hypothesis import given
from hypothesis import strategies as st
from s3dlio.order import permutation

u64 = st.integers(0, 2**64 - 1)


@given(st.integers(0, 3000), u64, u64)
def test_is_a_permutation_and_always_the_same(n, seed, epoch):
    order = permutation(n, seed, epoch)
    assert order.dtype == np.uint64
    assert order.shape == (n,)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order, permutation(n, seed, epoch))


def test_depends_on_seed_and_epoch():
    orders = {permutation(100, seed, epoch).tobytes() for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_every_record_comes_to_every_place():
    n, rounds = 16, 4000
    counts = np.zeros((n, n))
    for epoch in range(rounds):
        counts[np.arange(n), permutation(n, 1, epoch)] += 1
    chi = ((counts - rounds / n) ** 2 / (rounds / n)).sum()
    # Mean (n - 1)^2 = 225, standard deviation about 21: five of them.
    assert chi < 225 + 5 * 21.2


@pytest.mark.parametrize(
    "arguments", [{"n": -1}, {"n": 2**64}, {"n": 5, "seed": -1}, {"n": 5, "seed": 2**64}, {"n": 5, "epoch": -1}]
)
def test_refuses_numbers_out_of_range(arguments):
    with pytest.raises(s3dlio.ConfigError, match=[*arguments][-1]):
        permutation(**arguments)


def test_a_loader_visits_records_in_this_order():
    uris = [f"memory://order/{i:03}" for i in range(50)]
    s3dlio.put_many([(uri, str(i).encode()) for i, uri in enumerate(uris)])
    loader = s3dlio.create_async_loader("memory://order/", {"shuffle": True, "seed": 9})
    for epoch in range(3):
        assert [int(item.decode()) for item in loader] == permutation(50, 9, epoch).tolist()
