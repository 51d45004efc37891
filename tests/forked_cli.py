"""The command line in a process of its own, forked from one that has done the large imports already.

Each command still has its folder, environment, streams and exit code to itself. What it saves is the two seconds that
NumPy, SciPy, scikit-learn and Altair take to import, some hundred times. One journey of each command starts Python
anew, as a user does: `conftest.run_cli`.
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from subprocess import TimeoutExpired
from unittest.mock import patch

import digitbench

OURS = [module.name for module in pkgutil.walk_packages(digitbench.__path__, "digitbench.")]
IMPORTED = [
    *(name for name in OURS if not name.endswith("__main__")), "typer._adapters", "rich.live", "rich.markdown",
    "scipy.special", "scipy.stats", "scipy.ndimage", "sklearn.linear_model", "sklearn.model_selection", "altair",
]  # fmt: skip
SECONDS = 300


def server() -> ForkServerContext:
    """The fork server of this process; it is started by the first command."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def run(arguments: Sequence[str], cwd: Path, env: Mapping[str, str], streams: Path) -> int:
    """Run ``python -m digitbench`` with its output in the files ``out`` and ``err`` of a folder; give its exit code."""
    process = server().Process(target=_command, args=(list(arguments), str(cwd), dict(env), str(streams)))
    with patch.dict(os.environ, env, clear=True):  # in which the server starts too, with the first command
        process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutExpired(list(arguments), SECONDS)
    return process.exitcode


def _command(arguments: list[str], cwd: str, env: dict[str, str], streams: str) -> None:
    names = (os.devnull, f"{streams}/out", f"{streams}/err")
    for number, (name, mode) in enumerate(zip(names, "rww", strict=True)):
        with open(name, mode) as stream:
            os.dup2(stream.fileno(), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tests = str(Path(__file__).parent)
    ahead = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:] = [*ahead, *(entry for entry in sys.path if entry not in {"", tests})]
    sys.argv = ["digitbench", *arguments]
    runpy.run_module("digitbench", run_name="__main__", alter_sys=True)
