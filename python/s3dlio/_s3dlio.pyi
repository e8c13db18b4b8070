"""The Rust core. Programs use the modules of ``s3dlio``; only ``BytesView`` is public."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, ClassVar, Generic, Protocol, Self, SupportsIndex, TypeAlias, TypeVar, final, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer, disjoint_base

from s3dlio.npz import GivenArray
from s3dlio.process import VerbStats
from s3dlio.storage import ObjectStat

_T = TypeVar("_T")

class _Joinable(Protocol):
    def joinpath(self, *parts: str) -> Any: ...

_PathType: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes] | _Joinable

__version__: str

@disjoint_base
class BytesView(Sequence[int]):
    """Read-only bytes in memory that Rust owns; behaves like ``bytes``, slices share the memory."""

    def __new__(cls, data: Buffer | None = None) -> Self: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> BytesView: ...
    def __contains__(self, item: object, /) -> bool: ...
    def __iter__(self) -> Iterator[int]: ...
    def __reversed__(self) -> Iterator[int]: ...
    def __add__(self, other: Buffer, /) -> bytes: ...
    def __radd__(self, other: Buffer, /) -> bytes: ...
    def __mul__(self, count: SupportsIndex, /) -> bytes: ...
    def __rmul__(self, count: SupportsIndex, /) -> bytes: ...
    def __mod__(self, values: Any, /) -> bytes: ...
    def __rmod__(self, values: Any, /) -> Any: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: Buffer, /) -> bool: ...
    def __le__(self, other: Buffer, /) -> bool: ...
    def __gt__(self, other: Buffer, /) -> bool: ...
    def __ge__(self, other: Buffer, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any, /) -> Self: ...
    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[type[Self], tuple[Any]]: ...
    def memoryview(self) -> memoryview:
        """Return the bytes as a ``memoryview``, without a copy."""
    def to_bytes(self) -> bytes:
        """Return a copy as ``bytes``."""
    def tobytes(self) -> bytes:
        """Return a copy as ``bytes``."""
    def capitalize(self, *args: Any, **kwargs: Any) -> bytes: ...
    def center(self, *args: Any, **kwargs: Any) -> bytes: ...
    def count(self, *args: Any, **kwargs: Any) -> int: ...
    def decode(self, *args: Any, **kwargs: Any) -> str: ...
    def endswith(self, *args: Any, **kwargs: Any) -> bool: ...
    def expandtabs(self, *args: Any, **kwargs: Any) -> bytes: ...
    def find(self, *args: Any, **kwargs: Any) -> int: ...
    def hex(self, *args: Any, **kwargs: Any) -> str: ...
    def index(self, *args: Any, **kwargs: Any) -> int: ...
    def isalnum(self, *args: Any, **kwargs: Any) -> bool: ...
    def isalpha(self, *args: Any, **kwargs: Any) -> bool: ...
    def isascii(self, *args: Any, **kwargs: Any) -> bool: ...
    def isdigit(self, *args: Any, **kwargs: Any) -> bool: ...
    def islower(self, *args: Any, **kwargs: Any) -> bool: ...
    def isspace(self, *args: Any, **kwargs: Any) -> bool: ...
    def istitle(self, *args: Any, **kwargs: Any) -> bool: ...
    def isupper(self, *args: Any, **kwargs: Any) -> bool: ...
    def join(self, *args: Any, **kwargs: Any) -> bytes: ...
    def ljust(self, *args: Any, **kwargs: Any) -> bytes: ...
    def lower(self, *args: Any, **kwargs: Any) -> bytes: ...
    def lstrip(self, *args: Any, **kwargs: Any) -> bytes: ...
    def partition(self, *args: Any, **kwargs: Any) -> tuple[bytes, bytes, bytes]: ...
    def removeprefix(self, *args: Any, **kwargs: Any) -> bytes: ...
    def removesuffix(self, *args: Any, **kwargs: Any) -> bytes: ...
    def replace(self, *args: Any, **kwargs: Any) -> bytes: ...
    def rfind(self, *args: Any, **kwargs: Any) -> int: ...
    def rindex(self, *args: Any, **kwargs: Any) -> int: ...
    def rjust(self, *args: Any, **kwargs: Any) -> bytes: ...
    def rpartition(self, *args: Any, **kwargs: Any) -> tuple[bytes, bytes, bytes]: ...
    def rsplit(self, *args: Any, **kwargs: Any) -> list[bytes]: ...
    def rstrip(self, *args: Any, **kwargs: Any) -> bytes: ...
    def split(self, *args: Any, **kwargs: Any) -> list[bytes]: ...
    def splitlines(self, *args: Any, **kwargs: Any) -> list[bytes]: ...
    def startswith(self, *args: Any, **kwargs: Any) -> bool: ...
    def strip(self, *args: Any, **kwargs: Any) -> bytes: ...
    def swapcase(self, *args: Any, **kwargs: Any) -> bytes: ...
    def title(self, *args: Any, **kwargs: Any) -> bytes: ...
    def translate(self, *args: Any, **kwargs: Any) -> bytes: ...
    def upper(self, *args: Any, **kwargs: Any) -> bytes: ...
    def zfill(self, *args: Any, **kwargs: Any) -> bytes: ...

@final
class Operation(Generic[_T]):
    """A storage operation that has not started; runs once."""

    def wait(self, meanwhile: Callable[[], object] | None = None) -> _T:
        """Run the operation to its end; Ctrl-C, and an error of ``meanwhile``, break it off.

        ``meanwhile`` is called about ten times a second.
        """

@final
class Progress:
    """How far operations have come."""

    def __new__(cls) -> Self: ...
    @property
    def bytes(self) -> int:
        """Bytes that are done."""

@final
class Completions:
    """Results of operations for one event loop."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """Return the descriptor that becomes readable when results are there."""
    def start(self, operation: Operation[Any]) -> int:
        """Start an operation and return its number."""
    def cancel(self, number: int) -> None:
        """Break off an operation."""
    def drain(self) -> list[tuple[int, Any, BaseException | None]]:
        """Take all results that are there: (number, value, exception)."""

@final
class Listing:
    """A listing, page by page."""

    def __new__(
        cls, uri: str, recursive: bool, glob: str | None = None, regex: str | None = None, either: str | None = None
    ) -> Self: ...
    def page(self) -> Operation[list[str]]:
        """Return an operation for the next page; an empty list after the last."""
    def all(self) -> Operation[list[str]]:
        """Return an operation for all that is left."""

@final
class Objects:
    """The objects of a data set in order."""

    @staticmethod
    def below(
        uri: str, pattern: str | None, part_size: int, max_parts: int, index: str | None = None
    ) -> Operation[Objects]:
        """Return an operation that lists the objects below a prefix, or takes them from an index."""
    @staticmethod
    def manifest(uri: str, part_size: int, max_parts: int) -> Operation[Objects]:
        """Return an operation that takes the objects that a manifest names."""
    @staticmethod
    def template(template: str, start: int, count: int, size: int | None, part_size: int, max_parts: int) -> Objects:
        """Count the names of objects up."""
    @staticmethod
    def of_bytes(items: Sequence[Buffer]) -> Objects:
        """Take these bytes, which must not change."""
    @staticmethod
    def array_records(parts: list[tuple[str, int, int | None]]) -> Operation[Objects]:
        """Return an operation that opens ArrayRecord files."""
    @staticmethod
    def tfrecords(files: list[tuple[str, bytes]], verify: bool) -> Operation[Objects]:
        """Return an operation that opens TFRecord files with packed indexes."""
    @staticmethod
    def npz_members(uris: list[str], names: list[str]) -> Operation[Objects]:
        """Return an operation that opens NPZ archives for their arrays."""
    @staticmethod
    def parquet(uris: list[str], wanted: list[int | str] | None, footer_cap: int, decode: str) -> Operation[Objects]:
        """Return an operation that opens Parquet files for their row groups."""
    @staticmethod
    def concat(parts: list[Objects], weights: list[int] | None = None) -> Objects:
        """Put data sets behind each other, or mix them by weights."""
    @staticmethod
    def range(of: Objects, start: int, end: int) -> Objects:
        """Take a range of the records."""
    @staticmethod
    def select(of: Objects, indices: list[int]) -> Objects:
        """Take some records."""
    @staticmethod
    def repeat(of: Objects, times: int) -> Objects:
        """Take all records several times."""
    @staticmethod
    def unpack(packed: Buffer, part_size: int, max_parts: int) -> Objects:
        """Rebuild what pickling packed."""
    @staticmethod
    def unpack_records(packed: Buffer) -> Objects:
        """Rebuild record files that pickling packed."""
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __len__(self) -> int: ...
    def uri(self, index: int) -> str:
        """Return the URI of an object."""
    def size(self, index: int) -> int | None:
        """Return the bytes of an object, where they are known."""
    @property
    def fingerprint(self) -> str:
        """A digest of names, order and known sizes."""
    @property
    def whole(self) -> bool:
        """Whether the records are whole objects."""
    @property
    def decoder(self) -> str | None:
        """The decoder that the records need."""
    @property
    def nbytes(self) -> int:
        """Bytes of memory that names and sizes take."""
    def read(self, indices: Sequence[int], max_in_flight: int, decoder: str) -> Operation[list[Any]]:
        """Return an operation that reads and decodes records."""

@final
class UriList:
    """Objects that are named one by one."""

    def __new__(cls) -> Self: ...
    def extend(self, uris: list[str]) -> None:
        """Add some."""
    def finish(self, part_size: int, max_parts: int) -> Operation[Objects]:
        """Return an operation that takes them."""

_Batch: TypeAlias = tuple[int, NDArray[np.uint64], int, Any, list[tuple[int, str, str]]]

@final
class Loader:
    """A data set with options."""

    def __new__(
        cls,
        objects: Objects,
        *,
        batch_size: int,
        drop_last: bool,
        last: str | None,
        shuffle: str,
        seed: int,
        decoder: str,
        collate: str,
        on_error: str,
        memory_budget: int | None,
        prefetch: int,
        num_workers: int,
        timeout_seconds: float | None,
        shard_rank: int,
        shard_world_size: int,
        worker_id: int,
        num_workers_pytorch: int,
        shuffle_window: int = 0,
        max_errors: int | None = None,
        keep_batches: bool = True,
    ) -> Self: ...
    @property
    def batch_size(self) -> int:
        """Samples in a batch."""
    @property
    def steps(self) -> int:
        """Batches of this rank in an epoch."""
    @property
    def batches(self) -> int:
        """Batches of this worker in an epoch."""
    @property
    def samples(self) -> int:
        """Samples of this rank in an epoch."""
    @property
    def skips_errors(self) -> bool:
        """Whether bad samples are left out."""
    @property
    def replaces_errors(self) -> bool:
        """Whether other samples take the place of bad ones."""
    def replacement(self, index: int, tries: int) -> tuple[int, Operation[list[Any]]] | None:
        """Return the record in the place of a refused one, and an operation that gives its sample."""
    def iterate(self, epoch: int, step: int) -> BatchIter:
        """Begin an epoch at a step of the rank."""
    def state(self, epoch: int, step: int, sample: int) -> str:
        """Return a state as JSON."""
    def resume(self, state: str) -> tuple[int, int, int]:
        """Return (epoch, step, sample) where a saved state goes on."""
    def order(self, epoch: int) -> NDArray[np.uint64]:
        """Return the record indices of a whole epoch in order."""

@final
class BatchIter:
    """The batches of one epoch, read ahead."""

    def next(self) -> _Batch | None:
        """Wait for the next batch."""
    def next_many(self, limit: int) -> list[_Batch]:
        """Wait for the next batch and take those that stand ready behind it."""
    def refuse(self) -> int | None:
        """Count a sample that its user refuses; return the bound of bad records where there are more now."""
    def stop(self) -> None:
        """End the iteration: reading stops, and a thread that waits for a batch gets none."""
    def stats(self) -> dict[str, int]:
        """Return the figures of this iteration."""

@final
class ShardLoader:
    """Record files with options, read in order."""

    def __new__(
        cls,
        uris: list[str],
        format: str,  # noqa: A002 - what the user calls it
        *,
        batch_size: int,
        drop_last: bool,
        buffer: int,
        seed: int,
        verify: bool,
        shard_rank: int,
        shard_world_size: int,
        worker_id: int,
        num_workers_pytorch: int,
    ) -> Self: ...
    def begin(self, epoch: int) -> str:
        """Return the state at the beginning of an epoch as JSON."""
    def iterate(self, state: str) -> ShardIter:
        """Go on from a state."""

@final
class ShardIter:
    """The batches of one epoch of a reader."""

    def next(self) -> list[BytesView] | None:
        """Wait for the records of the next batch."""
    def state(self) -> str:
        """Return where the next batch begins as JSON."""

@final
class Writer:
    """An object that is being written; ``awaits`` says that an event loop waits for the operation."""

    def __new__(
        cls,
        uri: str,
        *,
        compression: str = "none",
        compression_level: int | None = None,
        chunk_size: int | None = None,
        buffer_size: int | None = None,
        part_size: int | None = None,
        max_in_flight: int | None = None,
        content_type: str | None = None,
        keep_parts: bool = False,
    ) -> Self: ...
    @property
    def uri(self) -> str:
        """The object with the extension of its compression."""
    @property
    def closed(self) -> bool:
        """Whether the writer is finished, aborted or failed."""
    @property
    def bytes_written(self) -> int:
        """Bytes taken so far."""
    @property
    def compressed_bytes(self) -> int:
        """Bytes put out by the encoder so far."""
    @property
    def checksum(self) -> str:
        """The checksum of the bytes taken so far."""
    def write_small(self, data: object) -> int | None:
        """Take a few bytes at once if they only have to be copied; their number, or None."""
    def write(self, data: Buffer, *, awaits: bool) -> Operation[int]:
        """Return an operation that takes the next bytes; their number."""
    def flush(self) -> Operation[None]:
        """Return an operation that waits for the parts on their way."""
    def finish(self, *, awaits: bool) -> Operation[tuple[int, int, str, int, str | None]]:
        """Return an operation for (bytes, compressed bytes, checksum, parts, entity tag)."""
    def abort(self) -> Operation[None]:
        """Return an operation that gives the object up."""

@final
class Transfer:
    """One transfer; runs once."""

    def __new__(
        cls,
        sources: Sequence[str],
        dest: str,
        *,
        local_sources: bool,
        local_dest: bool,
        recursive: bool,
        glob: str | None,
        regex: str | None,
        max_in_flight: int,
        resume: bool,
        overwrite: bool,
        into_directory: bool,
    ) -> Self: ...
    def progress(self) -> tuple[int, int, int, int]:
        """Return (objects, all objects, bytes, all bytes)."""
    def operation(self) -> Operation[tuple[int, int, int, float]]:
        """Return the transfer as an operation: (objects, bytes, skipped, seconds)."""
    def wait(self, report: Callable[[int, int, int, int], object] | None = None) -> tuple[int, int, int, float]:
        """Run the transfer to its end, telling `report` of the progress."""

@final
class TfRecordStream:
    """The records of a TFRecord file in order."""

    @staticmethod
    def open(uri: str, packed: str | None, verify: bool) -> Operation[TfRecordStream]:
        """Return an operation that opens a file; without a compression its first bytes tell."""
    def batch(self) -> Operation[list[BytesView]]:
        """Return an operation for the next records; an empty list at the end."""

@final
class TfRecordFiles:
    """The records of TFRecord files by their number."""

    @staticmethod
    def open(files: Sequence[tuple[str, str | bool | bytes]], verify: bool) -> Operation[TfRecordFiles]:
        """Return an operation that opens files, each with its index."""
    def __len__(self) -> int: ...
    def place(self, number: int) -> tuple[str, int, int] | None:
        """Return the file that holds a record, and the record's offset and size in it."""
    def pack(self) -> list[tuple[str, int, bytes]]:
        """Return the files, each with its number of records and its index, packed."""
    def read(self, numbers: Sequence[int]) -> Operation[list[BytesView]]:
        """Return an operation that reads these records."""

