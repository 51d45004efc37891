"""`draw`: draw a digit, or show a picture, in the browser, and see what every runtime answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import options
from digitbench.errors import UsageError

if TYPE_CHECKING:
    import socket

    from rich.console import Console

    from digitbench.measure.candidates import Candidate

PORT = 8028
LOOPBACK = "127.0.0.1"


def draw(
    run: options.RunArgument = None,
    backend: options.BackendOption = None,
    precision: options.PrecisionOption = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS")] = LOOPBACK,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            show_default=f"{PORT}, or another if that is in use",
            help="The port; 0 for any free one.",
        ),
    ] = None,
    threads: options.ThreadsOption = 1,
    no_browser: Annotated[bool, typer.Option("--no-browser")] = False,
) -> None:
    """Open a page to draw a digit on, and see what every runtime answers; a model of other things is shown pictures.

    Parameters
    ----------
    host
        Where to listen. Any other than 127.0.0.1 lets other machines use the page.
    no_browser
        Only print the address, and open no browser.

    Examples
    --------
    digitbench draw
    digitbench draw runs/mine -b tflite,onnx -p fp32,int8
    digitbench draw --port 9000 --no-browser
    """
    from digitbench.bundle import Bundle
    from digitbench.draw import server
    from digitbench.draw.processes import ProcessGroup
    from digitbench.report.terminal_table import print_line

    server.check_installed()
    bundle, console = Bundle(run), options.open_console()
    say = partial(print_line, console=console, style="dim")
    chosen = options.requested_candidates(bundle, backend, precision, [threads], say)
    if not any(candidate.artifact for candidate in chosen):
        raise UsageError(f"nothing can answer: {chosen[0].row.error}")
    about = {"bundle": bundle.name, "recipe": bundle.recipe_name, "dataset": bundle.dataset.name,
             "threads": threads}  # fmt: skip
    try:
        listening = server.listen(host, PORT if port is None else port)
    except UsageError:
        if port is not None:
            raise
        listening = server.listen(host, 0)
    with listening:
        address = _address(listening, host)
        _tell(chosen, address, host, console)
        if not no_browser:
            _open_browser(address)
        processes = ProcessGroup(chosen, bundle.manifest.output.activation, bundle.task, bundle.dataset.fit)
        server.serve(processes, about, listening, host)


def _address(listening: socket.socket, host: str) -> str:
    """Where a browser on this machine finds the page."""
    name, port = listening.getsockname()[:2]
    shown_host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(name, host)
    return f"http://[{shown_host}]:{port}/" if ":" in shown_host else f"http://{shown_host}:{port}/"


def _tell(chosen: list[Candidate], address: str, host: str, console: Console) -> None:
    from digitbench.draw.guard import is_loopback
    from digitbench.records.formatting import counted
    from digitbench.report.terminal_table import print_line

    usable_count = sum(candidate.artifact is not None for candidate in chosen)
    print_line(f"Draw at {address} ({counted(usable_count, 'candidate')}; Ctrl-C stops)", console)
    for candidate in chosen:
        if candidate.artifact is None:
            print_line(f"{candidate.row.backend} {candidate.row.precision}: {candidate.row.error}", console, "dim")
    if not is_loopback(host):
        warning = (f"Everyone who can reach this machine at {host} can use the page: there is no encryption and no "
                   "password. Leave out --host if you don't want that.")  # fmt: skip
        print_line(warning, console, "yellow")
    console.file.flush()


def _open_browser(address: str) -> None:
    """Open the page where there is a display: elsewhere a browser would take over the terminal."""
    import os
    import sys
    import threading
    import webbrowser

    if sys.platform in {"win32", "darwin"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
