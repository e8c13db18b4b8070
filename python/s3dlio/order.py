"""The order of an epoch: a pure function of seed, epoch and position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3dlio import _s3dlio
from s3dlio.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["permutation"]


def permutation(n: int, seed: int = 0, epoch: int = 0) -> NDArray[np.uint64]:
    """Return the order in which ``shuffle="global"`` visits ``n`` records in ``epoch``.

    Shape ``[n]``, dtype uint64; position ``p`` of the epoch holds record ``permutation(n, seed, epoch)[p]``. The values
    are the same on every machine and in every release.

    Raises:
        ConfigError: A number is negative or does not fit 64 bits.
    """
    for option, value in (("n", n), ("seed", seed), ("epoch", epoch)):
        if not 0 <= value < 1 << 64:
            message = f"option `{option}`: found {value}, expected an integer from 0 to 2**64 - 1"
            raise ConfigError(message)
    return _s3dlio.permutation(n, seed, epoch)
