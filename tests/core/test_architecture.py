"""Who may import what, over the syntax tree of every file; and what really gets loaded."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
RUNTIMES = {
    "digitbench_keras": {"keras", "tensorflow"},
    "digitbench_savedmodel": {"tensorflow"},
    "digitbench_tflite": {"ai_edge_litert"},
    "digitbench_onnx": {"onnxruntime"},
    "digitbench_openvino": {"openvino"},
    "digitbench_numpy": {"threadpoolctl"},
}
TRAINING = {"tensorflow", "keras", "tf2onnx"}
LIGHT = {"numpy", "packaging", "digitbench"}  # what any module may load when it is itself loaded


@dataclass(frozen=True)
class Import:
    """One name that a file imports: ``digitbench.plugins`` also for ``from digitbench import plugins``."""

    name: str
    line: int
    at_once: bool
    """Done when the file is loaded: not in a function, and not for a type checker alone."""

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    def within(self, *packages: str) -> bool:
        return any(self.name == package or self.name.startswith(f"{package}.") for package in packages)


def imports(tree: ast.AST, at_once: bool = True) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import(names=names, lineno=line):
                yield from (Import(one.name, line, at_once) for one in names)
            case ast.ImportFrom(module=module, names=names, lineno=line, level=level):
                start = "." * level + (module or "")
                yield from (Import(f"{start}.{one.name}", line, at_once) for one in names)
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]
            ):
                if called in {"import_module", "__import__", "find_spec"}:
                    yield Import(name, node.lineno, at_once)
                yield from imports(node, at_once)
            case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
                for part in ast.iter_child_nodes(node):
                    yield from imports(ast.Module([part], []), at_once and part not in body)  # type: ignore[list-item]
            case ast.Lambda():
                yield from imports(node, False)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from imports(node, False)
            case _:
                yield from imports(node, at_once)


def violations(path: str, source: str) -> list[str]:
    """Say which imports of a file, by its path below the root, break the rules."""
    place = PurePosixPath(path)
    found = list(imports(ast.parse(source)))
    check = _breaks_adapter_rules if place.parts[0] == "backends" else _breaks_core_rules
    return [f"{path}:{one.line}: {one.name}: {why}" for one in found if (why := check(place, one))]


def _breaks_adapter_rules(place: PurePosixPath, one: Import) -> str:
    runtimes = RUNTIMES.get(place.stem, set())
    if one.top == "digitbench":
        allowed = one.within("digitbench.backend", "digitbench.errors")
    else:
        allowed = one.top in sys.stdlib_module_names or one.top == "numpy" or one.top in runtimes
    if not allowed:
        return "an adapter imports digitbench.backend, digitbench.errors, NumPy and its own runtime alone"
    return "a runtime is imported when it is used" if one.at_once and one.top in runtimes else ""


def _breaks_core_rules(place: PurePosixPath, one: Import) -> str:
    folder = place.parts[1] if len(place.parts) > 2 else ""
    if one.name.startswith("."):
        return "imports are absolute here"
    if one.top.startswith("digitbench_"):
        return "the core knows no adapter"
    if one.top in TRAINING and folder not in {"train", "export"}:
        return "only training and exports know TensorFlow"
    if folder == "report" and one.within("digitbench.measure"):
        return "a report never measures"
    if folder == "measure" and one.within("digitbench.report"):
        return "measuring knows no report"
    light = LIGHT | {"cli.py": {"typer"}, "testing.py": {"pytest"}}.get(place.name, set())
    light |= {"typer"} if folder == "commands" else set()
    light |= {"rich"} if folder in {"report", "charts"} else set()
    if one.at_once and one.top not in light | sys.stdlib_module_names:
        return "too heavy, or not ours to need, when the module is loaded"
    return ""


FILES = sorted(
    path.relative_to(ROOT).as_posix() for folder in ("digitbench", "backends") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", FILES)
def test_a_file_imports_only_what_it_may(path: str) -> None:
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_every_file_is_looked_at() -> None:
    assert {"digitbench/cli.py", "digitbench/measure/loop.py", "digitbench/report/terminal.py"} <= set(FILES)
    assert {f"backends/{name}.py" for name in RUNTIMES} <= set(FILES)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("backends/digitbench_onnx.py", "from digitbench import plugins"),
        ("backends/digitbench_onnx.py", "import digitbench"),
        ("backends/digitbench_onnx.py", "import digitbench.bundle"),
        ("backends/digitbench_onnx.py", "from digitbench.backends import x"),
        ("backends/digitbench_onnx.py", "from digitbench_numpy import _softmax"),
        ("backends/digitbench_onnx.py", "def f():\n    import tensorflow"),
        ("backends/digitbench_onnx.py", "def f():\n    import sklearn"),
        ("backends/digitbench_onnx.py", "import onnxruntime"),
        ("backends/digitbench_new.py", "def f():\n    import onnxruntime"),
        ("backends/digitbench_onnx.py", "from . import digitbench_numpy"),
        ("digitbench/plugins/__init__.py", "def f():\n    import digitbench_onnx"),
        ("digitbench/plugins/__init__.py", "def f():\n    import_module('digitbench_onnx')"),
        ("digitbench/plugins/__init__.py", "def f():\n    importlib.import_module('digitbench_onnx')"),
        ("digitbench/export/check.py", "def f():\n    from digitbench_onnx import OnnxBackend"),
        ("digitbench/data/__init__.py", "def f():\n    from tensorflow.keras.datasets import mnist"),
        ("digitbench/measure/worker.py", "def f():\n    import keras"),
        ("digitbench/system/native_output.py", "def f():\n    __import__('tensorflow')"),
        ("digitbench/bundle/__init__.py", "def f():\n    import tf2onnx.convert"),
        ("digitbench/report/terminal.py", "from digitbench.measure.loop import time_block"),
        ("digitbench/report/terminal.py", "def f():\n    from digitbench import measure"),
        ("digitbench/report/terminal.py", "if TYPE_CHECKING:\n    from digitbench.measure import stats"),
        ("digitbench/measure/session.py", "from digitbench.report import live"),
        ("digitbench/measure/session.py", "def f():\n    import digitbench.report.terminal"),
        ("digitbench/measure/session.py", "from ..report import live"),
        ("digitbench/data/mnist.py", "import sklearn"),
        ("digitbench/data/mnist.py", "from sklearn.datasets import load_digits"),
        ("digitbench/data/mnist.py", "import pooch"),
        ("digitbench/evaluate/accuracy.py", "try:\n    from scipy import stats\nexcept ImportError:\n    stats = None"),
        ("digitbench/evaluate/accuracy.py", "if True:\n    import matplotlib"),
        ("digitbench/evaluate/accuracy.py", "class A:\n    import rich"),
        ("digitbench/cli.py", "import rich"),
        ("digitbench/commands/bench.py", "import rich"),
        ("digitbench/commands/bench.py", "import sklearn"),
        ("digitbench/measure/session.py", "import typer"),
        ("digitbench/data/__init__.py", "import typer"),
        ("digitbench/evaluate/accuracy.py", "import pytest"),
        ("digitbench/train/loops.py", "import tensorflow as tf"),
        ("digitbench/export/onnx.py", "import keras"),
        ("digitbench/data/__init__.py", "def f(x=__import__('scipy')):\n    pass"),
        ("digitbench/data/__init__.py", "@__import__('scipy')\ndef f():\n    pass"),
    ],
)  # fmt: skip
def test_the_check_sees_what_is_not_allowed(path: str, source: str) -> None:
    assert len(violations(path, source)) >= 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("backends/digitbench_onnx.py", "from digitbench.backend import Backend\nimport numpy as np\nimport os"),
        ("backends/digitbench_keras.py", "def f():\n    import keras\n    import tensorflow"),
        ("digitbench/train/loops.py", "def f():\n    import keras"),
        ("digitbench/export/onnx.py", "def f():\n    import tf2onnx"),
        ("digitbench/data/__init__.py", "def f():\n    from sklearn.datasets import load_digits"),
        ("digitbench/cli.py", "import typer\nif TYPE_CHECKING:\n    from rich.console import Console"),
        ("digitbench/report/live.py", "from rich.console import Console\nfrom digitbench.records.results import Row"),
        ("digitbench/testing.py", "import pytest"),
        ("digitbench/measure/session.py", "from digitbench.system.progress import Progress"),
        ("digitbench/records/results.py", "from dataclasses import replace\nreplace('tensorflow')"),
    ],
)
def test_the_check_lets_through_what_is_allowed(path: str, source: str) -> None:
    assert violations(path, source) == []


# --- what is really loaded -----------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """Names of all modules in a fresh process after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_digitbench_loads_nothing_else() -> None:
    loaded = loaded_by("import digitbench")
    assert "digitbench" in loaded
    assert not {"numpy", "typer", "rich", "sklearn"} & loaded
    assert not {name for name in loaded if name.startswith("digitbench.")}


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    loaded = loaded_by("import digitbench.cli")
    assert {"digitbench.cli", "typer"} <= loaded
    heavy = {
        "numpy",
        "rich.table",
        "rich.console",
        "tensorflow",
        "keras",
        "onnxruntime",
        "openvino",
        "sklearn",
        "scipy",
    }
    assert not heavy & loaded


