"""What tract, MNN and the ONNX standard's evaluator do beside the contract: other people's ONNX, colour, threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import complaint, run_cli

from digitbench import export, plugins
from digitbench.backend import IOSpec
from digitbench.bundle import Bundle
from digitbench.errors import BackendError, ThreadsError
from digitbench.measure.candidates import candidates
from digitbench.plugins.exporter import Exporter
from digitbench.testing import in_fresh_process

Array = npt.NDArray[Any]
COLOUR = (32, 32, 3)
DRAW = np.random.default_rng(0)
KERNEL, CONVOLUTION = (DRAW.normal(0, 0.1, shape).astype(np.float32) for shape in ((7200, 10), (8, 3, 3, 3)))


def saved(
    path: Path, nodes: Sequence[Sequence[Any]], taken: Mapping[str, Any], given: Mapping[str, Any], **weights: Any
) -> Path:
    """Write an ONNX file; `taken` and `given` are NumPy's type and the shape of each."""
    from onnx import helper, numpy_helper, save

    def described(tensors: Mapping[str, Any]) -> list[Any]:
        types = {name: helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for name, (dtype, _) in tensors.items()}
        return [helper.make_tensor_value_info(name, types[name], shape) for name, (_, shape) in tensors.items()]

    graph = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **options) for kind, inputs, outputs, options in nodes],
        "graph", described(taken), described(given),
        [numpy_helper.from_array(np.array(array), name) for name, array in weights.items()],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)
    return path


def convolution(
    path: Path, first: Sequence[Sequence[Any]] = (), given: Sequence[str] = ("scores",), **taken: Any
) -> Path:
    """A network of colour images; `first` makes ``image`` of what it takes, if that isn't the image itself."""
    nodes = [
        *first, ("Transpose", ["image"], ["turned"], {"perm": [0, 3, 1, 2]}),
        ("Conv", ["turned", "convolution"], ["sums"], {}), ("Relu", ["sums"], ["maps"], {}),
        ("Flatten", ["maps"], ["flat"], {}), ("MatMul", ["flat", "kernel"], ["logits"], {}),
        ("Softmax", ["logits"], ["scores"], {}),
    ]  # fmt: skip
    shapes = {"maps": ("f4", ["n", 8, 30, 30]), "logits": ("f4", ["n", 10]), "scores": ("f4", ["n", 10])}
    taken = taken or {"image": ("f4", ["n", *COLOUR])}
    return saved(path, nodes, taken, {name: shapes[name] for name in given}, kernel=KERNEL, convolution=CONVOLUTION)


def strangers(folder: Path) -> dict[str, tuple[Path, IOSpec, tuple[int, ...]]]:
    """Models that somebody else made: the file, what an import finds out of it, and batch sizes."""
    spec = IOSpec(COLOUR, answer=(10,))
    several = convolution(folder / "several.onnx", given=("maps", "logits", "scores"))
    of_bytes = convolution(
        folder / "bytes.onnx", [("Cast", ["pixels"], ["image"], {"to": 1})], pixels=("u1", [4, *COLOUR])
    )
    switch: list[Sequence[Any]] = [("Mul", ["input", "keep"], ["image"], {})]
    switched = convolution(folder / "switched.onnx", switch, keep=("f4", []), input=("f4", ["n", *COLOUR]))
    nodes: list[Sequence[Any]] = [
        ("Reshape", ["image", "flat"], ["row"], {}),
        ("MatMul", ["row", "kernel"], ["scores"], {}),
    ]
    alone = saved(
        folder / "alone.onnx", nodes, {"image": ("f4", [28, 28])}, {"scores": ("f4", [1, 10])},
        flat=[1, 784], kernel=KERNEL[:784],
    )  # fmt: skip
    return {
        "colour": (convolution(folder / "colour.onnx"), spec, (1, 5)),
        "the second of three outputs": (several, IOSpec(COLOUR, answer=(10,), output="logits"), (1, 5)),
        "bytes, four at a time": (of_bytes, IOSpec(COLOUR, "uint8", 4, answer=(10,)), (4,)),
        "a number beside the image": (
            switched, IOSpec(COLOUR, answer=(10,), input="input", constants=(("keep", 0.5),)), (1, 3),
        ),
        "one image without a batch": (
            alone, IOSpec((28, 28), batch=1, answer=(1, 10), image_axis=None, answer_axis=None), (1,),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["tract", "onnx-reference"])
def test_a_strangers_onnx_says_what_onnx_runtime_says(name: str, tmp_path: Path) -> None:
    usual, other = (plugins.find(backend).load() for backend in ("onnx", name))
    for what, (path, io_spec, sizes) in strangers(tmp_path).items():
        option: dict[str, Any] = {"io_spec": io_spec}
        with usual(path, threads=1, **option) as expected, other(path, threads=1, **option) as opened:
            for size in sizes:
                pixels: Array = DRAW.integers(0, 256, io_spec.shapes(size)[0]).astype(io_spec.dtype)
                images: Array = pixels if io_spec.dtype == "uint8" else pixels / np.float32(255)
                scores, expected_scores = opened.predict(images), expected.predict(images)
                np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=1e-4, err_msg=what)
        signature = other.signature(path)
        assert [tensor.shape for tensor in signature.inputs] == [
            tensor.shape for tensor in usual.signature(path).inputs
        ], what


