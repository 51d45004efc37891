"""What a model that somebody else made could take and give: everything that its signature leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from digitbench.backend import Images, Signature, Tensor
from digitbench.errors import BundleError, UsageError
from digitbench.plugins.model_io import SIDE, ModelIO, square
from digitbench.records.arrays import CLASSES

Range = tuple[float, float]
"""The values of a background pixel and of a foreground pixel."""

MNIST_MEAN, MNIST_DEVIATION = 0.1307, 0.3081  # which PyTorch's own example normalises by
LEAST_SIDE = 4
"""In pixels; fewer are channels, or a batch, on another axis than expected."""

LAYOUTS = ("flat", "hw", "nhwc", "nchw")
USUAL: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("hw", (SIDE, SIDE)), ("flat", (SIDE * SIDE,)), ("nhwc", (SIDE, SIDE, 1)), ("nhwc", (SIDE, SIDE, 3)),
    ("nchw", (1, SIDE, SIDE)), ("nchw", (3, SIDE, SIDE)),
)  # fmt: skip
"""An image's layout and shape, the most usual first."""
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
    output, activation, fit
        See `digitbench.plugins.model_io.ModelIO`.
    """

    range: Range | None = None
    inverted: bool | None = None
    layout: str | None = None
    output: str | None = None
    activation: str | None = None
    fit: str | None = None


NO_CONSTRAINTS = Constraints()


def model_ios(signature: Signature, constraints: Constraints, images: Images) -> list[ModelIO]:
    """Give every I/O that a model could have, the most usual first.

    Parameters
    ----------
    signature
        Read from the artifact.
    constraints
        What is known of it already.
    images
        float32 (n, 28, 28): training images, whose mean and deviation it may have been normalised by.

    Raises
    ------
    BundleError
        It takes several inputs, no image, or gives nothing of width 10.
    UsageError
        A constraint can't be met.
    """
    input_tensor = _only_input(signature)
    shapes, outputs = _shapes(input_tensor, constraints), _outputs(signature, constraints)
    batch = input_tensor.shape[0] if input_tensor.shape else None
    candidates = []
    for shape, output in product(shapes, outputs):
        for fit, (background, foreground) in product(_fits(shape, constraints), ranges(constraints, images)):
            model_io = ModelIO(shape, background, foreground, fit, batch, input_tensor, output, _answer_shape(output),
                               constraints.activation or "softmax")  # fmt: skip
            if constraints.range or not model_io.saturates():
                candidates.append(model_io)
    if not candidates:
        raise BundleError(
            f"input {input_tensor.name!r} ({input_tensor.dtype}): no usual range of pixels fits into it; give --scale"
        )
    return candidates


def _only_input(signature: Signature) -> Tensor:
    inputs = signature.inputs
    if len(inputs) != 1:
        names = ", ".join(repr(tensor.name) for tensor in inputs) or "none"
        raise BundleError(f"it takes {len(inputs)} inputs ({names}); a classifier of digits takes one, the image")
    if inputs[0].dtype not in USABLE:
        raise BundleError(f"its input {inputs[0].name!r} takes {inputs[0].dtype}, not numbers that stand for pixels")
    return inputs[0]


def _shapes(input_tensor: Tensor, constraints: Constraints) -> list[tuple[int, ...]]:
    """Shapes of one image that fit the input's."""
    sizes, shapes = input_tensor.shape[1:], []
    for layout, example in USUAL:
        if layout != (constraints.layout or layout) or (input_tensor.shape and len(sizes) != len(example)):
            continue
        shape = tuple(size or expected for size, expected in zip(sizes or example, example, strict=True))
        pairs = zip(shape, example, strict=True)
        channels_differ = any(expected in (1, 3) and size != expected for size, expected in pairs)
        if min(square(shape)) >= LEAST_SIDE and not channels_differ:
            shapes.append(shape)
    if shapes:
        return shapes
    problem = f"its input {input_tensor.name!r} has shape {_bracketed(input_tensor.shape)}"
    if constraints.layout:
        raise UsageError(f"--layout {constraints.layout}: {problem}; known are {', '.join(LAYOUTS)}")
    raise BundleError(f"{problem}: not images of one or three channels, with the batch axis first")


