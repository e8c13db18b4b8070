"""Functions of the user that samples and batches go through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from s3dlio import _s3dlio
from s3dlio.dataset import log_skipped
from s3dlio.errors import CorruptDataError, NotFoundError, TransformError, UnsupportedError

__all__ = ["apply", "replaced"]


def apply(transform: Callable[[Any], Any], sample: Any, uri: str, record: int | None) -> Any:
    """Run a user's function.

    Raises:
        TransformError: It raised; the message names the object, the cause keeps the user's traceback.
    """
    try:
        return transform(sample)
    except Exception as error:
        message = f"{uri}: the transform raised {type(error).__name__}: {error}"
        raise TransformError(message, uri=uri, record=record) from error


def replaced(
    core: _s3dlio.Loader, objects: _s3dlio.Objects, finish: Callable[[Any, int], Any], index: int, error: Exception
) -> tuple[Any, int]:
    """Return what ``finish`` makes of another record in the place of one that a transform refused.

    The records that are tried are those that take the place of a record that cannot be read.

    Returns:
        The sample, and how many other records were refused before it.

    Raises:
        TransformError: None of those that were tried is good either.
    """
    tries = 0
    while (other := core.replacement(index, tries)) is not None:
        number, reading = other
        try:
            (sample,) = reading.wait()
            return finish(sample, number), tries
        except (TransformError, CorruptDataError, NotFoundError, UnsupportedError) as bad:
            log_skipped([(number, objects.uri(number), str(bad))])
            error, tries = bad, tries + 1
    uri = objects.uri(index)
    message = f"{uri}: none of the {tries} records that were tried in its place is good, the last of which: {error}"
    raise TransformError(message, uri=uri, record=index) from error
