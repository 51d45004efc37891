"""Models that Keras 2 saved and Keras 3 doesn't read, built anew from what the file says: they compute the same.

Keras 3 refuses settings that its layers no longer have, and functions of TensorFlow that were called on tensors between
layers (``x / 255.0``). Such a function is replaced by the one of `keras.ops` that computes the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

from digitbench.model_files.keras_config import Saved

# What only counts while a model is trained: it may be of a class that nobody else has.
TRAINING = ("_initializer", "_regularizer", "_constraint")
# Settings that Keras 3's layers don't have, with the values that say what Keras 3 always does; None for any value.
NEUTRAL: Mapping[str, tuple[Any, ...] | None] = {
    "groups": (1,), "time_major": (False,), "implementation": None, "ragged": (False, None), "sparse": (False, None),
    "renorm": (False,), "virtual_batch_size": (None,), "fused": None, "noise_shape": (None,), "trainable": None,
    "rng_type": None, "softmax_robust_masking": (False,), "query_shape": None, "key_shape": None, "value_shape": None,
    "dtype": ("float32",),
}  # fmt: skip
MODELS = ("Functional", "Model", "Sequential")
OPERATIONS = ("TFOpLambda", "SlicingOpLambda")
# Functions of TensorFlow by their names in `keras.ops`: the same, or another; and how their options are called there.
SAME = {
    "math.divide", "math.multiply", "math.add", "__operators__.add", "math.subtract", "math.negative", "math.maximum",
    "math.minimum", "math.square", "math.sqrt", "math.tanh", "math.sigmoid", "cast", "expand_dims", "squeeze",
    "reshape", "transpose", "nn.relu", "nn.relu6", "nn.elu", "nn.leaky_relu", "nn.softmax", "nn.log_softmax",
}  # fmt: skip
RENAMED = {
    "math.truediv": "true_divide", "math.pow": "power", "math.abs": "absolute", "clip_by_value": "clip",
    "concat": "concatenate", "math.reduce_mean": "mean", "math.reduce_max": "max", "math.reduce_sum": "sum",
    "image.resize": "image.resize",
}  # fmt: skip
OPTIONS = {
    "y": "x2", "clip_value_min": "x_min", "clip_value_max": "x_max", "shape": "newshape", "perm": "axes",
    "alpha": "negative_slope", "method": "interpolation",
}  # fmt: skip
Key = tuple[str, int, int]


class Unknown(ValueError):
    """The file holds a layer, or a function, that isn't known here; the message is its name."""

    def __init__(self, name: str, noun: str = "layer") -> None:
        super().__init__(name)
        self.noun = noun


def load(keras: Any, saved: Saved) -> Any:
    """Build a model as the file says, and load all of its weights.

    Raises
    ------
    Unknown
        A layer or function isn't known here.
    ValueError, TypeError
        Keras refuses a setting, or the weights are not those of the layers.
    """
    model = _model(keras, saved.config)
    with TemporaryDirectory() as folder:
        if saved.is_hdf5:
            _check_names(keras, model, saved.path)
            path = Path(folder) / "model.h5"
            path.symlink_to(saved.path.resolve())
            model.load_weights(path, by_name=True)
        else:
            _check_order(model, saved.config)
            with ZipFile(saved.path) as archive:
                path = Path(archive.extract("model.weights.h5", folder))
            model.load_weights(path)
    return model


def _check_names(keras: Any, model: Any, source: Path) -> None:
    """Refuse weights that are not one for one those of the layers: Keras passes over layers of other names."""
    import h5py

    with h5py.File(source) as file:
        group = file["model_weights"]
        stored = {name for name in group if _has_weights(group[name])} - {"top_level_model_weights"}
    expected = {layer.name for layer in model.layers if layer.weights}
    if stored != expected:
        raise ValueError(f"its weights are of the layers {sorted(stored)}, not of {sorted(expected)}")


