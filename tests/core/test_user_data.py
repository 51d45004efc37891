"""Digits of one's own: every layout, CSV and folder gives the same images, or one line that says what is wrong."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.helpers import Recorder, hashes_of, one_printable_line, small_mnist, write_idx_folder
from digitbench import data
from digitbench.bundle import Bundle
from digitbench.data import csv_file as table
from digitbench.data import mnist, user_data
from digitbench.errors import BundleError, DataError, MissingRuntimeError, UsageError
from digitbench.measure import reference

Array = npt.NDArray[Any]
DIGITS = data.load("digits")
PIXELS, LABELS = DIGITS.test.pixels[:12], DIGITS.test.labels[:12].astype(np.uint8)
FLAT = PIXELS.reshape(12, 784)


@pytest.fixture(autouse=True)
def nobody_names_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)


def save(place: Path, **arrays: Array) -> Path:
    np.savez(place, **arrays)  # type: ignore[arg-type]
    return place


def refusal(place: Path, name: str = "auto") -> str:
    with pytest.raises(DataError) as caught:
        data.load(name, place)
    message = str(caught.value)
    assert one_printable_line(message)
    assert str(place) in message
    return message


def is_sound(found: data.Dataset) -> bool:
    return found.own and all(
        part.pixels.dtype == np.uint8 and part.pixels.shape == (len(part), 28, 28) and part.labels.dtype == np.int64
        and set(part.labels.tolist()) <= set(range(10)) and part.images.shape == part.pixels.shape
        for part in (found.train, found.test)
    ) and len(found.test) > 0 and one_printable_line(found.notice)  # fmt: skip


# --- npz -----------------------------------------------------------------------------------------------------------

WHOLE = {"plain": np.uint8, "wide": np.int64, "float 0 to 255": np.float32}
UNIT = {"float 0 to 1": np.float32, "double 0 to 1": np.float64}


@pytest.mark.parametrize("form", [*WHOLE, *UNIT])
@pytest.mark.parametrize("shape", [(28, 28), (784,), (28, 28, 1), (1, 28, 28)], ids=str)
def test_every_layout_of_images_is_the_same_data(tmp_path: Path, form: str, shape: tuple[int, ...]) -> None:
    array = PIXELS.astype(WHOLE[form]) if form in WHOLE else (PIXELS / 255).astype(UNIT[form])
    found = data.load("auto", save(tmp_path / "mine.npz", x_test=array.reshape(-1, *shape), y_test=LABELS))
    assert (found.name, len(found.train)) == ("mine", 0)
    np.testing.assert_array_equal(found.test.pixels, PIXELS)
    np.testing.assert_array_equal(found.test.labels, LABELS)
    assert found.fingerprint == data.load("auto", save(tmp_path / "it.npz", x_test=PIXELS, y_test=LABELS)).fingerprint
    assert f"pixels from 0 to {'255' if form in WHOLE else '1'}" in found.notice
    assert found.source == str(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    "labels", [LABELS.astype(np.int64)[:, None], np.eye(10)[LABELS], np.eye(10, dtype=bool)[LABELS], LABELS / 1.0]
)
def test_every_layout_of_labels_is_the_same_data(tmp_path: Path, labels: Array) -> None:
    found = data.load("auto", save(tmp_path / "mine.npz", x_test=PIXELS, y_test=labels))
    np.testing.assert_array_equal(found.test.labels, LABELS)


def test_a_training_split_is_taken_too(tmp_path: Path) -> None:
    place = save(tmp_path / "mine.npz", x_test=PIXELS, y_test=LABELS, x_train=PIXELS[::-1] / 255, y_train=LABELS[::-1])
    found = data.load("auto", place)
    np.testing.assert_array_equal(found.train.pixels, PIXELS[::-1])
    np.testing.assert_array_equal(found.train.labels, LABELS[::-1])
    assert "12 test images and 12 to train on" in found.notice


def test_ink_on_white_paper_is_inverted_and_told_split_by_split(tmp_path: Path) -> None:
    """Else a network that knows white on black sees something it has never seen, and nobody is told."""
    place = save(tmp_path / "mine.npz", x_test=255 - PIXELS, y_test=LABELS, x_train=PIXELS, y_train=LABELS)
    found = data.load("auto", place)
    np.testing.assert_array_equal(found.test.pixels, PIXELS)
    np.testing.assert_array_equal(found.train.pixels, PIXELS)
    assert "inverted" in found.notice
    assert "inverted" not in data.load("auto", save(tmp_path / "b.npz", x_test=PIXELS, y_test=LABELS)).notice


def test_bits_are_ink_and_paper(tmp_path: Path) -> None:
    found = data.load("auto", save(tmp_path / "mine.npz", x_test=(PIXELS > 127).astype(np.uint8), y_test=LABELS))
    assert set(np.unique(found.test.pixels)) == {0, 255}
    assert "pixels 0 or 1" in found.notice


def test_floats_between_two_levels_are_rounded_and_a_hair_above_one_is_one(tmp_path: Path) -> None:
    images = np.full((2, 28, 28), 0.1004, np.float32)
    images[:, 14] = 1.0005
    found = data.load("auto", save(tmp_path / "mine.npz", x_test=images, y_test=LABELS[:2]))
    assert set(np.unique(found.test.pixels)) == {26, 255}
    assert "rounded to 256 levels" in found.notice


def changed(array: Array, value: float) -> Array:
    found = array.astype(np.float64)
    found.flat[3] = value
    return found


BAD: dict[str, tuple[dict[str, Array], str]] = {
    "label 10": ({"y_test": changed(LABELS, 10)}, "y_test[3] is 10.0: labels are whole numbers from 0 to 9"),
    "label -1": ({"y_test": changed(LABELS, -1)}, "y_test[3] is -1.0"),
    "label 2.5": ({"y_test": changed(LABELS, 2.5)}, "y_test[3] is 2.5"),
    "label NaN": ({"y_test": changed(LABELS, np.nan)}, "y_test[3] is nan"),
    "labels of text": ({"y_test": LABELS.astype(str)}, "y_test is <U3: labels"),
    "labels in a square": ({"y_test": np.zeros((12, 12))}, "y_test has shape (12, 12)"),
    "two ones": ({"y_test": np.eye(10)[LABELS] + np.eye(10)[0] * (LABELS[:, None] == 2)}, "a single 1 and nine 0"),
    "no one": ({"y_test": np.zeros((12, 10))}, "y_test[0] is [0. 0."),
    "fewer labels": ({"y_test": LABELS[:11]}, "x_test has 12 images and y_test 11 labels"),
    "too bright": ({"x_test": changed(PIXELS, 256)}, "x_test runs from 0.0 to 256.0"),
    "negative": ({"x_test": changed(PIXELS, -0.5)}, "x_test runs from -0.5 to"),
    "NaN": ({"x_test": changed(PIXELS, np.nan)}, "x_test runs from nan"),
    "infinite": ({"x_test": changed(PIXELS, np.inf)}, "to inf"),
    "0 to 16": ({"x_test": PIXELS / 16}, "neither from 0 to 255 nor from 0 to 1"),
    "complex": ({"x_test": PIXELS.astype(complex)}, "x_test is complex128"),
    "one image": ({"x_test": PIXELS[0]}, "x_test has shape (28, 28)"),
    "colour": ({"x_test": np.zeros((12, 28, 28, 3))}, "x_test has shape (12, 28, 28, 3)"),
    "MNIST enlarged": ({"x_test": np.zeros((12, 32, 32))}, "x_test has shape (12, 32, 32)"),
    "none": ({"x_test": PIXELS[:0], "y_test": LABELS[:0]}, "x_test holds no image"),
    "half a split": ({"x_train": PIXELS}, "it has no y_train"),
    "objects": ({"y_test": np.array([{}] * 12)}, "not a readable .npz (y_test.npy is object"),
}


BAD |= {
    "a place-holder": (
        {"y_test": np.zeros(12, int)},
        "y_test is 0 for all 12 images, as where nobody",
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
    found = data.load("auto", save(tmp_path / "mine.npz", x_test=PIXELS[:10], y_test=np.arange(10)))
    assert "y_test counts up from 0 to 9: check that these are labels" in found.notice
    assert "counts up" not in data.load("auto", save(tmp_path / "its.npz", x_test=PIXELS, y_test=LABELS)).notice


def test_a_few_images_may_show_the_same(tmp_path: Path) -> None:
    found = data.load("auto", save(tmp_path / "mine.npz", x_test=PIXELS[:9], y_test=np.full(9, 7)))
    assert set(found.test.labels) == {7}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_an_npz_is_named(tmp_path: Path, case: str) -> None:
    arrays, told = BAD[case]
    assert told in refusal(save(tmp_path / "mine.npz", **{"x_test": PIXELS, "y_test": LABELS, **arrays}))


def test_an_npz_without_the_names_says_which(tmp_path: Path) -> None:
    assert "it has no x_test, y_test" in refusal(save(tmp_path / "mine.npz", images=PIXELS, labels=LABELS))


def test_no_more_is_unpacked_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "bomb.npz"
    np.savez_compressed(place, x_test=np.zeros((3000, 28, 28), np.uint8), y_test=np.arange(3000, dtype=np.uint8) % 10)
    assert place.stat().st_size < 10_000
    assert len(data.load("auto", place).test) == 3000
    monkeypatch.setattr(mnist, "MOST_BYTES", 2_000_000)
    monkeypatch.setattr(np.lib.format, "read_array", None)  # nothing is read
    assert "unpacks to 0.0 GB; at most 0.002 GB are read" in refusal(place)
    assert "unpacks to" in refusal(place, "mnist")


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
    """Of one value, but for one element."""
    kinds = ["u1", "i1", "i8", "u8", "f2", "f4", "f8", "?", "c8", "U2", "M8[s]"]
    images, labels = [(2, 28, 28), (2, 784), (2, 28, 28, 1), (2, 1, 28, 28), (0, 784)], [(2,), (2, 1), (2, 10), (0,)]
    shapes = [*images, *labels, (28, 28), ()]
    values = st.sampled_from([0, 1, 0.5, 9, 10, 127, 255, 300, -1, 1.0005, np.nan, np.inf, 1e300])
    found = np.full(draw(st.sampled_from(shapes)), draw(values), np.float64)
    if found.size:
        found.flat[draw(st.integers(0, found.size - 1))] = draw(values)
    with np.errstate(all="ignore"):
        kind = draw(st.sampled_from(kinds))
        return found.astype(np.int64).view("M8[s]") if kind == "M8[s]" else found.astype(kind)


@settings(deadline=None, max_examples=150)
@given(held=st.dictionaries(st.sampled_from(data.ARRAYS), any_array(), max_size=4), whole=st.booleans())
def test_any_arrays_are_digits_or_one_line(
    held: Mapping[str, Array], whole: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.getbasetemp() / "any.npz"
    usual = {"x_test": PIXELS[:2], "y_test": LABELS[:2]} if whole else {}
    save(place, **{**usual, **held})
    try:
        found = data.load("auto", place)
    except DataError:
        refusal(place)
    else:
        assert is_sound(found)


# --- MNIST is still MNIST ------------------------------------------------------------------------------------------


def test_what_is_not_mnist_is_taken_and_told_but_refused_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = small_mnist()
    monkeypatch.setattr(data, "MNIST_SHA256", hashes_of(arrays))
    whole = save(tmp_path / "whole.npz", **arrays)
    assert data.load("auto", whole).name == data.load("mnist", whole).name == "mnist"
    assert data.load("auto", whole).notice == ""

    damaged = {**arrays, "y_test": (arrays["y_test"] + 1) % 10}
    place = save(tmp_path / "damaged.npz", **damaged)
    found = data.load("auto", place)
    assert found.name == "damaged"
    assert f"{place} isn't MNIST (the content of y_test uint8[3] differs from the published files)" in found.notice
    assert "isn't MNIST" in refusal(place, "mnist")
    monkeypatch.setenv(data.ENVIRONMENT, str(place))
    with pytest.raises(DataError, match="isn't MNIST"):
        data.load("auto")


def test_mnist_in_another_layout_has_mnists_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = small_mnist()
    arrays |= {key: arrays[key] // 2 for key in ("x_train", "x_test")}  # MNIST is dark
    monkeypatch.setattr(data, "MNIST_SHA256", hashes_of(arrays))
    flat = {key: array.reshape(len(array), -1) for key, array in arrays.items()}
    found = data.load("auto", save(tmp_path / "flat.npz", **flat))
    assert found.fingerprint == data.load("mnist", save(tmp_path / "m.npz", **arrays)).fingerprint
    assert "holds MNIST in another layout" in found.notice


def test_a_folder_with_any_idx_file_is_meant_to_be_mnist(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "idx", small_mnist())
    assert "isn't MNIST: the content of" in refusal(folder)
    (folder / mnist.IDX_FILES["x_train"]).unlink()
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


def test_own_data_are_found_again_by_their_source_alone(tmp_path: Path) -> None:
    place = save(tmp_path / "mine.npz", x_test=PIXELS, y_test=LABELS)
    first = data.load("auto", place)
    assert data.load("mine", remembered=first.source).fingerprint == first.fingerprint
    with pytest.raises(UsageError, match="unknown dataset 'mine': choose from auto, mnist, digits"):
        data.load("mine", place)


def test_what_is_no_data_at_all_says_what_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for place in (tmp_path / "notes.txt", tmp_path / "nothing.csv"):
        assert "an .npz with x_test and y_test, a .csv or .csv.gz, or a folder of pictures" in refusal(place)


# --- CSV -----------------------------------------------------------------------------------------------------------

HEADER = ",".join(["label", *(f"pixel{i}" for i in range(784))])


def lines_of(label_at: int = 0, scale: float = 1, pixels: Array = FLAT) -> list[str]:
    rows = np.insert(pixels / scale if scale != 1 else pixels.astype(int), label_at, LABELS[: len(pixels)], axis=1)
    return [",".join(f"{value:g}" for value in row) for row in rows]


def write(place: Path, lines: list[str], *, end: str = "\n", start: str = "") -> Path:
    content = (start + end.join(lines) + end).encode()
    place.write_bytes(gzip.compress(content, 1) if place.suffix == ".gz" else content)
    return place


FORMS: dict[str, tuple[list[str], str]] = {
    "Kaggle's": ([HEADER, *lines_of()], "labels in column 'label'"),
    "Redmon's": (lines_of(), "labels in its first column"),
    "last": (lines_of(784), "labels in its last column"),
    "0 to 1": (lines_of(0, 255), "labels in its first column; pixels from 0 to 1"),
    "last, 0 to 1": (lines_of(784, 255), "labels in its last column; pixels from 0 to 1"),
    "named": ([",".join([*"p" * 300, '"Class"', *"p" * 484]), *lines_of(300)], "labels in column 'Class'"),
    "a header of numbers": ([",".join(["label", *map(str, range(784))]), *lines_of()], "labels in column 'label'"),
    "a header of other names": ([",".join("p" * 785), *lines_of(784)], "labels in its last column"),
    "blank lines": (["", HEADER, "", *lines_of(), " ", ""], "labels in column 'label'"),
}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("case", FORMS)
def test_every_csv_is_the_same_data(tmp_path: Path, case: str, suffix: str) -> None:
    lines, told = FORMS[case]
    found = data.load("auto", write(tmp_path / f"mine{suffix}", lines))
    np.testing.assert_array_equal(found.test.labels, LABELS)
    difference = np.abs(found.test.pixels.astype(int) - PIXELS).max()
    assert difference <= ("0 to 1" in case), "six digits of a 255th are enough"
    assert told in found.notice
    assert (found.name, len(found.train)) == ("mine", 0)


@pytest.mark.parametrize("header", [[HEADER], []], ids=["header", "no header"])
def test_windows_lines_and_a_byte_order_mark_are_read(tmp_path: Path, header: list[str]) -> None:
    place = write(tmp_path / "mine.csv", [*header, *lines_of()], end="\r\n", start="\ufeff")
    found = data.load("auto", place)
    np.testing.assert_array_equal(found.test.pixels, PIXELS)
    assert ("labels in column 'label'" in found.notice) is bool(header)


def test_the_label_is_not_a_corner_that_is_always_paper(tmp_path: Path) -> None:
    assert (FLAT[:, 0] == 0).all()
    found = data.load("auto", write(tmp_path / "mine.csv", lines_of(784)))
    np.testing.assert_array_equal(found.test.labels, LABELS)


def test_labels_that_are_all_the_same_are_labels_if_the_header_says_so(tmp_path: Path) -> None:
    lines = [f"7,{line.partition(',')[2]}" for line in lines_of()]
    found = data.load("auto", write(tmp_path / "sevens.csv", [HEADER, *lines]))
    assert set(found.test.labels) == {7}
    assert "the first column is 7 in all lines; the last column is 0" in refusal(write(tmp_path / "mine.csv", lines))


PIXEL_NAMES = [f"pixel{i}" for i in range(784)]
IDS = np.arange(12)


def beside(*columns: Array, after: tuple[Array, ...] = (), pixels: Array = FLAT) -> list[str]:
    """Lines of columns before and after the pixels."""
    return [",".join(f"{value:g}" for value in row) for row in np.column_stack([*columns, pixels, *after])]


ADVICE = "call the labels' column 'label' in a header"
NO_LABELS: dict[str, tuple[list[str], str]] = {
    "pixels alone": ([",".join(PIXEL_NAMES), *beside()], "line 1 has 784 columns: pixels and no labels"),
    "pixels alone, no header": (beside(), "line 1 has 784 columns: pixels and no labels"),
    "ids by name": ([",".join(["id", *PIXEL_NAMES]), *beside(IDS[::-1])], f"('id' doesn't); {ADVICE}"),
    "pandas' index": ([",".join(["", *PIXEL_NAMES]), *beside(IDS)], f"('' doesn't); {ADVICE}"),
    "ids after": ([",".join([*PIXEL_NAMES, "ImageId"]), *beside(after=(IDS + 1,))], "('ImageId' doesn't)"),
    "ids in another order": (beside(np.array([2, 0, 1, 3]), pixels=FLAT[:4]), "the first column numbers the lines"),
    "few ids": (beside(IDS[:9], pixels=FLAT[:9]), "column numbers the lines, as no labels do; the last column is 0"),
    "many ids": (beside(IDS), "the first column holds 10 in line 11, which isn't a label from 0 to 9; the last"),
    "ids from 1 after": (beside(after=(IDS[:9] + 1,), pixels=FLAT[:9]), "the last column numbers the lines"),
    "two ids": (beside(IDS[:2], pixels=FLAT[:2]), "the first column numbers the lines"),
    "a constant": (beside(np.full(12, 5)), "the first column is 5 in all lines; the last column is 0 in all lines"),
    "one pixel more": ([",".join([*PIXEL_NAMES, "pixel784"]), *beside(after=(LABELS,))], "are named like pixels"),
    "28x28": ([",".join(f"{i}x{j}" for i in range(5) for j in range(157)), *beside(LABELS)], "named like pixels"),
    "somebody's writer": ([",".join(["writer", *PIXEL_NAMES]), *beside(LABELS)], "('writer' doesn't)"),
    "predictions": ([",".join(["predicted label", *PIXEL_NAMES]), *beside(LABELS)], "('predicted label' doesn't)"),
    "a number that runs": ([",".join(["number", *PIXEL_NAMES]), *beside(IDS)], "'number' is a running number"),
    "a pixel less": ([",".join(["label", "id", *PIXEL_NAMES[1:]]), *beside(LABELS)], "'id' there are 783 pixels"),
    "two of labels": ([",".join(["label", *PIXEL_NAMES[1:], "class"]), *beside(LABELS)], "'label' and 'class' could"),
    "a corner used once": (beside(after=(np.eye(12)[0] * 3,)), "the last column is nearly always the same"),
    "bits": (beside(LABELS > 4, pixels=FLAT > 99), "the first column is 0 or 1, as its pixels are"),
    "ids and pixels and one more": (beside(IDS[::-1], LABELS), "line 1 has 786 columns: one more than a label and 784"),
    "labels at both ends": (beside(LABELS, after=(LABELS[::-1],), pixels=FLAT[:, 1:]), "both its first and its last"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_LABELS)
def test_a_column_that_may_hold_no_labels_is_refused(tmp_path: Path, case: str) -> None:
    lines, told = NO_LABELS[case]
    assert told in refusal(write(tmp_path / "mine.csv", lines))


WITH_INDEX: dict[str, list[str]] = {
    "pandas": [",".join(["", "label", *PIXEL_NAMES]), *beside(IDS, LABELS)],
    "pandas, shuffled": [",".join(["", "label", *PIXEL_NAMES]), *beside(IDS[::-1] * 7, LABELS)],
    "pandas, read and written again": [",".join(["Unnamed: 0", *PIXEL_NAMES, "y"]), *beside(IDS, after=(LABELS,))],
    "pandas, no names": [",".join(["", *map(str, range(785))]), *beside(IDS, LABELS)],
    "some other name": [",".join(["image", "label", *PIXEL_NAMES]), *beside(IDS + 40, LABELS)],
    "no header": beside(IDS + 1, LABELS),
    "no header, labels last": beside(IDS, after=(LABELS,)),
}


@pytest.mark.parametrize("case", WITH_INDEX)
def test_a_running_number_beside_labels_is_left_out(tmp_path: Path, case: str) -> None:
    found = data.load("auto", write(tmp_path / "mine.csv", WITH_INDEX[case]))
    np.testing.assert_array_equal(found.test.labels, LABELS)
    np.testing.assert_array_equal(found.test.pixels, PIXELS)


def test_a_wrong_pixel_beside_an_index_is_named_by_its_own_column(tmp_path: Path) -> None:
    wrong = FLAT.astype(int)
    wrong[2, 5] = 300
    lines = [",".join(["", "label", *PIXEL_NAMES]), *beside(IDS, LABELS, pixels=wrong)]
    assert "line 4, column 8 (pixel5): 300 isn't a pixel" in refusal(write(tmp_path / "mine.csv", lines))


@pytest.mark.parametrize("name", ["Label", "labels", "true label", "digit_label", "target", "number", "Y", "class:"])
def test_a_header_that_names_labels_decides(tmp_path: Path, name: str) -> None:
    lines = [",".join([*PIXEL_NAMES, name]), *beside(after=(LABELS,))]
    np.testing.assert_array_equal(data.load("auto", write(tmp_path / "mine.csv", lines)).test.labels, LABELS)


BORDERS = ("clean", "a little noise", "noise up to 9", "much noise", "bits", "0 to 1", "white")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], Array | None]:
    """A CSV of pixels, mostly without a word about its labels; and the labels, if it holds any."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, border = draw(st.integers(1, 60)), draw(st.sampled_from(BORDERS))
    pixels = np.resize(FLAT, (count, 784)).astype(float)
    roll = draw(st.sampled_from([0, 0, 4, 6]))  # digits that touch the border
    pixels = np.roll(pixels.reshape(-1, 28, 28), (roll, roll), (1, 2)).reshape(-1, 784)
    noise = {"a little noise": random.poisson(0.3, pixels.shape), "noise up to 9": random.integers(0, 10, pixels.shape),
             "much noise": random.poisson(3, pixels.shape)}.get(border, 0)  # fmt: skip
    pixels = np.minimum(pixels + noise, 255)
    pixels = {"bits": pixels > 99, "0 to 1": pixels / 255, "white": 255 - pixels}.get(border, pixels)
    labels = random.integers(0, draw(st.sampled_from([1, 2, 5, 10])), count)
    at = draw(st.sampled_from(["first", "last", "none"]))
    ids = draw(st.sampled_from(["none", "running", "shuffled"]))
    columns = [labels] if at == "first" else []
    if ids != "none":
        columns.insert(0, np.arange(count) if ids == "running" else random.permutation(count))
    lines = beside(*columns, after=(labels,) if at == "last" else (), pixels=pixels)
    names = [f"pixel{i}" for i in range(784)]
    header = [*["id"] * (ids != "none"), *["label"] * (at == "first"), *names, *["label"] * (at == "last")]
    return [",".join(header)] * draw(st.booleans()) + lines, None if at == "none" else labels


