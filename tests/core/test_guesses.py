"""What a signature leaves open: which model I/Os are tried, in which order, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from core.helpers import one_printable_line
from digitbench.backend import Signature, Tensor
from digitbench.data import Split
from digitbench.data.mnist import TASK
from digitbench.errors import BundleError, DigitbenchError, UsageError
from digitbench.importing.guesses import NO_CONSTRAINTS, Constraints, model_ios
from digitbench.importing.normalisations import Statistics, ranges
from digitbench.plugins.model_io import ModelIO
from digitbench.records.arrays import Pixels

Shape = tuple[int | None, ...]
SCORES = Tensor("scores", (None, 10), "float32")
UPRIGHT = [(0, 1), (0, 255), (-1, 1), (-0.4242, 2.8215), (-2.8215, 0.4242), (-0.5, 0.5), (-128, 127)]
"""Of every training set; the fourth and fifth are (0 - 0.1307) / 0.3081 and so on."""


def statistics_of(pixels: Pixels) -> Statistics:
    return Statistics.of(Split(pixels, np.zeros(len(pixels), np.int64)))


@pytest.fixture
def images() -> Statistics:
    """A quarter of each is foreground: a mean of 0.25 and a deviation of 0.4330."""
    pixels = np.zeros((3, 28, 28), np.uint8)
    pixels[:, :14, :14] = 255
    return statistics_of(pixels)


def guessed(
    images: Statistics,
    shape: Shape,
    *outputs: Tensor,
    dtype: str = "float32",
    constraints: Constraints = NO_CONSTRAINTS,
    **more: Any,
) -> list[ModelIO]:
    image = Tensor("image", shape, dtype, **more)
    return model_ios([Signature((image,), outputs or (SCORES,))], constraints, images, TASK)


def in_ranges(candidates: list[ModelIO]) -> list[tuple[float, float]]:
    """The ranges of pixels that are tried, without what has no range."""
    return [(io.background, io.foreground) for io in candidates if not (io.normalised or io.mean)]


def layouts_of(candidates: list[ModelIO]) -> list[tuple[tuple[int, ...], int | None, str]]:
    """The shapes, batches and fits in the order in which they are tried, without repeats."""
    return list(dict.fromkeys((model_io.shape, model_io.batch, model_io.fit) for model_io in candidates))


# --- shapes --------------------------------------------------------------------------------------------------------

HW, FLAT, NHWC, NCHW = (28, 28), (784,), (28, 28, 1), (1, 28, 28)
COLOURED, COLOURED_FIRST = (28, 28, 3), (3, 28, 28)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ((None, 28, 28), [HW]),
        ((None, 784), [FLAT]),
        ((None, 28, 28, 1), [NHWC]),
        ((None, 1, 28, 28), [NCHW]),
        ((None, 28, 28, 3), [COLOURED]),
        ((None, 3, 28, 28), [COLOURED_FIRST]),
        ((None, 2352), [(2352,)]),
        # Sizes that are free may be anything; the channels that are told are kept to.
        ((None, None), [FLAT]),
        ((None, None, None), [HW]),
        ((None, None, None, None), [NHWC, COLOURED, NCHW, COLOURED_FIRST]),
        ((None, None, 28, 28), [NCHW, COLOURED_FIRST]),
        ((None, 28, 28, None), [NHWC, COLOURED]),
        # Nothing is told, not even how many sizes there are.
        ((), [HW, FLAT, NHWC, COLOURED, NCHW, COLOURED_FIRST]),
    ],
    ids=str,
)
def test_every_shape_that_fits_is_tried_the_plainest_first(
    images: Statistics, declared: Shape, expected: list[tuple[int, ...]]
) -> None:
    candidates = guessed(images, declared)
    assert layouts_of(candidates) == [(shape, None, "pad") for shape in expected]
    assert len(set(candidates)) == len(candidates), "each one once"


@pytest.mark.parametrize("batch", [1, 32])
def test_a_fixed_batch_is_kept_to(images: Statistics, batch: int) -> None:
    for shape in (HW, FLAT, NHWC, COLOURED_FIRST):
        assert layouts_of(guessed(images, (batch, *shape))) == [(shape, batch, "pad")]


@pytest.mark.parametrize(
    ("declared", "fits"),
    [
        ((32, 32), ["pad", "resize"]), ((1, 32, 32), ["pad", "resize"]), ((224, 224, 3), ["pad", "resize"]),
        ((1024,), ["pad", "resize"]), ((3072,), ["pad", "resize"]), ((28, 32), ["pad", "resize"]),
        ((14, 14), ["resize", "crop", "mean"]), ((64,), ["resize", "crop"]), ((8, 8, 1), ["resize", "crop"]),
        ((20, 40), ["resize"]), ((1, 7, 7), ["resize", "crop", "mean"]), ((24, 24), ["resize", "crop"]),
    ],
    ids=str,
)  # fmt: skip
def test_more_pixels_are_background_or_between_and_fewer_are_averages(
    images: Statistics, declared: tuple[int, ...], fits: list[str]
) -> None:
    assert layouts_of(guessed(images, (None, *declared))) == [(declared, None, fit) for fit in fits]


# --- ranges --------------------------------------------------------------------------------------------------------


def test_every_usual_range_is_tried_both_ways_the_most_usual_first(images: Statistics) -> None:
    tried_ranges = in_ranges(guessed(images, (None, 28, 28)))
    mean, deviation = 0.25, 0.25 * 3**0.5
    of_these_images = [(-mean / deviation, 0.75 / deviation), (-0.75 / deviation, mean / deviation)]
    upright = [*UPRIGHT, *of_these_images]
    np.testing.assert_allclose(
        tried_ranges, [*upright, *((foreground, background) for background, foreground in upright)], atol=1e-4
    )


def test_a_range_is_tried_once_however_often_it_is_found() -> None:
    """Images half of which is foreground are normalised to -1 and 1, and their negatives too."""
    pixels = np.zeros((2, 28, 28), np.uint8)
    pixels[:, 14:] = 255
    tried_ranges = ranges(statistics_of(pixels))
    assert len(tried_ranges) == len(set(tried_ranges)) == 14
    assert ranges(statistics_of(pixels), (0.0, 1.0)) == [(0, 1), (1, 0)]


def test_ranges_that_differ_in_the_fourth_digit_are_one() -> None:
    """MNIST's mean is 0.1307 in PyTorch's example, and 0.13066 if one computes it."""
    flat = np.zeros((28, 28))
    near, other = Statistics(0.13066, 0.30811, flat, flat), Statistics(0.2860, 0.3530, flat, flat)
    assert ranges(near) == ranges(Statistics(0, 0, flat, flat))
    assert len(ranges(other)) == len(ranges(near)) + 4
    for first, second in itertools.combinations(ranges(near) + ranges(other)[-2:], 2):
        assert first == second or max(abs(first[0] - second[0]), abs(first[1] - second[1])) > 0.0005


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "expected"),
    [
        ("uint8", 0.0, 0, [(0, 255), (255, 0)]),  # 0 to 1 would be two greys
        ("int64", 0.0, 0, [(0, 255), (-128, 127), (255, 0), (127, -128)]),
        ("int8", 1 / 255, -128, [(0, 1), (1, 0)]),  # 255 would be cut off, and so would be -1
        ("int8", 0.0, 0, [(-128, 127), (127, -128)]),
        ("uint8", 1.0, 0, [(0, 255), (255, 0)]),
        ("uint8", 1 / 127.5, 127, [(0, 1), (-1, 1), (-0.5, 0.5), (1, 0), (1, -1), (0.5, -0.5)]),
    ],
)
def test_a_range_that_a_quantised_input_cannot_hold_is_not_tried(
    images: Statistics, dtype: str, scale: float, zero_point: int, expected: list[tuple[int, int]]
) -> None:
    candidates = guessed(images, (None, 28, 28), dtype=dtype, scale=scale, zero_point=zero_point)
    assert in_ranges(candidates) == expected
    assert {model_io.input for model_io in candidates} == {Tensor("image", (None, 28, 28), dtype, scale, zero_point)}


# --- outputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "answer"),
    [
        ((None, 10), (10,)),
        ((1, 10), (10,)),
        ((None, 1, 1, 10), (1, 1, 10)),
        ((None, 10, 1, 1), (10, 1, 1)),
        ((None, None), (10,)),
        ((None, None, None), (1, 10)),
        ((None, None, 10), (1, 10)),
        ((None, 10, None, None), (10, 1, 1)),
        ((), (10,)),
    ],
    ids=str,
)
def test_an_output_of_ten_is_scores_whatever_the_axes_beside(
    images: Statistics, declared: Shape, answer: tuple[int, ...]
) -> None:
    candidates = guessed(images, (None, 784), Tensor("b", declared, "float16"))
    assert {(model_io.output.name, model_io.answer) for model_io in candidates} == {("b", answer)}


def test_labels_and_features_are_no_scores(images: Statistics) -> None:
    not_scores = [
        Tensor("labels", (None,), "int64"), Tensor("one_hot", (None, 10), "int64"), Tensor("name", (None,), "string"),
        Tensor("names", (None, 10), "string"), Tensor("features", (None, 128), "float32"),
        Tensor("unknown", (), "int32"), Tensor("three", (None, None, 3), "float32"),
    ]  # fmt: skip
    assert {model_io.output for model_io in guessed(images, (None, 784), *not_scores, SCORES)} == {SCORES}


def test_whole_numbers_that_stand_for_others_are_scores(images: Statistics) -> None:
    for dtype, scale in (("int8", 0.1), ("uint8", 0.1), ("int32", 0.1), ("int8", 0.0), ("uint8", 0.0)):
        output = Tensor("b", (None, 10), dtype, scale)
        assert guessed(images, (None, 784), output)[0].output == output


def test_each_of_several_outputs_is_tried_in_the_order_of_the_file(images: Statistics) -> None:
    outputs = [replace(SCORES, name="last"), replace(SCORES, name="first")]
    candidates = guessed(images, (None, 784), *outputs)
    each = len(candidates) // 2
    assert [model_io.output.name for model_io in candidates] == ["last"] * each + ["first"] * each


# --- constraints ---------------------------------------------------------------------------------------------------


def test_a_constraint_leaves_only_what_meets_it(images: Statistics) -> None:
    outputs = [SCORES, replace(SCORES, name="others")]

    def guessed_with(**constraints: Any) -> list[ModelIO]:
        return guessed(images, (None, None, None, None), *outputs, constraints=Constraints(**constraints))

    unconstrained = guessed_with()
    assert {(io.background, io.foreground) for io in guessed_with(range=(-3.0, 7.0))} == {(-3, 7), (7, -3)}
    for inverted in (True, False):
        chosen = [ends for ends in in_ranges(unconstrained) if (ends[0] > ends[1]) is inverted]
        assert chosen == in_ranges(guessed_with(inverted=inverted))
        assert {io.background > io.foreground for io in guessed_with(inverted=inverted)} == {inverted}
    assert [io for io in unconstrained if io.shape in (NCHW, COLOURED_FIRST)] == guessed_with(layout="nchw")
    assert [io for io in unconstrained if io.output.name == "others"] == guessed_with(output="others")
    assert guessed_with(activation="logits") == [structs.replace(io, activation="logits") for io in unconstrained]
    (first,) = guessed_with(range=(0.0, 9.0), inverted=True, layout="nchw", output="others")[:1]
    assert (first.background, first.foreground, first.shape, first.output.name) == (9, 0, NCHW, "others")


@pytest.mark.parametrize("fit", ["pad", "resize"])
def test_how_it_becomes_larger_can_be_constrained(images: Statistics, fit: str) -> None:
    assert layouts_of(guessed(images, (None, 32, 32), constraints=Constraints(fit=fit))) == [((32, 32), None, fit)]


@pytest.mark.parametrize(("layout", "shape"), [("hw", HW), ("flat", FLAT), ("nhwc", NHWC), ("nchw", NCHW)])
def test_a_layout_can_be_constrained_where_nothing_is_told(
    images: Statistics, layout: str, shape: tuple[int, ...]
) -> None:
    assert guessed(images, (), constraints=Constraints(layout=layout))[0].shape == shape


def test_a_range_that_was_asked_for_is_tried_even_where_it_does_not_fit(images: Statistics) -> None:
    for pixel_range in ((-1.0, 1.0), (0.0, 1000.0)):
        constraints = Constraints(range=pixel_range, inverted=False)
        candidates = guessed(images, (None, 28, 28), dtype="uint8", constraints=constraints)
        assert in_ranges(candidates) == [pixel_range]
        assert len(candidates) == 1


# --- refusals ------------------------------------------------------------------------------------------------------


def refusal(error: type[DigitbenchError], signature: Signature, constraints: Constraints = NO_CONSTRAINTS) -> str:
    with pytest.raises(error) as caught:
        model_ios([signature], constraints, statistics_of(255 * np.eye(28, dtype=np.uint8)[None]), TASK)
    assert one_printable_line(str(caught.value))
    return str(caught.value)


def signature(shape: Shape = (None, 784), dtype: str = "float32", *outputs: Tensor) -> Signature:
    return Signature((Tensor("image", shape, dtype),), outputs or (SCORES,))


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (Constraints(output="b"), "--tensor b: the model has no such output; it has scores"),
        (
            Constraints(layout="nchw"),
            "--layout nchw: its input 'image' has shape [n, 784]; known are flat, hw, nhwc, nchw",
        ),
        (Constraints(layout="hw"), "--layout hw: "),
    ],
)
def test_a_constraint_that_cannot_be_met_is_named_as_the_option_that_it_was(
    constraints: Constraints, message: str
) -> None:
    assert refusal(UsageError, signature(), constraints).startswith(message)


@pytest.mark.parametrize("names", [(), ("image", "mask")])
def test_one_input_is_taken_neither_none_nor_two(names: tuple[str, ...]) -> None:
    message = refusal(BundleError, Signature(tuple(Tensor(name, (None, 784), "float32") for name in names), (SCORES,)))
    listed = ", ".join(map(repr, names)) or "none"
    assert message == f"it takes {len(names)} inputs ({listed}); a classifier of images takes one, the image"


@pytest.mark.parametrize("dtype", ["complex64", ""])
def test_what_stands_for_no_pixels_is_refused(dtype: str) -> None:
    assert refusal(BundleError, signature(dtype=dtype)).startswith(f"its input 'image' takes {dtype}, not numbers")


@pytest.mark.parametrize(
    ("dtype", "why"), [("string", "text, or serialised"), ("bool", "on or off"), ("bfloat16", "NumPy")]
)
def test_why_other_types_cannot_be_given_is_said(dtype: str, why: str) -> None:
    assert why in refusal(BundleError, signature(dtype=dtype))


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((None, 785), "[n, 785]"), ((None, 28, 28, 2), "[n, 28, 28, 2]"), ((None, 4, 28, 28), "[n, 4, 28, 28]"),
        ((None,), "[n]"), ((None, 1, 1, 28, 28), "[n, 1, 1, 28, 28]"), ((785,), "[785]"), ((28, 2, 28), "[28, 2, 28]"),
        ((None, None, None, None, None), "[n, n, n, n, n]"), ((None, 28, 1, 28), "[n, 28, 1, 28]"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_image_is_refused_with_its_shape(shape: Shape, shown: str) -> None:
    message = refusal(BundleError, signature(shape))
    assert message == f"its input 'image' has shape {shown}: not images of one or three channels"


@pytest.mark.parametrize(
    "output",
    [
        Tensor("b", (None, 2), "float32"), Tensor("b", (None, 12), "float32"), Tensor("b", (None,), "int64"),
        Tensor("b", (None, 10), "string"), Tensor("b", (10,), "int64"), Tensor("b", (None, 10, 10), "float32"),
        Tensor("b", (None, None, 3), "float32"),
    ],
    ids=lambda output: f"{output.dtype}{output.shape}",
)  # fmt: skip
def test_without_ten_scores_it_is_refused_with_what_it_gives(output: Tensor) -> None:
    message = refusal(BundleError, signature((None, 784), "float32", output))
    assert message.startswith(f"none of its outputs gives 10 scores an image: 'b' {output.dtype} [")


def test_a_quantised_input_that_no_usual_range_fits_asks_for_one() -> None:
    coarse = Signature((Tensor("image", (None, 784), "int8", 40.0),), (SCORES,))
    message = refusal(BundleError, coarse)
    assert message == "input 'image' (int8): no usual range of pixels fits into it; give --scale"
    statistics = statistics_of(255 * np.eye(28, dtype=np.uint8)[None])
    candidates = model_ios([coarse], Constraints(range=(0.0, 1000.0)), statistics, TASK)
    assert in_ranges(candidates) == [(0, 1000), (1000, 0)]
