"""Models as third parties make them ("strangers"), with their makers' own evaluation.

`MAKERS` holds those that `digitbench import` should read; `REFUSED` those that it should refuse, each with a word that
the refusal should hold. All have the accuracy of one network: see `contract.strangers.network`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contract.strangers import by_keras, by_onnx, by_openvino, by_tensorflow, refused
from contract.strangers.running import run
from contract.strangers.spec import NO_BATCH, Spec

from digitbench import data
from digitbench.records.arrays import Labels

__all__ = ["MAKERS", "NO_BATCH", "REFUSED", "SPECS", "MadeModel"]


@dataclass(frozen=True)
class MadeModel:
    """A model that somebody made, and what they know of it.

    Attributes
    ----------
    path
        The file or folder.
    accuracy
        Share of the test images of ``digits`` that the maker's own code labels right.
    labels
        int64, (n,): what that code says.
    truth
        ``shape``
            Of one image.
        ``background``, ``foreground``
            The values of a pixel of pure background and of pure foreground, before any quantisation.
        ``fit``
            How 28 × 28 becomes 32 × 32: ``"pad"`` or ``"resize"``; else empty.
        ``batch``
            Images in every call; None for any number; `NO_BATCH` where there is no such axis.
        ``activation``
            ``"softmax"``, ``"sigmoid"`` or ``"logits"``; these may be log-probabilities: the softmax of them is the
            same as of logits.
        ``output``
            Name of the output that holds the scores, as the runtime gives it.
        ``dtype``
            Of the input, as the file declares it.
    """

    path: Path
    accuracy: float
    labels: Labels
    truth: Mapping[str, Any]


WRITERS: dict[str, Callable[[Spec, Path], Path]] = {
    "onnx": by_onnx.torch_like,
    "onnx-sklearn": by_onnx.sklearn_like,
    "onnx-conv": by_onnx.all_convolutions,
    "onnx-zoo": by_onnx.zoo_like,
    "onnx-quantised": by_onnx.quantised_by_onnxruntime,
    "tf2onnx": by_tensorflow.tf2onnx,
    "keras-onnx": by_keras.exported_onnx,
    "keras": by_keras.saved,
    "keras-cnn": by_keras.saved,
    "h5": by_keras.saved_h5,
    "keras-savedmodel": by_keras.exported,
    "tf-savedmodel": by_tensorflow.module,
    "keras2-savedmodel": by_tensorflow.keras2,
    "keras2-h5": by_tensorflow.keras2,
    **dict.fromkeys(by_keras.TFLITE, by_keras.converted),
    "tflite-function": by_tensorflow.lite_function,
    "openvino": by_openvino.saved,
    "openvino-fp16": by_openvino.saved,
}

SPECS = (
    # PyTorch's, scikit-learn's and the model zoo's ONNX
    Spec("onnx", "nchw", "mean-std", "logits", 1, opset=11),
    Spec("onnx", "nchw", "mean-std", "log_softmax", opset=17),
    Spec("onnx", "nchw", "0..255", "logits", 1, black=True),
    Spec("onnx", "nchw-rgb", "0..1", "logits", 32),
    Spec("onnx", "nchw-pad32", "-1..1", "logits", extra="features"),
    Spec("onnx", "nchw-resize32", "0..1", "softmax", black=True),
    Spec("onnx", "hw", "0..255", "softmax", dtype="uint8"),
    Spec("onnx", "hw", "0..255", "logits", dtype="int64", black=True),
    Spec("onnx", "nchw", "-0.5..0.5", "logits", dtype="float16", extra="uncertainty"),
    Spec("onnx-sklearn", "flat", "0..1", "softmax", extra="label"),
    Spec("onnx-sklearn", "flat", "own-mean-std", "sigmoid", dtype="float64", extra="label"),
    Spec("onnx-conv", "nchw", "0..1", "softmax", extra="(10,1,1)"),
    Spec("onnx-zoo", "nchw", "0..255", "logits", 1, opset=8),
    Spec("onnx-quantised", "nchw", "mean-std", "logits", black=True),
    # tf2onnx, by itself and within Keras
    Spec("tf2onnx", "nhwc", "0..1", "logits", 1, black=True, opset=11),
    Spec("tf2onnx", "hw", "0..255", "softmax", dtype="int32"),
    Spec("tf2onnx", "nhwc", "-0.5..0.5", "softmax", 32, extra="(1,1,10)", opset=17),
    Spec("tf2onnx", "hw", "0..1", "softmax", NO_BATCH),
    Spec("tf2onnx", "nhwc-rgb", "mean-std", "sigmoid", black=True, extra="features"),
    Spec("keras-onnx", "nhwc", "0..255", "softmax", opset=15),
    Spec("keras-onnx", "nhwc-rgb", "-1..1", "logits", 1),
    Spec("keras-onnx", "hw", "own-mean-std", "sigmoid"),
    # Keras
    Spec("keras", "nhwc", "0..1", "softmax"),
    Spec("keras", "flat", "-1..1", "logits", extra="loss"),
    Spec("keras", "nhwc-resize32", "0..1", "sigmoid", black=True),
    Spec("keras", "hw", "mean-std", "softmax", extra="uncertainty"),
    Spec("keras", "nhwc-rgb", "0..255", "softmax", 32, dtype="uint8"),
    Spec("keras", "nhwc-pad32", "own-mean-std", "log_softmax", extra="(1,1,10)"),
    Spec("keras-cnn", "nhwc", "0..1", "logits"),
    Spec("h5", "flat", "0..255", "softmax", black=True),
    Spec("h5", "hw", "mean-std", "logits", 1),
    Spec("h5", "nhwc-pad32", "0..1", "log_softmax", extra="loss"),
    Spec("h5", "nhwc", "-0.5..0.5", "sigmoid", black=True, extra="features"),
    Spec("keras2-h5", "hw", "0..255", "softmax"),
    # SavedModel
    Spec("keras-savedmodel", "nhwc", "own-mean-std", "logits"),
    Spec("keras-savedmodel", "nhwc-rgb", "-1..1", "softmax", black=True),
    Spec("keras-savedmodel", "hw", "0..1", "sigmoid", extra="features"),
    Spec("tf-savedmodel", "hw", "0..255", "softmax", dtype="uint8", extra="label"),
    Spec("tf-savedmodel", "flat", "-1..1", "log_softmax", 1, black=True),
    Spec("tf-savedmodel", "nhwc-pad32", "mean-std", "softmax", 32, dtype="float64"),
    Spec("keras-savedmodel", "nhwc-resize32", "0..255", "softmax", 1),
    Spec("tf-savedmodel", "nchw", "-0.5..0.5", "sigmoid", black=True, extra="(10,1,1)"),
    Spec("keras2-savedmodel", "hw", "0..1", "softmax", black=True),
    # TensorFlow Lite
    Spec("tflite", "nhwc", "0..1", "softmax"),
    Spec("tflite", "nhwc", "0..255", "softmax", dtype="uint8", black=True),
    Spec("tflite", "nhwc-resize32", "-1..1", "logits", 1),
    Spec("tflite-dynamic", "hw", "0..1", "softmax", black=True),
    Spec("tflite-float16", "nhwc", "mean-std", "logits", extra="features"),
    Spec("tflite-int8-inside", "nhwc", "0..255", "softmax"),
    Spec("tflite-int8", "nhwc", "0..1", "softmax"),
    Spec("tflite-int8", "nhwc-rgb", "mean-std", "logits", 32),
    Spec("tflite-uint8", "nhwc", "0..1", "softmax", 1, black=True),
    Spec("tflite-uint8", "hw", "-1..1", "sigmoid"),
    Spec("tflite-uint8-in", "flat", "0..255", "softmax"),
    Spec("tflite-function", "nhwc-pad32", "own-mean-std", "softmax", extra="(1,1,10)"),
    Spec("tflite-function", "nchw", "mean-std", "log_softmax", black=True, extra="label"),
    Spec("tflite-function", "hw", "-0.5..0.5", "logits", NO_BATCH),
    # OpenVINO's IR
    Spec("openvino", "nchw", "mean-std", "logits", extra="features"),
    Spec("openvino", "nhwc", "0..255", "softmax", 1, black=True),
    Spec("openvino", "hw", "0..1", "sigmoid", 32),
    Spec("openvino-fp16", "nchw", "-1..1", "softmax"),
    Spec("openvino-fp16", "nhwc", "0..1", "logits", black=True),
)


def _maker(spec: Spec) -> Callable[[Path], MadeModel]:
    def make(folder: Path) -> MadeModel:
        """Write the model below `folder` and evaluate it by its maker's own code."""
        test = data.load("digits").test
        path = WRITERS[spec.tool](spec, folder)
        answer = run(path, spec.prepared(test.pixels), spec.batch)
        truth = {
            "shape": spec.image_layout.shape,
            "background": spec.pixel_scale.background,
            "foreground": spec.pixel_scale.foreground,
            "fit": spec.image_layout.framing,
            "batch": spec.batch,
            "activation": "logits" if spec.activation == "log_softmax" else spec.activation,
            "output": answer.output,
            "dtype": answer.dtype,
        }
        return MadeModel(path, float(np.mean(answer.labels == test.labels)), answer.labels, truth)

    return make


MAKERS: dict[str, Callable[[Path], MadeModel]] = {spec.id: _maker(spec) for spec in SPECS}

REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = refused.REFUSED
