"""Files of Keras, of any version, and what else has their name: converted to the same model, or said what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.helpers import one_printable_line
from digitbench import data
from digitbench.errors import ArtifactError
from digitbench.importing import keras_file

MODELS = Path(__file__).parents[1] / "models"
LABELS = json.loads((MODELS / "keras2-labels.json").read_text(encoding="utf-8"))
PREPARED = {
    "keras2-operations.h5": lambda pixels: pixels,
    "keras2-layers.h5": lambda pixels: pixels.astype("float32"),
    "keras2-layers.keras": lambda pixels: pixels.astype("float32"),
    "keras2-branches.h5": lambda pixels: pixels.reshape(-1, 784).astype("float32") / 255,
}


@pytest.mark.parametrize("name", LABELS)
def test_a_model_of_keras_2_says_in_keras_3_what_it_said_there(name: str, tmp_path: Path) -> None:
    import keras

    converted, known = keras_file.convert(MODELS / name, tmp_path)
    model = keras.models.load_model(converted)
    answer = model.predict(PREPARED[name](data.load("digits").test.pixels), verbose=0)
    scores = answer[-1] if isinstance(answer, list) else answer
    assert "".join(map(str, scores.argmax(axis=1))) == LABELS[name]
    assert known["precision"] == "fp32"


def test_what_changes_images_in_training_is_left_out(tmp_path: Path) -> None:
    import keras

    inner = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.RandomZoom(0.5), keras.layers.Flatten()])
    stack = [keras.layers.RandomRotation(0.2), inner, keras.layers.Dropout(0.5), keras.layers.Dense(10)]
    original = keras.Sequential([keras.Input(batch_shape=(4, 28, 28, 1)), *stack])
    original.save(tmp_path / "m.keras")
    (tmp_path / "there").mkdir()
    converted, known = keras_file.convert(tmp_path / "m.keras", tmp_path / "there")
    model = keras.models.load_model(converted)
    assert model.input_shape == (None, 28, 28, 1)
    assert [layer["kind"] for layer in known["layers"]] == ["Identity", "Identity", "Flatten", "Dropout", "Dense"]
    images = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    np.testing.assert_array_equal(model.predict(images, verbose=0), original.predict(images, verbose=0))


def test_resizing_puts_nothing_behind_it_into_training(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    inner = keras.Sequential([keras.Input((28, 28, 1)), layers.BatchNormalization(), layers.SpatialDropout2D(0.5)])
    stack = [layers.Resizing(28, 28), inner, layers.Flatten(), layers.Dropout(0.5), layers.Dense(10)]
    original = keras.Sequential([keras.Input((None, None, 1)), *stack])
    original.save(tmp_path / "m.keras")
    (tmp_path / "there").mkdir()
    model = keras.models.load_model(keras_file.convert(tmp_path / "m.keras", tmp_path / "there")[0])
    images = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    expected = np.asarray(original(images, training=False))
    assert np.abs(np.asarray(original(images)) - expected).max() > 0.01, "Keras does so no longer: then this can go"
    np.testing.assert_array_equal(np.asarray(model(images)), expected)


def hdf5(path: Path, config: dict[str, Any] | None, version: str = "2.15.0") -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
    return path


def stack(*kinds: str, **options: Any) -> dict[str, Any]:
    image = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 28, 28], "name": "image"}}
    layers = [{"class_name": kind, "config": {"name": f"l{number}", **options}} for number, kind in enumerate(kinds)]
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [image, *layers]}}


def refusal(path: Path, folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        keras_file.convert(path, folder)
    message = str(caught.value)
    assert one_printable_line(message)
    return message.removeprefix(f"{path}: ")


def test_weights_without_a_network_are_told(tmp_path: Path) -> None:
    assert "weights alone" in refusal(hdf5(tmp_path / "m.weights.h5", None), tmp_path)


@pytest.mark.parametrize("kind", ["QuantizeLayer", "QuantizeWrapperV2"])
def test_what_was_quantised_in_training_is_sent_to_tflite_by_the_keras_that_made_it(kind: str, tmp_path: Path) -> None:
    message = refusal(hdf5(tmp_path / "m.h5", stack("Flatten", kind)), tmp_path)
    assert message.startswith(f"it was quantised in training with Keras 2.15.0 ({kind} of tensorflow_model_optimiz")
    assert ".tflite" in message


def test_what_was_pruned_is_sent_back_to_be_unwrapped(tmp_path: Path) -> None:
    assert "strip_pruning" in refusal(hdf5(tmp_path / "m.h5", stack("PruneLowMagnitude")), tmp_path)


def test_a_layer_of_its_makers_own_is_named_with_the_way_out(tmp_path: Path) -> None:
    message = refusal(hdf5(tmp_path / "m.h5", stack("Flatten", "Capsules")), tmp_path)
    assert message.startswith(
        "the layer 'Capsules' is none of Keras 3's, and its code isn't in the file, which Keras 2.15"
    )
    assert "save_format='tf'" in message


def test_a_function_that_is_not_known_is_named(tmp_path: Path) -> None:
    config = stack()
    image, node = config["config"]["layers"][0], [["image", 0, 0, {"name": None}]]
    operation = {"class_name": "TFOpLambda", "config": {"name": "op", "function": "signal.rfft"}}
    layers = [{**image, "name": "image", "inbound_nodes": []}, {**operation, "name": "op", "inbound_nodes": node}]
    config = {"layers": layers, "input_layers": [["image", 0, 0]], "output_layers": [["op", 0, 0]], "name": "f"}
    path = hdf5(tmp_path / "m.h5", {"class_name": "Functional", "config": config})
    assert "the function 'tf.signal.rfft' is none of Keras 3's" in refusal(path, tmp_path)


def test_a_class_of_its_makers_own_is_named_before_tensorflow_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(keras_file, "import_keras")
    path = hdf5(tmp_path / "m.h5", {"class_name": "Net", "config": {}}, "3.15.1")
    assert "the class 'Net' is none of Keras 3's" in (message := refusal(path, tmp_path))
    assert "model.export('folder')" in message


def test_weights_that_are_not_those_of_the_layers_are_refused(tmp_path: Path) -> None:
    import h5py

    path = Path(shutil.copy(MODELS / "keras2-operations.h5", tmp_path))
    with h5py.File(path, "r+") as file:
        weights = file["model_weights"]
        del weights["conv2d"]
        weights.attrs["layer_names"] = [name for name in weights.attrs["layer_names"] if name != "conv2d"]
    assert "can't open it" in refusal(path, tmp_path)


@pytest.mark.parametrize("time_major", [False, True])
def test_a_setting_is_dropped_only_where_it_says_what_keras_3_does(time_major: bool, tmp_path: Path) -> None:
    import h5py
    import keras

    path = tmp_path / "m.h5"
    keras.Sequential([keras.Input((28, 28)), keras.layers.LSTM(4)]).save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][-1]["config"]["time_major"] = time_major
        file.attrs.update(model_config=json.dumps(config), keras_version="2.15.0")
    if time_major:
        assert "time_major" in refusal(path, tmp_path)
    else:
        assert keras_file.convert(path, tmp_path)[1]["precision"] == "fp32"


def test_branches_of_the_same_shapes_keep_their_own_weights(tmp_path: Path) -> None:
    import h5py
    import keras

    converted, _ = keras_file.convert(MODELS / "keras2-branches.h5", tmp_path)
    kernel = keras.models.load_model(converted).get_layer("a_first").get_weights()[0]
    with h5py.File(MODELS / "keras2-branches.h5") as file:
        np.testing.assert_array_equal(kernel, file["model_weights/a_first/a_first/kernel:0"])
