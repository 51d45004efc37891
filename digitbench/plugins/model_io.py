"""The way from digitbench's images to what a model takes, and from its answer to scores.

Models come with a scale of 0 to 255 instead of 0 to 1, a channel axis, whole numbers with quantisation parameters, a
batch size of their own, dark strokes on white, blue before red. All of it is settled here, once, for every backend:
adapters hand over what they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any

import msgspec
import numpy as np
from msgspec import structs

from digitbench.backend import NATIVE_SPEC, Backend, Images, IOSpec, Runtime, Scores, Steps, Tensor, check_images
from digitbench.plugins.fitting import NORMALISED, can_fit, channel_count, fitted, normalised, size_of, with_channels
from digitbench.records.arrays import Array
from digitbench.records.task import Task

ACTIVATIONS = ("softmax", "sigmoid", "logits")
CHANNEL_ORDERS = ("rgb", "bgr")
GREY_SHARES = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue: ITU-R BT.601, as Pillow
_NATIVE = Tensor("", (), "float32")

_KEYS = {"background": "paper", "foreground": "ink"}
"""The names in manifests of fields that have another one there."""


class ModelIO(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_KEYS):
    """What a model takes and gives, as a bundle's manifest describes it.

    Attributes
    ----------
    shape
        Of one image: ``(32, 32)``, ``(1024,)``, ``(32, 32, 1)``, ``(1, 32, 32)``, ``(32, 32, 3)`` …; () for that of the
        task, as the artifact declares it.
    background, foreground
        The values that stand for an untouched pixel and for the middle of a stroke: 0 and 1, 0 and 255, 255 and 0 ….
    fit
        How the task's images become another size: ``"pad"``, background around it; ``"resize"``, interpolation;
        ``"crop"``, its middle; ``"mean"``, the mean of each block of pixels.
    normalised
        What each image was divided by, where pixels have no fixed values: the Euclidean norm of the whole ``"image"``,
        or of each of its ``"rows"`` or ``"columns"``, as ``keras.utils.normalize`` does; or ``"standard"``: its mean
        taken off, and divided by its standard deviation.
    mean, deviation
        Taken off, and divided by, after pixels have the values of `background` and `foreground`: of each pixel, or of
        each of three channels, in the model's order; empty for none.
    channels
        ``"rgb"``, or ``"bgr"`` where blue comes first.
    transposed
        Rows and columns of each image are exchanged, before anything else.
    columns
        Which number of the output belongs to each of the task's classes; empty where they are the same, in that order.
    batch
        Images that every call must hold; None where any number will do.
    input, output
        As the artifact declares them; an empty name means the first.
    answer
        Shape of the output for one image: ``(10,)``, ``(1, 1, 10)``; () as for `shape`. A single number says how much
        an image belongs to the second of two classes: as a probability, or with the activation ``"logits"`` as a logit.
    activation
        What the output is: ``"softmax"``, ``"sigmoid"`` or ``"logits"``.
    code
        The file holds code that runs when it is opened: only where its user trusts it.
    image_axis, answer_axis, signature, constants
        See `digitbench.backend.IOSpec`.
    """

    shape: tuple[int, ...] = ()
    background: float = 0.0
    foreground: float = 1.0
    fit: str = "pad"
    batch: int | None = None
    input: Tensor = _NATIVE
    output: Tensor = _NATIVE
    answer: tuple[int, ...] = ()
    activation: str = "softmax"
    code: bool = False
    normalised: str = ""
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    image_axis: int | None = 0
    answer_axis: int | None = 0
    signature: str = ""
    constants: tuple[tuple[str, float], ...] = ()
    channels: str = CHANNEL_ORDERS[0]
    transposed: bool = False
    columns: tuple[int, ...] = ()

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
        """Is it what digitbench itself trains: `Images` in, `Scores` out, of the shapes that the artifact declares."""
        names = ("background", "foreground", "code", "normalised", "mean", "channels", "transposed", "columns")
        values_native = all(getattr(self, name) == getattr(NATIVE_IO, name) for name in names)
        return values_native and not self.input.scale and self.io_spec == NATIVE_SPEC

    def of(self, task: Task) -> ModelIO:
        """Give the native I/O, without shapes, where it is that for the images and classes of a task."""
        native = structs.replace(self, shape=(), answer=())
        same = self.shape == task.image_shape and self.answer == (task.classes,)
        return native if same and native.is_native else self

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
            float32 (n, *image_shape) of the task, from 0 to 1.
        """
        return self.encoder()(images)

    def encoder(self) -> Callable[[Images], Array]:
        """Give what does as `encode`, with means and deviations made ready: so that no timed call makes them."""
        mean, deviation = (np.array(of, np.float32) if of else None for of in (self.mean, self.deviation))
        return partial(self._encoded, mean, deviation)

    def _encoded(self, mean: Any, deviation: Any, images: Images) -> Array:
        if self.transposed:
            images = images.swapaxes(1, 2)
        source, shape = images.shape[1:3], self.shape or images.shape[1:]
        channels = channel_count(shape, source)
        values: Array = images if channels > 1 or images.ndim == 3 else images @ GREY_SHARES
        values = normalised(fitted(values, size_of(shape, source), self.fit), self.normalised)
        dtype = np.dtype(self.input.dtype)
        if (self.background, self.foreground) != (0.0, 1.0):
            values = values * np.float32(self.foreground - self.background) + np.float32(self.background)
        if values.ndim == 4 and self.channels == "bgr":
            values = values[..., ::-1]
        if mean is not None:
            values = values.reshape(len(images), -1) if channels == 1 else with_channels(values, channels)
            values = (values - mean) / deviation
        if self.input.scale:
            values = values / np.float32(self.input.scale) + np.float32(self.input.zero_point)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        values = values.astype(dtype, copy=False)
        if channels > 1:
            channels_first = len(shape) == 3 and shape[2] not in (1, 3)
            values = np.moveaxis(with_channels(values, channels), -1, 1 if channels_first else -1)
        values = values.reshape(len(images), *shape)
        if self.image_axis is None:
            values = values[0]
        elif self.image_axis:
            values = np.moveaxis(values, 0, self.image_axis)
        return np.ascontiguousarray(values)

    def decode(self, answer: Array) -> Scores:
        """Read scores out of the model's answer: float32 (n, classes), as the model means them."""
        scores = np.asarray(answer)
        if self.answer_axis:
            scores = np.moveaxis(scores, self.answer_axis, 0)
        columns = prod(self.answer) if self.answer else -1
        scores = scores.reshape(-1 if self.answer else len(scores), columns).astype(np.float32, copy=False)
        if self.output.scale:
            scores = (scores - np.float32(self.output.zero_point)) * np.float32(self.output.scale)
        if self.answer and scores.shape[1] == 1:
            scores = np.concatenate([scores * 0 if self.activation == "logits" else 1 - scores, scores], axis=1)
        if self.columns:
            scores = scores[:, list(self.columns)]
        return np.ascontiguousarray(scores)

    def saturates(self) -> bool:
        """Does a quantised input's range cut off background or foreground, or leave room for only two of the greys.

        Of values without fixed ends that isn't known; few models take these as whole numbers.
        """
        dtype = np.dtype(self.input.dtype)
        if dtype.kind not in "iu":
            return False
        if self.normalised or (self.mean and (not self.input.scale or len(self.mean) > GREY_SHARES.size)):
            return True
        limits, step = np.iinfo(dtype), self.input.scale or 1.0
        means, deviations = self.mean or (0.0,), self.deviation or (1.0,)
        values = [
            [(value - mean) / deviation for mean, deviation in zip(means, deviations, strict=True)]
            for value in sorted((self.background, self.foreground))
        ]
        extremes = [value / step + self.input.zero_point for value in (min(values[0]), max(values[1]))]
        return min(extremes) < limits.min - 2 or max(extremes) > limits.max + 2 or abs(extremes[0] - extremes[1]) < 15


