"""Models whose makers prepared images in ways of their own: imported without a flag, they say what their makers say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.strangers.network import Array, fitted_network, trained
from contract.strangers.refused import onnx_graph

import digitbench
from digitbench import data
from digitbench.bundle import Bundle
from digitbench.errors import BackendError
from digitbench.importing import Options, import_model
from digitbench.importing.guesses import NO_CONSTRAINTS, Constraints
from digitbench.records.arrays import Labels, Pixels

IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE = np.array([103.939, 116.779, 123.68]) / 255, np.full(3, 1 / 255)


def per_row(pixels: Pixels) -> Any:
    """``keras.utils.normalize(x)``."""
    return pixels / np.maximum(np.linalg.norm(pixels.astype(float), axis=-1, keepdims=True), 1e-9)


def per_column(pixels: Pixels) -> Any:
    """``keras.utils.normalize(x, axis=1)``."""
    return pixels / np.maximum(np.linalg.norm(pixels.astype(float), axis=1, keepdims=True), 1e-9)


def per_image(pixels: Pixels) -> Any:
    """The same of flat images."""
    flat = pixels.reshape(len(pixels), -1).astype(float)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def standard(pixels: Pixels) -> Any:
    """``tf.image.per_image_standardization``."""
    flat = pixels.reshape(len(pixels), -1).astype(float)
    return (flat - flat.mean(axis=1, keepdims=True)) / flat.std(axis=1, keepdims=True)


def by_pixel(pixels: Pixels) -> Any:
    """``sklearn.preprocessing.StandardScaler``, fitted on the training images."""
    from sklearn.preprocessing import StandardScaler

    train = data.load("digits").train.pixels
    values = StandardScaler().fit(train.reshape(len(train), -1)).transform(pixels.reshape(len(pixels), -1))
    return values


def imagenet(pixels: Pixels) -> Any:
    """``torchvision.transforms.Normalize`` with ImageNet's numbers."""
    mean, deviation = (of.reshape(3, 1, 1) for of in IMAGENET)
    return (np.repeat(pixels[:, None], 3, axis=1) / 255 - mean) / deviation


def caffe(pixels: Pixels) -> Any:
    """``keras.applications.vgg16.preprocess_input``."""
    return np.repeat(pixels[..., None], 3, axis=-1) - 255 * CAFFE[0]


def middle(pixels: Pixels) -> Any:
    """``torchvision.transforms.CenterCrop(20)``."""
    return pixels[:, 4:24, 4:24] / 255


def means(pixels: Pixels) -> Any:
    """The mean of each 2 × 2 pixels."""
    halves = pixels[:, ::2].astype(float) + pixels[:, 1::2]
    return (halves[:, :, ::2] + halves[:, :, 1::2]) / 4 / 255


PREPARED: dict[str, tuple[Callable[[Pixels], Any], str]] = {
    "rows": (per_row, "28×28, each row of pixels divided by its norm"),
    "columns": (per_column, "28×28, each column of pixels divided by its norm"),
    "image": (per_image, "784, each image divided by its norm"),
    "standard": (standard, "784, each image standardised"),
    "pixels": (by_pixel, "784, each pixel standardised"),
    "imagenet": (imagenet, "3×28×28, ImageNet's mean and deviation"),
    "caffe": (caffe, "28×28×3, Caffe's means, 0 to 255"),
    "crop": (middle, "20×20, background 0, foreground 1, its middle"),
    "mean": (means, "14×14, background 0, foreground 1, means of blocks"),
}
QUICK = ("rows", "pixels", "mean")


def dense(kernel: Any, bias: Any, last_kernel: Any, last_bias: Any) -> tuple[list[Any], dict[str, Array]]:
    """Nodes from ``flat`` to ``scores``, and their weights."""
    from onnx import helper

    nodes = [helper.make_node("Gemm", ["flat", "k0", "b0"], ["sums"]), helper.make_node("Relu", ["sums"], ["hidden"]),
             helper.make_node("Gemm", ["hidden", "k1", "b1"], ["scores"])]  # fmt: skip
    return nodes, {"k0": kernel, "b0": bias, "k1": last_kernel, "b1": last_bias}


