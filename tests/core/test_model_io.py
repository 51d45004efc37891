"""Images encoded as a model takes them, and its answer decoded to scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from digitbench import plugins
from digitbench.backend import NATIVE_SPEC, Images, IOSpec, Tensor, check_images
from digitbench.plugins.fitting import fitted, size_of
from digitbench.plugins.model_io import NATIVE_IO, ModelIO, check_model_io
from digitbench.records.task import Task

Array = npt.NDArray[Any]
Positions = Callable[[int, int], list[tuple[int, ...]]]

# Where the pixel of a row and column lies in one image of a shape: written out by hand, without our code.
LAYOUTS: dict[tuple[int, ...], Positions] = {
    (28, 28): lambda row, column: [(row, column)],
    (784,): lambda row, column: [(28 * row + column,)],
    (28, 28, 1): lambda row, column: [(row, column, 0)],
    (1, 28, 28): lambda row, column: [(0, row, column)],
    (28, 28, 3): lambda row, column: [(row, column, colour) for colour in range(3)],
    (3, 28, 28): lambda row, column: [(colour, row, column) for colour in range(3)],
    (2352,): lambda row, column: [(3 * (28 * row + column) + colour,) for colour in range(3)],
}
# Pixels of the first image; in the second, only the grey one is foreground.
BACKGROUND, GREY, FOREGROUND = (0, 0), (10, 20), (27, 3)


def images_by_hand() -> Images:
    images = np.zeros((2, 28, 28), np.float32)
    images[0][GREY], images[0][FOREGROUND], images[1][GREY] = 0.2, 1, 1
    return images


def quantised(dtype: str, scale: float = 0.0, zero_point: int = 0) -> Tensor:
    return Tensor("image", (None, 28, 28), dtype, scale, zero_point)


def random_images(seed: int, count: int = 3) -> Images:
    return np.random.default_rng(seed).random((count, 28, 28), np.float32)


# --- what is given -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", LAYOUTS, ids=str)
def test_each_pixel_lies_where_the_layout_says_on_the_scale_that_the_model_takes(shape: tuple[int, ...]) -> None:
    for background, foreground in [(0, 1), (0, 255), (-1, 1), (1, 0), (255, 0), (0.5, -0.5)]:
        values = ModelIO(shape, background, foreground).encode(images_by_hand())
        assert values.shape == (2, *shape)
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        for pixel, share in ((BACKGROUND, 0.0), (GREY, 0.2), (FOREGROUND, 1.0)):
            encoded = [values[0][position] for position in LAYOUTS[shape](*pixel)]
            np.testing.assert_allclose(encoded, background + share * (foreground - background), rtol=1e-6, atol=1e-6)
        filled = np.argwhere(values[1] == foreground).tolist()
        assert [tuple(position) for position in filled] == LAYOUTS[shape](*GREY)


@pytest.mark.parametrize(
    ("background", "foreground", "tensor", "expected"),
    [
        (0, 255, quantised("uint8"), [0, 51, 255]),
        (255, 0, quantised("uint8"), [255, 204, 0]),
        (0, 255, quantised("int32"), [0, 51, 255]),
        (0, 255, quantised("int64"), [0, 51, 255]),
        (0, 255, quantised("uint64"), [0, 51, 255]),
        (0, 1, quantised("int8", 1 / 255, -128), [-128, -77, 127]),
        (0, 1, quantised("uint8", 1 / 255, 0), [0, 51, 255]),
        (1, 0, quantised("uint8", 1 / 255, 0), [255, 204, 0]),
        (-1, 1, quantised("uint8", 1 / 128, 128), [0, 51, 255]),  # 256 is cut off
        (0, 2, quantised("int8", 1 / 100, -100), [-100, -60, 100]),
        (0, 10, quantised("int8", 1 / 100, -128), [-128, 72, 127]),
        (0, 1, quantised("int16", 1 / 32767, 0), [0, 6553, 32767]),
        (0, 1, quantised("uint8"), [0, 0, 1]),
        (0, 3, quantised("uint8"), [0, 1, 3]),  # 0.6 is rounded, and not cut
        (0, 255, quantised("float16"), [0, np.float16(51), 255]),
        (-1, 1, quantised("float64"), [-1, pytest.approx(-0.6, abs=1e-6), 1]),
    ],
    ids=lambda value: f"{value.dtype} {value.scale:.3g} {value.zero_point}" if isinstance(value, Tensor) else None,
)
def test_numbers_are_rounded_and_quantised_as_the_input_says(
    background: float, foreground: float, tensor: Tensor, expected: list[float]
) -> None:
    values = ModelIO((28, 28, 1), background, foreground, input=tensor).encode(images_by_hand())
    assert values.dtype == tensor.dtype
    assert [values[0][(*pixel, 0)] for pixel in (BACKGROUND, GREY, FOREGROUND)] == expected


SHAPES = [*LAYOUTS, (32, 32), (1024,), (33, 30, 1), (3, 29, 35), (3072,)]


def inverted(model_io: ModelIO, values: Array) -> Images:
    """The images that are encoded as these values: the way back, step by step."""
    numbers = values.astype(np.float64)
    if model_io.input.scale:
        numbers = (numbers - model_io.input.zero_point) * model_io.input.scale
    numbers = (numbers - model_io.background) / (model_io.foreground - model_io.background)
    if len(model_io.shape) == 3 and model_io.shape[0] in (1, 3):
        numbers = numbers.mean(axis=1)
    elif len(model_io.shape) == 3 or model_io.shape in ((2352,), (3072,)):
        numbers = numbers.reshape(len(values), -1, model_io.shape[-1] if len(model_io.shape) == 3 else 3).mean(axis=2)
    height, width = size_of(model_io.shape)
    top, left = (height - 28) // 2, (width - 28) // 2
    return numbers.reshape(-1, height, width)[:, top : top + 28, left : left + 28].astype(np.float32)


@st.composite
def model_ios_that_lose_little(draw: st.DrawFn) -> tuple[ModelIO, float]:
    """A model I/O, and how much of a pixel's range one step of its numbers is."""
    reach = draw(st.sampled_from([1.0, 2.0, 4.5, 255.0]))
    background = reach * draw(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 1.0]))
    ends = (background, background + reach) if draw(st.booleans()) else (background + reach, background)
    dtype = draw(st.sampled_from(["float16", "float32", "float64", "int8", "uint8", "int16", "uint16"]))
    scale, zero_point, step = 0.0, 0, 1e-5
    if dtype == "float16":
        step = 3 * 2.0**-10  # as far from 0 as three times the reach
    elif np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        # A step too few, so that no end is cut off by the zero point's rounding.
        scale = reach / (int(limits.max) - int(limits.min) - 1)
        zero_point, step = round(limits.min - background / scale + 0.5), scale / reach
    return ModelIO(draw(st.sampled_from(SHAPES)), *ends, input=quantised(dtype, scale, zero_point)), step


