"""Keep a runtime's start-up chatter off the terminal, without losing it when something breaks."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import TextIO

from digitbench.errors import DigitbenchError


@contextmanager
def native_output_held(*, stdout: bool = False) -> Iterator[None]:
    """Send what native code writes to standard error into a file; show it only if a fault escapes.

    TensorFlow logs there before its log level counts. Python's own `sys.stderr` stays on the terminal.

    Parameters
    ----------
    stdout
        Standard output likewise, on which MNN says what the processor can do.
    """
    output = _held(1, sys.stdout, redirect_stdout) if stdout and sys.stdout is not None else nullcontext()
    with _held(2, sys.stderr, redirect_stderr), output, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # libraries about libraries
        yield


@contextmanager
def _held(
    descriptor: int, current: TextIO, redirect: Callable[[TextIO], AbstractContextManager[TextIO]]
) -> Iterator[None]:
    current.flush()
    terminal = os.dup(descriptor)
    with tempfile.TemporaryFile() as captured, os.fdopen(os.dup(terminal), "w", encoding="utf-8") as stream:
        os.dup2(captured.fileno(), descriptor)
        try:
            with redirect(stream):
                yield
        except DigitbenchError:
            raise  # says all there is to say
        except Exception:
            captured.seek(0)
            os.write(terminal, captured.read())
            raise
        finally:
            stream.flush()
            if os.name == "posix":  # what C has in its own buffer would come out when the process ends
                ctypes.CDLL(None).fflush(None)
            os.dup2(terminal, descriptor)
            os.close(terminal)


def calm_tensorflow() -> None:
    """Set what TensorFlow and Keras read from the environment when imported: CPU only, no chatter."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ["KERAS_BACKEND"] = "tensorflow"
