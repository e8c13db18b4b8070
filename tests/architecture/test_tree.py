"""Size, order and cleanliness of the source tree."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.architecture.tree import ROOT, files, sources, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_LINES = 600
MAX_BODY = 15

# Spelt so that this file does not match itself.
LOOSE_WORDS = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b|\bfor[ ]now\b|\bplace[h]older\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root)(?![\w.-])")

RUST_ITEM = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(struct|enum|trait|impl|union|static)\b",
    re.MULTILINE,
)
RUST_FUNCTION = re.compile(r"\bfn\s+(\w+)")


def is_test(path: Path) -> bool:
    return "tests" in path.parts


def code_lines(source: str, comment: str) -> list[str]:
    """The lines that are neither blank nor only a comment."""
    lines = (line.strip() for line in source.splitlines())
    return [line for line in lines if line and not line.startswith(comment)]


def long_functions(source: str) -> Iterator[str]:
    """Names of the Rust functions with a body of more than MAX_BODY lines."""
    for match in RUST_FUNCTION.finditer(source):
        start = source.find("{", match.end())
        depth, end = 0, start
        for end in range(start, len(source)):
            depth += {"{": 1, "}": -1}.get(source[end], 0)
            if depth == 0:
                break
        if source.count("\n", start, end) - 1 > MAX_BODY:
            yield match[1]


def registers_only(statement: ast.stmt) -> bool:
    """Whether a statement of an `__init__.py` imports, names or forwards, and does no work."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name()], value=ast.Name() | ast.Attribute()):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name.startswith("_")
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
            return all(registers_only(inner) for inner in statement.body)
        case ast.FunctionDef(name="__getattr__" | "__dir__"):
            return (statement.end_lineno or 0) - statement.lineno <= MAX_BODY
        case _:
            return False


def public_modules() -> dict[str, str]:
    """Source by dotted name of every module that a user may import."""
    named = {}
    for path, source in sources("python/s3dlio", ".py").items():
        parts = path.relative_to("python").with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") for part in parts):
            named[".".join(parts)] = source
    return named


def test_files_are_short() -> None:
    long = {
        str(path): count
        for path in files()
        if path.suffix in {".rs", ".py"} and not is_test(path)
        if (count := len((text(path) or "").splitlines())) > MAX_LINES
    }
    assert long == {}


def test_no_file_is_hollow() -> None:
    marks = {".rs": "//", ".py": "#"}
    hollow = [
        str(path)
        for path in files()
        if path.name != "py.typed" and not {"data", "corpus"} & {*path.parts}
        if (source := text(path)) is not None and not code_lines(source, marks.get(path.suffix, "\0"))
    ]
    assert hollow == []


def test_no_folder_is_empty() -> None:
    tops = {path.parts[0] for path in files() if len(path.parts) > 1}
    folders = (entry for top in tops for entry in os.walk(ROOT / top))
    assert [where for where, inner, names in folders if not inner and not names] == []


def test_crate_roots_only_register() -> None:
    found = {}
    for path, source in sources("rust", ".rs").items():
        if path.name == "lib.rs" and (bad := [*long_functions(source), *RUST_ITEM.findall(source)]):
            found[str(path)] = bad
    assert found == {}


def test_package_roots_only_register() -> None:
    found = {}
    for path, source in sources("python", ".py").items():
        if path.name != "__init__.py":
            continue
        if bad := [s.lineno for s in ast.parse(source).body if not registers_only(s)]:
            found[str(path)] = bad
    assert found == {}


@pytest.mark.parametrize("rule", [LOOSE_WORDS, MACHINE_PATHS], ids=["loose-words", "machine-paths"])
def test_no_text_holds(rule: re.Pattern[str]) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path in files()
        if path.name not in {"LICENSE", "Cargo.lock"}
        for number, line in enumerate((text(path) or "").splitlines(), 1)
        if rule.search(line)
    ]
    assert found == []