@settings(deadline=None, max_examples=150)
@given(model_ios_that_lose_little(), st.integers(1, 4), st.sampled_from(["plain", "turned", "strided", "flipped"]))
def test_what_was_given_is_the_image_within_a_step_whatever_the_array_is_like(
    model_io_and_step: tuple[ModelIO, float], count: int, memory: str
) -> None:
    model_io, step = model_io_and_step
    images = random_images(count, 2 * count)
    images = {
        "plain": images, "turned": np.asfortranarray(images), "strided": images[::2], "flipped": images[:, ::-1, ::-1],
    }[memory]  # fmt: skip
    images.flags.writeable = False
    before = images.copy()
    values = model_io.encode(images)
    assert values.shape == (len(images), *model_io.shape)
    assert values.flags.c_contiguous
    np.testing.assert_allclose(inverted(model_io, values), images, rtol=0, atol=step)
    np.testing.assert_array_equal(images, before)


# --- other sizes ---------------------------------------------------------------------------------------------------


def test_background_is_put_around_on_the_models_own_scale() -> None:
    images = random_images(0)
    values = ModelIO((1, 33, 30), 255, 0, "pad").encode(images)
    np.testing.assert_allclose(values[:, 0, 2:30, 1:29], 255 * (1 - images), atol=1e-4)
    inside = np.zeros((33, 30), bool)
    inside[2:30, 1:29] = True
    assert (values[:, 0, ~inside] == 255).all()
    np.testing.assert_array_equal(ModelIO((1024,)).encode(images).reshape(-1, 32, 32)[:, 2:30, 2:30], images)


