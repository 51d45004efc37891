"""Files that are no model, or none of digits, or hold what nobody should run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from contract.strangers import by_keras, by_onnx, by_openvino
from contract.strangers.network import Array
from contract.strangers.spec import Spec

from digitbench.system.native_output import calm_tensorflow

Maker = Callable[[Path], Path]


# --- ONNX ------------------------------------------------------------------------------------------------------------


def onnx_graph(
    folder: Path, nodes: list[Any], inputs: dict[str, tuple[Any, ...]], outputs: dict[str, tuple[Any, ...]],
    weights: dict[str, Array], element_type: int = 1, domain: str = "",
) -> Path:  # fmt: skip
    """Write a graph of these nodes; `inputs` and `outputs` are shapes by name, `element_type` is that of the inputs."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info(name, element_type, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), folder / "model.onnx")
    return folder / "model.onnx"


def _drawn(*shape: int) -> Array:
    return np.random.default_rng(3).normal(0, shape[0] ** -0.5, shape)


def _two_inputs(folder: Path) -> Path:
    from onnx import helper

    nodes = [helper.make_node("Add", ["a", "b"], ["both"]), helper.make_node("MatMul", ["both", "kernel"], ["scores"])]
    shapes = dict.fromkeys(("a", "b"), ("n", 784))
    return onnx_graph(folder, nodes, shapes, {"scores": ("n", 10)}, {"kernel": _drawn(784, 10)})


def _of_width(width: int) -> Maker:
    """An untrained model that answers with `width` numbers."""

    def make(folder: Path) -> Path:
        from onnx import helper

        nodes = [helper.make_node("MatMul", ["image", "kernel"], ["answer"])]
        return onnx_graph(
            folder, nodes, {"image": ("n", 784)}, {"answer": ("n", width)}, {"kernel": _drawn(784, width)}
        )

    return make


def _text_input(folder: Path) -> Path:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["words"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["numbers", "kernel"], ["scores"]),
    ]
    weights = {"kernel": _drawn(784, 10)}
    return onnx_graph(
        folder, nodes, {"words": ("n", 784)}, {"scores": ("n", 10)}, weights, element_type=TensorProto.STRING
    )


def _not_numbers(folder: Path) -> Path:
    from onnx import helper

    nodes = [helper.make_node("MatMul", ["image", "kernel"], ["scores"])]
    weights = {"kernel": np.full((784, 10), np.nan)}
    return onnx_graph(folder, nodes, {"image": ("n", 784)}, {"scores": ("n", 10)}, weights)


def _unknown_domain(folder: Path) -> Path:
    from onnx import helper

    nodes = [
        helper.make_node("Sharpen", ["image"], ["sharp"], domain="com.example"),
        helper.make_node("MatMul", ["sharp", "kernel"], ["scores"]),
    ]
    shapes: dict[str, tuple[Any, ...]] = {"image": ("n", 784)}
    return onnx_graph(folder, nodes, shapes, {"scores": ("n", 10)}, {"kernel": _drawn(784, 10)}, domain="com.example")


def _maps(folder: Path) -> Path:
    """A map for each image, from label to probability, which skl2onnx gives unless told not to."""
    import onnx
    from onnx import TensorProto, helper

    path = by_onnx.sklearn_like(Spec("onnx-sklearn", "flat", "0..1", "softmax", extra="label"), folder)
    model = onnx.load(path)
    zip_map = helper.make_node(
        "ZipMap", ["probabilities"], ["output_probability"], domain="ai.onnx.ml", classlabels_int64s=list(range(10))
    )
    model.graph.node.append(zip_map)
    maps_type = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    model.graph.output[1].CopyFrom(helper.make_value_info("output_probability", maps_type))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    onnx.save(model, path)
    return path


def _without_its_weights(folder: Path) -> Path:
    """Its weights are in a second file, which somebody forgot."""
    import onnx

    path = _torch(folder)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    (folder / "model.onnx.data").unlink()
    return path


# --- Keras and TensorFlow Lite ----------------------------------------------------------------------------------------


