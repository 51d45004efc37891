"""What a model that somebody else made could take and give: everything that its signature leaves open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import NamedTuple

from digitbench.backend import Signature, Tensor
from digitbench.errors import BundleError, UsageError, unknown
from digitbench.importing.normalisations import Range, Statistics, pixel_values
from digitbench.plugins.fitting import FITS, can_fit, channel_count, size_of
from digitbench.plugins.model_io import ModelIO
from digitbench.records.task import Task

LEAST_SIDE = 4
"""In pixels; fewer are channels, or a batch, on another axis than expected."""

WHY_UNUSABLE = {
    "string": "text, or serialised examples; export a signature that takes pixels",
    "bfloat16": "which NumPy doesn't have; export it with an input of float32",
    "bool": "pixels that are on or off, but the threshold isn't known; export it with an input of float32",
}
LAYOUTS = ("flat", "hw", "nhwc", "nchw")
CONSTANTS = ((re.compile(r"keep", re.IGNORECASE), 1.0), (re.compile(r"drop|rate|train|phase", re.IGNORECASE), 0.0))
"""Names of further inputs that are a single number, and the number that switches off what they are for."""
USABLE = {"float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}


@dataclass(frozen=True)
class Constraints:
    """What the user says of a model; None or empty is found out.

    Attributes
    ----------
    range
        Of pixels, background first.
    inverted
        It takes dark strokes on a light background.
    layout
        From `LAYOUTS`.
    output, activation, fit, signature
        See `digitbench.plugins.model_io.ModelIO`.
    normalisation
        From `digitbench.importing.normalisations.NORMALISATIONS`.
    """

    range: Range | None = None
    inverted: bool | None = None
    layout: str | None = None
    output: str | None = None
    activation: str | None = None
    fit: str | None = None
    signature: str | None = None
    normalisation: str | None = None


NO_CONSTRAINTS = Constraints()


class _Axes(NamedTuple):
    """A reading of an input's shape: where its batch is, how many images that is, and the sizes of one image.

    The sizes are None where it isn't even known how many there are.
    """

    batch_axis: int | None
    batch: int | None
    sizes: tuple[int | None, ...] | None


def model_ios(
    signatures: Sequence[Signature], constraints: Constraints, statistics: Statistics, task: Task, named: int = 0
) -> list[ModelIO]:  # fmt: skip
    """Give every I/O that a model could have, the most usual first.

    Which output belongs to which class isn't guessed here: see `digitbench.importing.class_orders`.

    Parameters
    ----------
    signatures
        Read from the artifact: the ways in which it can be called, the usual one first.
    constraints
        What is known of it already.
    statistics
        Of the training images, which it may have been normalised by.
    task
        What the training images show.
    named
        How many outputs have names, if all classes are among these.

    Raises
    ------
    BundleError
        It takes several inputs, no image, or gives nothing of as many scores as there are classes.
    UsageError
        A constraint can't be met.
    """
    names = [signature.name for signature in signatures]
    if constraints.signature is not None:
        if constraints.signature not in names:
            raise UsageError(unknown("--signature", constraints.signature, names))
        signatures = [signatures[names.index(constraints.signature)]]
    candidates: list[ModelIO] = []
    problems: dict[str, str] = {}
    for signature in signatures:
        try:
            candidates += _of_signature(signature, constraints, statistics, task, named)
        except (BundleError, UsageError) as exc:
            if len(signatures) == 1:
                raise
            problems[signature.name] = str(exc)
    if not candidates:
        listed = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise BundleError(f"none of its signatures takes an image and gives {task.classes} scores: {listed}")
    return candidates


def _of_signature(
    signature: Signature, constraints: Constraints, statistics: Statistics, task: Task, named: int
) -> list[ModelIO]:  # fmt: skip
    input_tensor, constants = _image_input(signature)
    scores, axes, shapes, outputs = _first_count(signature, input_tensor, constraints, task, named)
    candidates = []
    for shape, output, fit in (
        (*pair, fit) for pair in product(shapes, outputs) for fit in _fits(pair[0], constraints, task)
    ):
        answer_axis, answer = _answer(output, axes, scores)
        values_of_pixels = pixel_values(
            channel_count(shape, task.size), size_of(shape, task.size), statistics, constraints.range,
            constraints.inverted, constraints.normalisation,
        )  # fmt: skip
        for values in values_of_pixels:
            model_io = ModelIO(
                shape, values.background, values.foreground, fit, 1 if answer_axis is None else axes.batch,
                input_tensor, output, answer, constraints.activation or "softmax",
                normalised=values.normalised, mean=values.mean, deviation=values.deviation,
                image_axis=axes.batch_axis, answer_axis=answer_axis, signature=signature.name, constants=constants,
                channels=values.channels,
            )  # fmt: skip
            if constraints.range or constraints.normalisation or not model_io.saturates():
                candidates.append(model_io)
    if not candidates and constraints.normalisation:
        raise UsageError(f"--normalised {constraints.normalisation}: not possible with {_described(input_tensor)}")
    if not candidates:
        raise BundleError(
            f"input {input_tensor.name!r} ({input_tensor.dtype}): no usual range of pixels fits into it; give --scale"
        )
    return candidates


def _first_count(
    signature: Signature, input_tensor: Tensor, constraints: Constraints, task: Task, named: int
) -> tuple[int, _Axes, list[tuple[int, ...]], list[Tensor]]:
    """Give the first number of scores an image that some output has, and with it what `_first_reading` gives.

    A score for each class; of two classes only for the second; one for none of the classes; or for each name.
    """
    problem: Exception | None = None
    counts = [task.classes, *[1] * (task.classes == 2), task.classes + 1, *[named] * (named > task.classes)]
    for count in dict.fromkeys(counts):
        try:
            return count, *_first_reading(signature, input_tensor, constraints, task, count)
        except (BundleError, UsageError) as exc:
            problem = problem or exc
    assert problem
    raise problem


def _first_reading(
    signature: Signature, input_tensor: Tensor, constraints: Constraints, task: Task, scores: int
) -> tuple[_Axes, list[tuple[int, ...]], list[Tensor]]:
    """Give the first reading of the input's shape that is one of images, and with which some output gives scores.

    Gives the reading, the shapes of one image that fit it, and these outputs.
    """
    problem: Exception | None = None
    for axes in _readings(input_tensor.shape):
        shapes = _shapes(axes, constraints, task)
        try:
            if shapes:
                return axes, shapes, _outputs(signature, constraints, axes, scores)
        except (BundleError, UsageError) as exc:
            problem = problem or exc
    if problem:
        raise problem
    taken = f"its input {input_tensor.name!r} has shape {_bracketed(input_tensor.shape)}"
    if constraints.layout:
        raise UsageError(f"--layout {constraints.layout}: {taken}; known are {', '.join(LAYOUTS)}")
    raise BundleError(f"{taken}: not images of one or three channels")


def _image_input(signature: Signature) -> tuple[Tensor, tuple[tuple[str, float], ...]]:
    """Give the input that takes the images, and what the others are given: single numbers known by their names."""
    constants = {
        tensor.name: number for tensor in signature.inputs if not tensor.shape and len(signature.inputs) > 1
        for pattern, number in reversed(CONSTANTS) if pattern.search(tensor.name)
    }  # fmt: skip
    images = [tensor for tensor in signature.inputs if tensor.name not in constants]
    if len(images) != 1:
        names = ", ".join(repr(tensor.name) for tensor in images) or "none"
        raise BundleError(f"it takes {len(images)} inputs ({names}); a classifier of images takes one, the image")
    dtype = images[0].dtype
    if dtype not in USABLE:
        why = WHY_UNUSABLE.get(dtype, "not numbers that stand for pixels")
        raise BundleError(f"its input {images[0].name!r} takes {dtype}, {why}")
    return images[0], tuple(constants.items())


def _readings(shape: tuple[int | None, ...]) -> Iterator[_Axes]:
    """Give every reading of an input's shape, the most likely first."""
    if not shape:
        yield _Axes(0, None, None)
        return
    first = _Axes(0, shape[0], shape[1:])
    odd = shape[0] not in (1, None) and None in shape[1:]  # a fixed batch, but pixels are free
    if not odd:
        yield first
    if None not in shape[:-1]:
        yield _Axes(-1, shape[-1], shape[:-1])
    if None not in shape:
        yield _Axes(None, 1, shape)
    if odd:
        yield first