@settings(deadline=None, max_examples=150)
@given(table=tables())
def test_no_csv_is_scored_against_anything_but_its_labels(
    table: tuple[list[str], Array | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines, labels = table
    place = write(tmp_path_factory.getbasetemp() / "any-labels.csv", lines)
    try:
        found = data.load("auto", place)
    except DataError:
        refusal(place)
        assert labels is None or "label" not in lines[0], "a header that names labels is believed"
    else:
        assert labels is not None
        np.testing.assert_array_equal(found.test.labels, labels)


def with_field(at: int, column: int, value: str) -> list[str]:
    """Kaggle's form with one field of line `at` (from 1) changed; an empty line goes before the header."""
    lines = ["", HEADER, *lines_of()]
    fields = lines[at - 1].split(",")
    fields[column - 1] = value
    return [*lines[: at - 1], ",".join(fields), *lines[at:]]


BAD_CSV: dict[str, tuple[list[str], str]] = {
    "a word": (with_field(5, 12, "ink"), "line 5, column 12: 'ink' isn't a number"),
    "a word in the first line": (["1,ink" + ",0" * 783, *lines_of()], "line 1, column 2: 'ink' isn't a number"),
    "no value": (with_field(5, 12, ""), "line 5, column 12: 'an empty field' isn't a number"),
    "too bright": (with_field(7, 785, "256"), "line 7, column 785 (pixel783): 256 isn't a pixel from 0 to 255"),
    "negative": (with_field(3, 2, "-1"), "line 3, column 2 (pixel0): -1 isn't a pixel"),
    "NaN": (with_field(3, 2, "nan"), "line 3, column 2 (pixel0): nan isn't a pixel"),
    "label 12": (with_field(9, 1, "12"), "line 9, column 1 (label): 12 isn't a label from 0 to 9"),
    "label 0.5": (with_field(9, 1, "0.5"), "line 9, column 1 (label): 0.5 isn't a label"),
    "a column more": ([HEADER, *lines_of()[:3], lines_of()[3] + ",0"], "line 5 has 786 columns, not 785"),
    "a column less": (["1,2,3"], "line 1 has 3 columns, not 785: a label and 784 pixels"),
    "Kaggle's test.csv": ([HEADER.partition(",")[2]], "line 1 has 784 columns: pixels and no labels, without"),
    "semicolons": ([lines_of()[0].replace(",", ";")], "line 1 has 1 column, not 785"),
    "no label anywhere": ([",".join(["77"] * 785)], "the first column holds 77 in line 1, which isn't a"),
    "a header alone": ([HEADER], "there is no line below its header"),
    "nothing": ([], "is empty"),
    "0 to 16.5": (lines_of(0, 15), "neither from 0 to 255 nor from 0 to 1"),
    "two headers": ([HEADER, HEADER, *lines_of()], "line 2, column 1: 'label' isn't a number"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CSV)
def test_what_is_wrong_with_a_csv_is_named_by_line_and_column(tmp_path: Path, case: str) -> None:
    lines, told = BAD_CSV[case]
    assert told in refusal(write(tmp_path / "mine.csv", lines))


@pytest.mark.parametrize("damage", ["cut short", "changed", "no gzip"])
def test_a_damaged_gzip_is_refused(tmp_path: Path, damage: str) -> None:
    place = write(tmp_path / "mine.csv.gz", lines_of())
    whole = place.read_bytes()
    half = len(whole) // 2
    place.write_bytes({"cut short": whole[:half], "changed": whole[:half] + bytes(40), "no gzip": b"1,2"}[damage])
    assert "not readable" in refusal(place)


def test_no_more_of_a_csv_is_read_than_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write(tmp_path / "mine.csv.gz", lines_of())
    for limit, value, told in (("MOST_ROWS", 11, "too large"), ("MOST_BYTES", 9000, "too large"),
                               ("LONGEST", 1000, "line 1 has 1,000 bytes or more")):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(table, limit, value)
            assert told in refusal(place)
    monkeypatch.setattr(table, "MOST_ROWS", 12)
    assert len(data.load("auto", place).test) == 12


words = st.sampled_from(
    [
        "0",
        "1",
        "255",
        "9",
        "10",
        "0.5",
        "-1",
        "nan",
        "inf",
        "1e400",
        "1_0",
        "0x1",
        '"5"',
        "",
        " 7 ",
        "٣",
        "label",
        "#",
        "\0",
    ]
)


@settings(deadline=None, max_examples=80)
@given(
    fields=st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 784)), words, max_size=4),
    header=st.booleans(), cut=st.none() | st.integers(0, 10_000), noise=st.binary(max_size=12),
)  # fmt: skip
def test_any_csv_is_digits_or_one_line(
    fields: dict[tuple[int, int], str], header: bool, cut: int | None, noise: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    rows = [line.split(",") for line in ([HEADER] * header + lines_of())[:5]]
    for (row, column), value in fields.items():
        rows[row][column] = value
    content = "\n".join(",".join(row) for row in rows).encode()
    place = tmp_path_factory.getbasetemp() / "any.csv"
    place.write_bytes(content if cut is None else content[:cut] + noise + content[cut + len(noise) :])
    try:
        found = data.load("auto", place)
    except DataError:
        refusal(place)
    else:
        assert is_sound(found)


# --- pictures ------------------------------------------------------------------------------------------------------


def draw(place: Path, index: int = 0) -> Path:
    """A digit on white paper, larger than MNIST's."""
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 - np.kron(PIXELS[index], np.ones((3, 3), np.uint8))).save(place)
    return place


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["3/anything.png", "5/2_two.png"], "labelled by sub-folder"),
        (["3_a.png", "5.png"], "labelled by the first character of the name"),
        (["3/a.png", "5_b.png"], "labelled by sub-folder (1) and by the first character of the name (1)"),
        (["scans/3/a.png", "scans/5-b.png"], "labelled by"),
    ],
    ids=["sub-folder", "name", "both", "deeper"],
)
def test_pictures_are_labelled_by_sub_folder_or_name(tmp_path: Path, names: list[str], told: str) -> None:
    for index, name in enumerate(names):
        draw(tmp_path / "photos" / name, index)
    watcher = Recorder()
    found = data.load("auto", tmp_path / "photos", progress=watcher)
    assert found.name == "photos"
    assert sorted(found.test.labels.tolist()) == [3, 5]
    assert told in found.notice
    assert is_sound(found)
    assert watcher.finished == {"reading pictures"}
    assert watcher.lines == []


