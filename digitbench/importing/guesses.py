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
"""The values of an untouched pixel and of full ink."""

MNIST_MEAN, MNIST_DEVIATION = 0.1307, 0.3081  # which PyTorch's own example normalises by
LEAST_SIDE = 4
"""In pixels; fewer are channels, or a batch, in another place than expected."""

LAYOUTS = ("flat", "hw", "nhwc", "nchw")
USABLE = {"float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}


@dataclass(frozen=True)
class Constraints:
    """What the user says of a model; None or empty is found out.

    Attributes
    ----------
    range
        Of pixels, paper first.
    inverted
        Black ink on white paper is what it wants.
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
    """Give every form that a model could have, the most usual first.

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
    given = _only_input(signature)
    shapes, outputs = _shapes(given, constraints), _outputs(signature, constraints)
    found = []
    for (shape, batch), output in product(shapes, outputs):
        for fit, (background, foreground) in product(_fits(shape, constraints), ranges(constraints, images)):
            model_io = ModelIO(
                shape,
                background,
                foreground,
                fit,
                batch,
                given,
                output,
                _answer(output),
                constraints.activation or "softmax",
            )
            if constraints.range or not model_io.saturates():
                found.append(model_io)
    if not found:
        raise BundleError(f"input {given.name!r} ({given.dtype}): no usual range of pixels fits into it; give --scale")
    return found


def _only_input(signature: Signature) -> Tensor:
    inputs = signature.inputs
    if len(inputs) != 1:
        names = ", ".join(repr(one.name) for one in inputs) or "none"
        raise BundleError(f"it takes {len(inputs)} inputs ({names}); a classifier of digits takes one, the image")
    if inputs[0].dtype not in USABLE:
        raise BundleError(f"its input {inputs[0].name!r} takes {inputs[0].dtype}, not numbers that stand for pixels")
    return inputs[0]


def _shapes(given: Tensor, constraints: Constraints) -> list[tuple[tuple[int, ...], int | None]]:
    """Shapes of one image that fit the input's, each with the fixed batch size."""
    batch, sizes = (given.shape[0], given.shape[1:]) if given.shape else (None, ())
    usual: dict[str, list[tuple[int, ...]]] = {
        "hw": [(SIDE, SIDE)],
        "flat": [(SIDE * SIDE,)],
        "nhwc": [(SIDE, SIDE, 1), (SIDE, SIDE, 3)],
        "nchw": [(1, SIDE, SIDE), (3, SIDE, SIDE)],
    }
    found = []
    for layout in [constraints.layout] if constraints.layout else ["hw", "flat", "nhwc", "nchw"]:
        for example in usual[layout]:
            if given.shape and len(sizes) != len(example):
                continue
            shape = tuple(size or one for size, one in zip(sizes or example, example, strict=True))
            channels_differ = any(one in (1, 3) and size != one for size, one in zip(shape, example, strict=True))
            if min(square(shape)) >= LEAST_SIDE and not channels_differ:
                found.append((shape, batch))
    if found:
        return found
    told = f"its input {given.name!r} has shape {_bracketed(given.shape)}"
    if constraints.layout:
        raise UsageError(f"--layout {constraints.layout}: {told}; known are {', '.join(LAYOUTS)}")
    raise BundleError(f"{told}: not images of one or three channels, with the batch axis first")


def _outputs(signature: Signature, constraints: Constraints) -> list[Tensor]:
    if constraints.output:
        named = [one for one in signature.outputs if one.name == constraints.output]
        if not named:
            known = ", ".join(one.name for one in signature.outputs)
            raise UsageError(f"--tensor {constraints.output}: the model has no such output; it has {known}")
        if not _could_be_scores(named[0]):
            told = f"it gives {named[0].dtype} {_bracketed(named[0].shape)}, not ten scores an image"
            raise UsageError(f"--tensor {constraints.output}: {told}")
        return named
    able = [one for one in signature.outputs if _could_be_scores(one) and not _counts(one)]
    if not able:
        known = ", ".join(f"{one.name!r} {one.dtype} {_bracketed(one.shape)}" for one in signature.outputs)
        raise BundleError(f"none of its outputs gives ten scores an image: {known}")
    return able


def _could_be_scores(output: Tensor) -> bool:
    return output.dtype in USABLE and _width_fits(output)


def _width_fits(output: Tensor) -> bool:
    sizes = output.shape[1:]
    if None in sizes or not output.shape:
        return CLASSES % prod(size for size in sizes if size) == 0
    return prod(size or 1 for size in sizes) == CLASSES


def _counts(output: Tensor) -> bool:
    """Whole numbers that stand for nothing else: labels, and no scores."""
    return output.dtype.startswith(("int", "uint")) and not output.scale and output.dtype not in ("int8", "uint8")


def _answer(output: Tensor) -> tuple[int, ...]:
    """Shape of the output for one image; where sizes are free, the last free one is of the classes."""
    sizes = list(output.shape[1:]) or [None]
    free = [place for place, size in enumerate(sizes) if size is None]
    known = prod(size for size in sizes if size)
    for place in free:
        sizes[place] = CLASSES // known if place == free[-1] else 1
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
    upright = [constraints.range] if constraints.range else list(_usual(images))
    turns = (False, True) if constraints.inverted is None else (constraints.inverted,)
    return list(
        dict.fromkeys(
            (foreground, background) if turn else (background, foreground)
            for turn in turns
            for background, foreground in upright
        )
    )


def _usual(images: Images) -> Iterator[Range]:
    mean, deviation = float(images.mean(dtype=float)), float(images.std(dtype=float))
    yield from ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
    yield from _normalised(MNIST_MEAN, MNIST_DEVIATION)
    yield (-0.5, 0.5)
    if deviation:  # else all of them are of one grey
        yield from _normalised(mean, deviation)


def _normalised(mean: float, deviation: float) -> Iterator[Range]:
    """Normalised as it is, and as its negative: that one has another mean."""
    yield -mean / deviation, (1 - mean) / deviation
    yield (mean - 1) / deviation, mean / deviation


def _bracketed(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('n' if size is None else str(size) for size in shape)}]"
