"""NumPy's bare matrix products: what they compute, with how many threads, and how many operations that is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st

from digitbench.errors import ArtifactError
from digitbench.measure.sgemm import SgemmBackend, flops_per_image
from digitbench.testing import SINGLE_THREAD_SHARE, in_fresh_process

Doubles = npt.NDArray[np.float64]


def artifact(folder: Path, kernels: Sequence[Any], name: str = "model.npz") -> Path:
    """Plain weights, with biases that must not matter."""
    arrays: dict[str, Any] = {"activations": np.array(["relu"] * len(kernels))}
    for i, kernel in enumerate(kernels):
        arrays |= {f"kernel_{i}": kernel.astype(np.float32), f"bias_{i}": np.full(kernel.shape[1], 1e6, np.float32)}
    np.savez(folder / name, **arrays)
    return folder / name


def network(widths: Sequence[int], seed: int = 0, gain: float = 1.0) -> list[Any]:
    draw = np.random.default_rng(seed)
    return [
        draw.normal(0, gain * inputs**-0.5, (inputs, outputs))
        for inputs, outputs in zip([784, *widths], [*widths, 10], strict=True)
    ]  # fmt: skip


def products(images: Any, kernels: Sequence[Any]) -> Doubles:
    """The product of the images and all kernels, in double precision."""
    product: Doubles = images.reshape(len(images), 784).astype(np.float64)
    for kernel in kernels:
        product = product @ kernel.astype(np.float32).astype(np.float64)
    return product


@settings(deadline=None, max_examples=25)
@given(
    widths=st.lists(st.integers(1, 40), max_size=3), seed=st.integers(0, 99),
    batches=st.lists(st.integers(1, 9), min_size=1, max_size=5),
)  # fmt: skip
def test_it_gives_the_product_of_images_and_kernels_and_nothing_else(
    widths: list[int], seed: int, batches: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The product may differ by a power of two: kernels are scaled by one, which changes no digit."""
    kernels = network(widths, seed)
    path = artifact(tmp_path_factory.mktemp("any"), kernels)
    draw = np.random.default_rng(seed)
    with SgemmBackend(path, threads=1) as backend:
        calls = []
        for n in batches:
            images = draw.random((n, 28, 28), np.float32)
            images.flags.writeable = False
            calls.append((images, backend.predict(images)))
    for images, scores in calls:
        expected = products(images, kernels)
        assert scores.shape == (len(images), 10)
        assert scores.dtype == np.float32
        largest = np.unravel_index(np.abs(expected).argmax(), expected.shape)
        scale = 2.0 ** np.round(np.log2(scores[largest] / expected[largest]))
        np.testing.assert_allclose(scores, scale * expected, rtol=0, atol=1e-4 * np.abs(scores).max())


def test_what_it_gave_is_not_changed_by_later_calls(tmp_path: Path) -> None:
    with SgemmBackend(artifact(tmp_path, network([8])), threads=1) as backend:
        first = backend.predict(np.full((3, 28, 28), 0.5, np.float32))
        copy = first.copy()
        backend.predict(np.ones((3, 28, 28), np.float32))
    np.testing.assert_array_equal(first, copy)


def test_a_call_makes_room_for_nothing_but_what_it_gives(tmp_path: Path) -> None:
    """The arrays between the products were allocated by the first call of that size."""
    images = np.ones((256, 28, 28), np.float32)
    with SgemmBackend(artifact(tmp_path, network([512])), threads=1) as backend:
        backend.predict(images)
        tracemalloc.start()
        try:
            scores = backend.predict(images)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert scores.nbytes <= peak_bytes < 2 * scores.nbytes


@pytest.mark.parametrize("gain", [0.05, 30.0])
def test_numbers_stay_ordinary_however_deep_the_network(tmp_path: Path, gain: float) -> None:
    """A hundred layers that shrink or grow what they are given would leave float32's range."""
    kernels = network([20] * 100, gain=gain)
    images = np.random.default_rng(1).random((16, 28, 28), np.float32)
    with np.errstate(all="ignore"):
        plain = images.reshape(16, 784)
        for kernel in kernels:
            plain = plain @ kernel.astype(np.float32)
    assert not np.isfinite(plain).all() or not plain.any(), "so it needs no care"
    with SgemmBackend(artifact(tmp_path, kernels), threads=1) as backend, np.errstate(all="raise"):
        scores = backend.predict(images)
    assert 1e-3 < np.abs(scores).max() < 1e3


def test_kernels_of_nothing_are_multiplied_too(tmp_path: Path) -> None:
    with SgemmBackend(artifact(tmp_path, [np.zeros((784, 10))]), threads=1) as backend:
        assert not backend.predict(np.ones((2, 28, 28), np.float32)).any()


@pytest.mark.parametrize("threads", [1, 2])
def test_it_runs_the_threads_asked_for_and_says_what_it_read_back(tmp_path: Path, threads: int) -> None:
    path = artifact(tmp_path, network([512]))
    reported, name, share = in_fresh_process(
        f"backend = make({str(path)!r}, {threads})\n"
        "batch = np.random.default_rng(0).random((1024, 28, 28), np.float32)\n"
        "for _ in range(3): backend.predict(batch)\n"
        "wall, cpu = time.perf_counter(), time.process_time()\n"
        "while time.perf_counter() - wall < 0.3: backend.predict(batch)\n"
        "share = (time.process_time() - cpu) / (time.perf_counter() - wall)\n"
        "say(backend.runtime.threads, backend.runtime.name, share)",
        SgemmBackend, 3 - threads,
    )  # fmt: skip
    assert (reported, name) == (threads, "NumPy")
    if threads == 1:
        assert share < SINGLE_THREAD_SHARE


def test_closed_it_gives_back_the_threads_there_were(tmp_path: Path) -> None:
    def threads() -> set[int]:
        pools = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
        return {pool["num_threads"] for pool in pools}

    path = artifact(tmp_path, network([]))
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with SgemmBackend(path, threads=1) as backend:
            assert threads() == {1}
            assert backend.runtime.threads == 1
        assert threads() == {2}


@pytest.mark.parametrize(
    ("widths", "flops"), [([], 15_680), ([512], 813_056), ([256, 128], 2 * (784 * 256 + 256 * 128 + 128 * 10))]
)
def test_operations_are_two_for_each_weight(tmp_path: Path, widths: list[int], flops: int) -> None:
    """813,056 for a layer of 512: twice 784 × 512 + 512 × 10."""
    assert flops_per_image(artifact(tmp_path, network(widths))) == flops


def test_another_file_than_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(b"PK\x03\x04 no more")
    for read in (lambda path: SgemmBackend(path, threads=1), flops_per_image):
        with pytest.raises(ArtifactError, match=r"model.npz: not a digitbench .npz of weights"):
            read(tmp_path / "model.npz")
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "gone.npz")
