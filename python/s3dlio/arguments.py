"""Checks of arguments that several verbs share."""

from __future__ import annotations

import operator
import os

from s3dlio.errors import ConfigError, InvalidUriError, OutOfRangeError

__all__ = ["as_uri", "at_least", "from_first", "one_of"]


def as_uri(path: str | os.PathLike[str]) -> str:
    """Return a URI as it is, and the URI of a local path, which is made absolute.

    Raises:
        InvalidUriError: The path is empty.
    """
    text = os.fspath(path)
    if "://" in text:
        return text
    if not text:
        message = "a path or URI is needed, found an empty one"
        raise InvalidUriError(message)
    # What is only made absolute keeps its slash at the end, by which it names a directory.
    return f"file://{os.path.join(os.path.abspath(text), '') if text.endswith('/') else os.path.abspath(text)}"  # noqa: PTH100, PTH118


def at_least(option: str, value: int, least: int) -> int:
    """Return an integer of at least ``least``; NumPy's count as well.

    Raises:
        TypeError: It is no integer.
        ConfigError: It is below ``least``.
    """
    try:
        # NumPy's integers count as well: offsets often come out of an index array.
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        message = f"option `{option}`: found {value!r}, expected an integer"
        raise TypeError(message)
    if number < least:
        message = f"option `{option}`: found {number}, expected an integer of at least {least}"
        raise ConfigError(message)
    return number


def from_first(what: str, index: int, length: int) -> int:
    """Return a number of one of ``length`` things as it counts from the first; negative ones count from the end.

    Raises:
        OutOfRangeError: There are not so many.
    """
    if -length <= index < length:
        return index % length
    message = f"{what} {index} was asked for, expected one from {-length} to {length - 1}"
    raise OutOfRangeError(message, record=index)


def one_of(**spellings: int | None) -> int | None:
    """Return the value of the one option that is given under any of its spellings.

    Raises:
        ConfigError: Two spellings are given with different values.
    """
    given = {name: value for name, value in spellings.items() if value is not None}
    if len({*given.values()}) > 1:
        message = f"options {', '.join(f'`{name}`={value!r}' for name, value in given.items())} mean the same: give one"
        raise ConfigError(message)
    return next(iter(given.values()), None)
