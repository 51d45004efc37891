"""TFLite, by TensorFlow's converter."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from digitbench.export.simplify import lean
from digitbench.model_files import tflite_file
from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import EXPORTED, FP16, FP32, INT8

OUTPUT_ACTIVATIONS = ["SOFTMAX", "LOGISTIC"]
MEAN = ["ADD", "MUL"]  # what a committee's mean of its members' scores is made of


class TFLiteExporter(Exporter):
    """``.tflite`` files with a free batch size, float32 in and out."""

    format: ClassVar[str] = "tflite"
    precisions: ClassVar[tuple[str, ...]] = EXPORTED

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`."""
        import tensorflow as tf

        with tempfile.TemporaryDirectory() as folder:
            lean(job.model).export(folder, format="tf_saved_model", verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            if job.precision != FP32:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]  # by itself, precision dynamic
            if job.precision == FP16:
                converter.target_spec.supported_types = [tf.float16]
            convert = converter.convert if job.precision != INT8 else partial(_quantise, tf, converter, job)
            target.write_bytes(convert())

    precision_of = staticmethod(tflite_file.precision_of)


def _quantise(tf: Any, converter: Any, job: ExportJob) -> bytes:
    """Convert all layers to int8, but the output's activation, and the mean of several, in float32.

    The converter's usual int8 softmax gives scores in steps of 1/256, so that log loss and the ranking of close
    classes say less; in float32 it costs nothing measurable. TensorFlow offers that choice in its debugger alone.
    """

    def examples() -> Iterator[list[Any]]:
        for image in job.calibration:
            yield [image[None]]

    converter.representative_dataset = examples
    averages = type(getattr(job.model, "layers", [None])[-1]).__name__ == "Average"
    in_float = OUTPUT_ACTIVATIONS + (MEAN if averages else [])
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=in_float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says of its own interpreter that it will be gone one day
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
        return bytes(debugger.get_nondebug_quantized_model())
