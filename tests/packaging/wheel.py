"""What a user gets: the wheel, installed into an empty environment without a compiler, runs the examples of the docs.

Usage: ``python -m tests.packaging.wheel dist/s3dlio-....whl``
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = {"s3dlio/__init__.py", "s3dlio/py.typed", "s3dlio/_s3dlio.pyi", "s3dlio/_s3dlio.abi3.so"}
# A quarter more than docs/install.md says: a wheel that grows by that has got something that does not belong there.
LARGEST = 20 << 20


def examples(page: Path) -> str:
    """All Python examples of a document, one behind the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE))


def main(wheel: Path) -> None:
    missing = NEEDED - {*zipfile.ZipFile(wheel).namelist()}
    assert not missing, f"{wheel} lacks {missing}"
    assert wheel.stat().st_size < LARGEST, f"{wheel} has {wheel.stat().st_size} bytes"
    with tempfile.TemporaryDirectory() as folder:
        uv = ROOT / ".venv/bin/uv"
        start = time.monotonic()
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True, timeout=120)
        python = Path(folder) / "bin/python"
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, wheel], check=True, timeout=300)
        # Nothing of this environment, and no compiler.
        clean = {"PATH": str(python.parent), "HOME": folder, "LANG": os.environ.get("LANG", "C.UTF-8")}

        def run(*command: str | Path) -> str:
            done = subprocess.run(
                command, env=clean, cwd=folder, timeout=120, check=True, stdout=subprocess.PIPE, text=True
            )
            return done.stdout

        said = run(python, "-I", "-c", examples(ROOT / "docs/install.md"))
        spent = time.monotonic() - start
        assert "(64, 8, 8)" in said, said
        assert re.search(r"memory://bucket/: ok", said), said
        installed = run(
            python, "-I", "-c", "import importlib.metadata as m; print(*{d.name for d in m.distributions()})"
        )
        assert {*installed.split()} == {"numpy", "s3dlio"}, installed
        assert run(python.with_name("s3dlio"), "--version").startswith("s3dlio "), "no command line"
    size = wheel.stat().st_size / 2**20
    print(f"{wheel.name}: {size:.1f} MiB; from an empty environment to the first batch {spent:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
