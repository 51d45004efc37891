"""Reading MNIST from files, and the digits that scikit-learn brings."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from core.helpers import Arrays, idx, one_printable_line, small_mnist, write_idx_folder
from digitbench.data import idx_files, mnist, published
from digitbench.data.idx_files import IDX_FILES
from digitbench.errors import DataError
from digitbench.records.arrays import Pixels

IMAGES = IDX_FILES["x_train"]
LABELS = IDX_FILES["y_test"]


def same(arrays: Arrays, expected: Arrays) -> bool:
    return arrays.keys() == expected.keys() and all(
        arrays[key].dtype == np.uint8 and np.array_equal(arrays[key], expected[key]) for key in expected
    )


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        published.read_arrays(path)
    message = str(caught.value)
    assert one_printable_line(message)
    assert str(path) in message, "the message names the file"
    return message


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **small_mnist())  # type: ignore[arg-type]
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_idx_folder(tmp_path / "idx", small_mnist())


def test_reads_an_npz_in_keras_layout(npz: Path) -> None:
    assert same(published.read_arrays(npz), small_mnist())


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("dots", [False, True], ids=["-idx", ".idx"])
def test_reads_a_folder_of_idx_files(tmp_path: Path, zipped: bool, dots: bool) -> None:
    folder = write_idx_folder(tmp_path / "idx", small_mnist(), zipped=zipped, dots=dots)
    assert same(published.read_arrays(folder), small_mnist())


def test_a_folder_may_mix_spellings_and_compression(tmp_path: Path) -> None:
    expected = small_mnist()
    folder = write_idx_folder(tmp_path / "idx", expected)
    (folder / IMAGES).unlink()
    (folder / f"{IMAGES.replace('-idx', '.idx')}.gz").write_bytes(gzip.compress(idx(expected["x_train"])))
    assert same(published.read_arrays(folder), expected)


@settings(deadline=None, max_examples=60)
@given(
    array=arrays_of.arrays(
        np.uint8, arrays_of.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6)
    ) | arrays_of.arrays(np.uint8, st.tuples(st.integers(0, 40))),
    zipped=st.booleans(),
)  # fmt: skip
def test_idx_of_any_shape_comes_back(array: Pixels, zipped: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    key = "x_train" if array.ndim == 3 else "y_train"
    expected = small_mnist() | {key: array}
    arrays = published.read_arrays(write_idx_folder(tmp_path_factory.mktemp("idx"), expected, zipped=zipped))
    assert arrays[key].shape == array.shape
    assert same(arrays, expected)


def test_a_missing_file_is_named_with_what_to_give(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nothing.npz")


def test_an_npz_without_the_arrays_names_them(tmp_path: Path) -> None:
    kept = small_mnist()
    del kept["y_train"], kept["x_test"]
    np.savez(tmp_path / "some.npz", **kept)  # type: ignore[arg-type]
    assert "it has no y_train, x_test" in refusal(tmp_path / "some.npz")


def test_an_npy_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", small_mnist()["x_train"])
    assert "not a readable .npz" in refusal(tmp_path / "one.npy")


@pytest.mark.parametrize("content", [b"", b"hello, \x00\x1b[31m\nworld" * 50, b"PK\x03\x04" + b"\xff" * 300])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mnist.npz").write_bytes(content)
    assert "not a readable .npz" in refusal(tmp_path / "mnist.npz")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_npz_is_refused(npz: Path, share: float) -> None:
    content = npz.read_bytes()
    npz.write_bytes(content[: int(len(content) * share)])
    assert "not a readable .npz" in refusal(npz)


def test_an_npz_damaged_anywhere_is_refused_or_read(npz: Path) -> None:
    """Whatever is wrong inside, the only error is a `DataError`."""
    whole = npz.read_bytes()
    draw = np.random.default_rng(0)
    refusals = []
    for _ in range(300):
        content = bytearray(whole)
        start = int(draw.integers(0, len(content) - 8))
        content[start : start + 8] = draw.bytes(8)
        npz.write_bytes(content)
        try:
            published.read_arrays(npz)
        except DataError as exc:
            refusals.append(str(exc))
    assert len(refusals) > 200
    assert all(map(one_printable_line, refusals))


def test_an_npz_of_objects_is_refused_without_unpickling(tmp_path: Path) -> None:
    objects = {key: np.array([{"a": 1}], dtype=object) for key in IDX_FILES}
    np.savez(tmp_path / "objects.npz", **objects)  # type: ignore[arg-type]
    assert "x_train.npy is object[1] and holds Python objects" in refusal(tmp_path / "objects.npz")


@pytest.mark.parametrize("name", IDX_FILES.values())
def test_a_missing_idx_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"it has no {name}" in refusal(folder)


def idx_refusal(folder: Path, name: str, content: bytes) -> str:
    (folder / IDX_FILES["x_train"]).unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        published.read_arrays(folder)
    assert one_printable_line(str(caught.value))
    assert str(folder / name) in str(caught.value)
    return str(caught.value)


def test_an_idx_file_with_another_magic_number_is_refused(folder: Path) -> None:
    labels_instead = idx(small_mnist()["y_train"])
    message = idx_refusal(folder, IMAGES, labels_instead)
    assert "0x00000801" in message
    assert "not 0x00000803" in message


def test_an_idx_file_of_another_type_is_refused(folder: Path) -> None:
    floats = b"\0\0\x0d\x03" + idx(small_mnist()["x_train"])[4:]
    assert "0x00000d03" in idx_refusal(folder, IMAGES, floats)


def test_an_empty_idx_file_is_refused(folder: Path) -> None:
    assert "magic number" in idx_refusal(folder, IMAGES, b"")


@pytest.mark.parametrize("length", [4, 9, 15])
def test_an_idx_file_cut_short_in_its_header_is_refused(folder: Path, length: int) -> None:
    message = idx_refusal(folder, IMAGES, idx(small_mnist()["x_train"])[:length])
    assert "cut short in its header" in message


@pytest.mark.parametrize("change", [-1, -784, 1])
def test_an_idx_file_with_more_or_less_data_than_promised_is_refused(folder: Path, change: int) -> None:
    whole = idx(small_mnist()["x_train"])
    content = whole[:change] if change < 0 else whole + b"\0" * change
    message = idx_refusal(folder, IMAGES, content)
    assert f"{5 * 784 + change:,} bytes of data where its header promises {5 * 784:,}" in message


@pytest.mark.parametrize("damage", ["cut short", "changed", "cut in its header"])
def test_a_corrupt_gzip_is_refused(folder: Path, damage: str) -> None:
    good = gzip.compress(idx(small_mnist()["x_train"]), mtime=0)
    content = {
        "cut short": good[: len(good) // 2],
        "changed": good[:50] + bytes(50) + good[100:],
        "cut in its header": good[:5],
    }[damage]
    assert "not readable" in idx_refusal(folder, f"{IMAGES}.gz", content)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzipped"])
def test_no_more_of_an_idx_file_is_unpacked_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    folder = write_idx_folder(tmp_path / "idx", small_mnist(), zipped=zipped)
    monkeypatch.setattr(idx_files, "MOST_BYTES", 5 * 784)
    with pytest.raises(DataError, match="unpacks to more than"):
        published.read_arrays(folder)


def test_digits_are_in_mnists_format() -> None:
    pixels, labels = mnist.sklearn_digits()
    assert pixels.shape == (1797, 28, 28)
    assert labels.shape == (1797,)
    assert pixels.dtype == labels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert set(labels.tolist()) == set(range(10))
    assert pixels.max() == 255
    assert all(image.max() > 200 for image in pixels), "the foreground is near 255 in every image, as in MNIST"


def test_digits_are_centred_by_mass_to_half_a_pixel() -> None:
    pixels, _ = mnist.sklearn_digits()
    weights = pixels.astype(np.float64)
    mass = weights.sum(axis=(1, 2))
    centres = np.arange(28) + 0.5
    for axis in (1, 2):
        along = weights.sum(axis=3 - axis) @ centres / mass
        assert np.abs(along - 14).max() <= 0.5


def test_digits_keep_their_foreground_within_the_20_by_20_box() -> None:
    pixels, _ = mnist.sklearn_digits()
    for image in pixels:
        for axis in (0, 1):
            filled = np.flatnonzero(image.any(axis=axis))
            assert filled[-1] - filled[0] < 20


def test_digits_are_scikit_learns_enlarged_and_moved() -> None:
    """Undoing the enlargement gives the 8 × 8 picture back: nothing is mirrored, turned or mixed up."""
    from sklearn.datasets import load_digits

    pixels, labels = mnist.sklearn_digits()
    bunch = load_digits()
    np.testing.assert_array_equal(labels, bunch.target)
    for image, small in zip(pixels[:200], bunch.images, strict=False):
        # Every fifth pixel of 20 lies within 0.1 of every second of 8.
        boxes = [image[top : top + 20, left : left + 20] for top in range(9) for left in range(9)]
        likeness = [np.corrcoef(box[1::5, 1::5].ravel(), small[::2, ::2].ravel())[0, 1] for box in boxes]
        assert max(likeness) > 0.9
