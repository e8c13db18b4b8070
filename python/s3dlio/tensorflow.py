"""Batches for TensorFlow: ``tf.data`` data sets with a state."""

# tensorflow ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUnknownLambdaType=false
# pyright: reportUntypedBaseClass=false, reportAttributeAccessIssue=false

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from s3dlio.batches import Batches, Position
from s3dlio.dataset import PyDataset
from s3dlio.errors import ConfigError, CorruptDataError, StateMismatchError, UnsupportedError
from s3dlio.extras import explain
from s3dlio.sources import Data

try:
    import tensorflow as tf
except ImportError as error:
    raise explain(error, "tensorflow", "tensorflow") from error

__all__ = ["Loader", "make_tf_dataset"]


class Loader(Batches):
    """Makes ``tf.data.Dataset`` objects whose elements are read, decoded and stacked by threads of the library.

    It splits the data set over the workers of the run: those of an input context, else of ``TF_CONFIG``, else the ranks
    of ``RANK`` and ``WORLD_SIZE``. Use it in a loop as it is, or through :meth:`dataset`::

        loader = s3dlio.tensorflow.Loader("s3://bucket/train/", batch_size=64, shuffle=True, decoder="npz")
        for batch in loader:  # {"image": Tensor [64, ...], "label": Tensor [64]}
            ...
        model.fit(loader.dataset(), epochs=3, callbacks=[loader.callback()])

    Elements are dicts of tensors (``decoder="npz"``) or tensors (``"npy"``). Samples of plain bytes, and of arrays with
    ``collate="list"``, may differ in size: a batch of them is a ``tf.RaggedTensor``.

    Each iteration is the next epoch. TensorFlow reads ahead of the training step, so a state says what the *consumer*
    received only where that is known: in a loop over this object, with the :meth:`callback` in ``model.fit``, or where
    the number of batches is given to :meth:`state_dict`.

    Args:
        data, batched, pattern, format, transform, batch_transform, loader_opts, options: As for
            :class:`~s3dlio.batches.Batches`. A ``transform`` gets and returns NumPy arrays.
        batch_size: Samples in a batch of this worker; default 32.
        rank, world_size: This worker's part, both or neither.
        input_context: The ``tf.distribute.InputContext`` of this worker.
        output_signature: The ``tf.TypeSpec`` of an element; by default found out by reading the first sample.

    Raises:
        ConfigError: An option is unknown or out of range; the message names it.
        InvalidUriError, NotFoundError, PermissionDeniedError, StoreTimeoutError, StoreError: The data set cannot be
            listed, or is empty; the message names the URI.
    """

    def __init__(
        self,
        data: Data | PyDataset | Batches,
        *,
        batch_size: int | None = None,
        batched: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
        input_context: Any = None,
        output_signature: Any = None,
        pattern: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        batch_transform: Callable[[Any], Any] | None = None,
        loader_opts: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if options.pop("writable", False):
            message = "option `writable`: found True, expected False: a tensor of TensorFlow is never written to"
            raise ConfigError(message)
        if rank is None and world_size is None:
            rank, world_size = _place(input_context, loader_opts)
        super().__init__(
            data,
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            pattern=pattern,
            transform=transform,
            batch_transform=batch_transform,
            batched=batched,
            loader_opts=loader_opts,
            **options,
        )
        self._signature = output_signature
        # What the consumer has received, as far as it is known, and where its next iteration begins. TensorFlow's
        # iterators may be ahead of both: it reads ahead, and Keras looks at a batch before it trains.
        self._received: Position = (0, 0)
        self._planned: Position = (0, 0)
        self._uncounted = False
        # The ends of batches that TensorFlow has and the consumer does not have yet; whether fit is the consumer.
        self._given: deque[Position] = deque()
        self._fitting = False
        # Data sets that fit has iterated over: of a repeated one TensorFlow may begin another epoch when fit is over.
        self._fitted: set[object] = set()
        self._failure: Exception | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__() | {"_next": self._planned, "_given": deque(), "_fitted": set(), "_failure": None}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def output_signature(self) -> Any:
        """The ``tf.TypeSpec`` of an element: dtypes and shapes of its fields."""
        if self._signature is None:
            self._signature = self._find_signature()
        return self._signature

    def _find_signature(self) -> Any:
        element = self._first()
        if not self.batched:
            loose = self._loose
            return tf.nest.map_structure(lambda array: _sample_spec(_array(array), loose=loose), element)
        if isinstance(element, list):
            return tf.nest.map_structure(lambda array: _ragged_spec(_array(array)), element[0])
        rows = self._rows
        return tf.nest.map_structure(lambda array: _batch_spec(_array(array), rows), element)

    @property
    def _loose(self) -> bool:
        """Whether samples may differ in their shapes."""
        plain = self.options.value("decoder") == "bytes" and self._transform is None
        return plain or self.options.value("collate") == "list"

    @property
    def _rows(self) -> int | None:
        """Samples that every batch has, or None if they may differ."""
        last = self.options.value("last") or ("drop" if self.options.value("drop_last") else None)
        uneven = last == "uneven" or (last is None and self.options.value("shard_world_size") == 1)
        if uneven or self._batch_transform is not None or not self.keeps_sizes:
            return None
        size: int = self.options.value("batch_size")
        return size

    def _first(self) -> Any:
        """Return the first batch, or sample, that can be read."""
        batches = self.core(batch_size=1, prefetch=1, shard_rank=0, shard_world_size=1).iterate(0, 0)
        try:
            while (ready := batches.next()) is not None:
                element = self.finish(ready[1], ready[3], self.refused(batches))
                if element is not None:
                    return element
        finally:
            batches.stop()
        message = "no sample of the data set can be read: give an `output_signature`"
        raise CorruptDataError(message)

    def dataset(self) -> Any:
        """Return a ``tf.data.Dataset``; each iteration over it is the next epoch of this loader.

        Its cardinality is known, unless samples may be skipped or a loaded state begins in mid-epoch. In the latter
        case the first iteration is shorter than the others: train with ``dataset().repeat()`` and
        ``steps_per_epoch=len(loader)``.
        """
        return self._dataset(None)

    def _dataset(self, given: deque[Position] | None) -> Any:
        signature = self.output_signature
        begin = self._planned if given is not None else self._past_the_end(self._planned)
        whole = begin[1] == 0 and self.keeps_sizes

        own = object()

        def elements() -> Iterator[tuple[Any, ...]]:
            return self._elements(signature, given, own, whole=whole)

        data = tf.data.Dataset.from_generator(elements, output_signature=_wire_signature(signature))
        data = data.map(lambda *wire: _from_wire(signature, [*wire]))
        if whole:
            data = data.apply(tf.data.experimental.assert_cardinality(len(self)))
        options = tf.data.Options()
        options.deterministic = True
        if self.options.value("shard_world_size") > 1:
            # Every worker's data set is its own part already.
            options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return data.with_options(options)

    def _elements(
        self, signature: Any, given: deque[Position] | None, own: object, *, whole: bool
    ) -> Iterator[tuple[Any, ...]]:
        # Runs in a thread of TensorFlow, which turns errors into its own.
        try:
            looped = given is not None
            with self._lock:
                if given is None and self._fitting:
                    given = self._given
                    self._fitted.add(own)
                elif given is None and own in self._fitted:
                    self._fitted.remove(own)
                elif given is None:
                    self._uncounted = True
                # TensorFlow takes an empty epoch for the end of all: only the loop over this object has those.
                self._next = self._next if looped else self._past_the_end(self._next)
                iteration = self._begin()
            _check_begin(iteration.position, whole=whole)
            for batch in iteration:
                element = _to_wire(signature, batch, batched=self.batched)
                if given is not None:
                    given.append(iteration.position if looped else self._past_the_end(iteration.position))
                yield element
        except Exception as error:
            self._failure = error
            raise

    def _past_the_end(self, position: Position) -> Position:
        """Return the beginning of the next epoch for the end of one."""
        epoch, step = position
        return (epoch + 1, 0) if step >= self.core().steps else position

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch, or go on from a loaded state: tensors, with an exact state after each."""
        begin = self._planned
        data = iter(self._dataset(self._start(begin)))
        self._planned = (begin[0] + 1, 0)
        while True:
            try:
                element = next(data)
            except StopIteration:
                break
            except tf.errors.OpError as error:
                raise self._failure or error from error
            self._count(1)
            yield element
        self._received = (begin[0] + 1, 0)

    def _start(self, begin: Position, *, fitting: bool = False) -> deque[Position]:
        """Begin to count what the consumer receives, and return the list of what it will."""
        with self._lock:
            self._next = self._planned = self._received = begin
            self._given = deque()
            self._fitted = set() if fitting else self._fitted
            self._fitting = fitting
            self._uncounted = False
            self._failure = None
            return self._given

    def _count(self, elements: int) -> None:
        """Take note that the consumer has received elements."""
        with self._lock:
            if not self._given:
                message = "training took a batch that this loader has not given: use the callback of the loader in fit"
                raise StateMismatchError(message)
            for _ in range(min(elements, len(self._given))):
                self._received = self._given.popleft()

    def callback(self, *, elements_per_step: int = 1) -> Any:
        """Return a Keras callback that counts what ``model.fit`` trains on, so that the state is exact after any step.

        Training begins where the state says, whatever was looked at before; ``fit`` itself looks at a batch to build
        the model. After the last batch of an epoch the state is the beginning of the next one.

        Args:
            elements_per_step: Elements of :meth:`dataset` that one training step takes, if the program has put some
                together by ``batch``.
        """
        return _callback(self, elements_per_step)

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration."""
        return self._planned[0]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration, as :meth:`s3dlio.batches.Batches.set_epoch`."""
        self._next = self._planned
        super().set_epoch(epoch)
        self._start(self._next)

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Go on from a saved state, as :meth:`s3dlio.batches.Batches.load_state_dict`.

        Call it before :meth:`dataset`, which has to know how long its first iteration is.
        """
        super().load_state_dict(state)
        self._start(self._next)

    def state_dict(self, *, batches: int | None = None, epoch: int | None = None) -> dict[str, Any]:
        """Return what the consumer has received: a small dict of numbers and strings.

        Args:
            batches: Batches that the consumer has taken in the epoch, where neither this object nor the callback
                counts them.
            epoch: The epoch of these; by default the one that began last.

        Raises:
            StateMismatchError: TensorFlow holds iterators whose batches nobody counts, and ``batches`` was not given.
        """
        if batches is not None:
            return self.state_at((max(self._next[0] - 1, 0) if epoch is None else epoch, batches))
        if self._uncounted:
            message = (
                "TensorFlow reads ahead of the program: pass state_dict(batches=number of batches taken in the epoch), "
                "or iterate over the loader itself, or give its callback() to model.fit"
            )
            raise StateMismatchError(message)
        return self.state_at(self._received)


def make_tf_dataset(
    uri: Data | PyDataset | Batches,
    *,
    pattern: str | None = None,
    batch_size: int = 1,
    map_fn: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """Make a ``tf.data.Dataset`` of the objects below ``uri``: deterministic, each iteration the next epoch.

    An element is one sample, or with ``batch_size`` above 1 a batch: a ``tf.RaggedTensor`` of bytes (``uint8``), or
    what the ``decoder`` makes of the objects. For a state that can be saved, use :class:`Loader` and its ``dataset()``.

    Args:
        uri: A prefix, one object, a URI with a ``*``, an iterable of URIs, or a data set or source of this package.
        pattern: A glob on the key below the prefix or on its last segment.
        batch_size: Samples in an element.
        map_fn: A function of tensors, as for ``Dataset.map``.
        options: Everything else that :class:`Loader` takes: ``shuffle``, ``seed``, ``decoder``, ``transform``,
            ``drop_last``, ``input_context`` and so on.

    Raises:
        ConfigError, NotFoundError, InvalidUriError, PermissionDeniedError, StoreTimeoutError, StoreError: As for
            :class:`Loader`.
    """
    loader = Loader(uri, pattern=pattern, batch_size=batch_size, batched=batch_size != 1, **options)
    data = loader.dataset()
    return data if map_fn is None else data.map(map_fn, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _check_begin(position: Position, *, whole: bool) -> None:
    if whole and position[1]:
        message = "a state in mid-epoch was loaded after dataset() was called: load it before"
        raise StateMismatchError(message)


def _callback(loader: Loader, elements: int) -> Any:
    # Keras is loaded when it is first named, which takes seconds.
    class Progress(tf.keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
        """Tells a loader what was trained on."""

        def on_train_begin(self, logs: Any = None) -> None:
            del logs
            begin = loader._past_the_end(loader._planned)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            loader._start(begin, fitting=True)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            self._seen = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            del epoch, logs
            self._seen = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            # Keras names the last of the steps that it has run in one go.
            del logs
            loader._count((batch + 1 - self._seen) * elements)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            self._seen = batch + 1

        def on_train_end(self, logs: Any = None) -> None:
            del logs
            loader._start(loader._received)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    return Progress()


def _place(input_context: Any, loader_opts: Mapping[str, Any] | None) -> tuple[int | None, int | None]:
    """Return this worker's (rank, world size), or two times None to leave it to the environment."""
    if input_context is not None:
        return input_context.input_pipeline_id, input_context.num_input_pipelines
    text = os.environ.get("TF_CONFIG", "")
    if not text or (loader_opts and "shard_world_size" in loader_opts):
        return None, None
    try:
        found = json.loads(text)
        task, cluster = found.get("task", {}), found.get("cluster", {})
        chiefs, workers = len(cluster.get("chief", ())), len(cluster.get("worker", ()))
        if task.get("type") not in ("chief", "worker") or chiefs + workers == 0:
            return 0, 1
        return int(task["index"]) + (chiefs if task["type"] == "worker" else 0), chiefs + workers
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        message = f"option `TF_CONFIG`: found {text!r}, expected JSON with `cluster` and `task`"
        raise ConfigError(message) from error


# Between the generator and the data set, elements are flat tuples of arrays: a ragged field is its values and the
# splits of each of its dimensions.


def _array(value: Any) -> np.ndarray[Any, Any]:
    """Return an array in the machine's byte order, text and bytes as objects."""
    array = np.asarray(value)
    if array.dtype.kind == "U":
        return np.array([text.encode() for text in array.ravel()], dtype=object).reshape(array.shape)
    if array.dtype.kind == "S":
        return array.astype(object)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _dtype(array: np.ndarray[Any, Any]) -> Any:
    try:
        return tf.as_dtype(array.dtype)
    except TypeError:
        message = f"TensorFlow has no dtype {array.dtype}: convert the field by a `transform`"
        raise UnsupportedError(message) from None


def _sample_spec(array: np.ndarray[Any, Any], *, loose: bool) -> Any:
    return tf.TensorSpec([None] * array.ndim if loose else array.shape, _dtype(array))


def _batch_spec(array: np.ndarray[Any, Any], rows: int | None) -> Any:
    return tf.TensorSpec([rows, *array.shape[1:]] if array.ndim else [], _dtype(array))


def _ragged_spec(sample: np.ndarray[Any, Any]) -> Any:
    if sample.ndim == 0:
        return tf.TensorSpec([None], _dtype(sample))
    return tf.RaggedTensorSpec([None] * (sample.ndim + 1), _dtype(sample), ragged_rank=sample.ndim)


def _wire_signature(signature: Any) -> tuple[Any, ...]:
    wire: list[Any] = []
    for spec in tf.nest.flatten(signature):
        if isinstance(spec, tf.RaggedTensorSpec):
            splits = [tf.TensorSpec([None], tf.int64)] * spec.ragged_rank
            wire += [tf.TensorSpec([None], spec.dtype), *splits]
        else:
            wire.append(spec)
    return tuple(wire)


def _to_wire(signature: Any, element: Any, *, batched: bool) -> tuple[Any, ...]:
    specs = tf.nest.flatten(signature)
    rows = [tf.nest.flatten(sample) for sample in element] if batched and isinstance(element, list) else None
    fields: list[Any] = tf.nest.flatten(element) if rows is None else [[*field] for field in zip(*rows, strict=True)]
    if len(fields) != len(specs):
        message = f"an element has {len(fields)} fields, expected {len(specs)} as in the output signature"
        raise CorruptDataError(message)
    wire: list[Any] = []
    for spec, field in zip(specs, fields, strict=True):
        ragged = isinstance(spec, tf.RaggedTensorSpec)
        arrays = _ragged_arrays(spec, [_array(row) for row in field]) if ragged else [_stacked(field, rows)]
        if _dtype(arrays[0]) != spec.dtype:
            message = f"a field has dtype {arrays[0].dtype}, expected {spec.dtype.name} as in the output signature"
            raise CorruptDataError(message)
        wire += arrays
    return tuple(wire)


def _stacked(field: Any, rows: Any) -> np.ndarray[Any, Any]:
    if rows is None:
        return _array(field)
    try:
        return np.stack([_array(row) for row in field])
    except ValueError as error:
        message = f"samples cannot be stacked as the output signature wants: {error}"
        raise CorruptDataError(message) from error


def _ragged_arrays(spec: Any, rows: list[np.ndarray[Any, Any]]) -> list[Any]:
    """Return the values of all samples one behind the other, and the splits of each dimension, outer ones first."""
    if any(row.ndim != spec.ragged_rank for row in rows):
        message = f"samples have {sorted({row.ndim for row in rows})} dimensions, expected {spec.ragged_rank}"
        raise CorruptDataError(message)
    values = np.concatenate([row.ravel() for row in rows]) if rows else np.empty(0, spec.dtype.as_numpy_dtype)
    lengths = ([np.full(int(np.prod(row.shape[:at])), row.shape[at]) for row in rows] for at in range(spec.ragged_rank))
    return [values, *(np.concatenate([[0], np.cumsum(np.concatenate(each))]).astype(np.int64) for each in lengths)]


def _from_wire(signature: Any, wire: list[Any]) -> Any:
    fields: list[Any] = []
    for spec in tf.nest.flatten(signature):
        if isinstance(spec, tf.RaggedTensorSpec):
            values, *splits = wire[: 1 + spec.ragged_rank]
            fields.append(tf.RaggedTensor.from_nested_row_splits(values, splits, validate=False))
            wire = wire[1 + spec.ragged_rank :]
        else:
            fields.append(wire[0])
            wire = wire[1:]
    return tf.nest.pack_sequence_as(signature, fields)
