"""Sgemm: the model's matrix products and nothing else, by NumPy, timed in turns with the candidates."""

from __future__ import annotations

import zipfile
from math import frexp
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from digitbench.backend import Backend, Images, Runtime, Scores
from digitbench.errors import ArtifactError, ThreadsError

NAME = "sgemm"
PROBES = 64

Array = npt.NDArray[np.float32]


class SgemmBackend(Backend):
    """Multiplies images by one kernel after another: no bias, no activation, no check.

    Not announced as a plugin, since what it gives are no scores; a worker knows it by `NAME`.
    """

    format: ClassVar[str] = "npz"

    def __init__(self, artifact: Path, *, threads: int) -> None:
        import threadpoolctl

        kernels, self._window = _read(artifact)
        *self._kernels, self._last = _rescaled(kernels)
        self._products: dict[int, list[Array]] = {}
        self._blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
        self._limit = self._blas.limit(limits=threads)
        if self._threads() not in (threads, None):
            raise ThreadsError(f"NumPy's BLAS runs {self._threads()} threads, not {threads}")

    def _threads(self) -> int | None:
        return max((int(pool["num_threads"]) for pool in self._blas.info()), default=None)

    @property
    def runtime(self) -> Runtime:
        """NumPy; as its provider the BLAS, its version, and the cores that its kernels were written for."""
        libraries = [
            [pool.get(name) for name in ("internal_api", "version", "architecture")] for pool in self._blas.info()
        ]
        provider = " ".join(str(part) for part in libraries[0] if part) if libraries else np.__name__
        return Runtime("NumPy", np.__version__, provider, self._threads())

    def predict(self, images: Images) -> Scores:
        """Multiply: float32 (n, 10), a new array; the products before the last have their buffers for each n."""
        n = len(images)
        products = self._products.get(n)
        if products is None:
            products = self._products[n] = [np.empty((n, kernel.shape[1]), np.float32) for kernel in self._kernels]
        x: Array = (images if self._window is None else images[self._window]).reshape(n, -1)
        for kernel, product in zip(self._kernels, products, strict=True):
            x = np.dot(x, kernel, out=product)  # for one image 1 µs less than `matmul`
        scores: Scores = np.dot(x, self._last)
        return scores

    def close(self) -> None:
        """Give BLAS back the thread count it had."""
        self._limit.restore_original_limits()
        self._products = {}


def _read(artifact: Path) -> tuple[list[Array], tuple[slice, slice, slice] | None]:
    """Read an ``.npz`` artifact: the kernels, float32 (inputs, outputs) of each layer; the part of an image it takes.

    Raises
    ------
    ArtifactError
        It isn't one.
    """
    try:
        with np.load(artifact, allow_pickle=False) as stored:
            kernels = [stored[f"kernel_{i}"] for i in range(len(stored["activations"]))]
            if "window" not in stored:  # it takes all of it
                return kernels, None
            top, bottom, left, right = map(int, stored["window"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
        raise ArtifactError(f"{artifact}: not a digitbench .npz of weights: {exc}") from exc
    return kernels, (slice(None), slice(top, bottom), slice(left, right))


def flops_per_image(artifact: Path) -> int:
    """Count the multiplications and additions of one image's matrix products: 2 · inputs · outputs of each layer."""
    return sum(2 * kernel.shape[0] * kernel.shape[1] for kernel in _read(artifact)[0])


def _rescaled(kernels: list[Array]) -> list[Array]:
    """Scale each kernel by a power of two, so that the products of a probe stay near 1 however many layers there are.

    Without activations to hold it, what a deep network multiplies grows or shrinks from layer to layer: numbers too
    small for float32's full precision take a CPU many times as long. All digits of a weight stay as they are.
    """
    x: Array = np.random.default_rng(0).random((PROBES, kernels[0].shape[0]), np.float32)
    scaled = []
    for kernel in kernels:
        _, exponent = frexp(float(np.abs(x @ kernel).max()))
        scaled.append(np.ldexp(np.ascontiguousarray(kernel), -exponent))
        x = x @ scaled[-1]
    return scaled
