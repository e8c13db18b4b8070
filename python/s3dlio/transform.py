"""Functions of the user that samples and batches go through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from s3dlio import _s3dlio
from s3dlio.dataset import log_skipped
from s3dlio.errors import CorruptDataError, NotFoundError, TransformError, UnsupportedError

__all__ = ["Refused", "apply"]


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


class Refused:
    """The samples of an iteration that a transform refused, and what takes their places.

    Args:
        core: Says what becomes of bad samples.
        batches: The iteration, which counts these with the records that it could not read.
        objects: Names them.

    Attributes:
        count: How many there were, with those that were tried in their places.
        left_out: Of how many nothing took the place.
    """

    def __init__(self, core: _s3dlio.Loader, batches: _s3dlio.BatchIter, objects: _s3dlio.Objects) -> None:
        self.count = 0
        self.left_out = 0
        self._core = core
        self._batches = batches
        self._objects = objects

    def instead(self, index: int, error: TransformError, finish: Callable[[Any, int], Any]) -> list[Any]:
        """Return what comes in the place of a sample: nothing, or what another record makes.

        The records that are tried are those that take the place of a record that cannot be read.

        Args:
            index: The record.
            error: Why it was refused.
            finish: Makes a sample of what was read of a record, whose number comes second. It is not kept: a method of
                the iteration would keep that and its threads alive.

        Raises:
            TransformError: Bad samples are not borne with, or not so many, or none of those that were tried is good.
        """
        if not self._core.skips_errors:
            raise error
        self._refuse(index, error)
        if not self._core.replaces_errors:
            self.left_out += 1
            return []
        last: Exception = error
        tries = 0
        while (other := self._core.replacement(index, tries)) is not None:
            number, reading = other
            try:
                (sample,) = reading.wait()
                return [finish(sample, number)]
            except (TransformError, CorruptDataError, NotFoundError, UnsupportedError) as bad:
                self._refuse(number, bad)
                last, tries = bad, tries + 1
        uri = self._objects.uri(index)
        message = f"{uri}: none of the {tries} records that were tried in its place is good, the last of which: {last}"
        raise TransformError(message, uri=uri, record=index) from last

    def _refuse(self, index: int, error: Exception) -> None:
        if (limit := self._batches.refuse()) is not None:
            uri = self._objects.uri(index)
            message = f"more than {limit} bad records (option `max_errors`), the last of which: {error}"
            raise TransformError(message, uri=uri, record=index) from error
        self.count += 1
        log_skipped([(index, self._objects.uri(index), str(error))])
