"""Map-style data sets: random access by index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import Dataset

from s3dlio import _s3dlio
from s3dlio.dataset import PyDataset, found_in
from s3dlio.options import LoaderOptions
from s3dlio.sources import Data, positions
from s3dlio.torch.convert import Converter, check_return_type
from s3dlio.torch.epochs import share_machine
from s3dlio.torch.records import Records
from s3dlio.transform import apply

__all__ = ["S3MapDataset"]


class S3MapDataset(Records, Dataset[Any]):
    """The objects below a URI, by index.

    ``DataLoader`` fetches a whole batch through ``__getitems__``: one parallel read. It works with every sampler
    (``DistributedSampler`` among them) and with forked, spawned and fork-server workers; pickling sends the list of
    objects along.

    Args:
        uri: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of this package.
        pattern: A glob on the key below the prefix or on its last segment.
        format: What a record is: ``"objects"``, ``"array_record"``, ``"tfrecord"``, ``"npz"`` or ``"auto"``; see
            :class:`~s3dlio.PyDataset`.
        transform: Called with each sample; what it raises comes as ``TransformError``.
        decoder: ``"bytes"``, ``"npz"`` (a dict of tensors) or ``"npy"`` (a tensor).
        return_type: For plain bytes: ``"tensor"`` (1-D uint8), ``"bytes"`` or ``"reader"``.
        writable: Whether byte tensors are copies that may be written to.
        suppress_nonwritable_warning: Whether torch's warning about read-only memory is kept quiet.
        num_workers: Network reads in flight for one batch; 0 means 64, or less where many processes share the machine.
        reader_mode, part_size, max_inflight_parts: How large objects are read; see :class:`~s3dlio.LoaderOptions`.

    Raises:
        InvalidUriError, NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The data set cannot be
            listed, or is empty; the message names the URI.
        ConfigError: An option is out of range.
    """

    def __init__(
        self,
        uri: Data | PyDataset,
        *,
        pattern: str | None = None,
        format: str = "objects",  # noqa: A002 - what the user calls it
        transform: Callable[[Any], Any] | None = None,
        decoder: str = "bytes",
        return_type: str = "tensor",
        writable: bool = False,
        suppress_nonwritable_warning: bool = True,
        num_workers: int = 0,
        reader_mode: str = "sequential",
        part_size: int = 8 << 20,
        max_inflight_parts: int = 4,
    ) -> None:
        options = LoaderOptions(
            decoder=decoder,
            num_workers=num_workers,
            reader_mode=reader_mode,
            part_size=part_size,
            max_inflight_parts=max_inflight_parts,
        )
        self._in_flight: int = options.value("num_workers")
        self._convert = Converter(check_return_type(return_type), writable, suppress_nonwritable_warning)
        self.transform = transform
        self._objects = found_in(uri, pattern, format, options)
        self._decoder = self._objects.decoder or decoder if decoder == "bytes" else decoder

    def uri(self, index: int) -> str:
        """Return the URI of an object."""
        return self._objects.uri(positions([index], len(self))[0])

    def uris(self) -> list[str]:
        """Return the URIs of all objects in order."""
        return [self._objects.uri(index) for index in range(len(self))]

    def __len__(self) -> int:
        return len(self._objects)

    def __getitem__(self, index: int) -> Any:
        """Read one sample; negative indices count from the end."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Read several samples in one parallel fetch; results in the order of ``indices``."""
        share_machine()
        places = positions(indices, len(self))
        samples = self._objects.read(places, self._in_flight or _s3dlio.network_reads(), self._decoder).wait()
        return [self._finish(place, sample) for place, sample in zip(places, samples, strict=True)]

    def _finish(self, position: int, sample: Any) -> Any:
        converted = self._convert.sample(sample)
        if self.transform is None:
            return converted
        return apply(self.transform, converted, self._objects.uri(position), position)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} objects, first {self._objects.uri(0)!r})"