def test_the_folder_itself_is_no_sub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "3" / "7_me.png")
    assert data.load("auto", tmp_path / "3").test.labels.tolist() == [7]
    monkeypatch.chdir(tmp_path / "3")
    assert data.load("auto", Path(".")).test.labels.tolist() == [7]


def test_pictures_that_cannot_be_used_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    """The name of a phone's picture begins with a date, which is no label."""
    for name in ("20260101_1.png", "me.png", "77.png"):
        draw(tmp_path / name)
    for index in range(4):
        (tmp_path / f"{index}_broken.png").write_bytes(b"no picture")
    draw(tmp_path / "4_good.png")
    watcher = Recorder()
    found = data.load("auto", tmp_path, progress=watcher)
    assert found.test.labels.tolist() == [4]
    assert len(watcher.lines) == 6
    assert watcher.lines[-1] == "left out: 2 more"
    assert all(line.startswith(f"left out: {tmp_path}/") for line in watcher.lines[:-1])
    assert sum("no label" in line for line in watcher.lines) == 1
    assert watcher.finished == {"reading pictures"}


def test_a_folder_in_which_nothing_can_be_used_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "me.png")
    assert "none of its pictures can be used (1)" in refusal(tmp_path)
    (tmp_path / "me.png").unlink()
    message = refusal(tmp_path)
    assert "isn't MNIST: it has no train-images-idx3-ubyte" in message
    assert "no pictures in this folder" in message


