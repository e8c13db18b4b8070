"""Data sets of DLIO's shapes, written by s3dlio."""

# DLIO ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import posixpath

import numpy as np
import s3dlio
from dlio_benchmark.data_generator.data_generator import DataGenerator

__all__ = ["NPYGenerator", "NPZGenerator", "TFRecordGenerator"]

# The seed of DLIO's own generators, so that all ranks agree on the dimensions.
_SEED = 10


class _Generator(DataGenerator):  # type: ignore[misc]
    """Makes every file of this rank."""

    def generate(self) -> None:
        """Make the files of this rank.

        Raises:
            UnsupportedError: The workload asks for compressed files: random bytes do not get smaller.
        """
        if str(self.compression) != "none":
            raise s3dlio.UnsupportedError(f"option `compression`: found {self.compression}, expected none")
        super().generate()
        np.random.seed(_SEED)  # noqa: NPY002 - what DLIO's dimensions are drawn from
        dimensions = self.get_dimension(self.total_files_to_generate)
        for number in range(self.my_rank, self.total_files_to_generate, self.comm_size):
            shape = (int(dimensions[2 * number]), int(dimensions[2 * number + 1]))
            self.write(self.storage.get_uri(self._file_list[number]), shape, _SEED + number)

    def write(self, uri: str, shape: tuple[int, int], seed: int) -> None:
        """Write one file with samples of this shape."""
        raise NotImplementedError


class NPZGenerator(_Generator):
    """Archives with the samples ``x``, the last axis of which numbers them, and their labels ``y``."""

    def write(self, uri: str, shape: tuple[int, int], seed: int) -> None:
        """Write one file."""
        # The labels of an archive are as many as its first axis is long, and DLIO has one for each sample.
        content = s3dlio.generate_data(shape[0] * shape[1] * self.num_samples, seed=seed)
        samples = np.frombuffer(content.memoryview(), np.uint8).reshape(*shape, self.num_samples)
        s3dlio.write_npz(uri, {"x": samples, "y": np.zeros(self.num_samples, np.int64)})


class NPYGenerator(_Generator):
    """Arrays of the samples."""

    def write(self, uri: str, shape: tuple[int, int], seed: int) -> None:
        """Write one file."""
        content = s3dlio.generate_data(shape[0] * shape[1] * self.num_samples, seed=seed)
        s3dlio.write_npy(uri, np.frombuffer(content.memoryview(), np.uint8).reshape(*shape, self.num_samples))


class TFRecordGenerator(_Generator):
    """TFRecord files with an ``image`` and its ``size`` in each record, and an index of each file as DALI reads it."""

    def write(self, uri: str, shape: tuple[int, int], seed: int) -> None:
        """Write one file and its index."""
        folder, name = posixpath.split(uri)
        part = "valid" if posixpath.basename(folder) == "valid" else "train"
        index = self.storage.get_uri(f"{self._args.data_folder}/index/{part}/{name}.idx")
        size = shape[0] * shape[1]
        content = s3dlio.generate_data(size * self.num_samples, seed=seed)
        with s3dlio.TFRecordWriter(uri, index=index) as writer:
            for sample in range(self.num_samples):
                image = bytes(content[sample * size : (sample + 1) * size])
                writer.write_example({"image": image, "size": int(self._dimension)})