def of_channels(numbers: tuple[Array, Array], first: bool) -> tuple[Any, Any, Any, Any]:
    """The weights of the network of grey pixels from 0 to 1, for channels less their means over their deviations."""
    kernel, bias, last_kernel, last_bias = trained().weights
    mean, deviation = numbers
    shares = np.full(3, 1 / 3)
    kernels = kernel[None] * (shares * deviation)[:, None, None]  # (channels, pixels, hidden)
    spread = kernels if first else kernels.swapaxes(0, 1)
    return spread.reshape(3 * 784, -1), bias + kernel.sum(axis=0) * (shares @ mean), last_kernel, last_bias


def saved(folder: Path, prepare: Callable[[Pixels], Array]) -> tuple[Path, Labels]:
    """A network trained on images prepared so, as an ONNX file; and what it says of the test images."""
    from onnx import helper

    digits = data.load("digits")
    train, test = (prepare(split.pixels) for split in (digits.train, digits.test))
    rows, test_rows = (images.reshape(len(images), -1) for images in (train, test))
    if rows.shape[1] == 3 * 784:
        layers = of_channels(IMAGENET if prepare is imagenet else CAFFE, train.shape[1] == 3)
    else:
        network = fitted_network(rows, digits.train.labels, (24,), learning_rate_init=0.005, max_iter=25)
        (kernel, last_kernel), (bias, last_bias) = network.coefs_, network.intercepts_
        layers = kernel, bias, last_kernel, last_bias
    nodes, weights = dense(*layers)
    nodes.insert(0, helper.make_node("Flatten", ["image"], ["flat"], axis=1))
    path = onnx_graph(folder, nodes, {"image": ("n", *train.shape[1:])}, {"scores": ("n", 10)}, weights)
    kernel, bias, last_kernel, last_bias = layers
    scores = np.maximum(test_rows @ kernel + bias, 0) @ last_kernel + last_bias
    return path, scores.argmax(axis=1)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in PREPARED]
)
def test_images_prepared_in_a_way_of_its_own_are_found_out(name: str, tmp_path: Path) -> None:
    prepare, description = PREPARED[name]
    path, labels = saved(tmp_path, prepare)
    digits = data.load("digits")
    # On so few images it can't be told from MNIST's mean and deviation: it is found where its user names it.
    known = Constraints(normalisation="standard") if name == "standard" else NO_CONSTRAINTS
    bundle = import_model(path, digits, tmp_path / "bundle", Options(constraints=known))
    assert bundle.stored["imported"]["chosen"]["form"] == f"{description}, output scores"
    predicted = bundle.reference_scores().argmax(axis=1)
    assert (predicted != labels).sum() <= 1, "sums in float32 may turn one that is close"
    assert np.mean(labels == digits.test.labels) > 0.85
    with digitbench.load(Bundle(bundle.path), backend="openvino") as classifier:
        assert (classifier.predict(digits.test.pixels[:40]) != labels[:40]).sum() <= 1


# --- the same network, called in other ways --------------------------------------------------------------------------


def rearranged(folder: Path, taken: tuple[Any, ...], given: tuple[Any, ...], before: Any, after: Any) -> Path:
    """A network of pixels from 0 to 1 that takes and gives other shapes.

    Parameters
    ----------
    before, after
        What reshapes to ``(n, 784)`` and from ``(n, 10)``: a shape, or ``"transpose"``.
    """
    from onnx import helper

    nodes, weights = dense(*trained().weights)
    nodes[-1].output[0] = "rows"

    def step(how: Any, source: str, target: str) -> Any:
        if how == "transpose":
            return helper.make_node("Transpose", [source], [target], perm=[1, 0])
        shape = helper.make_node("Constant", [], [f"{target}_shape"], value_ints=list(how))
        nodes.insert(0, shape)
        return helper.make_node("Reshape", [source, f"{target}_shape"], [target])

    first, last = step(before, "image", "flat"), step(after, "rows", "scores")
    position = next(i for i, node in enumerate(nodes) if node.op_type == "Gemm")
    nodes[position:position] = [first]
    return onnx_graph(folder, [*nodes, last], {"image": taken}, {"scores": given}, weights)


CALLED: dict[str, tuple[Any, ...]] = {
    "one image": ((28, 28), (10,), (1, 784), (10,), 1),
    "one flat image": ((784,), (1, 10), (1, 784), (1, 10), 1),
    "a column": ((784, 1), (10, 1), (1, 784), (10, 1), 1),
    "batch last": ((784, "n"), (10, "n"), "transpose", "transpose", None),
    "a free batch that is one": (("n", 1, 28, 28), ("n", 10), (1, 784), (1, 10), 1),
    "a free batch without one in the answer": (("n", 784), (10,), (1, 784), (10,), 1),
}


