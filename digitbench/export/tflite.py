"""TFLite, by TensorFlow's converter."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from digitbench.export.work import Work
from digitbench.precisions import DYNAMIC, FP16, FP32, INT8

SUFFIX = ".tflite"
NEEDS: tuple[str, ...] = ()
OUTPUT_ACTIVATIONS = ["SOFTMAX", "LOGISTIC"]


def write(work: Work, target: Path) -> None:
    """Write the model as a ``.tflite`` file with a free batch size, float32 in and out."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as room:
        _save(work.model, room)
        converter = tf.lite.TFLiteConverter.from_saved_model(room)
        target.write_bytes(_CONVERT[work.precision](tf, converter, work))


def _save(model: Any, folder: str) -> None:
    """Save the model with its first layer, if that flattens, as one reshape.

    Keras' own asks for the batch size with three more operations, which TFLite then runs in every call: 0.3 of 4 µs.
    """
    import keras
    import tensorflow as tf

    flattens = type(model).__name__ == "Sequential" and type(model.layers[0]).__name__ == "Flatten"

    def serve(image: Any) -> Any:
        if not flattens:
            return model(image, training=False)
        x = tf.reshape(image, [-1, prod(image.shape[1:])])
        for layer in model.layers[1:]:
            x = layer(x, training=False)
        return x

    spec = tf.TensorSpec(model.input_shape, model.inputs[0].dtype, name="image")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[spec])
    archive.write_out(folder, verbose=False)


def _fp32(tf: Any, converter: Any, work: Work) -> bytes:
    return bytes(converter.convert())


def _fp16(tf: Any, converter: Any, work: Work) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def _dynamic(tf: Any, converter: Any, work: Work) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def _int8(tf: Any, converter: Any, work: Work) -> bytes:
    """All layers as int8, but the output's activation in float32.

    The converter's usual int8 softmax gives scores in steps of 1/256, so that log loss and the ranking of close
    classes say less; in float32 it costs nothing measurable. TensorFlow offers that choice in its debugger alone.
    """

    def examples() -> Iterator[list[Any]]:
        for image in work.calibration:
            yield [image[None]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=OUTPUT_ACTIVATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says of its own interpreter that it will be gone one day
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
        return bytes(debugger.get_nondebug_quantized_model())


_CONVERT = {FP32: _fp32, FP16: _fp16, DYNAMIC: _dynamic, INT8: _int8}
