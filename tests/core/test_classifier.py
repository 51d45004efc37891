"""`digitbench.load`: what it opens, how it ends, what it leaves alone. All runtimes are in the journeys."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied

import digitbench
from core.helpers import announce, one_printable_line
from digitbench import data
from digitbench.bundle import Artifact, Bundle
from digitbench.errors import (
    ArtifactError,
    BackendError,
    BundleError,
    DigitbenchError,
    ImageError,
    MissingRuntimeError,
    UnknownBackendError,
    UsageError,
)

# Backends that misbehave, or say what they were given.
PLUGIN = """
import os, sys, time
import numpy as np
from digitbench.backend import Backend, Runtime


class Teller(Backend):
    format = "npz"
    makes = {"bf16": "fp32"}

    def __init__(self, artifact, *, threads, precision=None):
        self.name = f"{artifact.name} {precision} {os.environ['KERAS_BACKEND']} {os.environ['CUDA_VISIBLE_DEVICES']}"
        self.threads = threads
        os.environ["MADE_BY_THE_RUNTIME"] = "1"
        os.write(2, b"chatter of native code\\n")
        print("a word by Python", file=sys.stderr)

    @property
    def runtime(self):
        return Runtime(self.name, "1", "none", self.threads)

    def predict(self, images):
        self.images = images
        time.sleep(0.002)
        return np.eye(10, dtype=np.float32)[self.images[:, 0, 0].astype(int)]

    def close(self):
        assert self.threads is not None, "closed twice"
        self.threads = None


class Faulty(Teller):
    def __init__(self, artifact, *, threads):
        os.write(2, b"chatter of native code\\n")
        raise RuntimeError("no luck")


class Other(Teller):
    format = "other"
    makes = {}


class Picky(Other):
    precisions = ("int8",)
