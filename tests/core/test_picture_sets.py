"""Arrays of pictures of any classes: keys, forms of labels and of images, names, and what they are taken for."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from core.helpers import idx, one_printable_line
from core.pictures import SHAPES, letter, shapes
from core.user_data import save
from digitbench import data
from digitbench.data import Split, doubts, mnist, published, storage
from digitbench.errors import DataError
from digitbench.records.task import Task, numbered

Array = npt.NDArray[Any]
X, Y = shapes(10, (16, 20))
GREY = shapes(10, (16, 16), colour=False)[0]
TEST_X, TEST_Y = X[::3], Y[::3]


@pytest.fixture(autouse=True)
def nobody_names_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)


def fault(path: Path, **how: Any) -> str:
    with pytest.raises(DataError) as caught:
        data.load("auto", path, **how)
    assert one_printable_line(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels"),
     ("X_train", "Y_train", "X_test", "Y_test")],
)  # fmt: skip
def test_keys_that_people_use(tmp_path: Path, keys: tuple[str, ...]) -> None:
    arrays = dict(zip(keys, (X, Y, TEST_X, TEST_Y), strict=True))
    dataset = data.load("auto", save(tmp_path / "set.npz", **arrays))
    assert dataset.task == Task((16, 20, 3), numbered(3))
    assert sorted(image.tobytes() for image in dataset.train.pixels) == sorted(image.tobytes() for image in X)
    np.testing.assert_array_equal(dataset.test.labels, TEST_Y)
    assert "10 of the 10 test images are training images too" in dataset.notice
    assert one_printable_line(dataset.notice)


def test_training_images_in_order_of_class_are_shuffled_by_content(tmp_path: Path) -> None:
    """Training validates on the last ones, which would be of one class; others stay in their order."""
    mixed = np.random.default_rng(1).permutation(30)
    by_class = data.load("auto", save(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=TEST_X, y_test=TEST_Y))
    assert "training images shuffled, since they were in order of class" in by_class.notice
    assert len(set(by_class.train.labels[-8:].tolist())) > 1
    for image, label in zip(by_class.train.pixels, by_class.train.labels, strict=True):
        assert label == next(y for x, y in zip(X, Y, strict=True) if (x == image).all())
    path = save(tmp_path / "b.npz", x_train=X[mixed], y_train=Y[mixed], x_test=TEST_X, y_test=TEST_Y)
    np.testing.assert_array_equal(data.load("auto", path).train.pixels, X[mixed])


@pytest.mark.parametrize("keys", [("X", "y"), ("images", "labels"), ("data", "target"), ("arr_0", "arr_1")])
def test_a_set_without_parts_is_divided_by_content_and_the_same_each_time(
    tmp_path: Path, keys: tuple[str, str]
) -> None:
    twice = np.concatenate([X, X]), np.concatenate([Y, Y])
    order = np.random.default_rng(0).permutation(60)
    first, second = (
        data.load("auto", save(tmp_path / name, **dict(zip(keys, arrays, strict=True))))
        for name, arrays in (("a.npz", twice), ("b.npz", (twice[0][order], twice[1][order])))
    )
    assert (len(first.train), len(first.test)) == (48, 12)
    assert np.bincount(first.test.labels).tolist() == [4, 4, 4]
    tested, trained = ({image.tobytes() for image in part.pixels} for part in (first.test, first.train))
    assert not tested & trained, "a copy must not stand on both sides"
    assert tested == {image.tobytes() for image in second.test.pixels}, "the order of images decides nothing"
    assert first.split in first.notice
    whole = first.undivided()
    assert (len(whole.train), len(whole.test), whole.split) == (0, 60, "")
    assert whole.fingerprint != first.fingerprint
    assert whole.undivided() is whole


@pytest.mark.parametrize(
    ("images", "shape"),
    [(X, (16, 20, 3)), (X.transpose(0, 3, 1, 2), (16, 20, 3)), (GREY, (16, 16)), (GREY[..., None], (16, 16)),
     (GREY[:, None], (16, 16)), (GREY.reshape(30, 256), (16, 16)), (X / 255, (16, 20, 3)),
     (GREY.astype(np.float32) / 255, (16, 16)), (np.repeat(GREY[..., None], 3, axis=-1), (16, 16)),
     (X.transpose(1, 2, 3, 0), (16, 20, 3))],
    ids=["hwc", "chw", "hw", "hw1", "1hw", "flat", "float", "float-grey", "equal-channels", "last"],
)  # fmt: skip
def test_layouts_of_images(tmp_path: Path, images: Array, shape: tuple[int, ...]) -> None:
    dataset = data.load("auto", save(tmp_path / "set.npz", x_test=images, y_test=Y))
    assert dataset.task.image_shape == shape
    np.testing.assert_array_equal(dataset.test.pixels, X if len(shape) == 3 else GREY)


TEXT = np.array(SHAPES)[Y]
ONE_HOT = np.eye(3)[Y]


@pytest.mark.parametrize(
    ("labels", "names", "said"),
    [(Y, "012", ""), (Y[:, None], "012", ""), (ONE_HOT, "012", ""), (Y + 1, "123", "from 1 to 3, each number a class"),
     (Y * 4, "048", "(6 of them missing)"), (Y.astype(np.float32), "012", ""), (Y.astype(str), "012", ""),
     (TEXT, SHAPES, "text labels"), (TEXT.astype("S"), SHAPES, "text labels")],
    ids=["n", "n1", "one-hot", "from-1", "gaps", "float", "digits", "text", "bytes"],
)  # fmt: skip
def test_forms_of_labels(tmp_path: Path, labels: Array, names: tuple[str, ...], said: str) -> None:
    dataset = data.load("auto", save(tmp_path / "set.npz", x_test=X, y_test=labels))
    assert dataset.task.class_names == tuple(names)
    np.testing.assert_array_equal(dataset.test.labels, Y)
    assert said in dataset.notice


@pytest.mark.parametrize("lines", ["circle\nsquare\ntriangle\n", "2 triangle\n0 circle\n\n1: square"])
def test_names_come_from_a_file_beside_or_an_array(tmp_path: Path, lines: str) -> None:
    path = save(tmp_path / "set.npz", x_test=X, y_test=Y + 1)
    (tmp_path / "labels.txt").write_text(lines)
    dataset = data.load("auto", path)
    assert (dataset.task.class_names, dataset.task.names_from) == (SHAPES, "labels.txt")
    assert "labels from 1 to 3, taken as 0 to 2" in dataset.notice
    (tmp_path / "labels.txt").write_text("circle\nsquare\n")
    assert "labels.txt has 2 names, and labels run from 1 to 3" in fault(path)
    (tmp_path / "labels.txt").write_text("circle\ncircle\n")
    assert "names 'circle' twice" in fault(path)
    named = save(tmp_path / "named.npz", x_test=X, y_test=Y, class_names=np.array(["a", "b", "c"]))
    assert data.load("auto", named).task == Task((16, 20, 3), ("a", "b", "c"), names_from="names in the file")


def test_a_validation_part_is_left_out_or_tested_with(tmp_path: Path) -> None:
    parts = {"x_train": X, "y_train": Y, "x_val": TEST_X[:4], "y_val": TEST_Y[:4]}
    dataset = data.load("auto", save(tmp_path / "two.npz", **parts))
    assert len(dataset.test) == 4
    assert "validation part is what is tested with" in dataset.notice
    dataset = data.load("auto", save(tmp_path / "three.npz", x_test=TEST_X, y_test=TEST_Y, **parts))
    assert len(dataset.test) == 10
    assert "validation part is left out" in dataset.notice


MODEL = Task((8, 8), ("triangle", "Square", "circle"))


def test_a_models_task_decides_shape_and_numbers(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x_test=X, y_test=TEXT)
    dataset = data.load("auto", path, task=MODEL, fit="crop")
    assert dataset.task is MODEL
    assert dataset.test.pixels.shape == (30, 8, 8)
    np.testing.assert_array_equal(dataset.test.labels, 2 - Y.astype(int))
    assert dataset.preparation["fit"] == "crop"
    assert "brought to 8 × 8 (crop" in dataset.notice
    numbers = data.load("auto", save(tmp_path / "numbers.npz", x_test=X, y_test=Y), task=MODEL)
    np.testing.assert_array_equal(numbers.test.labels, Y)
    unknown = fault(path, task=Task((8, 8), ("circle", "star")))
    assert "has images of square, triangle, and the model knows 2 classes: circle, star" in unknown


def test_labels_of_both_parts_are_understood_alike(tmp_path: Path) -> None:
    """What the training part needs a number for isn't a name in the test part."""
    path = save(tmp_path / "set.npz", x_train=X, y_train=Y, x_test=X[10:], y_test=Y[10:])
    dataset = data.load("auto", path, task=Task((16, 20, 3), ("1", "2", "3")))
    np.testing.assert_array_equal(dataset.test.labels, Y[10:])