def _with_lambda(name: str) -> Maker:
    """A model that holds Python code."""

    def make(folder: Path) -> Path:
        calm_tensorflow()
        import keras

        plain = by_keras.dense(Spec("keras", "hw", "0..1", "softmax"))
        scaled = keras.layers.Lambda(lambda x: x / 255, output_shape=(28, 28))
        keras.Sequential([keras.Input((28, 28)), scaled, *plain.layers]).save(folder / name)
        return folder / name

    return make


def _flex(folder: Path) -> Path:
    """A ``.tflite`` with an operation that only a runtime with all of TensorFlow in it has."""
    calm_tensorflow()
    import tensorflow as tf

    kernel = _drawn(784, 10).astype(np.float32)

    def predict(image: Any) -> Any:
        return tf.reshape(tf.roll(image, 1, axis=1), [-1, 784]) @ kernel

    concrete = tf.function(predict).get_concrete_function(tf.TensorSpec((None, 28, 28), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (folder / "model.tflite").write_bytes(converter.convert())
    return folder / "model.tflite"


# --- no models -------------------------------------------------------------------------------------------------------


def _torch(folder: Path) -> Path:
    return by_onnx.torch_like(Spec("onnx", "nchw", "0..1", "logits"), folder)


def _lite(folder: Path) -> Path:
    return by_keras.converted(Spec("tflite", "nhwc", "0..1", "softmax"), folder)


def _keras(folder: Path) -> Path:
    return by_keras.saved(Spec("keras", "nhwc", "0..1", "softmax"), folder)


def _h5(folder: Path) -> Path:
    return by_keras.saved_h5(Spec("h5", "nhwc", "0..1", "softmax"), folder)


def _ir_without(part: str, given: str) -> Maker:
    """An OpenVINO model of which one file is missing, and one is given."""

    def make(folder: Path) -> Path:
        path = by_openvino.saved(Spec("openvino", "nchw", "0..1", "logits"), folder)
        path.with_suffix(part).unlink()
        return path.with_suffix(given)

    return make


def _half_an_ir(folder: Path) -> Path:
    path = by_openvino.saved(Spec("openvino", "nchw", "0..1", "logits"), folder)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def _cut(make: Maker) -> Maker:
    """The first half of a file, as an interrupted download leaves it."""

    def make_half(folder: Path) -> Path:
        content = (path := make(folder)).read_bytes()
        path.write_bytes(content[: len(content) // 2])
        return path

    return make_half


def _file(name: str, content: bytes) -> Maker:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _folder(folder: Path) -> Path:
    (folder / "my_model" / "variables").mkdir(parents=True)
    (folder / "my_model" / "notes.txt").write_text("the model is in the other folder", encoding="utf-8")
    return folder / "my_model"


REFUSED: dict[str, tuple[Maker, str]] = {
    "two inputs": (_two_inputs, "inputs"),
    "random weights": (_of_width(10), "recognise digits"),
    "one output": (_of_width(1), "10 scores"),
    "1000 classes": (_of_width(1000), "10 scores"),
    "text input": (_text_input, "string"),
    "not a number": (_not_numbers, "finite"),
    "maps as output": (_maps, "10 scores"),
    "unknown domain": (_unknown_domain, "com.example"),
    "weights missing": (_without_its_weights, "weights are in another file"),
    "lambda in keras": (_with_lambda("model.keras"), "Lambda"),
    "lambda in h5": (_with_lambda("model.h5"), "Lambda"),
    "flex": (_flex, "Select TensorFlow"),
    "empty file": (_file("model.tflite", b""), "empty"),
    "text file": (_file("model.onnx", b"a model will be here soon\n"), "a text, not a model"),
    "half an onnx": (_cut(_torch), "ONNX"),
    "half a tflite": (_cut(_lite), "LiteRT"),
    "half a keras": (_cut(_keras), "no Keras 3 file"),
    "half an h5": (_cut(_h5), "Keras"),
    "an ir without its weights": (_ir_without(".bin", ".xml"), "model.bin"),
    "an ir without its layers": (_ir_without(".xml", ".bin"), "model.xml"),
    "half an ir": (_half_an_ir, "OpenVINO can't open it"),
    "no model in the folder": (_folder, "SavedModel"),
}
