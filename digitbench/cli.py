"""The command line: parse, call, print. What the commands do is in the other modules."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from digitbench.commands import (  # fmt: skip
    agree,
    backends,
    bench,
    choose,
    compare,
    draw,
    evaluate,
    export,
    history,
    import_,
    plot,
    plot_results,
    predict,
    quickstart,
    report,
    runs,
    show,
    train,
)
from digitbench.commands.documented import add
from digitbench.errors import VERBOSE, DigitbenchError, is_verbose

INTERRUPTED = 130
NAME = "digitbench"
COMPLETION = "_DIGITBENCH_COMPLETE"  # what the script of a shell asks by

app = typer.Typer(
    name=NAME,
    help="Which CPU runtime and precision to ship a small image classifier on, and how sure we are.",
    epilog="[b]Examples[/]\n\ndigitbench train\n\ndigitbench bench --backend onnx\n\ndigitbench COMMAND --help",
    rich_markup_mode="rich", pretty_exceptions_enable=False,
)  # fmt: skip


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Returns
    -------
    int
        0: all went well. 1: a check failed. 2: bad input, reported in one line. 130: Ctrl-C.

    Raises
    ------
    SystemExit
        A shell asked what completes a word, or for its script: Typer ends the process then.
    """
    from typer.exceptions import TyperException

    argv = list(arguments) or ["--help"]
    if "--verbose" in argv:  # of every command; so it may stand anywhere
        argv = ["--verbose", *([argument for argument in argv if argument != "--verbose"] or ["--help"])]
    # Shells complete the installed command, also where `python -m digitbench` is asked to install that.
    completing = argv[0].startswith(("--install-completion", "--show-completion"))
    try:
        code = app(argv, standalone_mode=False, complete_var=COMPLETION, **{"prog_name": NAME} if completing else {})
        if completing and code:
            return _complain("no shell that is known here; start it in bash, zsh, fish or PowerShell", 2)
        if code == INTERRUPTED:  # Typer turns Ctrl-C into this
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except DigitbenchError as exc:
        if is_verbose() and exc.__cause__:
            traceback.print_exception(exc)
        return _complain(str(exc), exc.exit_code)
    except TyperException as exc:
        return _complain(_usage_message(exc), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("stopped; nothing half-written is left", INTERRUPTED)
    except BrokenPipeError:  # whatever read the output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as exc:
        if not completing:
            raise
        return _complain(f"{exc.filename}: can't be written: {exc.strerror}; completion is not installed", 2)


def _complain(message: str, code: int) -> int:
    print(f"digitbench: {' '.join(message.split())}", file=sys.stderr)
    return code


def _usage_message(exc: Any) -> str:
    message = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    context = getattr(exc, "ctx", None)
    where = context.command_path if context is not None else "digitbench"
    return f"{message.rstrip('.')}; see: {where} --help"


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show in full what runtimes said, where one fails; of every command.")
    ] = False,
) -> None:
    if verbose:
        os.environ[VERBOSE] = "1"
    if version:
        from digitbench.system.version import __version__

        print(f"digitbench {__version__}")
        raise typer.Exit


COMMANDS = (
    train, export, import_, evaluate, agree, bench, choose, predict, draw, compare, plot, report, runs, show, history,
    backends, quickstart,
)  # fmt: skip

for module in COMMANDS:
    command = module.__name__.rpartition(".")[2]
    if module is plot:
        app.add_typer(plot.app, name=command)
    else:
        add(app, getattr(module, command), getattr(module, "EPILOG", ""))

for results_command in (plot_results.latency, plot_results.pareto, plot_results.sweep):
    add(plot.app, results_command)
