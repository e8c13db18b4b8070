"""``tf.train.Example``: named lists of bytes, floats or integers, to and from NumPy, without TensorFlow."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from s3dlio import _s3dlio
from s3dlio.errors import ConfigError
from s3dlio.process import load_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

__all__ = [
    "Feature",
    "FixedLenFeature",
    "Ragged",
    "VarLenFeature",
    "example_decoder",
    "parse_example",
    "parse_examples",
    "serialize_example",
]

_KINDS = {
    **dict.fromkeys(("float32", "float"), "float32"),
    **dict.fromkeys(("int64", "int"), "int64"),
    **dict.fromkeys(("bytes", "string", "object"), "bytes"),
}


@dataclasses.dataclass(frozen=True)
class FixedLenFeature:
    """A feature with the same number of values in every example.

    Args:
        shape: What the values of one example form; ``()`` is one value.
        dtype: ``float32``, ``int64`` or ``bytes``; a NumPy or TensorFlow type of that name (``tf.string`` is bytes) as
            well.
        default: The value or values of an example that lacks the feature; an error if there are none.
    """

    shape: Sequence[int] = ()
    dtype: Any = "float32"
    default: Any = None


@dataclasses.dataclass(frozen=True)
class VarLenFeature:
    """A feature with any number of values in an example.

    Args:
        dtype: See :class:`FixedLenFeature`.
    """

    dtype: Any = "float32"


Feature: TypeAlias = FixedLenFeature | VarLenFeature


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged(Sequence[Any]):
    """A feature of several examples, each with its own number of values.

    Attributes:
        values: All values behind each other.
        row_splits: Where those of each example begin; one number more than there are examples.
    """

    values: NDArray[Any]
    row_splits: NDArray[Any]

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    def __getitem__(self, row: Any) -> Any:
        """Return the values of one example, or a list of those of a slice."""
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        start = range(len(self))[operator.index(row)]
        return self.values[self.row_splits[start] : self.row_splits[start + 1]]

    def dense(self) -> NDArray[Any]:
        """Return the values as one array with a row for each example.

        Raises:
            ConfigError: The examples have different numbers of values.
        """
        lengths = {*(self.row_splits[1:] - self.row_splits[:-1]).tolist()}
        if len(lengths) > 1:
            message = f"the examples have {min(lengths)} to {max(lengths)} values, expected equal numbers"
            raise ConfigError(message)
        return self.values.reshape(len(self), lengths.pop() if lengths else 0)


def _kind(dtype: Any) -> str:
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", getattr(dtype, "__name__", ""))
    kind = _KINDS.get(name)
    if kind is None:
        message = f"option `dtype`: found {dtype!r}, expected float32, int64 or bytes"
        raise ConfigError(message)
    return kind


def _array(values: list[Any] | NDArray[Any]) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415 - `import s3dlio` is to stay fast

    # An object array is filled one by one: NumPy would take bytes of equal length for the rows of a table.
    return np.fromiter(values, dtype=object, count=len(values)) if isinstance(values, list) else values


def _wanted(name: str, feature: Feature) -> tuple[str, str, int | None, Any]:
    kind = _kind(feature.dtype)
    if isinstance(feature, VarLenFeature):
        return name, kind, None, None
    length = math.prod(feature.shape)
    if feature.default is None:
        return name, kind, length, None
    found, default = _values(name, feature.default)
    if kind == "float32" and found == "int64":
        found, default = kind, default.astype("float32")
    if found != kind:
        message = f"feature {name!r}: the default holds {found}, expected {kind}"
        raise ConfigError(message)
    # One value stands for all.
    repeated = [*default] * length if len(default) == 1 else [*default]
    if len(repeated) != length:
        message = f"feature {name!r}: the default has {len(default)} values, expected {length}"
        raise ConfigError(message)
    return name, kind, length, repeated if kind == "bytes" else default.repeat(length // len(default) if length else 0)


def parse_examples(records: Iterable[Buffer], features: Mapping[str, Feature] | None = None) -> dict[str, Any]:
    """Take the features of several serialized examples apart.

    Args:
        records: The examples; values of bytes are views of them, without a copy where they are ``BytesView``.
        features: The features that are wanted. If left out, all that occur, each as a ``VarLenFeature``.

    Returns:
        By name, of a ``FixedLenFeature`` an array of shape ``(examples, *shape)`` and of a ``VarLenFeature`` a
        :class:`Ragged`. Values of bytes are ``BytesView`` in an array of objects.

    Raises:
        CorruptDataError: A record is no example, lacks a feature without a default, or has one of another kind or
            length; the message names the record and the feature.
        ConfigError: A feature has no such dtype, or a default that does not fit.
    """
    load_numpy()
    wanted = None if features is None else [_wanted(name, feature) for name, feature in features.items()]
    columns: dict[str, Any] = {}
    for name, (values, splits) in _s3dlio.parse_examples([*records], wanted).items():
        feature = None if features is None else features[name]
        if isinstance(feature, FixedLenFeature):
            columns[name] = _array(values).reshape(len(splits) - 1, *feature.shape)
        else:
            columns[name] = Ragged(_array(values), splits)
    return columns


def parse_example(record: Buffer, features: Mapping[str, Feature] | None = None) -> dict[str, NDArray[Any]]:
    """Take the features of one serialized example apart; see :func:`parse_examples`.

    Returns:
        By name, of a ``FixedLenFeature`` an array of its shape, and of any other feature one of all its values.
    """
    return {name: column[0] for name, column in parse_examples([record], features).items()}


def serialize_example(features: Mapping[str, Any]) -> bytes:
    """Return a serialized ``tf.train.Example`` of these features; equal features give equal bytes.

    Each is one value or a sequence or array of them, which is flattened: integers and booleans become ``int64``,
    floats ``float32``, bytes and text (as UTF-8) ``bytes``.

    Raises:
        ConfigError: A feature is of none of these kinds, does not fit into 64 bits, or is an empty list, which says
            nothing about its kind: give an empty array.
    """
    load_numpy()
    return _s3dlio.serialize_example([(name, *_values(name, values)) for name, values in features.items()])


def example_decoder(features: Mapping[str, Feature], *, ragged: Literal["pad", "list"] = "pad") -> str:
    """Return the option ``decoder`` of a loader that takes features of ``tf.train.Example`` apart on its threads.

    A sample is a dict of the features by name. Those of fixed shape make a batch ``[B, *shape]``. Those with any number
    of values are filled up with zeros or empty strings to ``[B, longest]``, with their numbers under ``name.lengths``;
    or with ``ragged="list"`` they are a list of one array for each sample. Values of bytes are ``bytes``, in arrays of
    objects::

        features = {"label": FixedLenFeature((), "int64"), "tokens": VarLenFeature("int64")}
        loader = s3dlio.torch.Loader(uri, format="tfrecord", decoder=s3dlio.example_decoder(features))

    A record that is no example, that lacks a feature without a default or has one of another kind or length is a
    ``CorruptDataError`` that names the file, the record and the feature, and counts for ``on_error``.

    Raises:
        ConfigError: There is no feature, one has no such dtype, a default of bytes, or one of different values, or its
            field in a batch has the name of another one.
    """
    words = [_word(name, feature, ragged) for name, feature in features.items()]
    lengths = {f"{name}.lengths" for name, feature in features.items() if isinstance(feature, VarLenFeature)}
    if not words or (ragged == "pad" and lengths & features.keys()):
        message = f"option `features`: found {[*features]}, expected at least one, and each field once"
        raise ConfigError(message)
    return f"example[{','.join(words)}]"


# What has a meaning in the text of a decoder.
_ESCAPED = str.maketrans({character: f"%{ord(character):02X}" for character in "%[](),:="})


def _word(name: str, feature: Feature, ragged: str) -> str:
    kind = _kind(feature.dtype)
    word = f"{name.translate(_ESCAPED)}:{kind}"
    if isinstance(feature, VarLenFeature):
        return word + ("(*)" if ragged == "pad" else "(?)")
    if len(feature.shape):
        word += f"({','.join(str(operator.index(axis)) for axis in feature.shape)})"
    if feature.default is None:
        return word
    _, _, _, default = _wanted(name, feature)
    values = {*default} if kind == "bytes" else {*default.tolist()}
    if kind == "bytes" or len(values) != 1:
        message = f"feature {name!r}: found the default {feature.default!r}, expected one number for a decoder"
        raise ConfigError(message)
    return f"{word}={values.pop()!r}"


def _values(name: str, values: Any) -> tuple[str, Any]:
    import numpy as np  # noqa: PLC0415 - see above

    flat = [*_leaves(values)]
    is_array = issubclass(type(values), np.ndarray)
    if not flat and not is_array:
        message = f"feature {name!r}: found an empty {type(values).__name__}, expected values or an empty array"
        raise ConfigError(message)
    if any(isinstance(value, _TEXT) for value in flat):
        # One by one: NumPy would cut the zeros off the end of byte strings.
        return "bytes", [_encoded(name, value) for value in flat]
    array = np.asarray(values if is_array else flat).reshape(-1)
    if array.dtype.kind in "SUO":
        return "bytes", [_encoded(name, value) for value in array.tolist()]
    if array.dtype.kind in "bi" or (array.dtype.kind == "u" and not (array > np.iinfo(np.int64).max).any()):
        return "int64", np.ascontiguousarray(array, dtype=np.int64)
    if array.dtype.kind == "f":
        return "float32", np.ascontiguousarray(array, dtype=np.float32)
    message = f"feature {name!r}: found values of {array.dtype}, expected integers of 64 bits, floats, bytes or text"
    raise ConfigError(message)


_TEXT = (str, bytes, bytearray, memoryview, _s3dlio.BytesView)


def _leaves(values: Any) -> Iterator[Any]:
    if issubclass(type(values), list | tuple):
        for inner in values:
            yield from _leaves(inner)
    elif getattr(values, "ndim", 0) == 0:
        yield values


def _encoded(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if not issubclass(type(value), _TEXT):
        message = f"feature {name!r}: found {type(value).__name__} among byte strings, expected bytes or text"
        raise ConfigError(message)
    return value
