"""A Keras model that somebody else made, brought into the form that the exporters and a bundle need."""

from __future__ import annotations

import inspect
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from digitbench.backend import opening
from digitbench.bundle import layers
from digitbench.errors import ArtifactError, one_line
from digitbench.export.keras_runtime import import_keras
from digitbench.importing import keras2
from digitbench.model_files import keras_config
from digitbench.model_files.keras_config import Saved
from digitbench.model_files.number_types import CALL, FLOATS, NumberTypes
from digitbench.plugins.model_io import ModelIO
from digitbench.system import trusted_files
from digitbench.system.progress import Progress, Silent

FILE = "model.keras"
NOT_KNOWN = re.compile(r"(?:Could not locate (class|function)|Unknown (layer):?) '([^']*)'")
QUANTISED = ("QuantizeLayer", "QuantizeWrapper", "QuantizeWrapperV2")
WRAPPED = ("PruneLowMagnitude", "ClusterWeights")
"""Layers of tensorflow_model_optimization: quantised in training, and others that are taken off after it."""


def convert(source: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write what a file of Keras holds, whichever version wrote it, as the one file that all else opens.

    It has a free batch size, if that can be had, no optimizer, and no layers that act in training alone. Call it in the
    process that tries the model then: TensorFlow is to take one thread there.

    Parameters
    ----------
    source
        A ``.keras`` file or HDF5, whatever its name.
    folder
        Where to write it. It is trusted if the source is.

    Returns
    -------
    tuple
        The file, and what is known of the model: ``precision``, and ``layers`` for the manifest.

    Raises
    ------
    ArtifactError
        Keras can't open it; the message says what can be done where the model was made.
    """
    saved = _read(source)
    trusted = trusted_files.holds(source)
    with opening(source, "Keras"):
        keras = import_keras(Silent())
        _take_one_thread()
        model = _for_use(keras, _load(keras, saved, trusted))
        model.save(folder / FILE)
        facts = {"precision": _number_types(model).precision(), "layers": layers.to_json(model)}
    if trusted:
        trusted_files.remember(folder / FILE)
    return folder / FILE, facts


def write(converted: Path, model_io: ModelIO, target: Path, progress: Progress) -> list[dict[str, Any]]:
    """Write a model of several outputs with the one that is used; give its layers, for the manifest.

    Parameters
    ----------
    converted
        From `convert`, opened before.
    model_io
        What it takes and gives there.
    target
        Where to write it; trusted if the other is.
    """
    keras, trusted = import_keras(progress), trusted_files.holds(converted)
    model = keras.models.load_model(converted, compile=False, safe_mode=not trusted)
    names = list(getattr(model, "output_names", None) or [])
    names = names if len(set(names)) == len(model.outputs) else [f"output_{i}" for i in range(len(model.outputs))]
    model = keras.Model(model.inputs[0], model.outputs[names.index(model_io.output.name)])
    model.save(target)
    if trusted:
        trusted_files.remember(target)
    return layers.to_json(model)


def _take_one_thread() -> None:
    """Before TensorFlow computes anything, after which it takes no other number."""
    import tensorflow as tf

    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


# --- reading --------------------------------------------------------------------------------------------------------


def _read(source: Path) -> Saved:
    """Read what the file says of itself, and refuse what Keras can't make a model of: it takes seconds to start."""
    try:
        saved = keras_config.read(source)
    except ValueError as exc:
        raise ArtifactError(f"{source}: Keras can't open it: {one_line(exc)}; it is broken, save it again") from exc
    if not saved.config:
        raise ArtifactError(
            f"{source}: it holds no network, but weights alone (save_weights) or other data; build the network "
            "with the code that it was made by, load them, and import what model.save('model.keras') writes"
        )
    classes = {entry["class_name"] for entry in _entries(saved.config)}
    if quantised := sorted(classes & {*QUANTISED}):
        raise ArtifactError(
            f"{source}: it was quantised in training with {saved.writer} ({', '.join(quantised)} of "
            "tensorflow_model_optimization), which Keras 3 doesn't read; convert it there with "
            "tf.lite.TFLiteConverter.from_keras_model, and import the .tflite"
        )
    if wrapped := sorted(classes & {*WRAPPED}):
        raise ArtifactError(
            f"{source}: its layers are wrapped for training with {saved.writer} ({', '.join(wrapped)} of "
            "tensorflow_model_optimization); there call strip_pruning or strip_clustering, and save it again"
        )
    kind = saved.config.get("class_name", "")
    if kind not in keras2.MODELS:
        raise _unknown(saved, "class", kind)
    return saved


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Every description of an object in a configuration."""
    for value in config.values() if isinstance(config, dict) else config:
        if isinstance(value, dict | list):
            yield from _entries(value)
    if isinstance(config, dict) and isinstance(config.get("class_name"), str):
        yield config


def _unknown(saved: Saved, noun: str, name: str) -> ArtifactError:
    advice = "model.export('folder')" if not saved.by_keras2 else "model.save('folder', save_format='tf')"
    return ArtifactError(
        f"{saved.path}: the {noun} {name!r} is none of Keras 3's, and its code isn't in the file, which {saved.writer} "
        f"wrote; where the model was made, {advice} writes a SavedModel, which can be imported"
    )


def _load(keras: Any, saved: Saved, trusted: bool) -> Any:
    """Load a model as Keras does; one of Keras 2 that it refuses in Keras 3's words."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of how somebody else's model should have been written
        path = Path(folder) / ("model.h5" if saved.is_hdf5 else FILE)  # Keras goes by the name
        shutil.copy(saved.path, path)
        try:
            return keras.models.load_model(path, compile=False, safe_mode=not trusted)
        except Exception as exc:
            unknown = NOT_KNOWN.search(str(exc))
            if not saved.by_keras2:
                raise (_unknown(saved, unknown[1] or unknown[2], unknown[3]) if unknown else exc) from exc
            refusal = exc
    try:
        return keras2.load(keras, saved)
    except keras2.Unknown as exc:
        raise _unknown(saved, exc.noun, str(exc)) from refusal
    except Exception:  # noqa: BLE001 - what Keras itself said is nearer to the file
        raise refusal from None


def _number_types(model: Any) -> NumberTypes:
    """Say what a Keras model's weights and activations are."""
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


def _for_use(keras: Any, model: Any) -> Any:
    """Give the model without what acts in training alone, and with a free batch size, if no layer holds on to it.

    Keras' own exports let layers that change images at random act; and Resizing, whose default it is to be in training,
    passes that on to dropout and batch normalisation.
    """
    acts = any(map(_acts_by_default, model._flatten_layers(include_self=False)))
    is_fixed = model.inputs[0].shape[0] is not None
    freed = _cloned(keras, model, acts=acts, free=True) if is_fixed else None
    if freed is None and acts:
        freed = _cloned(keras, model, acts=True, free=False)
    return model if freed is None else freed


def _is_augmentation(layer: Any) -> bool:
    return type(layer).__name__.startswith("Random") and type(layer).__module__.startswith("keras.")


def _acts_by_default(layer: Any) -> bool:
    """Is it in training where nobody says if it is."""
    parameter = inspect.signature(type(layer).call).parameters.get("training")
    return _is_augmentation(layer) or (parameter is not None and parameter.default is True)


def _cloned(keras: Any, model: Any, *, acts: bool, free: bool) -> Any:
    """Copy a model, with every layer told that it isn't in training, where one `acts`; None where it can't be had."""

    def clone(layer: Any) -> Any:
        if _is_augmentation(layer):
            return keras.layers.Identity(name=layer.name)
        return type(layer).from_config(layer.get_config())

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        told = {"training": False} if getattr(layer, "_call_has_training_arg", False) else {}
        return layer(*arguments, **options, **{name: value for name, value in told.items() if name not in options})

    image, options = model.inputs[0], {}
    if free:
        options["input_tensors"] = keras.Input(image.shape[1:], dtype=image.dtype, name=image.name)
    try:
        graph = model
        if acts:
            options["call_function"] = call
            if type(model).__name__ == "Sequential":  # whose layers are listed, not called
                graph = keras.Model(image, model.outputs[0], name=model.name)
        cloned = keras.models.clone_model(graph, clone_function=clone, recursive=True, **options)
    except (ValueError, TypeError):
        return None
    cloned.set_weights(model.get_weights())
    return cloned if not free or cloned.outputs[0].shape[0] is None else None
