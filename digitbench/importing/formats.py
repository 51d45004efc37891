"""The formats of model files that can be imported: how each is recognised, what opens it, how a bundle takes it in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from digitbench import plugins
from digitbench.errors import BundleError, one_line
from digitbench.importing import contents, fit
from digitbench.model_files import onnx_file, openvino_file
from digitbench.plugins.model_io import NATIVE_IO, ModelIO
from digitbench.system.files import measure_size
from digitbench.system.progress import Progress

MOST_BYTES = 2 * 10**9


# Their names are those of the backends that open them first.
ONNX, TFLITE, SAVED_MODEL, KERAS, OPENVINO = "onnx", "tflite", "savedmodel", "keras", "openvino"
SUFFIXES = {".onnx": ONNX, ".tflite": TFLITE, ".lite": TFLITE, ".keras": KERAS, ".h5": KERAS, ".hdf5": KERAS,
            ".xml": OPENVINO}  # fmt: skip
KINDS = ".onnx, .tflite, .keras, .h5 and OpenVINO .xml files and SavedModel folders"

SCALING_LAYERS = ("Rescaling", "Normalization")

# Operations of TensorFlow that read or write the machine they run on, or run Python: tag and length come first.
OUTSIDE = ("ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "PrintV2")


def format_of(source: Path) -> str:
    """Say which format the model there is in.

    Raises
    ------
    BundleError
        None that is known.
    """
    try:
        is_folder, is_file = source.is_dir(), source.is_file()
    except OSError as exc:  # a name that is too long
        raise BundleError(f"{source}: can't be read: {exc.strerror or exc}") from exc
    if is_folder and _ir(source) != source:
        return _format_of_file(_ir(source))
    if is_folder and not (source / "saved_model.pb").is_file():
        raise BundleError(f"{source}: a folder without saved_model.pb is no SavedModel; imported are {KINDS}")
    if not (is_folder or is_file):
        raise BundleError(f"{source}: no such file or folder; give a model: {KINDS}")
    size = measure_size(source)
    if not size:
        raise BundleError(f"{source}: the file is empty")
    if size > MOST_BYTES:
        raise BundleError(f"{source}: {size / 1e9:.1f} GB is more than a classifier of digits needs; the limit is 2 GB")
    if is_folder:
        return SAVED_MODEL
    return _format_of_file(source)


def _format_of_file(source: Path) -> str:
    """Go by the content where that leaves no doubt, then by the name."""
    source = _ir(source)
    suffix = source.suffix.lower()
    by_suffix = SUFFIXES.get(suffix)
    try:
        by_content = SUFFIXES.get(contents.recognised(source))
        explanation = "" if by_content else contents.explained(source)
    except OSError as exc:
        raise BundleError(f"{source}: can't be read: {exc.strerror or exc}") from exc
    if by_content == OPENVINO:
        _check_ir(source)
    if by_content:
        return by_content
    if source.name == "saved_model.pb":
        raise BundleError(f"{source}: it is a part of a SavedModel; give the folder: {source.parent}")
    if explanation:
        expected = f"; imported are {KINDS}" if by_suffix is None else f"; only its name ends in {suffix}"
        raise BundleError(f"{source}: {explanation}{expected}")
    if by_suffix is None:
        missing = f" ({source.with_suffix('.xml').name} is missing beside it)" if suffix == ".bin" else ""
        raise BundleError(f"{source}: unknown suffix {source.suffix!r}; imported are {KINDS}{missing}")
    if by_suffix == OPENVINO:
        raise BundleError(f"{source}: no model of OpenVINO: such a file begins with <net name=…>")
    if suffix == ".keras":
        raise BundleError(f"{source}: no Keras 3 file: it is broken, cut short or of another kind; save it again")
    return by_suffix


def _check_ir(source: Path) -> None:
    """Refuse a model of OpenVINO that isn't whole: layers in an ``.xml``, weights in a ``.bin`` of the same name."""
    weights = source.with_suffix(".bin")
    if source.suffix.lower() != ".xml":
        raise BundleError(f"{source}: the layers of an OpenVINO model; name it .xml, and put its .bin beside it")
    if not weights.is_file():
        raise BundleError(
            f"{source}: its weights are missing: put {weights.name} beside it, the second of its two files"
        )


def _ir(source: Path) -> Path:
    """The ``.xml`` of an OpenVINO model of which its ``.bin`` was named, or the folder of the two; else the source."""
    if source.is_dir():
        found = [path for path in source.glob("*.xml") if path.with_suffix(".bin").is_file()]
        return found[0] if len(found) == 1 else source
    layers = source.with_suffix(".xml")
    return layers if source.suffix.lower() == ".bin" and layers.is_file() else source


