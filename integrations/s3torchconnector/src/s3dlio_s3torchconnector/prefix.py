"""Names of the files of ranks, spread over prefixes that a store can serve at the same time."""

# torch's own annotations are partial.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import abc

import torch.distributed
from s3dlio.errors import ConfigError

__all__ = [
    "BinaryPrefixStrategy",
    "DefaultPrefixStrategy",
    "HexPrefixStrategy",
    "NumericPrefixStrategy",
    "S3PrefixStrategyBase",
]

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class S3PrefixStrategyBase(abc.ABC):
    """Tells how the names of a rank's files begin."""

    def __call__(self, rank: int) -> str:
        """As :meth:`generate_prefix`."""
        return self.generate_prefix(rank)

    @abc.abstractmethod
    def generate_prefix(self, rank: int) -> str:
        """Return how the names of this rank's files begin."""


class DefaultPrefixStrategy(S3PrefixStrategyBase):
    """``__<rank>_``."""

    def generate_prefix(self, rank: int) -> str:
        """Return how the names of this rank's files begin."""
        return f"__{rank}_"


class NumericPrefixStrategy(S3PrefixStrategyBase):
    """``<digits>/epoch_<epoch>/__<rank>_``, the digits those of the rank's prefix with the lowest one first.

    Args:
        base: Base of the digits, 2 to 36.
        epoch_num: The epoch; ``None`` leaves that part out.
        min_prefix_length: Digits at least.
        prefix_count: Number of different prefixes; default the world size.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self, base: int, epoch_num: int | None = None, min_prefix_length: int = 10, prefix_count: int | None = None
    ) -> None:
        for name, value, least in (
            ("base", base, 2),
            ("min_prefix_length", min_prefix_length, 1),
            ("prefix_count", 1 if prefix_count is None else prefix_count, 1),
        ):
            if value < least or (name == "base" and value > len(_DIGITS)):
                message = f"option `{name}`: found {value}, expected an integer of at least {least}"
                raise ConfigError(message)
        initialized = torch.distributed.is_available() and torch.distributed.is_initialized()
        world = torch.distributed.get_world_size() if initialized else 1
        self.base = base
        self.epoch_num = epoch_num
        self.prefix_count: int = world if prefix_count is None else prefix_count
        self._length = max(min_prefix_length, len(self._digits(self.prefix_count - 1)))

    def _digits(self, number: int) -> str:
        digits = _DIGITS[number % self.base]
        while number := number // self.base:
            digits += _DIGITS[number % self.base]
        return digits

    def generate_prefix(self, rank: int) -> str:
        """Return how the names of this rank's files begin."""
        epoch = "" if self.epoch_num is None else f"epoch_{self.epoch_num}/"
        return f"{self._digits(rank % self.prefix_count).ljust(self._length, '0')}/{epoch}__{rank}_"


class BinaryPrefixStrategy(NumericPrefixStrategy):
    """Binary digits."""

    def __init__(
        self, epoch_num: int | None = None, min_prefix_length: int = 10, prefix_count: int | None = None
    ) -> None:
        super().__init__(2, epoch_num, min_prefix_length, prefix_count)


class HexPrefixStrategy(NumericPrefixStrategy):
    """Hexadecimal digits."""

    def __init__(
        self, epoch_num: int | None = None, min_prefix_length: int = 10, prefix_count: int | None = None
    ) -> None:
        super().__init__(16, epoch_num, min_prefix_length, prefix_count)
