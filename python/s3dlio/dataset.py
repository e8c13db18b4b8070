"""Data sets whose records are whole objects."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from s3dlio import _s3dlio, aio, bulk
from s3dlio.arguments import as_uri, at_least
from s3dlio.errors import ConfigError, InvalidUriError
from s3dlio.options import TORCH, LoaderOptions
from s3dlio.process import load_numpy
from s3dlio.sources import Data, open_source, positions

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "PyDataset",
    "create_dataset",
    "discover",
    "found_in",
    "log_skipped",
    "measure",
    "merge_options",
    "warn_unused",
]

_log = logging.getLogger("s3dlio")


def given_options(options: Mapping[str, Any] | None, opts: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the options of a call that takes them as ``options=`` or ``opts=``.

    Raises:
        TypeError: Both were given.
    """
    if options is not None and opts is not None:
        message = "give the options once: `options` and `opts` are two names of one argument"
        raise TypeError(message)
    return options if options is not None else opts


def merge_options(
    options: Mapping[str, Any] | None, opts: Mapping[str, Any] | None, keywords: Mapping[str, Any]
) -> LoaderOptions:
    """Return the options of a call that takes them as ``options=``, ``opts=`` or keywords.

    Raises:
        TypeError: Both ``options`` and ``opts`` were given.
        ConfigError: An option is unknown or out of range.
    """
    merged = LoaderOptions(given_options(options, opts))
    return LoaderOptions({**merged, **keywords})


def warn_unused(options: LoaderOptions, names: Iterable[str], where: str) -> None:
    """Warn about options that were set and do nothing in ``where``."""
    unused = [name for name in names if options.get(name)]
    if unused:
        message = f"{', '.join(unused)}: without effect on {where}; pass options.dataloader_kwargs() to DataLoader"
        warnings.warn(message, RuntimeWarning, stacklevel=3)


def log_skipped(skipped: Iterable[tuple[int, str, str]]) -> None:
    """Say which records ``on_error="skip"`` left out: (index, URI, reason) each."""
    for index, uri, reason in skipped:
        _log.warning("skipped record %d (%s): %s", index, uri, reason)


def discover(
    data: Data,
    pattern: str | None = None,
    options: LoaderOptions | None = None,
    *,
    format: str = "objects",  # noqa: A002 - what the user calls it
    index: str | os.PathLike[str] | None = None,
) -> _s3dlio.Objects:
    """Find the records of a data set.

    Args:
        data: A prefix (everything below it, in ascending order), the URI of one object, a URI with a ``*``, an
            iterable of URIs, whose order is kept, or an ``ArrayRecordDataSource`` or ``TFRecordDataSource``.
        pattern: A glob on the key below the prefix or on its last segment.
        options: Says how large objects are read (``reader_mode``, ``part_size``, ``max_inflight_parts``).
        format: What a record is: ``"objects"`` (each object), ``"array_record"`` or ``"tfrecord"`` (the records of such
            files), ``"npz"`` (the arrays of archives, one each), ``"parquet"`` (the row groups of tables), or
            ``"auto"``: by the files' names, if all of them end in ``.array_record``, all in ``.tfrecord`` or all in
            ``.parquet``, and else whole objects.
        index: Where the listing is kept; see :class:`PyDataset`.

    Raises:
        InvalidUriError: A text is no URI with a known scheme.
        NotFoundError: The prefix does not exist or nothing below it fits; the message names it.
        ConfigError: The format is unknown, or ``"auto"`` finds files of several.
        CorruptDataError: A record file or its index is damaged.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """
    chosen = options or LoaderOptions()
    objects = open_source(data, pattern, format, chosen.access(), index)
    measure(objects, chosen)
    return objects


def measure(objects: _s3dlio.Objects, options: LoaderOptions) -> None:
    """Ask the store for sizes that no listing has told, where ``skip_head=False`` wants that before the reading."""
    if options.value("skip_head") or not objects.whole:
        return
    unknown = [objects.uri(index) for index in range(len(objects)) if objects.size(index) is None]
    bulk.get_many_stats([uri for uri in unknown if not uri.startswith(_MEMORY)])


