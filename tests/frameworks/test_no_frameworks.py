"""The package where no framework is installed: all of it works but the modules of the frameworks, which say why."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from s3dlio.extras import explain

from tests.fixtures.programs import run

ROOT = Path(__file__).parents[2]

# Import the blocker by its path: the folder of programs is no package that a program could import.
WITHOUT = f"""
import runpy, sys
runpy.run_path({str(ROOT / "tests/frameworks/programs/without_frameworks.py")!r})
"""

LOADED = """
import s3dlio
import sys

names = ("torch", "torchdata", "jax", "jaxlib", "tensorflow", "keras", "nvidia", "grain", "numpy")
print([name for name in names if name in sys.modules])
"""


def test_the_package_loads_no_framework() -> None:
    # Not even NumPy, which would take half of the time.
    assert run(LOADED) == "[]\n"


@pytest.mark.parametrize(
    ("extra", "framework"),
    [("torch", "torch"), ("jax", "jax"), ("tensorflow", "tensorflow"), ("dali", "nvidia.dali")],
)
def test_a_missing_framework_says_what_to_install(extra: str, framework: str) -> None:
    names = {
        "torch": ["S3MapDataset", "S3IterableDataset"],
        "jax": ["S3JaxIterable"],
        "tensorflow": ["make_tf_dataset"],
    }
    attempts = [f"import s3dlio.{extra}", *(f"from s3dlio import {name}" for name in names.get(extra, ()))]
    if extra in {"jax", "tensorflow"}:
        attempts.append(f"from s3dlio.jax_tf import {names[extra][0]}")
    said = run(
        WITHOUT
        + f"""
for attempt in {attempts!r}:
    try:
        exec(attempt)
    except ImportError as error:
        print(type(error).__name__, error.name.partition(".")[0], error)
"""
    )
    message = f"s3dlio.{extra} needs {framework}, which is not installed: pip install s3dlio[{extra}]"
    assert said.splitlines() == [f"ModuleNotFoundError {framework.partition('.')[0]} {message}"] * len(attempts)


def test_a_broken_framework_keeps_its_own_message() -> None:
    for broken in (ImportError("libcudart.so: not found", name="jax"), ModuleNotFoundError("jaxlib", name="jaxlib")):
        assert explain(broken, "jax", "jax") is broken


def test_names_without_a_framework_are_there() -> None:
    package = importlib.import_module("s3dlio")
    lazy = {"S3MapDataset", "S3IterableDataset", "S3JaxIterable", "make_tf_dataset"}
    lazy |= {"ObjectStoreMapDataset", "ObjectStoreIterableDataset", "JaxIterable"}
    assert lazy <= {*package.__all__}
    missing = run(
        WITHOUT
        + """
import s3dlio
def there(name):
    try:
        return getattr(s3dlio, name) is not None
    except ImportError:
        return False
print(sorted(name for name in s3dlio.__all__ if not there(name)))
"""
    )
    assert missing == f"{sorted(lazy)}\n"


def test_the_units_pass(tmp_path: Path) -> None:
    areas = ["test_batches", "test_loader", "test_order", "test_errors"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.frameworks.programs.without_frameworks"]
    # Without servers, which take most of the time to start.
    command += ["-k", "not s3 and not gs and not az"]
    command += ["-o", f"cache_dir={tmp_path / 'cache'}", "--basetemp", str(tmp_path / "units")]
    files = [f"tests/unit/{area}.py" for area in areas]
    done = subprocess.run([*command, *files], cwd=ROOT, check=False, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
