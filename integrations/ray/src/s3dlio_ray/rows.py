"""Records as rows, and rows as blocks."""

# The package ships partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import s3dlio
from ray.data.block import Block, BlockAccessor
from s3dlio.errors import ConfigError

__all__ = ["Row", "blocks", "row_of"]

Row: TypeAlias = dict[str, Any]
"""The fields of a record by the names of their columns."""


def row_of(sample: Any, decoder: str, about: Row, uri: str) -> Row:
    """Make a row of what a decoder made of a record.

    Args:
        sample: The fields of a record, or its only one.
        decoder: Tells how the only field is called: ``bytes``, ``text``, ``image`` or ``array``.
        about: Further columns, which are said of the record.
        uri: The record.

    Raises:
        ConfigError: A field has the name of one of the further columns.
    """
    if isinstance(sample, Mapping):
        fields: Row = {name: _plain(value) for name, value in sample.items()}
    elif isinstance(sample, s3dlio.BytesView):
        fields = {"bytes": bytes(sample)}
    elif isinstance(sample, str):
        fields = {"text": sample}
    else:
        fields = {"image" if decoder.startswith("image") else "array": _plain(sample)}
    if taken := sorted(fields.keys() & about.keys()):
        message = f"{uri}: found a field {taken[0]!r}, expected none of the name of a column that was asked for"
        raise ConfigError(message, uri=uri)
    return fields | about


def _plain(value: Any) -> Any:
    # Arrow has types for lists of bytes, and none for arrays of objects.
    return value.tolist() if isinstance(value, np.ndarray) and value.dtype.hasobject else value


def blocks(rows: Iterable[Row], target: int) -> Iterator[Block]:
    """Collect rows into blocks of about ``target`` bytes, at least a row each.

    Rows with other fields, types or numbers of axes begin a block: Ray knows how such blocks go together.
    """
    waiting: list[Row] = []
    size, kind = 0, None
    for row in rows:
        found = [(name, _kind(value)) for name, value in row.items()]
        if waiting and (size >= target or found != kind):
            yield _block(waiting)
            waiting, size = [], 0
        waiting.append(row)
        size, kind = size + sum(_bytes(value) for value in row.values()), found
    if waiting:
        yield _block(waiting)


def _kind(value: Any) -> Any:
    return (value.dtype, value.ndim) if isinstance(value, np.ndarray) else type(value)


def _bytes(value: Any) -> int:
    if isinstance(value, list):
        return sum(_bytes(one) for one in value)
    # 8 bytes for a number; those of text are at least its characters.
    return value.nbytes if isinstance(value, np.ndarray) else len(value) if isinstance(value, bytes | str) else 8


def _block(rows: list[Row]) -> Block:
    return BlockAccessor.batch_to_block({name: _column([row[name] for row in rows]) for name in rows[0]})


def _column(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, int) or (
        isinstance(first, np.ndarray) and all(value.shape == first.shape for value in values)
    ):
        return np.stack(values)
    # NumPy would cut zeros off the end of bytes, and make a matrix of arrays that differ in their last axes only.
    column = np.empty(len(values), dtype=object)
    for number, value in enumerate(values):
        column[number] = value
    return column
