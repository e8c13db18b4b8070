"""The fixtures of the project's own tests, for those of the integrations."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Fixtures import each other, which must not come before their assertions are made to explain themselves. Where all
# tests run together, that has been seen to already.
if "tests.fixtures" not in sys.modules:
    pytest.register_assert_rewrite("tests.fixtures")

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"

pytest_plugins = [f"tests.fixtures.{path.stem}" for path in sorted(FIXTURES.glob("[!_]*.py"))]
