"""Batch normalisation folded into the layer before it, once for all formats: runtimes then see plain layers.

At inference it is a factor and a sum for each channel, which a dense layer or a convolution right before it can take
over: y = gamma (x K + b - mean) / sqrt(variance + epsilon) + beta (S. Ioffe and C. Szegedy, "Batch Normalization",
2015, section 3.1). Left as it is, it is a product and a sum more in every call of some runtimes, and OpenVINO can't
open what ONNX Runtime makes of it in int8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.plugins.model_io import ModelIO

TOLERANCE = 1e-5  # by how much a score may move, or by what share of the largest where that is above 1
COMPARED = 1000  # test images
AT_ONCE = 250  # of them in a call
HOSTS = ("Dense", "Conv1D", "Conv2D", "Conv3D")  # channels are the last axis of their kernels
UNNEEDED = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout")
Double = npt.NDArray[np.float64]


def folded(model: Any) -> Any:
    """Give the model with batch normalisation folded where that is right, and without dropout.

    It is folded where it follows a dense layer or a convolution without an activation, whose channels are its axis,
    and which nothing else reads. Models within the model are folded too. All other layers are shared with `model`.

    Parameters
    ----------
    model
        A Keras model, built. It is left as it is; one that is neither Sequential nor Functional is given back.

    Returns
    -------
    Keras model
        `model` itself where there is nothing to fold.
    """
    replacements = _without_normalisation(model)
    if not replacements:
        return model
    removed = {id(layer): None for layer in model.layers if type(layer).__name__ in UNNEEDED}
    return rebuilt(model, removed | replacements)


def _without_normalisation(model: Any) -> dict[int, Any]:
    """Give what replaces each changed layer, by its ``id``: another layer, or None for nothing."""
    replacements: dict[int, Any] = {}
    for host, norm in _neighbours(model):
        if _can_fold(host, norm):
            replacements |= {id(host): _merged(host, norm), id(norm): None}
    for layer in model.layers if type(model).__name__ in ("Sequential", "Functional") else []:
        inner = folded(layer) if type(layer).__name__ in ("Sequential", "Functional") else layer
        if inner is not layer:
            replacements[id(layer)] = inner
    return replacements


def rebuilt(model: Any, replaced: Mapping[int, Any]) -> Any:
    """Give a Sequential or Functional of the same structure with some layers replaced, and the others shared.

    Parameters
    ----------
    model
        Left as it is.
    replaced
        Another layer, or None for nothing, by the old layer's ``id``.

    Returns
    -------
    Keras model
        Called once, as Keras' ONNX exporter wants it.
    """
    import keras

    if type(model).__name__ == "Sequential":
        model_input = model.inputs[0]
        stack = [replaced.get(id(layer), layer) for layer in model.layers]
        image = keras.Input(batch_shape=model_input.shape, dtype=model_input.dtype, name=model_input.name)
        twin = keras.Sequential([image, *(layer for layer in stack if layer is not None)], name=model.name)
    else:

        class Nothing(keras.layers.Layer):  # type: ignore[misc]
            def call(self, x: Any, **_: Any) -> Any:  # a description may give it a mask, or say if it trains
                return x

        nothing = {key: layer or Nothing() for key, layer in replaced.items()}
        twin = keras.models.clone_model(model, clone_function=lambda layer: nothing.get(id(layer), layer))
    called_once(twin)
    return twin


def called_once(model: Any) -> None:
    """Call a model on zeros: Keras' ONNX exporter wants one that was called."""
    import keras

    zeros = [keras.ops.zeros([size or 1 for size in tensor.shape], tensor.dtype) for tensor in model.inputs]
    model(zeros[0] if len(zeros) == 1 else zeros)