def test_a_model_of_another_size_is_given_mnist_in_its_size() -> None:
    task = Task((16, 16, 3), numbered(10))
    dataset = data.load("digits", task=task)
    assert dataset.test.pixels.shape[1:] == task.image_shape
    assert data.load("digits", image_size=(14, 14)).task == Task((14, 14), numbered(10))


def test_pictures_are_shrunk_to_64_unless_a_size_is_asked_for(tmp_path: Path) -> None:
    large = np.zeros((20, 50, 100), np.uint8)
    large[:10] = 9
    path = save(
        tmp_path / "set.npz", x_test=large, y_test=np.repeat([0, 1], 10), x_train=large, y_train=np.tile([0, 1], 10)
    )
    assert data.load("auto", path).task.image_shape == (32, 64)
    assert data.load("auto", path, image_size=(20, 10)).task.image_shape == (20, 10)


def test_digits_are_what_looks_like_digits(tmp_path: Path) -> None:
    """Mirrored ones are digits too; letters of the same shape aren't, and are not brought into MNIST's form."""
    digits = data.load("digits").test
    upright = save(tmp_path / "digits.npz", x_test=digits.pixels, y_test=digits.labels)
    mirrored = save(tmp_path / "mirrored.npz", x_test=digits.pixels[:, :, ::-1], y_test=digits.labels)
    letters = np.stack([letter(text, seed, 28) for text in "ABCDEFGHIJ" for seed in range(12)])
    other = save(tmp_path / "letters.npz", x_test=255 - letters, y_test=np.repeat(np.arange(10), 12))
    assert data.load("auto", upright).task is data.load("auto", mirrored).task is mnist.TASK
    dataset = data.load("auto", other)
    assert not dataset.task.is_digits
    assert "not taken for handwritten digits (a simple classifier of digits recognises" in dataset.notice
    np.testing.assert_array_equal(dataset.test.pixels, 255 - letters)
    assert data.load("auto", other, task=mnist.TASK).task.is_digits, "a person who names a model of digits is believed"
    share = doubts.recognised_as_digits(letters, np.repeat(np.arange(10), 12))
    assert share is not None
    assert share < doubts.LEAST_RECOGNISED


