"""One small network, and the ways in which strangers give an image to theirs.

A stranger's scale, polarity and layout are folded into the first layer, so that all have the same real accuracy.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench import data
from digitbench.records.arrays import Pixels

Array = npt.NDArray[Any]
GREY = np.array([0.299, 0.587, 0.114])  # how much red, green and blue count


@dataclass(frozen=True)
class Network:
    """Two dense layers with a ReLU between them; gives logits.

    Attributes
    ----------
    kernel, bias
        float32, (pixels, hidden) and (hidden,).
    last_kernel, last_bias
        float32, (hidden, 10) and (10,).
    """

    kernel: Array
    bias: Array
    last_kernel: Array
    last_bias: Array

    @property
    def weights(self) -> list[Array]:
        """All four, in the order in which Keras gives them."""
        return [self.kernel, self.bias, self.last_kernel, self.last_bias]


@functools.cache
def trained(side: int = 28, hidden: int = 32) -> Network:
    """A network trained on ``digits``, each pixel from 0 to 1: about 93 % of the test images right.

    Parameters
    ----------
    side
        28, or 32 for images resized to that.
    hidden
        Width of the hidden layer.
    """
    train = data.load("digits").train
    shifted = [np.roll(train.pixels, shift, (1, 2)) for shift in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))]
    pixels = np.concatenate(shifted)
    images = (pixels if side == 28 else resized(pixels)).reshape(len(pixels), -1) / np.float32(255)
    model = fitted_network(
        images, np.tile(train.labels, len(shifted)), (hidden,), learning_rate_init=0.003, max_iter=12
    )
    (kernel, last_kernel), (bias, last_bias) = model.coefs_, model.intercepts_
    logits = np.sort(np.maximum(images @ kernel + bias, 0) @ last_kernel + last_bias)
    last_bias = last_bias - logits[:, -2:].mean()  # so that a sigmoid separates first and second, as if trained for it
    return Network(*(array.astype(np.float32) for array in (kernel, bias, last_kernel, last_bias)))


def fitted_network(rows: Array, labels: Array, hidden: tuple[int, ...], **options: Any) -> Any:
    """scikit-learn's network, trained on one thread: it is so small that a second thread would only slow it down."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    model = MLPClassifier(hidden, alpha=0.01, batch_size=64, random_state=2, **options)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # so few rounds are enough
        return model.fit(rows, labels)


def resized(pixels: Pixels) -> Pixels:
    """uint8 (n, 28, 28) to (n, 32, 32) by Pillow's linear interpolation, as most people do it."""
    from PIL import Image

    size = (32, 32)
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in pixels])


@dataclass(frozen=True)
class Scale:
    """What becomes of a pixel.

    Attributes
    ----------
    background, foreground
        What a pixel of pure background and one of pure foreground become.
    convert
        The stranger's own code: uint8 from 0 (background) to 255 (foreground), any shape, to float32 of the same shape.
    """

    background: float
    foreground: float
    convert: Callable[[Pixels], Array]


SCALES = {
    "0..1": Scale(0, 1, lambda x: x.astype("float32") / 255.0),
    "0..255": Scale(0, 255, lambda x: x.astype("float32")),
    "-1..1": Scale(-1, 1, lambda x: (x.astype("float32") - 127.5) / 127.5),
    "-0.5..0.5": Scale(-0.5, 0.5, lambda x: x / np.float32(255) - np.float32(0.5)),
    # what PyTorch's MNIST example has, and what a notebook prints of the training images of `digits`
    "mean-std": Scale(
        (0 - 0.1307) / 0.3081, (1 - 0.1307) / 0.3081,
        lambda x: ((x.astype("float32") / 255 - 0.1307) / 0.3081).astype("float32"),
    ),
    "own-mean-std": Scale(-39.73 / 70.59, (255 - 39.73) / 70.59, lambda x: ((x - 39.73) / 70.59).astype("float32")),
}  # fmt: skip


def inverted(scale: Scale) -> Scale:
    """The scale of a stranger whose digits are black on white."""
    return Scale(scale.foreground, scale.background, lambda x: scale.convert(255 - x))


