"""The formats of ``loaders.py``: each is written as its own documentation advises, uncompressed.

A function takes the workload, the folder with the samples as files, and the new folder that it fills.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from loader_samples import Workload, count, decode, stored

# Every format of shards has this many, so that two workers always have enough of them.
SHARDS = 16


def in_shard(folder: Path) -> int:
    """Return the number of samples in a shard."""
    return -(-count(folder) // SHARDS)


def shards(workload: Workload, folder: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Give number and samples of each shard."""
    samples = stored(workload, folder)
    for number in itertools.count():
        some = list(itertools.islice(samples, in_shard(folder)))
        if not some:
            return
        yield number, some


def npy_bytes(workload: Workload, sample: bytes) -> bytes:
    """Return a stored sample as the content of an NPY file."""
    out = io.BytesIO()
    np.save(out, decode(workload, sample))
    return out.getvalue()


def npy(workload: Workload, folder: Path, out: Path) -> None:
    """Write an NPY file for each sample: what our loader stacks by itself."""
    for number, sample in enumerate(stored(workload, folder)):
        (out / f"{number:06}.npy").write_bytes(npy_bytes(workload, sample))


def array_record(workload: Workload, folder: Path, out: Path, *, own: bool = False) -> None:
    """Write ArrayRecord with a chunk for each record, as random access wants it, by the format's own package."""
    from array_record.python.array_record_module import ArrayRecordWriter  # noqa: PLC0415 - in one environment only

    for number, some in shards(workload, folder):
        path = out / f"train.array_record-{number:05}-of-{SHARDS:05}"
        writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
        for sample in some:
            writer.write(npy_bytes(workload, sample) if own and not workload.is_image else sample)
        writer.close()


def npy_record(workload: Workload, folder: Path, out: Path) -> None:
    """Write the same with records that our loader stacks by itself: NPY, or JPEG."""
    array_record(workload, folder, out, own=True)


def tfrecord(workload: Workload, folder: Path, out: Path) -> None:
    """Write TFRecord files of bare samples: nothing of an example's protocol buffer is there to be parsed."""
    import tensorflow as tf  # noqa: PLC0415 - in one environment only

    for number, some in shards(workload, folder):
        with tf.io.TFRecordWriter(str(out / f"{number:05}.tfrecord")) as writer:
            for sample in some:
                writer.write(sample)


def tar(workload: Workload, folder: Path, out: Path) -> None:
    """Write tar files of webdataset."""
    import webdataset  # noqa: PLC0415 - in one environment only

    ending = "jpg" if workload.is_image else "bin"
    most = {"maxcount": in_shard(folder), "maxsize": 1 << 40}
    with webdataset.ShardWriter(str(out / "%05d.tar"), verbose=0, **most) as writer:
        for number, sample in enumerate(stored(workload, folder)):
            writer.write({"__key__": f"{number:06}", ending: sample})


def mds(workload: Workload, folder: Path, out: Path) -> None:
    """Write MDS shards of mosaicml-streaming: arrays of a fixed shape, or the JPEGs as they are."""
    from streaming import MDSWriter  # noqa: PLC0415 - in one environment only

    kind = "bytes" if workload.is_image else f"ndarray:{workload.dtype}:{','.join(map(str, workload.shape))}"
    size = sum(path.stat().st_size for path in (folder / "files").iterdir()) // SHARDS
    with MDSWriter(out=str(out), columns={"x": kind}, size_limit=size + (1 << 16)) as writer:
        for sample in stored(workload, folder):
            writer.write({"x": sample if workload.is_image else decode(workload, sample)})


def litdata(workload: Workload, folder: Path, out: Path) -> None:
    """Write chunks of litdata: arrays, or the JPEGs as they are."""
    from litdata import optimize  # noqa: PLC0415 - in one environment only

    paths = [str(path) for path in sorted((folder / "files").iterdir())]
    read = functools.partial(_litdata_item, workload)
    options: dict[str, Any] = {"chunk_size": in_shard(folder), "num_workers": 1, "verbose": False}
    optimize(fn=read, inputs=paths, output_dir=str(out), **options)


def _litdata_item(workload: Workload, path: str) -> Any:
    if workload.is_image:
        return Path(path).read_bytes()
    if workload.ending == "npz":
        with np.load(path) as archive:
            return archive["x"]
    return decode(workload, Path(path).read_bytes())


FORMATS: dict[str, Callable[[Workload, Path, Path], None]] = {
    "npy": npy,
    "array_record": array_record,
    "npy_record": npy_record,
    "tfrecord": tfrecord,
    "tar": tar,
    "mds": mds,
    "litdata": litdata,
}