def _shapes(axes: _Axes, constraints: Constraints, task: Task) -> list[tuple[int, ...]]:
    """Give the shapes of one image that fit a reading, the most usual first."""
    shapes = []
    size, pixels = task.size, prod(task.size)
    usual: list[tuple[str, tuple[int, ...]]] = [
        ("hw", size), ("flat", (pixels,)), ("nhwc", (*size, 1)), ("nhwc", (*size, 3)),
        ("nchw", (1, *size)), ("nchw", (3, *size)),
    ]  # fmt: skip
    if task.colour:  # and then grey ones
        usual = [("nhwc", (*size, 3)), ("nchw", (3, *size)), ("flat", (3 * pixels,)), *usual]
    for layout, example in usual:
        sizes = example if axes.sizes is None else axes.sizes
        if layout != (constraints.layout or layout) or len(sizes) != len(example):
            continue
        shape = tuple(size or expected for size, expected in zip(sizes, example, strict=True))
        pairs = zip(shape, example, strict=True)
        channels_differ = any(expected in (1, 3) and size != expected for size, expected in pairs)
        if min(size_of(shape, size)) >= LEAST_SIDE and not channels_differ:
            shapes.append(shape)
    return list(dict.fromkeys(shapes))


def _outputs(signature: Signature, constraints: Constraints, axes: _Axes, classes: int) -> list[Tensor]:
    if constraints.output:
        named = [tensor for tensor in signature.outputs if tensor.name == constraints.output]
        if not named:
            listed = ", ".join(tensor.name for tensor in signature.outputs)
            raise UsageError(f"--tensor {constraints.output}: the model has no such output; it has {listed}")
        if not _could_be_scores(named[0], axes, classes):
            problem = f"it gives {_described(named[0])}, not {classes} scores an image"
            raise UsageError(f"--tensor {constraints.output}: {problem}")
        return named
    usable = [
        tensor for tensor in signature.outputs if _could_be_scores(tensor, axes, classes) and not _holds_labels(tensor)
    ]
    if not usable:
        listed = ", ".join(f"{tensor.name!r} {_described(tensor)}" for tensor in signature.outputs)
        raise BundleError(
            f"none of its outputs gives {classes} scores an image: {listed}{_advice(signature.outputs, classes)}"
        )
    return usable


