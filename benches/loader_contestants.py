"""The contestants of ``loaders.py``: each reads, decodes, shuffles and stacks the samples in its own way.

A function takes the workload and the folder of its format, and returns what gives a new epoch's batches each time that
it is called. Every one is set up as its own documentation advises for data on local files. Those whose work is done in
Python run without worker processes and with two.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loader_samples import SIDE, WORKLOADS, Workload, decode
from torch.utils.data import DataLoader, Dataset

Epochs = Callable[[], Iterator[np.ndarray]]


def tensor(workload: Workload, stored: Any) -> torch.Tensor:
    """Decode a stored sample as a tensor, which workers hand over in shared memory."""
    if workload.is_image:
        return torch.from_numpy(decode(workload, stored))
    return torch.frombuffer(stored, dtype=getattr(torch, workload.dtype)).reshape(workload.shape)


def arrays(loader: Any) -> Epochs:
    """Go through a loader of tensors again in each epoch."""
    return lambda: (batch.numpy() for batch in loader)


def worker_options(workers: int) -> dict[str, Any]:
    """Return options of a ``DataLoader`` whose workers stay from epoch to epoch."""
    return {"num_workers": workers, "persistent_workers": workers > 0}


def s3dlio_array_record(workload: Workload, folder: Path) -> Epochs:
    """Ours over ArrayRecord."""
    from s3dlio.torch import Loader  # noqa: PLC0415 - in one environment only

    uri, decoder = f"file://{folder}/", _decoder(workload, "npy")
    return arrays(
        Loader(uri, format="array_record", batch_size=workload.batch, shuffle=True, loader_opts={"decoder": decoder})
    )


def s3dlio_files(workload: Workload, folder: Path) -> Epochs:
    """Ours over a file for each sample, of kinds that it decodes by itself."""
    from s3dlio.torch import Loader  # noqa: PLC0415 - in one environment only

    decoder = _decoder(workload, "npz" if workload.ending == "npz" else "npy")
    loader = Loader(f"file://{folder}/", batch_size=workload.batch, shuffle=True, loader_opts={"decoder": decoder})
    return (lambda: (batch["x"].numpy() for batch in loader)) if decoder == "npz" else arrays(loader)


def _decoder(workload: Workload, otherwise: str) -> str:
    from s3dlio import image_decoder  # noqa: PLC0415 - in one environment only

    return image_decoder(SIDE, fit="stretch") if workload.is_image else otherwise


def s3dlio_bytes(workload: Workload, folder: Path) -> Epochs:
    """Ours over the same bare files that the ``DataLoader`` has; they come as bytes, which the caller stacks."""
    from s3dlio.torch import Loader  # noqa: PLC0415 - in one environment only

    loader = Loader(f"file://{folder}/", batch_size=workload.batch, shuffle=True)
    return lambda: (torch.stack(batch).numpy() for batch in loader)


class Files(Dataset[torch.Tensor]):
    """The plain way: open, read and decode each file in Python."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        self.workload = workload
        self.paths = sorted(str(path) for path in folder.iterdir())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.workload.ending == "npz":
            with np.load(self.paths[index]) as archive:
                return torch.from_numpy(archive["x"])
        with open(self.paths[index], "rb") as file:  # noqa: PTH123 - the fastest spelling
            return tensor(self.workload, file.read())


def dataloader(workload: Workload, folder: Path, workers: int) -> Epochs:
    """``torch.utils.data.DataLoader`` over files."""
    options = worker_options(workers)
    return arrays(DataLoader(Files(workload, folder), batch_size=workload.batch, shuffle=True, **options))


def webdataset(workload: Workload, folder: Path, workers: int) -> Epochs:
    """Tar files, of which each worker mixes and stacks its own."""
    import webdataset as wds  # noqa: PLC0415 - in one environment only

    paths = sorted(str(path) for path in folder.iterdir())
    dataset = (
        wds.WebDataset(paths, shardshuffle=len(paths), empty_check=False)
        .shuffle(workload.buffer)
        .to_tuple("jpg" if workload.is_image else "bin")
        .map_tuple(functools.partial(tensor, workload))
        .batched(workload.batch)
    )
    loader = wds.WebLoader(dataset, batch_size=None, **worker_options(workers))
    return lambda: (batch.numpy() for (batch,) in loader)


def mosaicml_streaming(workload: Workload, folder: Path, workers: int) -> Epochs:
    """MDS shards, all of them local already."""
    from streaming import StreamingDataset  # noqa: PLC0415 - in one environment only

    class Decoded(StreamingDataset):
        def __getitem__(self, at: int) -> Any:
            found = super().__getitem__(at)["x"]
            return tensor(workload, found) if workload.is_image else found

    dataset = Decoded(local=str(folder), shuffle=True, batch_size=workload.batch)
    return arrays(DataLoader(dataset, batch_size=workload.batch, **worker_options(workers)))