def test_the_same_pictures_have_the_same_fingerprint_wherever_they_lie(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        draw(tmp_path / folder / "10" / "3_x.png")
        draw(tmp_path / folder / "2" / "y.png", 1)
    first, second = (data.load("auto", tmp_path / folder) for folder in ("a", "b"))
    assert first.fingerprint == second.fingerprint
    os.rename(tmp_path / "b" / "2", tmp_path / "b" / "4")
    assert data.load("auto", tmp_path / "b").fingerprint != first.fingerprint


# --- what candidates are held against ------------------------------------------------------------------------------


def test_a_reference_that_is_not_installed_is_said_and_nothing_invented(
    untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MissingRuntimeError("backend 'numpy' needs numpy, not installed here; run: pip install numpy")

    monkeypatch.setattr(reference, "candidates", refuse)
    watcher = Recorder()
    assert reference.scores_or_none(untrained, replace(DIGITS, fingerprint="ab"), None, watcher) is None
    assert watcher.lines == ["no reference: numpy isn't installed; flips and what else is held against it are left out"]
    with pytest.raises(MissingRuntimeError):
        reference.scores_for(untrained, replace(DIGITS, fingerprint="ab"), None, watcher)
    stored = reference.scores_or_none(untrained, DIGITS, 5, watcher)
    np.testing.assert_array_equal(stored, untrained.reference_scores()[:5])


def test_stored_scores_that_were_changed_are_an_error_and_no_lack_of_a_runtime(
    untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(untrained.manifest["reference"], "sha256", "0" * 64)
    with pytest.raises(BundleError, match="checksum"):
        reference.scores_or_none(untrained, DIGITS, None, Recorder())


# --- training on it ------------------------------------------------------------------------------------------------


def test_a_class_of_one_image_can_be_drawn_from(tmp_path: Path) -> None:
    labels = np.where(np.arange(12) == 0, 1, 2)
    other = save(tmp_path / "mine.npz", x_test=PIXELS[:1] // 2, y_test=LABELS[:1], x_train=PIXELS, y_train=labels)
    assert len(data.calibration_images(data.load("auto", other), 4)) == 4


def test_nothing_is_drawn_where_there_is_nothing(tmp_path: Path) -> None:
    found = data.load("auto", save(tmp_path / "mine.npz", x_test=PIXELS, y_test=LABELS))
    with pytest.raises(UsageError, match="from 0 to 0 can be drawn"):
        data.calibration_images(found, 500)