def _described(tensor: Tensor) -> str:
    return f"{tensor.dtype} {_bracketed(tensor.shape)}"


def _advice(outputs: Sequence[Tensor], classes: int) -> str:
    """Say what its maker can do, where the outputs tell."""
    single = [tensor for tensor in outputs if tensor.shape == (None,) and tensor.dtype.startswith("float")]
    if any(tensor.dtype.startswith("seq(map(") for tensor in outputs) or len(single) == classes:
        return "; convert it with skl2onnx's option zipmap=False"
    if outputs and all(map(_holds_labels, outputs)):
        return "; it gives only labels: export it without its last step (argmax)"
    widths = [int(tensor.shape[1] or 0) for tensor in outputs if len(tensor.shape) == 2]
    if len(widths) == 1 and widths[0] > classes + 1:
        return (
            f"; {widths[0]} outputs for {classes} classes: give images of all its classes, or put a labels.txt beside "
            "it with the names of its outputs, one a line"
        )
    if len(widths) == 1 and 1 < widths[0] < classes:
        return f"; {widths[0]} outputs for {classes} classes: give images of its classes alone"
    if any(tensor.shape[-1:] == (4,) or "box" in tensor.name.lower() for tensor in outputs):
        return "; it seems to find objects and where they are, but only classifiers of whole images are imported"
    return ""


def _could_be_scores(output: Tensor, axes: _Axes, classes: int) -> bool:
    if classes == 1 and (not output.dtype.startswith(("float", "int8", "uint8")) or None in output.shape[1:]):
        return False  # a single number that is free, or whole, is a label
    return output.dtype in USABLE and prod(_answer(output, axes, classes)[1]) == classes


def _holds_labels(output: Tensor) -> bool:
    """Whole numbers that stand for nothing else: labels, and no scores."""
    return output.dtype.startswith(("int", "uint")) and not output.scale and output.dtype not in ("int8", "uint8")


def _answer(output: Tensor, axes: _Axes, classes: int) -> tuple[int | None, tuple[int, ...]]:
    """Give where the batch is in an output, and its shape for one image."""
    shape = output.shape
    if axes.batch_axis == -1 and None not in shape[:-1] and prod(size or 0 for size in shape[:-1]) == classes:
        return -1, tuple(size or 1 for size in shape[:-1])
    usual = _answer_shape(shape, classes)
    if prod(usual) != classes and axes.batch in (1, None) and prod(size or 0 for size in shape) == classes:
        return None, tuple(size or 1 for size in shape)  # of one image, without a batch axis
    return 0, usual


def _answer_shape(shape: tuple[int | None, ...], classes: int) -> tuple[int, ...]:
    """Shape of the output for one image; where sizes are free, the last free one is of the classes."""
    if len(shape) == 1:
        return (1,)
    sizes = list(shape[1:]) or [None]
    free = [axis for axis, size in enumerate(sizes) if size is None]
    fixed = prod(size for size in sizes if size)
    for axis in free:
        sizes[axis] = classes // fixed if axis == free[-1] else 1
    return tuple(size or 1 for size in sizes)


def _fits(shape: tuple[int, ...], constraints: Constraints, task: Task) -> tuple[str, ...]:
    height, width = size = size_of(shape, task.size)
    if size == task.size:
        return ("pad",)
    possible = tuple(fit for fit in FITS if can_fit(fit, size, task.size))
    if constraints.fit and constraints.fit not in possible:
        raise UsageError(
            f"--fit {constraints.fit}: {task.shape_text} can't become {height} × {width} this way; "
            f"possible: {', '.join(possible)}"
        )
    return (constraints.fit,) if constraints.fit else possible


def _bracketed(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('n' if size is None else str(size) for size in shape)}]"