@final
class TfRecordWriter:
    """A TFRecord file that is being written."""

    def __new__(cls, uri: str, packing: str, level: int | None, index: str | None) -> Self: ...
    @property
    def records(self) -> int:
        """Records taken so far."""
    @property
    def bytes(self) -> int:
        """Bytes of the file so far, before compression."""
    @property
    def closed(self) -> bool:
        """Whether the file is finished, given up or failed."""
    def append(self, record: Buffer) -> Operation[None] | None:
        """Take a record; an operation that is due before the next one, if any is."""
    def flush(self) -> Operation[None]:
        """Return an operation that waits until the store has all full parts."""
    def finish(self) -> Operation[int]:
        """Return an operation that makes the file visible, and then its index; the number of records."""
    def abort(self) -> Operation[None]:
        """Return an operation that gives file and index up."""

def get(
    uri: str, offset: int = 0, length: int | None = None, direct_fallback: bool | None = None
) -> Operation[BytesView]: ...
def get_many(
    uris: list[str], max_in_flight: int, direct_fallback: bool | None
) -> Operation[list[tuple[str, BytesView]]]: ...
def get_decompressed(uri: str, codec: str, direct_fallback: bool | None) -> Operation[BytesView]: ...
def get_into(
    uri: str, buffer: Buffer, offset: int = 0, length: int | None = None, direct_fallback: bool | None = None
) -> Operation[int]: ...
def put(
    uri: str,
    data: Buffer,
    create_only: bool = False,
    if_match: str | None = None,
    direct_fallback: bool | None = None,
) -> Operation[None]: ...
def put_many(
    items: Sequence[tuple[str, Buffer]], max_in_flight: int, direct_fallback: bool | None
) -> Operation[None]: ...
def put_generated(
    prefix: str,
    num: int,
    template: str | None,
    size: int,
    kind: str,
    dedup: int,
    compress: int,
    seed: int,
    max_in_flight: int,
    chunk_size: int | None,
) -> Operation[None]: ...
def object_names(prefix: str, template: str | None, numbers: list[int], total: int) -> list[str]: ...
def generate(kind: str, size: int, dedup: int, compress: int, seed: int) -> BytesView: ...
def generate_parallel(size: int, dedup: int, compress: int, seed: int, threads: int) -> BytesView: ...
def generate_into(
    buffer: Buffer, size: int, offset: int, dedup: int, compress: int, seed: int, threads: int
) -> int: ...
def split_uri(uri: str) -> tuple[str, str]: ...
def check_compression(method: str, level: int | None) -> None: ...
def stat(uri: str) -> Operation[ObjectStat]: ...
def stat_many(uris: list[str], max_in_flight: int) -> Operation[list[ObjectStat]]: ...
def delete_many(uris: list[str]) -> Operation[None]: ...
def create_bucket(uri: str) -> Operation[None]: ...
def delete_bucket(uri: str) -> Operation[None]: ...
def make_directory(uri: str) -> Operation[None]: ...
def exists(uri: str) -> Operation[bool]: ...
def delete(uri: str, recursive: bool) -> Operation[None]: ...
def check(uri: str, write: bool) -> Operation[list[dict[str, Any]]]: ...
def configure_threads(threads: int) -> int: ...
def variables() -> tuple[list[str], list[str]]: ...

