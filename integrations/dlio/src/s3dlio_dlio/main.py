"""DLIO's command."""

from __future__ import annotations

import importlib

from s3dlio_dlio.plugin import install

__all__ = ["main"]


def main() -> None:
    """Run DLIO with s3dlio for the URIs of its workload."""
    install()
    # Spawned workers import this module, and DLIO's starts MPI, which they have no part in.
    importlib.import_module("dlio_benchmark.main").main()


if __name__ == "__main__":
    main()
