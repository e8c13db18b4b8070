"""The samples of ``loaders.py``: how they are made, and whether what a contestant gives is what was written.

Every sample carries its own number, so that a contestant is held to give each of them exactly once in an epoch.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PAGE = 4096
SIDE = 224
# The number of a picture stands in a strip of black and white squares at its top, one for each bit.
BITS = 16
PICTURE = (480, 640, 3)
STRIP = PICTURE[1] // BITS
# Decoders and filters differ by fractions of a level in the mean of a tile; another crop or picture, by tens of them.
TILE, LEVELS = 32, 4.0


@dataclass(frozen=True)
class Workload:
    """What is loaded: the number of samples that is measured by default, and the shape in which each arrives."""

    name: str
    title: str
    samples: int
    batch: int
    shape: tuple[int, ...]
    dtype: str
    ending: str
    # Samples that the peers without a permutation of the whole data set keep to shuffle them.
    buffer: int

    @property
    def is_image(self) -> bool:
        """Whether samples are stored as JPEG; the others are stored as their items."""
        return self.ending == "jpg"


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("small", "3 KB vectors", 50_000, 64, (3072,), "uint8", "bin", 5_000),
        Workload("image", "150 KB JPEGs, decoded to 224 x 224", 1_000, 64, (SIDE, SIDE, 3), "uint8", "jpg", 500),
        Workload("array", "5 MB arrays of float32", 96, 4, (5, 512, 512), "float32", "npz", 16),
    )
}


def make(workload: Workload, number: int) -> np.ndarray:
    """Make the sample of this number; it does not compress, so that no format gains by trying."""
    random = np.random.default_rng(number)
    if workload.is_image:
        return _picture(number, random)
    if workload.dtype == "float32":
        array = random.random(workload.shape, np.float32)
        array.flat[0] = number
        return array
    vector = random.integers(0, 256, workload.shape, np.uint8)
    vector[:8] = np.frombuffer(number.to_bytes(8, "little"), np.uint8)
    return vector


def _picture(number: int, random: np.random.Generator) -> np.ndarray:
    if number >= 1 << BITS:
        raise ValueError(f"a picture's number is {number}, expected one below {1 << BITS}")
    height, width, _ = PICTURE
    coarse = Image.fromarray(random.integers(40, 216, (12, 16, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    picture = np.clip(smooth + random.integers(-28, 29, (height, width, 1), np.int16), 0, 255).astype(np.uint8)
    bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8)
    picture[:STRIP] = 255 * np.repeat(bits, STRIP)[None, :, None]
    return picture


def jpeg(picture: np.ndarray) -> bytes:
    """Encode a picture as JPEG of about 150 KB."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=90)
    return out.getvalue()


def decode(workload: Workload, stored: Any) -> np.ndarray:
    """Make the array of a stored sample, as all contestants that decode in Python do; pictures by Pillow."""
    if workload.is_image:
        with Image.open(io.BytesIO(stored)) as picture:
            return np.array(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return np.frombuffer(stored, workload.dtype).reshape(workload.shape)


def numbers(workload: Workload, batch: np.ndarray) -> np.ndarray:
    """Return the numbers of the samples of a batch."""
    if workload.is_image:
        cell = SIDE // BITS
        bits = batch[:, cell // 2, cell // 2 :: cell, 0] > 127
        return bits @ (1 << np.arange(BITS))
    if workload.dtype == "float32":
        return batch[:, 0, 0, 0].astype(np.int64)
    return np.ascontiguousarray(batch[:, :8]).view(np.int64)[:, 0]


def touch(batch: np.ndarray) -> None:
    """Read a byte of every page of a batch: memory that nobody has filled yet is not delivered."""
    batch.reshape(-1).view(np.uint8)[::PAGE].max()


def fingerprints(workload: Workload, batch: np.ndarray) -> np.ndarray:
    """Return for each sample what identifies its content: means of tiles of pictures, exact sums of all else."""
    if workload.is_image:
        tiles = batch.reshape(len(batch), SIDE // TILE, TILE, SIDE // TILE, TILE, 3)
        return tiles.mean(axis=(2, 4), dtype=np.float32).reshape(len(batch), -1)
    words = np.ascontiguousarray(batch).reshape(len(batch), -1).view(np.uint32)
    return words.sum(axis=1, dtype=np.uint64)


def write_files(workload: Workload, folder: Path, samples: int) -> None:
    """Write every sample as a file, and beside them what a reader has to find."""
    files = folder / "files"
    files.mkdir(parents=True)
    found = []
    for number in range(samples):
        sample = make(workload, number)
        path = files / f"{number:06}.{workload.ending}"
        if workload.is_image:
            path.write_bytes(jpeg(sample))
            sample = decode(workload, path.read_bytes())
        elif workload.ending == "npz":
            np.savez(path, x=sample)
        else:
            path.write_bytes(sample.tobytes())
        found.append(fingerprints(workload, sample[None])[0])
    np.save(folder / "expected.npy", np.stack(found))
    (folder / "samples.json").write_text(json.dumps(samples))


def count(folder: Path) -> int:
    """Return how many samples the data set has."""
    return int(json.loads((folder / "samples.json").read_text()))


def stored(workload: Workload, folder: Path) -> Iterator[bytes]:
    """Give the samples as the shards of the other formats hold them: a JPEG each, or the items of an array."""
    for path in sorted((folder / "files").iterdir()):
        if workload.ending == "npz":
            with np.load(path) as archive:
                yield archive["x"].tobytes()
        else:
            yield path.read_bytes()


def check_epoch(workload: Workload, folder: Path, batches: Callable[[], Iterator[np.ndarray]]) -> None:
    """Go through an epoch and hold it to be complete.

    Raises:
        ValueError: A batch has another shape or dtype, a sample comes never or twice or has other content, or the
            order is that of the data set.
    """
    expected = np.load(folder / "expected.npy")
    seen: list[np.ndarray] = []
    for batch in batches():
        shape = (len(batch), *workload.shape)
        if batch.shape != shape or batch.dtype != workload.dtype or not 0 < len(batch) <= workload.batch:
            most = f"at most {workload.batch} samples of {workload.dtype}{workload.shape}"
            raise ValueError(f"a batch is {batch.dtype}{batch.shape}, expected {most}")
        which = numbers(workload, batch)
        if which.min() < 0 or which.max() >= len(expected):
            raise ValueError(f"a batch has samples {which}, expected numbers below {len(expected)}")
        difference = np.abs(fingerprints(workload, batch).astype(np.float64) - expected[which].astype(np.float64))
        if difference.max() > (LEVELS if workload.is_image else 0):
            raise ValueError(f"samples have other content than was written, by up to {difference.max()}")
        seen.append(which)
    order = np.concatenate(seen)
    if len(order) != len(expected) or len(np.unique(order)) != len(expected):
        raise ValueError(f"{len(order)} samples, {len(np.unique(order))} different, expected {len(expected)}")
    if np.array_equal(order, np.arange(len(expected))):
        raise ValueError("the samples come in the order of the data set, expected them shuffled")


def count_epoch(workload: Workload, batches: Iterator[np.ndarray]) -> tuple[int, int]:
    """Go through an epoch as a trainer would; returns the number of samples and the sum of their numbers."""
    samples, total = 0, 0
    for batch in batches:
        touch(batch)
        samples += len(batch)
        total += int(numbers(workload, batch).sum())
    return samples, total