@final
class ArrayRecordWriter:
    """Writes one ArrayRecord file, to any store.

    The file appears under its name when :meth:`close` returns; until then, and when a ``with`` block ends in an
    exception, there is nothing, or what was there before. Groups are compressed on several threads. The
    object may be shared by threads; it belongs to the process that made it, and cannot be pickled.

    Args:
        path: Path or URI.
        options: ``key:value`` separated by commas: ``group_size`` (65536 records, or as many as make 16 MiB in the
            first group), ``max_parallelism`` (auto), ``saturation_delay_ms`` (10), one of ``uncompressed``,
            ``brotli:0..11`` (6), ``zstd:-131072..22`` (the default, 3) and ``snappy``, ``window_log``, ``transpose``
            (false), ``transpose_bucket_size`` (256), ``pad_to_block_boundary`` (false).
        **kwargs: Taken and left alone, as in the ``array_record`` package.

    Raises:
        ValueError: An option that does not exist or has a value out of range; a text that is no path or URI.
    """

    def __new__(cls, path: str | bytes | PathLike[str], options: str = "", **kwargs: Any) -> Self: ...
    def write(self, record: Buffer, /) -> None:
        """Take a record; waits while the writer is ahead of its compressors or its store.

        Raises:
            StoreError: The writer is closed, or a write has failed; a ``RuntimeError``.
            PermissionDeniedError, StoreTimeoutError: The store refused, or was silent.
        """
    def close(self) -> None:
        """Write the index and make the file visible; nothing to do for a closed writer.

        Raises:
            StoreError, PermissionDeniedError, StoreTimeoutError: As :meth:`write`; there is no file then.
        """
    def ok(self) -> bool:
        """Return whether records can be written."""
    def is_open(self) -> bool:
        """Return whether the writer has not been closed."""
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> None: ...

