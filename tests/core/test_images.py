"""Images that a user gives: what is taken, what becomes of it, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import digitbench
from core.helpers import one_printable_line
from digitbench import data
from digitbench.backend import Images
from digitbench.bundle import Bundle
from digitbench.classifier import Classifier
from digitbench.errors import ImageError
from digitbench.records.arrays import Pixels

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def classifier(untrained: Bundle) -> Iterator[Classifier]:
    with digitbench.load(untrained.path, backend="numpy") as opened:
        yield opened


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.load("digits").test


# --- what it takes and gives ---------------------------------------------------------------------------------------

VARIANTS: dict[str, Callable[[Images], Array]] = {
    "uint8": lambda images: np.round(images * 255).astype(np.uint8),
    "float16": lambda images: images.astype(np.float16),
    "float32": lambda images: images,
    "float64": lambda images: images.astype(np.float64),
    "big-endian": lambda images: images.astype(">f4"),
    "in Fortran's order": np.asfortranarray,
    "every other of twice as many": lambda images: np.repeat(images, 2, axis=0)[::2],
    "a part of larger pictures": lambda images: np.pad(images, ((0, 0), (3, 3), (3, 3)))[:, 3:-3, 3:-3],
}


@pytest.mark.parametrize("shape", [(300, 28, 28), (300, 784), (1, 28, 28), (1, 784), (28, 28)], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gets_the_labels_of_the_reference(
    classifier: Classifier, untrained: Bundle, digits: data.Split, variant: str, shape: tuple[int, ...]
) -> None:
    count = 300 if shape[0] == 300 else 1
    images = VARIANTS[variant](digits.images[:count]).reshape(shape)
    reference = untrained.reference_scores()[:count]
    scores, labels = classifier.scores(images), classifier.predict(images)
    assert scores.dtype == np.float32
    assert scores.shape == (count, 10)
    assert labels.dtype == np.int64
    assert labels.shape == (count,)
    np.testing.assert_allclose(scores, reference, atol=1e-3 if variant == "float16" else 1e-5)
    np.testing.assert_array_equal(labels, scores.argmax(axis=1))
    if variant != "float16":
        np.testing.assert_array_equal(labels, reference.argmax(axis=1))


def test_bytes_become_exactly_what_models_are_trained_on(classifier: Classifier) -> None:
    every_byte = np.resize(np.arange(256, dtype=np.uint8), (3, 28, 28))
    trained_on = data.Split(every_byte, np.zeros(3, np.int64)).images
    np.testing.assert_array_equal(data.to_images(every_byte), trained_on)
    np.testing.assert_array_equal(data.to_images(every_byte / 255), trained_on)
    np.testing.assert_array_equal(classifier.scores(every_byte), classifier.scores(trained_on))
    assert trained_on.max() == 1


def test_the_order_of_images_is_kept_whatever_their_number(classifier: Classifier, digits: data.Split) -> None:
    count = 3 * 256 + 5
    images = np.resize(digits.images, (count, 28, 28))
    labels = classifier.predict(images)
    np.testing.assert_array_equal(labels, np.resize(classifier.predict(digits.images), count))
    np.testing.assert_array_equal(classifier.predict(images[::-1]), labels[::-1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_images_are_left_untouched_and_the_answer_is_the_callers(
    classifier: Classifier, digits: data.Split, variant: str
) -> None:
    images = VARIANTS[variant](digits.images[:5])
    before = images.copy()
    images.flags.writeable = False
    scores = classifier.scores(images)
    first = scores.copy()
    np.testing.assert_array_equal(images, before)
    classifier.scores(images[::-1])
    np.testing.assert_array_equal(scores, first)
    scores[:] = 0
    np.testing.assert_array_equal(classifier.scores(images), first)


def test_what_numpy_makes_an_array_of_by_itself_is_taken(classifier: Classifier, digits: data.Split) -> None:
    """Pictures of Pillow, tensors on the CPU."""

    class Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Pixels:
            return digits.pixels[:1].reshape(28, 28)

    class Picture:
        __array_interface__ = digits.pixels[0].__array_interface__

    expected = classifier.predict(digits.pixels[0])
    np.testing.assert_array_equal(classifier.predict(Tensor()), expected)
    np.testing.assert_array_equal(classifier.predict(Picture()), expected)


def test_rounding_beyond_one_is_no_fault(classifier: Classifier) -> None:
    images = np.full((28, 28), np.nextafter(1.0, 2))
    np.testing.assert_array_equal(data.to_images(images), np.ones((1, 28, 28)))


# --- what it refuses -----------------------------------------------------------------------------------------------


def refusal(classifier: Classifier, images: object) -> str:
    with pytest.raises(ImageError) as caught:
        classifier.predict(images)
    assert isinstance(caught.value, ValueError)
    assert one_printable_line(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.zeros((3, 28, 28), np.int64), ["int64 of shape (3, 28, 28)", ".astype('uint8')"]),
        (np.zeros((28, 28), bool), ["bool", "True is the foreground", ".astype('float32')"]),
        (np.zeros((28, 28), complex), ["complex128", "0 (background) to 255 (foreground), or float from 0 to 1"]),
        (np.zeros((28, 28), np.int8), ["int8 of shape"]),
        (np.zeros((28, 28), "U1"), ["str32"]),
        (np.full((28, 28), None), ["object"]),
        (np.full((28, 28), 254.5), ["float64", "from 254.5 to 254.5", "divide it by 255"]),
        (np.eye(28, dtype="f4") * 255, ["float32", "from 0.0 to 255.0", "divide it by 255"]),
        (np.eye(28) * 256, ["from 0.0 to 256.0", "scale it to that range"]),
        (np.eye(28) * 255 - 0.5, ["from -0.5 to 254.5", "scale it to that range"]),
        (np.eye(28) - 0.5, ["from -0.5 to 0.5", "scale it to that range"]),
        (np.eye(28) * -1e-30, ["scale it to that range"]),
        (np.eye(28) * 1e300, ["to 1e+300", "scale it to that range"]),
        (np.where(np.eye(28), np.nan, 0.5), ["NaN or infinite", "float64 of shape (28, 28)"]),
        (np.where(np.eye(28), np.inf, 0.5), ["NaN or infinite"]),
        (np.where(np.eye(28), -np.inf, 0.5).astype(np.float16), ["NaN or infinite", "float16"]),
        (np.zeros(784, np.uint8), ["uint8 of shape (784,)", ".reshape(-1, 28, 28)"]),
        (np.zeros((5, 28, 28, 1), np.uint8), ["(5, 28, 28, 1)", ".reshape(-1, 28, 28)"]),
        (np.zeros((5, 1, 28, 28), np.uint8), ["(5, 1, 28, 28)", ".reshape(-1, 28, 28)"]),
        (np.zeros((28, 28, 1), np.uint8), [".reshape(-1, 28, 28)"]),
        (np.zeros((28, 28, 3), np.uint8), ["(28, 28, 3)", "28 × 28 grey pixels"]),
        (np.zeros((5, 28, 28, 3), np.uint8), ["(5, 28, 28, 3)", "28 × 28 grey pixels"]),
        (np.zeros((2, 5, 28, 28), np.uint8), ["(2, 5, 28, 28)", "28 × 28 grey pixels"]),
        (np.zeros((32, 32), np.uint8), ["(32, 32)", "(28, 28), (n, 28, 28) or (n, 784)"]),
        (np.zeros((784, 5), np.uint8), ["(784, 5)", "28 × 28 grey pixels"]),
        (np.zeros((), np.uint8), ["uint8 of shape ()"]),
        (np.zeros((0, 28, 28), np.uint8), ["(0, 28, 28)", "no image in it"]),
        (np.zeros((0, 784)), ["(0, 784)", "no image in it"]),
        (np.zeros((5, 0)), ["no image in it"]),
        ([[0] * 28] * 28, ["list", "NumPy array"]),
        (None, ["NoneType", "NumPy array"]),
        ("digit.png", ["str", "NumPy array"]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_it_wont_take_is_named_with_what_to_do(
    classifier: Classifier, images: object, expected: list[str]
) -> None:
    message = refusal(classifier, images)
    assert [part for part in expected if part not in message] == []
    if isinstance(images, np.ndarray):
        assert f"{images.dtype.name} of shape {images.shape}" in message


def test_what_a_shape_is_advised_to_do_helps(classifier: Classifier, digits: data.Split) -> None:
    expected = classifier.predict(digits.pixels[:5])
    for shape in [(5, 28, 28, 1), (5, 1, 28, 28), (5, 784, 1), (1, 5, 784), (1, 5, 28, 28)]:
        images = digits.pixels[:5].reshape(shape)
        assert ".reshape(-1, 28, 28)" in refusal(classifier, images)
        np.testing.assert_array_equal(classifier.predict(images.reshape(-1, 28, 28)), expected)


def test_an_object_that_wont_become_an_array_is_refused_with_its_reason(classifier: Classifier) -> None:
    class OnAnotherDevice:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
            raise TypeError("can't convert a tensor on the GPU\nto NumPy")

    message = refusal(classifier, OnAnotherDevice())
    assert "OnAnotherDevice: can't convert a tensor on the GPU to NumPy" in message


SHAPES = st.one_of(
    st.sampled_from([(28, 28), (784,), (28, 28, 1), (28, 28, 3), (0, 28, 28), ()]),
    st.integers(0, 3).flatmap(lambda n: st.sampled_from([(n, 28, 28), (n, 784), (n, 28, 28, 1), (n, 28), (n, 785)])),
    arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
)
DTYPES = st.one_of(
    st.sampled_from([np.dtype(np.uint8), np.dtype("f2"), np.dtype(">f4"), np.dtype("f8")]),
    arrays.scalar_dtypes(),
    arrays.array_dtypes(),
)
WILD = arrays.arrays(DTYPES, SHAPES)
NEAR = arrays.arrays(
    st.sampled_from(["f2", "f4", "f8"]).map(np.dtype), SHAPES,
    elements=st.sampled_from([0.0, 0.25, 1.0, 1.0, -0.0, 1.5, -0.25, 255.0, float("nan"), float("inf")]),
    fill=st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.one_of(WILD, NEAR))
@pytest.mark.filterwarnings("error")
def test_any_array_gets_a_label_for_each_image_or_one_line(classifier: Classifier, images: Array) -> None:
    before = images.tobytes()
    with np.errstate(over="ignore"):
        rounded = images.astype(np.float32) if images.dtype.kind == "f" else images  # -1e-200 becomes a 0
    in_range = images.dtype == np.uint8 or (
        images.dtype.kind == "f" and images.size and 0 <= rounded.min() <= rounded.max() <= 1
    )
    if in_range and (images.shape == (28, 28) or images.shape[1:] in ((28, 28), (784,))) and images.size:
        labels = classifier.predict(images)
        assert labels.shape == ((1,) if images.shape == (28, 28) else images.shape[:1])
        assert ((labels >= 0) & (labels <= 9)).all()
    else:
        refusal(classifier, images)
    assert images.tobytes() == before
