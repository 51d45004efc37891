"""A Keras model that somebody else made, brought into the form in which the exporters and a bundle want it."""

from __future__ import annotations

import warnings
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from digitbench.export.keras_runtime import import_keras
from digitbench.model_files.number_types import CALL, FLOATS, NumberTypes
from digitbench.plugins.model_io import ModelIO
from digitbench.system import trusted_files
from digitbench.system.progress import Progress

FILE = "model.keras"


def write(source: Path, model_io: ModelIO, target: Path, progress: Progress) -> int | None:
    """Write a model as a ``.keras`` file with the one output that is used and a free batch size, if it can be had.

    Parameters
    ----------
    source
        A ``.keras`` or ``.h5`` file, opened before.
    form
        Its form there.
    target
        Where to write it; trusted if the source is.

    Returns
    -------
    int or None
        The batch size that stays fixed, if one does.
    """
    keras, model = _opened(source, progress)
    if len(model.outputs) > 1:
        names = list(getattr(model, "output_names", None) or [])
        names = names if len(set(names)) == len(model.outputs) else [f"output_{i}" for i in range(len(model.outputs))]
        model = keras.Model(model.inputs[0], model.outputs[names.index(model_io.output.name)])
    freed = model if model_io.batch is None else _freed(keras, model)
    (freed or model).save(target)
    if trusted_files.holds(source):
        trusted_files.remember(target)
    return None if freed is not None else model_io.batch


def kinds(source: Path, progress: Progress) -> NumberTypes:
    """Say what a Keras model's weights and activations are.

    Parameters
    ----------
    source
        A ``.keras`` or ``.h5`` file, opened before.
    """
    _, model = _opened(source, progress)
    found, computed = NumberTypes(), Counter[str]()
    for layer in model._flatten_layers(include_self=False):
        mode = getattr(layer, "quantization_mode", None)
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            kind = str(variable.dtype)
            if len(variable.shape) < 2:
                continue
            size = prod(variable.shape)
            if kind in FLOATS:
                computed[str(layer.compute_dtype)] += size
            elif mode not in (None, "int8"):  # 4 bits are packed, two in a byte
                kind = str(mode)
            found.weights[kind] += size
            if mode == "float8":
                found.weights[mode] += size
            elif kind not in FLOATS and getattr(layer, "inputs_quantizer", None):
                found.activations.add(CALL)
    usual = max(computed, key=computed.__getitem__, default="float32")
    found.computed = usual if usual in FLOATS and usual != "float32" else ""
    return found


def _opened(source: Path, progress: Progress) -> tuple[Any, Any]:
    """Give Keras, and the model in a file."""
    keras = import_keras(progress)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of how a stranger's model should have been written
        return keras, keras.models.load_model(source, compile=False, safe_mode=not trusted_files.holds(source))


def _freed(keras: Any, model: Any) -> Any:
    """Give the model with a free batch size; None where one of its layers holds on to the size."""
    given = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype, name="image")
    try:
        free = keras.models.clone_model(model, input_tensors=given)
    except (ValueError, TypeError):
        return None
    free.set_weights(model.get_weights())
    return free if free.output_shape[0] is None else None