@final
class ArrayRecordReader:
    """Reads one ArrayRecord file, from any store, in order or at random.

    A file that cannot be opened raises when it is first used; :meth:`ok` tells. The object may be shared by threads,
    forked, and pickled: a pickle names the file and the next record.

    Args:
        path: Path or URI.
        options: ``key:value`` separated by commas: ``readahead_buffer_size`` (``16MB``; sequential reading alone is
            ahead of its caller), ``max_parallelism`` (auto; 0 for the calling thread alone), ``index_storage_option``
            (``in_memory``), ``footer_prefetch_bytes`` (``1M``).
        **kwargs: Taken and left alone, as in the ``array_record`` package.

    Raises:
        ValueError: An option that does not exist or has a value out of range; a text that is no path or URI.
    """

    def __new__(cls, path: str | bytes | PathLike[str], options: str = "", **kwargs: Any) -> Self: ...
    def ok(self) -> bool:
        """Return whether the file could be opened and has not been closed."""
    def is_open(self) -> bool:
        """Return whether the reader has not been closed."""
    def close(self) -> None:
        """Close the file.

        Raises:
            NotFoundError, CorruptDataError, StoreError: It could not be opened; told once.
        """
    def num_records(self) -> int:
        """Return the number of records; 0 for a file that is not open."""
    def record_index(self) -> int:
        """Return the number of the record that is read next."""
    def writer_options_string(self) -> str | None:
        """Return the options that the file was written with, if it tells."""
    def seek(self, index: int) -> None:
        """Go on with another record; one behind the last, or a negative one, leads to the end."""
    @overload
    def read(self) -> bytes: ...
    @overload
    def read(self, indices: Any, /) -> list[bytes]: ...
    @overload
    def read(self, begin: int, end: int, /) -> list[bytes]:
        """Return the next record, the records of a sequence of indices, or records ``begin`` to ``end - 1``.

        The ends of a range count from the end of the file where they are negative.

        Raises:
            OutOfRangeError: There is no such record, or the range is empty; an ``IndexError``.
            TypeError: Indices that are no sequence of integers.
            CorruptDataError: The record's chunk is damaged.
        """
    def read_record(self) -> bytes | None:
        """Return the next record, or ``None`` at the end.

        Raises:
            CorruptDataError: The record's chunk is damaged.
        """
    def read_all(self) -> list[bytes]:
        """Return all records, whatever has been read before.

        Raises:
            CorruptDataError: A chunk is damaged.
        """
    def __len__(self) -> int: ...
    def __bool__(self) -> bool:
        """Return True, also for a file without records."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> None: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, str], int]: ...
    def __setstate__(self, position: int, /) -> None: ...

@final
class ArrayRecordFiles:
    def __new__(cls, parts: Sequence[tuple[str, int, int | None]], options: str) -> Self: ...
    def __len__(self) -> int: ...
    def get(self, index: int) -> bytes: ...
    def get_many(self, keys: Any) -> list[bytes]: ...
    def close(self) -> None: ...
    def opened(self) -> list[bool]:
        """Return whether the file of each part is open."""
    def spans(self) -> list[tuple[str, int, int]]: ...

@final
class SalvagedRecords:
    """The records of a damaged file that are whole."""

    @staticmethod
    def open(uri: str, kind: str | None) -> Operation[SalvagedRecords]:
        """Return an operation that opens a file; without a kind its content and its name tell."""
    def batch(self) -> Operation[list[bytes]]:
        """Return an operation for the next records; an empty list at the end."""
    def faults(self) -> list[tuple[int | None, int, int, str]]:
        """Return place, the lost bytes, and the cause of what was wrong so far."""
    def num_faults(self) -> int: ...

def verify_file(
    uri: str, kind: str | None
) -> Operation[tuple[str, str, int, int, int, int, int, list[tuple[int | None, int, int, str]]]]: ...

@final
class NpzArchive:
    @staticmethod
    def open(uri: str) -> Operation[NpzArchive]: ...
    def names(self) -> list[str]: ...
    def read(self, names: list[str]) -> Operation[list[NDArray[Any]]]: ...

def read_npz(uri: str, names: list[str] | None) -> Operation[dict[str, NDArray[Any]]]: ...
def read_npz_many(
    uris: list[str], names: list[str] | None, max_in_flight: int
) -> Operation[list[dict[str, NDArray[Any]]]]: ...
def read_npy(uri: str) -> Operation[NDArray[Any]]: ...
def write_npz(uri: str, arrays: Sequence[tuple[str, GivenArray]], level: int | None) -> Operation[None]: ...
def write_npy(uri: str, array: GivenArray) -> Operation[None]: ...
def generate_npz(descr: str, shape: Sequence[int], labels: int, seed: int) -> BytesView: ...

@final
class ParquetFile:
    @staticmethod
    def open_many(
        uris: list[str], wanted: list[int | str] | None, footer_cap: int, in_flight: int
    ) -> Operation[list[ParquetFile]]: ...
    def rows(self) -> list[int]: ...
    def range(self, group: int) -> tuple[int, int]: ...
    def group_of(self, row: int) -> int: ...

def parquet_group(
    uri: str, group: int, wanted: list[int | str] | None, footer_cap: int, decode: str
) -> Operation[BytesView]: ...
def parquet_rows(uri: str, footer_cap: int) -> Operation[list[int]]: ...
def parquet_footers() -> int: ...
def parquet_forget(uri: str | None) -> bool: ...
def generate_parquet(columns: list[tuple[str, int]], rows: int, groups: int, seed: int) -> Operation[BytesView]: ...
def write_parquet(uri: str, columns: list[tuple[str, int]], rows: int, groups: int, seed: int) -> Operation[None]: ...
def create_tfrecord_index(file: str, index: str, verify_all: bool | None) -> Operation[int]: ...
def create_tfrecord_indexes(
    prefix: str,
    output: str | None,
    pattern: str | None,
    rank: int,
    world: int,
    resume: bool,
    max_in_flight: int,
    verify_all: bool | None,
) -> Operation[list[tuple[str, str, int | None]]]: ...
def tfrecord_entries(uri: str, verify_all: bool | None) -> Operation[tuple[NDArray[np.uint64], NDArray[np.uint64]]]: ...
def read_tfrecord_index(uri: str) -> Operation[tuple[NDArray[np.uint64], NDArray[np.uint64]]]: ...
def tfrecord_entries_of(data: Buffer, verify_all: bool | None) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]: ...
def tfrecord_index_text(data: Buffer, verify_all: bool | None) -> bytes: ...
def check_tfrecord_compression(name: str) -> None: ...
def parse_examples(
    records: Sequence[Buffer], features: Sequence[tuple[str, str, int | None, Any]] | None
) -> dict[str, tuple[Any, NDArray[np.int64]]]: ...
def serialize_example(features: Sequence[tuple[str, str, Any]]) -> bytes: ...

@final
class Bytes(BytesView):
    """A record: read-only bytes that share the memory of their chunk, and behave like ``bytes``."""

    def __new__(cls, data: Buffer | None = None) -> Self: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> Bytes: ...

@final
class CorruptionStrategy:
    """What a reader does at damage.

    Attributes:
        ERROR: Raise, after all records before it. The default.
        RECOVER: Log a warning and go on with the next chunk that can be found. No record of a chunk whose checksum is
            wrong is ever returned.
    """

    ERROR: ClassVar[CorruptionStrategy]
    RECOVER: ClassVar[CorruptionStrategy]

    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class RecordWriter:
    """Writes one Disky file, to any store.

    The file appears under its name when :meth:`close` returns; until then there is nothing, or what was there before. A
    ``with`` block closes it, also when it ends in an exception: the records written so far are then in the file. A
    writer that is dropped without being closed gives the file up and logs a warning. Chunks are compressed on several
    threads. The object may be shared by threads; it belongs to the process that made it, and cannot be pickled.

    Args:
        path: Path or URI.
        compression: ``None`` or ``"none"``, or ``"zstd"`` for level 3.

    Raises:
        OptionError: Another compression; an ``OSError`` and a ``ValueError``.
        InvalidUriError: A text that is no path or URI.
    """

    def __new__(cls, path: _PathType, compression: str | None = None) -> Self: ...
    def write_record(self, data: Buffer) -> None:
        """Take a record; a chunk ends with the record that brings it to 1 MiB.

        Raises:
            StoreError: The writer is closed, or a write has failed; an ``OSError``.
            PermissionDeniedError, StoreTimeoutError: The store refused, or was silent.
            ForkedProcessError: The writer is one of the parent of this process.
        """
    def flush(self) -> None:
        """End the chunk, and hand over to the store what fills a part. Others see the file when it is closed.

        Raises:
            StoreError, PermissionDeniedError, StoreTimeoutError, ForkedProcessError: As :meth:`write_record`.
        """
    def close(self) -> None:
        """Make the file visible; nothing to do for a closed writer.

        Raises:
            StoreError, PermissionDeniedError, StoreTimeoutError, ForkedProcessError: As :meth:`write_record`.
        """
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> bool: ...

@final
class RecordReader:
    """Reads one Disky file of any store from front to back, decoding ahead; also plain Riegeli files.

    A second loop goes on where the first one stopped. The object may be shared by threads and used in a forked child;
    pickled, it goes on from its place.

    Args:
        path: Path or URI.
        corruption_strategy: What to do at damage; ``None`` is ``ERROR``.

    Raises:
        NotFoundError: There is no such file.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """

    def __new__(cls, path: _PathType, corruption_strategy: CorruptionStrategy | None = None) -> Self: ...
    @staticmethod
    def count_records(path: _PathType, corruption_strategy: CorruptionStrategy | None = None) -> int:
        """Return the number of records, all of which are read and checked.

        Raises:
            NotFoundError, CorruptDataError, StoreError: As the constructor and :meth:`next_record`.
        """
    def next_record(self) -> Bytes | None:
        """Return the next record, or ``None`` at the end.

        Raises:
            CorruptDataError: The next chunk is damaged; again at each later call.
            PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed; the next
                call tries again.
        """
    def close(self) -> None:
        """Do nothing, as in Pisky: a closed reader reads on. What it holds goes with the object."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Bytes: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class MultiThreadedWriter:
    """Writes the shards of a directory, ``{prefix}_0``, ``{prefix}_1`` and so on; records go to the open ones in turn.

    With one calling thread record i goes to shard i modulo their number. Chunks are encoded on several threads and
    written in order; a writer that is ahead of them waits. Shards appear whole: when they reach their limit, or
    when the writer is closed.
    """

    @staticmethod
    def new_with_shards(
        dir_path: _PathType,
        prefix: str = "shard",
        num_shards: int = 2,
        worker_threads: int | None = None,
        max_bytes_per_writer: int | None = ...,
        task_queue_capacity: int = 2000,
        enable_auto_sharding: bool = True,
        append: bool = True,
        compression: str | None = None,
    ) -> MultiThreadedWriter:
        """Begin to write shards.

        Args:
            dir_path: Path or URI of the directory, which is made if it is not there.
            prefix: What the names begin with; what is before a slash in it is a directory below.
            num_shards: Shards that are open at the same time; 0 counts as 1.
            worker_threads: Chunks that are encoded at the same time; ``None`` is one for each decoding thread, which is
                also the bound.
            max_bytes_per_writer: Record bytes that complete a shard; ``None`` for no limit.
            task_queue_capacity: Most chunks that wait for being encoded and written; ``worker_threads`` is a bound too.
            enable_auto_sharding: Begin the next shard in place of a complete one. Otherwise there is one less, and
                writing raises when there is none.
            append: Leave shards that are there alone and take the lowest free numbers; a name is taken at once, by an
                empty shard. Otherwise numbers begin at 0 and replace what is there.
            compression: As for :class:`RecordWriter`.

        Raises:
            OptionError: An option that nothing can be written with; an ``OSError`` and a ``ValueError``.
            PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
        """
    def write_record(self, data: Buffer) -> None:
        """Take a record.

        Raises:
            StoreError: The writer is closed, a write has failed, or every shard is complete; an ``OSError``.
            PermissionDeniedError, StoreTimeoutError, ForkedProcessError: As :meth:`RecordWriter.write_record`.
        """
    def flush(self) -> None:
        """End the chunks of all shards; see :meth:`RecordWriter.flush`."""
    def close(self) -> None:
        """Make the shards visible; nothing to do for a closed writer.

        Raises:
            StoreError, PermissionDeniedError, StoreTimeoutError, ForkedProcessError: As :meth:`write_record`.
        """
    def pending_tasks(self) -> int:
        """Return how many chunks wait for being encoded or written."""
    def available_writers(self) -> int:
        """Return how many shards take records."""
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> bool: ...

