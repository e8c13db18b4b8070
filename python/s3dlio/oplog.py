"""The operation log: one line for each operation of this process and its forked children.

The file is a zstd stream of tab separated columns, whatever its name is; docs/observability.md describes them.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
from collections.abc import Generator
from typing import Any

from s3dlio import _s3dlio

__all__ = ["finalize_op_log", "init_op_log", "is_op_log_active", "op_log", "plot", "summary"]

_FINISH_LAST = -100
"""Of the finalizers of a worker process, behind those that may still read and write."""


class _Hooks:
    """What makes logs complete when processes end; set up with the first log, not at import."""

    ready = False

    @classmethod
    def prepare(cls) -> None:
        if cls.ready:
            return
        cls.ready = True
        import multiprocessing.util as processes  # noqa: PLC0415

        atexit.register(finalize_op_log)
        # A forked worker of multiprocessing ends without atexit, but runs the finalizers that it has made itself.
        processes.register_after_fork(cls, cls._in_child)

    @staticmethod
    def _in_child(_: object) -> None:
        processes = sys.modules["multiprocessing.util"]
        processes.Finalize(None, finalize_op_log, exitpriority=_FINISH_LAST)


def init_op_log(path: str | os.PathLike[str]) -> None:
    """Log every operation from now on to ``path``, a path or a ``file://`` URI; a file that is there is replaced.

    Rows are flushed every second and at the end of the process. A forked child writes to ``path`` with its process
    number before the extension (``ops.tsv.zst`` becomes ``ops.4711.tsv.zst``); one that ends by ``os._exit`` calls
    :func:`finalize_op_log` before. A spawned process begins its own log.

    Raises:
        ConfigError: Another log is active.
        NotFoundError: The directory does not exist.
        PermissionDeniedError: The file cannot be written.
        UnsupportedError: A URI of another scheme.
    """
    _s3dlio.init_op_log(os.fspath(path))
    _Hooks.prepare()


def is_op_log_active() -> bool:
    """Return whether operations are logged."""
    return _s3dlio.is_op_log_active()


def finalize_op_log() -> None:
    """End the log: when this returns, every row is in the file. Does nothing without a log.

    Raises:
        StoreError: Rows could not be written, for instance to a full disk; says how many.
    """
    _s3dlio.finalize_op_log()


@contextlib.contextmanager
def op_log(path: str | os.PathLike[str]) -> Generator[None]:
    """Log the operations of a ``with`` block; as :func:`init_op_log` and :func:`finalize_op_log`."""
    init_op_log(path)
    try:
        yield
    finally:
        finalize_op_log()


def summary(path: str | os.PathLike[str], *more: str | os.PathLike[str]) -> dict[str, Any]:
    """Summarise a log, or several together: those of a program and its forked children.

    Returns:
        ``operations``, ``failed``, ``bytes``, ``start``, ``end``, ``seconds``; ``complete``, which is False for the log
        of a program that was killed or goes on; ``verbs``, by name: counts, rates per second, ``latency`` and
        ``first_byte`` in seconds (min, mean, p50, p90, p99, max); ``endpoints``; the most frequent ``errors``; and
        ``throughput``: operations and bytes by verb, one number for each ``interval`` of seconds.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It is no operation log; names the line.
    """
    values: dict[str, Any] = json.loads(_s3dlio.summarise_op_logs([os.fspath(place) for place in (path, *more)]))
    return values


def plot(path: str | os.PathLike[str], out_png: str | os.PathLike[str]) -> None:
    """Draw throughput over time and latencies by verb into an image; the extension of its name says the format.

    Raises:
        ImportError: matplotlib is not installed.
        NotFoundError: There is no such log.
        StoreError: It is no operation log.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("plotting an operation log needs matplotlib: pip install matplotlib") from error
    figures = summary(path)
    figure: Any = Figure(figsize=(9, 8), layout="constrained")
    _draw_throughput(figure.add_subplot(2, 1, 1), figures)
    _draw_latency(figure.add_subplot(2, 1, 2), figures)
    figure.savefig(os.fspath(out_png))


def _draw_throughput(axes: Any, figures: dict[str, Any]) -> None:
    interval: float = figures["throughput"]["interval"]
    series: dict[str, list[float]] = figures["throughput"]["bytes"]
    for verb, points in series.items():
        if any(points):
            times = [interval * number for number in range(len(points))]
            axes.step(times, [amount / interval / 1e6 for amount in points], where="post", label=verb)
    axes.set(title=f"{figures['operations']} operations from {figures['start']}", xlabel="s", ylabel="MB/s")
    if axes.lines:
        axes.legend()


def _draw_latency(axes: Any, figures: dict[str, Any]) -> None:
    verbs = list(figures["verbs"])
    for offset, quantile in enumerate(("p50", "p90", "p99")):
        heights = [figures["verbs"][verb]["latency"][quantile] * 1e3 for verb in verbs]
        axes.bar([place + 0.25 * offset for place in range(len(verbs))], heights, width=0.25, label=quantile)
    axes.set_xticks([place + 0.25 for place in range(len(verbs))], verbs)
    axes.set(ylabel="ms")
    if verbs:
        axes.set_yscale("log")
        axes.legend()
