"""The way from digitbench's images to what a model takes, and from its answer to scores.

Models come with a scale of 0 to 255 instead of 0 to 1, a channel axis, whole numbers with quantisation parameters, a
batch size of their own, black ink on white. All of it is settled here, once, for every backend: adapters hand over
what they are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from digitbench.backend import OWN, Backend, Images, Ports, Runtime, Scores, Steps, Tensor, check_images
from digitbench.records.arrays import CLASSES, Array

SIDE = 28
Fit = Literal["pad", "resize"]
Activation = Literal["softmax", "sigmoid", "logits"]
Matrix = npt.NDArray[np.float32]

OWN_INPUT = Tensor("", (None, SIDE, SIDE), "float32")
OWN_OUTPUT = Tensor("", (None, CLASSES), "float32")


@dataclass(frozen=True)
class Form:
    """What a model takes and gives, as a bundle's manifest describes it.

    Attributes
    ----------
    shape
        Of one image: ``(28, 28)``, ``(784,)``, ``(28, 28, 1)``, ``(1, 28, 28)``, ``(32, 32, 3)`` ….
    paper, ink
        The values that stand for an untouched pixel and for full ink: 0 and 1, 0 and 255, 255 and 0 ….
    fit
        How 28 × 28 becomes another size: ``"pad"``, paper around it; ``"resize"``, interpolation.
    batch
        Images that every call must hold; None where any number will do.
    input, output
        As the artifact declares them; an empty name means the first.
    answer
        Shape of the output for one image: ``(10,)``, ``(1, 1, 10)``.
    activation
        What the output is: ``"softmax"``, ``"sigmoid"`` or ``"logits"``.
    code
        The file holds code that runs when it is opened: only where its user trusts it.
    """

    shape: tuple[int, ...] = (SIDE, SIDE)
    paper: float = 0.0
    ink: float = 1.0
    fit: str = "pad"
    batch: int | None = None
    input: Tensor = OWN_INPUT
    output: Tensor = OWN_OUTPUT
    answer: tuple[int, ...] = (CLASSES,)
    activation: str = "softmax"
    code: bool = False

    @property
    def ports(self) -> Ports:
        """What an adapter must know of it."""
        return Ports(self.shape, self.input.dtype, self.batch, self.output.name, self.answer, self.output.dtype)

    @property
    def own(self) -> bool:
        """Is it what digitbench itself trains: float32 (n, 28, 28) from 0 to 1 in, float32 (n, 10) out."""
        plain = (self.paper, self.ink, self.input.scale, self.output.name, self.code) == (0.0, 1.0, 0.0, "", False)
        return plain and self.ports == OWN

    def exported(self, format: str) -> Form:
        """The form of what an exporter writes of it: one output, no code; plain weights take floats of any layout."""
        written = replace(self, output=replace(self.output, name=""), code=False)
        if format == "onnx":  # Keras' exporter leaves the number of images free
            return replace(written, batch=None)
        return written

    def give(self, images: Images) -> Array:
        """Bring images into the model's form: of `shape` each, in its dtype, quantised where it says so.

        Parameters
        ----------
        images
            float32 (n, 28, 28), 0 for paper and 1 for ink.
        """
        values: Array = fitted(images, self.shape, self.fit)
        dtype = np.dtype(self.input.dtype)
        if (self.paper, self.ink) != (0.0, 1.0):
            values = values * np.float32(self.ink - self.paper) + np.float32(self.paper)
        if self.input.scale:
            values = values / np.float32(self.input.scale) + np.float32(self.input.zero_point)
        if dtype.kind in "iu":
            known = np.iinfo(dtype)
            values = np.clip(np.rint(values), known.min, known.max)
        values = values.astype(dtype, copy=False)
        channels, axis = _channels(self.shape)
        if channels > 1:
            values = np.repeat(np.expand_dims(values, axis), channels, axis)
        return np.ascontiguousarray(values).reshape(len(images), *self.shape)

    def read(self, answer: Array) -> Scores:
        """Read scores out of the model's answer: float32 (n, 10), as the model means them."""
        found = np.asarray(answer).reshape(len(answer), CLASSES).astype(np.float32, copy=False)
        if self.output.scale:
            found = (found - np.float32(self.output.zero_point)) * np.float32(self.output.scale)
        return np.ascontiguousarray(found)

    def saturates(self) -> bool:
        """Would paper or ink be cut off by a quantised input's range, or whole numbers hold only two of the greys."""
        dtype = np.dtype(self.input.dtype)
        if dtype.kind not in "iu":
            return False
        known, step = np.iinfo(dtype), self.input.scale or 1.0
        ends = [value / step + self.input.zero_point for value in (self.paper, self.ink)]
        return min(ends) < known.min - 2 or max(ends) > known.max + 2 or abs(ends[0] - ends[1]) < 15


