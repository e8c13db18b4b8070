"""What the library logs, through Python's ``logging`` under the name ``s3dlio``.

Events of the core wait in a queue until a thread of the program comes back from a call; that thread hands them to the
logger. So handlers run on the program's own threads only.
"""

from __future__ import annotations

import atexit
import difflib
import logging
import os
import sys
import threading

from s3dlio import _s3dlio
from s3dlio.errors import ConfigError

__all__ = ["init_logging", "silence"]

_TRACE = 5
_LEVELS = {
    "trace": _TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_ALIASES = {"warning": "warn"}
_FORMAT = "%(asctime)s %(levelname)s %(name)s %(target)s: %(message)s"

_log = logging.getLogger("s3dlio")


class _Delivering(threading.local):
    """Whether this thread hands events over already: a handler may call the library."""

    active = False


_delivering = _Delivering()


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg] # generic for type checkers only
    """Prints to stderr what no handler of the program's own prints."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            super().emit(record)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # Events of the core name their module; messages of the Python side come from one of the package.
        if not hasattr(record, "target"):
            record.target = record.module
        return super().format(record)


def _record(level: str, target: str, message: str, thread: str, time: float) -> logging.LogRecord:
    number = _LEVELS[level]
    fields = {
        "name": _log.name,
        "msg": message,
        "levelno": number,
        "levelname": logging.getLevelName(number),
        "threadName": thread or "s3dlio",
        "created": time,
        "msecs": time % 1 * 1e3,
        "process": os.getpid(),
        "module": target.rpartition("::")[2],
        "target": target,
    }
    return logging.makeLogRecord(fields)


def _deliver() -> None:
    """Hand the core's events to the logger."""
    if _delivering.active:
        return
    _delivering.active = True
    try:
        events, dropped = _s3dlio.take_log_events()
        if dropped:
            _log.warning("%d log events were dropped: more than the queue holds came between two calls", dropped)
        for level, target, message, thread, time in events:
            name = level.lower()
            if _log.isEnabledFor(_LEVELS[name]):
                _log.handle(_record(name, target, message, thread, time))
    finally:
        _delivering.active = False


def _checked(level: str, option: str) -> str:
    name = level.strip().lower()
    name = _ALIASES.get(name, name)
    if name not in _LEVELS:
        near = difflib.get_close_matches(name, _LEVELS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigError(f"{option}: found {level!r}, expected one of {', '.join(_LEVELS)}{hint}")
    return name


def init_logging(level: str = "info") -> None:
    """Log events of ``level`` and of more severe ones; call it again to change the level.

    They go to the logger ``s3dlio`` of Python's ``logging``, and from there to the program's handlers. As long as the
    root logger has none, they are printed to stderr. ``debug`` has a line for each operation. Without this call
    warnings and errors are logged; the variable ``S3DLIO_LOG`` is the same as calling it at import.

    Args:
        level: ``trace``, ``debug``, ``info``, ``warn`` or ``error``, in any case.

    Raises:
        ConfigError: An unknown level.
    """
    _set_level(_checked(level, "level"))


def silence() -> None:
    """Log nothing, until :func:`init_logging` asks for something."""
    _set_level("error")
    _log.setLevel(logging.CRITICAL + 1)


def _set_level(name: str) -> None:
    _s3dlio.set_log_level(name)
    _log.setLevel(_LEVELS[name])
    if not any(isinstance(handler, _StderrHandler) for handler in _log.handlers):
        handler = _StderrHandler(sys.stderr)
        handler.setFormatter(_Formatter(_FORMAT))
        _log.addHandler(handler)


def _begin() -> None:
    """What an import does: warnings go to the logger, and the environment may ask for more."""
    logging.addLevelName(_TRACE, "TRACE")
    _s3dlio.set_log_sink(_deliver)
    atexit.register(_deliver)
    if wanted := os.environ.get("S3DLIO_LOG"):
        _set_level(_checked(wanted, "S3DLIO_LOG"))
    else:
        _s3dlio.set_log_level("warn")


_begin()
