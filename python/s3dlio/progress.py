"""How far a call is, as a bar or told to a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from s3dlio import _s3dlio
from s3dlio.errors import ConfigError

if TYPE_CHECKING:
    from tqdm.auto import tqdm

__all__ = ["BytesReport", "Watch", "bar", "watching"]

_T = TypeVar("_T")

BytesReport: TypeAlias = Callable[[int, int], object]
"""Is told ``(bytes, all bytes)`` about ten times a second, and at the end."""


@contextmanager
def bar() -> Generator[tqdm[Any]]:
    """Draw a bar that counts bytes.

    Raises:
        ConfigError: ``tqdm`` is not installed.
    """
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415 - only those who want a bar need it
    except ImportError as error:
        message = "option `progress`: found True, which draws its bar with tqdm: install tqdm, or pass a function"
        raise ConfigError(message) from error
    with tqdm(unit="B", unit_scale=True, unit_divisor=1024) as drawn:
        yield drawn


class Watch:
    """Operations that count their bytes together.

    Attributes:
        counter: Counts them; what surrounds tensors in a file too.
    """

    def __init__(self, report: BytesReport | None, total: int) -> None:
        self.counter = _s3dlio.Progress()
        self._report = report
        self._total = total

    def progress(self) -> tuple[int, int]:
        """Return how many bytes are done, and how many there are."""
        return min(self.counter.bytes, self._total), self._total

    def tell(self) -> None:
        """Report them."""
        if self._report is not None:
            self._report(*self.progress())

    def wait(self, operation: _s3dlio.Operation[_T]) -> _T:
        """Run an operation to its end, reporting on the way."""
        return operation.wait(None if self._report is None else self.tell)


@contextmanager
def watching(progress: bool | BytesReport | None, total: int) -> Generator[Watch]:
    """Give the watch of a call that moves ``total`` bytes; ``True`` draws a bar, and without an error it ends full."""
    if progress is True:
        with bar() as drawn, watching(_drawing(drawn), total) as watch:
            yield watch
        return
    watch = Watch(progress or None, total)
    yield watch
    watch.tell()


def _drawing(drawn: tqdm[Any]) -> BytesReport:
    def draw(moved: int, total: int) -> None:
        drawn.total = total
        drawn.update(moved - drawn.n)

    return draw
