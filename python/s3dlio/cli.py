"""The command ``s3dlio``; docs/cli.md describes it."""

from __future__ import annotations

import sys

from s3dlio import _s3dlio

__all__ = ["main"]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells report it."""


def main() -> int:
    """Run the command line of this process and return its exit code."""
    try:
        return _s3dlio.run_cli(sys.argv[1:])
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
