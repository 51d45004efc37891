"""The model with reshapes and crops as single operations.

Keras' own Flatten and Reshape ask for the batch size with three more operations, which TFLite then runs in every call:
0.3 of 4 µs.
"""

from __future__ import annotations

from typing import Any

from digitbench.export.folding import neighbours, rebuilt


def lean(model: Any) -> Any:
    """Give the model with every Flatten and Reshape as one reshape, and a crop right after a Reshape as one slice.

    For what is shared, and what is given back as it is, see `digitbench.export.folding.rebuilt`.
    """
    return rebuilt(model, _single_operations)


def _single_operations(model: Any) -> dict[int, Any]:
    replacements: dict[int, Any] = {}
    for layer in model.layers:
        class_name = type(layer).__name__
        if class_name == "Reshape" or (class_name == "Flatten" and layer.data_format == "channels_last"):
            replacements[id(layer)] = _reshape(layer)
    for first, second in neighbours(model):
        is_crop = type(second).__name__ == "Cropping2D" and second.data_format == "channels_last"
        if type(first).__name__ == "Reshape" and is_crop:
            replacements |= {id(first): None, id(second): _slice(first, second)}
    return replacements


def _reshape(layer: Any) -> Any:
    import keras

    class OneReshape(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            shape = layer.compute_output_shape(x.shape)[1:]
            return layer(x) if None in shape else keras.ops.reshape(x, (-1, *shape))

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
            cropped = x[:, top : top + height, left : left + width]
            return keras.ops.reshape(cropped, (-1, height, width, 1))

    return OneSlice(name=crop.name)
