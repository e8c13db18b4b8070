"""The servers of the project's own tests."""

from __future__ import annotations

pytest_plugins = [f"tests.fixtures.{name}" for name in ("programs", "servers", "stores", "testkit")]