@pytest.mark.parametrize("size", [(32, 32), (14, 14), (8, 8), (27, 29), (20, 61), (224, 224), (5, 28)], ids=str)
def test_another_size_is_what_pillow_makes_of_it(size: tuple[int, int]) -> None:
    """Which reduces by averaging over all that a pixel covers."""
    from PIL import Image

    images = random_images(1)
    images[1] = np.arange(784, dtype=np.float32).reshape(28, 28) / 783  # a slope shows a shift by half a pixel
    images.flags.writeable = False
    resized = fitted(images, size, "resize")
    pictures = [Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR) for image in images]
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, [np.asarray(picture) for picture in pictures], rtol=0, atol=1e-5)


def test_what_is_all_one_grey_stays_so_in_every_size() -> None:
    """The weights of a pixel add up to one."""
    for side in (1, 2, 7, 14, 27, 29, 32, 64):
        grey = np.full((1, 28, 28), 0.7, np.float32)
        np.testing.assert_allclose(fitted(grey, (side, side), "resize"), 0.7, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((784,), (28, 28)), ((64,), (8, 8)), ((1024,), (32, 32)), ((2352,), (28, 28)), ((3072,), (32, 32)),
        ((28, 30), (28, 30)), ((28, 30, 1), (28, 30)), ((28, 30, 3), (28, 30)), ((1, 28, 30), (28, 30)),
        ((3, 28, 30), (28, 30)), ((785,), (0, 0)), ((28, 28, 2), (0, 0)), ((4, 28, 28), (0, 0)), ((), (0, 0)),
        ((1, 1, 28, 28), (0, 0)),
    ],
    ids=str,
)  # fmt: skip
def test_height_and_width_are_those_without_the_channels(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert size_of(shape) == expected


# --- what is read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [(10,), (1, 1, 10), (10, 1), (10, 1, 1), (1, 10)], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_scores_are_ten_an_image_whatever_the_axes_beside(answer: tuple[int, ...], dtype: str) -> None:
    scores = np.arange(30).reshape(3, 10)
    decoded = ModelIO(answer=answer, output=Tensor("", (), dtype)).decode(scores.astype(dtype).reshape(3, *answer))
    assert decoded.dtype == np.float32
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, scores)


@pytest.mark.parametrize(
    ("output", "numbers", "expected"),
    [
        (quantised("uint8", 1 / 256), [0, 64, 255], [0, 0.25, 255 / 256]),
        (quantised("int8", 1 / 256, -128), [-128, 0, 127], [0, 0.5, 255 / 256]),
        (quantised("int8", 0.25, 3), [-128, 3, 127], [-32.75, 0, 31]),
        (quantised("int8"), [-128, 3, 127], [-128, 3, 127]),
        (quantised("uint8"), [0, 64, 255], [0, 64, 255]),
        (quantised("int32", 0.5, 0), [-(2**20), 0, 7], [-(2**19), 0, 3.5]),
    ],
    ids=lambda value: f"{value.dtype} {value.scale:.3g}" if isinstance(value, Tensor) else None,
)
def test_whole_numbers_are_read_as_what_they_stand_for(
    output: Tensor, numbers: list[int], expected: list[float]
) -> None:
    answer = np.zeros((2, 10), output.dtype)
    answer[1, :3] = numbers
    answer.flags.writeable = False
    decoded = ModelIO(output=output).decode(answer)
    assert decoded.dtype == np.float32
    assert decoded[1, :3].tolist() == expected


