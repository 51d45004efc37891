"""Datasets: what is loaded, from where, and proof that it is what it says."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.helpers import Arrays, one_printable_line, publish, small_mnist, use_mirrors, write_idx_folder
from digitbench import data
from digitbench.data import downloads, mnist, published
from digitbench.data.array_names import ROLES
from digitbench.errors import DataError, UsageError

DIGITS = "6c2ab3cadbb274ec"
MNIST = "c473ce9de4170e6f"
REAL = os.environ.get(data.ENVIRONMENT, "")
needs_mnist = pytest.mark.skipif(not REAL, reason=f"{data.ENVIRONMENT} doesn't say where MNIST is")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no network."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)
    use_mirrors(monkeypatch)
    return tmp_path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """Small arrays that pass for MNIST."""
    arrays = small_mnist()
    publish(monkeypatch, arrays)
    return arrays


def save(path: Path, arrays: Arrays) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def refusal(name: str = "mnist", path: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        data.load(name, path)
    assert one_printable_line(str(caught.value))
    return str(caught.value)


# --- digits --------------------------------------------------------------------------------------------------------


def test_digits_are_1797_images_whose_fingerprint_never_changes() -> None:
    digits = data.load("digits")
    assert len(digits.train) + len(digits.test) == 1797
    assert digits.name == "digits"
    assert digits.fingerprint == DIGITS
    assert digits.notice == ""


def test_digits_test_set_is_the_last_fifth_of_each_class() -> None:
    digits = data.load("digits")
    pixels, labels = mnist.sklearn_digits()
    for digit in range(10):
        of_class = pixels[labels == digit]
        held_out = digits.test.pixels[digits.test.labels == digit]
        assert abs(len(held_out) - len(of_class) / 5) <= 0.5
        np.testing.assert_array_equal(held_out, of_class[-len(held_out) :])
        np.testing.assert_array_equal(digits.train.pixels[digits.train.labels == digit], of_class[: -len(held_out)])


def test_images_are_what_models_are_given() -> None:
    for part in (data.load("digits").train, data.load("digits").test):
        assert part.images.shape == (len(part), 28, 28)
        assert part.images.dtype == np.float32
        assert part.images.flags.c_contiguous
        assert part.images.min() == 0
        assert part.images.max() == 1
        assert part.labels.dtype == np.int64
        np.testing.assert_array_equal(np.round(part.images * 255).astype(np.uint8), part.pixels)


def test_head_gives_the_first_images_or_all() -> None:
    part = data.load("digits").test
    assert part.head(None) is part
    assert len(part.head(7)) == 7
    np.testing.assert_array_equal(part.head(7).images, part.images[:7])
    np.testing.assert_array_equal(part.head(7).labels, part.labels[:7])


def test_digits_take_no_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes no --data"):
        data.load("digits", tmp_path)


def test_an_unknown_dataset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'fashion': .*known are auto, mnist, fashion-mnist, digits"):
        data.load("fashion")


# --- what passes for MNIST -----------------------------------------------------------------------------------------


def test_mnist_is_known_by_its_content_whatever_file_it_came_in(fake: Arrays, tmp_path: Path) -> None:
    datasets = [
        data.load("mnist", save(tmp_path / "m.npz", fake)),
        data.load("mnist", write_idx_folder(tmp_path / "plain", fake)),
        data.load("mnist", write_idx_folder(tmp_path / "zipped", fake, zipped=True, dots=True)),
    ]
    assert len({dataset.fingerprint for dataset in datasets}) == 1
    for dataset in datasets:
        assert dataset.name == "mnist"
        np.testing.assert_array_equal(dataset.train.pixels, fake["x_train"])
        np.testing.assert_array_equal(dataset.test.labels, fake["y_test"])
        assert dataset.test.labels.dtype == np.int64
    assert [Path(dataset.source).name for dataset in datasets] == ["m.npz", "plain", "zipped"]


@pytest.mark.parametrize("key", ROLES)
def test_a_file_that_differs_in_one_array_is_refused_by_that_name(fake: Arrays, tmp_path: Path, key: str) -> None:
    changed = {name: array.copy() for name, array in fake.items()}
    changed[key].flat[0] ^= 1
    message = refusal(path=save(tmp_path / "m.npz", changed))
    assert "isn't MNIST" in message
    assert [name for name in ROLES if name in message] == [key]


def test_a_whole_other_dataset_is_refused_with_its_shapes(tmp_path: Path) -> None:
    message = refusal(path=save(tmp_path / "m.npz", small_mnist()))
    assert "x_train uint8[5, 28, 28], y_train uint8[5], x_test uint8[3, 28, 28], y_test uint8[3]" in message


@pytest.mark.parametrize("change", ["flattened", "signed"])
def test_the_same_bytes_in_another_shape_or_type_are_refused(fake: Arrays, tmp_path: Path, change: str) -> None:
    """Else they would pass for MNIST here and break much later, in Keras."""
    array = fake["x_test"]
    changed = array.reshape(len(array), 784) if change == "flattened" else array.view(np.int8)
    message = refusal(path=save(tmp_path / "m.npz", {**fake, "x_test": changed}))  # type: ignore[dict-item]
    assert "x_test" in message


def test_the_order_in_memory_does_not_matter(fake: Arrays, tmp_path: Path) -> None:
    turned = {key: np.asfortranarray(array) for key, array in fake.items()}
    assert not turned["x_train"].flags.c_contiguous
    dataset = data.load("mnist", save(tmp_path / "m.npz", turned))
    np.testing.assert_array_equal(dataset.train.images, data.Split(fake["x_train"], dataset.train.labels).images)
    assert dataset.train.images.flags.c_contiguous


# --- where it is looked for ----------------------------------------------------------------------------------------


def test_auto_takes_what_the_environment_names(fake: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "keras" / "datasets" / "mnist.npz", fake)
    named = save(tmp_path / "named.npz", fake)
    monkeypatch.setenv(data.ENVIRONMENT, str(named))
    dataset = data.load("auto", remembered=str(tmp_path / "keras" / "datasets" / "mnist.npz"))
    assert dataset.name == "mnist"
    assert dataset.source == str(named)


def test_a_given_path_comes_before_the_environment(
    fake: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(data.ENVIRONMENT, str(save(tmp_path / "environment.npz", fake)))
    assert data.load("auto", save(tmp_path / "given.npz", fake)).source == str(tmp_path / "given.npz")


@pytest.mark.parametrize("name", ["auto", "mnist"])
@pytest.mark.parametrize("how", ["environment", "path"])
def test_a_named_wrong_file_is_an_error_and_no_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    wrong = tmp_path / "nothing.npz"
    monkeypatch.setenv(data.ENVIRONMENT, str(wrong) if how == "environment" else "")
    assert str(wrong) in refusal(name, wrong if how == "path" else None)


def test_what_was_remembered_comes_before_the_caches(fake: Arrays, tmp_path: Path) -> None:
    save(tmp_path / "keras" / "datasets" / "mnist.npz", fake)
    remembered = save(tmp_path / "old.npz", fake)
    assert data.load("mnist", remembered=str(remembered)).source == str(remembered)
    remembered.unlink()
    dataset = data.load("mnist", remembered=str(remembered))
    assert dataset.source == str(tmp_path / "keras" / "datasets" / "mnist.npz")


@pytest.mark.parametrize("name", ["mnist.npz", "mnist"])
def test_digitbenchs_cache_is_found(fake: Arrays, tmp_path: Path, name: str) -> None:
    path = downloads.cache_folder() / name
    assert path.is_relative_to(tmp_path), "the test must not touch the user's cache"
    if name.endswith(".npz"):
        save(path, fake)
    else:
        write_idx_folder(path, fake, zipped=True)
    assert data.load("auto").source == str(path)


def test_auto_falls_back_to_digits_with_one_line_of_notice() -> None:
    dataset = data.load("auto")
    assert dataset.name == "digits"
    assert dataset.fingerprint == DIGITS
    assert one_printable_line(dataset.notice)
    assert "MNIST is not available" in dataset.notice
    assert "DIGITBENCH_MNIST" in dataset.notice, "it says how to mend it"


def test_mnist_does_not_fall_back() -> None:
    assert "download failed" in refusal("mnist")


# --- the real one --------------------------------------------------------------------------------------------------


@needs_mnist
def test_the_real_mnist_has_its_known_fingerprint() -> None:
    dataset = data.load("mnist", Path(REAL))
    assert dataset.fingerprint == MNIST
    assert (len(dataset.train), len(dataset.test)) == (60000, 10000)
    assert dataset.train.pixels.shape == (60000, 28, 28)


@needs_mnist
def test_the_real_mnist_as_gzipped_idx_files_is_the_same(tmp_path: Path) -> None:
    arrays = published.read_arrays(Path(REAL))
    dataset = data.load("mnist", write_idx_folder(tmp_path / "idx", arrays, zipped=True))
    assert dataset.fingerprint == MNIST


def test_the_fingerprint_is_made_of_the_four_hashes(fake: Arrays, tmp_path: Path) -> None:
    path = save(tmp_path / "m.npz", fake)
    before = data.load("mnist", path).fingerprint
    assert len(before) == 16
    assert int(before, 16) >= 0
    swapped = {**fake, "y_train": fake["y_train"][::-1].copy()}
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, swapped)
        assert data.load("mnist", save(tmp_path / "n.npz", swapped)).fingerprint != before


# --- calibration images


@pytest.mark.parametrize("count", [10, 40, 500, 1437, 1438])
def test_calibration_images_are_training_images_of_every_class_by_share(count: int) -> None:
    digits = data.load("digits")
    drawn = data.calibration_images(digits, count)
    assert len(drawn) == count
    label_of = {pixels.tobytes(): label for pixels, label in zip(digits.train.pixels, digits.train.labels, strict=True)}
    for pixels, label in zip(drawn.pixels, drawn.labels, strict=True):
        assert label_of[pixels.tobytes()] == label
    shares = np.bincount(digits.train.labels) / len(digits.train)
    assert (np.abs(np.bincount(drawn.labels, minlength=10) - shares * count) < 1.001).all()


def test_the_seed_decides_which_calibration_images_are_drawn() -> None:
    digits = data.load("digits")
    first, again, with_other_seed = (data.calibration_images(digits, 100, seed).pixels.tobytes() for seed in (1, 1, 2))
    assert first == again != with_other_seed


@pytest.mark.parametrize("count", [40, 1400, 1418])
def test_an_image_that_is_tested_is_never_calibrated_on(count: int) -> None:
    digits = data.load("digits")
    pixels = digits.train.pixels.copy()
    pixels[::72] = digits.test.pixels[: len(pixels[::72])]  # as if somebody had mixed the two
    assert len(pixels[::72]) == 20
    mixed = replace(digits, train=data.Split(pixels, digits.train.labels))
    drawn = data.calibration_images(mixed, count)
    tested = {image.tobytes() for image in digits.test.pixels}
    assert len(drawn) == count
    assert not tested & {image.tobytes() for image in drawn.pixels}


@pytest.mark.parametrize("count", [-1, 0, 9, 1439])
def test_too_few_or_too_many_calibration_images_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"--calibration-images {count}: from 10 to 1,438 can be drawn"):
        data.calibration_images(data.load("digits"), count)
