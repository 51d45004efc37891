"""The forms that people have digits in: each is the same data as the plain one, or one line that says what to do."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.helpers import Arrays, idx, publish, small_mnist, write_idx_folder
from core.user_data import DIGITS, FLAT, LABELS, PIXELS, Array, refusal, save
from digitbench import data
from digitbench.data.idx_files import IDX_FILES
from digitbench.data.pixel_values import to_pixels
from digitbench.errors import DataError


@pytest.fixture(autouse=True)
def nobody_names_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)


def check_same(path: Path, note: str = "", labels: Array = LABELS) -> data.Dataset:
    dataset = data.load("auto", path)
    np.testing.assert_array_equal(dataset.test.pixels, PIXELS)
    np.testing.assert_array_equal(dataset.test.labels, labels)
    assert note in dataset.notice
    return dataset


# --- images --------------------------------------------------------------------------------------------------------

WIDE = PIXELS.astype(np.uint16)
NEAR_GREY = np.stack([PIXELS, np.clip(PIXELS.astype(int) + 6, 0, 255), np.clip(PIXELS.astype(int) - 6, 0, 255)], -1)
IMAGES: dict[str, tuple[Array, str]] = {
    "HWC3": (np.repeat(PIXELS[..., None], 3, -1), "its three channels are equal"),
    "CHW3": (np.repeat(PIXELS[:, None], 3, 1), "its three channels are equal"),
    "RGBA": (np.concatenate([np.repeat(PIXELS[..., None], 3, -1), np.full((12, 28, 28, 1), 255)], -1), "are equal"),
    "images last": (PIXELS.transpose(1, 2, 0), "images in its last axis"),
    "images last, flat": (FLAT.T, "images in its last axis"),
    "images last, channels": (np.repeat(PIXELS[..., None], 3, -1).transpose(1, 2, 3, 0), "images in its last axis"),
    "padded": (np.pad(PIXELS, ((0, 0), (2, 2), (2, 2))), "an empty margin of 2 pixels cut off"),
    "padded, flat": (np.pad(PIXELS, ((0, 0), (2, 2), (2, 2))).reshape(12, -1), "an empty margin of 2 pixels cut off"),
    "padded, white": (255 - np.pad(PIXELS, ((0, 0), (2, 2), (2, 2))), "margin of 2 pixels cut off, inverted"),
    "-1 to 1": (PIXELS / 127.5 - 1, "pixels from -1 to 1"),
    "-1 to 1, half": ((PIXELS / 127.5 - 1).astype(np.float16), "pixels from -1 to 1, rounded"),
    "16 bits": (WIDE * 257, "pixels from 0 to 65,535"),
    "16 bits, shifted": (WIDE << 8, "pixels from 0 to 6.528e+04 in even steps"),
    "16 bits, float": (WIDE * 257.0, "pixels from 0 to 65,535"),
    "12 bits": (np.rint(PIXELS / 255 * 4095).astype(np.int32), "pixels from 0 to 4,095, rounded"),
    "signed": ((PIXELS.astype(int) - 128).astype(np.int8), "pixels from -128 to 127 in even steps"),
    "PyTorch's": (((PIXELS / 255 - 0.1307) / 0.3081).astype(np.float32), "pixels from -0.4242 to 2.821 in even steps"),
    "divided by the deviation": (PIXELS / 255 / 0.3081, "pixels from 0 to 3.246 in even steps"),
    "0 to 16": (PIXELS / 16, "pixels from 0 to 15.94 in even steps"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_every_form_of_images_is_the_same_data(tmp_path: Path, case: str) -> None:
    array, note = IMAGES[case]
    plain = data.load("auto", save(tmp_path / "plain.npz", x_test=PIXELS, y_test=LABELS))
    dataset = check_same(save(tmp_path / "mine.npz", x_test=array, y_test=LABELS), note)
    assert dataset.fingerprint == plain.fingerprint


def test_channels_that_nearly_agree_are_averaged(tmp_path: Path) -> None:
    dataset = data.load(
        "auto", save(tmp_path / "mine.npz", x_test=NEAR_GREY[..., :2].repeat((1, 2), -1), y_test=LABELS)
    )
    assert np.abs(dataset.test.pixels.astype(int) - PIXELS).max() == 4  # a mean of 0, 6 and 6 levels more
    assert "nearly equal (to 6), averaged" in dataset.notice


@settings(deadline=None, max_examples=60)
@given(
    mean=st.floats(-100, 300), deviation=st.floats(0.01, 300), single=st.booleans(),
    white_paper=st.booleans(),
)  # fmt: skip
def test_any_mean_and_deviation_are_undone_exactly_or_refused(
    mean: float, deviation: float, single: bool, white_paper: bool
) -> None:
    """What two numbers make of 256 levels is one thing alone, unless it looks like a usual range itself."""
    pixels = 255 - PIXELS if white_paper else PIXELS
    array = (pixels - mean) / deviation
    array = array.astype(np.float32) if single else array
    low, high = float(array.min()), float(array.max())
    try:
        found, _ = to_pixels(array, "x")
    except DataError:  # float32 has no room for 256 levels far from 0
        assert single
        assert abs(low) > 100 * (high - low) or abs(high) > 100 * (high - low)
        return
    if low >= 0 and high <= 255:  # a usual range, taken as it is
        return
    np.testing.assert_array_equal(found, PIXELS)


NOISE = np.random.default_rng(0).normal(size=(12, 28, 28))
REFUSED_IMAGES: dict[str, tuple[Array, str]] = {
    "colours": (
        np.stack([PIXELS, PIXELS // 2, 255 - PIXELS], -1),
        "its channels differ by up to 255: these are colours (or were normalised channel by channel); make them grey",
    ),
    "PyTorch's, half precision": (
        ((PIXELS / 255 - 0.1307) / 0.3081).astype(np.float16),
        "normalised by a mean and a deviation; undo it, so that it runs from 0 to 1: x * 0.3081 + 0.1307, MNIST's in",
    ),
    "by each pixel's own": (NOISE, "undo it, so that it runs from 0 to 1: x * deviation + mean"),
    "overflowed": (PIXELS.astype(np.int8), "these look like uint8 stored as int8; save x.view('uint8')"),
    "below white": (WIDE**2 // 2, "x_test runs from 0 to 32512: pixels run from 0 to 255 or 65,535; divide them"),
    "0 to 16 in whole numbers": (PIXELS // 16, "x_test runs from 0 to 15: pixels run from 0 to 255 or 65,535; mult"),
    "large": (np.kron(PIXELS, np.ones((2, 2))), "shape (12, 56, 56): images are 28 × 28, or larger by an empty margin"),
    "small": (PIXELS[:, 4:24, 4:24], "shape (12, 20, 20): images are 28 × 28"),
    "an alpha": (np.repeat(PIXELS[..., None], 4, -1), "the last isn't the same everywhere: give grey images"),
    "two channels": (np.zeros((12, 28, 28, 2)), "images are (n, 28, 28), (n, 784), or with 1 or 3 channels"),
}


@pytest.mark.parametrize("case", REFUSED_IMAGES)
def test_images_that_may_be_several_things_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    array, message = REFUSED_IMAGES[case]
    assert message in refusal(save(tmp_path / "mine.npz", x_test=array, y_test=LABELS))


def test_twenty_eight_images_are_in_the_first_axis(tmp_path: Path) -> None:
    """A cube says nothing, and the usual order is the usual one."""
    pixels, labels = DIGITS.test.pixels[:28], DIGITS.test.labels[:28]
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=pixels, y_test=labels))
    np.testing.assert_array_equal(dataset.test.pixels, pixels)


# --- labels --------------------------------------------------------------------------------------------------------

MANY, MANY_LABELS = DIGITS.test.pixels[::3], DIGITS.test.labels[::3]


@pytest.mark.parametrize(
    "labels",
    [LABELS.astype(str), LABELS.astype("S1"), LABELS.astype(float).astype(str), np.array([f"'{n}'" for n in LABELS])],
    ids=["text", "bytes", "floats as text", "quoted"],
)
def test_labels_as_text_are_labels(tmp_path: Path, labels: Array) -> None:
    check_same(save(tmp_path / "mine.npz", x_test=PIXELS, y_test=labels))


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (np.where(MANY_LABELS == 0, 10, MANY_LABELS), "where 10 is the 0 by what the pictures show"),
        ((MANY_LABELS + 1)[:, None], "where 1 is the 0 by what the pictures show"),
        (np.where(MANY_LABELS == 0, 10, MANY_LABELS).astype(str), "where 10 is the 0"),
    ],
    ids=["SVHN's", "from 1", "SVHN's as text"],
)
def test_the_pictures_tell_what_labels_from_1_to_10_mean(tmp_path: Path, labels: Array, note: str) -> None:
    dataset = data.load("auto", save(tmp_path / "mine.npz", x_test=MANY, y_test=labels))
    np.testing.assert_array_equal(dataset.test.labels, MANY_LABELS)
    assert note in dataset.notice


def test_labels_from_1_to_10_of_pictures_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (120, 28, 28), np.uint8) // 2
    message = refusal(save(tmp_path / "mine.npz", x_test=noise, y_test=np.arange(120) % 10 + 1))
    assert "y_test runs from 1 to 10: labels are whole numbers from 0 to 9, and the pictures don't show" in message
    assert "then save y % 10) or 1 is the 0 (then save y - 1)" in message


def test_letters_are_refused_with_their_range(tmp_path: Path) -> None:
    message = refusal(save(tmp_path / "mine.npz", x_test=PIXELS, y_test=np.arange(12) + 15))
    assert "y_test[0] is 15: labels are whole numbers from 0 to 9, and these run from 15 to 26" in message


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", ["x_test y_test", "X_test Y_test", "test_images test_labels", "images labels", "X y", "testX testY",
              "data target", "arr_0 arr_1", "arr_1 arr_0", "imgs_test labels_test", "some others"],
)  # fmt: skip
def test_arrays_are_found_by_what_people_call_them(tmp_path: Path, names: str) -> None:
    images, labels = names.split()
    check_same(save(tmp_path / "mine.npz", **{images: PIXELS, labels: LABELS}))


def test_the_parts_are_told_by_name_and_what_validates_is_left(tmp_path: Path) -> None:
    path = save(
        tmp_path / "mine.npz", train_images=PIXELS[::-1], train_labels=LABELS[::-1], test_images=PIXELS,
        test_labels=LABELS, val_images=PIXELS[:3], val_labels=LABELS[:3],
    )  # fmt: skip
    dataset = check_same(path)
    np.testing.assert_array_equal(dataset.train.labels, LABELS[::-1])


def test_mnist_is_known_by_its_content_whatever_its_arrays_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = small_mnist()
    publish(monkeypatch, arrays)
    names = {"x_train": "train_images", "y_train": "train_labels", "x_test": "test_images", "y_test": "test_labels"}
    dataset = data.load("auto", save(tmp_path / "a.npz", **{names[key]: array for key, array in arrays.items()}))
    assert (dataset.name, dataset.notice) == ("mnist", "")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("arr_0",), "it holds arr_0 (12, 28, 28), which may be images, and without labels nothing can be scored"),
        (("x_train", "y_train"), "all to train on: save images to score too, as x_test and y_test"),
        (("images", "data", "labels"), "'images' and 'data' could both be x_test: rename one of them to that"),
        (("arr_0", "arr_1", "arr_2", "arr_3"), "it holds arr_0 (12, 28, 28), arr_1 (12,), arr_2 (12, 28, 28), arr_3"),
    ],
    ids=["images alone", "to train alone", "two of them", "four without names"],
)
def test_what_is_no_whole_set_says_what_there_is_and_what_to_do(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    labels = ("labels", "y_train", "arr_1", "arr_3")
    assert message in refusal(
        save(tmp_path / "a.npz", **{name: LABELS if name in labels else PIXELS for name in names})
    )


def test_wrong_values_are_told_by_the_files_own_names(tmp_path: Path) -> None:
    assert "mine.npz: test_labels[0] is 77" in refusal(
        save(tmp_path / "mine.npz", test_images=PIXELS, test_labels=np.full(12, 77))
    )


# --- tables --------------------------------------------------------------------------------------------------------

HEADER = ",".join(["label", *(f"pixel{i}" for i in range(784))])
ROWS = np.column_stack([LABELS, FLAT]).tolist()
TABLE = "\n".join([HEADER, *(",".join(map(str, row)) for row in ROWS)])


def zipped(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return path


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "mine.csv": gzip.compress, "mine.csv.gz": bytes, "mine.csv.bz2": bz2.compress, "mine.csv.xz": lzma.compress,
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_how_a_table_is_packed_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name](TABLE.encode()))
    assert check_same(tmp_path / name).name == "mine"


@pytest.mark.parametrize("name", ["mine.csv.zip", "mine.zip", "mine.csv"])
def test_a_zipped_table_is_read_whatever_macos_adds(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / name, **{"data/train__csv": TABLE, "__MACOSX/data/._train.csv": "x", "readme__txt": "x"})
    assert check_same(path).name == "mine"


def test_a_zip_of_several_tables_or_of_none_says_so(tmp_path: Path) -> None:
    several = refusal(zipped(tmp_path / "a.zip", train__csv=TABLE, test__csv=TABLE))
    assert "is a zip with 2 tables (train.csv, test.csv): unpack it, and give the file or folder you mean" in several
    assert "is a zip with no .csv (readme.md)" in refusal(zipped(tmp_path / "a.csv.zip", readme__md="x"))
    assert "is a zip of neither arrays nor tables: unpack it" in refusal(zipped(tmp_path / "b.zip", readme__md="x"))
    (tmp_path / "c.csv.zip").write_bytes(b"PK\3\4")
    assert "isn't a complete zip: damaged or cut short; download it again" in refusal(tmp_path / "c.csv.zip")


@pytest.mark.parametrize("separator", [";", "\t", "|", " ", ", "], ids=repr)
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_separators_and_quotes_do_not_matter(tmp_path: Path, separator: str, quote: str) -> None:
    rows = [separator.join(f"{quote}{field}{quote}" for field in line.split(",")) for line in TABLE.splitlines()]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    check_same(tmp_path / "mine.csv", "labels in column 'label'")


def test_decimal_commas_are_read_where_semicolons_part_the_fields(tmp_path: Path) -> None:
    rows = [";".join([str(label), *(f"{pixel / 255:.5f}".replace(".", ",") for pixel in row)]) for label, *row in ROWS]
    (tmp_path / "mine.csv").write_text("\n".join([HEADER.replace(",", ";"), *rows]))
    check_same(tmp_path / "mine.csv", "pixels from 0 to 1")


def test_numpys_own_text_is_read(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "mine.csv", np.column_stack([LABELS, FLAT]))
    check_same(tmp_path / "mine.csv", "labels in its first column")


@pytest.mark.parametrize("case", ["-1 to 1", "16 bits", "PyTorch's", "signed"])
def test_a_table_has_the_ranges_that_arrays_have(tmp_path: Path, case: str) -> None:
    array, note = IMAGES[case]
    rows = np.column_stack([LABELS, array.reshape(12, -1).astype(float)]).tolist()
    (tmp_path / "mine.csv").write_text("\n".join([HEADER, *(",".join(f"{value:.7g}" for value in r) for r in rows)]))
    check_same(tmp_path / "mine.csv", note)


def test_a_table_may_have_labels_from_1_to_10(tmp_path: Path) -> None:
    rows = np.column_stack([np.where(MANY_LABELS == 0, 10, MANY_LABELS), MANY.reshape(len(MANY), -1)]).tolist()
    (tmp_path / "mine.csv").write_text("\n".join([HEADER, *(",".join(map(str, row)) for row in rows)]))
    dataset = data.load("auto", tmp_path / "mine.csv")
    np.testing.assert_array_equal(dataset.test.labels, MANY_LABELS)


# --- other files ---------------------------------------------------------------------------------------------------

OTHERS: dict[str, tuple[bytes, str]] = {
    "mnist.pkl.gz": (
        gzip.compress(pickle.dumps((PIXELS, LABELS))),
        "is a Python pickle, which can run code when it is",
    ),
    "mnist.pkl": (pickle.dumps((PIXELS, LABELS)), "is a Python pickle"),
    "train.parquet": (b"PAR1" + bytes(9), "is a Parquet table; data of your own comes as an .npz"),
    "mnist.h5": (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
    "mnist.mat": (b"MATLAB 5.0 MAT-file", "is a MATLAB file"),
    "x.npy": (b"\x93NUMPY\1\0", "is a single array, and labels are needed too"),
    "t10k-images-idx3-ubyte.gz": (gzip.compress(idx(PIXELS)), "is a single IDX file: give the folder that has its"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_other_kinds_are_called_by_their_kind(tmp_path: Path, name: str) -> None:
    content, message = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    assert message in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["mine.npz", "mine.csv"])
def test_a_file_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / name).write_bytes(b"1")
    monkeypatch.setattr(Path, "open", refuse)  # whoever runs the tests may read all
    assert "not readable: [Errno 13] Permission denied" in refusal(tmp_path / name)


def test_a_folder_of_tables_says_to_give_one(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(TABLE)
    assert "is a folder with test.csv, train.csv: give one of them" in refusal(tmp_path)


# --- IDX -----------------------------------------------------------------------------------------------------------


def own() -> Arrays:
    return {"x_train": PIXELS[::-1], "y_train": LABELS[::-1], "x_test": PIXELS, "y_test": LABELS}


NAMINGS: dict[str, Callable[[str], str]] = {
    "nested by Kaggle": lambda name: f"{name}/{name}",
    "torchvision's root": lambda name: f"MNIST/raw/{name}",
    "EMNIST's": lambda name: f"emnist-digits-{name.replace('t10k', 'test')}",
    "gzip's suffix alone": lambda name: f"{name}.gz",
    "one's own": lambda name: f"{name.replace('t10k', 'test').split('-idx')[0]}.idx",
}


@pytest.mark.parametrize("case", NAMINGS)
def test_idx_files_are_found_where_people_have_them(tmp_path: Path, case: str) -> None:
    for key, name in IDX_FILES.items():
        path = tmp_path / "mine" / NAMINGS[case](name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(idx(own()[key]))
    dataset = check_same(tmp_path / "mine")
    np.testing.assert_array_equal(dataset.train.pixels, PIXELS[::-1])
    assert "isn't MNIST" in refusal(tmp_path / "mine", "mnist")


def test_packed_without_the_suffix_and_beside_its_packed_copy(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "MNIST" / "raw", own())
    write_idx_folder(tmp_path / "MNIST" / "raw", {key: array[:5] for key, array in own().items()}, zipped=True)
    check_same(tmp_path)  # torchvision leaves both
    packed = tmp_path / "MNIST" / "raw" / IDX_FILES["x_test"]
    packed.write_bytes(gzip.compress(packed.read_bytes()))
    check_same(tmp_path)


def test_a_test_set_alone_is_enough_and_half_of_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "my-images-idx3-ubyte").write_bytes(idx(PIXELS))
    assert "it has no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz; of its kind there is my-im" in refusal(
        tmp_path
    )
    (tmp_path / "my-labels-idx1-ubyte").write_bytes(idx(LABELS))
    assert len(check_same(tmp_path).train) == 0


def test_several_sets_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("MNIST", "FashionMNIST"):
        write_idx_folder(tmp_path / name / "raw", small_mnist())
    message = refusal(tmp_path)
    assert "holds 2 sets of IDX files (FashionMNIST/raw, MNIST/raw): give a folder that holds one of them" in message
