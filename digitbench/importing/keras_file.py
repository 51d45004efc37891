"""A Keras model that somebody else made, brought into the form that the exporters and a bundle need."""

from __future__ import annotations

import warnings
from math import prod
from pathlib import Path
from typing import Any

from digitbench.bundle import layers
from digitbench.export.keras_runtime import import_keras
from digitbench.model_files.number_types import CALL, FLOATS, NumberTypes
from digitbench.plugins.model_io import ModelIO
from digitbench.system import trusted_files
from digitbench.system.progress import Progress

FILE = "model.keras"


def write(source: Path, model_io: ModelIO, target: Path, progress: Progress) -> tuple[int | None, list[dict[str, Any]]]:
    """Write a model as a ``.keras`` file with the one output that is used and a free batch size, if it can be had.

    Parameters
    ----------
    source
        A ``.keras`` or ``.h5`` file, opened before.
    model_io
        What it takes and gives there.
    target
        Where to write it; trusted if the source is.

    Returns
    -------
    tuple
        The batch size that stays fixed, if one does, or None; and the layers, for the manifest.
    """
    keras, model = _load(source, progress)
    if len(model.outputs) > 1:
        names = list(getattr(model, "output_names", None) or [])
        names = names if len(set(names)) == len(model.outputs) else [f"output_{i}" for i in range(len(model.outputs))]
        model = keras.Model(model.inputs[0], model.outputs[names.index(model_io.output.name)])
    freed = model if model_io.batch is None else _with_free_batch(keras, model)
    (freed or model).save(target)
    if trusted_files.holds(source):
        trusted_files.remember(target)
    return None if freed is not None else model_io.batch, layers.to_json(freed or model)


def kinds(source: Path, progress: Progress) -> NumberTypes:
    """Say what a Keras model's weights and activations are.

    Parameters
    ----------
    source
        A ``.keras`` or ``.h5`` file, opened before.
    """
    _, model = _load(source, progress)
    seen = NumberTypes()
    for layer in model._flatten_layers(include_self=False):
        mode = getattr(layer, "quantization_mode", None)
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            number_type = str(variable.dtype)
            if len(variable.shape) < 2:
                continue
            size = prod(variable.shape)
            if number_type in FLOATS:
                seen.computed[str(layer.compute_dtype)] += size
            elif mode not in (None, "int8"):  # 4 bits are packed, two in a byte
                number_type = str(mode)
            seen.weights[number_type] += size
            if mode == "float8":
                seen.weights[mode] += size
            elif number_type not in FLOATS and getattr(layer, "inputs_quantizer", None):
                seen.activations.add(CALL)
    return seen


def _load(source: Path, progress: Progress) -> tuple[Any, Any]:
    """Give Keras, and the model in a file."""
    keras = import_keras(progress)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of how somebody else's model should have been written
        return keras, keras.models.load_model(source, compile=False, safe_mode=not trusted_files.holds(source))


def _with_free_batch(keras: Any, model: Any) -> Any:
    """Give the model with a free batch size; None where one of its layers holds on to the size."""
    image_input = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype, name="image")
    try:
        freed = keras.models.clone_model(model, input_tensors=image_input)
    except (ValueError, TypeError):
        return None
    freed.set_weights(model.get_weights())
    return freed if freed.output_shape[0] is None else None