def largest_difference(model: Any, twin: Any, images: npt.NDArray[Any], model_io: ModelIO) -> float:
    """Give the largest difference of a score between two models, as a share of the largest score where that is above 1.

    Parameters
    ----------
    images
        float32, (n, 28, 28), of which the first `COMPARED` are scored.
    model_io
        How the models take them.
    """
    step = model_io.batch or AT_ONCE
    inputs = model_io.encode(images[:COMPARED])
    count = -(-len(inputs) // step) * step if model_io.batch else len(inputs)
    inputs = np.resize(inputs, (count, *inputs.shape[1:]))  # a fixed batch is filled up with the first images again
    largest, difference = 1.0, 0.0
    for start in range(0, count, step):
        scores, twin_scores = (
            np.asarray(network(inputs[start : start + step], training=False)) for network in (model, twin)
        )
        largest = max(largest, float(np.abs(scores).max()))
        difference = max(difference, float(np.abs(scores - twin_scores).max()))
    return difference / largest


def _neighbours(model: Any) -> Iterator[tuple[Any, Any]]:
    """Give two layers wherever the second takes what the first gives, and nothing else does."""
    class_name = type(model).__name__
    if class_name == "Sequential":
        yield from pairwise(model.layers)
    if class_name != "Functional":
        return
    config = model.get_config()
    inbound = {
        entry["name"]: [list(_inbound_names(node)) for node in entry["inbound_nodes"]] for entry in config["layers"]
    }
    names_read = [name for calls in inbound.values() for call in calls for name in call]
    names_read += [layer_name for layer_name in _flattened(config["output_layers"]) if isinstance(layer_name, str)]
    for name, calls in inbound.items():
        is_single_call = len(calls) == 1 and len(calls[0]) == 1  # it is called once, on one thing
        if is_single_call and names_read.count(calls[0][0]) == 1 and len(inbound[calls[0][0]]) == 1:
            yield model.get_layer(calls[0][0]), model.get_layer(name)


def _inbound_names(node: Any) -> Iterator[str]:
    """Name the layers whose outputs a call in a Functional's description takes."""
    if isinstance(node, Mapping):
        if "keras_history" in node:
            yield str(node["keras_history"][0])
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for part in node:
            yield from _inbound_names(part)


def _flattened(value: Any) -> Iterator[Any]:
    for part in value:
        if isinstance(part, (list, tuple)):
            yield from _flattened(part)
        else:
            yield part


def _can_fold(host: Any, norm: Any) -> bool:
    """Can `host` take over what `norm` does: by class and not by a subclass, which may do anything."""
    import keras

    if type(norm) is not keras.layers.BatchNormalization or type(host) not in [
        getattr(keras.layers, name) for name in HOSTS
    ]:
        return False
    is_float32 = {host.compute_dtype, host.variable_dtype, norm.compute_dtype, norm.variable_dtype} == {"float32"}
    on_last_axis = isinstance(norm.axis, int) and norm.axis % norm.input_spec.ndim == norm.input_spec.ndim - 1
    has_no_activation = host.activation is keras.activations.linear and not getattr(host, "lora_enabled", False)
    return (
        is_float32
        and on_last_axis
        and has_no_activation
        and getattr(host, "data_format", "channels_last") == "channels_last"
    )


def _merged(host: Any, norm: Any) -> Any:
    """Give a layer of the host's kind that does what both do; its weights are computed in double precision."""
    kernel, *rest = (np.asarray(array, np.float64) for array in host.get_weights())
    values = iter([np.asarray(array, np.float64) for array in norm.get_weights()])
    gamma: Double = next(values) if norm.scale else np.ones(kernel.shape[-1])
    beta: Double = next(values) if norm.center else np.zeros(kernel.shape[-1])
    mean, variance = values
    scale = gamma / np.sqrt(variance + norm.epsilon)
    bias = ((rest[0] if rest else 0.0) - mean) * scale + beta
    config = {key: _without_training_settings(key, value) for key, value in host.get_config().items()}
    merged = type(host).from_config(config | {"use_bias": True})
    merged.build((*[None] * (kernel.ndim - 1), kernel.shape[-2] * getattr(host, "groups", 1)))
    merged.set_weights([(kernel * scale).astype(np.float32), bias.astype(np.float32)])
    return merged


def _without_training_settings(key: str, value: Any) -> Any:
    """Leave out what only training needs: it may be a class that the user wrote."""
    if key.endswith("_initializer"):
        return "zeros"
    return None if key.endswith(("_regularizer", "_constraint")) else value
