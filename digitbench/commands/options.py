"""Options and helpers that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitbench.commands import completion
from digitbench.errors import DataError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.plan import Plan
    from digitbench.report.live import LiveProgress
    from digitbench.system.progress import Progress

RunArgument = Annotated[
    Path | None, typer.Argument(metavar="MODEL", help="A model's folder.", show_default="runs/latest",
                                autocompletion=completion.bundles)
]  # fmt: skip
DatasetOption = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="mnist, fashion-mnist, digits (comes with scikit-learn), or "
                      "auto: MNIST if it can be had, else digits.", autocompletion=completion.datasets)
]  # fmt: skip
DATA_DEFAULT = "what the model was trained on"
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="PATH", show_default=DATA_DEFAULT, help="Where the model's dataset is: "
                              "MNIST as an .npz or a folder of IDX files, or your own data that it was trained on.")
]  # fmt: skip
OtherDataOption = Annotated[
    Path | None, typer.Option("--data", metavar="PATH", show_default=DATA_DEFAULT, help="Where the model's dataset is; "
                              "or other pictures: an .npz with x_test and y_test, a .csv of pixels (also zipped), a "
                              "folder of IDX files, or with a sub-folder for each class (3/any.png, 7_me.jpg).")
]  # fmt: skip
TrainingDataOption = Annotated[
    Path | None, typer.Option("--data", metavar="PATH", show_default="DIGITBENCH_MNIST, or a download", help="MNIST as "
                              "an .npz or a folder of IDX files; or pictures of your own as an .npz with x_train, "
                              "y_train, x_test and y_test, as IDX files, or in a folder for each class.")
]  # fmt: skip
FitOption = Annotated[
    str, typer.Option("--fit", metavar="squash|crop|pad", help="How pictures of another aspect are brought to size.")
]
ImageSizeOption = Annotated[
    str | None, typer.Option("--image-size", metavar="HxW", show_default="the median of the pictures, at most 64",
                             help="Bring pictures of your own to this height and width.")
]  # fmt: skip
BackendOption = Annotated[
    list[str] | None,
    typer.Option("--backend", "-b", metavar="onnx,tflite", help="Which runtimes; all: every installed one.",
                 show_default="all", autocompletion=completion.backends),
]  # fmt: skip
PrecisionOption = Annotated[
    list[str] | None,
    typer.Option("--precision", "-p", metavar="int8,dynamic", help="fp32, fp16, dynamic, int8, or bf16 where a runtime "
                 "makes it.", show_default="all that were exported", autocompletion=completion.precisions),
]  # fmt: skip
QUICK_SECONDS = 0.3  # timed calls of each row, where a first look is enough
QuickOption = Annotated[
    bool, typer.Option("--quick", help="A first look in half a minute; too short to show small differences.")
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        min=0.01, help="Seconds of timed calls of each candidate.", show_default=f"3; {QUICK_SECONDS} with --quick"
    ),
]
EquivalenceOption = Annotated[
    str | None, typer.Option("--equivalence", metavar="2%", show_default="2%", help="A race ends once no other can be "
                 "faster than its winner by more than this.")
]  # fmt: skip
BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", metavar="3min", show_default="3min", help="A race ends after this time, decided or not."),
]
GenerationsOption = Annotated[
    int | None, typer.Option(min=1, help="Fresh processes of each candidate.", show_default="5; 1 with --quick")
]
ThreadsOption = Annotated[int, typer.Option("--threads", "-t", min=1, help="Threads that each runtime may use.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N test images.", show_default="all")
]
GateOption = Annotated[
    list[str] | None,
    typer.Option("--fail-on", metavar="METRIC:LIMIT", show_default="no gate", help="May be given several times: "
                 "latency:10%, p99:20%, throughput:5%, accuracy:0.2pp, flips:0, size:5%, memory:10%, load:20%, "
                 "first:20%."),
]  # fmt: skip
AllowMissingOption = Annotated[
    list[str] | None,
    typer.Option("--allow-missing", metavar="BACKEND[:PRECISION]", show_default="none", help="Let gates pass without "
                 "this candidate; may be given several times."),
]  # fmt: skip
ForceOption = Annotated[
    bool, typer.Option("--force", help="Compare even different machines, datasets or models.")
]  # fmt: skip
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only results.")]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Explain eight words first, from candidate to A/A.")]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write JSON to FILE; - for standard output.", show_default="none"),
]

MarkdownOption = Annotated[
    str | None,
    typer.Option(
        "--markdown", metavar="FILE", help="Write Markdown to FILE; - for standard output.", show_default="none"
    ),
]


def whole_numbers(text: str, option: str, *, distinct: bool = True) -> tuple[int, ...]:
    """Read ``"1,32,256"``; where they are to be `distinct`, each is taken once.

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
    return tuple(dict.fromkeys(numbers)) if distinct else numbers


def image_size(text: str | None) -> tuple[int, int] | None:
    """Read ``"48x64"``, or ``"48"`` for a square, as height and width; None is not given.

    Raises
    ------
    UsageError
        It isn't that, or no model could have images of this size.
    """
    from digitbench.records.task import MOST_SIDE

    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,4})(?: ?[x×] ?(\d{1,4}))?", text.strip())
    sides = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 4 <= min(sides) <= max(sides) <= MOST_SIDE:
        raise UsageError(f"--image-size {text}: not height x width such as 48x64, each from 4 to {MOST_SIDE}")
    return sides