def check_code(source: Path, model_format: str, trusted: bool) -> None:
    """Refuse a SavedModel that could reach beyond itself, unless its user trusts it.

    Raises
    ------
    BundleError
        It holds an operation that reads or writes files, or runs Python.
    """
    if model_format != SAVED_MODEL or trusted:
        return
    content = (source / "saved_model.pb").read_bytes()
    names = sorted(name for name in OUTSIDE if re.search(_number(0x12) + _number(len(name)) + name.encode(), content))
    if names:
        raise BundleError(
            f"{source}: it holds {', '.join(names)}, which can read or write files or run Python; add --trust if you "
            "trust its maker"
        )


def _number(value: int) -> bytes:
    """Match a number below 128 as Protocol Buffers write it, also the long way, which they read all the same."""
    short, long = re.escape(bytes([value])), re.escape(bytes([value | 0x80]))
    return rb"(?:%b|%b\x80{0,8}\x00)" % (short, long)


def opened(source: Path, model_format: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Bring a model into the form that its backend opens, in the worker that tries it.

    Parameters
    ----------
    folder
        Where to write what it is converted to.

    Returns
    -------
    tuple
        What the backend opens: the source itself, of an OpenVINO model the ``.xml``, or what a Keras model was
        converted to; and what is known of it then.

    Raises
    ------
    ArtifactError
        It can't be opened.
    """
    if model_format != KERAS:
        return _ir(source) if model_format == OPENVINO else source, {}
    from digitbench.importing import keras_file

    return keras_file.convert(source, folder)


def adopt(
    tried: Path, model_format: str, model_io: ModelIO, precision: str, draft: Path, progress: Progress, outputs: int
) -> tuple[Path, ModelIO, list[dict[str, Any]] | None]:
    """Put a model into a bundle's folder; give its path and its model I/O there, and a Keras model's layers if changed.

    A Keras model of several `outputs` is written with the one that is used; all else is copied as it was tried.
    """
    if model_format == KERAS:
        from digitbench.importing import keras_file

        path, layers = draft / keras_file.FILE, None
        if outputs == 1:
            shutil.copy(tried, path)
        else:
            layers = keras_file.write(tried, model_io, path, progress)
        return path, structs.replace(model_io, output=replace(NATIVE_IO.output, dtype=model_io.output.dtype)), layers
    path = draft / "artifacts" / f"model-{precision}.{model_format}"
    path.parent.mkdir()
    if model_format == OPENVINO:
        path.mkdir()
        for part in (tried, tried.with_suffix(".bin")):
            shutil.copy(part, path / f"model{part.suffix.lower()}")
    elif tried.is_dir():
        shutil.copytree(tried, path)
    elif model_format == ONNX and (content := _merged(tried)):
        path.write_bytes(content)
    else:
        shutil.copy(tried, path)
    return path, model_io, None


def _merged(source: Path) -> bytes | None:
    """See `digitbench.model_files.onnx_file.merged`."""
    try:
        return onnx_file.merged(source)
    except ValueError as exc:
        raise BundleError(f"{source}: {exc}") from exc


def own_scaling(source: Path, model_format: str, layers: Sequence[Mapping[str, Any]]) -> str:
    """Say what in a model scales its pixels, of ONNX before all else; empty where nothing does, or it isn't known.

    Parameters
    ----------
    source, model_format
        The model.
    layers
        Of a Keras model.
    """
    names = [f"{layer['name']} ({layer['kind']})" for layer in layers if layer["kind"] in SCALING_LAYERS]
    if model_format == ONNX:
        with suppress(ValueError):
            names += onnx_file.scaling(source)
    return f"it scales pixels itself: {', '.join(names)}" if names else ""


def stated_accuracy(source: Path, model_format: str) -> float | None:
    """Find the accuracy that a file states of its model, from 0 to 1; None where it states none."""
    if model_format != ONNX:
        return None
    try:
        return fit.stated_accuracy(onnx_file.texts(source))
    except ValueError:  # only its runtime can read it: then it says nothing here
        return None


def precision_of(source: Path, model_format: str) -> str:
    """Read which precision a model is in from its weights and operations: see `digitbench.records.precisions`.

    Raises
    ------
    BundleError
        It can't be read out of the file.
    """
    try:
        if model_format == OPENVINO:
            return openvino_file.precision_of(_ir(source))
        return plugins.exporters()[model_format].precision_of(source)
    except ValueError as exc:
        message = f"{source}: its precision can't be read ({one_line(exc)}); give it: --precision"
        raise BundleError(message) from exc
