"""The process under test: it imports models and prepares pictures, as the command line does.

Standard input holds a case a line, and a JSON answer to each goes to what was standard output; what anything prints
goes to standard error, a file that the watching process looks into.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from time import monotonic
from typing import Any

from digitbench import data, importing
from digitbench.errors import DigitbenchError
from digitbench.images.reading import prepared
from digitbench.importing.formats import KERAS, SUFFIXES
from digitbench.system import machine
from digitbench.system.native_output import native_output_held

MOST_MEMORY = 14 * 2**30  # bytes of address space, so that no broken file can take the machine with it


def main() -> None:
    """Do what standard input asks for, until it ends."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    _limit_memory()
    digits = data.load("digits")
    start = machine.peak_rss_bytes()
    for line in sys.stdin:
        request = json.loads(line)
        if _brings_tensorflow(request) and "keras" not in sys.modules:
            with native_output_held():
                _import_keras()
            start = machine.peak_rss_bytes()
        answer = _answer(request, digits)
        sys.stdout.flush()
        sys.stderr.flush()
        events.write(json.dumps(answer | {"grown": machine.peak_rss_bytes() - start}) + "\n")


def _answer(request: dict[str, Any], digits: data.Dataset) -> dict[str, Any]:
    start = monotonic()
    try:
        if request["kind"] == "pictures":
            prepared(Path(request["path"]))
        else:
            options = importing.Options(timeout=request["timeout"])
            with native_output_held():  # as in `digitbench import`
                importing.import_model(Path(request["path"]), digits, Path(request["target"]), options)
        answer = {"outcome": "taken"}
    except DigitbenchError as exc:
        answer = {"outcome": "refused", "message": str(exc)}
    except BaseException as exc:  # noqa: BLE001 - that one comes at all is what is looked for
        answer = {"outcome": "raised", "message": repr(exc), "trace": traceback.format_exc()}
    return answer | {"seconds": monotonic() - start}


def _brings_tensorflow(request: dict[str, Any]) -> bool:
    return SUFFIXES.get(Path(request["path"]).suffix) is KERAS


def _import_keras() -> None:
    """Import Keras before memory is measured: a Keras model that is taken is converted in this process."""
    from digitbench.export.keras_runtime import import_keras
    from digitbench.system.progress import Silent

    import_keras(Silent())


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


if __name__ == "__main__":
    main()