# What a record is called that came as bytes and not from a store.
_MEMORY = "bytes:"


def found_in(
    data: Data | PyDataset,
    pattern: str | None,
    format: str,  # noqa: A002 - what the user calls it
    options: LoaderOptions,
) -> _s3dlio.Objects:
    """Return the records of a data set that is there, or :func:`discover` them."""
    if not isinstance(data, PyDataset):
        return discover(data, pattern, options, format=format)
    if pattern is not None or format != "objects":
        message = (
            f"`pattern` and `format` say what to look for: found {pattern!r}, {format!r} with a data set, expected none"
        )
        raise TypeError(message)
    measure(data.objects, options)
    return data.objects


def create_dataset(
    uri: str,
    options: Mapping[str, Any] | None = None,
    *,
    opts: Mapping[str, Any] | None = None,
    pattern: str | None = None,
    format: str = "objects",  # noqa: A002 - what the user calls it
    index: str | os.PathLike[str] | None = None,
) -> PyDataset:
    """Make a data set of the objects below ``uri``, or of the records of the files there; see :class:`PyDataset`.

    Raises:
        InvalidUriError: The URI has no known scheme.
        NotFoundError: The path does not exist, or there is nothing below it.
        ConfigError: An option is unknown or out of range.
    """
    return PyDataset(uri, options, opts=opts, pattern=pattern, format=format, index=index)


