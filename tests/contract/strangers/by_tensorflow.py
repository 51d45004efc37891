"""Models written in plain TensorFlow, and Keras 2's, which today's TensorFlow can't make."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.strangers.spec import NO_BATCH, Spec

from digitbench.system.native_output import calm_tensorflow

FIXTURES = Path(__file__).parents[2] / "models"


def _function(spec: Spec) -> tuple[Any, Callable[[Any], dict[str, Any]]]:
    """TensorFlow's description of the input, and the model as a function of it."""
    calm_tensorflow()
    import tensorflow as tf

    kernel, bias, last_kernel, last_bias = spec.network.weights
    activation = tf.identity if spec.activation == "logits" else getattr(tf.nn, spec.activation)
    answer = {"(1,1,10)": [-1, 1, 1, 10], "(10,1,1)": [-1, 10, 1, 1]}.get(spec.extra, [spec.batch or -1, 10])

    def predict(image: Any) -> dict[str, Any]:
        rows = tf.reshape(tf.cast(image, tf.float32), [spec.batch or -1, len(kernel)])
        features = tf.nn.relu(rows @ kernel + bias)
        scores = activation(features @ last_kernel + last_bias)
        outputs = {"scores": tf.reshape(scores, [10] if spec.batch == NO_BATCH else answer)}
        if spec.extra == "features":
            outputs["features"] = features
        if spec.extra == "label":
            outputs["label"] = tf.argmax(scores, axis=1)
        return outputs

    return tf.TensorSpec(spec.shape, spec.dtype, name="image"), predict


def tf2onnx(spec: Spec, folder: Path) -> Path:
    """tf2onnx, of a ``tf.function``."""
    import tensorflow as tf
    import tf2onnx.convert

    image, predict = _function(spec)
    target = folder / "model.onnx"
    tf2onnx.convert.from_function(tf.function(predict), [image], opset=spec.opset, output_path=str(target))
    return target


def module(spec: Spec, folder: Path) -> Path:
    """A ``tf.Module`` with one signature of an unusual name, saved by ``tf.saved_model``."""
    import tensorflow as tf

    image, predict = _function(spec)
    stranger = tf.Module()
    stranger.predict = tf.function(predict, input_signature=[image])
    tf.saved_model.save(stranger, str(folder / "saved_model"), signatures={"predict": stranger.predict})
    return folder / "saved_model"


def lite_function(spec: Spec, folder: Path) -> Path:
    """TensorFlow Lite's converter, of a ``tf.function``."""
    import tensorflow as tf

    image, predict = _function(spec)
    concrete = tf.function(predict).get_concrete_function(image)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    (folder / "model.tflite").write_bytes(converter.convert())
    return folder / "model.tflite"


def keras2(spec: Spec, folder: Path) -> Path:
    """A SavedModel, or an ``.h5``, that Keras 2 wrote: see the README beside them."""
    if spec.tool == "keras2-h5":
        return Path(shutil.copy(FIXTURES / "keras2.h5", folder))
    return Path(shutil.copytree(FIXTURES / "keras2-savedmodel", folder / "keras2-savedmodel"))
