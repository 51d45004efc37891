"""`digitbench.load` as a user calls it, in a script: every runtime, every precision, and nothing on the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished, environment
from large_runtimes import without_large

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.records.precisions import EXPORTED
from journeys.helpers import BACKENDS

EVERY = """
import json, sys
import digitbench
from digitbench import data

pixels = data.load("digits").test.pixels
for backend, precision in json.load(sys.stdin):
    with digitbench.load("run", backend=backend, precision=precision, threads=1) as classifier:
        labels = classifier.predict(pixels)
        alone = [int(classifier.predict(picture)[0]) for picture in pixels[:3]]
        exact = bool((classifier.scores(pixels / 255) == classifier.scores(pixels)).all())
        runtime = {"name": classifier.runtime.name, "threads": classifier.runtime.threads}
    print(json.dumps([backend, precision, labels.tolist(), alone, exact, runtime]))
"""
RUNTIMES = {
    "keras": "Keras", "numpy": "NumPy", "onnx": "ONNX Runtime", "openvino": "OpenVINO", "savedmodel": "TensorFlow",
    "tflite": "LiteRT", "tract": "tract", "mnn": "MNN",
}  # fmt: skip


def script(code: str, folder: Path, stdin: object = None) -> Finished:
    """Run Python code in a folder, as a user's script."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(folder), input=json.dumps(stdin),
        capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip


@pytest.mark.slow
def test_every_runtime_and_precision_says_what_its_evaluation_says(
    trained: Bundle, evaluated: tuple[str, dict[str, Any]]
) -> None:
    rows = without_large(evaluated[1]["rows"])
    setups = [(row["backend"], row["precision"]) for row in rows]
    assert {backend for backend, _ in setups} == set(BACKENDS)
    assert {p for name, p in setups if name == "tflite"} == {p for name, p in setups if name == "onnx"}
    assert {p for name, p in setups if name == "tflite"} == set(EXPORTED)

    done = script(EVERY, trained.path.parent, setups)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a runtime's chatter"
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    reference = trained.reference_scores().argmax(axis=1)
    assert [(backend, precision) for backend, precision, *_ in answers] == setups
    for row, (backend, precision, labels, alone, exact, runtime) in zip(rows, answers, strict=True):
        expected = reference.copy()
        for flip in row["agreement"]["flipped"]:
            expected[flip["index"]] = flip["label"]
        np.testing.assert_array_equal(labels, expected, f"{backend} {precision}")
        assert alone == labels[:3], f"{backend} {precision}"
        assert exact, f"{backend} {precision}: bytes and floats differ"
        assert runtime["name"] == RUNTIMES[backend]
        assert runtime["threads"] in (1, None)


def test_a_script_that_asks_for_onnx_runtime_loads_no_other(trained: Bundle) -> None:
    code = (
        "import json, sys, digitbench, numpy\n"
        "with digitbench.load('run', backend='onnx') as classifier: classifier.predict(numpy.zeros((28, 28)))\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = script(code, trained.path.parent)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert {"digitbench_onnx", "onnxruntime"} <= loaded
    assert not loaded & {"tensorflow", "keras", "ai_edge_litert", "openvino", "sklearn", "scipy", "rich", "typer"}


def test_without_a_name_the_lightest_runtime_is_taken(trained: Bundle) -> None:
    code = (
        "import digitbench\n"
        "for options in ({}, {'precision': 'int8'}):\n"
        "    with digitbench.load('run', **options) as classifier: print(classifier.backend, classifier.precision)"
    )
    done = script(code, trained.path.parent)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "tflite fp32\ntflite int8\n")


@pytest.mark.slow
def test_tensorflow_cant_change_its_threads_and_says_so(trained: Bundle) -> None:
    code = (
        "import digitbench\n"
        "digitbench.load('run', backend='savedmodel', threads=1).close()\n"
        "digitbench.load('run', backend='keras', threads=1).close()\n"
        "try: digitbench.load('run', backend='keras', threads=2)\n"
        "except digitbench.errors.ThreadsError as exc: print(exc)"
    )
    done = script(code, trained.path.parent)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "TensorFlow can't take 2 threads in this process" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_mistake_in_a_script_ends_in_one_line_that_says_what_to_do(trained: Bundle) -> None:
    code = "import digitbench, numpy\ndigitbench.load('run', backend='tflite').predict(numpy.zeros((28, 28), int))"
    done = script(code, trained.path.parent)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("digitbench.errors.ImageError: can't take int64 of shape (28, 28): ")
    assert ".astype('uint8')" in last


def test_the_labels_are_right(trained: Bundle) -> None:
    """As often as training said: what is loaded is the model that was trained, on images the right way up."""
    code = (
        "import digitbench, json\nfrom digitbench import data\n"
        "with digitbench.load('run') as one: print(json.dumps(one.predict(data.load('digits').test.pixels).tolist()))"
    )
    done = script(code, trained.path.parent)
    assert done.returncode == 0, done.stderr
    correct = int((np.array(json.loads(done.stdout)) == data.load("digits").test.labels).sum())
    assert correct == trained.stored["metrics"]["correct"]