@final
class MultiThreadedReader:
    """Reads shards in turn: ``num_shards`` are open, and each gives one record; at its end the next takes its place.

    The order depends on the shards and ``num_shards`` alone, not on the number of threads. Damage in a shard is
    raised, behind the records of all others. The object may be shared by threads and used in a forked child; pickled,
    it goes on from its place.

    The functions share these arguments:

    Args:
        num_shards: Shards that are open at the same time; 0 counts as 1. It need not be the number they were written
            with.
        worker_threads: Shards that are decoded at the same time; the decoding threads of the process are a bound too.
        queue_size_mb: MiB of records that are decoded ahead at most; one or two chunks of each open shard are, whatever
            it says.
        corruption_strategy: What to do at damage; ``None`` is ``ERROR``.

    Raises:
        NotFoundError: There is no shard.
        OptionError: No path, or a number that nothing can be read with; an ``OSError`` and a ``ValueError``.
        PermissionDeniedError, StoreTimeoutError, StoreError: The store refused, was silent, or failed.
    """

    @staticmethod
    def new_with_shards(
        dir_path: _PathType,
        prefix: str = "shard",
        num_shards: int = 2,
        worker_threads: int = 1,
        queue_size_mb: int = 10240,
        corruption_strategy: CorruptionStrategy | None = None,
    ) -> MultiThreadedReader:
        """Read the files ``{prefix}_*`` of a directory, in the order of their names as text."""
    @staticmethod
    def new_with_shard_paths(
        shard_paths: Iterable[_PathType],
        num_shards: int = 2,
        worker_threads: int = 1,
        queue_size_mb: int = 10240,
        corruption_strategy: CorruptionStrategy | None = None,
    ) -> MultiThreadedReader:
        """Read files in the given order."""
    @staticmethod
    def new_with_random_shard_paths(
        shard_paths: Iterable[_PathType],
        num_shards: int = 2,
        worker_threads: int = 1,
        queue_size_mb: int = 10240,
        corruption_strategy: CorruptionStrategy | None = None,
    ) -> MultiThreadedReader:
        """Read files in random order, in another one after each pass, without end.

        Damage is raised behind the records of its shard, and reading goes on after it.
        """
    @staticmethod
    def count_records_with_shards(
        dir_path: _PathType,
        prefix: str = "shard",
        num_shards: int = 2,
        worker_threads: int = 1,
        queue_size_mb: int = 10240,
        corruption_strategy: CorruptionStrategy | None = None,
    ) -> int:
        """Return the number of records in the files ``{prefix}_*`` of a directory, all of which are checked."""
    @staticmethod
    def count_records_with_shard_paths(
        shard_paths: Iterable[_PathType],
        num_shards: int = 2,
        worker_threads: int = 1,
        queue_size_mb: int = 10240,
        corruption_strategy: CorruptionStrategy | None = None,
    ) -> int:
        """Return the number of records in files, all of which are checked."""
    def next_record(self) -> Bytes | None:
        """Return the next record, or ``None`` at the end.

        Raises:
            CorruptDataError: Shards were damaged; behind all intact records, and again at each later call.
            StoreError: The reader is closed, or the store failed; an ``OSError``.
            PermissionDeniedError, StoreTimeoutError: The store refused, or was silent.
        """
    def close(self) -> None:
        """Give up what is decoded ahead; nothing to do for a closed reader."""
    def queued_records(self) -> int:
        """Return how many records are decoded ahead."""
    def queued_bytes(self) -> int:
        """Return how many bytes the chunks of these records have."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Bytes: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def permutation(n: int, seed: int, epoch: int) -> NDArray[np.uint64]: ...
def describe_state(state: str) -> str: ...
def set_worker_share(workers: int) -> None: ...
def network_reads() -> int: ...
def counters() -> dict[str, int]: ...
def figures() -> list[tuple[str, str, VerbStats]]: ...
def stats_text() -> str: ...
def init_op_log(place: str) -> None: ...
def is_op_log_active() -> bool: ...
def finalize_op_log() -> None: ...
def summarise_op_logs(places: Sequence[str]) -> str: ...
def set_log_level(level: str) -> None: ...
def set_log_sink(sink: Callable[[], None]) -> None: ...
def take_log_events() -> tuple[list[tuple[str, str, str, str, float]], int]: ...
def run_cli(arguments: Sequence[str]) -> int: ...

_Extent: TypeAlias = tuple[list[int], list[int]]
_GivenTensor: TypeAlias = tuple[str, str, list[int], Any, _Extent | None, bool]

def checkpoint_save(
    uri: str, given: list[_GivenTensor], tree: str, level: int | None, progress: Progress
) -> Operation[None]:
    """Write values as one object."""

def checkpoint_save_beside(
    uri: str,
    given: list[_GivenTensor],
    tree: str,
    level: int | None,
    save_id: str,
    rank: int,
    world_size: int,
    overwrite: bool,
) -> Operation[None]:
    """Write the shard of a rank under a name of the user's."""

