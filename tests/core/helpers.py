"""What several core tests share: small files in MNIST's formats, plugins written by the test, a progress recorder."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from digitbench.data import downloads, published
from digitbench.data.idx_files import IDX_FILES
from digitbench.errors import BackendError
from digitbench.records.arrays import Pixels
from digitbench.records.results import Results

Arrays = dict[str, Pixels]
Install = Callable[..., None]

GOOD = """
from digitbench.backend import Backend

class Good(Backend):
    format = "npz"
    def __init__(self, artifact, *, threads): ...
    @property
    def runtime(self): ...
    def predict(self, images): ...
    def close(self): ...
"""


def small_mnist(seed: int = 0) -> Arrays:
    """Four arrays as MNIST's ``.npz`` has them, of five training and three test images."""
    draw = np.random.default_rng(seed)
    return {
        f"{letter}_{part}": draw.integers(0, high, (count, *shape), dtype=np.uint8)
        for part, count in (("train", 5), ("test", 3))
        for letter, high, shape in (("x", 256, (28, 28)), ("y", 10, ()))
    }


def hashes_of(arrays: Mapping[str, Pixels]) -> dict[str, str]:
    return {key: hashlib.sha256(value.tobytes()).hexdigest() for key, value in arrays.items()}


def publish(patch: pytest.MonkeyPatch, arrays: Mapping[str, Pixels]) -> None:
    """Let a small set be what is published as MNIST."""
    patch.setitem(published.PUBLISHED, "mnist", replace(published.PUBLISHED["mnist"], sha256=hashes_of(arrays)))


def use_mirrors(patch: pytest.MonkeyPatch, *mirrors: downloads.Mirror) -> None:
    """Let these be all that can be asked for MNIST."""
    patch.setitem(published.PUBLISHED, "mnist", replace(published.PUBLISHED["mnist"], mirrors=mirrors))


def idx(array: Pixels) -> bytes:
    """An array of bytes as an IDX file, written from the format's description and independent of our reader."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape) + array.tobytes()


def write_idx_folder(folder: Path, arrays: Mapping[str, Pixels], *, zipped: bool = False, dots: bool = False) -> Path:
    """Four IDX files: gzipped or not, spelt ``train-images-idx3-ubyte`` or ``train-images.idx3-ubyte``."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, name in IDX_FILES.items():
        spelt = name.replace("-idx", ".idx") if dots else name
        content = idx(arrays[key])
        path = folder / (f"{spelt}.gz" if zipped else spelt)
        path.write_bytes(gzip.compress(content, 1, mtime=0) if zipped else content)
    return folder


class Recorder:
    """A `digitbench.system.progress.Progress` that records its calls."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, float, float]] = []
        self.lines: list[str] = []
        self.tables: list[tuple[Results, float, float]] = []

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        self.updates.append((task, done, total))

    def say(self, line: str) -> None:
        self.lines.append(line)

    def step(self, line: str) -> None:
        self.lines.append(line)

    def table(self, results: Results, done: float, total: float) -> None:
        self.tables.append((results, done, total))

    @property
    def finished(self) -> set[str]:
        return {task for task, done, total in self.updates if done >= total}


def announce(
    site: Path,
    module: str,
    code: str,
    *,
    names: Mapping[str, str],
    distribution: str = "",
    requires: Sequence[str] = (),
    group: str = "digitbench.backends",
) -> None:
    """Install a distribution by hand: a module and a ``.dist-info`` that announces its backends, or exporters.

    Parameters
    ----------
    names
        Entry points: the backend's name to the class in `module`.
    distribution
        Named after the module if empty.
    """
    distribution = distribution or module.replace("_", "-")
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    extras = "".join(f"Provides-Extra: {name}\n" for name in names)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{extras}{needs}")
    entry_points = "".join(f"{name} = {module}:{target}\n" for name, target in names.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry_points}")
    (site / f"{module}.py").write_text(dedent(code))


def refusal(error_type: type[BackendError], call: Callable[[], object]) -> str:
    with pytest.raises(error_type) as caught:
        call()
    assert one_printable_line(str(caught.value))
    return str(caught.value)


def one_printable_line(message: str) -> bool:
    return bool(message.strip()) and message.isprintable()
