"""What a bundle's manifest tells of its layers, without any runtime; and the first one as pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied, rewrite_manifest

from digitbench.bundle import Artifact, Bundle, layers
from digitbench.bundle.layers import Layer
from digitbench.charts import weights
from digitbench.errors import ArtifactError


class Tensor:
    def __init__(self, *shape: int | None) -> None:
        self.shape = (None, *shape)


class Flatten:
    """A layer of Keras', with as much of it as is asked for."""

    def __init__(self, name: str, takes: Any, gives: Any, parameters: int = 0, activation: Any = None) -> None:
        self.name, self.input, self.output, self.activation = name, takes, gives, activation
        self.count_params = lambda: parameters


class Dense(Flatten): ...


class Add(Flatten): ...


class LeakyReLU: ...


class InputLayer(Flatten): ...


def relu() -> None: ...


def test_layers_are_described_as_keras_has_them_and_read_again(untrained: Bundle, tmp_path: Path) -> None:
    bundle = copied(untrained, tmp_path)
    picture, flat, hidden = Tensor(28, 28), Tensor(784), Tensor(16)
    inner = SimpleNamespace(name="member_0", layers=[
        InputLayer("image", picture, picture), Flatten("flatten", picture, flat),
        Dense("dense", flat, hidden, 12560, relu), Dense("dense_1", hidden, Tensor(10), 170, LeakyReLU()),
    ])  # fmt: skip
    scores = Tensor(10)
    model = SimpleNamespace(layers=[inner, Add("add", [scores, scores], scores)])
    rewrite_manifest(bundle, bundle.stored | {layers.KEY: layers.to_json(model)})
    assert Bundle(bundle.path).manifest.layers == (
        Layer("member_0/flatten", "Flatten", (28, 28), (784,), "", 0),
        Layer("member_0/dense", "Dense", (784,), (16,), "relu", 12560),
        Layer("member_0/dense_1", "Dense", (16,), (10,), "LeakyReLU", 170), Layer("add", "Add", None, (10,), "", 0),
    )  # fmt: skip


@pytest.mark.parametrize("recorded", [{}, [{"name": "a"}], [{"name": "a", "kind": "b", "takes": ["c"]}], "dense"])
def test_what_is_no_layers_is_not_shown(untrained: Bundle, tmp_path: Path, recorded: Any) -> None:
    bundle = copied(untrained, tmp_path)
    rewrite_manifest(bundle, bundle.stored | {layers.KEY: recorded})
    assert Bundle(bundle.path).manifest.layers == untrained.manifest.layers == ()


# --- the first layer as pictures ------------------------------------------------------------------------------------


def test_a_cropped_first_layer_is_drawn_at_its_own_size(untrained: Bundle, tmp_path: Path) -> None:
    bundle = copied(untrained, tmp_path)
    path = bundle.path / bundle.find("npz").path
    kernel = np.random.default_rng(0).random((18 * 20, 4), np.float32)
    np.savez(path, activations=np.array(["relu", "softmax"]), kernel_0=kernel, window=np.array([4, 22, 3, 23]))
    bundle.record(Artifact.describe(bundle.path, path, "npz"))
    first_layer = weights.read(bundle)
    assert first_layer.size == (18, 20)
    figure: Any = weights.figure(first_layer, count=1)
    drawn = figure.axes[0].images[0].get_array()
    strongest = np.linalg.norm(kernel, axis=0).argmax()
    assert (drawn[9:27, :20] == kernel[:, strongest].reshape(18, 20)).all()


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (Layer("conv2d", "Conv2D", parameters=80), "its first layer, conv2d, is a convolution"),
        (Layer("member_0/dense", "Dense", parameters=170), "it is made of several networks"),
        (Layer("lstm", "LSTM", parameters=5), "has no fp32 artifact of format 'npz'"),
    ],
)
def test_a_first_layer_that_is_not_dense_is_refused_in_a_line(
    untrained: Bundle, tmp_path: Path, first: Layer, message: str
) -> None:
    bundle = copied(untrained, tmp_path)
    rewrite_manifest(bundle, {**bundle.stored, "artifacts": [], layers.KEY: [asdict(first)]})
    with pytest.raises(ArtifactError) as caught:
        weights.read(bundle)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
