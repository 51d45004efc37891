"""A user's digits: every layout gives the same images, or one line that says what is wrong."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.helpers import Recorder, publish, small_mnist, write_idx_folder
from core.user_data import DIGITS, FLAT, LABELS, PIXELS, Array, is_sound, refusal, save
from digitbench import data
from digitbench.bundle import Bundle
from digitbench.bundle.manifest import ReferenceFile
from digitbench.data import npz_file, user_data
from digitbench.data.array_names import ROLES
from digitbench.data.idx_files import IDX_FILES
from digitbench.errors import BundleError, DataError, MissingRuntimeError, UsageError
from digitbench.measure import reference


@pytest.fixture(autouse=True)
def nobody_names_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)


# --- npz -----------------------------------------------------------------------------------------------------------

DTYPES_TO_255 = {"plain": np.uint8, "wide": np.int64, "float 0 to 255": np.float32}
DTYPES_TO_1 = {"float 0 to 1": np.float32, "double 0 to 1": np.float64}


@pytest.mark.parametrize("values", [*DTYPES_TO_255, *DTYPES_TO_1])
@pytest.mark.parametrize("shape", [(28, 28), (784,), (28, 28, 1), (1, 28, 28)], ids=str)
def test_every_layout_of_images_is_the_same_data(tmp_path: Path, values: str, shape: tuple[int, ...]) -> None:
    array = (
        PIXELS.astype(DTYPES_TO_255[values]) if values in DTYPES_TO_255 else (PIXELS / 255).astype(DTYPES_TO_1[values])
    )
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=array.reshape(-1, *shape), y_test=LABELS))
    assert (dataset.name, len(dataset.train)) == ("mine", 0)
    np.testing.assert_array_equal(dataset.test.pixels, PIXELS)
    np.testing.assert_array_equal(dataset.test.labels, LABELS)
    assert dataset.fingerprint == data.load("auto", save(tmp_path / "it.npz", x_test=PIXELS, y_test=LABELS)).fingerprint
    assert f"pixels from 0 to {'255' if values in DTYPES_TO_255 else '1'}" in dataset.notice
    assert dataset.source == str(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    "labels", [LABELS.astype(np.int64)[:, None], np.eye(10)[LABELS], np.eye(10, dtype=bool)[LABELS], LABELS / 1.0]
)
def test_every_layout_of_labels_is_the_same_data(tmp_path: Path, labels: Array) -> None:
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=PIXELS, y_test=labels))
    np.testing.assert_array_equal(dataset.test.labels, LABELS)


def test_a_training_split_is_taken_too(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", x_test=PIXELS, y_test=LABELS, x_train=PIXELS[::-1] / 255, y_train=LABELS[::-1])
    dataset = data.load("auto", path)
    np.testing.assert_array_equal(dataset.train.pixels, PIXELS[::-1])
    np.testing.assert_array_equal(dataset.train.labels, LABELS[::-1])
    assert "12 test images and 12 to train on" in dataset.notice


def test_dark_digits_on_a_white_background_are_inverted_and_told_split_by_split(tmp_path: Path) -> None:
    """Otherwise a network trained on white digits would see dark ones, and nobody would be told."""
    path = save(tmp_path / "mine.npz", x_test=255 - PIXELS, y_test=LABELS, x_train=PIXELS, y_train=LABELS)
    dataset = data.load("auto", path)
    np.testing.assert_array_equal(dataset.test.pixels, PIXELS)
    np.testing.assert_array_equal(dataset.train.pixels, PIXELS)
    assert "inverted" in dataset.notice
    assert "inverted" not in data.load("auto", save(tmp_path / "b.npz", x_test=PIXELS, y_test=LABELS)).notice


def test_bits_are_foreground_and_background(tmp_path: Path) -> None:
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=(PIXELS > 127).astype(np.uint8), y_test=LABELS))
    assert set(np.unique(dataset.test.pixels)) == {0, 255}
    assert "pixels 0 or 1" in dataset.notice


def test_floats_between_two_levels_are_rounded_and_a_hair_above_one_is_one(tmp_path: Path) -> None:
    images = np.full((2, 28, 28), 0.1004, np.float32)
    images[:, 14] = 1.0005
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=images, y_test=LABELS[:2]))
    assert set(np.unique(dataset.test.pixels)) == {26, 255}
    assert "rounded to 256 levels" in dataset.notice


def with_value(array: Array, value: float) -> Array:
    changed = array.astype(np.float64)
    changed.flat[3] = value
    return changed


BAD_NPZ: dict[str, tuple[dict[str, Array], str]] = {
    "label 10": ({"y_test": with_value(LABELS, 10)}, "y_test[3] is 10.0: labels are whole numbers from 0 to 9"),
    "label -1": ({"y_test": with_value(LABELS, -1)}, "y_test[3] is -1.0"),
    "label 2.5": ({"y_test": with_value(LABELS, 2.5)}, "y_test[3] is 2.5"),
    "label NaN": ({"y_test": with_value(LABELS, np.nan)}, "y_test[3] is nan"),
    "labels of text": ({"y_test": np.array(["7", "seven"] * 6)}, "y_test[1] is the text 'seven': labels are whole"),
    "labels in a square": ({"y_test": np.zeros((12, 12))}, "y_test has shape (12, 12)"),
    "two ones": ({"y_test": np.eye(10)[LABELS] + np.eye(10)[0] * (LABELS[:, None] == 2)}, "a single 1 and nine 0"),
    "no one": ({"y_test": np.zeros((12, 10))}, "y_test[0] is [0. 0."),
    "fewer labels": ({"y_test": LABELS[:11]}, "x_test has 12 images and y_test 11 labels"),
    "too bright": ({"x_test": with_value(PIXELS, 256)}, "x_test runs from 0 to 256"),
    "negative": ({"x_test": with_value(PIXELS, -0.5)}, "x_test runs from -0.5 to"),
    "NaN": ({"x_test": with_value(PIXELS, np.nan)}, "x_test runs from nan"),
    "infinite": ({"x_test": with_value(PIXELS, np.inf)}, "to inf"),
    "0 to 16": ({"x_test": np.sqrt(PIXELS)}, "neither from 0 to 255 nor from 0 to 1"),
    "complex": ({"x_test": PIXELS.astype(complex)}, "x_test is complex128"),
    "one image": ({"x_test": PIXELS[0]}, "x_test has shape (28, 28)"),
    "colour": ({"x_test": np.stack([PIXELS, PIXELS, 255 - PIXELS], -1)}, "x_test has shape (12, 28, 28, 3), and its"),
    "MNIST enlarged": (
        {"x_test": np.kron(PIXELS, np.ones((2, 2)))[:, 8:40, 8:40]},
        "has shape (12, 32, 32): images are",
    ),
    "none": ({"x_test": PIXELS[:0], "y_test": LABELS[:0]}, "x_test holds no image"),
    "half a split": ({"x_train": PIXELS}, "it has no y_train"),
    "objects": (
        {"y_test": np.array([{}] * 12)},
        "y_test.npy is object[12] and holds Python objects, which are pickled",
    ),
}


BAD_NPZ |= {
    "a place-holder": (
        {"y_test": np.zeros(12, int)},
        "y_test is 0 for all 12 images; are the labels unknown",
    ),
    "one hot for all": ({"y_test": np.eye(10)[[7] * 12]}, "y_test is 7 for all 12 images"),
    "nothing to train by": ({"x_train": PIXELS, "y_train": np.full(12, 3)}, "y_train is 3 for all 12 images"),
    "ids": ({"y_test": np.arange(12)}, "y_test[10] is 10: labels are whole numbers from 0 to 9"),
    "pixels": ({"y_test": FLAT[:, 300] / 255}, "labels are whole numbers from 0 to 9"),
    "true or false": ({"y_test": LABELS == 3}, "y_test is bool: labels are whole numbers"),
    "swapped": ({"x_test": LABELS, "y_test": PIXELS}, "x_test has shape (12,): images are"),
    "labels to train by": (
        {"x_train": PIXELS[:9], "y_train": LABELS[:9], "y_test": LABELS[:9]},
        "12 images and y_test 9",
    ),
}


def test_labels_that_count_up_are_told(tmp_path: Path) -> None:
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=PIXELS[:10], y_test=np.arange(10)))
    assert "y_test counts up from 0 to 9: check that these are labels" in dataset.notice
    assert "counts up" not in data.load("auto", save(tmp_path / "its.npz", x_test=PIXELS, y_test=LABELS)).notice


def test_a_few_images_may_show_the_same(tmp_path: Path) -> None:
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=PIXELS[:9], y_test=np.full(9, 7)))
    assert set(dataset.test.labels) == {7}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_what_is_wrong_with_an_npz_is_named(tmp_path: Path, case: str) -> None:
    arrays, message = BAD_NPZ[case]
    assert message in refusal(save(tmp_path / "mine.npz", **{"x_test": PIXELS, "y_test": LABELS, **arrays}))


def test_an_npz_without_the_names_says_which(tmp_path: Path) -> None:
    message = refusal(save(tmp_path / "mine.npz", one=PIXELS, two=LABELS, three=LABELS))
    assert "it has no x_test, y_test; it holds one (12, 28, 28), two (12,), three (12,); call images x_test" in message


def test_no_more_is_unpacked_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x_test=np.zeros((3000, 28, 28), np.uint8), y_test=np.arange(3000, dtype=np.uint8) % 10)
    assert path.stat().st_size < 10_000
    assert len(data.load("auto", path).test) == 3000
    monkeypatch.setattr(npz_file, "MOST_BYTES", 2_000_000)
    monkeypatch.setattr(np.lib.format, "read_array", None)  # nothing is read
    assert "unpacks to 0.0 GB; at most 0.002 GB are read" in refusal(path)
    assert "unpacks to" in refusal(path, "mnist")


def test_a_header_that_promises_more_than_there_is_gets_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (4_000_000, 28, 28)})
    with zipfile.ZipFile(tmp_path / "liar.npz", "w") as archive:
        archive.writestr("x_test.npy", header.getvalue() + bytes(784))
        archive.writestr("y_test.npy", header.getvalue())
    monkeypatch.setattr(np.lib.format, "read_array", None)
    assert "x_test.npy is uint8[4000000, 28, 28] in 784 bytes" in refusal(tmp_path / "liar.npz")


@st.composite
def any_array(draw: st.DrawFn) -> Array:
    """An array of one value, except for one element."""
    dtypes = ["u1", "i1", "i8", "u8", "f2", "f4", "f8", "?", "c8", "U2", "M8[s]"]
    images, labels = [(2, 28, 28), (2, 784), (2, 28, 28, 1), (2, 1, 28, 28), (0, 784)], [(2,), (2, 1), (2, 10), (0,)]
    shapes = [*images, *labels, (28, 28), ()]
    values = st.sampled_from([0, 1, 0.5, 9, 10, 127, 255, 300, -1, 1.0005, np.nan, np.inf, 1e300])
    array = np.full(draw(st.sampled_from(shapes)), draw(values), np.float64)
    if array.size:
        array.flat[draw(st.integers(0, array.size - 1))] = draw(values)
    with np.errstate(all="ignore"):
        dtype = draw(st.sampled_from(dtypes))
        return array.astype(np.int64).view("M8[s]") if dtype == "M8[s]" else array.astype(dtype)


@settings(deadline=None, max_examples=150)
@given(arrays=st.dictionaries(st.sampled_from(ROLES), any_array(), max_size=4), complete=st.booleans())
def test_any_arrays_are_digits_or_one_line(
    arrays: Mapping[str, Array], complete: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npz"
    valid = {"x_test": PIXELS[:2], "y_test": LABELS[:2]} if complete else {}
    save(path, **{**valid, **arrays})
    try:
        dataset = data.load("auto", path)
    except DataError:
        refusal(path)
    else:
        assert is_sound(dataset)


# --- MNIST is still MNIST ------------------------------------------------------------------------------------------


def test_what_is_not_mnist_is_taken_and_told_but_refused_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = small_mnist()
    publish(monkeypatch, arrays)
    mnist_file = save(tmp_path / "whole.npz", **arrays)
    assert data.load("auto", mnist_file).name == data.load("mnist", mnist_file).name == "mnist"
    assert data.load("auto", mnist_file).notice == ""

    damaged = {**arrays, "y_test": (arrays["y_test"] + 1) % 10}
    path = save(tmp_path / "damaged.npz", **damaged)
    dataset = data.load("auto", path)
    assert dataset.name == "damaged"
    assert f"{path} isn't MNIST (the content of y_test uint8[3] differs from the published files)" in dataset.notice
    assert "isn't MNIST" in refusal(path, "mnist")
    monkeypatch.setenv(data.ENVIRONMENT, str(path))
    with pytest.raises(DataError, match="isn't MNIST"):
        data.load("auto")


def test_mnist_in_another_layout_has_mnists_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = small_mnist()
    arrays |= {key: arrays[key] // 2 for key in ("x_train", "x_test")}  # MNIST is dark
    publish(monkeypatch, arrays)
    flat = {key: array.reshape(len(array), -1) for key, array in arrays.items()}
    dataset = data.load("auto", save(tmp_path / "flat.npz", **flat))
    assert dataset.fingerprint == data.load("mnist", save(tmp_path / "m.npz", **arrays)).fingerprint
    assert "holds MNIST in another layout" in dataset.notice


def test_idx_files_that_are_not_mnists_are_taken_and_told_but_refused_under_its_name(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "idx", small_mnist())
    dataset = data.load("auto", folder)
    np.testing.assert_array_equal(dataset.test.labels, small_mnist()["y_test"])
    assert f"{folder} isn't MNIST (the content of x_train uint8[5, 28, 28], y_train" in dataset.notice
    assert "isn't MNIST: the content of" in refusal(folder, "mnist")
    (folder / IDX_FILES["x_train"]).unlink()
    assert "it has no train-images-idx3-ubyte" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "name"),
    [("photos.npz", "photos"), ("mnist.npz", "own-mnist"), ("digits.csv.gz", "own-digits"), ("my own!.csv", "my-own"),
     ("a" * 60 + ".npz", "a" * 40), ("....csv", "..."), ("!.csv", "own"), ("7\t\n.csv", "7")],
)  # fmt: skip
def test_data_are_called_like_their_file(tmp_path: Path, file: str, name: str) -> None:
    assert user_data.name_of(tmp_path / file, ("auto", "mnist", "digits")) == name


def test_a_folder_is_called_by_its_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of.2026").mkdir()
    monkeypatch.chdir(tmp_path / "of.2026")
    assert user_data.name_of(Path("."), ("auto",)) == "of.2026"


def test_user_data_are_found_again_by_their_source_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", x_test=PIXELS, y_test=LABELS)
    first = data.load("auto", path)
    assert data.load("mine", remembered=first.source).fingerprint == first.fingerprint
    with pytest.raises(UsageError, match=r"unknown dataset 'mine': did you mean 'mnist'\? known are auto"):
        data.load("mine", path)


def test_what_is_no_data_at_all_says_what_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for path in (tmp_path / "notes.txt", tmp_path / "nothing.csv"):
        message = refusal(path)
        assert "an .npz with x_test and y_test, a .csv (also zipped), a folder of IDX files, or one with a" in message


# --- what candidates are held against ------------------------------------------------------------------------------


def test_a_reference_that_is_not_installed_is_said_and_nothing_invented(
    untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MissingRuntimeError("backend 'numpy' needs numpy, not installed here; run: pip install numpy")

    monkeypatch.setattr(reference, "candidates", refuse)
    progress = Recorder()
    assert reference.scores_or_none(untrained, replace(DIGITS, fingerprint="ab"), None, progress) is None
    assert progress.lines == [
        "no reference: numpy isn't installed; flips and what else is held against it are left out"
    ]
    with pytest.raises(MissingRuntimeError):
        reference.scores_for(untrained, replace(DIGITS, fingerprint="ab"), None, progress)
    stored = reference.scores_or_none(untrained, DIGITS, 5, progress)
    np.testing.assert_array_equal(stored, untrained.reference_scores()[:5])


def test_stored_scores_that_were_changed_are_an_error_and_no_lack_of_a_runtime(
    untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(untrained.manifest, reference=ReferenceFile("0" * 64, "numpy"))
    monkeypatch.setattr(untrained, "manifest", changed)
    with pytest.raises(BundleError, match="checksum"):
        reference.scores_or_none(untrained, DIGITS, None, Recorder())


# --- training on it ------------------------------------------------------------------------------------------------


def test_a_class_of_one_image_can_be_drawn_from(tmp_path: Path) -> None:
    labels = np.where(np.arange(12) == 0, 1, 2)
    path = save(tmp_path / "mine.npz", x_test=PIXELS[:1] // 2, y_test=LABELS[:1], x_train=PIXELS, y_train=labels)
    assert len(data.calibration_images(data.load("auto", path), 4)) == 4


def test_nothing_is_drawn_where_there_is_nothing(tmp_path: Path) -> None:
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=PIXELS, y_test=LABELS))
    for count in (500, None):
        with pytest.raises(UsageError, match="from 0 to 0 can be drawn"):
            data.calibration_images(dataset, count)


def test_all_are_drawn_where_there_are_fewer_than_usual(tmp_path: Path) -> None:
    """Once each, and none that is tested too."""
    train = DIGITS.train.head(302)
    path = save(
        tmp_path / "mine.npz", x_test=train.pixels[:2], y_test=train.labels[:2],
        x_train=train.pixels, y_train=train.labels,
    )  # fmt: skip
    drawn = data.calibration_images(data.load("auto", path))
    np.testing.assert_array_equal(drawn.pixels, train.pixels[2:])
    np.testing.assert_array_equal(drawn.labels, train.labels[2:])
    assert len(data.calibration_images(data.load("digits"))) == data.CALIBRATION_IMAGES == 500
    with pytest.raises(UsageError, match="--calibration-images 301: from 10 to 300 can be drawn"):
        data.calibration_images(data.load("auto", path), 301)
