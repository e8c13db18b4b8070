"""Makes this process one in which no framework is installed; a plugin for pytest (`-p`) as well as an import."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any

FRAMEWORKS = ("torch", "torchdata", "jax", "jaxlib", "tensorflow", "keras", "nvidia", "grain")


class Missing(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        del path, target
        if name.partition(".")[0] in FRAMEWORKS:
            message = f"No module named {name!r}"
            raise ModuleNotFoundError(message, name=name)


sys.meta_path.insert(0, Missing())
