"""What exporting needs is asked before anything long begins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied
from large_runtimes import LARGE

from core.helpers import Recorder
from digitbench import data, export, plugins
from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError, MissingRuntimeError, UsageError
from digitbench.export.executorch import ExecutorchExporter, steps
from digitbench.export.npz import NpzExporter
from digitbench.plugins.exporter import ExportJob
from digitbench.system.packages import install_command


def test_every_format_is_known_by_its_module() -> None:
    export.require(export.formats())


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"unknown format 'coreml': .*known are executorch, iree, mnn, npz, onnx, savedmodel, tflite"
    ):
        export.require(["onnx", "coreml"])


def test_what_is_missing_is_told_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitbench.plugins.exporter.find_spec", lambda name: None)
    with pytest.raises(MissingRuntimeError, match="exporting onnx needs tf2onnx") as refusal:
        export.require(["npz", "onnx"])
    assert refusal.value.mend == install_command("digitbench", "train")


# --- what npz holds -------------------------------------------------------------------------------------------------


def layer(class_name: str, *arrays: Any, **attributes: Any) -> Any:
    """What of a Keras layer the npz exporter looks at."""
    attributes.setdefault("data_format", "channels_last")
    stand_in = type(
        class_name, (), {"get_weights": lambda self: list(arrays), "name": class_name.lower(), **attributes}
    )()
    return stand_in


def dense(inputs: int, outputs: int, activation: str, *, bias: bool = True) -> Any:
    draw = np.random.default_rng(inputs)
    arrays = [draw.normal(0, inputs**-0.5, (inputs, outputs)), draw.normal(0, 1, outputs)]
    function: Any = SimpleNamespace(__name__=activation)
    return layer(
        "Dense", *(array.astype(np.float32) for array in arrays[: 1 + bias]), activation=staticmethod(function)
    )


def network(*layers: Any) -> Any:
    return SimpleNamespace(layers=layers, input_shape=(None, 28, 28))


def cropping(**changes: Any) -> Any:
    return layer("Cropping2D", **{"cropping": ((4, 2), (1, 5)), **changes})


IMAGE = layer("Reshape", compute_output_shape=lambda self, shape: (None, 28, 28, 1))
CROPPED = network(IMAGE, cropping(), layer("Flatten"), layer("Nothing"), dense(22 * 22, 10, "linear", bias=False))


def test_what_a_crop_leaves_is_what_numpy_multiplies(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    NpzExporter().write(ExportJob(CROPPED, "fp32", np.empty(0)), path)
    images = data.load("digits").test.images[:5]
    expected = images[:, 4:26, 1:23].reshape(5, -1) @ CROPPED.layers[-1].get_weights()[0]
    backend_class: Any = plugins.find("numpy").load()
    with backend_class(path, threads=1) as backend:
        np.testing.assert_allclose(backend.predict(images), expected, rtol=0, atol=1e-6)
    code = backend_class.example.replace("{artifact}", repr(str(path))).replace("{threads}", "1")
    exec(code, namespace := {"images": images})  # what `choose` prints
    assert (namespace["labels"] == expected.argmax(axis=1)).all()


def test_a_window_that_is_none_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, activations=np.array(["linear"]), kernel_0=np.ones((784, 10)), bias_0=np.ones(10), window=4)
    with pytest.raises(ArtifactError, match=r"not a digitbench \.npz of weights"):
        plugins.find("numpy").load()(path, threads=1)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([layer("Conv2D")], "conv2d is a Conv2D"),
        ([dense(28, 10, "relu")], "dense takes 28×28 values"),
        ([layer("Flatten", data_format="channels_first")], "flatten is a Flatten"),
        ([IMAGE, cropping(data_format="channels_first")], "cropping2d is a Cropping2D"),
        ([IMAGE, cropping(), cropping()], "cropping2d is a Cropping2D"),
        ([layer("Flatten"), dense(784, 8, "relu"), layer("Activation")], "activation is a Activation"),
        ([layer("Flatten"), dense(784, 8, "linear"), layer("BatchNormalization")], "is a BatchNormalization"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_npz_cant_hold_is_said(layers: list[Any], message: str) -> None:
    why = NpzExporter().unable(network(*layers), "fp32")
    assert why.startswith("npz holds a single dense network, and ")
    assert message in why
    assert NpzExporter().unable(CROPPED, "fp32") == ""
    assert "the model is fp16" in NpzExporter().unable(CROPPED, "fp16")


def test_npz_is_left_out_of_all_formats_and_refused_where_it_is_named(untrained: Bundle, tmp_path: Path) -> None:
    bundle = copied(untrained, tmp_path)
    convolutional, progress = network(layer("Conv2D")), Recorder()
    remaining = export._writable(export.formats(), convolutional, "fp32", bundle, progress)
    assert [name for name in remaining if name not in LARGE] == ["mnn", "onnx", "savedmodel", "tflite"]
    (line,) = progress.lines
    assert line.startswith("npz is left out, and with it the backend numpy: npz holds a single dense network")
    with pytest.raises(
        UsageError,
        match=r"--format npz: .* conv2d is a Conv2D; choose from executorch, iree, mnn, onnx, savedmodel, tflite$",
    ):
        export._writable(["onnx", "npz"], convolutional, "fp32", bundle, progress)
    assert export._writable(export.formats(), CROPPED, "fp32", bundle, progress) == export.formats()


# --- what executorch holds ------------------------------------------------------------------------------------------


def shaped(layer: Any, *shape: int) -> Any:
    """A stand-in whose output has that shape, without the batch."""
    type(layer).compute_output_shape = lambda self, _: (None, *shape)
    return layer


def convolution(**changes: Any) -> Any:
    usual = {"padding": "same", "strides": (1, 1), "dilation_rate": (1, 1), "groups": 1}
    relu: Any = SimpleNamespace(__name__="relu")
    return layer(
        "Conv2D", np.zeros((3, 3, 1, 4)), np.zeros(4), **{**usual, "activation": staticmethod(relu), **changes}
    )


POOLING = {"pool_size": (2, 2), "strides": (2, 2)}


def test_executorch_has_channels_first_between_the_first_convolution_and_the_last_pooling_alone() -> None:
    pooling, flat = layer("MaxPooling2D", padding="valid", **POOLING), shaped(layer("Flatten"), 784)
    first, second = shaped(convolution(), 28, 28, 4), shaped(convolution(), 28, 28, 4)
    last = shaped(dense(784, 10, "softmax"), 10)
    found = steps(network(shaped(IMAGE, 28, 28, 1), first, second, shaped(pooling, 14, 14, 4), flat, last))
    assert [name for name, *_ in found] == [
        "reshape", "linear", "permute", "convolution", "relu", "convolution", "relu", "pool", "linear", "permute",
        "reshape", "linear", "dense", "softmax",
    ]  # fmt: skip
    assert [options["axes"] for name, options, _ in found if name == "permute"] == [(0, 3, 1, 2), (0, 2, 3, 1)]
    assert [array.shape for array in found[3][2]] == [(4, 1, 3, 3), (4,)]


@pytest.mark.parametrize(
    "unknown_layer",
    [
        layer("LayerNormalization"), layer("Flatten", data_format="channels_first"), convolution(strides=(2, 2)),
        dense(4, 4, "gelu"), layer("MaxPooling2D", padding="same", **POOLING),
    ],
)  # fmt: skip
def test_executorch_refuses_a_layer_that_it_cant_build(unknown_layer: Any) -> None:
    model = network(shaped(unknown_layer, 4))
    why = ExecutorchExporter().unable(model, "fp32")
    assert why == f"executorch holds the layers that recipes have, and {unknown_layer.name} is a {why.split()[-1]}"
    assert why.endswith(f" {type(unknown_layer).__name__}")
    assert "the model is fp16" in ExecutorchExporter().unable(model, "fp16")


def test_executorchs_exporter_that_ends_otherwise_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitbench.export.executorch.WRITER", "digitbench.no_such_module")
    job = ExportJob(network(shaped(dense(28, 10, "softmax"), 28, 10)), "fp32", np.empty(0))
    with pytest.raises(ValueError, match=r"^ExecuTorch's exporter ended with 1: .*No module named digitbench\.no_such"):
        ExecutorchExporter().write(job, tmp_path / "model.pte")
