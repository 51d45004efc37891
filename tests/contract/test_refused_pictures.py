"""Models of small pictures that can't be imported: each is refused in one line, which says the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.strangers import pictures
from contract.strangers.pictures import Made, dataset_of, make
from contract.strangers.refused import onnx_graph

from digitbench.errors import BundleError
from digitbench.importing import import_model

Maker = Callable[[Path], Path]
USUAL = Made(classes=6)
VALUES = 16 * 16 * 3


def _drawn(width: int) -> Any:
    return np.random.default_rng(3).normal(0, 0.05, (VALUES, width))


def _of_width(width: int) -> Maker:
    """An untrained model of so many outputs."""

    def write(folder: Path) -> Path:
        from onnx import helper

        nodes = [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "kernel"], ["scores"]),
        ]
        shapes = {"image": ("n", 16, 16, 3)}, {"scores": ("n", width)}
        return onnx_graph(folder, nodes, *shapes, {"kernel": _drawn(width)})

    return write


def _graph(
    inputs: dict[str, tuple[Any, ...]], outputs: dict[str, tuple[Any, ...]], nodes: list[tuple[str, str, str]]
) -> Maker:
    def write(folder: Path) -> Path:
        from onnx import helper

        weights = {"kernel": _drawn(6), "corners": _drawn(4), "steps": _drawn(6)[:50]}
        made = [helper.make_node(kind, taken.split(), [given]) for kind, taken, given in nodes]
        return onnx_graph(folder, made, inputs, outputs, weights)

    return write


def _constant(folder: Path) -> Path:
    """Its weights were lost: they are all 0."""
    import onnx
    from onnx import numpy_helper

    path = make(USUAL, folder)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(tensor)), tensor.name))
    onnx.save(model, path)
    return path


def _with_labels(lines: str, maker: Maker | None = None) -> Maker:
    def write(folder: Path) -> Path:
        (folder / "labels.txt").write_text(lines, encoding="utf-8")
        return (maker or _of_width(6))(folder)

    return write


def _unnamed_order(folder: Path) -> Path:
    path = make(replace(USUAL, order="file"), folder)
    (folder / "labels.txt").unlink()
    return path


def _weights_missing(folder: Path) -> Path:
    import onnx

    path = make(USUAL, folder)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (folder / "weights.bin").unlink()
    return path


def _weights_alone(folder: Path) -> Path:
    pictures.keras_model(USUAL).save_weights(folder / "keras_model.weights.h5")
    return folder / "keras_model.weights.h5"


IMAGE = {"image": ("n", 16, 16, 3)}
REFUSED: dict[str, tuple[Maker, str]] = {
    "fewer outputs": (_of_width(4), "4 outputs for 6 classes: give images of its classes alone"),
    "more outputs": (_of_width(9), "9 outputs for 6 classes: give images of all its classes, or put a labels.txt"),
    "one output": (_of_width(1), "none of its outputs gives 6 scores an image: 'scores' float32 [n, 1]"),
    "random": (_of_width(6), "it doesn't recognise these classes"),
    "random, one more": (_of_width(7), "7 outputs for 6 classes: is one of them background?"),
    "constant": (_constant, "its answer is the same for every image"),
    "labels of another length": (_with_labels("apple\nbird\ncow\n"), "labels.txt lists 3 names, but the data have 6"),
    "other labels": (
        _with_labels("0 a\n1 b\n2 c\n3 d\n4 e\n5 f\n"), "labels.txt has other names than the data: a, b, c …",
    ),
    "labels in a wrong order": (
        _with_labels("fox\negg\ndog\nCar\nbird\napple", lambda folder: make(USUAL, folder)),
        "are right, not in that of labels.txt: correct labels.txt",
    ),
    "an order that nobody knows": (_unnamed_order, "but in another order (9"),
    "weights missing": (_weights_missing, "its weights are in another file, which isn't beside it; put that file"),
    "two inputs": (
        _graph({**IMAGE, "mask": ("n", 16, 16, 3)}, {"scores": ("n", 6)}, [
            ("Add", "image mask", "both"), ("Flatten", "both", "flat"), ("MatMul", "flat kernel", "scores"),
        ]),
        "it takes 2 inputs ('image', 'mask')",
    ),
    "a detector": (
        _graph(IMAGE, {"boxes": ("n", 4), "areas": ("n", 1)}, [
            ("Flatten", "image", "flat"), ("MatMul", "flat corners", "boxes"), ("ReduceMean", "boxes", "areas"),
        ]),
        "it seems to find objects and where they are",
    ),
    "a map of classes": (
        _graph(IMAGE, {"map": ("n", 16, 16, 3)}, [("Relu", "image", "map")]),
        "none of its outputs gives 6 scores an image: 'map' float32 [n, 16, 16, 3]",
    ),
    "a sequence": (
        _graph({"words": ("n", 50)}, {"scores": ("n", 6)}, [("MatMul", "words steps", "scores")]),
        "its input 'words' has shape [n, 50]: not images of one or three channels",
    ),
}  # fmt: skip


def refused(maker: Maker, tmp_path: Path) -> str:
    (tmp_path / "there").mkdir()
    path = maker(tmp_path / "there")
    with pytest.raises(BundleError) as refusal:
        import_model(path, dataset_of(USUAL), tmp_path / "bundle")
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert not (tmp_path / "bundle").exists()
    return message


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_classifier_is_refused_in_one_line_with_the_way_out(name: str, tmp_path: Path) -> None:
    maker, words = REFUSED[name]
    assert words in refused(maker, tmp_path)


@pytest.mark.slow
def test_weights_alone_of_keras_are_refused_with_the_way_out(tmp_path: Path) -> None:
    assert "it holds no network, but weights alone" in refused(_weights_alone, tmp_path)
