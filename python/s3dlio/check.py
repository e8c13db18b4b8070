"""Why a store can or cannot be used, step by step."""

from __future__ import annotations

import difflib
import warnings
from dataclasses import asdict, dataclass
from typing import Any

from s3dlio import _s3dlio, aio

__all__ = ["CheckReport", "CheckStep", "check", "check_async"]

_MARKS = {True: "ok", False: "FAILED", None: "-"}


@dataclass(frozen=True)
class CheckStep:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        ok: Whether it is as it should be; ``None`` where it was not looked at or cannot be told.
        detail: What was found.
        advice: What to change; empty where nothing is to be changed.
        seconds: How long it took.
    """

    name: str
    ok: bool | None
    detail: str
    advice: str
    seconds: float


@dataclass(frozen=True)
class CheckReport:
    """What a check found; ``str()`` of it is a table.

    Attributes:
        uri: The URI as it was given.
        steps: The steps in their order; those that depend on a failed one are left out.
    """

    uri: str
    steps: tuple[CheckStep, ...]

    @property
    def ok(self) -> bool:
        """Whether no step failed."""
        return all(step.ok is not False for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values that JSON knows: ``uri``, ``ok`` and the list ``steps``."""
        return {"uri": self.uri, "ok": self.ok, "steps": [asdict(step) for step in self.steps]}

    def __str__(self) -> str:
        width = max(len(step.name) for step in self.steps)
        lines = [f"{self.uri}: {'ok' if self.ok else 'FAILED'}"]
        for step in self.steps:
            lines.append(f"  {step.name:<{width}}  {_MARKS[step.ok]:<6}  {step.seconds:7.3f} s  {step.detail}")
            if step.advice:
                lines.append(f"  {'':<{width}}  -> {step.advice}")
        return "\n".join(lines)


def _report(uri: str, steps: list[dict[str, Any]]) -> CheckReport:
    return CheckReport(uri, tuple(CheckStep(**step) for step in steps))


def check(uri: str, *, write: bool = False) -> CheckReport:
    """Look at everything that using ``uri`` depends on.

    For network stores: the settings, name resolution, connection, TLS, credentials and when they expire, clocks, the
    bucket, listing, and reading the object if the URI names one. For local paths: whether they exist, can be read and
    written, and ``O_DIRECT``. What is wrong is in the report and never raised.

    Args:
        uri: An object, a directory (trailing slash) or a bucket.
        write: Also write, read and remove one small object beside it, ``.s3dlio-check-`` and a random text.
    """
    return _report(uri, _s3dlio.check(uri, write).wait())


async def check_async(uri: str, *, write: bool = False) -> CheckReport:
    """Return what :func:`check` returns, without blocking the event loop."""
    return _report(uri, await aio.result(_s3dlio.check(uri, write)))


def _warn_of_unknown_variables() -> None:
    """Warn of every ``S3DLIO_*`` variable that nothing reads."""
    known, unknown = _s3dlio.variables()
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        message = f"nothing reads the environment variable {name}{hint}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


# Importing the package imports this module, and does so once in a process.
_warn_of_unknown_variables()