def checkpoint_finalize(uri: str, world_size: int) -> Operation[str]:
    """Make the shards beside each other a checkpoint; gives the URI of its manifest."""

def checkpoint_save_shard(
    uri: str,
    given: list[_GivenTensor],
    tree: str,
    level: int | None,
    step: int,
    attempt: str,
    rank: int,
    world_size: int,
    nonce: int,
    strategy: str,
    announce: bool,
    progress: Progress,
) -> Operation[dict[str, Any]]:
    """Write the shard of a rank of an attempt; gives what the manifest will say of it."""

def checkpoint_commit(
    uri: str,
    step: int,
    attempt: str,
    world_size: int,
    timeout: float,
    overwrite: bool,
    framework: str,
    name: str,
    epoch: int,
    user_meta: str,
    metrics: str,
    shards: list[bytes] | None,
) -> Operation[str]:
    """Commit an attempt; gives the key of its manifest."""

def checkpoint_steps(uri: str) -> Operation[list[int]]:
    """Return the committed steps, in order."""

def checkpoint_latest(uri: str) -> Operation[int | None]:
    """Return the newest committed step."""

def checkpoint_gc(uri: str, steps: list[int], grace: float) -> Operation[tuple[list[int], int]]:
    """Remove steps, and attempts that were given up; gives the steps and the number of objects."""

