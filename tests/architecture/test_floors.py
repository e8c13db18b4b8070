"""Crates use only the floors below them, and each keeps out what its purpose forbids."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache

import pytest

from tests.architecture.tree import ROOT, sources

# What a crate may use of ours. A crate that is not named here fails the test: place it first.
INTERNAL = {
    "s3dlio-formats": set(),
    "s3dlio-runtime": set(),
    "s3dlio-store": {"s3dlio-runtime"},
    "s3dlio-records": {"s3dlio-formats", "s3dlio-runtime", "s3dlio-store"},
    "s3dlio-loader": {"s3dlio-formats", "s3dlio-runtime", "s3dlio-store", "s3dlio-records"},
    "s3dlio-checkpoint": {"s3dlio-formats", "s3dlio-runtime", "s3dlio-store", "s3dlio-records"},
    "s3dlio-cli": {"s3dlio-formats", "s3dlio-runtime", "s3dlio-store", "s3dlio-records", "s3dlio-checkpoint"},
    "s3dlio-python": {
        *("s3dlio-formats", "s3dlio-runtime", "s3dlio-store", "s3dlio-records", "s3dlio-loader", "s3dlio-cli"),
        *("s3dlio-checkpoint", "s3dlio-unify"),
    },
    "s3dlio-tch": {
        *("s3dlio-formats", "s3dlio-runtime", "s3dlio-store", "s3dlio-records", "s3dlio-loader", "s3dlio-checkpoint"),
    },
    "s3dlio-testkit": {"s3dlio-formats", "s3dlio-runtime", "s3dlio-store"},
    "s3dlio-unify": set(),
}
DEV_ONLY = {"s3dlio-testkit"}

PYTHON_BRIDGE = {"pyo3", "pyo3-async-runtimes", "pyo3-bytes", "pyo3-ffi", "numpy"}
NEVER = {
    "s3dlio-formats": {"tokio", "object_store", "futures", "rustix", "libc", "tch"},
    "s3dlio-runtime": {"object_store", "tch"},
    "s3dlio-store": {"npyz", "zip", "prost", "tch"},
    "s3dlio-records": {"object_store", "rustix", "tch"},
    "s3dlio-loader": {"object_store", "tch"},
    "s3dlio-checkpoint": {"object_store", "rustix", "tch"},
    "s3dlio-cli": {"object_store", "npyz", "zip", "tch"},
    "s3dlio-python": {"object_store", "npyz", "zip", "tch"},
    "s3dlio-tch": {"object_store", "tokio"},
    "s3dlio-testkit": {"tch"},
    "s3dlio-unify": {"tch"},
}
# Their global pools or worker threads hang after a fork.
BANNED = {"rayon", "pyo3-log", "tokio-uring", "monoio", "compio"}

FORMATS_MAY_USE = {
    *("bytes", "thiserror", "crc32c", "crc32fast", "zstd", "brotli", "snap", "highway", "flate2", "libdeflater"),
    *("npyz", "ndarray", "zip", "prost", "image", "fast_image_resize"),
}
FILE_ACCESS = re.compile(r"\bstd::fs\b|\bstd::\{[^;]*\bfs\b|\bstd::(os|net|process|thread)\b")


@cache
def crates() -> dict[str, list[tuple[str, str]]]:
    """Direct dependencies by crate, as (name, kind): kind is normal, build or dev."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {
        package["name"]: [(d["name"], d["kind"] or "normal") for d in package["dependencies"]]
        for package in json.loads(run.stdout)["packages"]
    }


@cache
def closure(crate: str) -> frozenset[str]:
    """Every crate that this one links, directly or not."""
    command = ["cargo", "tree", "--locked", "--package", crate]
    command += ["--edges", "normal", "--prefix", "none", "--format", "{p}"]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return frozenset(line.split()[0] for line in run.stdout.splitlines() if line) - {crate}


def violations(crate: str, dependencies: list[tuple[str, str]]) -> list[str]:
    """What the direct dependencies of a crate break."""
    found = []
    for name, kind in dependencies:
        if name in PYTHON_BRIDGE and crate != "s3dlio-python":
            found.append(f"{crate} binds to Python through {name}")
        if name in BANNED | NEVER[crate]:
            found.append(f"{crate} uses {name}")
        if kind == "dev":
            continue
        if name in DEV_ONLY:
            found.append(f"{crate} links {name}, which is for tests")
        elif name.startswith("s3dlio-") and name not in INTERNAL[crate]:
            found.append(f"{crate} uses {name}, which is not on a lower floor")
        if crate == "s3dlio-formats" and name not in FORMATS_MAY_USE:
            found.append(f"{crate} uses {name}, which is not a codec")
    return found


def test_every_crate_has_a_floor() -> None:
    assert set(crates()) <= set(INTERNAL)
    assert set(INTERNAL) - set(crates()) <= DEV_ONLY


@pytest.mark.parametrize("crate", sorted(INTERNAL))
def test_direct_dependencies(crate: str) -> None:
    assert violations(crate, crates().get(crate, [])) == []


@pytest.mark.parametrize("crate", sorted(set(INTERNAL) - DEV_ONLY))
def test_nothing_forbidden_arrives_indirectly(crate: str) -> None:
    bridge = set() if crate == "s3dlio-python" else PYTHON_BRIDGE
    trainer = set() if crate == "s3dlio-tch" else {"tch"}
    ours = {name for name in closure(crate) if name.startswith("s3dlio-")}
    assert closure(crate) & (BANNED | bridge | trainer) == set()
    assert ours <= INTERNAL[crate]


def test_formats_reach_no_runtime_or_store() -> None:
    assert closure("s3dlio-formats") & {"tokio", "object_store", "async-trait"} == set()


def test_formats_forbid_unsafe() -> None:
    library = sources("rust/formats/src", ".rs")
    crate_root = next(source for path, source in library.items() if path.name == "lib.rs")
    assert re.search(r"^#!\[forbid\(unsafe_code\)\]", crate_root, re.MULTILINE)


def test_formats_touch_no_operating_system() -> None:
    library = sources("rust/formats/src", ".rs")
    assert [str(path) for path, source in library.items() if FILE_ACCESS.search(source)] == []


@pytest.mark.parametrize(
    ("crate", "dependency"),
    [
        ("s3dlio-formats", ("tokio", "normal")),
        ("s3dlio-formats", ("s3dlio-runtime", "normal")),
        ("s3dlio-formats", ("serde", "normal")),
        ("s3dlio-runtime", ("pyo3", "normal")),
        ("s3dlio-store", ("s3dlio-formats", "normal")),
        ("s3dlio-store", ("s3dlio-loader", "build")),
        ("s3dlio-records", ("s3dlio-loader", "normal")),
        ("s3dlio-loader", ("numpy", "dev")),
        ("s3dlio-loader", ("s3dlio-testkit", "normal")),
        ("s3dlio-checkpoint", ("s3dlio-loader", "normal")),
        ("s3dlio-python", ("tch", "normal")),
        ("s3dlio-python", ("rayon", "normal")),
    ],
)
def test_a_broken_rule_is_seen(crate: str, dependency: tuple[str, str]) -> None:
    assert violations(crate, [dependency]) != []


@pytest.mark.parametrize("line", ["use std::fs::File;", "use std::{io, fs};", "std::fs::read(p)"])
def test_file_access_is_seen(line: str) -> None:
    assert FILE_ACCESS.search(line)
