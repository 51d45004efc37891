"""What layers a bundle's model has, read from its files without TensorFlow and without any runtime."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from digitbench.bundle import Artifact, Bundle
from digitbench.errors import BundleError, one_line

MOST_BYTES = 20_000_000  # of a model's description: what is larger is no classifier of digits

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    name, kind
        ``"dense_1"``, ``"Dense"``.
    takes, gives
        Shapes of one image's values on their way in and out, without the batch axis; None where the file doesn't say.
    activation
        Empty where there is none.
    parameters
        Weights that it holds, those that training doesn't change included; None where its kind isn't known here.
    """

    name: str
    kind: str
    takes: Shape | None = None
    gives: Shape | None = None
    activation: str = ""
    parameters: int | None = None


def layers_of(bundle: Bundle) -> tuple[Layer, ...]:
    """Read the layers of a bundle's model: from its Keras file, else from its plain weights.

    The plain weights are those of dense layers alone: what changes nothing at inference is not in them.

    Raises
    ------
    BundleError
        It holds neither, or what it holds can't be read.
    """
    readers: dict[str, Callable[[Path], tuple[Layer, ...]]] = {".keras": of_keras, ".npz": of_weights}
    faults = []
    for suffix, read in readers.items():
        for artifact in bundle.artifacts:
            if artifact.path.endswith(suffix):
                try:
                    return read(bundle.path / artifact.path)
                except BundleError as exc:
                    faults.append(str(exc))
    raise BundleError("; ".join(faults) or _no_layers_message(bundle.artifacts))


def _no_layers_message(artifacts: Sequence[Artifact]) -> str:
    contents = ", ".join(f"{artifact.format} ({artifact.bytes / 1000:,.0f} kB)" for artifact in artifacts)
    return f"it holds {contents or 'no artifact'}, which tells its layers to its runtime alone"


def total(layers: Sequence[Layer]) -> tuple[int, bool]:
    """Add up the parameters; also whether every layer's are known."""
    return sum(layer.parameters or 0 for layer in layers), all(layer.parameters is not None for layer in layers)


# --- plain weights --------------------------------------------------------------------------------------------------


