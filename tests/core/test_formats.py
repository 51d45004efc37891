"""What can be imported, how it is known and checked, and what a bundle made of it says of itself."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journeys.helpers import copied, rewrite_manifest

from core.fakes import Fake
from core.helpers import one_printable_line
from digitbench import plugins
from digitbench.backend import Tensor
from digitbench.bundle import Artifact, Bundle
from digitbench.errors import ArtifactError, BundleError
from digitbench.importing import formats
from digitbench.importing.formats import KERAS, ONNX, SAVED_MODEL, TFLITE, check_code, format_of
from digitbench.measure.candidates import candidates
from digitbench.plugins.model_io import NATIVE_IO, ModelIO
from digitbench.system.progress import Silent


def refusal(call: Callable[[], object], error: type[BundleError] = BundleError) -> str:
    with pytest.raises(error) as caught:
        call()
    assert one_printable_line(str(caught.value))
    return str(caught.value)


def zipped(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return stream.getvalue()


KERAS_ZIP = zipped("metadata.json", "config.json", "model.weights.h5")
HDF5_HEAD = b"\x89HDF\r\n\x1a\n" + bytes(64)
LITE_HEAD = b"\x1c\x00\x00\x00TFL3" + bytes(64)


def written(path: Path, content: bytes = b"model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- which format --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model_format"),
    [("m.onnx", ONNX), ("m.tflite", TFLITE), ("m.lite", TFLITE), ("m.keras", KERAS), ("m.h5", KERAS), ("m.hdf5", KERAS),
     ("a.tar.onnx", ONNX)],
)  # fmt: skip
def test_a_file_is_known_by_its_suffix_in_capitals_too(tmp_path: Path, name: str, model_format: str) -> None:
    content = KERAS_ZIP if model_format == KERAS else b"model"
    assert format_of(written(tmp_path / name, content)) == model_format
    assert format_of(written(tmp_path / name.upper(), content)) == model_format


def test_a_keras_file_that_is_no_archive_is_refused_before_tensorflow_starts(tmp_path: Path) -> None:
    assert "no Keras 3 file" in refusal(lambda: format_of(written(tmp_path / "m.keras", b"model")))


def test_a_folder_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    graph = written(tmp_path / "odd.onnx" / "saved_model.pb")
    assert format_of(graph.parent) is SAVED_MODEL
    assert "a folder without saved_model.pb is no SavedModel" in refusal(lambda: format_of(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.onnx", b"", "the file is empty"),
        ("m.pt", b"model", "unknown suffix '.pt'; imported are .onnx, .tflite"),
        ("model", b"model", "unknown suffix ''"),
        (".onnx", b"model", "unknown suffix ''"),
    ],
)
def test_what_is_no_model_is_refused_by_its_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = written(tmp_path / name, content)
    assert refusal(lambda: format_of(path)).startswith(f"{path}: {message}")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path / "a\0b.onnx", written(tmp_path / "file") / "m.onnx"):
        with pytest.raises(BundleError, match="no such file or folder; give a model: "):
            format_of(path)


@pytest.mark.parametrize("more", [0, 1])
def test_no_more_than_two_gigabytes_are_taken(tmp_path: Path, more: int) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as stream:  # sparse: it takes no room
        stream.write(b"\x08")
        stream.truncate(formats.MOST_BYTES + more)
    if not more:
        assert format_of(path) is ONNX
        return
    assert refusal(lambda: format_of(path)).startswith(f"{path}: 2.0 GB is more than a classifier of digits needs")


# --- what its content says -----------------------------------------------------------------------------------------


def onnx_content() -> bytes:
    from onnx import helper

    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [])
    return bytes(helper.make_model(graph, producer_name="pytorch").SerializeToString())


@pytest.mark.parametrize("name", ["model", "model.bin", "model.onnx", "model.tflite", "model.h5", "model.keras"])
def test_content_that_leaves_no_doubt_counts_more_than_a_name(name: str, tmp_path: Path) -> None:
    for content, model_format in (
        (HDF5_HEAD, KERAS), (KERAS_ZIP, KERAS), (LITE_HEAD, TFLITE), (onnx_content(), ONNX),
    ):  # fmt: skip
        assert format_of(written(tmp_path / name, content)) == model_format


def test_half_an_onnx_is_none_and_nor_is_another_message(tmp_path: Path) -> None:
    whole = onnx_content()
    path = tmp_path / "m.pb"
    for content in (whole[:-3], whole[2:], whole + b"\x0d\x01\x02\x03\x04", b"\x08\x01" * 9):
        written(path, content)
        assert "unknown suffix" in refusal(lambda: format_of(path))


class OfSklearn:
    """Pickles as one of scikit-learn's classes does: by name."""

    def __reduce__(self) -> tuple[Any, ...]:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression, ()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 26454\n"
