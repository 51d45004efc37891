"""The way from digitbench's images to what a model takes, and from its answer to scores.

Models come with a scale of 0 to 255 instead of 0 to 1, a channel axis, whole numbers with quantisation parameters, a
batch size of their own, black ink on white. All of it is settled here, once, for every backend: adapters hand over
what they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from math import prod
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from digitbench.backend import NATIVE_SPEC, Backend, Images, IOSpec, Runtime, Scores, Steps, Tensor, check_images
from digitbench.records.arrays import CLASSES, Array

SIDE = 28
FITS, ACTIVATIONS = ("pad", "resize", "crop", "mean"), ("softmax", "sigmoid", "logits")
NORMALISED = ("", "image", "rows", "columns", "standard")

NATIVE_INPUT = Tensor("", (None, SIDE, SIDE), "float32")
NATIVE_OUTPUT = Tensor("", (None, CLASSES), "float32")


_KEYS = {"background": "paper", "foreground": "ink"}
"""The names in manifests of fields that have another one there."""


class ModelIO(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_KEYS):
    """What a model takes and gives, as a bundle's manifest describes it.

    Attributes
    ----------
    shape
        Of one image: ``(28, 28)``, ``(784,)``, ``(28, 28, 1)``, ``(1, 28, 28)``, ``(32, 32, 3)`` ….
    background, foreground
        The values that stand for an untouched pixel and for the middle of a stroke: 0 and 1, 0 and 255, 255 and 0 ….
    fit
        How 28 × 28 becomes another size: ``"pad"``, background around it; ``"resize"``, interpolation; ``"crop"``, its
        middle; ``"mean"``, the mean of each block of pixels.
    normalised
        What each image was divided by, where pixels have no fixed values: the Euclidean norm of the whole ``"image"``,
        or of each of its ``"rows"`` or ``"columns"``, as ``keras.utils.normalize`` does; or ``"standard"``: its mean
        taken off, and divided by its standard deviation.
    mean, deviation
        Taken off, and divided by, after pixels have the values of `background` and `foreground`: of each pixel, or of
        each of three channels; empty for none.
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
    image_axis, answer_axis, signature, constants
        See `digitbench.backend.IOSpec`.
    """

    shape: tuple[int, ...] = (SIDE, SIDE)
    background: float = 0.0
    foreground: float = 1.0
    fit: str = "pad"
    batch: int | None = None
    input: Tensor = NATIVE_INPUT
    output: Tensor = NATIVE_OUTPUT
    answer: tuple[int, ...] = (CLASSES,)
    activation: str = "softmax"
    code: bool = False
    normalised: str = ""
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    image_axis: int | None = 0
    answer_axis: int | None = 0
    signature: str = ""
    constants: tuple[tuple[str, float], ...] = ()

    @property
    def io_spec(self) -> IOSpec:
        """What an adapter must know of it."""
        return IOSpec(
            self.shape, self.input.dtype, self.batch, self.output.name, self.answer, self.output.dtype, False,
            self.image_axis, self.answer_axis, self.signature, self.input.name if self.constants else "",
            self.constants,
        )  # fmt: skip

    @property
    def is_native(self) -> bool:
        """Is it what digitbench itself trains: float32 (n, 28, 28) from 0 to 1 in, float32 (n, 10) out."""
        names = ("background", "foreground", "code", "normalised", "mean")
        values_native = all(getattr(self, name) == getattr(NATIVE_IO, name) for name in names)
        return values_native and not self.input.scale and self.io_spec == NATIVE_SPEC

    @classmethod
    def from_json(cls, values: Any) -> ModelIO:
        """Read what `to_json` gave; what isn't given is as by default.

        Raises
        ------
        ValueError
            A value is none that it can be.
        """
        return msgspec.convert(values, cls)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values, as manifests hold it; what few models need is left out where it is as usual."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return {
            name: value for name, value in values.items()
            if name not in RARE or getattr(self, name) != getattr(NATIVE_IO, name)
        }  # fmt: skip

    def encode(self, images: Images) -> Array:
        """Bring images into what the model takes: of `shape` each, in its dtype, quantised where it says so.

        Parameters
        ----------
        images
            float32 (n, 28, 28), 0 for background and 1 for foreground.
        """
        return self.encoder()(images)

    def encoder(self) -> Callable[[Images], Array]:
        """Give what does as `encode`, with means and deviations made ready: so that no timed call makes them."""
        channels, axis = _channels(self.shape)
        shape = square(self.shape) if channels == 1 else [channels if i == axis % 4 else 1 for i in range(4)]
        mean, deviation = (
            np.array(of, np.float32).reshape(shape) if of else None for of in (self.mean, self.deviation)
        )
        return partial(self._encoded, mean, deviation)

    def _encoded(self, mean: Any, deviation: Any, images: Images) -> Array:
        values: Array = normalised(fitted(images, self.shape, self.fit), self.normalised)
        dtype = np.dtype(self.input.dtype)
        if (self.background, self.foreground) != (0.0, 1.0):
            values = values * np.float32(self.foreground - self.background) + np.float32(self.background)
        channels, axis = _channels(self.shape)
        if mean is not None and channels == 1:
            values = (values - mean) / deviation
        if self.input.scale:
            values = values / np.float32(self.input.scale) + np.float32(self.input.zero_point)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        values = values.astype(dtype, copy=False)
        if channels > 1:
            values = np.repeat(np.expand_dims(values, axis), channels, axis)
        if mean is not None and channels > 1:
            values = ((values - mean) / deviation).astype(dtype, copy=False)
        values = values.reshape(len(images), *self.shape)
        if self.image_axis is None:
            values = values[0]
        elif self.image_axis:
            values = np.moveaxis(values, 0, self.image_axis)
        return np.ascontiguousarray(values)

    def decode(self, answer: Array) -> Scores:
        """Read scores out of the model's answer: float32 (n, 10), as the model means them."""
        scores = np.asarray(answer)
        if self.answer_axis:
            scores = np.moveaxis(scores, self.answer_axis, 0)
        scores = scores.reshape(-1, CLASSES).astype(np.float32, copy=False)
        if self.output.scale:
            scores = (scores - np.float32(self.output.zero_point)) * np.float32(self.output.scale)
        return np.ascontiguousarray(scores)

    def saturates(self) -> bool:
        """Does a quantised input's range cut off background or foreground, or leave room for only two of the greys.

        Of values without fixed ends that isn't known; few models take these as whole numbers.
        """
        dtype = np.dtype(self.input.dtype)
        if dtype.kind not in "iu":
            return False
        if self.normalised or self.mean:
            return True
        limits, step = np.iinfo(dtype), self.input.scale or 1.0
        extremes = [value / step + self.input.zero_point for value in (self.background, self.foreground)]
        return min(extremes) < limits.min - 2 or max(extremes) > limits.max + 2 or abs(extremes[0] - extremes[1]) < 15


