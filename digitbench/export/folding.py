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
TRIED = 1000  # test images
TOGETHER = 250  # of them in a call
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
    found = _without_normalisation(model)
    if not found:
        return model
    dropped = {id(layer): None for layer in model.layers if type(layer).__name__ in UNNEEDED}
    return rebuilt(model, dropped | found)


def _without_normalisation(model: Any) -> dict[int, Any]:
    """Give what takes each changed layer's place, by its identity: another layer, or None for nothing."""
    found: dict[int, Any] = {}
    for host, norm in _neighbours(model):
        if _fits(host, norm):
            found |= {id(host): _joined(host, norm), id(norm): None}
    for layer in model.layers if type(model).__name__ in ("Sequential", "Functional") else []:
        inner = folded(layer) if type(layer).__name__ in ("Sequential", "Functional") else layer
        if inner is not layer:
            found[id(layer)] = inner
    return found


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
        given = model.inputs[0]
        stack = [replaced.get(id(layer), layer) for layer in model.layers]
        image = keras.Input(batch_shape=given.shape, dtype=given.dtype, name=given.name)
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

    zeros = [keras.ops.zeros([size or 1 for size in one.shape], one.dtype) for one in model.inputs]
    model(zeros[0] if len(zeros) == 1 else zeros)


def apart(model: Any, twin: Any, images: npt.NDArray[Any], model_io: ModelIO) -> float:
    """Give the largest difference of a score between two models, as a share of the largest score where that is above 1.

    Parameters
    ----------
    images
        float32, (n, 28, 28), of which the first `TRIED` are scored.
    form
        How the models take them.
    """
    step = model_io.batch or TOGETHER
    chosen = model_io.encode(images[:TRIED])
    count = -(-len(chosen) // step) * step if model_io.batch else len(chosen)
    chosen = np.resize(chosen, (count, *chosen.shape[1:]))  # a fixed batch is filled up with the first images again
    most, difference = 1.0, 0.0
    for start in range(0, count, step):
        one, other = (np.asarray(each(chosen[start : start + step], training=False)) for each in (model, twin))
        most = max(most, float(np.abs(one).max()))
        difference = max(difference, float(np.abs(one - other).max()))
    return difference / most


def _neighbours(model: Any) -> Iterator[tuple[Any, Any]]:
    """Give two layers wherever the second takes what the first gives, and nothing else does."""
    kind = type(model).__name__
    if kind == "Sequential":
        yield from pairwise(model.layers)
    if kind != "Functional":
        return
    config = model.get_config()
    givers = {entry["name"]: [list(_givers(node)) for node in entry["inbound_nodes"]] for entry in config["layers"]}
    read = [name for calls in givers.values() for call in calls for name in call]
    read += [part for part in _flat(config["output_layers"]) if isinstance(part, str)]
    for name, calls in givers.items():
        once = len(calls) == 1 and len(calls[0]) == 1  # it is called once, on one thing
        if once and read.count(calls[0][0]) == 1 and len(givers[calls[0][0]]) == 1:
            yield model.get_layer(calls[0][0]), model.get_layer(name)


def _givers(node: Any) -> Iterator[str]:
    """Name the layers whose outputs a call in a Functional's description takes."""
    if isinstance(node, Mapping):
        if "keras_history" in node:
            yield str(node["keras_history"][0])
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for part in node:
            yield from _givers(part)


def _flat(value: Any) -> Iterator[Any]:
    for part in value:
        if isinstance(part, (list, tuple)):
            yield from _flat(part)
        else:
            yield part


def _fits(host: Any, norm: Any) -> bool:
    """Can `host` take over what `norm` does: by class and not by kin, since an heir may do anything."""
    import keras

    if type(norm) is not keras.layers.BatchNormalization or type(host) not in [
        getattr(keras.layers, name) for name in HOSTS
    ]:
        return False
    plain = {host.compute_dtype, host.variable_dtype, norm.compute_dtype, norm.variable_dtype} == {"float32"}
    last = isinstance(norm.axis, int) and norm.axis % norm.input_spec.ndim == norm.input_spec.ndim - 1
    bare = host.activation is keras.activations.linear and not getattr(host, "lora_enabled", False)
    return plain and last and bare and getattr(host, "data_format", "channels_last") == "channels_last"


def _joined(host: Any, norm: Any) -> Any:
    """Give a layer of the host's kind that does what both do; its weights are computed in double precision."""
    kernel, *rest = (np.asarray(array, np.float64) for array in host.get_weights())
    values = iter([np.asarray(array, np.float64) for array in norm.get_weights()])
    gamma: Double = next(values) if norm.scale else np.ones(kernel.shape[-1])
    beta: Double = next(values) if norm.center else np.zeros(kernel.shape[-1])
    mean, variance = values
    scale = gamma / np.sqrt(variance + norm.epsilon)
    bias = ((rest[0] if rest else 0.0) - mean) * scale + beta
    config = {key: _neutral(key, value) for key, value in host.get_config().items()}
    joined = type(host).from_config(config | {"use_bias": True})
    joined.build((*[None] * (kernel.ndim - 1), kernel.shape[-2] * getattr(host, "groups", 1)))
    joined.set_weights([(kernel * scale).astype(np.float32), bias.astype(np.float32)])
    return joined


def _neutral(key: str, value: Any) -> Any:
    """What only training asks for may be of somebody's own making, and is left out."""
    if key.endswith("_initializer"):
        return "zeros"
    return None if key.endswith(("_regularizer", "_constraint")) else value
