"""The command line: parse, call, print. What the commands do is in the other modules."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitbench.errors import CheckFailed, DigitbenchError, ResultsError, UsageError
from digitbench.recipes import ACTIVATIONS, DEFAULT, LOSSES, OPTIMIZERS, OUTPUT_ACTIVATIONS, RECIPES

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.progress import Progress
    from digitbench.recipes import Recipe
    from digitbench.report.live import LiveProgress
    from digitbench.results import Results

INTERRUPTED = 130
QUICK_SECONDS = 0.3

app = typer.Typer(
    name="digitbench",
    help="Which CPU runtime and precision to ship a small image classifier on, and how sure we are.",
    epilog="[b]Examples[/]\n\ndigitbench train\n\ndigitbench bench --backend onnx\n\ndigitbench COMMAND --help",
    add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False,
)  # fmt: skip


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Returns
    -------
    int
        0: all went well. 1: a check failed. 2: bad input, told in one line. 130: Ctrl-C.
    """
    from typer.exceptions import TyperException

    try:
        code = app(list(arguments) or ["--help"], standalone_mode=False)
        if code == INTERRUPTED:  # Typer turns Ctrl-C into this
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except DigitbenchError as exc:
        return _complain(str(exc), exc.exit_code)
    except TyperException as exc:
        return _complain(_usage_message(exc), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("stopped; nothing half-written is left", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _complain(message: str, code: int) -> int:
    print(f"digitbench: {' '.join(message.split())}", file=sys.stderr)
    return code


def _usage_message(exc: Any) -> str:
    message = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    context = getattr(exc, "ctx", None)
    where = context.command_path if context is not None else "digitbench"
    return f"{message.rstrip('.')}; see: {where} --help"


# --- options that several commands share ---------------------------------------------------------------------------

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
    typer.Option("--backend", "-b", metavar="NAME", help="May be given several times; all if not."),
]
ThreadsOption = Annotated[int, typer.Option("--threads", "-t", min=1, help="Threads that each runtime may use.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N test images.")]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the results there; - for standard output.")
]


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False,
) -> None:
    if version:
        from digitbench import __version__

        print(f"digitbench {__version__}")
        raise typer.Exit


# --- commands ------------------------------------------------------------------------------------------------------

_RECIPE_LINES = "\n\n".join(f"[b]{name}[/]: {recipe.about}" for name, recipe in RECIPES.items())


