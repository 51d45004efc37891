"""Models of small colour pictures as third parties make them, and what their makers' own code says of the pictures.

The pictures are drawn: each class is a faint pattern of few waves, among others that are random. The best classifier
of such pictures is linear, and known without training: so each model is as sure of what it says as it is right.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from contract.strangers.spec import quantised
from PIL import Image

from digitbench.data import Dataset, Split
from digitbench.records.arrays import Pixels
from digitbench.records.task import Task, numbered
from digitbench.system.native_output import calm_tensorflow

Array = Any
WORDS = ("apple", "bird", "Car", "dog", "egg", "fox", "goat", "hat", "ink", "jam", "kite", "leaf")
WAVES = 6
LEVEL_SPREAD, NOISE = 40.0, 4.0
DISTANCE = 5.0
"""Of two classes, in deviations of what is random in pictures of one."""
IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Made:
    """A model of pictures.

    Attributes
    ----------
    tool
        A key of `WRITERS`.
    size, classes, colour
        Of the pictures of the data.
    names
        ``"words"``, ``"numbers"``, or ``"text"`` for numbers in the order of texts: 0, 1, 10, 11, 2 ….
    layout
        ``"nhwc"``, ``"nchw"``, ``"hw"`` or ``"flat"``.
    takes
        ``"rgb"``, ``"bgr"`` or ``"grey"``.
    scale
        ``"0..1"``, ``"0..255"``, ``"-1..1"``, ``"int8"``, ``"imagenet"``, ``"channels"``, ``"data"`` or ``"standard"``.
    side, fit
        Height and width that the model takes, and how pictures get them.
    order
        Of classes: ``"same"``, ``"text"``, ``"natural"``, ``"first unused"``, ``"last unused"``, ``"reversed"``,
        ``"rolled"``; ``"file"`` and ``"inside"`` are any other, with the names in a file or in the model.
    output
        ``"softmax"``, ``"log_softmax"``, ``"logits"``, ``"sigmoid"``; of two classes ``"single"``, ``"single logit"``.
    batch, dtype, extra
        Images in each call, or None; of the input; ``"features"`` is a second output.
    transposed, inverted
        Rows and columns exchanged; dark and light exchanged.
    """

    tool: str = "onnx"
    size: tuple[int, int] = (16, 16)
    classes: int = 5
    colour: bool = True
    names: str = "words"
    layout: str = "nhwc"
    takes: str = "rgb"
    scale: str = "0..1"
    side: tuple[int, int] = (0, 0)
    fit: str = ""
    order: str = "same"
    output: str = "softmax"
    batch: int | None = None
    dtype: str = "float32"
    extra: str = ""
    transposed: bool = False
    inverted: bool = False

    @property
    def id(self) -> str:
        """What differs from the usual."""
        usual = Made()
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "tool"}
        parts = [f"{name} {value}" for name, value in values.items() if value != getattr(usual, name)]
        return ", ".join([self.tool, *parts])

    @property
    def model_size(self) -> tuple[int, int]:
        """Height and width of what the model takes."""
        return self.side if self.fit else self.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image as the model takes it."""
        size, channels = self.model_size, 1 if self.takes == "grey" or not self.colour else 3
        return {
            "hw": size, "flat": (prod(size) * channels,), "nhwc": (*size, channels), "nchw": (channels, *size),
        }[self.layout]  # fmt: skip

    @property
    def output_names(self) -> list[str]:
        """Of the model's outputs, in their order."""
        names = list(task_of(self).class_names)
        return {
            "text": sorted(names), "natural": sorted(names, key=lambda name: name.zfill(9)), "reversed": names[::-1],
            "first unused": ["background", *names], "last unused": [*names, "unused"], "rolled": [*names[1:], names[0]],
            "file": sorted(names, key=lambda name: name[::-1]), "inside": sorted(names, key=lambda name: name[1:]),
        }.get(self.order, names)  # fmt: skip


