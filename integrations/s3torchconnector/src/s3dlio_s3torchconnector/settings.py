"""Region, endpoint and options of the client, as the variables that s3dlio reads at each call."""

from __future__ import annotations

import os
from dataclasses import dataclass

from s3dlio.errors import ConfigError

__all__ = ["S3ClientConfig", "apply"]


@dataclass(frozen=True)
class S3ClientConfig:
    """Options of the client.

    Attributes:
        throughput_target_gbps: Only its default: s3dlio is bounded by requests in flight, not by a rate.
        part_size: Bytes of the parts of an upload, at least 5 MiB on S3.
        unsigned: Whether requests are anonymous.
        force_path_style: Whether the bucket is in the path and not in the host name.
        max_attempts: How often a request is sent at most.
        profile: The profile of the AWS files.

    Raises:
        ConfigError: An option is out of range.
    """

    throughput_target_gbps: float = 10.0
    part_size: int = 8 << 20
    unsigned: bool = False
    force_path_style: bool = False
    max_attempts: int = 10
    profile: str | None = None

    def __post_init__(self) -> None:
        """Refuse what nothing could be done with."""
        # The default is compared with itself, so equality is exact.
        if self.throughput_target_gbps != S3ClientConfig.throughput_target_gbps:
            message = (
                f"option `throughput_target_gbps`: found {self.throughput_target_gbps}, expected its default: "
                "requests in flight bound the throughput (see num_workers of s3dlio.torch.Loader)"
            )
            raise ConfigError(message)
        for name in ("part_size", "max_attempts"):
            if getattr(self, name) < 1:
                message = f"option `{name}`: found {getattr(self, name)}, expected an integer of at least 1"
                raise ConfigError(message)

    def variables(self) -> dict[tuple[str, ...], str]:
        """Return the values that are not the defaults, by the variables that may hold them."""
        found: dict[tuple[str, ...], str] = {}
        if self.unsigned:
            found["AWS_SKIP_SIGNATURE",] = "true"
        if self.force_path_style:
            found["S3_ADDRESSING_STYLE", "AWS_S3_ADDRESSING_STYLE"] = "path"
        if self.max_attempts != S3ClientConfig.max_attempts:
            found["S3DLIO_MAX_RETRY_ATTEMPTS",] = str(self.max_attempts - 1)
        if self.profile is not None:
            found["AWS_PROFILE", "AWS_DEFAULT_PROFILE"] = self.profile
        return found


def apply(region: str, endpoint: str | None = None, config: S3ClientConfig | None = None) -> S3ClientConfig:
    """Put region, endpoint and options into the environment, where forked and spawned workers find them too.

    Raises:
        ConfigError: The environment says otherwise already: its settings hold for the whole process.
    """
    config = config or S3ClientConfig()
    wanted = {("AWS_REGION", "AWS_DEFAULT_REGION"): region} | config.variables()
    if endpoint is not None:
        wanted["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] = endpoint
    for names, value in wanted.items():
        present = next((name for name in names if os.environ.get(name)), None)
        if present is not None and os.environ[present] != value:
            message = f"{present} is {os.environ[present]!r}, expected {value!r}: one process has one setting"
            raise ConfigError(message)
    for names, value in wanted.items():
        if not any(os.environ.get(name) for name in names):
            os.environ[names[0]] = value
    return config
