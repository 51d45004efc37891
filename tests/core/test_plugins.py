"""Finding backends by their entry points, and saying what is wrong with one."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from core.helpers import GOOD, Install, refusal
from digitbench import export, plugins
from digitbench.charts.palette import PLUGIN_STYLES
from digitbench.errors import BackendError, MissingRuntimeError, PluginError, UnknownBackendError
from digitbench.system.packages import install_command

NATIVE = [
    "executorch", "jax", "keras", "keras-jax", "keras-torch", "mnn", "numpy", "onnx", "onnx-reference", "openvino",
    "savedmodel", "tflite", "torch", "tract",
]  # fmt: skip

# --- what there is -------------------------------------------------------------------------------------------------


def test_ours_are_announced_and_sorted() -> None:
    native = [name for name, plugin in plugins.discover().items() if plugin.distribution == "digitbench"]
    assert native == NATIVE


def test_a_plugin_comes_through_the_same_door(install: Install) -> None:
    install("my_backend")
    plugin = plugins.find("mine")
    assert (plugin.name, plugin.distribution, plugin.version) == ("mine", "my-backend", "1.0")
    assert plugin.missing() == []
    assert plugin.load().__name__ == "Good"
    assert "mine" in plugins.discover()


def test_discovery_imports_no_plugin(install: Install) -> None:
    install("my_backend", "raise RuntimeError('imported')")
    assert "mine" in plugins.discover()
    assert "my_backend" not in sys.modules


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("onxx", "onnx"), ("ONNX", "onnx"), ("kears", "keras"), ("minne", "mine")]
)
def test_an_unknown_name_is_told_the_nearest_and_all(install: Install, wrong: str, nearest: str) -> None:
    install("my_backend")
    message = refusal(UnknownBackendError, lambda: plugins.find(wrong))
    assert f"unknown backend {wrong!r}: did you mean {nearest!r}? known are " in message
    assert all(name in message for name in [*NATIVE, "mine"])


def test_a_name_like_none_is_told_all() -> None:
    message = refusal(UnknownBackendError, lambda: plugins.find("zzz"))
    assert "did you mean" not in message
    assert all(name in message for name in NATIVE)


def test_no_backends_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [])
    assert "no backend is installed" in refusal(BackendError, lambda: plugins.find("onnx"))


# --- plugins that break the rules ----------------------------------------------------------------------------------


def test_two_of_one_name_are_refused_with_both(install: Install) -> None:
    install("my_backend")
    install("your_backend")
    message = refusal(PluginError, plugins.discover)
    assert "two plugins are called 'mine': my-backend, your-backend" in message


def test_a_rival_of_ours_is_refused_with_both(install: Install) -> None:
    install("my_backend", names={"onnx": "Good"})
    message = refusal(PluginError, lambda: plugins.find("onnx"))
    assert "two plugins are called 'onnx': digitbench, my-backend" in message


@pytest.mark.parametrize(
    "code",
    ["class Good:\n    pass\n", "def Good(artifact, *, threads):\n    pass\n", "Good = 7\n"],
    ids=["another class", "a function", "a number"],
)
def test_what_is_no_backend_is_refused(install: Install, code: str) -> None:
    install("my_backend", code)
    message = refusal(PluginError, lambda: plugins.find("mine").load())
    assert "'mine' of my-backend: my_backend:Good is not a subclass of digitbench.backend.Backend" in message


def test_a_class_that_is_not_there_is_refused(install: Install) -> None:
    install("my_backend", "")
    message = refusal(PluginError, lambda: plugins.find("mine").load())
    assert "'mine' of my-backend" in message
    assert "Good" in message


# --- what they say of themselves -----------------------------------------------------------------------------------


def test_all_are_told_apart_in_charts_by_colour_and_without_it_by_shape_and_dash() -> None:
    styles = [cls.style for name, cls in plugins.classes().items() if cls.style and name in NATIVE]
    assert len(styles) == len(NATIVE)
    styles += PLUGIN_STYLES
    assert len({style.colour for style in styles}) == len(styles)
    assert len({(style.shape, style.dash) for style in styles}) == len(styles)


@pytest.mark.parametrize("style", [("red", "circle", "dot"), ("#0072b2", "blob", "dot"), ("#0072b2", "circle", "-")])
def test_a_style_that_no_chart_knows_is_refused_when_the_class_is_loaded(install: Install, style: Any) -> None:
    code = GOOD.replace("import Backend", "import Backend, Style").replace('npz"', f'npz"\n    style = Style(*{style})')
    install("my_backend", code)
    assert "give a colour as" in refusal(PluginError, lambda: plugins.find("mine").load())
    assert "mine" not in plugins.classes()


def test_one_with_a_place_is_among_those_that_are_taken_without_a_name(install: Install) -> None:
    install("my_backend", GOOD.replace('npz"', 'npz"\n    order = 15'))
    install("your_backend", names={"yours": "Good"})
    assert plugins.usual_order() == [
        "tflite", "mine", "onnx", "openvino", "tract", "mnn", "numpy", "savedmodel", "keras", "executorch",
        "torch", "jax", "keras-jax", "keras-torch",
    ]  # fmt: skip


def test_a_reference_is_called_by_its_title_or_by_its_name() -> None:
    assert [plugins.title(name) for name in ("keras", "onnx", "gone")] == ["Keras", "onnx", "gone"]


# --- exporters -----------------------------------------------------------------------------------------------------

EXPORTER = """
from digitbench.plugins.exporter import Exporter

