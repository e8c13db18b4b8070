"""Checkpoints as one object each."""

from __future__ import annotations

import s3dlio

from s3dlio_s3torchconnector import settings
from s3dlio_s3torchconnector.reader import ReaderConstructor, S3Reader, SequentialS3Reader
from s3dlio_s3torchconnector.settings import S3ClientConfig

__all__ = ["S3Checkpoint"]


class S3Checkpoint:
    """Files for ``torch.save`` and ``torch.load``.

    Args:
        region: Region of the bucket.
        endpoint: Another server.
        s3client_config: Options of the client.
        reader_constructor: How objects are read; default: whole.

    Raises:
        ConfigError: The environment sets another region, endpoint or option.
    """

    def __init__(
        self,
        region: str,
        endpoint: str | None = None,
        s3client_config: S3ClientConfig | None = None,
        reader_constructor: ReaderConstructor | None = None,
    ) -> None:
        self.region = region
        self.endpoint = endpoint
        self._config = settings.apply(region, endpoint, s3client_config)
        self._construct = reader_constructor or SequentialS3Reader

    def reader(self, s3_uri: str) -> S3Reader:
        """Open an object for reading."""
        return self._construct(s3_uri)

    def writer(self, s3_uri: str) -> s3dlio.PyObjectWriter:
        """Begin to write an object.

        It appears whole at the end of its ``with`` block or when it is closed, and not at all if the block fails.
        """
        return s3dlio.create_writer(s3_uri, s3dlio.PyWriterOptions(chunk_size=self._config.part_size))
