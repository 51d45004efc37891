"""Batch normalisation is folded into the layer before it where that is right, and all formats say what Keras says."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitbench import data, plugins
from digitbench.backend import Scores
from digitbench.data import mnist
from digitbench.export.npz import NpzExporter
from digitbench.plugins.model_io import NATIVE_IO
from digitbench.records.recipes import Recipe
from digitbench.system.native_output import calm_tensorflow

pytestmark = pytest.mark.slow  # TensorFlow alone takes seconds to start
FORMATS = {"savedmodel": "savedmodel", "tflite": "tflite", "onnx": "onnx", "openvino": "onnx", "numpy": "npz"}
NETWORKS = {
    "cropped": Recipe(hidden=(12, 8), crop=4, batch_normalization=True, dropout=0.2),
    "convolutions": Recipe(hidden=(8,), crop=2, convolutions=(4, 4), batch_normalization=True, dropout=0.2),
    "committee": Recipe(hidden=(8,), batch_normalization=True, members=3, activation="silu"),
}
FOLDED = ["dense", "convolution", "no bias", "no gamma", "no beta", "functional", "nested"]
KEPT = ["after an activation", "first", "read twice", "another axis", "channels first", "an heir", "without"]


def images() -> Any:
    return data.load("digits").test.images[:100]


def scattered(model: Any, seed: int = 0) -> Any:
    """The model with batch normalisation as far from its initial values as training could take it, and further."""
    draw = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if "BatchNormalization" in type(layer).__name__ or type(layer).__name__ == "Heir":
            *scale_and_offset, _, variance = layer.get_weights()
            spread = [draw.normal(0.5, 1, array.shape) for array in [*scale_and_offset, variance]]
            layer.set_weights([*spread, draw.uniform(0.01, 0.5, variance.shape)])
    return model


def network(name: str) -> Any:
    """A network as digitbench builds it."""
    import keras

    from digitbench.train import networks

    recipe = NETWORKS[name]
    members = [networks.build(keras, recipe.changed(seed=seed), mnist.TASK, 10) for seed in range(recipe.members)]
    return scattered(members[0] if len(members) == 1 else networks.committee(keras, members))


def structure(name: str) -> Any:
    """A network of somebody else's, around one batch normalisation."""
    import keras

    layers = keras.layers

    class Heir(layers.BatchNormalization):  # type: ignore[misc, name-defined]
        def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
            return super().call(x, training=training) * 2

    norm = layers.BatchNormalization
    stacks: dict[str, list[Any]] = {
        "dense": [layers.Flatten(), layers.Dense(8), norm(), layers.Activation("relu")],
        "convolution": [layers.Conv1D(6, 3, groups=2, strides=2), norm(epsilon=0.1), layers.ReLU(), layers.Flatten()],
        "no bias": [layers.Flatten(), layers.Dense(8, use_bias=False), norm()],
        "no gamma": [layers.Flatten(), layers.Dense(8), norm(scale=False)],
        "no beta": [layers.Flatten(), layers.Dense(8), norm(center=False)],
        "after an activation": [layers.Flatten(), layers.Dense(8, activation="relu"), norm()],
        "first": [norm(), layers.Flatten()],
        "another axis": [layers.Dense(5), norm(axis=1), layers.Flatten()],
        "an heir": [layers.Flatten(), layers.Dense(8), Heir()],
        "without": [layers.Flatten(), layers.Dense(8, activation="relu"), layers.Dropout(0.5)],
    }
    last = layers.Dense(10, "softmax")
    if name in stacks:
        return scattered(keras.Sequential([keras.Input((28, 28)), *stacks[name], last]))
    image = keras.Input((28, 28))
    if name == "nested":
        inner = keras.Sequential([keras.Input((28, 28)), *stacks["convolution"]])
        return scattered(keras.Model(image, last(inner(image))))
    if name == "channels first":
        x = layers.Conv1D(28, 1, data_format="channels_first")(image)
        return scattered(keras.Model(image, last(layers.Flatten()(norm()(x)))))
    x = layers.Dense(8)(layers.Flatten()(image))
    y = layers.Activation("relu")(norm()(x))
    return scattered(keras.Model(image, last(layers.Add()([x, y]) if name == "read twice" else y)))