FOREIGN = {
    "zeros": (bytes(4096), "nothing but zeros"),
    "web page": (b"\n<!DOCTYPE html>\n<html><body>model.onnx at main</body></html>", "a web page"),
    "Git LFS": (LFS, "git lfs pull"),
    "notebook": (json.dumps({"cells": [], "nbformat": 4}).encode(), "a Jupyter notebook"),
    "to_json": (json.dumps({"class_name": "Sequential", "config": {}}).encode(), "without weights"),
    "tensorflow.js": (json.dumps({"modelTopology": {}}).encode(), "TensorFlow.js"),
    "xgboost": (json.dumps({"learner": {}, "version": [3, 0, 0]}).encode(), "convert_xgboost"),
    "json": (b'{"a": "some other thing"}', "it is JSON"),
    "text": ("a model will be here soon, für alle\n".encode(), "a text"),
    "text that is cut within a letter": (b"a" * 65535 + "ü".encode(), "a text"),
    "sklearn": (pickle.dumps(OfSklearn()), "skl2onnx.to_onnx"),
    "pickle": (pickle.dumps({"a": [1, 2, 3]}), "never opened; export the model to ONNX"),
    "old torch": (pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + bytes(32), "torch.onnx.export"),
    "torch": (zipped("best/data.pkl", "best/byteorder", "best/data/0"), "saved by PyTorch (torch.save)"),
    "torchscript": (zipped("m/data.pkl", "m/code/__torch__.py"), "a TorchScript model"),
    "npz": (zipped("x_test.npy", "y_test.npy"), "arrays of NumPy"),
    "zip": (zipped("there/model.tflite", "readme.txt"), "it holds there/model.tflite; unpack it"),
    "gzip": (b"\x1f\x8b\x08" + bytes(range(200)), "packed (gzip)"),
    "npy": (b"\x93NUMPY\x01\x00v\x00", "an array of NumPy"),
    "safetensors": ((60).to_bytes(8, "little") + b'{"fc1.weight":{"dtype":"F32"}}', "safetensors"),
}


