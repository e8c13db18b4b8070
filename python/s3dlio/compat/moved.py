"""How an old name says which one to use."""

from __future__ import annotations

import warnings

__all__ = ["moved"]


def moved(old: str, new: str, category: type[Warning] = FutureWarning) -> None:
    """Warn the caller of an old name, once for each place as Python's filters do by default."""
    # Three levels up is the caller of the old name.
    warnings.warn(f"s3dlio.{old} is an old name: use s3dlio.{new}", category, stacklevel=3)
