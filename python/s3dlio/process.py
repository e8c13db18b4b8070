"""Figures of this process."""

from __future__ import annotations

from s3dlio import _s3dlio

__all__ = ["load_numpy", "stats"]


def load_numpy() -> None:
    """Import NumPy before the core asks for it.

    At exit Python ends its daemon threads wherever they run Python code. One that is importing on behalf of Rust then
    takes the whole process down, and no other import takes nearly as long.
    """
    import numpy  # noqa: F401, ICN001, PLC0415 # pyright: ignore[reportUnusedImport]


def stats() -> dict[str, int]:
    """Return the counters of this process: requests and bytes by verb, on all stores together.

    Keys: ``get_requests``, ``get_bytes``, ``put_requests``, ``put_bytes``, ``list_requests``, ``head_requests``,
    ``delete_requests``, ``retries``. A forked child goes on from its parent's values.
    """
    return _s3dlio.counters()
