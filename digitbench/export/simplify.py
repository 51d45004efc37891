"""The model with reshapes and crops as single operations.

Keras' own Flatten and Reshape ask for the batch size with three more operations, which TFLite then runs in every call:
0.3 of 4 µs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from digitbench.export.folding import rebuilt


def lean(model: Any) -> Any:
    """Give the model with every Flatten and Reshape as one reshape, and a crop right after a Reshape as one slice.

    Models within the model are made so too. All other layers are shared with `model`, which is left as it is; one
    that is neither Sequential nor Functional is given back.
    """
    kind = type(model).__name__
    if kind not in ("Sequential", "Functional"):
        return model
    found: dict[int, Any] = {}
    for layer in model.layers:
        name = type(layer).__name__
        if name == "Reshape" or (name == "Flatten" and layer.data_format == "channels_last"):
            found[id(layer)] = _reshape(layer)
        elif name in ("Sequential", "Functional") and (inner := lean(layer)) is not layer:
            found[id(layer)] = inner
    for one, other in pairwise(model.layers) if kind == "Sequential" else ():
        crops = type(other).__name__ == "Cropping2D" and other.data_format == "channels_last"
        if type(one).__name__ == "Reshape" and crops:
            found |= {id(one): None, id(other): _slice(one, other)}
    return rebuilt(model, found) if found else model


def _reshape(layer: Any) -> Any:
    import keras

    class OneReshape(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            after = layer.compute_output_shape(x.shape)[1:]
            return layer(x) if None in after else keras.ops.reshape(x, (-1, *after))

    return OneReshape(name=layer.name)


def _slice(reshape: Any, crop: Any) -> Any:
    """Crop an image (height, width) before it becomes one of a single channel, if that is what the reshape does."""
    import keras

    (top, bottom), (left, right) = crop.cropping

    class OneSlice(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            if (*x.shape[1:], 1) != tuple(reshape.compute_output_shape(x.shape)[1:]):
                return crop(reshape(x))
            height, width = x.shape[1] - top - bottom, x.shape[2] - left - right
            kept = x[:, top : top + height, left : left + width]
            return keras.ops.reshape(kept, (-1, height, width, 1))

    return OneSlice(name=crop.name)