# --- what model I/O says -------------------------------------------------------------------------------------------


def test_an_adapter_is_told_the_model_and_not_the_image() -> None:
    model_io = ModelIO(
        (784,), -1, 1, "pad", 8, quantised("int8", 0.1), Tensor("out", (8, 10), "uint8", 0.2), (1, 10), code=True
    )
    assert model_io.io_spec == IOSpec((784,), "int8", 8, "out", (1, 10), "uint8", trusted=False)
    assert NATIVE_IO.io_spec == NATIVE_SPEC


def test_native_model_io_is_native_and_every_other_is_not() -> None:
    assert NATIVE_IO.is_native
    assert replace(NATIVE_IO, activation="logits", input=Tensor("image", (None, 28, 28), "float32")).is_native
    changes: list[dict[str, Any]] = [
        {"shape": (784,)}, {"background": 1.0}, {"foreground": 255.0}, {"batch": 1}, {"code": True},
        {"answer": (1, 10)},
        {"input": quantised("uint8")}, {"input": quantised("float32", 0.1)}, {"output": Tensor("b", (), "float32")},
        {"output": Tensor("", (), "float16")},
    ]  # fmt: skip
    assert [change for change in changes if replace(NATIVE_IO, **change).is_native] == []


def test_what_is_exported_has_one_output_no_code_and_of_onnx_any_batch() -> None:
    model_io = ModelIO((784,), 0, 255, batch=8, output=Tensor("b", (8, 10), "float32"), code=True)
    written = plugins.exported(model_io, "tflite")
    assert (written.output.name, written.code, written.batch) == ("", False, 8)
    assert (written.shape, written.foreground, written.input) == (model_io.shape, model_io.foreground, model_io.input)
    assert plugins.exported(model_io, "onnx") == replace(written, batch=None)


@pytest.mark.parametrize(
    ("tensor", "ends", "expected"),
    [
        (quantised("float32"), (0, 1000), False),
        (quantised("uint8"), (0, 255), False),
        (quantised("uint8"), (255, 0), False),
        (quantised("uint8"), (0, 1), True),  # two greys
        (quantised("uint8"), (-1, 1), True),
        (quantised("int8"), (0, 255), True),
        (quantised("int8"), (-128, 127), False),
        (quantised("int8", 1 / 255, -128), (0, 1), False),
        (quantised("int8", 1 / 255, -128), (0, 255), True),
        (quantised("int8", 1 / 255, -128), (-1, 1), True),
        (quantised("uint8", 1 / 128, 128), (-1, 1), False),  # a step beyond is rounding
        (quantised("uint8", 1 / 128, 128), (1, -1), False),
        (quantised("int64"), (0, 255), False),
    ],
)
def test_a_range_that_does_not_fit_into_whole_numbers_is_known(
    tensor: Tensor, ends: tuple[float, float], expected: bool
) -> None:
    assert ModelIO((28, 28), *ends, input=tensor).saturates() is expected


sizes = st.lists(st.none() | st.integers(1, 64), max_size=4).map(tuple)
finite = st.floats(allow_nan=False, allow_infinity=False)
tensors = st.builds(Tensor, st.text(), sizes, st.sampled_from(["float32", "int8"]), finite, st.integers(-128, 127))
shapes = st.lists(st.integers(1, 64), max_size=3).map(tuple)


@settings(deadline=None)
@given(
    st.builds(
        ModelIO, shapes, finite, finite, st.sampled_from(["pad", "resize"]), st.none() | st.integers(1, 64), tensors,
        tensors, shapes, st.sampled_from(["softmax", "logits"]), st.booleans(),
    )
)  # fmt: skip
def test_model_io_survives_the_manifest(model_io: ModelIO) -> None:
    assert ModelIO.from_json(json.loads(json.dumps(model_io.to_json()))) == model_io


