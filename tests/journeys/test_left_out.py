"""A model that one of the runtimes lacks an operation for: it is left out with a note, unless it is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import Cli, complaint
from onnx import TensorProto, helper

from digitbench import data
from digitbench.bundle import Bundle

WHY = "No conversion rule found for operations: ai.onnx.ml.LinearClassifier"
NOTE = f"openvino is left out, as it can't run this model: OpenVINO can't open it: {WHY}"


def write_linear_classifier(path: Path) -> None:
    """A nearest-mean classifier of digits, as converters write it, of the operations for classical models."""
    train = data.load("digits").train
    means = np.stack([train.images[train.labels == digit].reshape(-1, 784).mean(0) for digit in range(10)])
    nodes = [
        helper.make_node(
            "LinearClassifier", ["X"], ["label", "raw"], domain="ai.onnx.ml", classlabels_ints=list(range(10)),
            coefficients=means.ravel().tolist(), intercepts=(-(means**2).sum(1) / 2).tolist(), post_transform="NONE",
        ),
        helper.make_node("Identity", ["raw"], ["scores"]),
    ]  # fmt: skip
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 784])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10]),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    graph = helper.make_graph(nodes, "linear", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


@pytest.mark.slow
def test_a_runtime_without_the_operation_is_left_out_unless_it_is_named(cli: Cli, tmp_path: Path) -> None:
    write_linear_classifier(tmp_path / "linear.onnx")
    done = cli("import", "linear.onnx", "--dataset", "digits")
    assert done.returncode == 0, done.stderr
    assert NOTE in done.stdout
    bundle = Bundle(tmp_path / "runs" / "latest")
    assert bundle.attempts["openvino"].why == f"OpenVINO can't open it: {WHY}"

    for command in ("evaluate", ("evaluate", "--details"), ("bench", "--quick", "--batch-size", "1")):
        arguments = (command,) if isinstance(command, str) else command
        done = cli(*arguments, "--json", f"{arguments[0]}.json")
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert done.stdout.count(NOTE) == 1
        rows = json.loads((tmp_path / f"{arguments[0]}.json").read_text(encoding="utf-8"))["rows"]
        assert {row["backend"] for row in rows} == {"onnx", "tract"}

    message = complaint(cli("evaluate", "-b", "openvino"), 1)
    assert message.startswith("1 of 1 rows failed: openvino: ")
    assert message.endswith(WHY)
