"""Keep a runtime's start-up chatter off the terminal, without losing it when something breaks."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from digitbench.errors import DigitbenchError


@contextmanager
def native_output_held() -> Iterator[None]:
    """Send what native code writes to standard error into a file; show it only if a fault escapes.

    TensorFlow logs there before its log level counts. Python's own `sys.stderr` stays on the terminal.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as captured, os.fdopen(os.dup(terminal), "w", encoding="utf-8") as stream:
        os.dup2(captured.fileno(), 2)
        try:
            with redirect_stderr(stream), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # libraries about libraries
                yield
        except DigitbenchError:
            raise  # says all there is to say
        except Exception:
            captured.seek(0)
            os.write(terminal, captured.read())
            raise
        finally:
            stream.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def calm_tensorflow() -> None:
    """Set what TensorFlow and Keras read from the environment when imported: CPU only, no chatter."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ["KERAS_BACKEND"] = "tensorflow"