def one_thread() -> None:
    calm_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def in_keras(job: Any, *arguments: Any) -> Any:
    """Run one of the functions below in a process of its own: TensorFlow's threads are set once in each."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        return pool.submit(job, *arguments).result(timeout=300)


def inspect_structures(names: list[str]) -> dict[str, tuple[bool, list[str], float]]:
    """Of each structure: was it left as it is, which layers it has after folding, and how far its scores moved."""
    from digitbench.export import folding

    facts = {}
    for name in names:
        model = structure(name)
        folded_model = folding.folded(model)
        class_names = [type(layer).__name__ for layer in folded_model._flatten_layers()]
        facts[name] = (
            folded_model is model,
            class_names,
            folding.largest_difference(model, folded_model, images(), NATIVE_IO),
        )
    return facts


def write(name: str, folder: Path) -> tuple[Scores, Scores, str]:
    """Write a network in every format in fp32; give Keras' scores, those of the SavedModel, and why there's no npz."""
    from digitbench.export import folding
    from digitbench.plugins.exporter import ExportJob

    model = network(name)
    scores = np.asarray(model(images(), training=False))
    folded_model = folding.folded(model)
    reason = NpzExporter().unable(folded_model, "fp32")
    for format in dict.fromkeys(FORMATS.values()):
        if format != "npz" or not reason:
            exporter = plugins.exporters()[format]
            exporter.write(ExportJob(folded_model, "fp32", images()), folder / f"model.{format}")
    assert "BatchNormalization" not in [type(layer).__name__ for layer in folded_model._flatten_layers()]
    assert np.abs(np.asarray(model(images(), training=False)) - scores).max() == 0, "the model itself is as it was"
    with plugins.find("savedmodel").load()(folder / "model.savedmodel", threads=1) as backend:
        return scores, backend.predict(images()), reason


def inspect_and_write(folder: Path) -> tuple[dict[str, tuple[bool, list[str], float]], tuple[Scores, Scores, str]]:
    """Both in one process: TensorFlow takes long to start."""
    written = write("cropped", folder)
    return inspect_structures([*FOLDED, *KEPT]), written


@pytest.fixture(scope="module")
def folding_results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `inspect_and_write` gives, and where it wrote."""
    folder = tmp_path_factory.mktemp("cropped")
    return *in_keras(inspect_and_write, folder), folder


@pytest.mark.parametrize("name", FOLDED)
def test_it_is_folded_and_all_else_is_kept(folding_results: Any, name: str) -> None:
    unchanged, class_names, difference = folding_results[0][name]
    assert not unchanged
    assert not {"BatchNormalization", "Dropout"} & set(class_names)
    assert {"Dense", "Flatten"} <= set(class_names)
    assert difference < 1e-6


@pytest.mark.parametrize("name", KEPT)
def test_where_it_would_be_wrong_the_model_is_left_as_it_is(folding_results: Any, name: str) -> None:
    unchanged, _, difference = folding_results[0][name]
    assert unchanged
    assert difference == 0


def check_formats(folder: Path, written: tuple[Scores, Scores, str]) -> set[str]:
    """Compare every backend's scores with those of Keras; give the backends that had no file to open."""
    scores, saved, _ = written
    assert scores.std(axis=0).max() > 0.01, "the scores tell images apart"
    answers = {"savedmodel": saved}
    for backend, format in FORMATS.items():
        path = folder / f"model.{format}"
        if backend != "savedmodel" and path.exists():
            with plugins.find(backend).load()(path, threads=1) as opened:
                answers[backend] = opened.predict(images())
    for backend, answer in answers.items():
        np.testing.assert_allclose(answer, scores, rtol=0, atol=1e-5, err_msg=backend)
    return set(FORMATS) - set(answers)


def test_every_format_says_what_keras_says_of_a_folded_network(folding_results: Any) -> None:
    _, written, folder = folding_results
    assert check_formats(folder, written) == set()
    with np.load(folder / "model.npz") as stored:
        assert stored["window"].tolist() == [4, 24, 4, 24]
        assert [stored[f"kernel_{i}"].shape for i in range(3)] == [(400, 12), (12, 8), (8, 10)]


@pytest.mark.parametrize(("name", "message"), [("convolutions", "conv2d is a Conv2D"), ("committee", "member_0 is a ")])
def test_every_format_but_npz_does_so_for_convolutions_and_committees(name: str, message: str, tmp_path: Path) -> None:
    written = in_keras(write, name, tmp_path)
    assert check_formats(tmp_path, written) == {"numpy"}
    assert written[2].startswith("npz holds a single dense network, and ")
    assert message in written[2]
