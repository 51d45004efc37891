"""A trained model for use in Python: `load` opens it with a runtime of your choice.

::

    with digitbench.load("runs/latest", backend="tflite", precision="dynamic") as classifier:
        labels = classifier.predict(images)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from numbers import Integral
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np

from digitbench import plugins
from digitbench.backend import Backend, Runtime, Scores
from digitbench.bundle import Bundle
from digitbench.data import mnist, to_images
from digitbench.errors import BackendError, UsageError, unknown
from digitbench.plugins.scoring import score
from digitbench.records.arrays import Labels
from digitbench.records.precisions import ABOUT
from digitbench.records.task import Task
from digitbench.system.native_output import calm_tensorflow, native_output_held


class Classifier:
    """A model and the runtime that runs it. Made by `load`; closed by `close`, or at the end of a ``with``.

    Threads may share one: their calls take turns.

    Attributes
    ----------
    backend, precision
        What was asked for, or chosen: ``"tflite"``, ``"dynamic"``.
    runtime
        What really runs, as the runtime itself says.
    artifact
        The file or folder that was opened.
    task
        What it tells apart: ``task.name_of(label)`` is a class's name.
    """

    def __init__(self, opened: Backend, backend: str, precision: str, artifact: Path, task: Task = mnist.TASK) -> None:
        self.task = task
        self.backend, self.precision, self.artifact = backend, precision, artifact
        self.runtime: Runtime = opened.runtime
        self._opened: Backend | None = opened
        self._lock = Lock()  # adapters keep buffers between calls

    def predict(self, images: object) -> Labels:
        """Say which class each image shows: of digits, which digit.

        Parameters
        ----------
        images
            A NumPy array, or what NumPy makes one of by itself: uint8 from 0 to 255, or floats from 0 to 1; 0 is
            background and 255 or 1 is foreground, as in MNIST. One image of `task.image_shape`, n of them, or n flat
            ones. Left untouched.

        Returns
        -------
        Labels
            int64, (n,): from 0 for each image, in order; (1,) for a single one too.

        Raises
        ------
        ImageError
            Another type, shape or range; it is a `ValueError`, and says in one line what to do.
        BackendError
            The classifier is closed.
        """
        return np.asarray(self.scores(images).argmax(axis=1), dtype=np.int64)

    def scores(self, images: object) -> Scores:
        """Give the model's own output for images as `predict` takes them.

        Many images are scored 256 at a time, as in an evaluation.

        Returns
        -------
        Scores
            float32, (n, classes): softmax, sigmoid or logits, as the bundle's manifest says.

        Raises
        ------
        ImageError, BackendError
            As in `predict`.
        """
        converted = to_images(images, self.task)
        with self._lock:
            if self._opened is None:
                raise BackendError("this classifier is closed; open another with digitbench.load")
            return score(self._opened, converted)

    def close(self) -> None:
        """Free the runtime's memory. Safe to call twice."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._opened is None else ""
        return f"<Classifier {self.backend} {self.precision}: {self.runtime.name}, {self.artifact}{state}>"


def load(
    run: str | os.PathLike[str] | Bundle | None = None,
    *,
    backend: str | None = None,
    precision: str | None = None,
    threads: int = 1,
) -> Classifier:
    """Open a trained model for use.

    Parameters
    ----------
    run
        The bundle or its folder; None for ``runs/latest``.
    backend
        Which runtime, as ``digitbench list backends`` lists them. None takes the first, by `Backend.order`, that is
        installed and whose artifact at that precision the bundle holds; `Classifier.backend` and `Classifier.runtime`
        tell which. Name one where the answer must not depend on what is installed.
    precision
        Of `digitbench.records.precisions`; also one that the runtime makes itself. None takes fp32, or that of an
        imported model which has no other.
    threads
        How many threads a prediction may use, 1 or more.

    Raises
    ------
    BundleError
        There is no such bundle; as `ArtifactError`, it lacks that artifact, or the artifact was changed.
    UnknownBackendError, MissingRuntimeError
        There is no such backend, or its runtime is not installed; the message has the command that brings it.
    ThreadsError
        TensorFlow already runs in this process with another thread count, which it never changes.
    UsageError
        The backend doesn't run that precision, or `threads` is not a number of 1 or more.

    Notes
    -----
    It works in your own process. The artifact's checksum is checked first. What native code writes to standard error
    meanwhile, TensorFlow's start-up lines for example, is shown only if loading fails unexpectedly. The NumPy backend
    sets the thread count of NumPy's BLAS for the whole process until it is closed.
    """
    if precision is not None and precision not in ABOUT:
        raise UsageError(unknown("precision", precision, ABOUT))
    if not isinstance(threads, Integral) or threads < 1:
        raise UsageError(f"threads must be a whole number of 1 or more; got {threads!r}")
    bundle = run if isinstance(run, Bundle) else Bundle(None if run is None else Path(run))
    precision = precision or bundle.usual_precision
    name = _default(bundle, precision) if backend is None else backend
    plugin = plugins.find(name)
    plugin.require()
    backend_class = plugin.load()
    available = _precisions_of(backend_class, bundle)
    if precision not in available:
        raise UsageError(f"backend {name!r} doesn't run {precision}; it runs {', '.join(available)}")
    entry = bundle.opened_by(backend_class, precision)
    artifact, model_io = bundle.open(entry), bundle.model_io_of(entry)
    # Without a standard error (pythonw, some daemons) there is nothing to hold.
    native_output = nullcontext() if sys.stderr is None else native_output_held(stdout=True)
    with native_output, _environment_for_tensorflow():
        opened = plugin.open(artifact, threads=int(threads), precision=precision, model_io=model_io)
    return Classifier(opened, name, precision, artifact, bundle.task)


def _default(bundle: Bundle, precision: str) -> str:
    """Name the first in order with nothing in its way, or the one with the least: to say what would mend that."""
    stored = {(artifact.format, artifact.precision) for artifact in bundle.artifacts}
    discovered = plugins.discover()

    def obstacles(name: str) -> tuple[bool, bool, bool]:
        backend_class = discovered[name].load()
        artifact_key = bundle.format_for(backend_class), backend_class.makes.get(precision, precision)
        runs = precision in _precisions_of(backend_class, bundle)
        return not runs, artifact_key not in stored, bool(discovered[name].missing())

    return min(plugins.usual_order(), key=obstacles, default="")


def _precisions_of(backend_class: type[Backend], bundle: Bundle) -> list[str]:
    """The precisions that a backend runs: of its artifacts, written already or not, and those that it makes."""
    format = bundle.format_for(backend_class)
    stored = (artifact.precision for artifact in bundle.artifacts if artifact.format == format)
    return [*plugins.runnable(backend_class, stored, format), *backend_class.makes]


@contextmanager
def _environment_for_tensorflow() -> Iterator[None]:
    """What TensorFlow reads as it starts, taken back afterwards: other libraries in this process may want a GPU."""
    original = dict(os.environ)
    calm_tensorflow()
    changed = [name for name, value in os.environ.items() if original.get(name) != value]
    try:
        yield
    finally:
        for name in changed:
            os.environ.pop(name, None)
        os.environ.update({name: original[name] for name in changed if name in original})