def _outputs(signature: Signature, constraints: Constraints) -> list[Tensor]:
    if constraints.output:
        named = [tensor for tensor in signature.outputs if tensor.name == constraints.output]
        if not named:
            listed = ", ".join(tensor.name for tensor in signature.outputs)
            raise UsageError(f"--tensor {constraints.output}: the model has no such output; it has {listed}")
        if not _could_be_scores(named[0]):
            problem = f"it gives {named[0].dtype} {_bracketed(named[0].shape)}, not ten scores an image"
            raise UsageError(f"--tensor {constraints.output}: {problem}")
        return named
    usable = [tensor for tensor in signature.outputs if _could_be_scores(tensor) and not _holds_labels(tensor)]
    if not usable:
        listed = ", ".join(f"{tensor.name!r} {tensor.dtype} {_bracketed(tensor.shape)}" for tensor in signature.outputs)
        raise BundleError(f"none of its outputs gives ten scores an image: {listed}")
    return usable


def _could_be_scores(output: Tensor) -> bool:
    has_classes = len(output.shape) != 1  # besides the batch axis
    return output.dtype in USABLE and has_classes and prod(_answer_shape(output)) == CLASSES


def _holds_labels(output: Tensor) -> bool:
    """Whole numbers that stand for nothing else: labels, and no scores."""
    return output.dtype.startswith(("int", "uint")) and not output.scale and output.dtype not in ("int8", "uint8")


def _answer_shape(output: Tensor) -> tuple[int, ...]:
    """Shape of the output for one image; where sizes are free, the last free one is of the classes."""
    sizes = list(output.shape[1:]) or [None]
    free = [axis for axis, size in enumerate(sizes) if size is None]
    fixed = prod(size for size in sizes if size)
    for axis in free:
        sizes[axis] = CLASSES // fixed if axis == free[-1] else 1
    return tuple(size or 1 for size in sizes)


def _fits(shape: tuple[int, ...], constraints: Constraints) -> tuple[str, ...]:
    height, width = square(shape)
    if (height, width) == (SIDE, SIDE):
        return ("pad",)
    if min(height, width) < SIDE:
        if constraints.fit == "pad":
            raise UsageError(
                f"--fit pad: {height} × {width} pixels are fewer than {SIDE} × {SIDE}; only resize can do it"
            )
        return ("resize",)
    return (constraints.fit,) if constraints.fit else ("pad", "resize")


def ranges(constraints: Constraints, images: Images) -> list[Range]:
    """Give every range that pixels could have, the most usual first, each with the opposite polarity after it."""
    upright = [constraints.range] if constraints.range else list(_usual_ranges(images))
    inversions = (False, True) if constraints.inverted is None else (constraints.inverted,)
    return list(
        dict.fromkeys(
            (foreground, background) if inverted else (background, foreground)
            for inverted in inversions
            for background, foreground in upright
        )
    )


def _usual_ranges(images: Images) -> Iterator[Range]:
    mean, deviation = float(images.mean(dtype=float)), float(images.std(dtype=float))
    yield from ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
    yield from _normalised_ranges(MNIST_MEAN, MNIST_DEVIATION)
    yield (-0.5, 0.5)
    if deviation:  # else all of them are of one grey
        yield from _normalised_ranges(mean, deviation)


def _normalised_ranges(mean: float, deviation: float) -> Iterator[Range]:
    """Normalised as it is, and as its negative: that one has another mean."""
    yield -mean / deviation, (1 - mean) / deviation
    yield (mean - 1) / deviation, mean / deviation


def _bracketed(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('n' if size is None else str(size) for size in shape)}]"
