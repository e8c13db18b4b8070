"""Records as examples of ``datasets``."""

# The package ships partial types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import datasets
import s3dlio
from s3dlio.array_record import ArrayRecordDataSource
from s3dlio.errors import ConfigError

__all__ = ["Data", "iterable_dataset"]

Data: TypeAlias = str | Iterable[str] | ArrayRecordDataSource | s3dlio.TFRecordDataSource | s3dlio.PyDataset
"""What a data set is made of."""


def _example(sample: Any) -> dict[str, Any]:
    if isinstance(sample, s3dlio.BytesView):
        return {"bytes": bytes(sample)}
    return dict(sample) if isinstance(sample, Mapping) else {"array": sample}  # pyright: ignore[reportUnknownArgumentType]


class _Records:
    """Reads blocks of records; a class, because workers get it in a pickle."""

    def __init__(self, dataset: s3dlio.PyDataset, transform: Callable[[Any], dict[str, Any]]) -> None:
        self._dataset = dataset
        self._transform = transform

    def __call__(self, blocks: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        for start, stop in blocks:
            for sample in self._dataset.select(range(start, stop)):
                yield self._transform(sample)


def iterable_dataset(
    data: Data,
    *,
    format: str = "objects",  # noqa: A002 - what s3dlio calls it
    pattern: str | None = None,
    decoder: str | None = None,
    transform: Callable[[Any], dict[str, Any]] = _example,
    features: datasets.Features | None = None,
    block: int = 1024,
) -> datasets.IterableDataset:
    """Make an iterable data set of ``datasets``, with all that those have: ``map``, ``shuffle``, a state, workers.

    The records are divided into blocks of neighbours, each a shard: workers and nodes share the blocks, and
    ``shuffle`` takes them in another order. Going on from a state reads at most one block again.

    Args:
        data: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of s3dlio.
        format: What a record is; see :class:`s3dlio.PyDataset`.
        pattern: A glob on the key below the prefix or on its last segment.
        decoder: ``"bytes"``, ``"npz"`` or ``"npy"``; what the records need by default, for objects ``"bytes"``.
        transform: Makes an example of a record; by default ``{"bytes": ...}``, the arrays of an archive by their
            names, or ``{"array": ...}``.
        features: Types of the fields.
        block: Records of a block.

    Raises:
        NotFoundError: There is nothing.
        ConfigError: An option is out of range.
        S3dlioError: The data cannot be listed, or a file is damaged.
    """
    if block < 1:
        message = f"option `block`: found {block}, expected an integer of at least 1"
        raise ConfigError(message)
    if isinstance(data, s3dlio.PyDataset):
        if pattern is not None or format != "objects" or decoder is not None:
            message = "`format`, `pattern` and `decoder` say what to look for: found with a data set, which has them"
            raise TypeError(message)
        records = data
    else:
        options = {} if decoder is None else {"decoder": decoder}
        records = s3dlio.PyDataset(data, options, pattern=pattern, format=format)
    count = len(records)
    blocks = [(start, min(start + block, count)) for start in range(0, count, block)]
    return datasets.IterableDataset.from_generator(
        _Records(records, transform), gen_kwargs={"blocks": blocks}, features=features
    )