@pytest.mark.parametrize("name", CALLED)
def test_wherever_the_batch_is_the_answers_are_the_same(name: str, tmp_path: Path) -> None:
    taken, given, before, after, batch = CALLED[name]
    path = rearranged(tmp_path, taken, given, before, after)
    digits = data.load("digits")
    bundle = import_model(path, digits, tmp_path / "bundle")
    flat = digits.test.images.reshape(len(digits.test), -1)
    kernel, bias, last_kernel, last_bias = trained().weights
    expected = np.maximum(flat @ kernel + bias, 0) @ last_kernel + last_bias
    np.testing.assert_allclose(bundle.reference_scores(), expected, atol=1e-4)
    assert bundle.model_io.batch == batch
    with digitbench.load(Bundle(bundle.path), backend="openvino") as classifier:
        np.testing.assert_allclose(classifier.scores(digits.test.images[:9]), expected[:9], atol=1e-3)


def test_weights_in_another_file_are_put_into_the_bundles_own(tmp_path: Path) -> None:
    import onnx

    path = rearranged(tmp_path, ("n", 28, 28), ("n", 10), (-1, 784), (-1, 10))
    whole = path.read_bytes()
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    bundle = import_model(path, data.load("digits"), tmp_path / "bundle")
    (tmp_path / "model.onnx.data").unlink()
    artifact = bundle.find("onnx")
    assert bundle.stored["imported"]["sha256"] == artifact.sha256, "of the weights too"
    stored = onnx.load(bundle.open(artifact))
    original = onnx.load_from_string(whole)
    assert [onnx.numpy_helper.to_array(tensor).tolist() for tensor in stored.graph.initializer] == [
        onnx.numpy_helper.to_array(tensor).tolist() for tensor in original.graph.initializer
    ]
    assert list(stored.graph.node) == list(original.graph.node)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data_file: data_file.write_bytes(data_file.read_bytes()[:1000]), "model.onnx.data"),
        (lambda data_file: data_file.unlink(), "model.onnx.data"),
    ],
)
def test_weights_that_are_missing_or_cut_off_are_named(
    spoil: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    import onnx

    from digitbench.model_files import onnx_file

    path = rearranged(tmp_path, ("n", 28, 28), ("n", 10), (-1, 784), (-1, 10))
    assert onnx_file.merged(path) is None
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    spoil(tmp_path / "model.onnx.data")
    with pytest.raises(ValueError, match=message):
        onnx_file.merged(path)


@pytest.mark.slow  # it needs TensorFlow
def test_of_a_tflite_files_two_signatures_the_one_with_scores_of_each_class_is_taken(tmp_path: Path) -> None:
    from digitbench.system.native_output import calm_tensorflow

    calm_tensorflow()
    import tensorflow as tf

    kernel, bias, last_kernel, last_bias = (tf.constant(array) for array in trained().weights)

    def scores_of(images: Any) -> Any:
        return tf.nn.relu(tf.reshape(images, [-1, 784]) @ kernel + bias) @ last_kernel + last_bias

    taken = [tf.TensorSpec([None, 28, 28], tf.float32)]
    ways = {
        "best_first": lambda images: {"values": tf.sort(scores_of(images), axis=1, direction="DESCENDING")},
        "by_class": lambda images: {"scores": scores_of(images)},
    }
    module, folder = tf.Module(), tmp_path / "saved"
    signatures = {name: tf.function(way, input_signature=taken) for name, way in ways.items()}
    module.functions = list(signatures.values())  # which it must own
    tf.saved_model.save(module, str(folder), signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(ways))
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    digits = data.load("digits")
    bundle = import_model(tmp_path / "model.tflite", digits, tmp_path / "bundle")
    assert bundle.model_io.signature == "by_class"
    expected = scores_of(digits.test.images).numpy()
    np.testing.assert_allclose(bundle.reference_scores(), expected, atol=1e-4)
    with digitbench.load(Bundle(bundle.path), backend="tflite") as classifier:
        np.testing.assert_allclose(classifier.scores(digits.test.images[:9]), expected[:9], atol=1e-4)
    with pytest.raises(BackendError, match="first of several signatures"):
        digitbench.load(Bundle(bundle.path), backend="openvino")