def task_of(made: Made) -> Task:
    """What the pictures show."""
    names = {"words": WORDS[: made.classes], "numbers": numbered(made.classes)}
    shape = (*made.size, 3) if made.colour else made.size
    return Task(shape, names.get(made.names, tuple(sorted(numbered(made.classes)))), names_from="names of folders")


@cache
def _waves(size: tuple[int, int]) -> Array:
    """An orthonormal basis of patterns of few waves: (pixels, patterns)."""
    lines = []
    for side in size:
        positions = (np.arange(side) + 0.5) / side
        lines.append(np.linalg.qr(np.cos(np.pi * np.outer(positions, np.arange(WAVES))))[0])
    return np.einsum("ia,jb->ijab", *lines).reshape(prod(size), -1)


@cache
def data_of(size: tuple[int, int], classes: int, colour: bool) -> tuple[Split, Split]:
    """Training and test pictures."""
    draw = np.random.default_rng([*size, classes, colour])
    channels, basis = 3 if colour else 1, _waves(size)
    spread = LEVEL_SPREAD * (prod(size) / basis.shape[1]) ** 0.5
    weights = draw.normal(0, 1, (classes, basis.shape[1], channels))
    weights *= spread * DISTANCE / 2**0.5 / np.linalg.norm(weights, axis=(1, 2), keepdims=True)
    level = np.array([165.0, 110.0, 80.0])[:channels]

    def drawn(count: int) -> Split:
        labels = draw.permutation(np.arange(count) % classes)
        waves = weights[labels] + draw.normal(0, spread, (count, *weights.shape[1:]))
        pixels = (basis @ waves).reshape(count, *size, channels) + level
        pixels = np.clip(np.rint(pixels + draw.normal(0, NOISE, pixels.shape)), 0, 255).astype(np.uint8)
        return Split(pixels if colour else pixels[..., 0], labels.astype(np.int64))

    return drawn(3000), drawn(200)


def dataset_of(made: Made) -> Dataset:
    """The data that a model is imported with."""
    train, test = data_of(made.size, made.classes, made.colour)
    return Dataset("pictures", "0" * 16, "drawn", train, test, task=task_of(made))


# --- what their makers do -------------------------------------------------------------------------------------------


def prepared(made: Made, pixels: Pixels) -> Array:
    """What the maker's own code makes of pictures, but for quantisation: (n, *shape of one)."""
    values = pixels.astype(np.float64) / 255
    if made.transposed:
        values = values.swapaxes(1, 2)
    values = values if made.colour else values[..., None]
    if made.takes == "grey" and made.colour:
        values = values @ np.array([[0.299], [0.587], [0.114]])
    if made.fit:
        values = FITS[made.fit](values, made.side)
    if made.inverted:
        values = 1 - values
    values = SCALES[made.scale](values, data_of(made.size, made.classes, made.colour)[0].pixels / 255)
    if made.takes == "bgr":
        values = values[..., ::-1]
    if made.layout == "nchw":
        values = np.moveaxis(values, -1, 1)
    return values.reshape(len(pixels), *made.shape).astype(made.dtype)


def _pil(values: Array, side: tuple[int, int]) -> Array:
    planes = np.moveaxis(values, -1, 1).astype(np.float32)
    resized = [
        [np.asarray(Image.fromarray(plane, "F").resize(side[::-1], Image.Resampling.BILINEAR)) for plane in image]
        for image in planes
    ]
    return np.moveaxis(np.array(resized), 1, -1)


