"""What is odd about a set of digits is told: pictures that lie on their side, copies, digits that are missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.helpers import idx
from core.user_data import DIGITS, LABELS, PIXELS, Array, save
from digitbench import data
from digitbench.data import doubts
from digitbench.records.arrays import Pixels

TEST = DIGITS.test
REAL = os.environ.get(data.ENVIRONMENT, "")
needs_mnist = pytest.mark.skipif(not REAL, reason=f"{data.ENVIRONMENT} doesn't say where MNIST is")


@pytest.fixture(autouse=True)
def nobody_names_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)


def notice(path: Path, pixels: Array = TEST.pixels, labels: Array = TEST.labels) -> str:
    return data.load("auto", save(path / "mine.npz", x_test=pixels, y_test=labels)).notice


# --- how pictures lie ----------------------------------------------------------------------------------------------

LYING: dict[str, Array] = {
    "transposed, as EMNIST's are": TEST.pixels.transpose(0, 2, 1),
    "mirrored left to right": np.flip(TEST.pixels, 2),
    "mirrored top to bottom": np.flip(TEST.pixels, 1),
    "upside down": np.rot90(TEST.pixels, 2, (1, 2)),
    "turned to the left": np.rot90(TEST.pixels, 1, (1, 2)),
    "turned to the right": np.rot90(TEST.pixels, -1, (1, 2)),
    "transposed and upside down": np.rot90(TEST.pixels, 2, (1, 2)).transpose(0, 2, 1),
}


@pytest.mark.parametrize("way", LYING)
def test_how_pictures_lie_is_told_with_what_puts_them_right(tmp_path: Path, way: str) -> None:
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=LYING[way], y_test=TEST.labels))
    assert f"the pictures look {way}, since a simple classifier recognises" in dataset.notice
    code = dataset.notice.partition("to correct them, save ")[2].partition(", where x is (n, 28, 28)")[0]
    np.testing.assert_array_equal(eval(code, {"x": dataset.test.pixels}), TEST.pixels)  # as its reader would
    np.testing.assert_array_equal(dataset.test.pixels, LYING[way])  # nothing is changed


def test_emnist_in_its_own_files_is_told(tmp_path: Path) -> None:
    for kind, array in (("images-idx3", TEST.pixels.transpose(0, 2, 1)), ("labels-idx1", TEST.labels.astype(np.uint8))):
        (tmp_path / f"emnist-digits-test-{kind}-ubyte").write_bytes(idx(np.ascontiguousarray(array)))
    assert "the pictures look transposed, as EMNIST's are" in data.load("auto", tmp_path).notice


def test_upright_digits_other_things_and_wrong_labels_are_not_called_lying(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    sets = {
        "upright": (TEST.pixels, TEST.labels),
        "labels of others": (TEST.pixels, draw.permutation(TEST.labels)),
        "noise": (draw.integers(0, 200, (300, 28, 28), np.uint8), np.arange(300) % 10),
        "blank": (np.zeros((300, 28, 28), np.uint8), np.arange(300) % 10),
        "few": (LYING["upside down"][:10], TEST.labels[:10]),
    }
    for name, (pixels, labels) in sets.items():
        assert "the pictures look" not in notice(tmp_path, pixels, labels), name


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("count", [50, 100, 300])
def test_mnist_is_never_called_lying_and_nearly_always_is_where_it_lies(count: int) -> None:
    test = data.load("mnist", Path(REAL)).test
    labels = test.labels.astype(np.uint8)
    parts = [slice(start, start + count) for start in range(0, 10_000 - count, 300)]
    assert not any(doubts.lying_note(test.pixels[part], labels[part]) for part in parts)
    lying = np.ascontiguousarray(test.pixels.transpose(0, 2, 1))
    notes = [doubts.lying_note(lying[part], labels[part]) for part in parts]
    assert np.mean([note.startswith("the pictures look transposed, as EMNIST's are") for note in notes]) > 0.85


# --- copies --------------------------------------------------------------------------------------------------------

WITH_ROOM = np.pad(PIXELS[:, 4:24, 4:24], ((0, 0), (4, 4), (4, 4)))


def moved(picture: Pixels, down: int, right: int) -> Pixels:
    return np.roll(picture, (down, right), (0, 1))


def test_copies_are_told_moved_or_not(tmp_path: Path) -> None:
    twice = notice(
        tmp_path, np.concatenate([TEST.pixels, TEST.pixels[:100]]), np.concatenate([TEST.labels, TEST.labels[:100]])
    )
    assert "100 of the 459 test images are copies of others, in the same place or moved: intervals" in twice
    augmented = np.concatenate([WITH_ROOM, [moved(p, i % 5 - 2, i % 3 - 1) for i, p in enumerate(WITH_ROOM)]])
    assert "; 12 of the 24 test images are copies" in notice(tmp_path, augmented, np.tile(LABELS, 2))
    assert " are copies of others" not in notice(tmp_path)


def test_a_few_copies_are_by_chance(tmp_path: Path) -> None:
    pixels, labels = np.concatenate([TEST.pixels, TEST.pixels[:3]]), np.concatenate([TEST.labels, TEST.labels[:3]])
    assert " are copies of others" not in notice(tmp_path, pixels, labels)  # 0.8 % of them
    assert doubts.copies_note(np.concatenate([pixels[:100], pixels[:3]])).startswith("3 of the 103 test images")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(-2, 2), st.integers(-2, 2)), min_size=2, max_size=30))
def test_as_many_differ_as_there_are_pictures_however_they_are_moved(choices: list[tuple[int, int, int]]) -> None:
    pixels = np.stack([moved(WITH_ROOM[index], down, right) for index, down, right in choices])
    copies = len(choices) - len({index for index, _, _ in choices})
    expected = f"{copies} of the {len(choices)} test images are copies of others" if copies else ""
    assert doubts.copies_note(pixels).startswith(expected)
    assert bool(doubts.copies_note(pixels)) is bool(copies)


# --- digits that are missing ---------------------------------------------------------------------------------------


def test_digits_without_images_are_named_split_by_split(tmp_path: Path) -> None:
    few, no_eights = TEST.labels < 5, DIGITS.train.labels != 8
    path = save(
        tmp_path / "mine.npz", x_test=TEST.pixels[few], y_test=TEST.labels[few],
        x_train=DIGITS.train.pixels[no_eights], y_train=DIGITS.train.labels[no_eights],
    )  # fmt: skip
    assert "; y_train has no 8; y_test has no 5, 6, 7, 8, 9" in data.load("auto", path).notice
    assert "has no" not in notice(tmp_path)
    assert "has no" not in notice(tmp_path, PIXELS, LABELS), "of twelve that is no surprise"