def _has_weights(group: Any) -> bool:
    return len(group.attrs.get("weight_names", ())) > 0 or "weight_names0" in group.attrs


def _check_order(model: Any, config: Mapping[str, Any]) -> None:
    """Refuse layers that come in another order than in the file: a ``.keras`` numbers its weights by that order."""
    built = [layer.name for layer in model.layers]
    stored = [layer["config"]["name"] for layer in config["config"]["layers"]]
    if built != [name for name in stored if name in built]:
        raise ValueError("its layers are in another order here; save it with model.save('model.h5')")


# --- layers ---------------------------------------------------------------------------------------------------------


def _model(keras: Any, config: Mapping[str, Any]) -> Any:
    if config["class_name"] == "Sequential":
        return _sequential(keras, config["config"])
    return _functional(keras, config["config"])


def _sequential(keras: Any, config: Any) -> Any:
    layers = config["layers"] if isinstance(config, dict) else config  # a list, from before Keras 2.2
    name = config.get("name") if isinstance(config, dict) else None
    shape = next((shape for layer in layers if (shape := _stated_shape(layer["config"]))), None)
    stack = [_layer(keras, layer) for layer in layers]
    if shape and layers[0]["class_name"] != "InputLayer":
        stack.insert(0, keras.Input(batch_shape=shape))
    return keras.Sequential(stack, name=name)


def _stated_shape(config: Mapping[str, Any]) -> Any:
    return config.get("batch_input_shape") or config.get("batch_shape")


def _functional(keras: Any, config: Mapping[str, Any]) -> Any:
    """Call every layer on what the file says, as soon as that is there."""
    tensors: dict[Key, Any] = {}
    waiting: list[tuple[str, int, Callable[..., Any], Any]] = []
    for entry in config["layers"]:
        name, nodes = entry["name"], entry["inbound_nodes"]
        if entry["class_name"] == "InputLayer":
            inner = entry["config"]
            tensors[name, 0, 0] = keras.Input(batch_shape=_stated_shape(inner), dtype=inner.get("dtype"), name=name)
            continue
        call = _operation(keras, entry) if entry["class_name"] in OPERATIONS else _layer(keras, entry)
        # A model has a call of its own, the first, which isn't written; one without an input has none yet.
        first = int(entry["class_name"] in MODELS and _has_input(entry))
        waiting += [(name, index, call, node) for index, node in enumerate(nodes, start=first)]
    while waiting:
        ready = [job for job in waiting if all(key in tensors for key in _keys(job[3]))]
        if not ready:
            raise ValueError(f"it doesn't say what the layer {waiting[0][0]!r} is called on")
        for name, index, call, node in ready:
            outputs = _call(call, node, tensors)
            for number, tensor in enumerate(keras.tree.flatten(outputs)):
                tensors[name, index, number] = tensor
        waiting = [job for job in waiting if job not in ready]
    inputs, outputs = ([tensors[key] for key in _leaves(config[end])] for end in ("input_layers", "output_layers"))
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0],
                       name=config.get("name"))  # fmt: skip


def _has_input(entry: Mapping[str, Any]) -> bool:
    config = entry["config"]
    layers = config["layers"] if isinstance(config, dict) else config
    return any(layer["class_name"] == "InputLayer" for layer in layers)


def _leaves(value: Any) -> Iterator[Key]:
    """Every reference to a tensor in lists and dictionaries: ``["dense", 0, 0]``."""
    if _is_reference(value):
        yield value[0], value[1], value[2]
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)


def _is_reference(value: Any) -> bool:
    """Is it a layer's name, its call's number and its output's, perhaps with what else that call is given."""
    if not isinstance(value, list | tuple) or len(value) not in (3, 4) or not isinstance(value[0], str):
        return False
    return all(isinstance(number, int) for number in value[1:3]) and value[0] != "_CONSTANT_VALUE"


