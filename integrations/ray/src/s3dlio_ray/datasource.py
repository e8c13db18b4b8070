"""A source of Ray Data over the records of a data set."""

# The package ships partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import ray
import ray.data
import s3dlio
from ray.data.block import Block, BlockMetadata
from ray.data.context import DataContext
from ray.data.datasource import Datasource, ReadTask
from s3dlio.array_record import ArrayRecordDataSource
from s3dlio.errors import ConfigError

from s3dlio_ray.rows import Row, blocks, row_of

if TYPE_CHECKING:
    from ray import ObjectRef

__all__ = ["Data", "StoreDatasource", "read"]

Data: TypeAlias = str | Iterable[str] | ArrayRecordDataSource | s3dlio.TFRecordDataSource | s3dlio.PyDataset
"""What a data set is made of."""

# Options that say how records are read and decoded. Order, batches and shards are Ray's own affair.
_READING = frozenset(
    {
        "auto_tune",
        "decoder",
        "max_errors",
        "max_inflight_parts",
        "memory_budget",
        "num_workers",
        "on_error",
        "part_size",
        "prefetch",
        "reader_mode",
        "skip_head",
        "timeout_seconds",
    }
)

# Where the context bounds no block: what Ray's own default is.
_BLOCK = 128 << 20


class StoreDatasource(Datasource):
    """A source for ``ray.data.read_datasource``: the records of a data set as rows.

    The records are divided evenly into ranges of neighbours, one for each read task. A task reads ahead within the
    option ``memory_budget``, on the threads of the library, and gives blocks of about the context's
    ``target_max_block_size``. The list of records is sent once to each node, and no task lists the store again.

    A row has a column for each field of a record that has fields (``"npz"``, examples), or else one column: ``bytes``,
    ``text``, ``image`` or ``array``, by the decoder.

    Args:
        data: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of s3dlio. Of a
            mixture the records come one data set behind the other.
        format: What a record is; see :class:`s3dlio.PyDataset`.
        pattern: A glob on the key below the prefix or on its last segment.
        decoder: What records are decoded as; what they need by default, for objects ``"bytes"``.
        options: Further options of :class:`s3dlio.LoaderOptions` that say how records are read, such as
            ``memory_budget``, ``num_workers``, ``on_error`` or ``reader_mode``.
        include_paths: Whether there is a column ``path``: the URI of each record, of those in files with their place.
        include_position: Whether there is a column ``position``: the number of each record in the data set.

    Raises:
        NotFoundError: There is nothing.
        ConfigError: An option is out of range, or is one of those that Ray Data has itself (order, batches, shards);
            or ``include_paths`` or ``include_position`` go with an ``on_error`` other than ``"raise"``.
        S3dlioError: The data cannot be listed, or a file is damaged.
    """

    def __init__(
        self,
        data: Data,
        *,
        format: str = "objects",  # noqa: A002 - what s3dlio calls it
        pattern: str | None = None,
        decoder: str | None = None,
        options: Mapping[str, Any] | None = None,
        include_paths: bool = False,
        include_position: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        dataset = _dataset(data, format, pattern, decoder, options)
        _check_options(dataset.options)
        self._exact = dataset.options.value("on_error") == "raise"
        if (include_paths or include_position) and not self._exact:
            message = (
                f"option `on_error`: found {dataset.options.value('on_error')!r} with include_paths or "
                "include_position, expected 'raise': records that cannot be read would leave no gap"
            )
            raise ConfigError(message)
        self._dataset = dataset
        self._about = (include_paths, include_position)

    @property
    def dataset(self) -> s3dlio.PyDataset:
        """The records as a data set of s3dlio."""
        return self._dataset

    def get_name(self) -> str:
        """Return how Ray calls the tasks that read."""
        return "S3dlio"

    def estimate_inmemory_data_size(self) -> int | None:
        """Return the bytes of the records as they are stored, or ``None`` where nothing has told their sizes."""
        return self._stored(0, len(self._dataset))

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        """Divide the records into ``parallelism`` ranges, or as many as there are records."""
        count = len(self._dataset)
        tasks = max(min(parallelism, count), 1)
        target = (data_context or DataContext.get_current()).target_max_block_size or _BLOCK
        shared = ray.put(self._dataset)
        made: list[ReadTask] = []
        for number in range(tasks):
            start, stop = number * count // tasks, (number + 1) * count // tasks
            if per_task_row_limit is not None and self._exact:
                stop = min(stop, start + per_task_row_limit)
            metadata = BlockMetadata(
                num_rows=stop - start if self._exact else None,
                size_bytes=self._stored(start, stop),
                input_files=None,
                exec_stats=None,
            )
            read_range = _Range(shared, start, stop, self._about, target)
            made.append(ReadTask(read_range, metadata, per_task_row_limit=per_task_row_limit))
        return made

    def _stored(self, start: int, stop: int) -> int | None:
        total = 0
        for position in range(start, stop):
            size = self._dataset.objects.size(position)
            if size is None:
                return None
            total += size
        return total


@dataclass(frozen=True)
class _Range:
    """Reads a range of the records; a class, because tasks get it in a pickle."""

    dataset: ObjectRef[s3dlio.PyDataset]
    start: int
    stop: int
    about: tuple[bool, bool]
    target: int

    def __call__(self) -> Iterator[Block]:
        dataset: s3dlio.PyDataset = ray.get(self.dataset)
        return blocks(self._rows(dataset), self.target)

    def _rows(self, dataset: s3dlio.PyDataset) -> Iterator[Row]:
        decoder: str = dataset.options.value("decoder")
        paths, positions = self.about
        for position, sample in enumerate(dataset.select(range(self.start, self.stop)), self.start):
            uri = dataset.objects.uri(position)
            about: Row = ({"path": uri} if paths else {}) | ({"position": position} if positions else {})
            yield row_of(sample, decoder, about, uri)


def read(
    data: Data,
    *,
    format: str = "objects",  # noqa: A002 - what s3dlio calls it
    pattern: str | None = None,
    decoder: str | None = None,
    options: Mapping[str, Any] | None = None,
    include_paths: bool = False,
    include_position: bool = False,
    **ray_options: Any,
) -> ray.data.Dataset:
    """Read a data set with Ray Data.

    Args:
        data: As of :class:`StoreDatasource`, like all that is not said here.
        format: What a record is.
        pattern: A glob on the key below the prefix or on its last segment.
        decoder: What records are decoded as.
        options: Further options of reading.
        include_paths: Whether there is a column ``path``.
        include_position: Whether there is a column ``position``.
        ray_options: What ``ray.data.read_datasource`` takes: ``override_num_blocks``, ``concurrency``, ``num_cpus``,
            ``memory`` and others.

    Raises:
        TypeError: ``ray.data.read_datasource`` has no such option.
        S3dlioError: As of :class:`StoreDatasource`. What goes wrong in a read task comes where the rows are consumed,
            as the same class of error.
    """
    known = inspect.signature(ray.data.read_datasource).parameters
    if unknown := sorted(name for name in ray_options if name not in known or name in {"datasource", "read_args"}):
        message = f"read() got an unexpected keyword argument {unknown[0]!r}"
        raise TypeError(message)
    source = StoreDatasource(
        data,
        format=format,
        pattern=pattern,
        decoder=decoder,
        options=options,
        include_paths=include_paths,
        include_position=include_position,
    )
    rows: ray.data.Dataset = ray.data.read_datasource(source, **ray_options)
    return rows


def _dataset(
    data: Data,
    format: str,  # noqa: A002 - what s3dlio calls it
    pattern: str | None,
    decoder: str | None,
    options: Mapping[str, Any] | None,
) -> s3dlio.PyDataset:
    if isinstance(data, s3dlio.PyDataset):
        if pattern is not None or format != "objects" or decoder is not None or options is not None:
            message = (
                "`format`, `pattern`, `decoder` and `options` say what to look for: "
                "found with a data set, which has them"
            )
            raise TypeError(message)
        return data
    given = {**(options or {})} if decoder is None else {**(options or {}), "decoder": decoder}
    return s3dlio.PyDataset(data, given, pattern=pattern, format=format)


def _check_options(options: s3dlio.LoaderOptions) -> None:
    default = s3dlio.LoaderOptions()
    for name in options:
        if name not in _READING and options.value(name) != default.value(name):
            message = (
                f"option `{name}`: found {options.value(name)!r}, expected none: "
                "Ray Data has its own for order, batches and shards"
            )
            raise ConfigError(message)