NATIVE_IO = ModelIO()
RARE = ("normalised", "mean", "deviation", "image_axis", "answer_axis", "signature", "constants")
"""Fields that manifests lack where they are as usual."""


def check_model_io(model_io: ModelIO) -> None:
    """Refuse an I/O that no model could have.

    Raises
    ------
    TypeError
        One of its values is none that it can take.
    """
    height, width = square(model_io.shape)
    numeric = all(np.dtype(tensor.dtype).kind in "fiu" for tensor in (model_io.input, model_io.output))
    checks = {
        "shape": min(height, width) > 0,
        "fit": can_fit(model_io.fit, height, width),
        "normalised": model_io.normalised in NORMALISED,
        "mean and deviation": _can_standardise(model_io, height * width),
        "image_axis": model_io.image_axis in (0, -1, None) and model_io.answer_axis in (0, -1, None),
        "background and foreground": model_io.background != model_io.foreground
        and bool(np.isfinite([model_io.background, model_io.foreground]).all()),
        "batch": model_io.batch is None or model_io.batch >= 1,
        "single image": model_io.batch == 1 or None not in (model_io.image_axis, model_io.answer_axis),
        "dtype": numeric,
        "answer": prod(model_io.answer) == CLASSES,
        "activation": model_io.activation in ACTIVATIONS,
    }
    wrong = [name for name, passed in checks.items() if not passed]
    if wrong:
        raise TypeError(f"form: no model has such a {', '.join(wrong)}")


def can_fit(fit: str, height: int, width: int) -> bool:
    """Say whether 28 × 28 pixels can become an image of that size in that way, one of `FITS`."""
    least, most = min(height, width), max(height, width)
    possible = {
        "pad": least >= SIDE,
        "crop": most <= SIDE,
        "resize": True,
        "mean": _is_part(height) and _is_part(width),
    }
    return possible.get(fit, False)


def _is_part(size: int) -> bool:
    return size > 0 and SIDE % size == 0


def _can_standardise(model_io: ModelIO, pixels: int) -> bool:
    channels = _channels(model_io.shape)[0]
    count = pixels if channels == 1 else channels
    finite = bool(np.isfinite([*model_io.mean, *model_io.deviation]).all()) and all(model_io.deviation)
    return finite and len(model_io.mean) == len(model_io.deviation) and len(model_io.mean) in (0, count)


