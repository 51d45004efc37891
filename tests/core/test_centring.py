"""Pictures of a handwritten digit: what becomes of them, what around the digit is left out, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import camera
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.helpers import one_printable_line
from digitbench import data
from digitbench.errors import ImageError
from digitbench.images.centring import prepare, prepare_digits
from digitbench.records.arrays import Pixels

pytestmark = pytest.mark.filterwarnings("error")

Points = Sequence[tuple[float, float]]
FIVE: list[Points] = [
    [(0.36, 0.20), (0.34, 0.48), (0.52, 0.44), (0.62, 0.56), (0.60, 0.70), (0.48, 0.80), (0.34, 0.75)],
    [(0.36, 0.20), (0.62, 0.19)],
]
SEVEN: list[Points] = [[(0.34, 0.22), (0.64, 0.21), (0.54, 0.50), (0.45, 0.80)]]
ONE: list[Points] = [[(0.52, 0.2), (0.5, 0.8)]]
ZERO: list[Points] = [[(0.5 + 0.17 * np.sin(turn), 0.5 - 0.3 * np.cos(turn)) for turn in np.linspace(0, 2 * np.pi, 25)]]
GLYPHS = {"five": FIVE, "seven": SEVEN, "one": ONE, "zero": ZERO}
"""Strokes as (x, y) in a square of side 1."""


def cover(
    strokes: list[Points],
    side: int = 300,
    stroke_width: float = 0.05,
    offset: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> npt.NDArray[np.float64]:
    """The share of each pixel that strokes cover, (side, side); `stroke_width` is a share of the digit's square."""
    y, x = np.mgrid[:side, :side] + 0.5
    distance = np.full((side, side), np.inf)
    for stroke in strokes:
        ends = (np.array(stroke) - 0.5) * scale + 0.5 + offset
        for (x0, y0), (x1, y1) in zip(ends[:-1] * side, ends[1:] * side, strict=True):
            length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
            along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0, 1)
            distance = np.minimum(distance, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    return np.asarray(np.clip(stroke_width * scale * side / 2 - distance + 0.5, 0, 1))


def picture(
    coverage: npt.NDArray[np.float64], background: float = 225, foreground: float = 40, noise: float = 2
) -> Pixels:
    drawn = (
        background * (1 - coverage) + foreground * coverage + np.random.default_rng(0).normal(0, noise, coverage.shape)
    )
    return np.asarray(np.clip(drawn, 0, 255), dtype=np.uint8)


def correlation(first: Pixels, second: Pixels) -> float:
    """Correlation of two pictures: 1 if they are the same."""
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def digit_size(pixels: Pixels) -> tuple[int, int]:
    inside = pixels > 100
    height, width = (int(np.ptp(np.flatnonzero(inside.any(axis=axis)))) + 1 for axis in (1, 0))
    return height, width


# --- what it gives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("glyph", GLYPHS)
@pytest.mark.parametrize(
    "placement", [(0.0, 0.0, 1.0), (-0.2, 0.18, 0.5), (0.3, -0.3, 0.3)], ids=["large", "left", "small"]
)
def test_the_digit_fills_mnists_box_centred_by_mass(glyph: str, placement: tuple[float, float, float]) -> None:
    prepared = prepare(picture(cover(GLYPHS[glyph], offset=placement[:2], scale=placement[2])))
    assert prepared.dtype == np.uint8
    assert prepared.shape == (28, 28)
    assert 19 <= max(digit_size(prepared)) <= 21  # 20 pixels, which need not begin on a whole one
    assert prepared.max() == 255
    assert np.median(prepared) == 0
    positions = np.arange(28)
    for axis in (0, 1):
        assert float(prepared.sum(axis=axis) @ positions) / float(prepared.sum()) == pytest.approx(14, abs=0.1)


@pytest.mark.parametrize("glyph", GLYPHS)
def test_dark_on_light_and_light_on_dark_give_the_same(glyph: str) -> None:
    coverage = cover(GLYPHS[glyph], scale=0.8)
    assert correlation(prepare(picture(coverage)), prepare(picture(coverage, background=40, foreground=225))) > 0.97


@pytest.mark.parametrize(
    ("background", "foreground"),
    [((230, 225, 215), (40, 60, 170)), ((230, 225, 215), (200, 40, 50)), ((240, 220, 110), (60, 60, 60)),
     ((60, 150, 90), (150, 60, 90)), ((35, 60, 45), (230, 230, 225))],
    ids=["blue", "red", "yellow paper", "red on green", "chalk"],
)  # fmt: skip
def test_colours_of_foreground_and_background_dont_matter(
    background: tuple[int, ...], foreground: tuple[int, ...]
) -> None:
    coverage = cover(SEVEN, scale=0.7)
    colours = np.stack([picture(coverage, *pair) for pair in zip(background, foreground, strict=True)], axis=2)
    assert correlation(prepare(colours), prepare(picture(coverage))) > 0.95


def test_strokes_are_brought_near_mnists_width() -> None:
    masses = [prepare(picture(cover(FIVE, stroke_width=width))).sum() / 255 for width in (0.012, 0.05, 0.13)]
    assert masses == sorted(masses)
    assert masses[0] > 75  # MNIST's mean is 104
    assert masses[2] < 190


@pytest.mark.parametrize("factor", [1, 3, 10])
def test_what_is_in_mnists_format_is_left_as_it_is(factor: int) -> None:
    for pixels in data.load("digits").test.pixels[:25]:
        large = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
        for image in (large, 255 - large, np.repeat(large[..., None], 3, axis=2)):
            np.testing.assert_array_equal(prepare(image), pixels)


@pytest.mark.parametrize(("ground", "card"), [(255, 150), (250, 200)])
def test_a_card_as_large_as_mnists_box_isnt_taken_for_the_digit(ground: int, card: int) -> None:
    sheet = np.full((280, 280), ground, np.uint8)
    sheet[40:240, 40:240] = picture(cover(FIVE, side=200, scale=0.8), background=card)
    assert correlation(prepare(sheet), prepare(picture(cover(FIVE)))) > 0.9


@pytest.mark.parametrize(("ground", "card", "pen"), [(0, 150, 80), (120, 40, 150), (255, 60, 180)])
def test_a_card_that_stands_out_more_than_its_digit_isnt_taken_for_it(ground: int, card: int, pen: int) -> None:
    for glyph in (FIVE, SEVEN):
        sheet = np.full((280, 320), ground, np.uint8)
        sheet[60:260, 90:290] = picture(cover(glyph, side=200, scale=0.8), background=card, foreground=pen)
        assert correlation(prepare(sheet), prepare(picture(cover(glyph)))) > 0.9


def test_a_drawing_of_one_pixel_is_given_mnists_strokes() -> None:
    drawing = np.zeros((28, 28), np.uint8)
    drawing[4:24, 14] = drawing[4, 10:15] = 255
    assert (prepare(drawing)[10:20] > 100).sum(axis=1).min() >= 2


def test_a_part_that_lies_apart_belongs_to_its_digit() -> None:
    bar = [(x, y - 0.06) for x, y in FIVE[1]]
    whole = prepare(picture(cover([FIVE[0], bar])))
    assert correlation(whole, prepare(picture(cover(FIVE)))) > 0.7
    assert (whole[4:8, 14:19] > 100).any(), "its bar is missing"


def test_large_and_small_pictures_give_nearly_the_same() -> None:
    reference = prepare(picture(cover(SEVEN)))
    for side in (60, 120, 600, 1100):
        assert correlation(prepare(picture(cover(SEVEN, side))), reference) > 0.95, side


def test_the_picture_is_left_untouched_and_the_answer_is_the_same_again() -> None:
    image = picture(cover(FIVE)).repeat(3, axis=0).repeat(3, axis=1)
    before = image.copy()
    image.flags.writeable = False
    first = prepare(image)
    np.testing.assert_array_equal(prepare(image[:, :]), first)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(prepare(np.asfortranarray(image)), first)


@pytest.mark.parametrize("slant", [0, 4])
def test_the_tail_of_a_nine_of_one_pixel_stays_whole(slant: int) -> None:
    for height in range(84, 126, 4):
        sheet = np.full((200, 200), 245, np.uint8)
        turns, radius = np.linspace(0, 2 * np.pi, 400), height / 4
        rows, columns = 40 + radius - radius * np.cos(turns), 100 + radius * np.sin(turns)
        sheet[np.rint(rows).astype(int), np.rint(columns).astype(int)] = 30
        tail = np.arange(round(40 + radius), 40 + height)
        sheet[tail, np.rint(np.linspace(100 + radius, 100 + radius - slant, len(tail))).astype(int)] = 30
        drawn = np.flatnonzero((prepare(sheet) > 100).any(axis=1))
        assert len(drawn) == np.ptp(drawn) + 1 >= 19, height


def cut_to_its_bounds(image: Pixels, margin: int = 0) -> Pixels:
    rows, columns = (np.flatnonzero((image < 130).any(axis=axis)) for axis in (1, 0))
    return image[
        max(rows[0] - margin, 0) : rows[-1] + margin + 1, max(columns[0] - margin, 0) : columns[-1] + margin + 1
    ]


@pytest.mark.parametrize("glyph", ["five", "seven", "zero"])
@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
def test_a_digit_that_touches_the_border_is_read_as_one_with_a_margin(glyph: str, light: bool) -> None:
    plain = picture(cover(GLYPHS[glyph], stroke_width=0.1))
    for margin in (0, 3):
        crop = cut_to_its_bounds(plain, margin)
        assert correlation(prepare(255 - crop if light else crop), prepare(plain)) > 0.9, margin


@pytest.mark.parametrize("glyph", ["five", "seven", "zero"])
@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
def test_a_scan_of_one_character_is_read_though_the_digit_fills_it(glyph: str, light: bool) -> None:
    image = pytest.importorskip("PIL.Image")
    crop = cut_to_its_bounds(picture(cover(GLYPHS[glyph], stroke_width=0.1), noise=0))
    height = 16
    size = (round(crop.shape[1] * height / len(crop)), height)
    scan = np.asarray(image.fromarray(crop).resize(size, image.Resampling.BOX))
    assert (
        correlation(prepare(255 - scan if light else scan), prepare(picture(cover(GLYPHS[glyph], stroke_width=0.1))))
        > 0.8
    )


# --- what it leaves out --------------------------------------------------------------------------------------------


def ruled(grey: npt.NDArray[np.float64], slope: float = 0.03) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[: len(grey), : grey.shape[1]]
    return np.where(abs((y + slope * x) % 48 - 20) < 1.6, np.minimum(grey, 110), grey)


def sheet(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[: len(grey), : grey.shape[1]]
    return np.where((x + 0.05 * y > 268) | (y - 0.04 * x > 262), 50.0, grey)


def specks(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    draw = np.random.default_rng(3)
    for row, column in draw.integers(5, 290, (40, 2)):
        grey[row : row + 3, column : column + 3] = 60
    return grey


def frame(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    distance = abs(np.mgrid[: len(grey), : grey.shape[1]] - len(grey) / 2).max(axis=0)
    return np.where(abs(distance - 120) < 2, 30.0, grey)


def shadow(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[: len(grey), : grey.shape[1]]
    return np.asarray(grey * (1 - 0.45 * np.clip((x + 0.6 * y - 230) / 12, 0, 1)))


def neighbour(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A larger zero beside the digit, which the picture's border cuts."""
    return np.asarray(grey * (1 - 0.85 * cover(ZERO, stroke_width=0.09, offset=(0.42, -0.2), scale=0.95)))


NUISANCES: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "ruled": ruled,
    "one line": lambda grey: np.where(np.arange(300)[:, None] // 3 == 50, np.minimum(grey, 90), grey),
    "squared": lambda grey: ruled(ruled(grey).T).T,
    "sheet": sheet,
    "specks": specks,
    "frame": frame,
    "shadow": shadow,
    "neighbour": neighbour,
    "lamp": lambda grey: grey * np.linspace(0.4, 1.1, 300)[None],
}


@pytest.mark.parametrize("nuisance", NUISANCES)
@pytest.mark.parametrize("glyph", ["five", "seven", "zero"])
def test_what_is_around_the_digit_is_left_out(glyph: str, nuisance: str) -> None:
    plain = picture(cover(GLYPHS[glyph], scale=0.75))
    changed = np.asarray(np.clip(NUISANCES[nuisance](plain.astype(float)), 0, 255), dtype=np.uint8)
    assert correlation(prepare(changed), prepare(plain)) > 0.85


@pytest.mark.parametrize("glyph", ["five", "seven", "zero"])
def test_the_bent_edge_of_a_shadow_across_thin_strokes_is_left_out(glyph: str) -> None:
    plain = picture(cover(GLYPHS[glyph], stroke_width=0.03, scale=0.6))
    y, x = np.mgrid[:300, :300]
    dark = 1 - 0.45 * np.clip((y - 150 - 0.012 * (x - 130) ** 2) / 5, 0, 1)
    assert correlation(prepare((plain * dark).astype(np.uint8)), prepare(plain)) > 0.9


def test_a_small_digit_is_preferred_to_a_large_one_that_the_border_cuts() -> None:
    plain = picture(cover(FIVE, offset=(-0.2, 0.0), scale=0.4))
    cut = (plain * (1 - 0.85 * cover(ZERO, stroke_width=0.15, offset=(0.4, 0.0), scale=1.2))).astype(np.uint8)
    assert correlation(prepare(cut), prepare(plain)) > 0.9


@pytest.mark.parametrize("nuisance", ["plain", "thin", "ruled", "sheet", "shadow", "chalk"])
def test_photographs_come_out_as_the_digit_that_was_photographed(nuisance: str) -> None:
    image = pytest.importorskip("PIL.Image")
    digit = data.load("digits").test.pixels[60]
    content = camera.photograph(digit, np.random.default_rng(1), frozenset({nuisance} - {"plain"}), longest=320)
    prepared = prepare(np.asarray(image.open(io.BytesIO(content))))
    assert correlation(prepared, digit) > 0.5  # it is turned by up to 10°, and its strokes may be others


def test_the_camera_takes_the_same_picture_again() -> None:
    digit = data.load("digits").test.pixels[0]
    shots = [camera.photograph(digit, np.random.default_rng(5), longest=300) for _ in range(2)]
    assert shots[0] == shots[1]


# --- what it refuses -----------------------------------------------------------------------------------------------


def refusal(image: npt.NDArray[np.generic]) -> str:
    with pytest.raises(ImageError) as caught:
        prepare(image)  # type: ignore[arg-type]
    assert one_printable_line(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (picture(np.zeros((300, 400))), "no digit found"),
        (picture(np.zeros((300, 400)), noise=25), "no digit found"),
        (np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8), "no digit found"),
        (np.linspace(60, 240, 300 * 200).reshape(300, 200).astype(np.uint8), "no digit found"),
        (np.zeros((28, 28), np.uint8), "no digit found"),
        (np.full((90, 50, 3), 255, np.uint8), "no digit found"),
        (np.zeros((1, 1), np.uint8), "1 × 1 pixels"),
        (np.zeros((3, 500), np.uint8), "500 × 3 pixels"),
        (np.zeros((9, 5000), np.uint8), "5000 × 9 pixels"),
        (np.zeros((0, 0, 3), np.uint8), "0 × 0 pixels"),
        (np.zeros((50, 50)), "float64 of shape (50, 50)"),
        (np.zeros((50, 50, 4), np.uint8), "uint8 of shape (50, 50, 4)"),
        (np.zeros(784, np.uint8), "uint8 of shape (784,)"),
    ],
)
def test_what_holds_no_digit_is_refused_in_one_line(image: npt.NDArray[np.generic], message: str) -> None:
    assert message in refusal(image)


@pytest.mark.parametrize("count", [2, 10])
def test_several_digits_are_refused_in_one_line(count: int) -> None:
    glyphs = [picture(cover([FIVE, SEVEN, ZERO][i % 3], side=120)) for i in range(count)]
    page = np.vstack([np.hstack(glyphs[: max(2, count // 2)])] * (1 if count == 2 else 2))
    message = refusal(page)
    assert message.startswith(f"more than one digit here ({count} found); read each of them with predict --all")
    digits = prepare_digits(page, several=True)
    assert len(digits) == count
    middles = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in (digit.box for digit in digits)]
    across, down = max(2, count // 2), count // max(2, count // 2)
    wanted = [((i % across + 0.5) / across, (i // across + 0.5) / down) for i in range(count)]
    np.testing.assert_allclose(middles, wanted, atol=0.06)
    for i, digit in enumerate(digits):
        assert correlation(digit.pixels, prepare(glyphs[i % across])) > 0.9


@pytest.mark.parametrize(("margin", "is_cut"), [(0, True), (1, True), (12, False)])
def test_ink_that_touches_all_four_sides_is_told(margin: int, is_cut: bool) -> None:
    for light in (False, True):
        for glyph in (FIVE, SEVEN, ZERO):
            crop = cut_to_its_bounds(picture(cover(glyph, stroke_width=0.1)), margin)
            assert prepare_digits(255 - crop if light else crop)[0].is_cut == is_cut


def test_a_zero_broken_into_two_halves_is_one_digit() -> None:
    whole = cover(ZERO)
    broken = np.where(abs(np.arange(300) - 150)[:, None] < 5, 0, whole)
    assert correlation(prepare(picture(broken)), prepare(picture(whole))) > 0.9
    broken = np.where(abs(np.arange(300) - 150)[None] < 5, 0, whole)
    assert correlation(prepare(picture(broken)), prepare(picture(whole))) > 0.9


SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 70)).flatmap(lambda sides: st.sampled_from([sides, (*sides, 3)]))
ANY_PICTURE = arrays.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 40, 128, 250, 255]))


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(ANY_PICTURE)
def test_any_picture_is_prepared_or_refused_in_one_line(image: Pixels) -> None:
    before = image.tobytes()
    message, prepared = "", np.ones((28, 28), np.uint8)
    try:
        prepared = prepare(image)
    except ImageError as exc:
        message = str(exc)
    assert one_printable_line(message or "prepared")
    assert prepared.shape == (28, 28)
    assert prepared.dtype == np.uint8
    assert prepared.max() > 0
    assert image.tobytes() == before
