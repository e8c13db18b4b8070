"""What to install for a module that needs more than this package."""

from __future__ import annotations

__all__ = ["explain"]


def explain(error: ImportError, framework: str, extra: str) -> ImportError:
    """Return the error to raise where ``framework`` could not be imported.

    A framework that is there and fails to load keeps its own message.
    """
    if (
        not isinstance(error, ModuleNotFoundError)
        or (error.name or "").partition(".")[0] != framework.partition(".")[0]
    ):
        return error
    message = f"s3dlio.{extra} needs {framework}, which is not installed: pip install s3dlio[{extra}]"
    return ModuleNotFoundError(message, name=error.name, path=error.path)