def test_loading_the_timed_loop_loads_no_report_and_no_runtime() -> None:
    loaded = loaded_by("import digitbench.measure.worker, digitbench.measure.session")
    assert "numpy" in loaded
    assert not {"rich", "typer", "tensorflow", "keras", "onnxruntime", "openvino", "sklearn", "scipy"} & loaded


def test_listing_the_backends_loads_no_runtime() -> None:
    loaded = loaded_by("from digitbench import plugins; plugins.listing()")
    assert "digitbench_onnx" in loaded
    assert not {"tensorflow", "keras", "onnxruntime", "openvino", "ai_edge_litert"} & loaded


def test_the_names_of_the_package_are_all_there() -> None:
    import digitbench

    assert {name for name in digitbench.__all__ if getattr(digitbench, name) is None} == set()
    assert set(digitbench.__all__) <= set(dir(digitbench))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        digitbench.nothing  # noqa: B018


# --- who opens artifacts -------------------------------------------------------------------------------------------

DOOR = "digitbench/plugins/__init__.py"
BUILT_IN = {"NullBackend", "SgemmBackend", "AdaptedBackend"}
"""Backends of our own that open no bundle's artifact: no plugin announces them."""


def constructions(path: str, source: str) -> list[str]:
    """Say where a file makes an object of a plugin's class, or hands the class on to be called."""
    # The one door; the contract's tests, which try what plugins refuse; and what loads no backends.
    if path in {DOOR, "digitbench/testing.py", "digitbench/system/notebook.py"}:
        return []
    tree = ast.parse(source)
    kinds = _names_of_kinds(tree)

    def is_kind(node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Attribute(attr="load"), args=[], keywords=[]):
                return True
            case ast.Name(id=name):
                return name in kinds
            case ast.NamedExpr(value=value):
                return is_kind(value)
        return False

    def is_construction(node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Name(id=name)) if name.endswith("Backend") and name not in BUILT_IN:
                return True
            case ast.Call(func=ast.Name(id="partial") | ast.Attribute(attr="partial"), args=[first, *_]):
                return is_kind(first)
            case ast.Call(func=func):
                return is_kind(func)
        return False

    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and is_construction(node)]
    return [f"{path}:{line}: only {DOOR} makes backends: use Plugin.open" for line in lines]


