"""Awaiting operations of the Rust core from ``asyncio``.

Results reach the event loop through a descriptor that it watches, so no foreign thread ever enters the interpreter:
a program may end with operations in flight.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, TypeVar

from s3dlio import _s3dlio

__all__ = ["result"]

_T = TypeVar("_T")


class _Bridge:
    """The operations of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._completions = _s3dlio.Completions()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        loop.add_reader(self._completions.fileno(), self._resolve)

    def start(self, loop: asyncio.AbstractEventLoop, operation: _s3dlio.Operation[Any]) -> asyncio.Future[Any]:
        number = self._completions.start(operation)
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting[number] = future
        future.add_done_callback(lambda done: self._ended(number, done))
        return future

    def _ended(self, number: int, future: asyncio.Future[Any]) -> None:
        if future.cancelled() and self._waiting.pop(number, None) is not None:
            self._completions.cancel(number)

    def _resolve(self) -> None:
        for number, value, error in self._completions.drain():
            future = self._waiting.pop(number, None)
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


_bridges: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Bridge] = weakref.WeakKeyDictionary()


async def result(operation: _s3dlio.Operation[_T]) -> _T:
    """Run an operation and return its result; cancelling the task breaks the operation off."""
    loop = asyncio.get_running_loop()
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _Bridge(loop)
    value: _T = await bridge.start(loop, operation)
    return value
