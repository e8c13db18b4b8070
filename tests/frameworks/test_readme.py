"""The examples of the README run as they are written."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import re
from pathlib import Path

import numpy as np
import pytest
import s3dlio

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def sample(number: int) -> bytes:
    content = io.BytesIO()
    np.savez(content, image=np.full((8, 8), number, np.uint8), label=np.int64(number % 10))
    return content.getvalue()


@pytest.mark.parametrize("source", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_example_runs(source: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    s3dlio.put_many([(f"{bucket}/train/{number:03}.npz", sample(number)) for number in range(130)])
    s3dlio.put(f"{bucket}/data/part", b"content")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big.bin").write_bytes(bytes(8192))
    source = source.replace("s3://bucket/", f"{bucket}/").replace("file:///data/", f"file://{tmp_path}/data/")
    names: dict[str, object] = {}
    result = eval(compile(source, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)  # noqa: S307
    if inspect.iscoroutine(result):
        asyncio.run(result)
    if "view" in names:
        assert names["view"] == b"Hello"
        assert [bytes(view) for _, view in names["pairs"]] == [b"content"]
        assert len(names["head"]) == 4096
    elif "checkpoint.pt" not in source:
        assert names["state"]["epoch"] == 3
        assert names["loader"].epoch == 3
    else:
        assert (tmp_path / "checkpoint.pt").stat().st_size > 0
        assert names["loader"].epoch == 3
