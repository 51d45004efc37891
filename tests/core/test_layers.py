"""What a bundle's files tell of its layers, without any runtime; and the first one as pictures."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied, rewrite_manifest

from digitbench.bundle import Artifact, Bundle, layers
from digitbench.bundle.layers import Layer
from digitbench.charts import weights
from digitbench.errors import ArtifactError, BundleError


def keras_file(path: Path, entries: list[tuple[str, dict[str, Any], list[Any] | None]]) -> Path:
    """A Keras 3 file with a Sequential of these layers' kinds, settings and input shapes."""
    described = [
        {"class_name": class_name, "config": {"name": class_name.lower(), **config}}
        | ({"build_config": {"input_shape": shape}} if shape else {})
        for class_name, config, shape in entries
    ]
    with zipfile.ZipFile(path, "w") as archive:
        model = {"class_name": "Sequential", "config": {"name": "model", "layers": described}}
        archive.writestr("config.json", json.dumps(model))
    return path


WINDOW = {"kernel_size": [3, 3], "use_bias": True, "data_format": "channels_last"}


@pytest.mark.parametrize(
    ("class_name", "config", "shape", "count"),
    [  # the counts are what Keras' count_params() says of these layers
        ("Dense", {"units": 10, "use_bias": True}, [None, 784], 7850),
        ("Dense", {"units": 10, "use_bias": False}, [None, 784], 7840),
        ("Conv2D", {**WINDOW, "filters": 8, "groups": 1}, [None, 28, 28, 1], 80),
        ("Conv2D", {**WINDOW, "filters": 4, "groups": 2}, [None, 30, 30, 4], 76),
        ("Conv2D", {**WINDOW, "filters": 8, "data_format": "channels_first"}, [None, 1, 28, 28], 80),
        ("Conv1D", {**WINDOW, "kernel_size": [3], "filters": 6}, [None, 28, 28], 510),
        ("DepthwiseConv2D", {**WINDOW, "depth_multiplier": 2}, [None, 13, 13, 8], 160),
        ("SeparableConv2D", {**WINDOW, "depth_multiplier": 1, "filters": 16}, [None, 11, 11, 16], 416),
        ("BatchNormalization", {"axis": -1, "scale": False, "center": True}, [None, 9, 9, 16], 48),
        ("LayerNormalization", {"axis": [1], "scale": True, "center": True}, [None, 16], 32),
        ("MaxPooling2D", {}, [None, 26, 26, 8], 0),
        ("SpatialDropout1D", {"rate": 0.1}, None, 0),
        ("LSTM", {"units": 5, "activation": "tanh"}, [None, 28, 6], None),
        ("Dense", {"units": 10, "use_bias": True}, None, None),
    ],
)
def test_a_layers_parameters_are_counted(
    tmp_path: Path, class_name: str, config: dict[str, Any], shape: list[Any] | None, count: int | None
) -> None:
    (layer,) = layers.of_keras(keras_file(tmp_path / "model.keras", [(class_name, config, shape)]))
    assert (layer.kind, layer.parameters) == (class_name, count)
    assert layers.total([layer]) == (count or 0, count is not None)


def test_a_layer_takes_what_the_one_before_gives(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "model.keras", [
        ("InputLayer", {"batch_shape": [None, 28, 28]}, None), ("Flatten", {}, [None, 28, 28]),
        ("Dense", {"units": 16, "use_bias": True, "activation": "relu"}, [None, 784]), ("Dropout", {"rate": 0.1}, None),
        ("Dense", {"units": 10, "use_bias": True, "activation": "softmax"}, [None, 16]),
    ])  # fmt: skip
    assert layers.of_keras(path) == (
        Layer("flatten", "Flatten", (28, 28), (784,), "", 0), Layer("dense", "Dense", (784,), (16,), "relu", 12560),
        Layer("dropout", "Dropout", (16,), (16,), "", 0), Layer("dense", "Dense", (16,), (10,), "softmax", 170),
    )  # fmt: skip


