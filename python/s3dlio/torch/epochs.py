"""What ``DataLoader`` workers share: the machine, and the epoch of their data set."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch.utils.data import get_worker_info

from s3dlio import _s3dlio
from s3dlio.errors import ConfigError

__all__ = ["EpochCounter", "in_worker", "worker"]

# DataLoader workers of one data set. A process needs hundreds of megabytes with torch loaded, so that no node has more.
_MAX_WORKERS = 1024

# Bytes of a saved state, which is below 1 KiB.
_MAX_STATE = 2048


def in_worker() -> bool:
    """Whether this process is a ``DataLoader`` worker."""
    return get_worker_info() is not None


def worker() -> tuple[int, int]:
    """Return (worker number, number of workers) of this ``DataLoader`` worker; (0, 1) outside of one."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def share_machine() -> None:
    """Divide threads, reads in flight and memory by the number of workers; call it before a process first reads."""
    _, workers = worker()
    if workers > 1:
        _s3dlio.set_worker_share(workers)


class EpochCounter:
    """The epoch of the next iteration, one number for each process that iterates, in memory that all of them share.

    A state that the main process has loaded is there too, because persistent workers hold copies of the data set that
    were made before.

    Every iteration of a process moves its own number on by one. ``DataLoader`` begins an iteration in all workers or
    in none, so their numbers agree without a word between them, also when a loop is left early and some workers have
    read further than others. The main process can set all numbers, which persistent workers see.
    """

    def __init__(self) -> None:
        self._next: torch.Tensor = torch.zeros(1 + _MAX_WORKERS, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._state: torch.Tensor = torch.zeros(_MAX_STATE, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]

    def _slot(self) -> int:
        info = get_worker_info()
        if info is None:
            return 0
        if info.num_workers > _MAX_WORKERS:
            message = f"option `num_workers`: found {info.num_workers}, expected at most {_MAX_WORKERS}"
            raise ConfigError(message)
        return 1 + info.id

    def upcoming(self) -> int:
        """Return the epoch of the next iteration."""
        slot = self._slot()
        # The main process goes on from its workers, which it never runs beside itself.
        return int(self._next.max() if slot == 0 else self._next[slot])

    def set(self, epoch: int) -> None:
        """Set the epoch of the next iteration: here in a worker, everywhere in the main process."""
        slot = self._slot()
        if slot == 0:
            self._next.fill_(epoch)
        else:
            self._next[slot] = epoch

    def begin(self) -> int:
        """Take the epoch of an iteration that begins now."""
        epoch = self.upcoming()
        self.set(epoch + 1)
        return epoch

    def load(self, state: str | None) -> None:
        """Set the state that all processes go on from, or none."""
        text = (state or "").encode()
        self._state.zero_()
        self._state[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8) if text else 0

    def loaded(self) -> str | None:
        """Return the state that the main process has loaded."""
        return bytes(self._state.tolist()).rstrip(b"\0").decode() or None

    def workers_ahead(self) -> bool:
        """Whether workers have begun iterations that this process has not."""
        return bool(self._next[1:].max() > self._next[0])

    def begun_since(self, epoch: int) -> bool:
        """Whether any process has begun an iteration since the epoch was set to ``epoch``."""
        return bool(self._next.max() > epoch)