def names_of(texts: Sequence[str] | None) -> list[str]:
    """Read names that were given one by one or as lists: ``["onnx,tflite", "npz"]``."""
    parts = (part.strip() for text in texts or () for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def backends_of(texts: Sequence[str] | None) -> list[str]:
    """Read names of backends; none, for every installed one, if ``all`` is among them."""
    names = names_of(texts)
    return [] if "all" in names else names


def requested_candidates(
    bundle: Bundle, backend: Sequence[str] | None, precision: Sequence[str] | None, threads: Sequence[int],
    say: Callable[[str], None], batch_sizes: Sequence[int | None] = (None,),
) -> list[Candidate]:  # fmt: skip
    """List what the options ask for; see `digitbench.measure.candidates.candidates`."""
    from digitbench.measure.candidates import candidates
    from digitbench.records import precisions

    return candidates(bundle, backends_of(backend), batch_sizes, threads, precisions.parse(precision or []), say)


def timing_plan(
    *,
    quick: bool,
    race: bool = False,
    equivalence: str | float | None = None,
    budget: str | float | None = None,
    **given: Any,
) -> Plan:
    """Give the plan that the options ask for, or that results tell of; None is not given.

    Raises
    ------
    UsageError
        `equivalence` or `budget` can't be read.
    """
    from digitbench.measure.plan import Plan
    from digitbench.measure.race import MOST

    defaults = {"seconds": QUICK_SECONDS, "generations": 1} if quick else {"generations": MOST} if race else {}
    given |= {
        "race": race or None,
        "equivalence": _percent(equivalence, "--equivalence") if isinstance(equivalence, str) else equivalence,
        "budget": seconds(budget, "--budget") if isinstance(budget, str) else budget,
    }
    return Plan(**defaults | {name: value for name, value in given.items() if value is not None})


def _percent(text: str, option: str) -> float:
    match = re.fullmatch(r"(\d{1,2}(?:\.\d{1,9})?) ?%", text.strip())
    if not match:
        raise UsageError(f"{option} {text}: not a percentage below 100 such as 2%")
    return float(match[1]) / 100


def percentage_points(text: str, option: str) -> float:
    """Read ``"0.5pp"`` as a share: 0.005.

    Raises
    ------
    UsageError
        It isn't a number of percentage points.
    """
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?) ?pp", text.strip())
    if not match or float(match[1]) > 100:
        raise UsageError(f"{option} {text}: not a number of percentage points such as 0.5pp")
    return float(match[1]) / 100


UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def seconds(text: str, option: str) -> float:
    """Read ``"90s"``, ``"10min"``, ``"1.5h"`` as seconds; above 0, at most a week.

    Raises
    ------
    UsageError
        It isn't such a time.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?) ?(s|min|h)", text.strip())
    time = float(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < time <= 7 * 24 * 3600:
        raise UsageError(f"{option} {text}: not a time such as 90s, 10min or 1.5h, up to a week")
    return time


def load_data(name: str, path: Path | None, progress: Progress, **how: Any) -> Dataset:
    """Load a dataset, and say what people must know of it; `how` is the rest that `digitbench.data.load` takes."""
    from digitbench import data

    digits = data.load(name, path, progress=progress, **how)
    if digits.notice:
        progress.say(digits.notice)
    return digits


def bundle_data(bundle: Bundle, path: Path | None, progress: Progress, *, allow_other_data: bool = False) -> Dataset:
    """Load the dataset that a bundle was trained on.

    Parameters
    ----------
    path
        Where it is, if not where the bundle remembers it.
    allow_other_data
        At `path` may be any other pictures of the model's classes: a person named them, and means all of them.

    Raises
    ------
    DataError
        It can't be had, or is another.
    """
    from digitbench import data

    name, source, recorded = bundle.dataset.name, bundle.dataset.source, bundle.dataset.fingerprint
    is_user_data = data.is_user_data(name)
    if is_user_data and not path:
        trained = f"{bundle.path} was trained on {name}"
        if not Path(source).exists():
            gone = source or "what it was read from"
            raise DataError(f"{trained}, and {gone} is gone; give its place with --data PATH")
        digits = _as_trained(bundle, None, progress)
        if digits.fingerprint != recorded:
            change = f"{source} has changed since ({recorded} then, {digits.fingerprint} now)"
            raise DataError(f"{trained}, and {change}; give the old data with --data PATH, or train again")
        return digits
    if is_user_data:
        digits = _as_trained(bundle, path, progress)
    else:
        named = "auto" if path and allow_other_data else name
        digits = data.load(named, path, remembered=source, progress=progress, task=bundle.task)
    if path and allow_other_data and digits.fingerprint != recorded:  # all of it is new to the model
        digits = digits.undivided()
    if digits.notice:
        progress.say(digits.notice)
    if not (path and allow_other_data):
        bundle.check_dataset(digits)
    return digits


def _as_trained(bundle: Bundle, path: Path | None, progress: Progress) -> Dataset:
    """Load user data as it was read when a model was trained on it, if it is that data; else as the model's task."""
    from digitbench import data

    task, name, source = bundle.task, bundle.dataset.name, bundle.dataset.source
    fit = bundle.dataset.fit
    digits = data.load("auto" if path else name, path, remembered=source, progress=progress, task=task, fit=fit)
    if digits.fingerprint != bundle.dataset.fingerprint and task.is_digits:
        with suppress(DataError):  # pictures that were taken for digits
            seen = data.load("auto", path or Path(source), progress=progress, image_size=task.size)
            return seen if seen.fingerprint == bundle.dataset.fingerprint else digits
    return digits


def open_console(*, stderr: bool = False) -> Console:
    """Give the console that people read: standard output, or standard error where standard output holds data."""
    from rich.console import Console

    return Console(stderr=stderr)


def show_progress(console: Console, *, animate: bool = True, quiet: bool = False) -> LiveProgress:
    """Show progress on a console."""
    from digitbench.report.live import LiveProgress

    return LiveProgress(console, animate=animate, quiet=quiet)
