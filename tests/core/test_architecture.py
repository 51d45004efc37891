"""Who may import whom, who may name whom, how large a file may be: the rooms are in `tools/architecture.py`."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

import architecture
import pytest
from architecture import ROOMS, ROOT, Import, imports, room_of

RUNTIMES = {
    "digitbench_keras": {"keras", "tensorflow"},
    "digitbench_savedmodel": {"tensorflow"},
    "digitbench_tflite": {"ai_edge_litert"},
    "digitbench_onnx": {"onnxruntime"},
    "digitbench_openvino": {"openvino"},
    "digitbench_numpy": {"threadpoolctl"},
    "digitbench_tract": {"tract"},
    "digitbench_mnn": {"MNN"},
    "digitbench_onnx_reference": {"onnx", "threadpoolctl"},
    "digitbench_torch": {"torch"},
    "digitbench_executorch": {"executorch", "torch"},
    "digitbench_iree": {"iree"},
    "digitbench_jax": {"jax"},
    "digitbench_keras_jax": {"keras", "jax"},
    "digitbench_keras_torch": {"keras", "torch"},
}
SHARED = {
    "digitbench_tensorflow": {"digitbench_keras", "digitbench_savedmodel"},
    "digitbench_keras_engine": {"digitbench_keras", "digitbench_keras_jax", "digitbench_keras_torch"},
    "digitbench_jax_threads": {"digitbench_jax", "digitbench_keras_jax"},
    "digitbench_torch_arrays": {"digitbench_torch", "digitbench_executorch"},
    "digitbench_npz": {"digitbench_numpy", "digitbench_torch", "digitbench_jax"},
}
"""What several adapters of one engine or one format share, and which they are."""

TRAINING = {"tensorflow", "keras", "tf2onnx"}
LIGHT = {"msgspec", "numpy", "packaging", "digitbench"}  # what any module may load when it is itself loaded
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
"""Lines of a function without its signature and docstring: a screen."""


def files(*folders: str) -> dict[str, str]:
    """Every Python file of these folders, by its path from the root."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


CORE, ADAPTERS = files("digitbench"), files("backends")


def test_every_file_is_looked_at() -> None:
    assert {"digitbench/cli.py", "digitbench/measure/loop.py", "digitbench/report/page/html.py"} <= CORE.keys()
    assert ADAPTERS.keys() == {f"backends/{name}.py" for name in (*RUNTIMES, *SHARED)}


# --- rooms ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def arrows() -> architecture.Graph:
    return architecture.graph(architecture.sources())


def test_no_modules_import_each_other_in_a_circle(arrows: architecture.Graph) -> None:
    assert architecture.circles(arrows) == []


def test_no_import_leads_to_a_room_above(arrows: architecture.Graph) -> None:
    assert architecture.upward(arrows) == []


def test_every_room_is_there_and_few_are_in_the_root(arrows: architecture.Graph) -> None:
    assert {room_of(module) for module in arrows} == set(ROOMS)
    assert len(list((ROOT / "digitbench").glob("*.py"))) <= 8


def test_what_is_measured_knows_no_report_and_reports_never_measure(arrows: architecture.Graph) -> None:
    """Not even by a function that they call, two steps away."""
    for rooms, never in (
        ({"report", "charts", "judge"}, {"measure"}),
        ({"measure", "workers"}, {"report", "charts", "judge"}),
        ({"records", "bundle", "data", "images"}, {"train", "export", "measure"}),
    ):
        starts = [module for module in arrows if room_of(module) in rooms]
        ends = {room_of(module) for module in architecture.reached(arrows, starts)}
        assert not ends & never


@pytest.mark.parametrize(
    "source",
    [
        "from digitbench.report import live",
        "def f():\n    import digitbench.report.live",
        "if TYPE_CHECKING:\n    from digitbench.report.live import LiveProgress",
        "importlib.import_module('digitbench.report.live')",
        "MODULE = 'digitbench.report.live'",
        "import digitbench",
    ],
)
def test_an_arrow_upward_is_seen_however_it_is_hidden(source: str) -> None:
    texts = {"digitbench": "", "digitbench.report": "", "digitbench.report.live": "", "digitbench.bundle": source}
    assert len(architecture.upward(architecture.graph(texts))) == 1


def test_a_circle_is_seen_and_what_is_reached_in_several_steps() -> None:
    texts = {
        "digitbench.a": "def f():\n    from digitbench import b",
        "digitbench.b": "if TYPE_CHECKING:\n    from digitbench.c import C",
        "digitbench.c": "import digitbench.a.nothing",
        "digitbench.d": "from digitbench.a import f",
    }
    graph = architecture.graph(texts)
    assert architecture.circles(graph) == [["digitbench.a", "digitbench.b", "digitbench.c"]]
    assert architecture.reached(graph, ["digitbench.d"]) == set(texts)
    assert architecture.upward(graph)[0] == "digitbench.a: a is no room"


def test_the_picture_is_that_of_the_code() -> None:
    drawn = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert drawn == architecture.picture(architecture.sources()), "run: make architecture"