class PyDataset(Sequence[Any]):
    """A sequence of records: ``len``, index (also negative), slice, iteration.

    A record is a whole object unless ``format`` says otherwise: ``"array_record"``, ``"tfrecord"`` (the records of such
    files, found by their indexes), ``"npz"`` (the arrays of archives, one each), ``"parquet"`` (the row groups of
    tables) or ``"auto"`` (by the files' names). In place of a URI it takes an ``ArrayRecordDataSource``,
    ``TFRecordDataSource`` or ``ParquetDataSource``.

    An item is a :class:`~s3dlio.BytesView`, or what the ``decoder`` option makes of it: a dict of arrays (``"npz"``) or
    an array (``"npy"``). Reading an item fetches its object; iterating reads ahead, in listing order or shuffled by the
    options, each iteration as the next epoch. Pickling sends the list of objects along, so that every process sees the
    same data set.

    With ``index``, the URI of an object outside of the data set, the listing of whole objects is kept there, and the
    next run takes it from there if it was made for the same URI and pattern and eight objects, spread from the first to
    the last, are there with their sizes. Single objects that came, went or changed are not noticed: remove the index
    after changing a data set. Something else at that place is an ``AlreadyExistsError``.
    """

    def __init__(
        self,
        uri: Data | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        opts: Mapping[str, Any] | None = None,
        pattern: str | None = None,
        format: str = "objects",  # noqa: A002 - what the user calls it
        index: str | os.PathLike[str] | None = None,
        objects: _s3dlio.Objects | None = None,
    ) -> None:
        given = merge_options(options, opts, {})
        warn_unused(given, TORCH, "a dataset")
        if objects is None:
            if uri is None:
                message = "a dataset needs a `uri`"
                raise TypeError(message)
            objects = _discover_documented(uri, pattern, given, format, index)
        self.options = given.for_records(objects.decoder)
        self.objects = objects
        self._epoch = 0

    @classmethod
    def from_uris(
        cls, uris: Iterable[str], options: Mapping[str, Any] | None = None, *, opts: Mapping[str, Any] | None = None
    ) -> PyDataset:
        """Make a data set of these objects in this order."""
        return cls(iter(uris), options, opts=opts)

    @classmethod
    def from_manifest(
        cls,
        uri: str | os.PathLike[str],
        options: Mapping[str, Any] | None = None,
        *,
        opts: Mapping[str, Any] | None = None,
    ) -> PyDataset:
        """Make a data set of the objects that a text names, in its order, without a listing.

        Each line is a URI, or a name below the folder of the manifest, and may have the size in bytes behind a tab; or
        it is an object of JSON with ``"uri"`` and perhaps ``"size"``, whose other keys are left alone. Empty lines and
        those that begin with ``#`` say nothing.

        Raises:
            CorruptDataError: A line is none of these; the message names it.
            NotFoundError: There is no such manifest, or it names no object.
        """
        given = merge_options(options, opts, {})
        return cls(objects=_s3dlio.Objects.manifest(as_uri(uri), *given.access()).wait(), options=given)

    @classmethod
    def from_template(
        cls,
        template: str,
        count: int,
        options: Mapping[str, Any] | None = None,
        *,
        start: int = 0,
        size: int | None = None,
        opts: Mapping[str, Any] | None = None,
    ) -> PyDataset:
        """Make a data set of ``count`` objects whose names are counted up, without a listing or a list.

        Args:
            template: A URI with one ``{}`` in its key, or ``{:06}`` for a number filled up with zeros to six digits; a
                brace is written twice.
            count: The number of objects.
            options: As of the constructor.
            opts: The same.
            start: The first number.
            size: Bytes of each object, where all have the same; it only says how much memory reading ahead takes.

        Raises:
            ConfigError: The template has no such place or several, or a number is out of range.
        """
        given = merge_options(options, opts, {})
        numbers = at_least("start", start, 0), at_least("count", count, 1)
        bytes_of_each = None if size is None else at_least("size", size, 0)
        objects = _s3dlio.Objects.template(as_uri(template), *numbers, bytes_of_each, *given.access())
        return cls(objects=objects, options=given)

    @classmethod
    def from_bytes_list(
        cls, items: Iterable[Buffer], options: Mapping[str, Any] | None = None, *, opts: Mapping[str, Any] | None = None
    ) -> PyDataset:
        """Make a data set of these bytes in this order; no store is asked. They travel with it where it is pickled.

        ``bytes`` and :class:`~s3dlio.BytesView` are taken as they are, what can be changed is copied. Their URIs are
        ``bytes:0``, ``bytes:1`` and so on.

        Raises:
            ConfigError: There are none.
            TypeError: One has no contiguous buffer.
        """
        kept = [item if isinstance(item, bytes | _s3dlio.BytesView) else bytes(item) for item in items]
        return cls(objects=_s3dlio.Objects.of_bytes(kept), options=merge_options(options, opts, {}))

    @classmethod
    def concat(cls, datasets: Iterable[PyDataset]) -> PyDataset:
        """Make a data set of the records of several, one behind the other, with the options of the first.

        Raises:
            ConfigError: There is none, or two need different decoders.
        """
        parts = [*datasets]
        return cls(objects=_s3dlio.Objects.concat([part.objects for part in parts]), options=_first_options(parts))

    @classmethod
    def mix(cls, datasets: Iterable[PyDataset], weights: Sequence[float]) -> PyDataset:
        """Make a mixture: at each position of an epoch a loader draws from one of the data sets, by their weights.

        The draws are dealt out evenly, not at random, and each data set goes through all of its records before one
        comes again, across epochs too. An epoch has as many samples as all data sets together. Weights that are no
        integers are rounded to thousandths of their sum. By index it is :meth:`concat`.

        Raises:
            ConfigError: There are not as many weights as data sets, one is not above 0, or a data set is empty.
        """
        parts = [*datasets]
        objects = _s3dlio.Objects.concat([part.objects for part in parts], _whole_weights(weights))
        return cls(objects=objects, options=_first_options(parts))

    def select(self, indices: Iterable[int]) -> PyDataset:
        """Return a data set of these records, in this order; a ``range`` or slice of steps of 1 keeps its blocks."""
        if isinstance(indices, range) and indices.step == 1 and len(indices) > 0:
            first, last = positions([indices[0], indices[-1]], len(self))
            # From the last records on to the first ones, as from -2 to 2, is no range of positions.
            if first <= last:
                return PyDataset(objects=_s3dlio.Objects.range(self.objects, first, last + 1), options=self.options)
        objects = _s3dlio.Objects.select(self.objects, positions(indices, len(self)))
        return PyDataset(objects=objects, options=self.options)

    def repeat(self, times: int) -> PyDataset:
        """Return a data set of all records ``times`` times."""
        return PyDataset(objects=_s3dlio.Objects.repeat(self.objects, times), options=self.options)

    def __len__(self) -> int:
        return len(self.objects)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Read one object, or those of a slice in parallel."""
        if isinstance(index, slice):
            return self.read(range(*index.indices(len(self))))
        return self.read([index])[0]

    def read(self, indices: Iterable[int]) -> list[Any]:
        """Read several objects in parallel; results in the order of ``indices``, which count from the end if negative.

        Raises:
            IndexError: There is no object of one of these numbers.
        """
        return self._reading(positions(indices, len(self))).wait()

    async def get_item(self, index: int) -> Any:
        """Read one object from a coroutine."""
        (found,) = await aio.result(self._reading(positions([index], len(self))))
        return found

    def _reading(self, indices: list[int]) -> _s3dlio.Operation[list[Any]]:
        load_numpy()
        in_flight = self.options.value("num_workers") or _s3dlio.network_reads()
        return self.objects.read(indices, in_flight, self.options.value("decoder"))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order, of the next iteration."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        """Iterate one epoch, reading ahead."""
        core = _s3dlio.Loader(
            self.objects, **self.options.core_kwargs(batch_size=1, collate="list", keep_batches=False)
        )
        load_numpy()
        epoch, self._epoch = self._epoch, self._epoch + 1
        batches = core.iterate(epoch, 0)
        while ready := batches.next_many(64):
            for _, _, _, samples, skipped in ready:
                log_skipped(skipped)
                yield from samples

    def uris(self) -> list[str]:
        """Return the URIs of all objects in order."""
        return [self.objects.uri(index) for index in range(len(self))]

    def keys(self) -> list[str]:
        """Return the names of all objects, relative to the longest directory they share."""
        uris = self.uris()
        shared = _shared_directory(uris)
        return [uri[shared:] for uri in uris]

    def __reduce__(self) -> tuple[Callable[..., PyDataset], tuple[_s3dlio.Objects, LoaderOptions]]:
        return _rebuild, (self.objects, self.options)

    def __repr__(self) -> str:
        return f"PyDataset({len(self)} objects, first {self.objects.uri(0)!r})"


def _rebuild(objects: _s3dlio.Objects, options: LoaderOptions) -> PyDataset:
    return PyDataset(objects=objects, options=options)


def _shared_directory(uris: list[str]) -> int:
    # What the first and the last in alphabetical order share, all between them share too.
    shared = os.path.commonprefix([min(uris), max(uris)])  # noqa: RUF071 - by character is what is meant
    return shared.rfind("/") + 1


def _first_options(datasets: Sequence[PyDataset]) -> LoaderOptions | None:
    return datasets[0].options if datasets else None


# Parts that weights with fractions are rounded to.
_PARTS = 1000


def _whole_weights(weights: Sequence[float]) -> list[int]:
    if any(not isinstance(weight, int | float) or not 0 < weight < float("inf") for weight in weights):  # pyright: ignore[reportUnnecessaryIsInstance]
        message = f"option `weights`: found {weights!r}, expected numbers above 0"
        raise ConfigError(message)
    if all(float(weight).is_integer() for weight in weights):
        return [int(weight) for weight in weights]
    total = sum(weights)
    return [max(round(_PARTS * weight / total), 1) for weight in weights]


def _discover_documented(
    data: Data,
    pattern: str | None,
    options: LoaderOptions,
    format: str,  # noqa: A002 - what the user calls it
    index: str | os.PathLike[str] | None,
) -> _s3dlio.Objects:
    try:
        return discover(data, pattern, options, format=format, index=index)
    except InvalidUriError as error:
        # Programs written for earlier generations match these words.
        message = f"Unsupported URI scheme: Unable to infer dataset type from URI: {error}"
        raise InvalidUriError(message, uri=error.uri) from None
