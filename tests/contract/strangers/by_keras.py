"""Models made in Keras 3, and the files that Keras and TensorFlow Lite's converter write of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from contract.strangers.network import Array, convolutional
from contract.strangers.spec import Spec

from digitbench import data
from digitbench.system.native_output import calm_tensorflow

LINEAR = {"logits": "linear"}  # as Keras calls it


def _custom_loss(labels: Any, scores: Any) -> Any:
    """A custom loss, which nobody else can load."""
    import keras

    return keras.ops.mean(keras.ops.square(labels - scores), axis=-1)


def dense(spec: Spec) -> Any:
    """Two dense layers: a stack, or a graph where there is a second output. Compiled, as most are when saved."""
    calm_tensorflow()
    import keras

    layers, weights = keras.layers, spec.network.weights
    image = keras.Input(batch_shape=spec.shape, dtype=spec.dtype, name="image")
    scores = layers.Dense(10, LINEAR.get(spec.activation, spec.activation), name="digits")
    loss: Any = _custom_loss if spec.extra == "loss" else "categorical_crossentropy"
    stack: list[Any] = []
    if spec.scale == "0..255":
        stack.append(layers.Rescaling(1 / 255))
        weights[0] = weights[0] * np.float32(255)
    if len(spec.image_layout.shape) > 1:
        stack.append(layers.Flatten())
    stack.append(layers.Dense(32, "relu", name="hidden"))
    if spec.extra in ("features", "uncertainty"):
        hidden = image
        for layer in stack:
            hidden = layer(hidden)
        extra_output = hidden if spec.extra == "features" else layers.Dense(10, "softplus", name="uncertainty")(hidden)
        model = keras.Model(image, [extra_output, scores(hidden)])
        loss = [None, loss]
    else:
        reshaped = [layers.Reshape((1, 1, 10))] if spec.extra == "(1,1,10)" else []
        model = keras.Sequential([image, *stack, scores, *reshaped])
    model.get_layer("hidden").set_weights(weights[:2])
    scores.set_weights(weights[2:])
    model.compile("adam", loss=loss)
    return model


def small_cnn(spec: Spec) -> Any:
    """A convolution, the largest of each 4 × 4, a dense layer; for a scale of 0 to 1."""
    calm_tensorflow()
    import keras

    layers, network = keras.layers, convolutional()
    model = keras.Sequential(
        [
            keras.Input(spec.image_layout.shape),
            layers.Conv2D(8, 5, padding="same", activation="relu", use_bias=False),
            layers.MaxPooling2D(4),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, LINEAR.get(spec.activation, spec.activation)),
        ]
    )
    rows = network.last_kernel.reshape(8, 7, 7, 10).transpose(1, 2, 0, 3).reshape(-1, 10)
    model.set_weights([network.filters.transpose(2, 3, 1, 0), rows, network.last_bias])
    return model


def saved(spec: Spec, folder: Path) -> Path:
    """``model.save``: ``.keras``."""
    model = small_cnn(spec) if spec.tool == "keras-cnn" else dense(spec)
    model.save(folder / "model.keras")
    return folder / "model.keras"


def saved_h5(spec: Spec, folder: Path) -> Path:
    """``model.save``: ``.h5``."""
    dense(spec).save(folder / "model.h5")
    return folder / "model.h5"


def exported(spec: Spec, folder: Path) -> Path:
    """``model.export``: a SavedModel."""
    dense(spec).export(str(folder / "exported_model"), verbose=False)
    return folder / "exported_model"


def exported_onnx(spec: Spec, folder: Path) -> Path:
    """``model.export(format="onnx")``."""
    model = dense(spec)
    model(np.zeros((spec.batch or 1, *spec.image_layout.shape), spec.dtype))  # without which it can't be exported
    model.export(str(folder / "model.onnx"), format="onnx", verbose=False, opset_version=spec.opset)
    return folder / "model.onnx"


def converted(spec: Spec, folder: Path) -> Path:
    """TensorFlow Lite's converter, with the options that TensorFlow's guides to quantisation show."""
    calm_tensorflow()
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(dense(spec))
    TFLITE[spec.tool](tf, converter, spec)
    with contextlib.redirect_stdout(io.StringIO()):  # it lists its endpoints
        (folder / "model.tflite").write_bytes(converter.convert())
    return folder / "model.tflite"


def _plain(tf: Any, converter: Any, spec: Spec) -> None:
    """Floats throughout."""


def _dynamic(tf: Any, converter: Any, spec: Spec) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _float16(tf: Any, converter: Any, spec: Spec) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _whole(tf: Any, converter: Any, spec: Spec) -> None:
    def examples() -> Iterator[list[Array]]:
        images = spec.prepared(data.load("digits").train.pixels[:128])
        size = spec.batch or 1
        for start in range(0, len(images), size):
            yield [images[start : start + size]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples


def _int8(tf: Any, converter: Any, spec: Spec) -> None:
    _whole(tf, converter, spec)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


def _uint8(tf: Any, converter: Any, spec: Spec) -> None:
    _whole(tf, converter, spec)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def _uint8_in(tf: Any, converter: Any, spec: Spec) -> None:
    _whole(tf, converter, spec)
    converter.inference_input_type = tf.uint8


TFLITE: dict[str, Callable[[Any, Any, Spec], None]] = {
    "tflite": _plain,
    "tflite-dynamic": _dynamic,
    "tflite-float16": _float16,
    "tflite-int8-inside": _whole,
    "tflite-int8": _int8,
    "tflite-uint8": _uint8,
    "tflite-uint8-in": _uint8_in,
}