"""


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.load("digits").test


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backends above, by their names in small letters; and ``needy``, whose runtime is not installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "load_plugin", raising=False)
    names = {"teller": "Teller", "faulty": "Faulty", "other": "Other", "picky": "Picky"}
    announce(tmp_path, "load_plugin", PLUGIN, names=names)
    announce(tmp_path, "needy_plugin", "from load_plugin import Teller", names={"needy": "Teller"},
             requires=["no-such-runtime"])  # fmt: skip


# --- its life ------------------------------------------------------------------------------------------------------


def test_a_closed_one_says_so(untrained: Bundle, digits: data.Split) -> None:
    opened = digitbench.load(untrained, backend="numpy")
    opened.predict(digits.pixels[0])
    opened.close()
    opened.close()
    for ask in (opened.predict, opened.scores):
        with pytest.raises(BackendError, match="closed; open another with digitbench"):
            ask(digits.pixels[0])
    assert "closed" in repr(opened)
    assert opened.runtime.name == "NumPy"


@pytest.mark.usefixtures("plugins")
def test_the_end_of_a_with_closes_its_runtime_once(untrained: Bundle) -> None:
    with digitbench.load(untrained, backend="teller") as opened:
        runtime = opened._opened
        assert "closed" not in repr(opened)
        opened.close()
    assert runtime is not None
    assert runtime.runtime.threads is None


def test_a_fault_within_a_with_is_let_through(untrained: Bundle) -> None:
    with pytest.raises(ImageError), digitbench.load(untrained, backend="numpy") as opened:
        opened.predict("digit.png")
    with pytest.raises(BackendError):
        opened.predict(np.zeros((28, 28)))


@pytest.mark.usefixtures("plugins")
def test_threads_that_share_one_get_each_their_own_answer(untrained: Bundle) -> None:
    """Backends keep the images of a call in buffers: two calls at the same time would mix them."""
    answers: dict[int, list[int]] = {digit: [] for digit in (0, 1)}
    with digitbench.load(untrained, backend="teller") as shared:

        def ask(digit: int) -> None:
            images = np.full((28, 28), float(digit))
            answers[digit] = [int(shared.predict(images)[0]) for _ in range(20)]

        threads = [threading.Thread(target=ask, args=(digit,)) for digit in answers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {0: [0] * 20, 1: [1] * 20}


# --- how it is opened ----------------------------------------------------------------------------------------------


def test_a_run_is_a_text_a_path_a_bundle_or_the_latest(
    untrained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: data.Split
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(untrained.path, target_is_directory=True)
    expected = untrained.reference_scores().argmax(axis=1)
    for run in (str(untrained.path), untrained.path, untrained, "runs/latest", None):
        with digitbench.load(run, backend="numpy") as opened:
            np.testing.assert_array_equal(opened.predict(digits.pixels), expected)
            assert opened.artifact.samefile(untrained.path / "artifacts" / "model-fp32.npz")


def test_it_says_what_runs(untrained: Bundle) -> None:
    with digitbench.load(untrained, backend="numpy", threads=1) as opened:
        assert (opened.backend, opened.precision) == ("numpy", "fp32")
        assert (opened.runtime.name, opened.runtime.version) == ("NumPy", np.__version__)
        assert opened.runtime.threads in (1, None)
        assert repr(opened) == f"<Classifier numpy fp32: NumPy, {opened.artifact}>"


def test_without_a_name_the_first_that_can_run_is_taken(
    untrained: Bundle, plugins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(*order: str, precision: str = "fp32") -> str:
        monkeypatch.setattr("digitbench.plugins.usual_order", lambda: order)
        with digitbench.load(untrained, precision=precision) as opened:
            return opened.backend

    assert chosen("teller", "numpy") == "teller"
    assert chosen("numpy", "teller") == "numpy"
    assert chosen("other", "teller") == "teller", "the bundle has nothing that the first one opens"
    assert chosen("needy", "teller") == "teller", "the first one's runtime is not installed"
    assert chosen("numpy", "teller", precision="bf16") == "teller", "the first one doesn't run that precision"


def test_without_a_name_and_none_that_can_run_it_says_what_would_mend_the_nearest(
    untrained: Bundle, plugins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complaint(*order: str, precision: str = "fp32") -> str:
        monkeypatch.setattr("digitbench.plugins.usual_order", lambda: order)
        with pytest.raises(DigitbenchError) as caught:
            digitbench.load(untrained, precision=precision)
        assert one_printable_line(str(caught.value))
        return str(caught.value)

    assert "pip install needy-plugin" in complaint("other", "needy"), "the artifact at least is there"
    assert "no fp32 artifact of format 'other'" in complaint("other")
    assert "--format tflite --precision int8" in complaint("numpy", "tflite", precision="int8")


def test_the_order_names_ours_and_the_slow_to_load_last() -> None:
    from digitbench import plugins

    native = {name for name, plugin in plugins.discover().items() if plugin.distribution == "digitbench"}
    assert set(plugins.usual_order()) == {name for name in native if not plugins.find(name).load().only_named}
    assert plugins.usual_order() == [
        "tflite", "onnx", "openvino", "tract", "mnn", "numpy", "savedmodel", "keras", "executorch", "iree", "torch",
        "jax", "keras-jax", "keras-torch",
    ]  # fmt: skip


@pytest.mark.usefixtures("plugins")
def test_what_cant_be_opened_is_refused_in_one_line(untrained: Bundle, tmp_path: Path) -> None:
    folder = str(untrained.path)
    changed = copied(untrained, tmp_path)
    (changed.path / "artifacts" / "model-fp32.npz").write_bytes(b"no weights")
    cases: list[tuple[type[DigitbenchError], str, dict[str, Any]]] = [
        (UnknownBackendError, "did you mean 'numpy'", {"run": folder, "backend": "numpi"}),
        (MissingRuntimeError, "pip install needy-plugin", {"run": folder, "backend": "needy"}),
        (UsageError, "did you mean 'int8'", {"run": folder, "precision": "INT8"}),
        (UsageError, "known are fp32", {"run": folder, "precision": "fp32,int8"}),
        (
            UsageError,
            "'numpy' doesn't run int8; it runs fp32",
            {"run": folder, "backend": "numpy", "precision": "int8"},
        ),
        (ArtifactError, "digitbench export", {"run": folder, "backend": "other"}),
        (ArtifactError, "checksum doesn't match", {"run": changed.path, "backend": "numpy"}),
        (BundleError, "no such model", {"run": "nowhere"}),
        (UsageError, "1 or more; got 0", {"run": folder, "threads": 0}),
        (UsageError, "got '2'", {"run": folder, "threads": "2"}),
        (UsageError, "got 1.5", {"run": folder, "threads": 1.5}),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error) as caught:
            digitbench.load(**arguments)
        assert message in str(caught.value)
        assert one_printable_line(str(caught.value))


@pytest.mark.usefixtures("plugins")
def test_a_precision_that_the_runtime_makes_is_asked_of_it(untrained: Bundle) -> None:
    with digitbench.load(untrained, backend="teller", precision="bf16", threads=3) as opened:
        assert opened.runtime.name.startswith("model-fp32.npz bf16 ")
        assert (opened.precision, opened.runtime.threads) == ("bf16", 3)
    with digitbench.load(untrained, backend="teller", threads=np.int64(2)) as opened:  # type: ignore[arg-type]
        assert opened.runtime.name.startswith("model-fp32.npz None ")
        assert (opened.precision, opened.runtime.threads) == ("fp32", 2)


@pytest.mark.usefixtures("plugins")
def test_artifacts_of_a_format_that_is_not_ours_are_opened_at_their_own_precisions(
    untrained: Bundle, tmp_path: Path
) -> None:
    bundle = copied(untrained, tmp_path)
    for precision in ("fp32", "int8"):
        path = bundle.path / f"{precision}.other"
        path.write_text(precision)
        bundle.record(Artifact.describe(bundle.path, path, "other", precision))
    for backend, precision in (("other", "fp32"), ("other", "int8"), ("picky", "int8")):
        with digitbench.load(bundle.path, backend=backend, precision=precision) as opened:
            assert opened.runtime.name.startswith(f"{precision}.other None ")
    with pytest.raises(UsageError, match=r"'picky' doesn't run fp32; it runs int8$"):
        digitbench.load(bundle.path, backend="picky")


# --- what it leaves alone ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("plugins")
def test_the_environment_is_calm_while_it_loads_and_the_callers_afterwards(
    untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.delenv("MADE_BY_THE_RUNTIME", raising=False)
    before = dict(os.environ)
    with digitbench.load(untrained, backend="teller") as opened:
        assert opened.runtime.name.endswith(" tensorflow -1")
    assert dict(os.environ) == before | {"MADE_BY_THE_RUNTIME": "1"}, "what a runtime sets for itself stays"


@pytest.mark.usefixtures("plugins")
def test_chatter_is_held_back_and_shown_when_something_breaks(
    untrained: Bundle, capfd: pytest.CaptureFixture[str]
) -> None:
    digitbench.load(untrained, backend="teller").close()
    assert "chatter" not in capfd.readouterr().err
    with pytest.raises(RuntimeError, match="no luck"):
        digitbench.load(untrained, backend="faulty")
    assert "chatter of native code" in capfd.readouterr().err


def test_it_loads_where_there_is_no_standard_error(untrained: Bundle) -> None:
    code = (
        "import sys, digitbench, numpy as np\nassert sys.stderr is None\n"
        f"with digitbench.load({str(untrained.path)!r}) as c: print(c.predict(np.zeros((28, 28))).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60, preexec_fn=lambda: os.close(2)
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "(1,)\n")