SAME = {**WINDOW, "padding": "same", "strides": [1, 1], "dilation_rate": [1, 1]}
POOLING = {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid", "data_format": "channels_last"}


@pytest.mark.parametrize(
    ("class_name", "config", "takes", "gives"),
    [  # what Keras' compute_output_shape() says
        ("Reshape", {"target_shape": [28, 28, 1]}, [28, 28], (28, 28, 1)),
        ("Reshape", {"target_shape": [-1, 1]}, [28, 28], None),
        ("Cropping2D", {"cropping": [[4, 2], [1, 5]], "data_format": "channels_last"}, [28, 28, 1], (22, 22, 1)),
        ("Conv2D", {**SAME, "filters": 8}, [28, 28, 1], (28, 28, 8)),
        ("Conv2D", {**SAME, "filters": 8, "strides": [2, 3]}, [28, 28, 1], (14, 10, 8)),
        ("Conv2D", {**SAME, "filters": 8, "padding": "valid", "dilation_rate": [2, 1]}, [28, 28, 1], (24, 26, 8)),
        ("Conv2D", {**SAME, "filters": 8, "data_format": "channels_first"}, [1, 28, 28], None),
        ("MaxPooling2D", POOLING, [21, 20, 8], (10, 10, 8)),
        ("MaxPooling2D", {**POOLING, "padding": "same"}, [21, 20, 8], (11, 10, 8)),
        ("Flatten", {}, [7, 7, 32], (1568,)),
    ],
)  # fmt: skip
def test_a_layer_before_one_that_tells_nothing_gives_what_follows_from_its_settings(
    tmp_path: Path, class_name: str, config: dict[str, Any], takes: list[int], gives: tuple[int, ...] | None
) -> None:
    (layer,) = layers.of_keras(keras_file(tmp_path / "model.keras", [(class_name, config, [None, *takes])]))
    assert (layer.takes, layer.gives) == (tuple(takes), gives)


def test_plain_weights_of_a_part_of_the_image_tell_the_crop(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    arrays: dict[str, Any] = {"kernel_0": np.ones((400, 10)), "bias_0": np.ones(10), "window": np.array([4, 24, 4, 24])}
    np.savez(path, activations=np.array(["softmax"]), **arrays)
    cropping, dense = layers.of_weights(path)
    assert cropping == Layer("cropping", "Cropping2D", None, (20, 20), "", 0)
    assert (dense.takes, dense.gives, dense.parameters) == ((400,), (10,), 4010)
    np.savez(path, activations=np.array(["softmax"]), **{**arrays, "window": np.array([4, 24])})
    with pytest.raises(BundleError, match="its weights can't be read"):
        layers.of_weights(path)


@pytest.mark.parametrize("content", [b"", b"no archive", "list", "bomb"])
def test_a_broken_keras_file_is_told_in_a_line(
    tmp_path: Path, content: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            layer = {"class_name": "Flatten", "config": {}}
            config = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}).ljust(2000)
            archive.writestr("config.json", "[]" if content == "list" else config)
        monkeypatch.setattr(layers, "MOST_BYTES", 1000)
    with pytest.raises(BundleError, match="its layers can't be read"):
        layers.of_keras(path)


# --- the first layer as pictures ------------------------------------------------------------------------------------


def test_a_cropped_first_layer_is_drawn_at_its_own_size(untrained: Bundle, tmp_path: Path) -> None:
    bundle = copied(untrained, tmp_path)
    path = bundle.path / bundle.find("npz").path
    kernel = np.random.default_rng(0).random((18 * 20, 4), np.float32)
    np.savez(path, activations=np.array(["relu", "softmax"]), kernel_0=kernel, window=np.array([4, 22, 3, 23]))
    bundle.record(Artifact.describe(bundle.path, path, "npz"))
    first_layer = weights.read(bundle)
    assert first_layer.size == (18, 20)
    figure: Any = weights.figure(first_layer, count=1)
    drawn = figure.axes[0].images[0].get_array()
    strongest = np.linalg.norm(kernel, axis=0).argmax()
    assert (drawn[9:27, :20] == kernel[:, strongest].reshape(18, 20)).all()


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (("Conv2D", {**SAME, "filters": 8}, [None, 28, 28, 1]), "its first layer, conv2d, is a convolution"),
        (("LSTM", {"units": 5}, [None, 28, 28]), "has no fp32 artifact of format 'npz'"),
    ],
)
def test_a_first_layer_that_is_not_dense_is_refused_in_a_line(
    untrained: Bundle, tmp_path: Path, first: tuple[str, dict[str, Any], list[Any]], message: str
) -> None:
    bundle = copied(untrained, tmp_path)
    path = keras_file(bundle.path / "model.keras", [first])
    artifact = vars(Artifact.describe(bundle.path, path, "keras"))
    rewrite_manifest(bundle, {**bundle.stored, "artifacts": [artifact]})
    with pytest.raises(ArtifactError) as caught:
        weights.read(bundle)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