def test_a_table_of_any_square(tmp_path: Path) -> None:
    lines = [",".join(map(str, [label, *image.reshape(-1)])) for label, image in zip(Y + 20, GREY, strict=True)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["label," + ",".join(f"p{i}" for i in range(256)), *lines]))
    dataset = data.load("auto", path)
    assert dataset.task == Task((16, 16), ("20", "21", "22"))
    assert (len(dataset.train), len(dataset.test)) == (24, 6)
    path.write_text("\n".join(lines))
    assert "no column is called 'label'" in fault(path)
    path.write_text("label,a,b\n1,2,3\n")
    assert "3 columns, a label and a square of pixels" in fault(path)


def test_idx_files_of_any_size(tmp_path: Path) -> None:
    for name, array in (("train-images-idx3-ubyte", GREY), ("train-labels-idx1-ubyte", Y),
                        ("t10k-images-idx3-ubyte", GREY[:7]), ("t10k-labels-idx1-ubyte", Y[:7])):  # fmt: skip
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    dataset = data.load("auto", tmp_path)
    assert (dataset.task.image_shape, len(dataset.train), len(dataset.test)) == ((16, 16), 30, 7)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [({"x_test": X, "y_test": Y[:-1]}, "has 30 images and y_test 29 labels"),
     ({"x_test": X, "y_test": Y - 1.0}, "y_test[0] is -1.0: labels are whole numbers from 0, or text"),
     ({"x_test": X, "y_test": Y * 0}, "holds one class alone, 0: give two at least"),
     ({"x_test": X, "y_test": np.ones((30, 3))}, "isn't one-hot"),
     ({"x_test": X, "y_test": np.arange(30) > 3j}, ""),
     ({"x_test": X[:, :, :, :2], "y_test": Y}, "images are (n, height, width)"),
     ({"x_test": X * np.nan, "y_test": Y}, "it holds NaN"),
     ({"x_test": np.tile(X, (1, 1, 1, 1)) * 3000.0, "y_test": Y}, "neither from 0 to 255 nor from 0 to 1"),
     ({"x_test": X, "y_test": np.array(["a", "b", "c\x1b"])[Y]}, "has a class called 'c\\x1b'"),
     ({"x_train": X, "x_test": X, "y_test": Y}, "it has no y_train")],
    ids=["counts", "negative", "constant", "one-hot", "bool", "channels", "nan", "range", "unprintable", "missing"],
)  # fmt: skip
def test_what_is_no_set_says_why_in_a_line(tmp_path: Path, arrays: dict[str, Array], said: str) -> None:
    path = save(tmp_path / "set.npz", **arrays)
    if said:
        assert said in fault(path)
    else:
        assert data.load("auto", path).task.classes == 2


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    clear = np.concatenate([X, np.zeros_like(X[..., :1])], axis=-1)
    clear[..., 3] = 255 * (Y > 0)[:, None, None]
    dataset = data.load("auto", save(tmp_path / "set.npz", x_test=clear, y_test=Y))
    assert (dataset.test.pixels[Y == 0] == 255).all()
    np.testing.assert_array_equal(dataset.test.pixels[Y > 0], X[Y > 0])