def _names_of_kinds(tree: ast.AST) -> set[str]:
    """Names that stand for a backend's class: given ``….load()`` or such a name, or annotated ``type[Backend]``."""
    found: set[str] = set()
    before = -1
    while len(found) > before:
        before = len(found)
        for node in ast.walk(tree):
            match node:
                case ast.arg(arg=name, annotation=ast.AST() as said) if ast.unparse(said) == "type[Backend]":
                    found.add(name)
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=value)
                    | ast.NamedExpr(target=ast.Name(id=name), value=value)
                ):
                    loaded = isinstance(value, ast.Call) and ast.unparse(value).endswith(".load()")
                    if loaded or (isinstance(value, ast.Name) and value.id in found):
                        found.add(name)
    return found


OPENERS = [*FILES, *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "benchmarks").rglob("*.py")))]


def test_artifacts_are_opened_by_one_door() -> None:
    assert {DOOR, "benchmarks/conftest.py", "benchmarks/test_runtimes.py"} <= set(OPENERS)
    found = [line for path in OPENERS for line in constructions(path, (ROOT / path).read_text(encoding="utf-8"))]
    assert found == []


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
        "kind = plugin.load()\nformat = kind.format\nentry = bundle.opened_by(kind, precision)",
        "time_block(NullBackend().predict, batches)",
        "plugin.open(path, threads=1, precision='fp32')",
        "manifest = json.load(stream)\nmanifest(1)",
    ],
)
def test_what_opens_nothing_is_let_through(source: str) -> None:
    assert constructions("digitbench/measure/worker.py", source) == []