@app.command(
    epilog=f"[b]Recipes[/]\n\n{_RECIPE_LINES}\n\n[b]Examples[/]\n\ndigitbench train\n\n"
    "digitbench train --recipe dense-512-rmsprop --seed 1\n\n"
    "digitbench train --hidden 512,256 --dropout 0.2 --epochs 5 --output runs/mine"
)
def train(
    recipe: Annotated[str, typer.Option("--recipe", "-r", metavar="NAME", help="What to train; see below.")] = DEFAULT,
    dataset: DatasetOption = "auto",
    data: DataOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="The bundle's folder.")] = None,
    hidden: Annotated[
        str | None,
        typer.Option(metavar="512,256", help="Width of each hidden layer; none for a linear model."),
    ] = None,
    activation: Annotated[str | None, typer.Option(help=f"Of the hidden layers: {', '.join(ACTIVATIONS)}.")] = None,
    output_activation: Annotated[str | None, typer.Option(help=", ".join(OUTPUT_ACTIVATIONS) + ".")] = None,
    dropout: Annotated[float | None, typer.Option(help="Share of outputs that training drops.")] = None,
    batch_normalization: Annotated[bool | None, typer.Option(help="Before each activation.")] = None,
    optimizer: Annotated[str | None, typer.Option(help=", ".join(OPTIMIZERS) + ".")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The optimiser's own if not given.")] = None,
    loss: Annotated[str | None, typer.Option(help=", ".join(LOSSES) + ".")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    validation_split: Annotated[float | None, typer.Option(help="Share of the training images held out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same machine: same weights.")] = None,
) -> None:
    """Train a dense network, export it to every format, and check each export against Keras."""
    from digitbench import recipes

    widths = None if hidden is None else () if hidden == "none" else whole_numbers(hidden, "--hidden")
    wanted = recipes.find(recipe).changed(
        hidden=widths, activation=activation, output_activation=output_activation, dropout=dropout,
        batch_normalization=batch_normalization, optimizer=optimizer, learning_rate=learning_rate, loss=loss,
        epochs=epochs, batch_size=batch_size, validation_split=validation_split, seed=seed,
    )  # fmt: skip
    _train(wanted, dataset, data, output, _console())


@app.command(epilog="[b]Example[/]\n\ndigitbench export runs/latest --format onnx --format tflite")
def export(
    run: RunArgument = None,
    format: Annotated[
        list[str] | None, typer.Option("--format", "-f", metavar="NAME", help="All if not given.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Write a bundle's model in other formats again, and check each against Keras."""
    from digitbench import export as exporters
    from digitbench.bundle import Bundle
    from digitbench.quiet import native_output_held

    console = _console()
    with _watched(console) as progress, native_output_held():
        bundle = Bundle(run)
        digits = _bundle_data(bundle, data, progress)
        failures = exporters.export(bundle, format or exporters.FORMATS, digits.test, progress=progress)
    exporters.raise_failures(failures)


@app.command(epilog="[b]Examples[/]\n\ndigitbench evaluate\n\ndigitbench evaluate runs/mine -b onnx --json onnx.json")
def evaluate(
    run: RunArgument = None,
    backend: BackendOption = None,
    threads: ThreadsOption = 1,
    data: DataOption = None,
    limit: LimitOption = None,
    json: JsonOption = None,
) -> None:
    """Score the test images on each runtime: accuracy, and labels that differ from Keras'."""
    _measure(run, backend or [], None, threads, 0.0, data, limit, json)


@app.command(
    epilog="[b]Examples[/]\n\ndigitbench bench --quick\n\ndigitbench bench --backend onnx --backend tflite --json -"
    "\n\ndigitbench bench runs/mine --batch-size 1,32,256 --threads 2 --seconds 5"
)
def bench(
    run: RunArgument = None,
    backend: BackendOption = None,
    batch_size: Annotated[
        str | None,
        typer.Option(metavar="1,32,256", help="Images in a call; 1,32,256 if not given, 1 with --quick."),
    ] = None,
    threads: ThreadsOption = 1,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.01, help=f"Timed calls of each row; 3, {QUICK_SECONDS} with --quick."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A look in under 20 seconds, not to be relied on.")] = False,
    data: DataOption = None,
    limit: LimitOption = None,
    json: JsonOption = None,
) -> None:
    """Time each runtime, every candidate in a fresh process, and score the test images on it."""
    sizes = whole_numbers(batch_size or ("1" if quick else "1,32,256"), "--batch-size")
    _measure(run, backend or [], sizes, threads, seconds or (QUICK_SECONDS if quick else 3.0), data, limit, json)


@app.command(epilog="[b]Example[/]\n\ndigitbench backends")
def backends() -> None:
    """List the backends: runtime and version, what each opens, where it comes from or how to install it."""
    from digitbench import plugins
    from digitbench.report.terminal import print_backends

    print_backends(plugins.listing(), _console())


@app.command(epilog="[b]Example[/]\n\ndigitbench quickstart --dataset digits")
def quickstart(dataset: DatasetOption = "auto", data: DataOption = None) -> None:
    """Train the default recipe, export it, and compare all installed runtimes: the whole way in one go."""
    from digitbench import recipes

    bundle = _train(recipes.find(DEFAULT), dataset, data, None, _console())
    _measure(bundle.path, [], (1, 32), 1, QUICK_SECONDS, data, None, None)
    print(f"next: digitbench bench {bundle.path}    (steadier figures)\n      digitbench train --help")


# --- what they share -----------------------------------------------------------------------------------------------


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


def _train(wanted: Recipe, dataset: str, data: Path | None, output: Path | None, console: Console) -> Bundle:
    from digitbench import export as exporters
    from digitbench.quiet import native_output_held
    from digitbench.train import train as train_bundle

    with _watched(console) as progress, native_output_held():
        digits = _load_data(dataset, data, progress)
        bundle = train_bundle(wanted, digits, output, export_formats=exporters.FORMATS, progress=progress)
    found = bundle.manifest["metrics"]
    console.print(
        f"{bundle.path}: {wanted.name} on {digits.name} [{digits.fingerprint}], test accuracy "
        f"{found['test_accuracy']:.2%} ({found['correct']:,} of {found['total']:,})",
        style="bold", markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    return bundle


def _measure(
    path: Path | None, names: Sequence[str], sizes: Sequence[int] | None, threads: int, seconds: float,
    data: Path | None, limit: int | None, json: str | None,
) -> None:  # fmt: skip
    from digitbench.bundle import Bundle
    from digitbench.files import check_writable
    from digitbench.measure import session
    from digitbench.measure.schedule import candidates
    from digitbench.report.terminal import print_results

    console = _console(stderr=json == "-")
    target = Path(json) if json not in (None, "-") else None
    if target:
        check_writable(target)
    bundle = Bundle(path)
    chosen = candidates(bundle, names, [None] if sizes is None else sizes, threads)
    with _watched(console, animate=False) as progress:

        def keep(partial: Results) -> None:
            try:
                _save(partial, target)
            except ResultsError as exc:  # a full disk must not end the run: the table is still to come
                progress.say(str(exc))

        digits = _bundle_data(bundle, data, progress)
        results = session.run(bundle, digits, chosen, seconds=seconds, limit=limit, progress=progress, keep=keep)
    print_results(results, console)
    _save(results, target)
    if json == "-":
        print(results.dumps(), end="")
    if not results.complete:
        raise KeyboardInterrupt
    failed = [row for row in results.rows if row.error and not row.mend]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(results.rows)} rows failed: {failed[0].backend}: {failed[0].error}")


def _save(results: Results, target: Path | None) -> None:
    from digitbench.files import written_beside

    if target is None:
        return
    try:
        with written_beside(target) as draft:
            draft.write_text(results.dumps(), encoding="utf-8")
    except OSError as exc:
        raise ResultsError(f"{target}: can't be written: {exc.strerror or exc}") from exc


def _load_data(name: str, path: Path | None, progress: Progress, remembered: str = "") -> Dataset:
    from digitbench import data

    digits = data.load(name, path, remembered=remembered, progress=progress)
    if digits.notice:
        progress.say(digits.notice)
    return digits


def _bundle_data(bundle: Bundle, path: Path | None, progress: Progress) -> Dataset:
    known = bundle.dataset
    return _load_data(known["name"], path, progress, known.get("source", ""))


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _watched(console: Console, *, animate: bool = True) -> LiveProgress:
    from digitbench.report.live import LiveProgress

    return LiveProgress(console, animate=animate)