def checkpoint_unwanted(
    uri: str, last: int | None, every: int | None, best: tuple[str, int] | None
) -> Operation[list[int]]:
    """Return the committed steps that stay for none of these reasons, in order."""

def checkpoint_older(uri: str) -> Operation[list[str]]:
    """Return the checkpoints of the earlier store, each as JSON, the oldest first."""

def checkpoint_older_latest(uri: str) -> Operation[str | None]:
    """Return the newest checkpoint of the earlier store, as JSON, or none."""

def checkpoint_older_shard(uri: str, shard: str) -> Operation[BytesView]:
    """Read a shard of the earlier store, which its manifest describes as JSON."""

def checkpoint_balance(sizes: list[tuple[str, int]], world_size: int) -> list[int]:
    """Return the rank that stores each of these tensors, which all ranks have."""

@final
class Checkpoint:
    """An open checkpoint."""

    @staticmethod
    def object(uri: str) -> Operation[Checkpoint]:
        """Open one object."""
    @staticmethod
    def step(uri: str, step: int | None) -> Operation[Checkpoint]:
        """Open a step; the newest if it is ``None``."""
    @staticmethod
    def beside(uri: str) -> Operation[Checkpoint]:
        """Open shards beside each other."""
    def manifest(self) -> dict[str, Any]:
        """Return what the manifest says."""
    def tree(self, rank: int) -> Operation[tuple[str, list[tuple[str, str, list[int]]]]]:
        """Read the tree of a rank, and name, type and shape of each tensor of its shard."""
    def whole(self, name: str) -> tuple[str, list[int]] | None:
        """Return type and shape of a tensor that several shards make up."""
    def read(
        self, rank: int, wanted: list[tuple[str, bool, _Extent | None, Any]], verify: bool, progress: Progress
    ) -> Operation[None]:
        """Read tensors of a rank, and of all, into memory."""
    def verify(self) -> Operation[int]:
        """Read everything and compare it with its checksums; gives the number of bytes."""
