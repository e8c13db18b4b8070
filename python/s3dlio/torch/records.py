"""What both kinds of data sets of records are made from."""

from __future__ import annotations

from s3dlio import _s3dlio
from s3dlio.sources import Named

__all__ = ["Records"]


class Records(Named):
    """A data set over a list of records."""

    _objects: _s3dlio.Objects

    @property
    def objects(self) -> _s3dlio.Objects:
        """The list of objects."""
        return self._objects