class AdaptedBackend(Backend):
    """A backend whose model has another I/O than the native one, behind the contract: images in, scores out.

    Parameters
    ----------
    inner
        Opened with the `io_spec` of the model I/O.
    model_io
        What the model takes and gives.
    """

    def __init__(self, inner: Backend, model_io: ModelIO) -> None:
        self.inner, self._model_io, self._encode = inner, model_io, model_io.encoder()
        self._inner_steps: Steps | None = None  # the adapted backend's steps, of which `steps` are made

    @property
    def runtime(self) -> Runtime:
        """What really runs."""
        return self.inner.runtime

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`. A fixed batch is met in chunks, the last one filled up with its own first image."""
        check_images(images)
        model_io, size = self._model_io, self._model_io.batch
        if size is None or len(images) == size:
            scores = model_io.decode(self.inner.predict(self._encode(images)))
            inner = self.inner.steps
        else:
            chunks = _chunks(images, size)
            answers = [model_io.decode(self.inner.predict(self._encode(chunk))) for chunk in chunks]
            scores = np.concatenate(answers)[: len(images)]
            inner = None
        if inner is not self._inner_steps:
            self.steps, self._inner_steps = None if inner is None else self._adapted_steps(inner), inner
        return scores

    def _adapted_steps(self, inner: Steps) -> Steps:
        decode = self._model_io.decode
        return Steps(lambda images: inner.put(self._encode(images)), inner.run, lambda: decode(inner.get()))

    def close(self) -> None:
        """Close the backend within."""
        self.inner.close()
        self.steps = None


def adapted(backend: Backend, model_io: ModelIO) -> Backend:
    """Put an opened backend behind the contract with this model I/O, in place of another one of the same `IOSpec`."""
    inner = backend.inner if isinstance(backend, AdaptedBackend) else backend
    return inner if model_io.is_native else AdaptedBackend(inner, model_io)


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


def channel_count(shape: tuple[int, ...]) -> int:
    """Say how many channels an image of that shape has."""
    height, width = square(shape)
    return prod(shape) // max(1, height * width)


def _channels(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many channels, and on which axis of a batch."""
    return channel_count(shape), 1 if len(shape) == 3 and shape[2] not in (1, 3) else -1


def fitted(images: Images, shape: tuple[int, ...], fit: str) -> Images:
    """Bring images of 28 × 28 to the height and width of `shape`: float32 (n, height, width)."""
    height, width = square(shape)
    if (height, width) == (SIDE, SIDE):
        return images
    if fit == "crop":
        top, left = (SIDE - height) // 2, (SIDE - width) // 2
        return images[:, top : top + height, left : left + width]
    if fit == "mean":
        blocks = images.reshape(len(images), height, SIDE // height, width, SIDE // width)
        return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)
    if fit == "pad":
        top, left = (height - SIDE) // 2, (width - SIDE) // 2
        padding = ((0, 0), (top, height - SIDE - top), (left, width - SIDE - left))
        return np.pad(images, padding)
    return np.asarray(_resampling(height) @ images @ _resampling(width).T, dtype=np.float32)


def normalised(images: Images, by: str) -> Images:
    """Divide each image by its own size, as `ModelIO.normalised` says; one without any foreground stays as it is."""
    if not by:
        return images
    if by == "standard":
        # As tf.image.per_image_standardization: a flat image's deviation counts as that of a single grey level.
        centred = images - images.mean(axis=(1, 2), keepdims=True)
        least = np.float32(1 / images[0].size ** 0.5)
        return np.asarray(centred / np.maximum(images.std(axis=(1, 2), keepdims=True), least), dtype=np.float32)
    axes: Any = {"image": (1, 2), "rows": 2, "columns": 1}[by]
    norms = np.sqrt((images * images).sum(axis=axes, keepdims=True))
    return np.asarray(images / np.where(norms > 0, norms, 1), dtype=np.float32)


@cache
def _resampling(size: int) -> npt.NDArray[np.float32]:
    """Linear interpolation from 28 pixels to `size`, as a matrix (size, 28), with the centres of pixels half-way.

    Made smaller, each pixel is an average over all that it covers, as Pillow does and TensorFlow with ``antialias``.
    """
    step = SIDE / size
    reach = max(1.0, step)
    centres = (np.arange(size)[:, None] + 0.5) * step - 0.5
    weights = np.clip(1 - np.abs(np.arange(SIDE) - centres) / reach, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
