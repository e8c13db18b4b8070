"""What holds for every run: which fixtures exist, and that nothing is skipped unnoticed."""

from __future__ import annotations

import signal
from fnmatch import fnmatch
from pathlib import Path

import pytest

# Fixtures import each other, which must not come before their assertions are made to explain themselves.
pytest.register_assert_rewrite("tests.fixtures")

pytest_plugins = [
    f"tests.fixtures.{path.stem}" for path in sorted((Path(__file__).parent / "fixtures").glob("[!_]*.py"))
]

# Patterns of node ids that may skip, with the reason why no machine of ours can run them.
ALLOWED_SKIPS: dict[str, str] = {}

UNEXPECTED_SKIPS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[UNEXPECTED_SKIPS] = []
    config.pluginmanager.register(SkipAccount(config.stash[UNEXPECTED_SKIPS]))
    # A shell without job control starts background jobs with Ctrl-C ignored, and the programs that tests interrupt
    # would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class SkipAccount:
    """Collects every skip, of a test or of a whole module, that no pattern allows."""

    def __init__(self, unexpected: list[str]) -> None:
        self.unexpected = unexpected

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        # An expected failure is reported as a skip too; it ran.
        skipped = report.skipped and not hasattr(report, "wasxfail")
        if skipped and not any(fnmatch(report.nodeid, pattern) for pattern in ALLOWED_SKIPS):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.unexpected.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)


# The coroutines differ from the calls in how they wait and not in what they ask of a store: these kinds run the calls.
CALLS_ONLY = {"direct", "gs", "az"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def repeats(item: pytest.Item) -> bool:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        return parameters.get("verbs") == "async" and parameters.get("kind") in CALLS_ONLY

    if left_out := [item for item in items if repeats(item)]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not repeats(item)]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.stash[UNEXPECTED_SKIPS] and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if unexpected := config.stash[UNEXPECTED_SKIPS]:
        terminalreporter.section("unexpected skips (the run fails)", red=True)
        for line in unexpected:
            terminalreporter.write_line(line)