def _crop(values: Array, side: tuple[int, int]) -> Array:
    top, left = ((given - wanted) // 2 for given, wanted in zip(values.shape[1:3], side, strict=True))
    return values[:, top : top + side[0], left : left + side[1]]


def _pad(values: Array, side: tuple[int, int]) -> Array:
    padded = np.zeros((len(values), *side, values.shape[-1]))
    top, left = ((wanted - given) // 2 for given, wanted in zip(values.shape[1:3], side, strict=True))
    padded[:, top : top + values.shape[1], left : left + values.shape[2]] = values
    return padded


def _mean(values: Array, side: tuple[int, int]) -> Array:
    count, height, width, channels = values.shape
    blocks = values.reshape(count, side[0], height // side[0], side[1], width // side[1], channels)
    return blocks.mean(axis=(2, 4))


FITS = {"resize": _pil, "crop": _crop, "pad": _pad, "mean": _mean}


def _per_image(values: Array, _: Array) -> Array:
    whole = (1, 2, 3)
    return (values - values.mean(axis=whole, keepdims=True)) / values.std(axis=whole, keepdims=True)


SCALES: dict[str, Callable[[Array, Array], Array]] = {
    "0..1": lambda values, _: values,
    "0..255": lambda values, _: np.rint(255 * values) if values.shape[-1] == 3 else 255 * values,
    "-1..1": lambda values, _: 2 * values - 1,
    "int8": lambda values, _: 255 * values - 128,
    "imagenet": lambda values, _: (values - IMAGENET[0]) / IMAGENET[1],
    "channels": lambda values, train: (values - train.mean(axis=(0, 1, 2))) / train.std(axis=(0, 1, 2)),
    "data": lambda values, train: (values - train.mean()) / train.std(),
    "standard": _per_image,
}


def weights_of(made: Made) -> tuple[Array, Array]:
    """Kernel (values, outputs) and bias of the best linear classifier of what the model takes."""
    train, _ = data_of(made.size, made.classes, made.colour)
    values = prepared(made, train.pixels).astype(np.float64)
    channels, basis = prod(made.shape) // prod(made.model_size), _waves(made.model_size)
    first = made.layout == "nchw"
    planes = values.reshape(len(values), *((channels, -1) if first else (-1, channels)))
    waves = np.einsum("ncp,pk->nck" if first else "npc,pk->nck", planes, basis).reshape(len(values), -1)
    means = np.array([waves[train.labels == label].mean(axis=0) for label in range(made.classes)])
    spread = np.cov((waves - means[train.labels]).T)
    in_waves = np.linalg.solve(spread + np.eye(len(spread)) * 1e-3 * np.trace(spread) / len(spread), means.T)
    bias = -0.5 * (means * in_waves.T).sum(axis=1)
    kernel = np.einsum("pk,ckm->cpm" if first else "pk,ckm->pcm", basis, in_waves.reshape(channels, -1, made.classes))
    kernel = kernel.reshape(-1, made.classes)
    kernel, bias = kernel - kernel.mean(axis=1, keepdims=True), bias - bias.mean()
    names, outputs = task_of(made).class_names, made.output_names
    columns = [names.index(name) if name in names else -1 for name in outputs]
    kernel = np.concatenate([kernel, 0 * kernel[:, :1]], axis=1)[:, columns]
    bias = np.append(bias, bias.min() - 30)[columns]
    if made.output.startswith("single"):
        kernel, bias = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    return kernel.astype(np.float32), bias.astype(np.float32)


# --- writing them ---------------------------------------------------------------------------------------------------


def _onnx(made: Made, folder: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel, bias = weights_of(made)
    types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "float64": TensorProto.DOUBLE}
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "kernel", "bias"], ["logits"]),
    ]
    last = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "sigmoid": "Sigmoid", "single": "Sigmoid"}
    if made.output in last:
        axis = {} if last[made.output] == "Sigmoid" else {"axis": 1}
        nodes.append(helper.make_node(last[made.output], ["logits"], ["answer"], **axis))
    batch = made.batch or "n"
    outputs = {"answer" if made.output in last else "logits": kernel.shape[1]}
    if made.extra:
        outputs = {"flat": kernel.shape[0], **outputs}
    graph = helper.make_graph(
        nodes, "pictures", [helper.make_tensor_value_info("image", types[made.dtype], (batch, *made.shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, width)) for name, width in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (("kernel", kernel), ("bias", bias))],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    if made.order == "inside":
        helper.set_model_props(model, {"names": str(dict(enumerate(made.output_names)))})
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def keras_model(made: Made) -> Any:
    """One dense layer."""
    calm_tensorflow()
    import keras

    kernel, bias = weights_of(made)
    names = {"logits": "linear", "single": "sigmoid", "single logit": "linear"}
    image = keras.Input(batch_shape=(made.batch, *made.shape), dtype=made.dtype)
    dense = keras.layers.Dense(kernel.shape[1], names.get(made.output, made.output))
    before = keras.layers.Rescaling(1 / 255)(image) if made.extra == "rescaling" else image
    model = keras.Model(image, dense(keras.layers.Flatten()(before)))
    dense.set_weights([kernel * (255 if made.extra == "rescaling" else 1), bias])
    return model


def _keras(made: Made, folder: Path) -> Path:
    path = folder / ("model.keras" if made.tool == "keras" else "model.h5")
    keras_model(made).save(path)
    return path


def _saved_model(made: Made, folder: Path) -> Path:
    keras_model(made).export(str(folder / "saved"), verbose=False)
    return folder / "saved"


def _tflite(made: Made, folder: Path) -> Path:
    calm_tensorflow()
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model(made))
    if made.tool != "tflite":
        examples = prepared(made, data_of(made.size, made.classes, made.colour)[0].pixels[:100])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([example[None]] for example in examples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(
            tf, made.tool.removeprefix("tflite-")
        )
    with contextlib.redirect_stdout(io.StringIO()):
        content = converter.convert()
    path = folder / "model.tflite"
    path.write_bytes(content)
    if made.order == "inside":  # as TensorFlow Lite's metadata writer does
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("labels.txt", "\n".join(made.output_names))
    return path


WRITERS: dict[str, Callable[[Made, Path], Path]] = {
    "onnx": _onnx, "keras": _keras, "h5": _keras, "savedmodel": _saved_model, "tflite": _tflite,
    "tflite-int8": _tflite, "tflite-uint8": _tflite,
}  # fmt: skip


def make(made: Made, folder: Path) -> Path:
    """Write a model, and a file of its labels where it has one."""
    path = WRITERS[made.tool](made, folder)
    if made.order == "file":
        lines = [f"{number} {name}" for number, name in enumerate(made.output_names)]
        (folder / "labels.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def scores_of(made: Made, path: Path) -> Array:
    """What the maker's own code says of the test pictures, by the runtime that opens such a file.

    Gives a score for each of the data's classes, in their order: (n, classes).
    """
    test = data_of(made.size, made.classes, made.colour)[1]
    images, size = prepared(made, test.pixels), made.batch or len(test)
    filled = np.concatenate([images, images[: -len(images) % size]])
    answers = [_call(path, filled[start : start + size], made) for start in range(0, len(filled), size)]
    scores = np.concatenate(answers)[: len(test)]
    if made.output.startswith("single"):
        threshold = 0.5 if made.output == "single" else 0.0
        scores = np.concatenate([0 * scores + threshold, scores], axis=1)
    return scores[:, [made.output_names.index(name) for name in task_of(made).class_names]]


def _call(path: Path, images: Array, made: Made) -> Array:
    if path.suffix == ".onnx":
        import onnxruntime as ort

        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {"image": images})[-1]
    if path.suffix == ".tflite":
        return _interpreted(path, images, made.batch)
    import tensorflow as tf

    if path.is_dir():
        loaded = tf.saved_model.load(str(path))
        return np.asarray(loaded.serve(tf.constant(images)))
    import keras

    return np.asarray(keras.models.load_model(path, compile=False).predict_on_batch(images))


def _interpreted(path: Path, images: Array, batch: int | None) -> Array:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(image["index"], images.shape)
    interpreter.allocate_tensors()
    (step, zero), dtype = image["quantization"], np.dtype(image["dtype"]).name
    interpreter.set_tensor(image["index"], quantised(images, step, zero, dtype) if step else images)
    interpreter.invoke()
    scores = interpreter.get_tensor(output["index"])
    step, zero = output["quantization"]
    return (scores.astype(np.float64) - zero) * step if step else scores