def test_many_test_images_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MOST_IN_MEMORY", 1000)
    path = save(tmp_path / "set.npz", x_train=X, y_train=Y, x_test=TEST_X, y_test=TEST_Y)
    in_file = data.load("auto", path, image_size=(12, 12))
    assert isinstance(in_file.test.pixels, np.memmap)
    assert not isinstance(in_file.train.pixels, np.memmap)
    monkeypatch.undo()
    assert data.load("auto", path, image_size=(12, 12)).fingerprint == in_file.fingerprint


def test_fashion_mnist_is_found_where_debian_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.helpers import hashes_of, small_mnist, write_idx_folder

    arrays = small_mnist()
    folder = write_idx_folder(tmp_path / "datasets", arrays, zipped=True)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    fashion = published.PUBLISHED["fashion-mnist"]
    assert fashion.folders == (Path("/usr/share/datasets/fashion-mnist"),)
    from dataclasses import replace

    fake = replace(fashion, sha256=hashes_of(arrays), folders=(folder,), mirrors=())
    monkeypatch.setitem(published.PUBLISHED, "fashion-mnist", fake)
    dataset = data.load("fashion-mnist")
    assert (dataset.name, dataset.notice, dataset.own) == ("fashion-mnist", "", False)
    assert dataset.task.class_names[9] == "Ankle boot"
    assert data.load("auto", folder).name == "fashion-mnist"
    monkeypatch.setitem(published.PUBLISHED, "fashion-mnist", replace(fake, sha256=fashion.sha256))
    with pytest.raises(DataError, match=r"isn't Fashion-MNIST: .*differs.*pass --data PATH$"):
        data.load("fashion-mnist")


def test_many_images_are_scaled_into_a_file_and_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2500, 3, 4, 3)).astype(np.uint8)
    labels = np.zeros(2500, np.int64)
    in_memory = Split(pixels, labels).images
    monkeypatch.setattr(storage, "MOST_IN_MEMORY", pixels.size * 4 - 1)
    in_file = Split(pixels, labels).images
    assert isinstance(in_file, np.memmap)
    assert not isinstance(in_memory, np.memmap)
    np.testing.assert_array_equal(in_file, in_memory)