def test_an_output_that_a_model_lacks_is_named_with_those_it_has(tmp_path: Path) -> None:
    path = convolution(tmp_path / "several.onnx", given=("maps", "scores"))
    option: dict[str, Any] = {"io_spec": IOSpec(COLOUR, answer=(10,), output="score")}
    with pytest.raises(BackendError, match="no output 'score', it has maps, scores"):
        plugins.find("tract").load()(path, threads=1, **option)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-3), ("int8-weights", 0.02)])
def test_mnn_says_of_colour_images_what_onnx_runtime_says(precision: str, tolerance: float, tmp_path: Path) -> None:
    from digitbench.export import mnn

    images = DRAW.random((5, *COLOUR), np.float32)
    onnx = convolution(tmp_path / "model.onnx")
    mnn.convert(onnx, tmp_path / "model.mnn", precision)
    with plugins.find("onnx").load()(onnx, threads=1) as backend:
        expected = backend.predict(images)
    with plugins.find("mnn").load()(tmp_path / "model.mnn", threads=1) as backend:
        for size in (5, 1, 3):
            np.testing.assert_allclose(backend.predict(images[:size]), expected[:size], atol=tolerance)
    (taken,) = plugins.find("mnn").load().signature(tmp_path / "model.mnn").inputs
    assert (taken.shape[1:], taken.dtype) == (COLOUR, "float32")


def test_what_mnns_converter_refuses_is_one_line(tmp_path: Path) -> None:
    from digitbench.export import mnn

    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(ValueError, match="MNN's converter ended with"):
        mnn.convert(broken, tmp_path / "model.mnn", "fp32")
    assert not (tmp_path / "model.mnn").exists()


def test_converting_loads_neither_what_installs_packages_nor_what_reports(trained: Bundle, tmp_path: Path) -> None:
    """`MNN.tools` runs the first `pip` of PATH when it is imported, and reports to MNN's makers."""
    from digitbench.export import mnn

    code = mnn.CONVERT.replace("sys.exit(", "_tools; done = (", 1)
    code += "; assert done is False, done; assert not [n for n in sys.modules if n.startswith(('MNN.tools', 'aliyun'))]"
    onnx = trained.open(trained.find("onnx"))
    paths = ["--modelFile", str(onnx), "--MNNModel", str(tmp_path / "model.mnn")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *mnn.FIXED, *paths], capture_output=True, text=True,
        env={**os.environ, "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.mnn").exists()


def test_mnn_starts_the_threads_asked_for_and_they_sleep_between_calls(trained: Bundle) -> None:
    mnn, path = plugins.find("mnn").load(), trained.open(trained.find("mnn"))
    seen = {}
    for threads in (1, 2):
        reported, tasks, idle = in_fresh_process(
            "import MNN\nbefore = len(os.listdir('/proc/self/task'))\n"
            f"backend = make({str(path)!r}, {threads})\n"
            "for _ in range(20): backend.predict(np.zeros((256, 28, 28), np.float32))\n"
            "started = len(os.listdir('/proc/self/task')) - before\n"
            "cpu = time.process_time()\ntime.sleep(0.3)\n"
            "say(backend.runtime.threads, 1 + started, time.process_time() - cpu)",
            mnn,
        )
        seen[threads] = reported, tasks
        assert idle < 0.03, "seconds of CPU in 0.3 s without a call"
    cores = len(os.sched_getaffinity(0))
    assert seen == {1: (1, 1), 2: (min(2, cores), min(2, cores))}


def test_tract_refuses_more_threads_than_its_one(trained: Bundle) -> None:
    tract, path = plugins.find("tract").load(), trained.open(trained.find("onnx"))
    with pytest.raises(ThreadsError, match="tract computes in one thread, not in 2"):
        tract(path, threads=2)
    before = len(os.listdir("/proc/self/task"))
    with tract(path, threads=1) as backend:
        backend.predict(np.zeros((256, 28, 28), np.float32))
        assert len(os.listdir("/proc/self/task")) == before


def test_tract_keeps_what_it_compiled_for_each_batch_size(trained: Bundle) -> None:
    with plugins.find("tract").load()(trained.open(trained.find("onnx")), threads=1) as backend:
        images = np.zeros((20, 28, 28), np.float32)
        for size in [*range(1, 13), 12]:
            backend.predict(images[:size])
        start = time.perf_counter()
        for _ in range(50):
            backend.predict(images[:12])
            backend.predict(images[:11])
        assert len(vars(backend)["_compiled"]) <= 8
        assert time.perf_counter() - start < 1, "it would take 20 ms each time it is compiled"


def test_the_evaluator_is_measured_only_if_named(trained: Bundle) -> None:
    named = {candidate.row.backend for candidate in candidates(trained, ["onnx-reference"], [1], [1])}
    unnamed = {candidate.row.backend for candidate in candidates(trained, [], [1], [1])}
    assert named == {"onnx-reference"}
    assert unnamed >= {"onnx", "tract", "mnn"}
    assert "onnx-reference" not in unnamed


def test_without_mnn_the_other_formats_are_written_and_its_own_names_the_extra(
    trained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "sitecustomize.py").parent.mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'MNN' else find(name, package)\n"
    )
    env = {"PYTHONPATH": str(tmp_path / "site")}
    message = complaint(run_cli("export", trained.path, "--format", "mnn", cwd=tmp_path, env=env))
    assert "exporting mnn needs MNN, not installed here" in message
    assert "[mnn]" in message
    monkeypatch.setattr(Exporter, "missing", lambda exporter: ["MNN"] if "MNN" in exporter.needs else [])
    assert export.formats() == [name for name in plugins.exporters() if name != "mnn"]
