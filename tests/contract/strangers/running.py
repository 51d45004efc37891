"""How strangers run what they made: by the runtime's Python package, never by digitbench's adapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contract.strangers.network import Array
from contract.strangers.spec import NO_BATCH, quantised

from digitbench.system.native_output import calm_tensorflow


@dataclass(frozen=True)
class Answer:
    """A model's answer.

    Attributes
    ----------
    labels
        int64, (n,).
    output
        The output's name, as the runtime gives it.
    dtype
        The input's, as the file declares it.
    """

    labels: Array
    output: str
    dtype: str


def run(path: Path, images: Array, batch: int | None) -> Answer:
    """Label images by the runtime that opens such a file.

    Parameters
    ----------
    path
        The model.
    images
        (n, *shape of one), prepared as its maker does; floats where they are to be quantised.
    batch
        As in `Spec`.
    """
    suffix = path.suffix if path.is_file() else "folder"
    call, output, dtype = RUNTIMES[suffix](path, batch)
    if batch is None:
        scores = call(images)
    elif batch == NO_BATCH:
        scores = np.stack([call(image) for image in images])
    else:
        short = -len(images) % batch
        chunks = np.concatenate([images, images[:short]]).reshape(-1, batch, *images.shape[1:])
        scores = np.concatenate([call(chunk) for chunk in chunks])[: len(images)]
    return Answer(scores.reshape(len(images), 10).argmax(axis=1), output, dtype)


Opened = tuple[Callable[[Array], Array], str, str]


def _onnx(path: Path, batch: int | None) -> Opened:
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    output = _scores([(tensor.name, tensor.shape) for tensor in session.get_outputs()])
    dtype = {"float": "float32", "double": "float64"}.get(element := image.type[7:-1], element)
    return lambda images: session.run([output], {image.name: images})[0], output, dtype


def _tflite(path: Path, batch: int | None) -> Opened:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    (image,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    name = _scores([(tensor["name"], list(tensor["shape"])) for tensor in outputs])
    (output,) = (tensor for tensor in outputs if tensor["name"] == name)

    def call(images: Array) -> Array:
        if batch is None:
            interpreter.resize_tensor_input(image["index"], images.shape)
        interpreter.allocate_tensors()
        step, zero = image["quantization"]
        dtype = np.dtype(image["dtype"]).name
        interpreter.set_tensor(image["index"], quantised(images, step, zero, dtype) if step else images.astype(dtype))
        interpreter.invoke()
        scores: Array = interpreter.get_tensor(output["index"])
        return scores

    return call, name, np.dtype(image["dtype"]).name


def _openvino(path: Path, batch: int | None) -> Opened:
    import openvino as ov

    # Else it would compute in bfloat16, where the processor has it.
    model = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (image,), outputs = model.inputs, model.outputs
    name = _scores([(output.any_name, list(output.partial_shape.get_min_shape())) for output in outputs])
    dtype = image.element_type.to_dtype().name
    return lambda images: model({0: images})[name], name, dtype


def _keras(path: Path, batch: int | None) -> Opened:
    calm_tensorflow()
    import keras

    model = keras.models.load_model(path, compile=False)
    names = getattr(model, "output_names", [model.layers[-1].name])  # a stack has no names of its own
    name = _scores([(output, tensor.shape) for output, tensor in zip(names, model.outputs, strict=True)])
    index = names.index(name)

    def call(images: Array) -> Array:
        outputs = model.predict_on_batch(images)
        scores: Array = outputs[index] if isinstance(outputs, list) else outputs
        return scores

    return call, name, model.inputs[0].dtype


def _saved_model(path: Path, batch: int | None) -> Opened:
    calm_tensorflow()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except AttributeError as exc:
        if "add_slot" not in str(exc):  # Keras 2 saved its optimizer with it, which TensorFlow no longer knows
            raise
        return _old_saved_model(path)
    signature = loaded.signatures.get("serving_default") or next(iter(loaded.signatures.values()))
    (key, image), *_ = signature.structured_input_signature[1].items()
    name = _scores([(output, tensor.shape) for output, tensor in signature.structured_outputs.items()])

    def call(images: Array) -> Array:
        scores: Array = signature(**{key: tf.constant(images)})[name].numpy()
        return scores

    call.loaded = loaded  # type: ignore[attr-defined]  # it must outlive the signature
    return call, name, image.dtype.name


def _old_saved_model(path: Path) -> Opened:
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        session = tf.compat.v1.Session(graph=graph)
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(path)).signature_def["serving_default"]
    ((_, image),), ((name, output),) = signature.inputs.items(), signature.outputs.items()
    dtype = tf.as_dtype(image.dtype).name
    return lambda images: session.run(output.name, {image.name: images}), name, dtype


def _scores(outputs: list[tuple[str, Any]]) -> str:
    """The name of the output that holds the scores: a maker would know it."""
    names = [name for name, shape in outputs if 10 in list(shape) and "uncertainty" not in name]
    assert len(names) == 1, outputs
    return names[0]


RUNTIMES: dict[str, Callable[[Path, int | None], Opened]] = {
    ".onnx": _onnx,
    ".tflite": _tflite,
    ".keras": _keras,
    ".h5": _keras,
    ".xml": _openvino,
    "folder": _saved_model,
}
