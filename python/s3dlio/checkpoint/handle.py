"""Saving in the background."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from s3dlio.errors import ForkedProcessError, StoreTimeoutError
from s3dlio.progress import Watch

__all__ = ["SaveHandle"]

# How long the end of the program waits for saves that are on their way.
_AT_EXIT_SECONDS = 60.0

_running: weakref.WeakSet[SaveHandle] = weakref.WeakSet()


class SaveHandle:
    """A save that goes on in the background; made by :meth:`CheckpointManager.save_async`.

    Args:
        work: What is done.
        watch: Knows how many bytes of the tensors, which are copies by now, are written.
    """

    def __init__(self, work: Callable[[], Any], watch: Watch) -> None:
        self._pid = os.getpid()
        self._done = threading.Event()
        self._watch = watch
        self._value: Any = None
        self._error: BaseException | None = None
        self.reported = False
        # A daemon, so that a store that does not answer cannot keep the program from ending.
        thread = threading.Thread(target=self._run, args=(work,), name="s3dlio-checkpoint", daemon=True)
        _running.add(self)
        thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._value = work()
        except BaseException as error:  # noqa: BLE001 # whatever it is, it belongs to whoever asks for the result
            self._error = error
        finally:
            self._done.set()

    def _own(self) -> None:
        if self._pid != os.getpid():
            message = "this save belongs to the parent of this process, which alone can wait for it"
            raise ForkedProcessError(message)

    def staged(self) -> bool:
        """Tell whether the tensors may be changed again, which they may as soon as the handle exists."""
        self._own()
        return True

    def done(self) -> bool:
        """Tell whether the save has ended."""
        self._own()
        return self._done.is_set()

    def progress(self) -> tuple[int, int]:
        """Return how many bytes of tensors are written, and how many there are; :meth:`done` tells of the commit."""
        self._own()
        return self._watch.progress()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end of the save.

        Args:
            timeout: Seconds; without end if ``None``.

        Returns:
            What :meth:`CheckpointManager.save` returns.

        Raises:
            StoreTimeoutError: It goes on longer than that.
            S3dlioError: What kept it from being saved.
        """
        self._own()
        # In slices, so that Ctrl-C is not kept waiting.
        waited = 0.0
        while not self._done.wait(0.1 if timeout is None else min(0.1, max(timeout - waited, 0.0))):
            waited += 0.1
            if timeout is not None and waited >= timeout:
                message = f"the checkpoint is not saved after {timeout} s"
                raise StoreTimeoutError(message)
        self.reported = True
        if self._error is not None:
            raise self._error
        return self._value

    def flush(self, timeout: float) -> BaseException | None:
        """Wait for the end, without raising; what went wrong and was not told yet is returned."""
        if self._pid != os.getpid():
            return None
        self._done.wait(timeout)
        return None if self.reported else self._error


def _flush() -> None:
    for handle in list(_running):
        error = handle.flush(_AT_EXIT_SECONDS)
        if error is not None:
            raise error


atexit.register(_flush)
