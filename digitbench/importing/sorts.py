"""The sorts of model files that can be imported: how each is known, what opens it, and how it gets into a bundle."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from digitbench.errors import BundleError
from digitbench.form import OWN_OUTPUT, Form
from digitbench.precisions import DYNAMIC, FP16, FP32, INT8
from digitbench.progress import Progress

MOST_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Sort:
    """A sort of model.

    Attributes
    ----------
    format, backend
        What the artifact in the bundle is, and who opens it first.
    suffix
        Of that artifact.
    title
        What people call it.
    """

    format: str
    backend: str
    suffix: str
    title: str


ONNX = Sort("onnx", "onnx", ".onnx", "ONNX")
TFLITE = Sort("tflite", "tflite", ".tflite", "TFLite")
SAVED_MODEL = Sort("savedmodel", "savedmodel", ".savedmodel", "SavedModel")
KERAS = Sort("keras", "keras", ".keras", "Keras")
SUFFIXES = {".onnx": ONNX, ".tflite": TFLITE, ".lite": TFLITE, ".keras": KERAS, ".h5": KERAS, ".hdf5": KERAS}
KINDS = ".onnx, .tflite, .keras and .h5 files and SavedModel folders"

# Operations of TensorFlow that read or write the machine they run on, or run Python: tag and length come first.
OUTSIDE = tuple(
    bytes([0x12, len(name)]) + name.encode()
    for name in ("ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc")
)


def sort_of(source: Path) -> Sort:
    """Say which sort of model lies there.

    Raises
    ------
    BundleError
        None that is known.
    """
    if source.is_dir():
        if (source / "saved_model.pb").is_file():
            return SAVED_MODEL
        raise BundleError(f"{source}: a folder without saved_model.pb is no SavedModel; imported are {KINDS}")
    if not source.is_file():
        raise BundleError(f"{source}: no such file or folder; give a model: {KINDS}")
    size = source.stat().st_size
    if not size:
        raise BundleError(f"{source}: the file is empty")
    if size > MOST_BYTES:
        raise BundleError(f"{source}: {size / 1e9:.1f} GB is more than a classifier of digits needs; the limit is 2 GB")
    found = SUFFIXES.get(source.suffix.lower())
    if found is None:
        raise BundleError(f"{source}: unknown suffix {source.suffix!r}; imported are {KINDS}")
    return found


def check_code(source: Path, sort: Sort, trusted: bool) -> None:
    """Refuse a SavedModel that could reach beyond itself, unless its user trusts it.

    Raises
    ------
    BundleError
        It holds an operation that reads or writes files, or runs Python.
    """
    if sort is not SAVED_MODEL or trusted:
        return
    content = (source / "saved_model.pb").read_bytes()
    names = sorted({word[2:].decode() for word in OUTSIDE if word in content})
    if names:
        raise BundleError(
            f"{source}: it holds {', '.join(names)}, which can read or write files or run Python; add --trust if you "
            "trust whoever made it"
        )


def adopt(source: Path, sort: Sort, form: Form, precision: str, draft: Path, progress: Progress) -> tuple[Path, Form]:
    """Put a model into a bundle's folder; give its place and its form there."""
    if sort is KERAS:
        from digitbench.export import adopted

        path = draft / adopted.FILE
        batch = adopted.write(source, form, path, progress)
        return path, replace(form, batch=batch, output=replace(OWN_OUTPUT, dtype=form.output.dtype))
    path = draft / "artifacts" / f"model-{precision}{sort.suffix}"
    path.parent.mkdir()
    if source.is_dir():
        shutil.copytree(source, path)
    else:
        shutil.copy(source, path)
    return path, form


def precision_of(source: Path, sort: Sort, form: Form) -> str:
    """Guess which of digitbench's precisions a model is in, from what its file holds."""
    if sort is ONNX:
        return _onnx_precision(source.read_bytes(), form)
    if sort is TFLITE:
        try:
            return _tflite_precision(source.read_bytes())
        except Exception:  # noqa: BLE001 - the reader raises nearly anything at a file that only LiteRT understands
            return FP32
    return FP32


def _onnx_precision(content: bytes, form: Form) -> str:
    def holds(*operators: str) -> bool:
        return any(bytes([0x22, len(one)]) + one.encode() in content for one in operators)

    if holds("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"):
        return DYNAMIC
    if holds("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "QGemm"):
        return INT8
    return FP16 if form.input.dtype == "float16" else FP32


def _tflite_precision(content: bytes) -> str:
    """By the types of its tensors: whole numbers that calls compute, whole numbers that are stored alone, halves."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.TensorType
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    model = schema.Model.GetRootAs(content, 0)
    stored = {one.Type() for one in tensors if model.Buffers(one.Buffer()).DataLength() and one.ShapeLength() > 1}
    computed = {one.Type() for one in tensors if not model.Buffers(one.Buffer()).DataLength()}
    small = {kinds.INT8, kinds.UINT8, kinds.INT16}
    if small & computed and small & stored:
        return INT8
    if small & stored:
        return DYNAMIC
    return FP16 if kinds.FLOAT16 in stored else FP32
