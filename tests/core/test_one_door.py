"""Artifacts are opened by one door: `Plugin.open`, which knows the model's I/O, and what code is trusted."""

from __future__ import annotations

import ast

import pytest

from core.test_architecture import files

DOOR = "digitbench/plugins/__init__.py"
BUILT_IN = {"NullBackend", "SgemmBackend", "AdaptedBackend"}
"""Backends of our own that open no bundle's artifact: no plugin announces them."""


def constructions(path: str, source: str) -> list[str]:
    """Say where a file makes an object of a plugin's class, or hands the class on to be called."""
    # The one door; the contract's tests, which try what plugins refuse; and what loads no backends.
    if path in {DOOR, "digitbench/testing.py", "digitbench/system/notebook.py"}:
        return []
    tree = ast.parse(source)
    classes = _names_of_classes(tree)

    def is_class(node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Attribute(attr="load"), args=[], keywords=[]):
                return True
            case ast.Name(id=name):
                return name in classes
            case ast.NamedExpr(value=value):
                return is_class(value)
        return False

    def is_construction(node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Name(id=name)) if name.endswith("Backend") and name not in BUILT_IN:
                return True
            case ast.Call(func=ast.Name(id="partial") | ast.Attribute(attr="partial"), args=[first, *_]):
                return is_class(first)
            case ast.Call(func=func):
                return is_class(func)
        return False

    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and is_construction(node)]
    return [f"{path}:{line}: only {DOOR} makes backends: use Plugin.open" for line in lines]


def _names_of_classes(tree: ast.AST) -> set[str]:
    """Names that stand for a backend's class: given ``….load()`` or such a name, or annotated ``type[Backend]``."""
    names: set[str] = set()
    before = -1
    while len(names) > before:
        before = len(names)
        for node in ast.walk(tree):
            match node:
                case ast.arg(arg=name, annotation=ast.AST() as said) if ast.unparse(said) == "type[Backend]":
                    names.add(name)
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=value)
                    | ast.NamedExpr(target=ast.Name(id=name), value=value)
                ):
                    loaded = isinstance(value, ast.Call) and ast.unparse(value).endswith(".load()")
                    if loaded or (isinstance(value, ast.Name) and value.id in names):
                        names.add(name)
    return names


def test_artifacts_are_opened_by_one_door() -> None:
    openers = files("digitbench", "backends", "benchmarks")
    assert {DOOR, "benchmarks/conftest.py", "benchmarks/test_runtimes.py"} <= openers.keys()
    assert [line for path, source in openers.items() for line in constructions(path, source)] == []


@pytest.mark.parametrize(
    "source",
    [
        "plugins.find(name).load()(path, threads=1)",
        "with plugins.find(name).load()(path, threads=1) as backend:\n    pass",
        "kind = plugin.load()\nbackend = kind(path, threads=1)",
        "def f():\n    kind = plugin.load()\n    make: Any = kind\n    return make(path, threads=1, io_spec=io_spec)",
        "construct = partial(plugins.find(name).load(), path, threads=1)",
        "construct = functools.partial(kind := plugin.load(), path)",
        "def f(kind: type[Backend]) -> Backend:\n    return kind(path, threads=1)",
        "from digitbench_onnx import OnnxBackend\nOnnxBackend(path, threads=1)",
    ],
)
def test_a_second_door_is_seen(source: str) -> None:
    assert len(constructions("benchmarks/test_runtimes.py", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "NullBackend().predict(images)",
        "kind = plugin.load()\nformat = kind.format\nentry = bundle.opened_by(kind, precision)",
        "plugin.open(path, threads=1, precision='fp32')",
        "manifest = json.load(stream)\nmanifest(1)",
    ],
)
def test_what_opens_nothing_is_let_through(source: str) -> None:
    assert constructions("digitbench/measure/worker.py", source) == []
