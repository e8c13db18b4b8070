"""Map-style and iterable data sets of objects."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import s3dlio
import torch.distributed
from s3dlio.errors import ConfigError, NotFoundError
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from s3dlio_s3torchconnector import settings
from s3dlio_s3torchconnector.reader import ReaderConstructor, S3Reader, SequentialS3Reader, split
from s3dlio_s3torchconnector.settings import S3ClientConfig

__all__ = ["S3IterableDataset", "S3MapDataset"]


def _same(reader: S3Reader) -> S3Reader:
    return reader


def _below(prefix: str) -> list[str]:
    """Return the URIs that begin with a prefix, in ascending order."""
    split(prefix)
    if "*" in prefix:
        message = f"option `s3_uri`: found {prefix!r}, expected a prefix without a `*`"
        raise ConfigError(message)
    if prefix.count("/") == 2:  # noqa: PLR2004 - those of scheme://bucket
        prefix = f"{prefix}/"
    try:
        return s3dlio.create_dataset(prefix if prefix.endswith("/") else f"{prefix}*").uris()
    except NotFoundError:
        return []


class _Objects:
    """What both kinds of data sets are: objects, how they are read, and what becomes of them."""

    def __init__(
        self,
        find: Callable[[], list[str]],
        *,
        region: str,
        endpoint: str | None = None,
        transform: Callable[[S3Reader], Any] = _same,
        s3client_config: S3ClientConfig | None = None,
        reader_constructor: ReaderConstructor | None = None,
    ) -> None:
        settings.apply(region, endpoint, s3client_config)
        self._region, self._endpoint, self._transform = region, endpoint, transform
        self._find = find
        self._found: list[str] | None = None
        self._construct = reader_constructor or SequentialS3Reader

    @classmethod
    def from_objects(cls, object_uris: str | Iterable[str], **options: Any) -> Self:
        """Make a data set of one object or several.

        Args:
            object_uris: The URIs.
            options: Those of the class.

        Raises:
            ConfigError: The environment sets another region, endpoint or option.
        """
        found = [object_uris] if isinstance(object_uris, str) else [*object_uris]
        return cls(found.copy, **options)

    @classmethod
    def from_prefix(cls, s3_uri: str, **options: Any) -> Self:
        """Make a data set of the objects whose URIs begin with ``s3_uri``; they are looked for when it is first used.

        Args:
            s3_uri: How the URIs begin.
            options: Those of the class.

        Raises:
            ConfigError: The environment sets another region, endpoint or option.
        """
        return cls(partial(_below, s3_uri), **options)

    @property
    def region(self) -> str:
        """The region."""
        return self._region

    @property
    def endpoint(self) -> str | None:
        """The endpoint, if it is not that of AWS or of the environment."""
        return self._endpoint

    def _uris(self) -> list[str]:
        if self._found is None:
            self._found = self._find()
        return self._found

    def __getstate__(self) -> dict[str, Any]:
        # Every process has the same list, made once.
        return self.__dict__ | {"_found": self._uris()}


class S3MapDataset(_Objects, Dataset[Any]):
    """Objects by index; make it by ``from_prefix`` or ``from_objects``.

    ``DataLoader`` has the objects of a batch read at the same time.

    Args:
        find: Finds the URIs, when they are first needed.
        region: Region of the bucket.
        endpoint: Another server.
        transform: Makes a sample of a reader, which is the sample by default.
        s3client_config: Options of the client.
        reader_constructor: How objects are read; default: whole.

    Raises:
        ConfigError: The environment sets another region, endpoint or option.
    """

    def __len__(self) -> int:
        return len(self._uris())

    def __getitem__(self, i: int) -> Any:
        """Return one sample.

        Raises:
            S3Exception: The object cannot be read.
        """
        return self.__getitems__([i])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return several samples, read at the same time."""
        found = self._uris()
        uris = [found[index] for index in indices]
        if self._construct is not SequentialS3Reader:
            return [self._transform(self._construct(uri)) for uri in uris]
        return [self._transform(SequentialS3Reader(uri, content)) for uri, content in s3dlio.get_many(uris)]


class S3IterableDataset(_Objects, IterableDataset[Any]):
    """Objects in their order, read ahead; make it by ``from_prefix`` or ``from_objects``.

    Args:
        find: Finds the URIs, when they are first needed.
        enable_sharding: Whether ranks and ``DataLoader`` workers share the objects; otherwise each gives all.
        options: Those of :class:`S3MapDataset`.

    Raises:
        ConfigError: The environment sets another region, endpoint or option.
    """

    def __init__(self, find: Callable[[], list[str]], *, enable_sharding: bool = False, **options: Any) -> None:
        super().__init__(find, **options)
        self._enable_sharding = enable_sharding
        # A spawned worker has no torch.distributed to ask.
        self._rank, self._world = (
            (torch.distributed.get_rank(), torch.distributed.get_world_size())
            if torch.distributed.is_available() and torch.distributed.is_initialized()
            else (0, 1)
        )

    def __iter__(self) -> Iterator[Any]:
        """Give the samples of this process."""
        first, step = 0, 1
        if self._enable_sharding:
            worker = get_worker_info()
            number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
            first, step = self._rank * workers + number, self._world * workers
        uris = self._uris()[first::step]
        if self._construct is not SequentialS3Reader:
            yield from (self._transform(self._construct(uri)) for uri in uris)
        elif uris:
            for uri, content in zip(uris, s3dlio.PyDataset.from_uris(uris), strict=True):
                yield self._transform(SequentialS3Reader(uri, content))
