"""What several journeys share: who runs what, a changed copy of a bundle, Ctrl-C, a printed table, a row's answers."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from conftest import Finished, environment

from digitbench.bundle import Artifact, Bundle
from digitbench.errors import BundleError

PRECISIONS = {
    "keras": ("fp32",),
    "mnn": ("fp32", "fp16", "int8-weights"),
    "numpy": ("fp32",),
    "onnx": ("fp32", "fp16", "dynamic", "int8"),
    "openvino": ("fp32", "fp16", "int8"),
    "savedmodel": ("fp32",),
    "tflite": ("fp32", "fp16", "dynamic", "int8"),
    "tract": ("fp32", "fp16", "dynamic", "int8"),
}
"""What each backend is measured in where nothing else is asked for."""

BACKENDS = tuple(PRECISIONS)
CANDIDATES = [(name, precision) for name, precisions in PRECISIONS.items() for precision in precisions]
OPENED_FORMATS = {"numpy": "npz", "openvino": "onnx", "tract": "onnx"}


def artifact_of(bundle: Bundle, backend: str, precision: str) -> Artifact:
    """What a backend opens for a precision."""
    return bundle.find(OPENED_FORMATS.get(backend, backend), precision)


def copied(bundle: Bundle, folder: Path) -> Bundle:
    """A copy that a test may change, without results that other tests left there."""
    ignore = shutil.ignore_patterns("results")
    return Bundle(Path(shutil.copytree(bundle.path, folder / bundle.name, ignore=ignore)))


def rewrite_manifest(bundle: Bundle, manifest: Mapping[str, Any]) -> None:
    """Write another manifest, and let the bundle know it, if it is one."""
    (bundle.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with suppress(BundleError):
        vars(bundle).update(vars(Bundle(bundle.path)))


def first_on_path(folder: Path) -> dict[str, str]:
    """The environment in which Python looks for modules and plugins in `folder` first."""
    already = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {"PYTHONPATH": os.pathsep.join([str(folder), *already])}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, and every folder with None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def interrupted(*arguments: object, cwd: Path, trigger: str, whole_group: bool = False) -> Finished:
    """Run the command line and send it Ctrl-C's signal once it prints a line with `trigger`; no process may be left.

    Parameters
    ----------
    whole_group
        Signal its workers too, as a terminal does.
    """
    command = [sys.executable, "-m", "digitbench", *map(str, arguments)]
    printed: list[str] = []
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,
        subprocess.Popen(
            command, cwd=cwd, env=environment(cwd, TMPDIR=str(cwd)), stdout=subprocess.PIPE, stderr=stderr, text=True,
            encoding="utf-8", start_new_session=True, preexec_fn=_heed_interrupts,
        ) as process,
    ):  # fmt: skip
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        assert process.stdout is not None
        sent = False
        for line in process.stdout:
            printed.append(line)
            if trigger in line and not sent:
                (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
                sent = True
        code = process.wait()
        watchdog.cancel()
        stderr.seek(0)
        errors = stderr.read()
    assert sent, "".join(printed) + errors
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return Finished(command, code, "".join(printed), errors)


def _heed_interrupts() -> None:
    # A shell's background jobs ignore SIGINT, and so would what they start.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def table_rows(printed: str) -> list[dict[str, str]]:
    """The rows of the one table that was printed: each cell by its column's head, of which the last line counts."""
    names = "|".join(("backend", *BACKENDS, "onnx-reference"))
    lines = [
        line for line in printed.splitlines()
        if re.match(rf"\s*(?:rank|[▸✗])?\s*(?:\d+=?)?\s*(?:{names})\s{{2,}}", line)
    ]  # fmt: skip
    if not lines:
        return []
    # A column ends where two characters are blank in every line: a cell may be empty, or have blanks of its own.
    wide = [line.ljust(max(map(len, lines))) for line in lines]
    filled = "".join(" " if set(characters) == {" "} else "x" for characters in zip(*wide, strict=True))
    spans = [match.span() for match in re.finditer(r"x+(?: x+)*", filled)]
    heads, *rows = [[line[start:end].strip() for start, end in spans] for line in wide]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def check_answers(rows: Sequence[Mapping[str, Any]], bundle: Bundle) -> None:
    """In every row labels and scores are what the export's check found, and top-1 is as good as it must be.

    Parameters
    ----------
    rows
        Of results' JSON, of the whole test set; some in fp32.
    """
    metrics = bundle.stored["metrics"]
    fp32 = [row["agreement"]["max_abs_diff"] for row in rows if row["precision"] == "fp32"]
    for row in rows:
        assert "error" not in row
        artifact = artifact_of(bundle, row["backend"], row["precision"])
        accuracy, agreement, certificate = row["accuracy"], row["agreement"], row["agreement"]["certificate"]
        assert (certificate is None) is (
            (row["backend"], row["precision"]) in (("onnx", "dynamic"), ("tract", "dynamic"))
        )
        assert (certificate is None) is (agreement["uncertified"] is not None)
        changed = agreement["mcnemar"]
        assert agreement["reference"] == "keras"
        assert agreement["flips"] == len(agreement["flipped"]) >= changed["lost"] + changed["won"]
        assert accuracy["total"] == metrics["total"]
        assert accuracy["correct"] == metrics["correct"] - changed["lost"] + changed["won"]
        assert accuracy["top1"] == pytest.approx(accuracy["correct"] / accuracy["total"])
        if certificate:
            assert certificate["total"] == metrics["total"]
            assert certificate["certified"] <= certificate["total"] - agreement["flips"]
            assert certificate["needed_margin"] == pytest.approx(2 * agreement["max_abs_diff"])
        if row["precision"] == "fp32":
            assert (agreement["flips"], accuracy["correct"]) == (0, metrics["correct"])
            assert 0 <= agreement["max_abs_diff"] < 1e-4
        else:
            assert artifact.max_accuracy_drop is not None
            assert metrics["test_accuracy"] - accuracy["top1"] <= artifact.max_accuracy_drop + 1e-9
            assert agreement["max_abs_diff"] > max(fp32), "fp32 under another name"
        if row["backend"] == artifact.checked_by:
            assert agreement["flips"] == artifact.flips
            assert agreement["max_abs_diff"] == pytest.approx(artifact.max_abs_diff, abs=1e-6)


def weights_of(bundle: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The weights of a bundle's Keras model, by their path in its file."""
    weights: dict[str, npt.NDArray[np.float32]] = {}

    def note(name: str, part: h5py.Group | h5py.Dataset) -> None:
        if isinstance(part, h5py.Dataset):
            weights[name] = part[()]

    with (
        zipfile.ZipFile(bundle / "model.keras") as packed,
        h5py.File(io.BytesIO(packed.read("model.weights.h5"))) as stored,
    ):
        stored["layers"].visititems(note)
    return weights