def of_weights(path: Path) -> tuple[Layer, ...]:
    """Read the layers of an ``.npz`` that digitbench wrote.

    Raises
    ------
    BundleError
        It can't be read as one.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = [str(name) for name in stored["activations"]]
            kernels = [stored[f"kernel_{i}"] for i in range(len(names))]
            biases = [stored[f"bias_{i}"] for i in range(len(names))]
            window = [int(side) for side in stored["window"]] if "window" in stored else None
            cropped = () if window is None else (_cropping(*window),)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise BundleError(f"{path}: its weights can't be read: {one_line(exc)}") from exc
    return *cropped, *(
        Layer(f"dense_{i}", "Dense", kernel.shape[:1], kernel.shape[1:], name, kernel.size + bias.size)
        for i, (name, kernel, bias) in enumerate(zip(names, kernels, biases, strict=True))
    )


def _cropping(top: int, bottom: int, left: int, right: int) -> Layer:
    """What the file calls its window: rows and columns of the image that the first layer takes."""
    return Layer("cropping", "Cropping2D", None, (bottom - top, right - left), "", 0)


# --- Keras ----------------------------------------------------------------------------------------------------------


def of_keras(path: Path) -> tuple[Layer, ...]:
    """Read the layers of a Keras 3 file: the ``config.json`` in its archive; a nested model's layers come in its place.

    Raises
    ------
    BundleError
        It can't be read, or is described in another way.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as stream:
            text = stream.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f"its config.json is larger than {MOST_BYTES / 1e6:.0f} MB")
        return tuple(_layers_in(json.loads(text)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile) as exc:
        raise BundleError(f"{path}: its layers can't be read: {one_line(exc)}") from exc


def _layers_in(model: Mapping[str, Any], prefix: str = "") -> Iterator[Layer]:
    """Go through a Sequential's or a Functional's layers; in a Sequential each takes what the one before gives."""
    entries, is_sequential = model["config"]["layers"], model["class_name"] == "Sequential"
    current_shape: Shape | None = None
    for entry, following in zip(entries, [*entries[1:], None], strict=True):
        config, class_name = entry["config"], str(entry["class_name"])
        name, shape = f"{prefix}{config.get('name', class_name)}", _shape(entry) or current_shape
        if isinstance(config.get("layers"), list):
            yield from _layers_in(entry, f"{name}/")
            current_shape = None
            continue
        next_shape = _shape(following) if is_sequential and following else None
        gives = next_shape or _output_shape(class_name, config, shape)
        current_shape = gives if is_sequential else None
        if class_name != "InputLayer":
            count, activation = _parameters(class_name, config, shape), _activation(config)
            yield Layer(name, class_name, shape and shape[1:], gives and gives[1:], activation, count)


def _output_shape(class_name: str, config: Mapping[str, Any], shape: Shape | None) -> Shape | None:
    """What a layer gives, where that follows from what it takes; else None."""
    if shape is None or class_name in SAME_SHAPE:
        return shape
    if class_name == "Dense":
        return *shape[:-1], int(config["units"])
    if class_name == "Reshape" and -1 not in config["target_shape"]:
        return shape[0], *config["target_shape"]
    if class_name == "Flatten" and None not in shape[1:]:
        return shape[0], prod(size or 0 for size in shape[1:])
    if class_name not in ("Conv2D", "MaxPooling2D", "AveragePooling2D", "Cropping2D") or _channels_first(config):
        return None
    if class_name == "Cropping2D":
        cropped = [sum(ends) for ends in config["cropping"]]
        return shape[0], *(size and size - ends for size, ends in zip(shape[1:3], cropped, strict=True)), shape[3]
    sides = tuple(_window_count(config, axis, shape[1 + axis]) for axis in (0, 1))
    return shape[0], *sides, int(config["filters"]) if class_name == "Conv2D" else shape[3]


def _channels_first(config: Mapping[str, Any]) -> bool:
    return config.get("data_format") == "channels_first"


def _window_count(config: Mapping[str, Any], axis: int, size: int | None) -> int | None:
    """Positions that a window takes as it moves along an axis."""

    def setting(name: str, default: Any) -> int:
        value = config.get(name) or default
        return int(value[axis] if isinstance(value, list) else value)

    window = config.get("kernel_size") or config.get("pool_size")
    if size is None or not window:
        return None
    extent = (setting("kernel_size", window) - 1) * setting("dilation_rate", 1) + 1
    step = setting("strides", window if "pool_size" in config else 1)
    return -(-size // step) if config.get("padding") == "same" else (size - extent) // step + 1


def _shape(entry: Mapping[str, Any]) -> Shape | None:
    """What a layer was built for, with the batch axis; of several inputs none is given."""
    config, build_config = entry["config"], entry.get("build_config") or {}
    shape = build_config.get("input_shape") or config.get("batch_shape") or config.get("batch_input_shape")
    is_valid = isinstance(shape, list) and all(size is None or isinstance(size, int) for size in shape)
    return tuple(shape) if is_valid else None


def _activation(config: Mapping[str, Any]) -> str:
    activation = config.get("activation")
    if isinstance(activation, Mapping):  # one that was given as an object
        is_function = activation.get("class_name") == "function"
        activation = activation.get("config", {}).get("name") if is_function else activation["class_name"]
    return activation if isinstance(activation, str) else ""


SAME_SHAPE = (
    "Activation", "AlphaDropout", "BatchNormalization", "Dropout", "ELU", "GaussianDropout", "GaussianNoise",
    "InputLayer", "LayerNormalization", "LeakyReLU", "ReLU", "Rescaling", "Softmax",
)  # fmt: skip
NO_WEIGHTS = (
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "Concatenate", "Cropping", "Dot",
    "Dropout", "ELU", "Flatten", "GaussianDropout", "GaussianNoise", "Identity", "InputLayer", "LeakyReLU", "Maximum",
    "Minimum", "Multiply", "Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Resizing", "Softmax",
    "SpatialDropout", "Subtract", "UpSampling", "ZeroPadding",
)  # fmt: skip


def _parameters(class_name: str, config: Mapping[str, Any], shape: Shape | None) -> int | None:
    """Count a layer's weights, as the layers' documentation in Keras says what each holds."""
    base_class = class_name.rstrip("D").rstrip("123") if class_name.endswith("D") else class_name
    if base_class in NO_WEIGHTS or base_class.endswith("Pooling"):
        return 0
    if shape is None or base_class not in COUNTS:
        return None
    return int(COUNTS[base_class](config, shape))


def _channels(config: Mapping[str, Any], shape: Shape) -> int:
    return shape[1 if _channels_first(config) else -1] or 0


def _window(config: Mapping[str, Any]) -> int:
    size = config["kernel_size"]
    return prod(size) if isinstance(size, list) else int(size)


def _dense(config: Mapping[str, Any], shape: Shape) -> int:
    return ((shape[-1] or 0) + bool(config["use_bias"])) * int(config["units"])


def _convolution(config: Mapping[str, Any], shape: Shape) -> int:
    per_filter = _window(config) * _channels(config, shape) // int(config.get("groups", 1))
    return (per_filter + bool(config["use_bias"])) * int(config["filters"])


def _depthwise(config: Mapping[str, Any], shape: Shape) -> int:
    channels = _channels(config, shape) * int(config["depth_multiplier"])
    return (_window(config) + bool(config["use_bias"])) * channels


def _separable(config: Mapping[str, Any], shape: Shape) -> int:
    channels = _channels(config, shape) * int(config["depth_multiplier"])
    return _window(config) * channels + (channels + bool(config["use_bias"])) * int(config["filters"])


def _normalised_size(config: Mapping[str, Any], shape: Shape) -> int:
    axes = config["axis"] if isinstance(config["axis"], list) else [config["axis"]]
    return prod(shape[axis] or 0 for axis in axes)


def _batch_normalization(config: Mapping[str, Any], shape: Shape) -> int:
    return _normalised_size(config, shape) * (bool(config["scale"]) + bool(config["center"]) + 2)  # mean and variance


def _layer_normalization(config: Mapping[str, Any], shape: Shape) -> int:
    return _normalised_size(config, shape) * (bool(config["scale"]) + bool(config["center"]))


COUNTS: Mapping[str, Callable[[Mapping[str, Any], Shape], int]] = {
    "Dense": _dense, "Conv": _convolution, "DepthwiseConv": _depthwise, "SeparableConv": _separable,
    "BatchNormalization": _batch_normalization, "LayerNormalization": _layer_normalization,
}  # fmt: skip