@pytest.mark.parametrize("name", ["m.onnx", "m.keras", "m.tflite", "m.pt", "m"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_people_take_for_a_model_is_told_as_what_it_is(kind: str, name: str, tmp_path: Path) -> None:
    content, words = FOREIGN[kind]
    path = written(tmp_path / name, content)
    message = refusal(lambda: format_of(path))
    assert message.startswith(f"{path}: it ")
    assert words in message
    assert ("only its name ends in" if name in ("m.onnx", "m.keras", "m.tflite") else "imported are .onnx") in message


def test_a_script_and_a_part_of_a_savedmodel_are_told(tmp_path: Path) -> None:
    assert "a Python script" in refusal(lambda: format_of(written(tmp_path / "m.py", b"import keras\nmodel = 1\n")))
    part = written(tmp_path / "m" / "saved_model.pb", b"\x08\x01\x12\x00")
    assert f"give the folder: {part.parent}" in refusal(lambda: format_of(part))


# --- code ----------------------------------------------------------------------------------------------------------


def field(number: int, content: bytes) -> bytes:
    """A field of Protocol Buffers that holds bytes, up to 127 of them."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def graph(folder: Path, *operations: str, name: str = "node") -> Path:
    """A folder with a graph of nodes: of each, field 1 is its name and field 2 its operation."""
    nodes = b"".join(field(1, field(1, name.encode()) + field(2, operation.encode())) for operation in operations)
    return written(folder / "saved_model.pb", nodes).parent


@pytest.mark.parametrize(
    "operation", ["ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc"]
)
def test_an_operation_that_reaches_outside_is_refused_unless_trusted(tmp_path: Path, operation: str) -> None:
    source = graph(tmp_path / "model", "MatMul", operation, "Softmax")
    message = refusal(lambda: check_code(source, SAVED_MODEL, trusted=False))
    assert message.startswith(
        f"{source}: it holds {operation}, which can read or write files or run Python; add --trust"
    )
    check_code(source, SAVED_MODEL, trusted=True)


def test_every_such_operation_is_named_once(tmp_path: Path) -> None:
    source = graph(tmp_path / "model", "WriteFile", "PyFunc", "ReadFile", "MatchingFiles", "EagerPyFunc", "WriteFile")
    names = "EagerPyFunc, MatchingFiles, PyFunc, ReadFile, WriteFile"
    assert f"it holds {names}, which" in refusal(lambda: check_code(source, SAVED_MODEL, trusted=False))


def test_a_name_within_another_word_is_none(tmp_path: Path) -> None:
    source = graph(tmp_path / "model", "ReadFileNot", "MyReadFile", "NoPyFuncAtAll", name="ReadFileReadFile")
    check_code(source, SAVED_MODEL, trusted=False)


def test_a_single_file_is_not_searched(tmp_path: Path) -> None:
    for model_format in (ONNX, TFLITE, KERAS):
        check_code(written(tmp_path / "m", field(2, b"ReadFile")), model_format, trusted=False)


# --- into a bundle -------------------------------------------------------------------------------------------------


def test_a_file_is_copied_as_it_is_under_its_precision(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    draft.mkdir()
    model_io = ModelIO(batch=8, output=Tensor("b", (8, 10), "float32"))
    path, kept, _ = formats.adopt(written(tmp_path / "M.LITE"), TFLITE, model_io, "int8", draft, Silent(), 2)
    assert path == draft / "artifacts" / "model-int8.tflite"
    assert path.read_bytes() == b"model"
    assert kept == model_io


def test_a_folder_is_copied_with_all_that_is_in_it(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    draft.mkdir()
    source = graph(tmp_path / "model", "MatMul")
    written(source / "variables" / "variables.index", b"1")
    path, _, _ = formats.adopt(source, SAVED_MODEL, NATIVE_IO, "fp32", draft, Silent(), 1)
    assert path == draft / "artifacts" / "model-fp32.savedmodel"
    assert sorted(entry.name for entry in path.rglob("*") if entry.is_file()) == ["saved_model.pb", "variables.index"]


# --- bundles made of one -------------------------------------------------------------------------------------------


class Lite(Fake):
    format = "onnx"
    further_formats = ("tflite",)


class Saved(Fake):
    format = "savedmodel"


MODEL_IO = {
    "shape": [784], "ink": 255.0, "batch": 8, "code": True,
    "input": {"name": "x", "shape": [8, 784], "dtype": "uint8"},
    "output": {"name": "b", "shape": [8, 10], "dtype": "float32"},
}  # fmt: skip


@pytest.fixture
def imported(untrained: Bundle, tmp_path: Path) -> Callable[..., Bundle]:
    """Make a bundle of a model of one format, with artifacts in others that were exported from it."""

    def call(format: str, *exported: str, **more: Any) -> Bundle:
        bundle = copied(untrained, tmp_path / str(len(list(tmp_path.iterdir()))))
        (old,) = bundle.stored["artifacts"]
        source = {"source": "theirs/m.bin", "format": format, "sha256": "0"}
        changes = {
            "form": MODEL_IO,
            "imported": source,
            "artifacts": [{**old, "format": name} for name in (format, *exported)],
        }
        rewrite_manifest(bundle, {**bundle.stored, **changes, **more})
        return Bundle(bundle.path)

    return call


def test_an_imported_bundle_says_what_its_model_takes(imported: Callable[..., Bundle]) -> None:
    bundle = imported("keras", "tflite", "onnx", schema="digitbench.bundle/3")
    image, scores = Tensor("x", (8, 784), "uint8"), Tensor("b", (8, 10), "float32")
    expected = ModelIO((784,), foreground=255.0, batch=8, input=image, output=scores, code=True)
    assert bundle.model_io == expected
    batches = {artifact.format: bundle.model_io_of(artifact).batch for artifact in bundle.artifacts}
    assert batches == {"keras": 8, "tflite": 8, "onnx": None}
    assert bundle.model_io_of(bundle.find("keras")) == expected
    assert bundle.model_io_of(bundle.find("onnx")) == plugins.exported(expected, "onnx")


@pytest.mark.parametrize("schema", ["digitbench.bundle/1", "digitbench.bundle/2"])
def test_older_bundles_have_native_model_io(untrained: Bundle, tmp_path: Path, schema: str) -> None:
    bundle = copied(untrained, tmp_path)
    assert not {"form", "imported"} & bundle.stored.keys()
    rewrite_manifest(bundle, {**bundle.stored, "schema": schema})
    reopened = Bundle(bundle.path)
    assert reopened.model_io == NATIVE_IO
    assert reopened.model_io_of(reopened.artifacts[0]) == NATIVE_IO
    reopened.record_unwritable("onnx", "no reason")
    assert json.loads((bundle.path / "manifest.json").read_text(encoding="utf-8"))["schema"] == schema


@pytest.mark.parametrize(
    ("model_io", "reason"),
    [
        ([], "Expected `object`, got `array`"),
        (None, "Expected `object`, got `null`"),
        ({"colour": 1}, "unknown field `colour` - at `$.form`"),
        ({"shape": "784"}, "Expected `array`, got `str` - at `$.form.shape`"),
        ({"shape": [28, "28"]}, "Expected `int`, got `str` - at `$.form.shape[1]`"),
        ({"batch": 1.5}, "got `float` - at `$.form.batch`"),
        ({"batch": True}, "got `bool` - at `$.form.batch`"),
        ({"ink": "255"}, "Expected `float`, got `str`"),
        ({"code": 1}, "Expected `bool`, got `int` - at `$.form.code`"),
        ({"fit": None}, "Expected `str`, got `null` - at `$.form.fit`"),
        ({"input": {"name": "x"}}, "shape"),
        ({"output": {"name": "x", "shape": [1.5], "dtype": "int8"}}, "got `float` - at `$.form.output.shape[0]`"),
    ],
    ids=repr,
)
def test_model_io_that_is_none_is_refused_in_a_line(
    imported: Callable[..., Bundle], model_io: Any, reason: str
) -> None:
    message = refusal(lambda: imported("onnx", form=model_io))
    assert "not a model's manifest: " in message
    assert reason in message


def test_what_an_import_lacks_is_mended_as_it_can_be(imported: Callable[..., Bundle]) -> None:
    of_onnx = imported("onnx")
    with pytest.raises(ArtifactError, match=r"it was imported from onnx, which isn't converted$") as caught:
        of_onnx.find("tflite")
    assert caught.value.mend is None
    missing = of_onnx.find("onnx")
    (of_onnx.path / missing.path).unlink()
    message = refusal(lambda: of_onnx.open(missing), ArtifactError)
    assert message.endswith("gone; import it again: digitbench import theirs/m.bin")


def test_an_export_of_an_imported_keras_model_is_made_again(imported: Callable[..., Bundle]) -> None:
    of_keras = imported("keras", "onnx")
    with pytest.raises(ArtifactError) as caught:
        of_keras.find("tflite", "int8")
    assert caught.value.mend == f"digitbench export {of_keras.path} --format tflite --precision int8"
    (of_keras.path / of_keras.find("keras").path).write_bytes(b"")
    message = refusal(lambda: of_keras.open(of_keras.find("keras")), ArtifactError)
    assert message.endswith("import it again: digitbench import theirs/m.bin")
    message = refusal(lambda: of_keras.open(of_keras.find("onnx")), ArtifactError)
    assert f"; run: digitbench export {of_keras.path} --format onnx" in message


def test_a_backend_opens_the_first_of_its_formats_that_is_there(imported: Callable[..., Bundle]) -> None:
    assert imported("tflite").format_for(Lite) == "tflite"
    assert imported("keras", "tflite", "onnx").format_for(Lite) == "onnx"
    assert imported("keras").format_for(Lite) == "onnx", "which an export would make"


def test_what_no_export_can_make_is_known(imported: Callable[..., Bundle], untrained: Bundle) -> None:
    assert not untrained.can_never_hold(Saved), "it was trained here"
    assert imported("onnx").can_never_hold(Saved)
    assert not imported("tflite").can_never_hold(Lite)
    of_keras = imported("keras")
    assert not of_keras.can_never_hold(Saved)
    of_keras.record_unwritable("savedmodel", "an operation is missing")
    for bundle in (of_keras, Bundle(of_keras.path)):
        assert bundle.can_never_hold(Saved)
        assert not bundle.can_never_hold(Lite)
    assert Bundle(of_keras.path).stored["imported"]["not_written"] == {"savedmodel": "an operation is missing"}
    of_keras.record(Artifact(**{**of_keras.stored["artifacts"][0], "format": "savedmodel"}))
    assert not of_keras.can_never_hold(Saved), "it holds it after all"


def test_a_model_of_ours_remembers_what_cant_hold_it(untrained: Bundle, tmp_path: Path) -> None:
    bundle = copied(untrained, tmp_path)
    bundle.record_unwritable("onnx", "no reason")
    message = refusal(lambda: Bundle(bundle.path).find("onnx"), ArtifactError)
    assert message.endswith("; it can't be written: no reason")


def test_who_can_never_open_it_is_left_out_unless_named(imported: Callable[..., Bundle]) -> None:
    bundle = imported("npz")
    assert {candidate.row.backend for candidate in candidates(bundle, [], [8], [1])} == {"numpy", "torch", "jax"}
    with pytest.raises(ArtifactError, match="imported from npz, which isn't converted"):
        candidates(bundle, ["onnx"], [8], [1])
