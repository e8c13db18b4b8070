"""Figures of this process."""

from __future__ import annotations

import atexit
import contextlib
import weakref
from typing import Protocol, TypedDict

from s3dlio import _s3dlio
from s3dlio.arguments import at_least

__all__ = [
    "Latency",
    "Stats",
    "VerbStats",
    "abort_at_exit",
    "configure_tokio_threads",
    "load_numpy",
    "stats",
    "stats_text",
]


class _Writer(Protocol):
    def abort(self) -> None: ...


_unfinished: weakref.WeakSet[_Writer] = weakref.WeakSet()


def abort_at_exit(writer: _Writer) -> None:
    """Have a writer remove its parts where the program ends before it is finished."""
    _unfinished.add(writer)


@atexit.register
def _abort_all() -> None:
    for writer in [*_unfinished]:
        with contextlib.suppress(Exception):
            writer.abort()


class Latency(TypedDict):
    """How long operations took, in seconds. Quantiles are within 7 %."""

    count: int
    sum: float
    min: float
    max: float
    p50: float
    p90: float
    p99: float
    buckets: list[tuple[float, int]]
    """Upper edge of each bucket that is not empty, and the operations in it (in it alone, not in all below it)."""


class VerbStats(TypedDict):
    """One verb on one kind of store."""

    operations: int
    errors: int
    bytes: int
    latency: Latency


class Stats(TypedDict):
    """Statistics of a process."""

    get_requests: int
    get_bytes: int
    put_requests: int
    put_bytes: int
    list_requests: int
    head_requests: int
    delete_requests: int
    retries: int
    cache_hits: int
    cache_bytes: int
    stores: dict[str, dict[str, VerbStats]]


def load_numpy() -> None:
    """Import NumPy before the core asks for it.

    At exit Python ends its daemon threads wherever they run Python code. One that is importing on behalf of Rust then
    takes the whole process down, and no other import takes nearly as long.
    """
    import numpy  # noqa: F401, ICN001, PLC0415 # pyright: ignore[reportUnusedImport]


def configure_tokio_threads(n: int = 0) -> int:
    """Choose how many threads of this process wait on the network, before its first operation; return their number.

    0 leaves it to ``S3DLIO_RT_THREADS``, or else to the number of cores. A forked child may choose again.

    Raises:
        ConfigError: ``n`` is negative, or the threads are running and there is another number of them.
    """
    return _s3dlio.configure_threads(at_least("n", n, 0))


def stats() -> Stats:
    """Return the statistics of this process since it started; a forked child goes on from its parent's.

    The flat keys count requests and bytes on all stores together: ``get_requests``, ``get_bytes``, ``put_requests``,
    ``put_bytes``, ``list_requests``, ``head_requests``, ``delete_requests``, ``retries``, the requests that failed in a
    way that is tried again, and ``cache_hits`` and ``cache_bytes``, the reads that the local cache answered: they count
    as requests too. ``stores`` has operations, errors, bytes and latencies by scheme and verb, for
    instance ``stats()["stores"]["s3"]["get"]["latency"]["p99"]``; a large operation may be several requests. Verbs
    that were not used are left out.
    """
    counters = _s3dlio.counters()
    stores: dict[str, dict[str, VerbStats]] = {}
    for store, verb, figures in _s3dlio.figures():
        stores.setdefault(store, {})[verb] = figures
    return {
        "get_requests": counters["get_requests"],
        "get_bytes": counters["get_bytes"],
        "put_requests": counters["put_requests"],
        "put_bytes": counters["put_bytes"],
        "list_requests": counters["list_requests"],
        "head_requests": counters["head_requests"],
        "delete_requests": counters["delete_requests"],
        "retries": counters["retries"],
        "cache_hits": counters["cache_hits"],
        "cache_bytes": counters["cache_bytes"],
        "stores": stores,
    }


def stats_text() -> str:
    """Return the same statistics as a page that Prometheus reads (text exposition format 0.0.4).

    The histogram ``s3dlio_operation_seconds`` has an edge at each power of two from 8 microseconds to 69 seconds.
    """
    return _s3dlio.stats_text()
