"""The command line: parse, call, print. What the commands do is in the other modules."""

from __future__ import annotations

import gc
import os
import re
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from digitbench.commands import (  # fmt: skip
    bench,
    choose,
    compare,
    draw,
    evaluate,
    export,
    import_,
    list_,
    plot,
    plot_results,
    plot_training,
    predict,
    quickstart,
    report,
    show,
    train,
)
from digitbench.commands.documented import NO_PANELS, add
from digitbench.commands.renamed import renewed
from digitbench.errors import VERBOSE, DigitbenchError, is_verbose
from digitbench.system.text import print_error

INTERRUPTED = 130
NAME = "digitbench"
COMPLETION = "_DIGITBENCH_COMPLETE"  # what the script of a shell asks by

PANELS = {
    "Make a model": (quickstart, train, export, import_),
    "Measure and decide": (evaluate, bench, choose, compare, report),
    "Look": (plot, predict, draw, list_, show),
}


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2].rstrip("_")


class _InOrder(TyperGroup):
    """Lists groups of commands among the others, and not after them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [_name(module) for modules in PANELS.values() for module in modules]


app = typer.Typer(
    name=NAME,
    help="Which CPU runtime and precision to ship a small image classifier on, and how sure we are.",
    epilog="[b]Examples[/]\ndigitbench train\ndigitbench bench --backend onnx\ndigitbench COMMAND --help",
    rich_markup_mode="rich", pretty_exceptions_enable=False, cls=_InOrder,
)  # fmt: skip


def main() -> None:
    """Run the command line and end the process with its exit code."""
    code = run(sys.argv[1:])
    gc.freeze()  # else Python looks through TensorFlow's half a million objects once more, for seconds, before it ends
    sys.exit(code)


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
    argv = [*argv[:1], *renewed(argv[1:])] if argv[0] == "--verbose" else renewed(argv)
    # Shells complete the installed command, also where `python -m digitbench` is asked to install that.
    completing = argv[0].startswith(("--install-completion", "--show-completion"))
    try:
        code = app(argv, standalone_mode=False, complete_var=COMPLETION, **{"prog_name": NAME} if completing else {})
        if completing and code:
            return _complain("unknown shell; start it in bash, zsh, fish or PowerShell", 2)
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
        return _complain("stopped; no incomplete file is left", INTERRUPTED)
    except BrokenPipeError:  # whatever read the output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as exc:
        if not completing:
            raise
        return _complain(f"{exc.filename}: can't be written: {exc.strerror}; completion is not installed", 2)


def _complain(message: str, code: int) -> int:
    print_error(f"digitbench: {' '.join(message.split())}")
    return code


def _usage_message(exc: Any) -> str:
    message = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    message = re.sub(r" \(Possible options: (.*)\)", r"; did you mean \1?", message)
    context = getattr(exc, "ctx", None)
    where = context.command_path if context is not None else "digitbench"
    return f"{message.rstrip('.')}{'' if message.endswith('?') else ';'} see: {where} --help"


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show a runtime's full error message; works with every command.")
    ] = False,
) -> None:
    if verbose:
        os.environ[VERBOSE] = "1"
    if version:
        from digitbench.system.version import __version__

        print(f"digitbench {__version__}")
        raise typer.Exit


for panel, modules in PANELS.items():
    for module in modules:
        if hasattr(module, "app"):
            app.add_typer(module.app, name=_name(module), rich_help_panel=panel)
        else:
            function = getattr(module, module.__name__.rpartition(".")[2])
            add(app, function, getattr(module, "PANELS", NO_PANELS), panel)

for plotted in (plot_training.training, plot_results.latency, plot_results.pareto, plot_results.sweep):
    add(plot.app, plotted)
