"""What several journeys share: a changed copy of a bundle, a path that comes first, Ctrl-C, and a printed table."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished, environment

from digitbench.bundle import Bundle

BACKENDS = ("keras", "numpy", "onnx", "openvino", "savedmodel", "tflite")


def copied(bundle: Bundle, folder: Path) -> Bundle:
    """A copy that a test may change, without results that other tests left there."""
    ignore = shutil.ignore_patterns("results")
    return Bundle(Path(shutil.copytree(bundle.path, folder / bundle.name, ignore=ignore)))


def rewrite_manifest(bundle: Bundle, manifest: Mapping[str, Any]) -> None:
    (bundle.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def first_on_path(folder: Path) -> dict[str, str]:
    """The environment in which Python looks for modules and plugins in `folder` first."""
    already = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {"PYTHONPATH": os.pathsep.join([str(folder), *already])}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, and every folder with None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def interrupted(*arguments: object, cwd: Path, at: str, whole_group: bool = False) -> Finished:
    """Run the command line and send it Ctrl-C's signal once it prints a line with `at`; no process may be left.

    Parameters
    ----------
    whole_group
        Signal its workers too, as a terminal does.
    """
    command = [sys.executable, "-m", "digitbench", *map(str, arguments)]
    told: list[str] = []
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
            told.append(line)
            if at in line and not sent:
                (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
                sent = True
        code = process.wait()
        watchdog.cancel()
        stderr.seek(0)
        words = stderr.read()
    assert sent, "".join(told) + words
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return Finished(command, code, "".join(told), words)


def _heed_interrupts() -> None:
    # A shell's background jobs ignore SIGINT, and so would what they start.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def table_rows(printed: str) -> list[tuple[bool, list[str]]]:
    """The rows of the printed table: is it marked as the fastest, and its cells from the backend's name on."""
    lines = [
        re.fullmatch(r"\s*([▸✗])?\s*(?:\d+=?)?\s*((?:" + "|".join(BACKENDS) + r")\s{2,}.*)", line)
        for line in printed.splitlines()
    ]
    return [(line[1] == "▸", re.split(r"\s{2,}", line[2].strip())) for line in lines if line]
