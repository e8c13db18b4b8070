"""Figures of this process."""

from __future__ import annotations

from s3dlio import _s3dlio

__all__ = ["stats"]


def stats() -> dict[str, int]:
    """Return the counters of this process: requests and bytes by verb, on all stores together.

    Keys: ``get_requests``, ``get_bytes``, ``put_requests``, ``put_bytes``, ``list_requests``, ``head_requests``,
    ``delete_requests``. A forked child goes on from its parent's values.
    """
    return _s3dlio.counters()
