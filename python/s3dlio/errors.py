"""Exceptions of s3dlio.

Every class is an :class:`S3dlioError` (and so a ``RuntimeError``) and also the builtin that fits, so that
``except FileNotFoundError`` works as well as ``except s3dlio.S3dlioError``. All of them can be pickled and made from
one string, as ``DataLoader`` workers need it.
"""

from __future__ import annotations

__all__ = [
    "AlreadyExistsError",
    "CheckpointError",
    "CheckpointExistsError",
    "ConfigError",
    "CorruptDataError",
    "ForkedProcessError",
    "IncompleteCheckpointError",
    "InvalidUriError",
    "MissingArrayError",
    "NotFoundError",
    "OptionError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "PreconditionError",
    "S3dlioError",
    "StateMismatchError",
    "StoreError",
    "StoreTimeoutError",
    "TransformError",
    "UnsupportedError",
]


class S3dlioError(RuntimeError):
    """Base of all errors of this package.

    Attributes:
        uri: The object that the error is about, if there is one.
        offset: Byte offset inside the object, where it is known.
        record: Index of the record in its data set, where it is known.
    """

    def __init__(
        self, message: str = "", *, uri: str | None = None, offset: int | None = None, record: int | None = None
    ) -> None:
        super().__init__(message)
        self.uri = uri
        self.offset = offset
        self.record = record


class NotFoundError(S3dlioError, FileNotFoundError):
    """No such object, bucket, file, or an empty data set."""


class MissingArrayError(S3dlioError, KeyError):
    """The archive has no array of this name; the message lists those that it has."""

    # A KeyError shows its message as a representation.
    __str__ = RuntimeError.__str__


class OutOfRangeError(S3dlioError, IndexError, ValueError):
    """There is no record of this number; the message tells how many there are."""


class AlreadyExistsError(S3dlioError, FileExistsError):
    """The object exists and was not to be replaced."""


class PreconditionError(S3dlioError):
    """The object is not the one that a condition asked for."""


class PermissionDeniedError(S3dlioError, PermissionError):
    """Credentials are missing, wrong, or not enough."""


class InvalidUriError(S3dlioError, ValueError):
    """The text is not a URI that this package reads."""


class ConfigError(S3dlioError, ValueError):
    """An option or environment variable has a value outside its range; the message names it."""


class OptionError(ConfigError, OSError):
    """The same, of a function whose documented errors are all ``OSError``."""


class UnsupportedError(S3dlioError, NotImplementedError):
    """The operation does not exist for this scheme or object."""


class CorruptDataError(S3dlioError, ValueError, OSError):
    """The content is damaged, cut short, or not of the expected format."""


class StoreError(S3dlioError, OSError):
    """Any other failure of a store, the network or the operating system."""


class StoreTimeoutError(S3dlioError, TimeoutError):
    """No answer within the configured time."""


class CheckpointError(S3dlioError):
    """The request makes no sense for this checkpoint; the message says what was found and what was expected."""


class IncompleteCheckpointError(CheckpointError):
    """Parts of a checkpoint are missing, or do not belong together."""


class CheckpointExistsError(CheckpointError, FileExistsError):
    """Another save has committed this checkpoint."""


class StateMismatchError(S3dlioError, ValueError):
    """A saved state does not fit this loader; the message says what differs."""


class ForkedProcessError(S3dlioError):
    """An iterator or loop of the parent process was used in a forked child."""


class TransformError(S3dlioError):
    """A user's ``transform`` raised; ``__cause__`` is what it raised."""
