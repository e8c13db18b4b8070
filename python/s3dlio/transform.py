"""Functions of the user that samples and batches go through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from s3dlio.errors import TransformError

__all__ = ["apply"]


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