def _keys(node: Any) -> list[Key]:
    keys = []
    for item in [node] if _is_call(node) else node:
        keys += [*_leaves([item[:3]]), *_leaves(item[3] if len(item) > 3 else {})]
    return keys


def _is_call(node: Any) -> bool:
    """Is it one tensor, and no list of them."""
    return bool(node) and isinstance(node[0], str)


def _call(call: Callable[..., Any], node: Any, tensors: Mapping[Key, Any]) -> Any:
    def given(value: Any) -> Any:
        if _is_reference(value):
            return tensors[value[0], value[1], value[2]]
        if isinstance(value, dict):
            return {name: given(item) for name, item in value.items()}
        return [given(item) for item in value] if isinstance(value, list) else value

    items = [node] if _is_call(node) else node
    # A constant is written as "_CONSTANT_VALUE", -1, the value; what else the call is given comes fourth.
    inputs = [item[2] if item[0] == "_CONSTANT_VALUE" else given(item[:3]) for item in items]
    options = given(items[0][3]) if len(items[0]) > 3 else {}
    return call(inputs[0] if len(inputs) == 1 else inputs, **options)


def _layer(keras: Any, entry: Mapping[str, Any]) -> Any:
    """Make one layer, or the model that stands for one."""
    if entry["class_name"] in MODELS:
        return _model(keras, entry)
    return keras.layers.deserialize(_modern(keras, entry))


def _modern(keras: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Put a layer's description, and those of layers within it, into Keras 3's form."""
    kind = entry["class_name"]
    layer_class = getattr(keras.layers, kind, None)
    if layer_class is None:
        raise Unknown(kind)
    known = _settings_of(layer_class)
    config = {}
    for name, value in entry["config"].items():
        if name.endswith(TRAINING) or (name == "batch_input_shape" and kind != "InputLayer"):
            continue
        if name not in known and ((values := NEUTRAL.get(name, ())) is None or value in values):
            continue
        config["batch_shape" if name == "batch_input_shape" else name] = _setting(keras, name, value)
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


def _setting(keras: Any, name: str, value: Any) -> Any:
    if name == "axis" and isinstance(value, list) and len(value) == 1:
        return value[0]
    if not (isinstance(value, dict) and "class_name" in value and "config" in value):
        return value
    if name == "dtype":  # a policy: mixed_float16
        return value["config"]["name"]
    return _modern(keras, value) if hasattr(keras.layers, value["class_name"]) else value


def _settings_of(layer_class: type) -> set[str]:
    """Name what a layer can be made with: also what it hands on to the class that it is made from."""
    names: set[str] = set()
    for base in layer_class.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            names |= parameters.keys()
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    return names


# --- functions of TensorFlow ----------------------------------------------------------------------------------------


def _operation(keras: Any, entry: Mapping[str, Any]) -> Callable[..., Any]:
    """Give what computes the same as a function of TensorFlow that was called on tensors between layers."""
    function = str(entry["config"].get("function", "__operators__.getitem")).removeprefix("compat.v1.")
    if function == "__operators__.getitem":
        compute: Callable[..., Any] = _sliced
    elif function in (*SAME, *RENAMED):
        compute = attrgetter(RENAMED.get(function) or function.rpartition(".")[2])(keras.ops)
    else:
        raise Unknown(f"tf.{function}", "function")

    def call(first: Any, **options: Any) -> Any:
        # TensorFlow's own defaults are written too, None where it has none, and a name of the operation.
        kept = {name: value for name, value in options.items() if name != "name" and value is not None}
        return compute(first, **{OPTIONS.get(name, name): kept[name] for name in kept})

    return call


def _sliced(tensor: Any, slice_spec: Any) -> Any:
    """``x[..., 0]``: each part is a number, a slice of three, an ellipsis, or a new axis."""

    def key(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        return Ellipsis if "class_name" in part else slice(part["start"], part["stop"], part["step"])

    parts = slice_spec if isinstance(slice_spec, list) else [slice_spec]
    return tensor[tuple(key(part) for part in parts)]
