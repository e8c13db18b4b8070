"""What both kinds of data sets of records are made from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from s3dlio import _s3dlio

__all__ = ["Records"]


class Records:
    """A data set over a list of records, made by its constructor or from one of two kinds of names."""

    _objects: _s3dlio.Objects

    if TYPE_CHECKING:

        def __init__(self, uri: Any, **options: Any) -> None: ...

    @classmethod
    def from_prefix(cls, uri: str, **options: Any) -> Self:
        """As the constructor."""
        return cls(uri, **options)

    @classmethod
    def from_uris(cls, uris: Iterable[str], **options: Any) -> Self:
        """Make a data set of these objects in this order."""
        return cls([*uris], **options)

    @property
    def objects(self) -> _s3dlio.Objects:
        """The list of objects."""
        return self._objects
