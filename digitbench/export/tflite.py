"""TFLite, by TensorFlow's converter."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digitbench.export.job import ExportJob
from digitbench.export.simplify import lean
from digitbench.records.precisions import DYNAMIC, FP16, FP32, INT8

SUFFIX = ".tflite"
NEEDS: tuple[str, ...] = ()
OUTPUT_ACTIVATIONS = ["SOFTMAX", "LOGISTIC"]
MEAN = ["ADD", "MUL"]  # what a committee's mean of its members' scores is made of


def write(work: ExportJob, target: Path) -> None:
    """Write the model as a ``.tflite`` file with a free batch size, float32 in and out."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        _save(lean(work.model), folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        target.write_bytes(_CONVERT[work.precision](tf, converter, work))


def _save(model: Any, folder: str) -> None:
    import keras
    import tensorflow as tf

    def serve(image: Any) -> Any:
        return model(image, training=False)

    spec = tf.TensorSpec(model.input_shape, model.inputs[0].dtype, name="image")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[spec])
    archive.write_out(folder, verbose=False)


def _fp32(tf: Any, converter: Any, work: ExportJob) -> bytes:
    return bytes(converter.convert())


def _fp16(tf: Any, converter: Any, work: ExportJob) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def _dynamic(tf: Any, converter: Any, work: ExportJob) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def _int8(tf: Any, converter: Any, work: ExportJob) -> bytes:
    """All layers as int8, but the output's activation, and the mean of several, in float32.

    The converter's usual int8 softmax gives scores in steps of 1/256, so that log loss and the ranking of close
    classes say less; in float32 it costs nothing measurable. TensorFlow offers that choice in its debugger alone.
    """

    def examples() -> Iterator[list[Any]]:
        for image in work.calibration:
            yield [image[None]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    averages = type(getattr(work.model, "layers", [None])[-1]).__name__ == "Average"
    in_float = OUTPUT_ACTIVATIONS + (MEAN if averages else [])
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=in_float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says of its own interpreter that it will be gone one day
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
        return bytes(debugger.get_nondebug_quantized_model())


_CONVERT = {FP32: _fp32, FP16: _fp16, DYNAMIC: _dynamic, INT8: _int8}
