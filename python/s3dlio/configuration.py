"""Settings of S3 by a call, for programs that do not set environment variables themselves."""

from __future__ import annotations

import os

from s3dlio.errors import ConfigError

__all__ = ["configure_s3"]


def configure_s3(
    endpoint_url: str | None = None, region: str | None = None, ca_bundle: str | os.PathLike[str] | None = None
) -> None:
    """Set the endpoint, the region and the certificates of S3 for this process and those that it starts.

    These are the variables ``AWS_ENDPOINT_URL_S3``, ``AWS_REGION`` and ``AWS_CA_BUNDLE``, which every operation reads;
    what is None stays as it is.

    Raises:
        ConfigError: The endpoint is no URL, the region is empty, or there is no such file of certificates.
    """
    found = {
        "AWS_ENDPOINT_URL_S3": _endpoint(endpoint_url),
        "AWS_REGION": region,
        "AWS_CA_BUNDLE": None if ca_bundle is None else _file(os.fspath(ca_bundle)),
    }
    if region is not None and not region:
        raise ConfigError("option `region`: found an empty text, expected a name like 'us-east-1'")
    os.environ.update({name: value for name, value in found.items() if value is not None})


def _endpoint(url: str | None) -> str | None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigError(f"option `endpoint_url`: found {url!r}, expected http://host:port or https://host:port")
    return url


def _file(path: str) -> str:
    if not os.path.isfile(path):  # noqa: PTH113 - the text is what the variable holds
        raise ConfigError(f"option `ca_bundle`: found {path!r}, expected a PEM file")
    return path
