"""Batch normalisation folded into the layer before it, once for all formats: runtimes then see plain layers.

At inference it is a factor and a sum for each channel, which a dense layer or a convolution right before it can take
over: y = gamma (x K + b - mean) / sqrt(variance + epsilon) + beta (S. Ioffe and C. Szegedy, "Batch Normalization",
2015, section 3.1). Left as it is, it is a product and a sum more in every call of some runtimes, and OpenVINO can't
open what ONNX Runtime makes of it in int8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
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
    """Give the model with batch normalisation folded where that is right, and without dropout there.

    It is folded where it follows a dense layer or a convolution without an activation, whose channels are its axis,
    and which nothing else reads. For what is shared, and what is given back as it is, see `rebuilt`.
    """
    return rebuilt(model, _without_normalisation)


def _without_normalisation(model: Any) -> dict[int, Any]:
    replacements: dict[int, Any] = {}
    for host, norm in neighbours(model):
        if _can_fold(host, norm):
            replacements |= {id(host): _merged(host, norm), id(norm): None}
    unneeded = {id(layer): None for layer in model.layers if type(layer).__name__ in UNNEEDED}
    return replacements and unneeded | replacements


def rebuilt(model: Any, find: Callable[[Any], dict[int, Any]]) -> Any:
    """Give a model with some layers replaced, in the models within it too.

    Parameters
    ----------
    model
        A Keras model, built. It is left as it is; one that is neither Sequential nor Functional is given back.
    find
        Called with a Functional, says what replaces a layer, by its ``id``: another layer, or None for nothing.

    Returns
    -------
    Keras model
        A Functional, which shares all other layers; `model` itself where there is nothing to replace.
    """
    import keras

    class Nothing(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any, **_: Any) -> Any:  # a description may give it a mask, or say if it trains
            return x

    if type(model).__name__ not in ("Sequential", "Functional"):
        return model
    is_stack = type(model).__name__ == "Sequential"
    graph = keras.Model(model.inputs[0], model.outputs[0], name=model.name) if is_stack else model
    inner = {id(layer): twin for layer in graph.layers if (twin := rebuilt(layer, find)) is not layer}
    replacements = {key: layer or Nothing() for key, layer in (inner | find(graph)).items()}
    if not replacements:
        return model
    return keras.models.clone_model(graph, clone_function=lambda layer: replacements.get(id(layer), layer))


def neighbours(model: Any) -> list[tuple[Any, Any]]:
    """Give two layers of a Functional wherever the second takes what the first gives, and nothing else does."""
    calls = [
        (node.operation, [tensor._keras_history.operation for tensor in node.arguments.keras_tensors])
        for nodes in model._nodes_by_depth.values()
        for node in nodes
    ]
    called = Counter(layer for layer, _ in calls)
    read = Counter(source for _, sources in calls for source in sources)
    read.update(tensor._keras_history.operation for tensor in model.outputs)
    return [
        (sources[0], layer)
        for layer, sources in calls
        if len(sources) == 1 and called[layer] == called[sources[0]] == read[sources[0]] == 1
    ]


def largest_difference(model: Any, twin: Any, images: npt.NDArray[Any], model_io: ModelIO) -> float:
    """Give the largest difference of a score between two models, as a share of the largest score where that is above 1.

    Parameters
    ----------
    images
        float32, (n, *image_shape), of which the first `COMPARED` are scored.
    model_io
        How the models take them.
    """
    step = model_io.batch or AT_ONCE
    inputs = model_io.encode(images[:COMPARED])
    filled = np.resize(inputs, (-(-len(inputs) // step) * step, *inputs.shape[1:]))  # with the first images again
    scores, twin_scores = (
        np.concatenate([np.asarray(network(batch, training=False)) for batch in np.split(filled, len(filled) // step)])
        for network in (model, twin)
    )
    return float(np.abs(scores - twin_scores).max() / max(1.0, np.abs(scores).max()))


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