# --- what a file imports -------------------------------------------------------------------------------------------


def import_violations(path: str, source: str) -> list[str]:
    """Say which imports of a file break the rules, beside those of rooms."""
    file = PurePosixPath(path)
    check = _breaks_adapter_rules if file.parts[0] == "backends" else _breaks_core_rules
    return [f"{path}:{item.line}: {item.name}: {why}" for item in imports(ast.parse(source))
            if (why := check(file, item))]  # fmt: skip


def _breaks_adapter_rules(path: PurePosixPath, item: Import) -> str:
    runtimes = RUNTIMES.get(path.stem, set())
    if item.top == "digitbench":
        allowed = item.within("digitbench.backend", "digitbench.errors")
    elif item.top in SHARED:
        allowed = path.stem in SHARED[item.top]
    else:
        allowed = item.top in sys.stdlib_module_names or item.top == "numpy" or item.top in runtimes
    if not allowed:
        return "an adapter imports digitbench.backend, digitbench.errors, NumPy and its own runtime alone"
    return "a runtime is imported when it is used" if item.at_once and item.top in runtimes else ""


def _breaks_core_rules(path: PurePosixPath, item: Import) -> str:
    room = path.parts[1] if len(path.parts) > 2 else ""
    if item.name.startswith("."):
        return "imports are absolute here"
    if item.top.startswith("digitbench_"):
        return "the core knows no adapter"
    if item.top in TRAINING and room not in {"train", "export", "importing"}:
        return "only training, exports and imports know TensorFlow"
    light = LIGHT | {"cli.py": {"typer"}, "testing.py": {"pytest"}}.get(path.name, set())
    light |= {"typer"} if room == "commands" else {"rich"} if room in {"report", "charts"} else set()
    if item.at_once and item.top not in light | sys.stdlib_module_names:
        return "too heavy, or not ours to need, when the module is loaded"
    return ""


def test_files_import_only_what_they_may() -> None:
    assert [line for path, source in (CORE | ADAPTERS).items() for line in import_violations(path, source)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("backends/digitbench_onnx.py", "from digitbench import plugins"),
        ("backends/digitbench_onnx.py", "import digitbench"),
        ("backends/digitbench_onnx.py", "from digitbench.backends import x"),
        ("backends/digitbench_onnx.py", "from digitbench_numpy import _softmax"),
        ("backends/digitbench_onnx.py", "def f():\n    import tensorflow"),
        ("backends/digitbench_onnx.py", "def f():\n    import sklearn"),
        ("backends/digitbench_onnx.py", "import onnxruntime"),
        ("backends/digitbench_new.py", "def f():\n    import onnxruntime"),
        ("backends/digitbench_onnx.py", "from . import digitbench_numpy"),
        ("backends/digitbench_onnx.py", "from digitbench_tensorflow import take_threads"),
        ("backends/digitbench_savedmodel.py", "from digitbench_keras import KerasBackend"),
        ("digitbench/plugins/__init__.py", "def f():\n    importlib.import_module('digitbench_onnx')"),
        ("digitbench/export/check.py", "def f():\n    from digitbench_onnx import OnnxBackend"),
        ("digitbench/data/__init__.py", "def f():\n    from tensorflow.keras.datasets import mnist"),
        ("digitbench/measure/worker.py", "def f():\n    import keras"),
        ("digitbench/bundle/__init__.py", "def f():\n    import tf2onnx.convert"),
        ("digitbench/measure/session.py", "from ..report import live"),
        ("digitbench/data/mnist.py", "from sklearn.datasets import load_digits"),
        ("digitbench/evaluate/accuracy.py", "try:\n    from scipy import stats\nexcept ImportError:\n    stats = None"),
        ("digitbench/evaluate/accuracy.py", "class A:\n    import rich"),
        ("digitbench/commands/bench.py", "import rich"),
        ("digitbench/measure/session.py", "import typer"),
        ("digitbench/train/loops.py", "import tensorflow as tf"),
        ("digitbench/data/__init__.py", "def f(x=__import__('scipy')):\n    pass"),
        ("digitbench/data/__init__.py", "@__import__('scipy')\ndef f():\n    pass"),
    ],
)  # fmt: skip
def test_an_import_that_is_not_allowed_is_seen(path: str, source: str) -> None:
    assert len(import_violations(path, source)) >= 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("backends/digitbench_onnx.py", "from digitbench.backend import Backend\nimport numpy as np\nimport os"),
        ("backends/digitbench_keras.py", "def f():\n    import keras\n    import tensorflow"),
        ("backends/digitbench_keras.py", "from digitbench_tensorflow import take_threads"),
        ("digitbench/train/loops.py", "def f():\n    import keras"),
        ("digitbench/data/mnist.py", "def f():\n    from sklearn.datasets import load_digits"),
        ("digitbench/cli.py", "import typer\nif TYPE_CHECKING:\n    from rich.console import Console"),
        ("digitbench/report/live.py", "from rich.console import Console\nfrom digitbench.records.results import Row"),
        ("digitbench/records/results.py", "from dataclasses import replace\nreplace('tensorflow')"),
    ],
)
def test_an_import_that_is_allowed_is_let_through(path: str, source: str) -> None:
    assert import_violations(path, source) == []


