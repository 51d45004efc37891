"""MNN's own format, by its converter, from the model in ONNX."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import FP16, FP32, WEIGHTS8

# As a library: what MNN installs as a command runs pip and reports to its makers how it was used, and its module
# `MNN.tools` does both when it is imported. In a process of its own, since it writes to standard output, and ends the
# process at what it doesn't know.
CONVERT = "import sys, _tools; sys.exit(not _tools.mnnconvert(sys.argv))"
# Not `--keepInputFormat 1`: convolutions over images with their channels last are wrong then.
FIXED = ("--framework", "ONNX", "--bizCode", "digitbench")
# Not rounded with a zero point, as is usual there: in a small network that changed many more labels.
OPTIONS: dict[str, tuple[str, ...]] = {
    FP32: (),
    FP16: ("--fp16",),
    WEIGHTS8: ("--weightQuantBits", "8", "--weightQuantAsymmetric=0"),
}


class MnnExporter(Exporter):
    """``.mnn`` files with a free batch size, float32 in and out."""

    format: ClassVar[str] = "mnn"
    source: ClassVar[str] = "onnx"
    needs: ClassVar[tuple[str, ...]] = ("MNN",)
    extra: ClassVar[str] = "mnn"
    # No int8: of an ONNX file in int8 the converter aborts, of a TFLite file it makes a model that guesses.
    precisions: ClassVar[tuple[str, ...]] = tuple(OPTIONS)
    frees_batch: ClassVar[bool] = True

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`."""
        assert job.source
        convert(job.source, target, job.precision)

    def unable(self, model: Any, precision: str) -> str:
        """See `Exporter.unable`."""
        return "" if precision == FP32 else f"MNN's converter takes models in fp32, and the model is {precision}"


def convert(source: Path, target: Path, precision: str) -> None:
    """Convert an ONNX file in fp32.

    Raises
    ------
    ValueError
        MNN's converter can't.
    """
    command = [sys.executable, "-P", "-c", CONVERT, *FIXED, *OPTIONS[precision], "--modelFile", str(source)]
    done = subprocess.run([*command, "--MNNModel", str(target)], capture_output=True, text=True, errors="replace")
    if done.returncode or not target.is_file():
        last = " ".join((done.stdout + done.stderr).strip().splitlines()[-1:])
        raise ValueError(f"MNN's converter ended with {done.returncode}: {last}")