OWN_FORM = Form()


def check(form: Form) -> None:
    """Refuse a form that no model could have.

    Raises
    ------
    TypeError
        One of its values is none that it can take.
    """
    height, width = square(form.shape)
    numbers = all(np.dtype(one.dtype).kind in "fiu" for one in (form.input, form.output))
    sound = {
        "shape": min(height, width) > 0,
        "fit": form.fit in get_args(Fit) and (form.fit != "pad" or min(height, width) >= SIDE),
        "paper and ink": form.paper != form.ink and bool(np.isfinite([form.paper, form.ink]).all()),
        "batch": form.batch is None or form.batch >= 1,
        "dtype": numbers,
        "answer": prod(form.answer) == CLASSES,
        "activation": form.activation in get_args(Activation),
    }
    wrong = [name for name, fine in sound.items() if not fine]
    if wrong:
        raise TypeError(f"form: no model has such a {', '.join(wrong)}")


class Served(Backend):
    """A backend of another form than digitbench's own, behind the contract: images in, scores out.

    Parameters
    ----------
    inner
        Opened with the form's ports.
    form
        What the model takes and gives.
    """

    def __init__(self, inner: Backend, form: Form) -> None:
        self.inner, self._form = inner, form
        self._around: Steps | None = None  # the steps that `steps` are made of

    @property
    def runtime(self) -> Runtime:
        """What really runs."""
        return self.inner.runtime

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`. A fixed batch is served in chunks, the last one filled up with its own first image."""
        check_images(images)
        form, size = self._form, self._form.batch
        if size is None or len(images) == size:
            scores = form.read(self.inner.predict(form.give(images)))
            inner = self.inner.steps
        else:
            answers = [self.inner.predict(form.give(chunk)) for chunk in _chunks(images, size)]
            scores = form.read(np.concatenate(answers)[: len(images)])
            inner = None
        if inner is not self._around:
            self.steps, self._around = None if inner is None else _wrapped(inner, form), inner
        return scores

    def close(self) -> None:
        """Close the backend within."""
        self.inner.close()
        self.steps = None


def served(backend: Backend, form: Form) -> Backend:
    """Put an opened backend behind the contract in this form, in place of another form of the same I/O."""
    inner = backend.inner if isinstance(backend, Served) else backend
    return inner if form.own else Served(inner, form)


def _wrapped(inner: Steps, form: Form) -> Steps:
    return Steps(lambda images: inner.put(form.give(images)), inner.run, lambda: form.read(inner.get()))


def _chunks(images: Images, size: int) -> Iterator[Images]:
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        if len(chunk) < size:
            chunk = np.concatenate([chunk, np.repeat(chunk[:1], size - len(chunk), axis=0)])
        yield chunk


def square(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of an image of that shape, without its channels; (0, 0) if it is no image of 1 or 3 channels."""
    if len(shape) == 1:
        for channels in (1, 3):
            side = round((shape[0] / channels) ** 0.5)
            if side * side * channels == shape[0]:
                return side, side
        return 0, 0
    if len(shape) == 2:
        return square((max(shape),)) if 1 in shape else (shape[0], shape[1])  # one row or column is a flat image
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape[0], shape[1]
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape[1], shape[2]
    return 0, 0


def _channels(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many channels, and on which axis of a batch."""
    height, width = square(shape)
    count = int(np.prod(shape)) // max(1, height * width)
    return count, 1 if len(shape) == 3 and shape[2] not in (1, 3) else -1


def fitted(images: Images, shape: tuple[int, ...], fit: str) -> Images:
    """Bring images of 28 × 28 to the height and width of `shape`: float32 (n, height, width)."""
    height, width = square(shape)
    if (height, width) == (SIDE, SIDE):
        return images
    if fit == "pad":
        top, left = (height - SIDE) // 2, (width - SIDE) // 2
        around = ((0, 0), (top, height - SIDE - top), (left, width - SIDE - left))
        return np.pad(images, around)
    return np.asarray(_resampling(height) @ images @ _resampling(width).T, dtype=np.float32)


@cache
def _resampling(size: int) -> Matrix:
    """Linear interpolation from 28 pixels to `size`, as a matrix (size, 28), with the centres of pixels half-way.

    Made smaller, each pixel is an average over all that it covers, as Pillow does and TensorFlow with ``antialias``.
    """
    step = SIDE / size
    reach = max(1.0, step)
    centres = (np.arange(size)[:, None] + 0.5) * step - 0.5
    weights = np.clip(1 - np.abs(np.arange(SIDE) - centres) / reach, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
