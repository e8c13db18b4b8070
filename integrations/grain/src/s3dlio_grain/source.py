"""Records by number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import s3dlio
from s3dlio.array_record import ArrayRecordDataSource

__all__ = ["Data", "Source"]

Data: TypeAlias = str | Iterable[str] | ArrayRecordDataSource | s3dlio.TFRecordDataSource | s3dlio.PyDataset
"""What a source is made of."""


class Source:
    """A random-access source for ``grain.MapDataset.source`` and ``grain.DataLoader``.

    A record is ``bytes``, or what the decoder makes of it: a dict of arrays (``"npz"``) or an array (``"npy"``). Where
    Grain asks for several at a time, as it does for batches, they are read together: objects in parallel, neighbours
    in a file by one read. It pickles with its list of records, so worker processes do not list again.

    Args:
        data: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of s3dlio.
        format: What a record is: ``"objects"`` (each object), ``"array_record"``, ``"tfrecord"`` (through the index
            beside the file, or one made from its headers), ``"npz"`` (the arrays of archives, one each) or ``"auto"``
            (by the files' names).
        pattern: A glob on the key below the prefix or on its last segment.
        decoder: ``"bytes"``, ``"npz"`` or ``"npy"``; what the records need by default, for objects ``"bytes"``.

    Raises:
        NotFoundError: There is nothing.
        ConfigError: An option is out of range.
        S3dlioError: The data cannot be listed, or a file is damaged.
    """

    def __init__(
        self,
        data: Data,
        *,
        format: str = "objects",  # noqa: A002 - what s3dlio calls it
        pattern: str | None = None,
        decoder: str | None = None,
    ) -> None:
        options = {} if decoder is None else {"decoder": decoder}
        if isinstance(data, s3dlio.PyDataset):
            if pattern is not None or format != "objects" or decoder is not None:
                message = (
                    "`format`, `pattern` and `decoder` say what to look for: found with a data set, which has them"
                )
                raise TypeError(message)
            self._dataset = data
        else:
            self._dataset = s3dlio.PyDataset(data, options, pattern=pattern, format=format)

    @property
    def dataset(self) -> s3dlio.PyDataset:
        """The records as a data set of s3dlio."""
        return self._dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        """Read one record.

        Raises:
            IndexError: There is none of this number.
            S3dlioError: It cannot be read; the message names it.
        """
        return self._getitems([index])[0]

    def _getitems(self, indices: Sequence[int]) -> list[Any]:
        """Read several records together; the name is Grain's."""
        samples = self._dataset.read(indices)
        return [bytes(sample) if isinstance(sample, s3dlio.BytesView) else sample for sample in samples]

    def __repr__(self) -> str:
        # Grain keeps this text in its states and compares it: it must say which records these are.
        return f"Source({self._dataset.objects.fingerprint}, decoder={self._dataset.options.value('decoder')!r})"
