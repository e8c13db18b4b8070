"""Readers that DLIO's loaders call."""

# DLIO ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import s3dlio
from dlio_benchmark.common.enumerations import DatasetType, Shuffle
from dlio_benchmark.reader.reader_handler import FormatReader
from s3dlio.batches import Batches

__all__ = ["NPYReader", "NPZReader", "TFRecordReader"]


class _ArrayReader(FormatReader):  # type: ignore[misc]
    """Reads files whose samples are the last axis of an array."""

    def __init__(self, dataset_type: Any, thread_index: int, epoch: int) -> None:
        _ = epoch
        super().__init__(dataset_type, thread_index)
        # DLIO makes paths of what it takes for names of files.
        self._uris = {os.path.abspath(uri): uri for uri in self._file_list}  # noqa: PTH100 - as DLIO does

    def open(self, filename: str) -> Any:
        """Read the samples of a file."""
        return self.load(self._uris.get(filename, filename))

    def load(self, uri: str) -> Any:
        """Read the samples at a URI."""
        raise NotImplementedError

    def close(self, filename: str) -> None:
        """Do nothing: what was read is dropped by DLIO."""

    def get_sample(self, filename: str, sample_index: int) -> None:
        """Take one sample of an open file."""
        _ = self.open_file_map[filename][..., sample_index]

    def next(self) -> Iterator[Any]:
        """Return batches of this thread."""
        yield from super().next()

    def read_index(self, global_sample_idx: int, step: int) -> Any:
        """Read one sample by its number."""
        return super().read_index(global_sample_idx, step)

    def finalize(self) -> None:
        """Drop what is open."""
        self.open_file_map.clear()

    def is_index_based(self) -> bool:
        """Return that samples can be read by their number."""
        return True

    def is_iterator_based(self) -> bool:
        """Return that samples can be read in order."""
        return True


class NPZReader(_ArrayReader):
    """Reads the array ``x`` of NPZ archives."""

    def load(self, uri: str) -> Any:
        """Read the array ``x``."""
        return s3dlio.read_npz(uri, "x")


class NPYReader(_ArrayReader):
    """Reads NPY files."""

    def load(self, uri: str) -> Any:
        """Read the array."""
        return s3dlio.read_npy(uri)


class _Epochs:
    """One iteration an epoch: batches are read, and what a step gets is the image of DLIO's workload."""

    def __init__(self, batches: Batches, image: Any) -> None:
        self._batches = batches
        self._image = image

    def __iter__(self) -> Iterator[Any]:
        for records in self._batches:
            yield np.broadcast_to(self._image, (len(records), *self._image.shape))


class TFRecordReader(_ArrayReader):
    """Reads the records of TFRecord files ahead, in batches split over the ranks; for DLIO's TensorFlow loader."""

    def next(self) -> Any:
        """Return the batches of this rank: each iteration is the next epoch."""
        shuffled = self._args.sample_shuffle is not Shuffle.OFF
        training = self.dataset_type is DatasetType.TRAIN
        batches = Batches(
            [*self._file_list],
            format="tfrecord",
            batch_size=self.batch_size,
            rank=self._args.my_rank,
            world_size=self._args.comm_size,
            last="drop",
            shuffle=shuffled and training,
            seed=self._args.seed,
            prefetch=self._args.prefetch_size,
        )
        return _Epochs(batches, self._args.resized_image)

    def is_index_based(self) -> bool:
        """Return that records are not read by their number."""
        return False
