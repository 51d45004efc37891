"""New digits from old: what is drawn, that it is what is done, and the picture of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.helpers import Recorder
from digitbench import data
from digitbench.backend import Images
from digitbench.charts import augmented, canvas
from digitbench.data import Dataset
from digitbench.records.recipes import Recipe, Strengths
from digitbench.train.augment import PIXELS, SIDE, TOGETHER, deform, source_positions

ALL = Strengths(rotation=15, shear=0.2, scaling=0.2, shift=2.5, elastic=1.5, smoothness=4)
MIDDLE = (SIDE - 1) / 2
GRID = np.indices((SIDE, SIDE)).reshape(2, PIXELS)

counts = st.sampled_from([0, 1, 31, 32, 33, 70])
seeds = st.integers(0, 2**32 - 1)
any_strengths = st.builds(
    Strengths, rotation=st.floats(0, 180), shear=st.floats(0, 2), scaling=st.floats(0, 0.9), shift=st.floats(0, 14),
    elastic=st.floats(0, 14), smoothness=st.floats(0.1, 28),
)  # fmt: skip


def some_images(count: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).random((count, SIDE, SIDE), np.float32)


def some_shapes(count: int) -> Images:
    """Smooth images, with foreground up to the edge."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(0).standard_normal((count, SIDE, SIDE)), (0, 1.2, 1.2))
    return np.asarray((smooth * 2 + 0.4).clip(0, 1), np.float32)


