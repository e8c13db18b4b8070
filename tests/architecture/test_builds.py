"""One build of the dependencies serves the wheel and the Rust tests."""

from __future__ import annotations

import subprocess

from tests.architecture.tree import ROOT


def features(*selection: str) -> dict[str, str]:
    """The features of each dependency, by its name and version, in the build of a selection of packages."""
    tree = ["cargo", "tree", "--locked", "--prefix=none", "--format={p}|{f}", *selection]
    lines = subprocess.run(tree, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    named = (line.removesuffix(" (*)").split("|") for line in lines if "|" in line)
    return {package: wanted for package, wanted in named if "(proc-macro)" not in package}


def test_wheel_and_tests_build_the_same_dependencies() -> None:
    wheel = features("--manifest-path=rust/python/Cargo.toml", "--edges=normal")
    tests = features("--workspace", "--exclude=s3dlio-python", "--exclude=s3dlio-tch", "--edges=normal,dev")
    shared = wheel.keys() & tests.keys()
    assert len(shared) > 100, "the two selections hardly have a dependency in common"
    differing = [(name, wheel[name], tests[name]) for name in sorted(shared) if wheel[name] != tests[name]]
    assert not differing, (
        "each of these is compiled twice, with all that depends on it: name its features in rust/unify"
    )