# --- who names adapters --------------------------------------------------------------------------------------------

NAMES = {name.removeprefix("digitbench_").replace("_", "-") for name in RUNTIMES}
MAY_NAME = ("digitbench/export/", "digitbench/importing/formats.py", "digitbench/measure/native_tools.py")


def named_adapters(source: str) -> set[str]:
    """Give the names of backends that stand in a file's code as a text by themselves."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose)
    return {node.value for node in texts if isinstance(node.value, str)} & NAMES


def test_the_core_names_no_adapter() -> None:
    naming = {path: named for path, source in CORE.items()
             if not path.startswith(MAY_NAME) and (named := named_adapters(source))}  # fmt: skip
    assert naming == {}


def test_an_adapters_name_is_seen() -> None:
    assert named_adapters("'''onnx'''\nif name in ('onnx', 'x'):\n    ...\nTOOLS = {'tflite': 1}") == {"onnx", "tflite"}


# --- size ----------------------------------------------------------------------------------------------------------


def long_functions(path: str, source: str) -> Iterator[str]:
    """Name the functions that don't fit a screen."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= LONGEST_FUNCTION:
                yield f"{path}: {node.name}"


def test_files_and_functions_are_short() -> None:
    ours = CORE | ADAPTERS | files("tests", "benchmarks", "tools")
    assert [path for path, source in ours.items() if source.count("\n") > LONGEST_FILE] == []
    assert [line for path, source in (CORE | ADAPTERS).items() for line in long_functions(path, source)] == []
    assert list(long_functions("x", "def f():\n" + "    x()\n" * LONGEST_FUNCTION)) == []
    assert list(long_functions("x", "def f():\n    x()\n" + "\n" * LONGEST_FUNCTION + "    x()\n")) == ["x: f"]


def test_the_budget_of_lines_is_kept() -> None:
    counts = architecture.room_lines(architecture.sources())
    assert sum(counts.values()) <= architecture.BUDGET, "less code is better code; what raises the budget says why"
    assert architecture.code_lines('"""Text\nover lines."""\n\n# why\nx = """a\nb"""\n') == 2


def test_each_command_has_a_file_of_its_own() -> None:
    from digitbench.cli import PANELS, app
    from digitbench.commands import list_, plot

    modules = [command.callback.__module__ for command in app.registered_commands if command.callback]
    assert len(modules) == len(set(modules))
    for command in app.registered_commands:
        assert command.callback
        name = command.callback.__name__
        assert command.callback.__module__ == f"digitbench.commands.{name}"
    groups = {
        plot: {"digitbench.commands.plot", "digitbench.commands.plot_training", "digitbench.commands.plot_results"},
        list_: {"digitbench.commands.list_"},
    }
    for group, homes in groups.items():
        assert {command.callback.__module__ for command in group.app.registered_commands if command.callback} == homes
    assert len(modules) + len(groups) == sum(map(len, PANELS.values())) <= 14


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


@pytest.mark.parametrize(
    ("statement", "needed", "never"),
    [
        ("import digitbench.cli", {"digitbench.cli", "typer"},
         {"numpy", "rich.table", "rich.console", "sklearn", "scipy"}),
        ("import digitbench.measure.worker, digitbench.measure.session", {"numpy"},
         {"rich", "typer", "sklearn", "scipy"}),
        ("import numpy as np; from digitbench import importing; from digitbench.importing import ranking, search; "
         "from digitbench.plugins.model_io import ModelIO; "
         "trial = ranking.judge(ModelIO(), np.eye(10, dtype='f4') - 3, np.arange(10), None); ranking.likely([trial])",
         {"digitbench.importing.search"}, {"scipy", "sklearn", "rich"}),
        ("from digitbench import plugins; plugins.listing()", {"digitbench_onnx"}, set()),
        ("import digitbench.api", {"digitbench.api"}, {"rich", "typer", "sklearn", "scipy", "altair", "matplotlib"}),
    ],
    ids=["the command line", "the timed loop", "an import", "the list of backends", "a notebook's names"],
)  # fmt: skip
def test_nothing_heavy_is_loaded(statement: str, needed: set[str], never: set[str]) -> None:
    loaded = loaded_by(statement)
    assert needed <= loaded
    heavy = {"tensorflow", "keras", "onnxruntime", "openvino", "ai_edge_litert", "tract", "MNN", "onnx", "jax"}
    heavy |= {"torch", "executorch", "iree"}
    assert not (never | heavy) & loaded


def test_the_names_of_the_package_are_all_there() -> None:
    import digitbench

    assert {name for name in digitbench.__all__ if getattr(digitbench, name) is None} == set()
    assert set(digitbench.__all__) <= set(dir(digitbench))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        digitbench.nothing  # noqa: B018
