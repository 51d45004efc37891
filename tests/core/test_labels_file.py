"""Lists of a model's outputs: how they are found and read, and which output belongs to which class then."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from digitbench.importing.formats import ONNX, SAVED_MODEL, TFLITE
from digitbench.importing.labels_file import LabelsFile, find, read
from digitbench.records.task import Task

TASK = Task((8, 8, 3), ("cat", "Grey dog", "t-shirt"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("\ufeff0 cat\r\n1 grey dog\r\n\r\n", ("cat", "grey dog")),
        ("1: cat\n2: dog", ("cat", "dog")),
        ("0,cat\n1,dog", ("cat", "dog")),
        ("0\n1\n2\n", ("0", "1", "2")),
        ("7 up\n3 down\n", ("7 up", "3 down")),
        ("", ()),
    ],
)
def test_numbers_that_count_the_lines_are_left_out(text: str, names: tuple[str, ...]) -> None:
    assert read(text) == names


def test_each_class_has_the_output_of_its_name() -> None:
    assert LabelsFile("labels.txt", ("T_shirt", "CAT", "grey-dog")).columns(TASK) == (1, 2, 0)
    more = LabelsFile("labels.txt", ("background", "cat", "cow", "grey dog", "t-shirt"))
    assert more.columns(TASK) == (1, 3, 4)
    assert more.problem(TASK) == ""


def test_other_names_or_another_number_of_them_are_told() -> None:
    assert LabelsFile("l.txt", ("cat", "cow", "hen")).problem(TASK) == "l.txt has other names than the data: cow, hen …"
    assert LabelsFile("l.txt", ("cat", "cow")).problem(TASK) == "l.txt lists 2 names, but the data have 3 classes"
    assert LabelsFile("l.txt", ("cat", "cat", "Grey dog")).columns(TASK) == ()


def test_it_is_found_beside_the_model_and_in_it(tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    assert find(model, TFLITE) is None
    (tmp_path / "classes.txt").write_text("a\nb\n", encoding="utf-8")
    assert find(model, TFLITE) == LabelsFile("classes.txt", ("a", "b"))
    (tmp_path / "model_labels.txt").write_text("c\nd\n", encoding="utf-8")
    assert find(model, TFLITE) == LabelsFile("model_labels.txt", ("c", "d")), "that with its own name first"
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("labelmap.txt", "e\nf\n")
    assert find(model, TFLITE) == LabelsFile("labelmap.txt in the model", ("e", "f"))
    folder = tmp_path / "saved"
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "labels.txt").write_text("g\nh\n", encoding="utf-8")
    assert find(folder, SAVED_MODEL) == LabelsFile("labels.txt", ("g", "h"))


@pytest.mark.parametrize("text", ["{0: 'a', 1: 'b'}", '["a", "b"]', "a, b"])
def test_it_is_read_from_onnx_metadata(text: str, tmp_path: Path) -> None:
    from onnx import helper, save

    tensors = [helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    )
    helper.set_model_props(model, {"names": text})
    save(model, tmp_path / "m.onnx")
    assert find(tmp_path / "m.onnx", ONNX) == LabelsFile("names in its metadata", ("a", "b"))
