"""What strangers' models are said to be is what they are: fed by their `truth`, they say what their makers say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.makers import MAKERS, REFUSED, SPECS, WRITERS, MadeModel
from contract.strangers.network import LAYOUTS, SCALES, Array, resized
from contract.strangers.running import run
from onnxruntime import InferenceSession

from digitbench import data

FEW = (
    "onnx-nchw-0..255-inverted-logits-batch1",
    "onnx-nchw-rgb-0..1-logits-batch32",
    "onnx-nchw-pad32--1..1-logits-features",
    "onnx-hw-0..255-inverted-logits-int64",
    "onnx-sklearn-flat-own-mean-std-sigmoid-label-float64",
    "onnx-zoo-nchw-0..255-logits-opset8-batch1",
)


def by_truth(model: MadeModel, split: data.Split) -> Array:
    """Images as a model's `truth` says that it takes them, but for quantisation."""
    truth = model.truth
    images: Array = split.images
    if truth["fit"] == "resize":
        images = resized(split.pixels) / 255
    if truth["fit"] == "pad":
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    values: Array = truth["background"] + (truth["foreground"] - truth["background"]) * images.astype(np.float64)
    shape = truth["shape"]
    if 3 in shape:
        values = np.stack([values] * 3, axis=shape.index(3) - len(shape))
    values = values.reshape(-1, *shape)
    if model.path.suffix == ".tflite":
        return values.astype(np.float32)
    return (np.rint(values) if "int" in truth["dtype"] else values).astype(truth["dtype"])


@pytest.mark.parametrize("name", FEW)
def test_a_model_fed_by_its_truth_says_what_its_maker_says(name: str, tmp_path: Path) -> None:
    test = data.load("digits").test
    model = MAKERS[name](tmp_path)
    answer = run(model.path, by_truth(model, test), model.truth["batch"])
    np.testing.assert_array_equal(answer.labels, model.labels)
    assert model.accuracy == np.mean(model.labels == test.labels)
    assert model.accuracy > 0.9
    assert (answer.output, answer.dtype) == (model.truth["output"], model.truth["dtype"])


def test_no_model_is_made_twice_and_every_kind_at_least_once() -> None:
    assert [name for name, times in Counter(spec.id for spec in SPECS).items() if times > 1] == []
    covered: dict[str, set[Any]] = {
        field: {getattr(spec, field) for spec in SPECS}
        for field in ("tool", "layout", "scale", "activation", "batch", "black", "dtype", "opset")
    }
    assert covered["tool"] == WRITERS.keys()
    assert covered["layout"] == LAYOUTS.keys()
    assert covered["scale"] == SCALES.keys()
    assert covered["activation"] == {"softmax", "sigmoid", "logits", "log_softmax"}
    assert {None, 1, 32} < covered["batch"]
    assert {"float16", "float32", "float64", "uint8", "int32", "int64"} == covered["dtype"]
    assert {11, 13, 17} < covered["opset"]


def test_black_on_white_comes_with_every_scale() -> None:
    assert {spec.scale for spec in SPECS if spec.black} >= SCALES.keys() - {"own-mean-std"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text file", "Protobuf parsing failed"),
        ("half an onnx", "Protobuf parsing failed"),
        ("unknown domain", "com.example:Sharpen"),
        ("weights missing", "External data path"),
    ],
)
def test_what_is_no_model_can_not_be_opened(name: str, message: str, tmp_path: Path) -> None:
    path = REFUSED[name][0](tmp_path)
    with pytest.raises(Exception, match=message):  # ONNX Runtime has many kinds
        InferenceSession(str(path))


@pytest.mark.parametrize(
    ("name", "inputs", "output"),
    [
        ("two inputs", ["a", "b"], ["n", 10]),
        ("one output", ["image"], ["n", 1]),
        ("1000 classes", ["image"], ["n", 1000]),
        ("text input", ["words"], ["n", 10]),
        ("maps as output", ["float_input"], []),
    ],
)
def test_what_is_no_classifier_of_digits_can_be_opened(
    name: str, inputs: list[str], output: list[object], tmp_path: Path
) -> None:
    session = InferenceSession(str(REFUSED[name][0](tmp_path)))
    assert [tensor.name for tensor in session.get_inputs()] == inputs
    assert session.get_outputs()[-1].shape == output