@dataclass(frozen=True)
class Layout:
    """Where a pixel goes.

    Attributes
    ----------
    shape
        Of one image.
    convert
        The stranger's own code: uint8 (n, 28, 28) to (n, *shape), 0 for background.
    spread
        Where the rows of a kernel go with it: (784, hidden) to (pixels of `shape`, hidden).
    framing
        How 28 × 28 becomes `shape`: ``""``, ``"pad"`` or ``"resize"``.
    """

    shape: tuple[int, ...]
    convert: Callable[[Pixels], Pixels]
    spread: Callable[[Array], Array] = lambda kernel: kernel
    framing: str = ""


def _pad(pixels: Array) -> Array:
    return np.pad(pixels, ((0, 0), (2, 2), (2, 2)))


def _frame(kernel: Array) -> Array:
    """A kernel of 32 × 32 whose border is as it was before the training, which never had foreground there."""
    framed = np.random.default_rng(0).normal(0, kernel.std(), (32, 32, kernel.shape[1]))
    framed[2:-2, 2:-2] = kernel.reshape(28, 28, -1)
    return framed.reshape(32 * 32, -1)


LAYOUTS = {
    "hw": Layout((28, 28), lambda x: x),
    "flat": Layout((784,), lambda x: x.reshape(len(x), 784)),
    "nhwc": Layout((28, 28, 1), lambda x: x[..., np.newaxis]),
    "nchw": Layout((1, 28, 28), lambda x: x[:, None]),
    "nhwc-pad32": Layout((32, 32, 1), lambda x: _pad(x)[..., None], _frame, "pad"),
    "nchw-pad32": Layout((1, 32, 32), lambda x: _pad(x)[:, None], _frame, "pad"),
    "nhwc-resize32": Layout((32, 32, 1), lambda x: np.expand_dims(resized(x), -1), framing="resize"),
    "nchw-resize32": Layout((1, 32, 32), lambda x: np.expand_dims(resized(x), 1), framing="resize"),
    "nhwc-rgb": Layout(
        (28, 28, 3), lambda x: np.repeat(x[..., None], 3, -1),
        lambda kernel: (kernel[:, None] * GREY[:, None]).reshape(784 * 3, -1),
    ),
    "nchw-rgb": Layout(
        (3, 28, 28), lambda x: np.stack([x, x, x], axis=1),
        lambda kernel: (kernel * GREY[:, None, None]).reshape(3 * 784, -1),
    ),
}  # fmt: skip


def folded(layout: Layout, scale: Scale) -> Network:
    """The network that gives the same logits for a stranger's input as `trained` gives for the image."""
    plain = trained(side=32 if layout.framing == "resize" else 28)
    kernel = layout.spread(plain.kernel.astype(np.float64))
    assert len(kernel) == math.prod(layout.shape)
    kernel /= scale.foreground - scale.background
    bias = plain.bias - scale.background * kernel.sum(axis=0)
    return Network(kernel.astype(np.float32), bias.astype(np.float32), plain.last_kernel, plain.last_bias)


@dataclass(frozen=True)
class Convolutional:
    """A convolution, a ReLU, the largest of each 4 × 4 pixels, and a dense layer; each pixel from 0 to 1.

    Attributes
    ----------
    filters
        float32, (8, 1, 5, 5): drawn, not trained, which is enough for these digits.
    last_kernel, last_bias
        float32, (8 × 7 × 7, 10) and (10,): the rows in the order channel, height, width.
    """

    filters: Array
    last_kernel: Array
    last_bias: Array


@functools.cache
def convolutional() -> Convolutional:
    """A convolutional network whose last layer is trained on ``digits``: about 94 % of the test images right."""
    train = data.load("digits").train
    filters = np.random.default_rng(1).normal(0, 0.2, (8, 1, 5, 5)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(_pad(train.images), (5, 5), (1, 2))
    maps = np.maximum(np.tensordot(filters[:, 0], windows, ((1, 2), (3, 4))), 0)  # (8, n, 28, 28)
    pooled = maps.reshape(8, -1, 7, 4, 7, 4).max(axis=(3, 5)).swapaxes(0, 1).reshape(len(train), -1)
    model = fitted_network(pooled, train.labels, (), learning_rate_init=0.01, max_iter=40)
    return Convolutional(filters, model.coefs_[0].astype(np.float32), model.intercepts_[0].astype(np.float32))