class Good(Exporter):
    format, precisions = "mine", ("fp32", "int8")
    def write(self, job, target): ...
"""


def test_an_exporter_comes_through_the_same_door_and_says_its_precisions(install: Install) -> None:
    install("my_exporter", EXPORTER, group="digitbench.exporters")
    assert [*plugins.exporters()] == ["executorch", "mine", "mnn", "npz", "onnx", "savedmodel", "tflite"]
    install("my_backend", GOOD.replace("npz", "mine"))
    assert plugins.runnable(plugins.find("mine").load(), ["fp16"]) == ["fp32", "int8", "fp16"]
    assert "mine" in export.formats(), "where nobody names a format, it is written too"


def test_an_exporter_that_is_none_or_takes_anothers_name_is_refused(install: Install) -> None:
    install("my_exporter", GOOD, group="digitbench.exporters")
    message = refusal(PluginError, plugins.find_exporter("mine").exporter)
    assert [*plugins.exporters()] == ["executorch", "mnn", "npz", "onnx", "savedmodel", "tflite"], (
        "the others can be used"
    )
    assert (
        "exporter 'mine' of my-exporter: my_exporter:Good is not a subclass of digitbench.plugins.exporter" in message
    )
    install("your_exporter", EXPORTER, names={"onnx": "Good"}, group="digitbench.exporters")
    assert "two plugins are called 'onnx': digitbench, your-exporter" in refusal(PluginError, plugins.exporters)


def test_an_exporter_that_lacks_a_member_is_refused(install: Install) -> None:
    install("my_exporter", EXPORTER.replace("def write", "def wrote"), group="digitbench.exporters")
    message = refusal(PluginError, plugins.find_exporter("mine").exporter)
    assert message == "exporter 'mine' of my-exporter: my_exporter:Good lacks write; its author can add that"


# --- what is missing -----------------------------------------------------------------------------------------------

RUNTIMES = {
    "keras": ["keras", "tensorflow"],
    "savedmodel": ["tensorflow"],
    "tflite": ["ai-edge-litert"],
    "onnx": ["onnxruntime"],
    "openvino": ["openvino"],
    "tract": ["tract"],
    "mnn": ["mnn"],
    "onnx-reference": ["onnx"],
    "numpy": ["numpy"],
    "torch": ["torch"],
    "executorch": ["executorch", "torch"],
    "jax": ["jax"],
    "keras-jax": ["jax", "keras"],
    "keras-torch": ["keras", "torch"],
}


@pytest.mark.parametrize("name", NATIVE)
def test_ours_need_what_their_extra_lists(name: str) -> None:
    assert sorted(requirement.name for requirement in plugins.find(name).requirements) == RUNTIMES[name]


@pytest.mark.parametrize("name", [name for name in NATIVE if name != "numpy"])
def test_our_install_lines_name_the_extra(name: str) -> None:
    assert plugins.find(name).install_line == install_command("digitbench", name)


@pytest.mark.parametrize("name", NATIVE)
def test_a_missing_runtime_gives_its_packages_and_its_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_version", lambda _: "")
    plugin = plugins.find(name)
    assert sorted(plugin.missing()) == RUNTIMES[name]
    assert plugin.runtime_versions() == {}
    message = str(plugin.missing_error(*RUNTIMES[name]))
    assert message == (
        f"backend {name!r} needs {', '.join(RUNTIMES[name])}, not installed here; run: {plugin.install_line}"
    )


NEEDS_A_RUNTIME = GOOD.replace("class Good", "import no_such_runtime.core\n\nclass Good")


def test_a_third_partys_missing_runtime_gives_the_line_of_its_distribution(install: Install) -> None:
    install("my_backend", NEEDS_A_RUNTIME, requires=["digitbench>=0.1", "numpy", "no-such-runtime>=2"])
    plugin = plugins.find("mine")
    assert [requirement.name for requirement in plugin.requirements] == ["numpy", "no-such-runtime"]
    assert plugin.missing() == ["no-such-runtime"]
    assert plugin.install_line == "pip install my-backend"
    message = refusal(MissingRuntimeError, plugin.load)
    assert message == "backend 'mine' needs no_such_runtime, not installed here; run: pip install my-backend"


def test_a_third_partys_extra_of_the_backends_name_is_what_it_needs(install: Install) -> None:
    install(
        "my_backend", NEEDS_A_RUNTIME, requires=["numpy", 'no-such-runtime; extra == "mine"', 'pytest; extra == "dev"']
    )
    plugin = plugins.find("mine")
    assert [requirement.name for requirement in plugin.requirements] == ["no-such-runtime"]
    assert plugin.install_line == 'pip install "my-backend[mine]"'


def test_what_it_needs_on_this_platform_is_no_extra(install: Install) -> None:
    install("my_backend", requires=['no-such-runtime; python_version >= "3"'])
    plugin = plugins.find("mine")
    assert plugin.missing() == ["no-such-runtime"]
    assert plugin.install_line == "pip install my-backend"


def test_what_another_platform_needs_is_not_missing(install: Install) -> None:
    install("my_backend", requires=['no-such-runtime; python_version < "3"'])
    assert plugins.find("mine").missing() == []


def test_a_runtime_that_is_imported_late_is_explained_too(install: Install) -> None:
    late = GOOD.replace("threads): ...", "threads):\n        import no_such_runtime\n", 1)
    install("my_backend", late)
    plugin = plugins.find("mine")
    backend = plugin.load()

    def construct() -> None:
        with plugin.explain_missing():
            backend(Path("model"), threads=1)

    assert "needs no_such_runtime" in refusal(MissingRuntimeError, construct)


@pytest.mark.parametrize("module", ["digitbench.no_such_module", "my_backend.no_such_part"])
def test_a_broken_import_of_its_own_keeps_its_error(install: Install, module: str) -> None:
    install("my_backend", f"import {module}\n")
    with pytest.raises(ModuleNotFoundError) as caught:
        plugins.find("mine").load()
    assert caught.value.name == module
    assert not isinstance(caught.value, BackendError)


@pytest.mark.parametrize("broken", ["raise ValueError('mine')", "1 +", "raise ImportError('half installed')"])
def test_any_other_fault_of_a_plugin_keeps_its_error(install: Install, broken: str) -> None:
    install("my_backend", broken)
    with pytest.raises((ValueError, SyntaxError, ImportError)) as caught:
        plugins.find("mine").load()
    assert not isinstance(caught.value, BackendError)


def test_a_runtime_under_another_distribution_counts_as_installed(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tensorflow-cpu brings the module tensorflow."""
    install("my_backend", requires=["some-runtime"])
    install("some_runtime", "", names={}, distribution="some-runtime-cpu")
    (tmp_path / "some_runtime_cpu-1.0.dist-info" / "top_level.txt").write_text("some_runtime\n")
    plugin = plugins.find("mine")
    assert plugin.missing() == []
    assert plugin.runtime_versions() == {"some-runtime": "1.0"}


# --- the listing ---------------------------------------------------------------------------------------------------


def test_the_listing_says_what_each_is_and_opens(install: Install) -> None:
    install("my_backend", NEEDS_A_RUNTIME, requires=["numpy", "no-such-runtime"])
    rows = {row["backend"]: row for row in plugins.listing()}
    assert rows["numpy"]["format"] == "npz"
    assert rows["numpy"]["source"] == "digitbench 0.1.0"
    assert rows["numpy"]["problem"] == ""
    assert rows["numpy"]["runtime"].startswith("numpy ")
    assert rows["mine"]["problem"] == "not installed; run: pip install my-backend"
    assert rows["mine"]["format"] == "?"


def test_a_broken_plugin_is_listed_with_its_problem_beside_the_others(install: Install) -> None:
    install("my_backend", "class Good: pass")
    rows = {row["backend"]: row for row in plugins.listing()}
    assert "not a subclass" in rows["mine"]["problem"]
    assert rows["numpy"]["problem"] == ""
