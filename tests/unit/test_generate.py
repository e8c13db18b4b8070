"""Content for benchmarks: what is asked for, the same for the same seed, however it is made."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import s3dlio

SIZE = 5 * (1 << 20) + 123


@pytest.mark.parametrize("threads", [None, 1, 2, 7])
def test_threads_change_nothing(threads):
    expected = s3dlio.generate_data(SIZE, 3, 2, seed=7)
    found = s3dlio.generate_data_with_threads(SIZE, 3, 2, threads=threads, seed=7)
    assert type(found) is s3dlio.BytesView
    assert found == expected
    buffer = np.zeros(SIZE, np.uint8)
    assert s3dlio.generate_into_buffer(buffer, 3, 2, threads, seed=7) == SIZE
    assert buffer.tobytes() == expected


def test_without_a_seed_every_call_differs():
    assert s3dlio.generate_data_with_threads(1000) != s3dlio.generate_data_with_threads(1000)
    assert len(zlib.compress(s3dlio.generate_data_with_threads(100_000))) > 99_000


def test_a_generator_gives_the_whole_in_pieces():
    generator = s3dlio.Generator(SIZE, dedup=2, compress=4, chunk_size=1 << 20, seed=5)
    assert (generator.chunk_size, generator.position, generator.is_complete()) == (1 << 20, 0, False)
    buffer = bytearray(1_000_003)
    pieces = b""
    while not generator.is_complete():
        filled = generator.fill_chunk(buffer)
        assert filled == min(len(buffer), SIZE - len(pieces))
        pieces += buffer[:filled]
    assert pieces == s3dlio.generate_data(SIZE, 2, 4, seed=5)
    assert generator.fill_chunk(buffer) == 0
    assert generator.get_chunk() == b""
    generator.reset()
    assert generator.get_chunk() == pieces[: 1 << 20]
    assert generator.get_chunk(10) == pieces[1 << 20 :][:10]


def test_nothing_is_made_of_nothing():
    assert s3dlio.generate_data_with_threads(0) == b""
    assert s3dlio.generate_into_buffer(bytearray()) == 0
    assert s3dlio.Generator(0).is_complete()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: s3dlio.generate_data_with_threads(-1), s3dlio.ConfigError),
        (lambda: s3dlio.generate_data_with_threads(1, threads=0), s3dlio.ConfigError),
        (lambda: s3dlio.generate_data_with_threads(1, dedup=-1), s3dlio.ConfigError),
        (lambda: s3dlio.Generator(10, chunk_size=0), s3dlio.ConfigError),
        (lambda: s3dlio.generate_into_buffer(b"read only"), TypeError),
        (lambda: s3dlio.Generator(10).fill_chunk("text"), TypeError),
        (lambda: s3dlio.generate_into_buffer(np.zeros((4, 4), np.uint8)[:, ::2]), TypeError),
    ],
)
def test_what_is_refused(call, error):
    with pytest.raises(error):
        call()