def exports(tree: ast.Module) -> set[str] | None:
    """The names in `__all__`; None where a module has none."""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return set(ast.literal_eval(value))
    return None


def test_public_modules_say_what_they_are() -> None:
    trees = {module: ast.parse(source) for module, source in public_modules().items()}
    assert [module for module, tree in trees.items() if not ast.get_docstring(tree)] == []
    assert [module for module, tree in trees.items() if exports(tree) is None] == []


def test_public_names_are_in_the_pages() -> None:
    pages = "\n".join(text(path) or "" for path in files() if path.suffix == ".md")
    # A coroutine is described with the verb that it is the twin of.
    names = {
        name.removesuffix("_async")
        for path, source in sources("python", ".py").items()
        if path.name == "__init__.py"
        for name in exports(ast.parse(source)) or ()
        if not name.startswith("_")
    }
    assert sorted(name for name in names if not re.search(rf"\b{re.escape(name)}\b", pages)) == []


def test_versions_agree() -> None:
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())
    rust = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    version = rust["package"]["version"]
    ours = {n: d for n, d in rust["dependencies"].items() if n.startswith("s3dlio-")}
    assert python["project"]["version"] == version
    assert {name: entry["version"] for name, entry in ours.items()} == dict.fromkeys(ours, version)


def test_lock_names_one_index_and_no_local_path() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    places = [tuple(sorted(package["source"].items())) for package in packages]
    assert len({value for ((kind, value),) in places if kind == "registry"}) == 1
    assert {place for ((place, _),) in places} == {"registry", "editable"}
    files_listed = [f for p in packages for f in [p.get("sdist", {}), *p.get("wheels", [])] if f]
    assert files_listed
    assert [f for f in files_listed if "path" in f or not f["url"].startswith("https://")] == []


def test_a_long_function_is_seen() -> None:
    body = "    x();\n" * (MAX_BODY + 1)
    assert list(long_functions(f"fn short() {{\n}}\nfn long() {{\n{body}}}\n")) == ["long"]


@pytest.mark.parametrize("item", ["pub struct A;", "impl A {}", "pub(crate) enum B {}", "static C: u8 = 0;"])
def test_an_item_in_a_crate_root_is_seen(item: str) -> None:
    assert RUST_ITEM.search(f"mod a;\n{item}\n")


@pytest.mark.parametrize("source", ["def f(): pass", "class A: pass", "x = 1", "print()", "for _ in (): pass"])
def test_work_in_a_package_root_is_seen(source: str) -> None:
    assert not registers_only(ast.parse(source).body[0])


# The tilde keeps the words out of this file.
@pytest.mark.parametrize("line", ["# TO~DO: later", "fine for~ now"])
def test_a_loose_word_is_seen(line: str) -> None:
    assert LOOSE_WORDS.search(line.replace("~", ""))


@pytest.mark.parametrize("line", ['open("/ro~ot/x")', "cd /wo~rk/y"])
def test_a_machine_path_is_seen(line: str) -> None:
    assert MACHINE_PATHS.search(line.replace("~", ""))


def test_every_rust_test_is_compiled() -> None:
    crates = sorted((ROOT / "rust").glob("*/Cargo.toml"))
    assert crates
    for manifest in crates:
        tests = manifest.parent / "tests"
        for suite in tests.glob("*/main.rs"):
            named = set(re.findall(r"^mod (\w+);", suite.read_text(), re.MULTILINE))
            there = {path.stem for path in suite.parent.glob("*.rs")} - {"main"}
            assert there <= named, f"{suite} does not name {there - named}"
        if tomllib.loads(manifest.read_text()).get("lib", {}).get("test", True) is False:
            library = sources(f"rust/{manifest.parent.name}/src", ".rs")
            unseen = [str(path) for path, source in library.items() if "#[test]" in source]
            assert unseen == [], f"{manifest} leaves the tests in src out"
