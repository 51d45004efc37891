"""A folder with a sub-folder of pictures for each class: parts, modes, sizes, names, and what can't be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.helpers import Recorder, one_printable_line
from core.pictures import SHAPES, shape, write_shapes
from core.user_data import DIGITS
from digitbench import data
from digitbench.data import mnist
from digitbench.errors import DataError
from digitbench.records.task import Task, numbered


@pytest.fixture(autouse=True)
def nobody_names_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)


def fault(path: Path, **how: object) -> str:
    with pytest.raises(DataError) as caught:
        data.load("auto", path, **how)  # type: ignore[arg-type]
    assert one_printable_line(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("wrapper", ["", "archive", "archive/inner"])
def test_classes_are_sub_folders_and_a_fifth_is_tested_with(tmp_path: Path, wrapper: str) -> None:
    write_shapes(tmp_path / "shapes" / wrapper, 10)
    progress = Recorder()
    dataset = data.load("auto", tmp_path / "shapes", progress=progress)
    assert (dataset.name, dataset.task) == ("shapes", Task((24, 32, 3), SHAPES, names_from="names of folders"))
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2]
    assert np.bincount(dataset.train.labels).tolist() == [8, 8, 8]
    assert one_printable_line(dataset.notice)
    assert progress.finished == {"looking at pictures", "reading pictures"}
    assert data.load("auto", tmp_path / "shapes").fingerprint == dataset.fingerprint


def test_a_copy_never_stands_on_both_sides(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "shapes", 6)
    for path in list(folder.rglob("*.png")):
        (path.parent / f"copy-{path.name}").write_bytes(path.read_bytes())
    dataset = data.load("auto", folder)
    assert len(dataset.test)
    assert not {i.tobytes() for i in dataset.train.pixels} & {i.tobytes() for i in dataset.test.pixels}


@pytest.mark.parametrize(
    ("parts", "counts", "said"),
    [({"train": 5, "test": 2}, (15, 6), ""), ({"Training": 5, "val": 2}, (15, 6), "is what is tested with"),
     ({"train": 5, "test": 2, "validation": 3}, (15, 6), "validation part is left out"), ({"test": 3}, (0, 9), ""),
     ({"train": 5}, (12, 3), "no test part was given")],
)  # fmt: skip
def test_parts_above_classes(tmp_path: Path, parts: dict[str, int], counts: tuple[int, int], said: str) -> None:
    for start, (part, count) in enumerate(parts.items()):
        write_shapes(tmp_path / part, count, start=100 * start)
    dataset = data.load("auto", tmp_path)
    assert (len(dataset.train), len(dataset.test)) == counts
    assert said in dataset.notice
    assert dataset.task.class_names == SHAPES


def test_pictures_in_both_parts_are_counted(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_shapes(tmp_path / part, 3)
    assert "9 of the 9 test images are training images too, byte for byte" in data.load("auto", tmp_path).notice


def test_numbers_are_ordered_as_numbers_and_may_be_named_beside(tmp_path: Path) -> None:
    for number in range(11):
        (tmp_path / str(number)).mkdir()
        for seed in range(2):
            Image.fromarray(shape("circle", 50 * number + seed, (16, 16))).save(tmp_path / str(number) / f"{seed}.png")
    assert data.load("auto", tmp_path).task.class_names == numbered(11)
    (tmp_path / "labels.txt").write_text("\n".join(f"{number} name {number}" for number in range(11)))
    assert data.load("auto", tmp_path).task.class_names[10] == "name 10"
    (tmp_path / "labels.txt").write_text("\n".join(map(str, reversed(range(11)))))
    assert data.load("auto", tmp_path).task.class_names[0] == "10"
    (tmp_path / "labels.txt").write_text("a\nb\n")
    message = fault(tmp_path)
    assert "names a, b, which folders don't have and doesn't name 0, 1, 2, 3, 4 …, which folders have" in message


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")


def test_any_mode_is_read(tmp_path: Path) -> None:
    picture = Image.fromarray(shape("square", 1))
    for name, modes in (("grey", ("1", "L", "LA", "I;16")), ("colour", ("P", "RGB", "RGBA", "CMYK"))):
        (tmp_path / name).mkdir()
        for mode in modes:
            target = tmp_path / name / f"{mode.replace(';', '')}.{'tif' if mode in ('CMYK', 'I;16') else 'png'}"
            if mode == "I;16":
                Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(target)
            else:
                picture.convert(mode).save(target)
    dataset = data.load("auto", tmp_path, task=Task((24, 32, 3), ("colour", "grey")))
    whole = dataset.undivided().test
    reference, luma = np.asarray(picture), np.asarray(picture.convert("L"))
    for pixels, label in zip(whole.pixels, whole.labels, strict=True):
        expected = luma[..., None] if label else reference
        assert np.median(np.abs(pixels.astype(int) - expected)) <= 40 or set(np.unique(pixels)) <= {0, 255}
    assert sum(bool((pixels == reference).all()) for pixels in whole.pixels) >= 3
    assert sum(bool((pixels == luma[..., None]).all()) for pixels in whole.pixels) == 3, "L, LA and I;16"


def test_transparent_is_white_and_orientation_is_applied(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    clear = np.dstack([shape("circle", 1, (16, 24)), np.zeros((16, 24), np.uint8)])
    clear[:, :12, 3] = 255
    Image.fromarray(clear).save(tmp_path / "a" / "clear.png")
    Image.fromarray(clear[..., :3]).save(tmp_path / "a" / "solid.png")
    turned = Image.Exif()
    turned[274] = 6
    for name in ("1", "2"):
        half = np.zeros((16, 24, 3), np.uint8)
        half[:, :12] = (200, 0, int(name))
        Image.fromarray(np.rot90(half)).save(tmp_path / "b" / f"{name}.jpg", exif=turned, quality=95)
    dataset = data.load("auto", tmp_path)
    assert dataset.task.size == (16, 24)
    whole = dataset.undivided().test
    assert any((pixels[:, 12:] == 255).all() for pixels in whole.pixels[whole.labels == 0])
    for pixels in whole.pixels[whole.labels == 1]:
        assert pixels[:, :10, 0].min() > 150 > 50 > pixels[:, 14:, 0].max()


def test_pictures_without_colour_are_grey_whatever_their_mode(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path, 4)
    for path in folder.rglob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(path)
    assert data.load("auto", folder).task.image_shape == (24, 32)


def test_size_is_the_median_of_training_pictures_or_what_is_asked_for(tmp_path: Path) -> None:
    write_shapes(tmp_path / "train", 3, (40, 40))
    write_shapes(tmp_path / "train", 1, (300, 20), start=9)
    write_shapes(tmp_path / "test", 5, (80, 80), start=20)
    dataset = data.load("auto", tmp_path)
    assert dataset.task.size == (40, 40)
    assert "brought to 40 × 40 (squash: their sides scaled apart)" in dataset.notice
    asked = data.load("auto", tmp_path, image_size=(12, 20), fit="pad")
    assert asked.task.size == (12, 20)
    assert asked.preparation["fit"] == "pad"


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path, 5)
    whole = (folder / "circle" / "0.png").read_bytes()
    (folder / "circle" / "broken.png").write_bytes(whole[: len(whole) // 2])
    (folder / "square" / "no.png").write_bytes(b"no picture")
    progress = Recorder()
    dataset = data.load("auto", folder, progress=progress)
    assert len(dataset.train) + len(dataset.test) == 15
    assert len(progress.lines) == 2
    assert all(line.startswith("left out: ") for line in progress.lines)


def test_a_model_of_digits_has_pictures_prepared_and_others_scaled(tmp_path: Path) -> None:
    """The same folder is digits for a model of digits, and pictures like any where nobody says what they are."""
    for label in range(10):
        (tmp_path / str(label)).mkdir()
        for index in np.flatnonzero(DIGITS.test.labels == label)[:4]:
            Image.fromarray(DIGITS.test.pixels[index]).save(tmp_path / str(label) / f"{index}.png")
    dataset = data.load("auto", tmp_path)
    assert dataset.task.is_digits
    assert "taken for handwritten digits" in dataset.notice
    assert len(data.load("auto", tmp_path, task=mnist.TASK).test) == 40
    model = Task((14, 14), numbered(10))
    assert data.load("auto", tmp_path, task=model).task is model


def test_one_class_alone_and_none_are_refused(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "shapes", 2)
    for name in SHAPES[1:]:
        (folder / name).rename(tmp_path / name)
    model = Task((24, 32, 3), SHAPES)
    assert len(data.load("auto", folder, task=model).undivided().test) == 2, "a model's classes need not all be there"
    (tmp_path / "empty").mkdir()
    assert "has no two sub-folders" in fault(tmp_path / "empty", task=model)