NATIVE_IO = ModelIO()
RARE = ("normalised", "mean", "deviation", "image_axis", "answer_axis", "signature", "constants", "channels",
        "transposed", "columns")  # fmt: skip
"""Fields that manifests lack where they are as usual."""


def check_model_io(model_io: ModelIO, task: Task) -> None:
    """Refuse an I/O that no model of that task could have.

    Raises
    ------
    TypeError
        One of its values is none that it can take.
    """
    source = task.size[::-1] if model_io.transposed else task.size
    size = size_of(model_io.shape, source) if model_io.shape else source
    given = prod(model_io.answer) if model_io.answer else task.classes
    numeric = all(np.dtype(tensor.dtype).kind in "fiu" for tensor in (model_io.input, model_io.output))
    checks = {
        "shape": min(size) > 0,
        "fit": can_fit(model_io.fit, size, source),
        "normalised": model_io.normalised in NORMALISED,
        "mean and deviation": _can_standardise(model_io, size),
        "channels": model_io.channels in CHANNEL_ORDERS,
        "image_axis": model_io.image_axis in (0, -1, None) and model_io.answer_axis in (0, -1, None),
        "background and foreground": model_io.background != model_io.foreground
        and bool(np.isfinite([model_io.background, model_io.foreground]).all()),
        "batch": model_io.batch is None or model_io.batch >= 1,
        "single image": model_io.batch == 1 or None not in (model_io.image_axis, model_io.answer_axis),
        "dtype": numeric,
        "answer": _can_be_columns(model_io.columns, given, task.classes),
        "activation": model_io.activation in ACTIVATIONS,
    }
    wrong = [name for name, passed in checks.items() if not passed]
    if wrong:
        raise TypeError(f"form: no model has such a {', '.join(wrong)}")


def _can_be_columns(columns: tuple[int, ...], given: int, classes: int) -> bool:
    numbers = {*range(max(given, 2))}
    return len(columns or numbers) == classes == len({*columns} & numbers or numbers)


def _can_standardise(model_io: ModelIO, size: tuple[int, int]) -> bool:
    channels = channel_count(model_io.shape, size)
    count = prod(size) if channels == 1 else channels
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