def drawn(strengths: Strengths, count: int, seed: int, epoch: int) -> tuple[Any, Any, np.random.Generator]:
    """Images that share each deformation, where their pixels come from, and a generator as before these were drawn."""
    rng = np.random.default_rng([seed, epoch])
    shuffled, replay = rng.permutation(count), np.random.default_rng([seed, epoch])
    replay.permutation(count)
    groups = -(-count // TOGETHER)
    return np.array_split(shuffled, range(TOGETHER, count, TOGETHER)), source_positions(strengths, groups, rng), replay


# --- what is done ---------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(any_strengths, counts, seeds, st.integers(0, 1000))
def test_seed_and_epoch_alone_say_what_comes_out(strengths: Strengths, count: int, seed: int, epoch: int) -> None:
    images = some_images(count)
    before = images.copy()
    first = deform(images, strengths, seed, epoch)
    assert (first.shape, first.dtype) == (images.shape, np.dtype(np.float32))
    assert np.array_equal(deform(images, strengths, seed, epoch), first)
    assert np.array_equal(images, before), "what was given is left as it was"
    assert not count or (first.min() >= 0 and first.max() <= 1)


@pytest.mark.parametrize("part", ["rotation", "shear", "scaling", "shift", "elastic"])
def test_another_seed_or_epoch_gives_others(part: str) -> None:
    images, strengths = some_images(40), Strengths(**{part: 1.0 if part in ("rotation", "elastic", "shift") else 0.1})
    assert strengths
    versions = [deform(images, strengths, *drawn_by) for drawn_by in ((0, 0), (0, 1), (1, 0))]
    for index, version in enumerate(versions):
        assert np.abs(version - images).max() > 0.01
        assert all(np.abs(version - later).max() > 0.01 for later in versions[index + 1 :])


@given(counts, seeds, st.floats(0.1, 28))
@settings(max_examples=10, deadline=None)
def test_no_strength_gives_the_images_back(count: int, seed: int, smoothness: float) -> None:
    strengths, images = Strengths(smoothness=smoothness), some_images(count, seed)
    assert not strengths
    np.testing.assert_allclose(deform(images, strengths, seed, 3), images, atol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("strengths", [ALL, Strengths(shift=1e12, elastic=1e15), Strengths(180, 2, 0.9, 14, 14, 0.1)])
def test_foreground_stays_foreground_and_background_is_all_around(strengths: Strengths) -> None:
    deformed = deform(np.ones((4096, SIDE, SIDE), np.float32), strengths, 0, 0)
    assert 0 <= deformed.min() <= deformed.max() <= 1, "also where a sum of shares is rounded up"
    assert deformed.min() == 0


def test_a_shift_moves_by_what_was_drawn() -> None:
    rows, columns = GRID
    blob = np.exp(-((rows - 12) ** 2 + (columns - 15) ** 2) / 8).astype(np.float32).reshape(SIDE, SIDE)
    images = np.repeat(blob[None], 96, axis=0)
    groups, positions, rng = drawn(Strengths(shift=3), 96, 5, 2)
    deformed = deform(images, Strengths(shift=3), 5, 2).reshape(96, PIXELS)
    shifts = (positions - GRID)[:, :, 0]
    assert np.abs(positions - GRID - shifts[:, :, None]).max() < 1e-4, "of all pixels alike"
    rng.random(3 * 4)  # angle, shear and two scales of each
    np.testing.assert_allclose(shifts, rng.uniform(-3, 3, (3, 2)), atol=1e-5)
    for members, shift in zip(groups, shifts, strict=True):
        for image in deformed[members]:
            centre = GRID @ image / image.sum()
            np.testing.assert_allclose(centre, np.array([12, 15]) - shift, atol=0.02)


def test_a_rotation_is_scipys_by_the_angle_that_was_drawn() -> None:
    from scipy.ndimage import affine_transform

    images = some_shapes(70)
    groups, _, rng = drawn(Strengths(rotation=40), 70, 1, 4)
    angles = np.radians(rng.uniform(-40, 40, 3))
    assert np.ptp(angles) > 0.1
    deformed = deform(images, Strengths(rotation=40), 1, 4)
    for members, angle in zip(groups, angles, strict=True):
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        offset = MIDDLE - matrix @ [MIDDLE, MIDDLE]
        for member in members:
            expected = affine_transform(np.pad(images[member], 4), matrix, offset + 4 - matrix @ [4, 4], order=3)
            np.testing.assert_allclose(deformed[member], expected[4:-4, 4:-4].clip(0, 1), atol=0.15)


def test_all_together_is_scipys_cubic_spline_at_the_same_places_and_no_bilinear_blur() -> None:
    from scipy.ndimage import map_coordinates

    images = some_shapes(70)
    groups, positions, _ = drawn(ALL, 70, 2, 0)
    deformed = deform(images, ALL, 2, 0)
    errors = {1: 0.0, 3: 0.0}
    for members, position in zip(groups, positions, strict=True):
        for member in members:
            for order in errors:
                expected = map_coordinates(np.pad(images[member], 8), position + 8, order=order)
                difference = np.abs(deformed[member].ravel() - expected.clip(0, 1))
                errors[order] += difference.mean() / len(images)
                assert order == 1 or difference.max() < 0.15
    assert errors[3] < errors[1] / 2


def test_a_parabola_stays_the_same_parabola() -> None:
    """This tells R. Keys' cubic from bilinear interpolation, and from every other cubic of its kind."""
    rows, columns = GRID

    def value(row: Any, column: Any) -> Any:
        return 0.1 + ((row - 10) ** 2 + (column - 15) ** 2 + row * column / 2) / 1000

    image = value(rows, columns).reshape(1, SIDE, SIDE).astype(np.float32)
    strengths = Strengths(rotation=10, scaling=0.1, shift=1)
    for epoch in range(5):
        _, positions, _ = drawn(strengths, 1, 0, epoch)
        inside = ((positions[0] > 1) & (positions[0] < SIDE - 2)).all(axis=0)
        deformed = deform(image, strengths, 0, epoch).ravel()
        np.testing.assert_allclose(deformed[inside], value(*positions[0])[inside], atol=1e-4)


@pytest.mark.parametrize("smoothness", [0.1, 3.0, 28.0])
def test_elastic_bends_by_its_root_mean_square(smoothness: float) -> None:
    strengths = Strengths(elastic=1.5, smoothness=smoothness)
    displacements = source_positions(strengths, 1000, np.random.default_rng(0)) - GRID
    assert np.sqrt((displacements**2).mean(axis=(0, 2))) == pytest.approx([1.5, 1.5], rel=0.05), "along each axis"
    edge = displacements.reshape(1000, 2, SIDE, SIDE)[:, :, 0, 0]
    assert np.sqrt((edge**2).mean()) == pytest.approx(1.5, rel=0.1), "and no less at the edge"


def test_a_smoother_bending_moves_neighbours_alike() -> None:
    def steps(smoothness: float) -> float:
        displacements = (
            source_positions(Strengths(elastic=1, smoothness=smoothness), 50, np.random.default_rng(0)) - GRID
        )
        return float(np.diff(displacements.reshape(50, 2, SIDE, SIDE), axis=3).std())

    assert steps(1) > 2 * steps(3) > 4 * steps(9)


def test_scaling_and_shear_are_within_their_strengths() -> None:
    strengths = Strengths(shear=0.3, scaling=0.2)
    positions = source_positions(strengths, 500, np.random.default_rng(0)).reshape(500, 2, SIDE, SIDE)
    down, right = positions[:, :, 1, 0] - positions[:, :, 0, 0], positions[:, :, 0, 1] - positions[:, :, 0, 0]
    for scales in (down[:, 0], right[:, 1]):
        assert 0.8 - 1e-4 <= scales.min() < 0.82 < 1.18 < scales.max() <= 1.2 + 1e-4
    assert np.abs(right[:, 0]).max() < 1e-4, "rows stay level"
    assert 0.28 < np.abs(down[:, 1]).max() <= 0.3 + 1e-4
    assert abs(np.corrcoef(down[:, 0], right[:, 1])[0, 1]) < 0.2, "width and height each on its own"


@pytest.mark.parametrize(
    "images", [np.zeros((2, 28, 28)), np.zeros((2, 28, 28), np.uint8), np.zeros((2, 784), np.float32)]
)
def test_other_types_and_shapes_are_refused(images: Any) -> None:
    with pytest.raises(ValueError, match=r"images must be float32 of shape \(n, 28, 28\); got"):
        deform(images, ALL, 0, 0)


# --- the picture ----------------------------------------------------------------------------------------------------

TURNING = Recipe("turning", rotation=20, scaling=0.1, elastic=1, validation_split=0.2, seed=3)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


def test_the_picture_shows_what_the_training_sees(digits: Dataset) -> None:
    recorder = Recorder()
    versions = augmented.versions(digits, TURNING, epochs=2, progress=recorder)
    kept = len(digits.train) - round(len(digits.train) * 0.2)
    expected = [deform(digits.train.images[:kept], TURNING.deformation, 3, epoch) for epoch in range(2)]
    assert versions.classes == tuple(range(10))
    for row, digit in enumerate(versions.classes):
        (index,) = np.flatnonzero((digits.train.images[:kept] == versions.originals[row]).all(axis=(1, 2)))[:1]
        assert digits.train.labels[index] == digit
        assert all(np.array_equal(versions.deformed[row, epoch], expected[epoch][index]) for epoch in range(2))
    assert recorder.finished == {"deforming"}
    other_seed = augmented.versions(digits, TURNING, seed=4, epochs=2)
    assert not np.array_equal(versions.originals, other_seed.originals)
    figure: Any = augmented.figure(versions, TURNING, "mine")
    whole = np.asarray(figure.axes[0].images[0].get_array())
    assert np.array_equal(whole[:28, :28], versions.originals[0])
    assert np.array_equal(whole[-28:, -28:], versions.deformed[9, 1])
    assert canvas.title_of(figure) == "turning: training digits, as they are and in 2 epochs of a training"
    assert " ".join(figure.get_supxlabel().split()) == (
        "Deformed differently in each epoch, 32 images at a time alike: turned by up to 20°, width and height "
        "each changed by up to 10 %, bent by 1 pixel along each axis (root mean square), smoothed by a Gaussian of "
        "5 pixels. Seed 3, epochs 1 to 2. mine"
    )


def test_a_class_without_images_has_no_row_and_test_images_stand_in(digits: Dataset) -> None:
    few = digits.test.labels < 2
    test = data.Split(digits.test.pixels[few], digits.test.labels[few])
    versions = augmented.versions(replace(digits, train=digits.train.head(0), test=test), TURNING, epochs=1)
    assert (versions.classes, versions.which) == ((0, 1), "test")
    figure: Any = augmented.figure(versions, TURNING)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["0", "1"]


def test_every_strength_is_said_with_its_unit() -> None:
    assert [*augmented.deformation_texts(ALL)] == [
        "turned by up to 15°", "sheared by up to 0.2 pixels sideways for each pixel upwards",
        "width and height each changed by up to 20 %", "shifted by up to 2.5 pixels along each axis",
        "bent by 1.5 pixels along each axis (root mean square), smoothed by a Gaussian of 4 pixels",
    ]  # fmt: skip