def test_what_a_manifest_leaves_out_is_native() -> None:
    tensor = Tensor("", (), "float32")
    assert ModelIO.from_json({}) == ModelIO((), 0.0, 1.0, "pad", None, tensor, tensor, (), "softmax") == NATIVE_IO


def test_a_model_of_the_tasks_own_shapes_is_native() -> None:
    task = Task((12, 10, 3), ("a", "b"))
    assert ModelIO((12, 10, 3), answer=(2,)).of(task) == NATIVE_IO
    for other in (ModelIO((3, 12, 10), answer=(2,)), ModelIO((12, 10, 3), foreground=255.0, answer=(2,))):
        assert other.of(task) == other


def test_other_images_than_the_io_spec_says_are_refused_with_both() -> None:
    io_spec = IOSpec((1, 28, 28), "uint8")
    check_images(np.zeros((2, 1, 28, 28), np.uint8), io_spec)
    for wrong in (
        np.zeros((2, 1, 28, 28), np.int8),
        np.zeros((2, 28, 28), np.uint8),
        np.zeros((0, 1, 28, 28), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"uint8 of shape \(n, 1, 28, 28\)") as caught:
            check_images(wrong, io_spec)
        assert f"{wrong.dtype} of shape {wrong.shape}" in str(caught.value)


# --- transposed images, columns and single outputs -----------------------------------------------------------------


def test_rows_and_columns_are_exchanged_before_all_else() -> None:
    images = np.random.default_rng(0).random((2, 6, 9, 3), np.float32)
    given = ModelIO((3, 9, 6), transposed=True).encode(images)
    np.testing.assert_array_equal(given, images.transpose(0, 3, 2, 1))


def test_columns_say_which_number_is_which_class() -> None:
    answer = np.arange(8, dtype=np.float32).reshape(2, 4)
    decoded = ModelIO(answer=(4,), columns=(3, 1, 2)).decode(answer)
    assert decoded.tolist() == [[3, 1, 2], [7, 5, 6]]
    assert decoded.flags.c_contiguous


@pytest.mark.parametrize(
    ("activation", "columns", "expected"),
    [
        ("sigmoid", (), [[0.75, 0.25], [0, 1]]),
        ("sigmoid", (1, 0), [[0.25, 0.75], [1, 0]]),
        ("logits", (), [[0, 0.25], [0, 1]]),
    ],
)
def test_a_single_number_is_of_the_second_of_two_classes(
    activation: str, columns: tuple[int, ...], expected: list[list[float]]
) -> None:
    answer = np.array([[0.25], [1]], np.float32)
    model_io = ModelIO(answer=(1,), activation=activation, columns=columns)
    assert model_io.decode(answer).tolist() == expected
    check_model_io(model_io, Task((8, 8), ("a", "b")))


@pytest.mark.parametrize(("answer", "columns"), [(4, ()), (3, (0, 1)), (3, (0, 1, 1)), (3, (0, 1, 3)), (1, ())])
def test_columns_that_no_three_classes_have_are_refused(answer: int, columns: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match="answer"):
        check_model_io(ModelIO((8, 8), answer=(answer,), columns=columns), Task((8, 8), ("a", "b", "c")))


def test_what_few_models_have_is_stored_only_there() -> None:
    assert not {"transposed", "columns", "channels"} & set(NATIVE_IO.to_json())
    model_io = ModelIO(transposed=True, columns=(1, 0), channels="bgr")
    assert ModelIO.from_json(json.loads(json.dumps(model_io.to_json()))) == model_io
    assert not replace(NATIVE_IO, transposed=True).is_native
    assert not replace(NATIVE_IO, columns=(1, 0)).is_native