def litdata(workload: Workload, folder: Path, workers: int) -> Epochs:
    """Chunks of litdata, all of them local already."""
    from litdata import StreamingDataLoader, StreamingDataset  # noqa: PLC0415 - in one environment only

    transform = functools.partial(tensor, workload) if workload.is_image else None
    dataset = StreamingDataset(str(folder), shuffle=True, drop_last=False, transform=transform)
    return arrays(StreamingDataLoader(dataset, batch_size=workload.batch, **worker_options(workers)))


def grain(workload: Workload, folder: Path, workers: int) -> Epochs:
    """ArrayRecord by Grain: its reading threads, or worker processes."""
    import grain as gr  # noqa: PLC0415 - in one environment only
    from absl import flags  # noqa: PLC0415 - comes with it

    # Its workers ask for flags, which otherwise absl's own start of a program reads.
    flags.FLAGS(["loaders"])
    source = gr.sources.ArrayRecordDataSource(sorted(str(path) for path in folder.iterdir()))

    def batches(seed: int) -> Any:
        return gr.MapDataset.source(source).seed(seed).shuffle().map(functools.partial(decode, workload)).batch(size)

    size = workload.batch
    if not workers:
        # What is read ahead is counted in batches, of which one may have 20 MiB.
        reading = gr.ReadOptions(num_threads=16, prefetch_buffer_size=16)
        seeds = itertools.count()
        return lambda: iter(batches(next(seeds)).to_iter_dataset(reading))
    # Its workers start with an iterator, which takes seconds, so that one stream serves all epochs.
    endless = batches(0).repeat().to_iter_dataset(gr.ReadOptions(num_threads=2, prefetch_buffer_size=2))
    stream = iter(endless.mp_prefetch(gr.MultiprocessingOptions(num_workers=workers)))
    return lambda: itertools.islice(stream, len(batches(0)))


def tf_data(workload: Workload, folder: Path, *, antialias: bool = True) -> Epochs:
    """TFRecord by ``tf.data``, with its own numbers of threads."""
    import tensorflow as tf  # noqa: PLC0415 - in one environment only

    def picture(record: Any) -> Any:
        pixels = tf.io.decode_jpeg(record, channels=3)
        resized = tf.image.resize(pixels, (SIDE, SIDE), antialias=antialias)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)

    def items(records: Any) -> Any:
        return tf.reshape(tf.io.decode_raw(records, workload.dtype), (-1, *workload.shape))

    paths = sorted(str(path) for path in folder.iterdir())
    files = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), reshuffle_each_iteration=True)
    records = files.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    shuffled = records.shuffle(workload.buffer)
    if workload.is_image:
        batches = shuffled.map(picture, num_parallel_calls=tf.data.AUTOTUNE).batch(workload.batch)
    else:
        batches = shuffled.batch(workload.batch).map(items, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE).as_numpy_iterator


def tf_data_aliased(workload: Workload, folder: Path) -> Epochs:
    """Likewise with TensorFlow's default filter, which looks at four pixels for each and leaves the others out."""
    return tf_data(workload, folder, antialias=False)


@dataclass(frozen=True)
class Contestant:
    """One way to load, and in which environment, from which format and for which workloads."""

    epochs: Callable[[Workload, Path], Epochs]
    format: str
    packages: tuple[str, ...]
    peers: bool = False
    workloads: tuple[str, ...] = tuple(WORKLOADS)

    def folder(self, workload: Workload) -> str:
        """Return the name of the format that is read: bare files serve where the library decodes them by itself."""
        return "files" if self.format == "npy" and workload.ending != "bin" else self.format


def _with_workers(
    name: str, epochs: Callable[[Workload, Path, int], Epochs], format_name: str, packages: tuple[str, ...], peers: bool
) -> dict[str, Contestant]:
    return {
        f"{name}_{workers}": Contestant(functools.partial(epochs, workers=workers), format_name, packages, peers)
        for workers in (0, 2)
    }


# Ours first: the ratios are to them. A number at the end is that of worker processes.
OURS = {
    "s3dlio_array_record": Contestant(s3dlio_array_record, "npy_record", ("s3dlio", "torch")),
    "s3dlio_files": Contestant(s3dlio_files, "npy", ("s3dlio", "torch")),
    "s3dlio_bytes": Contestant(s3dlio_bytes, "files", ("s3dlio", "torch"), workloads=("small",)),
}
CONTESTANTS: dict[str, Contestant] = {
    **OURS,
    **_with_workers("dataloader", dataloader, "files", ("torch",), peers=False),
    **_with_workers("webdataset", webdataset, "tar", ("webdataset", "torch"), peers=True),
    **_with_workers("mosaicml_streaming", mosaicml_streaming, "mds", ("mosaicml-streaming", "torch"), peers=True),
    **_with_workers("litdata", litdata, "litdata", ("litdata", "torch"), peers=True),
    **_with_workers("grain", grain, "array_record", ("grain", "array-record"), peers=False),
    "tf_data": Contestant(tf_data, "tfrecord", ("tensorflow-cpu",)),
    "tf_data_aliased": Contestant(tf_data_aliased, "tfrecord", ("tensorflow-cpu",), workloads=("image",)),
}
# Formats that only the environment of the peers can write.
PEERS_FORMATS = ("tar", "mds", "litdata")
