"""Checks of arguments that several verbs share."""

from __future__ import annotations

import operator

from s3dlio.errors import ConfigError

__all__ = ["at_least", "one_of"]


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
