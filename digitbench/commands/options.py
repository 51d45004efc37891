"""Options and helpers that several commands share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.progress import Progress
    from digitbench.report.live import LiveProgress

RunArgument = Annotated[
    Path | None, typer.Argument(metavar="[RUN]", help="A bundle's folder; runs/latest if not given.")
]
DatasetOption = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="mnist, digits (comes with scikit-learn), or auto: MNIST if "
                      "it can be had, else digits.")
]  # fmt: skip
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="PATH", help="MNIST as an .npz in Keras' layout, or a folder of IDX "
                              "files. DIGITBENCH_MNIST says the same for every command.")
]  # fmt: skip
BackendOption = Annotated[
    list[str] | None,
    typer.Option("--backend", "-b", metavar="onnx,tflite", help="All if not given."),
]
PrecisionOption = Annotated[
    list[str] | None,
    typer.Option("--precision", "-p", metavar="int8,dynamic", help="fp32, fp16, dynamic, int8, or bf16 where a runtime "
                 "makes it; all that were exported if not given."),
]  # fmt: skip
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N test images.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only what was found.")]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the results there; - for standard output.")
]


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read ``"1,32,256"``.

    Raises
    ------
    UsageError
        It isn't a list of whole numbers of 1 or more.
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: not a list of whole numbers such as 1,32,256") from None
    if min(numbers) < 1:
        raise UsageError(f"{option} {text}: {min(numbers)} is not 1 or more")
    return tuple(dict.fromkeys(numbers))


def names_of(texts: Sequence[str] | None) -> list[str]:
    """Read names that were given one by one or as lists: ``["onnx,tflite", "npz"]``."""
    parts = (part.strip() for text in texts or () for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def percentage_points(text: str, option: str) -> float:
    """Read ``"0.5pp"`` as a share: 0.005.

    Raises
    ------
    UsageError
        It isn't a number of percentage points.
    """
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?) ?pp", text.strip())
    if not found or float(found[1]) > 100:
        raise UsageError(f"{option} {text}: not a number of percentage points such as 0.5pp")
    return float(found[1]) / 100


def load_data(name: str, path: Path | None, progress: Progress, remembered: str = "") -> Dataset:
    """Load a dataset, and say what people must know of it."""
    from digitbench import data

    digits = data.load(name, path, remembered=remembered, progress=progress)
    if digits.notice:
        progress.say(digits.notice)
    return digits


def bundle_data(bundle: Bundle, path: Path | None, progress: Progress) -> Dataset:
    """Load the dataset that a bundle was trained on."""
    known = bundle.dataset
    return load_data(known["name"], path, progress, known.get("source", ""))


def open_console(*, stderr: bool = False) -> Console:
    """Where people read: standard output, or standard error where that holds data."""
    from rich.console import Console

    return Console(stderr=stderr)


def watched(console: Console, *, animate: bool = True, quiet: bool = False) -> LiveProgress:
    """Show progress there."""
    from digitbench.report.live import LiveProgress

    return LiveProgress(console, animate=animate, quiet=quiet)
