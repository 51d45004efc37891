"""The tests that every backend passes, for the authors of plugins too.

Subclass `BackendContract` in a test module of your own, override its two fixtures, and run pytest::

    class TestMyBackend(BackendContract):
        @pytest.fixture(scope="class")
        @classmethod
        def backend_class(cls):
            return MyBackend

        @pytest.fixture(scope="class")
        @classmethod
        def bundle(cls, tmp_path_factory):
            return random_bundle(tmp_path_factory.mktemp("bundle") / "run")
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitbench import bundle as bundles
from digitbench import data, plugins
from digitbench.backend import Backend, Images, Runtime, Scores, Style, check_scores
from digitbench.bundle import Artifact, Bundle, writing
from digitbench.export import source_in
from digitbench.export import write as write_format
from digitbench.export.keras_runtime import import_keras
from digitbench.measure.native_tools import TOOLS
from digitbench.plugins.exporter import ExportJob
from digitbench.records.precisions import ABOUT, FP32
from digitbench.records.recipes import Recipe
from digitbench.system.progress import Silent
from digitbench.workers.pool import environment

DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "random bytes": lambda content: random.Random(0).randbytes(len(content)),
    "zeros": lambda content: bytes(len(content)),
}
SINGLE_THREAD_SHARE = 1.3  # CPU seconds per second of wall clock that one thread may seem to use


class BackendContract:
    """What `digitbench.backend.Backend` promises, as tests. Override `backend_class` and `bundle`."""

    @pytest.fixture(scope="class")
    @classmethod
    def backend_class(cls) -> type[Backend]:
        """The class under test."""
        raise NotImplementedError("override the fixture backend_class")

    @pytest.fixture(scope="class")
    @classmethod
    def bundle(cls) -> Bundle:
        """A bundle trained on ``digits`` that holds an artifact in the backend's format."""
        raise NotImplementedError("override the fixture bundle")

    @pytest.fixture(scope="class")
    @classmethod
    def artifact(cls, backend_class: type[Backend], bundle: Bundle) -> Path:
        """The artifact that the backend opens."""
        return bundle.open(bundle.find(backend_class.format))

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, backend_class: type[Backend], artifact: Path) -> Iterator[Backend]:
        """The backend, loaded with one thread."""
        with backend_class(artifact, threads=1) as backend:
            yield backend

    @pytest.fixture(scope="class")
    @classmethod
    def images(cls, bundle: Bundle) -> Images:
        """The test images of the bundle's dataset."""
        dataset = data.load(bundle.dataset.name)
        bundle.check_dataset(dataset)
        return dataset.test.images

    @pytest.mark.parametrize("n", [1, 2, 5, 33])
    def test_gives_a_score_of_each_class_for_each_image(
        self, backend: Backend, bundle: Bundle, images: Images, n: int
    ) -> None:  # fmt: skip
        check_scores(backend.predict(images[:n]), images[:n], classes=bundle.task.classes)

    def test_a_batch_says_what_its_images_say_one_by_one(self, backend: Backend, images: Images) -> None:
        batch = backend.predict(images[:33])
        one_by_one = np.concatenate([backend.predict(images[i : i + 1]) for i in range(33)])
        np.testing.assert_allclose(batch, one_by_one, rtol=0, atol=1e-5)

    def test_takes_read_only_images_and_leaves_them_alone(self, backend: Backend, images: Images) -> None:
        batch = images[:5].copy()
        batch.flags.writeable = False
        backend.predict(batch)
        np.testing.assert_array_equal(batch, images[:5])

    def test_takes_images_that_are_not_contiguous(self, backend: Backend, images: Images) -> None:
        strided = images[:10:2]
        fortran_ordered = np.asfortranarray(images[:5])
        assert not strided.flags.c_contiguous
        assert not fortran_ordered.flags.c_contiguous
        for batch in (strided, fortran_ordered):
            expected = backend.predict(np.ascontiguousarray(batch))
            np.testing.assert_allclose(backend.predict(batch), expected, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("n", [1, 5])
    def test_answers_are_arrays_of_their_own(self, backend: Backend, images: Images, n: int) -> None:
        earlier_scores: list[Scores] = []
        for i in range(20):
            batch = images[i : i + n].copy()
            scores = backend.predict(batch)
            check_scores(scores, batch, earlier_scores)
            copy = scores.copy()
            time.sleep(0.002)  # as long as a runtime that fills it afterwards may take
            np.testing.assert_array_equal(scores, copy)
            earlier_scores.append(scores)

    def test_an_answer_survives_the_next_call(self, backend: Backend, images: Images) -> None:
        first = backend.predict(images[:5])
        copy = first.copy()
        second = backend.predict(images[5:10])
        np.testing.assert_array_equal(first, copy)
        assert not np.shares_memory(first, second)
        first[:] = 0  # and it is the caller's own
        np.testing.assert_array_equal(backend.predict(images[:5]), copy)

    @pytest.mark.parametrize("n", [1, 5])
    def test_its_steps_do_what_predict_does(self, backend: Backend, images: Images, n: int) -> None:
        backend.predict(images[:n])
        steps = backend.steps
        if steps is None:
            pytest.skip("it tells no steps apart")
        batch = images[n : 2 * n].copy()
        batch.flags.writeable = False
        steps.put(batch)
        steps.run()
        scores = steps.get()
        copy = scores.copy()
        np.testing.assert_array_equal(backend.predict(batch), copy)
        backend.predict(images[:n])
        np.testing.assert_array_equal(scores, copy)  # as an answer of `predict`, it survives the next call

    @pytest.mark.parametrize(
        "changed",
        [
            lambda images: images[0], lambda images: images.reshape(len(images), -1),
            lambda images: images[:, :-1, :-1], lambda images: images[:0], lambda images: images.astype(np.float64),
            lambda images: images.astype(np.uint8),
        ],
        ids=["one image", "flat", "smaller", "none", "float64", "uint8"],
    )  # fmt: skip
    def test_refuses_other_images_naming_shape_and_dtype(
        self, backend: Backend, images: Images, changed: Callable[[Images], Any]
    ) -> None:
        wrong = changed(images[:2])
        with pytest.raises(ValueError, match=r"float32.*\(n, .*\)") as refusal:
            backend.predict(wrong)
        assert str(wrong.dtype) in str(refusal.value)
        assert str(wrong.shape) in str(refusal.value)

    def test_a_missing_artifact_is_file_not_found(self, backend_class: type[Backend], tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            backend_class(tmp_path / "nothing", threads=1)

    @pytest.fixture(scope="class")
    @classmethod
    def answers_to_damage(
        cls, backend_class: type[Backend], bundle: Bundle, artifact: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> list[Any]:
        """For each kind of damage: the exception's classes, its message, and the path that was opened."""
        damaged = {damage: str(corrupt(artifact, tmp_path_factory.mktemp("damage"), damage)) for damage in DAMAGES}
        return in_fresh_process(
            "answers = {}\n"
            f"for damage, path in {damaged!r}.items():\n"
            "    print('opening', damage, file=sys.stderr, flush=True)\n"
            f"    try: make(path, 1).predict(np.zeros({(1, *bundle.task.image_shape)}, np.float32))\n"
            "    except Exception as exc: answers[damage] = [t.__name__ for t in type(exc).__mro__], str(exc), path\n"
            "    else: answers[damage] = [], 'it opened', path\n"
            "say(answers)",
            backend_class,
        )

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_corrupt_artifact_is_an_artifact_error(self, answers_to_damage: list[Any], damage: str) -> None:
        class_names, message, path = answers_to_damage[0][damage]
        assert "ArtifactError" in class_names, message
        assert path in message, "the message names the file"

    def test_says_what_ran(self, backend: Backend) -> None:
        runtime = backend.runtime
        assert isinstance(runtime, Runtime)
        assert runtime.name
        assert runtime.version
        assert runtime.provider

    def test_what_it_says_of_itself_can_be_used(self, backend_class: type[Backend]) -> None:
        precisions = {*(backend_class.precisions or ()), *backend_class.makes, *backend_class.makes.values()}
        assert precisions <= ABOUT.keys()
        assert backend_class.order is None or isinstance(backend_class.order, int)
        assert backend_class.style is None or isinstance(backend_class.style, Style)
        assert all(isinstance(name, str) for name in (*backend_class.formats(), backend_class.title))
        assert backend_class.native_tool in ("", *TOOLS)
        if backend_class.example:
            assert "{artifact}" in backend_class.example
            compile(re.sub(r"\{(artifact|threads|precision)\}", "1", backend_class.example), "example", "exec")

    def test_may_be_closed_twice(self, backend_class: type[Backend], artifact: Path, images: Images) -> None:
        backend = backend_class(artifact, threads=1)
        backend.predict(images[:1])
        backend.close()
        backend.close()

    def test_says_what_keras_says(self, backend: Backend, bundle: Bundle, images: Images) -> None:
        reference = bundle.reference_scores()
        scores = backend.predict(images)
        flips = np.flatnonzero(scores.argmax(axis=1) != reference.argmax(axis=1))
        assert not len(flips), f"labels of images {flips[:10]} differ"
        tolerance = bundle.find(backend.format).tolerance
        assert tolerance is not None, "fp32 artifacts have a tolerance"
        np.testing.assert_allclose(scores, reference, rtol=0, atol=tolerance)

    def test_other_precisions_say_what_their_check_allows(
        self, backend_class: type[Backend], bundle: Bundle, images: Images
    ) -> None:
        labels = data.load(bundle.dataset.name).test.labels
        reference_correct = int((bundle.reference_scores().argmax(axis=1) == labels).sum())
        for artifact in bundle.artifacts:
            opens_it = backend_class.precisions is None or artifact.precision in backend_class.precisions
            if artifact.format != backend_class.format or artifact.precision == "fp32" or not opens_it:
                continue
            with backend_class(bundle.open(artifact), threads=1) as backend:
                scores = backend.predict(images)
                assert scores.shape == (len(images), bundle.task.classes), artifact.precision
                assert scores.dtype == np.float32, artifact.precision
                lost = reference_correct - int((scores.argmax(axis=1) == labels).sum())
                assert lost <= (artifact.max_accuracy_drop or 0) * len(images), artifact.precision
                single = backend.predict(images[:1])
                assert single.shape == (1, bundle.task.classes), artifact.precision
                assert np.abs(single - scores[:1]).max() < 0.2, artifact.precision

    def test_a_precision_that_it_makes_itself_is_made_only_if_asked_for(
        self, backend_class: type[Backend], bundle: Bundle, images: Images
    ) -> None:
        for precision, source in backend_class.makes.items():
            path = bundle.open(bundle.find(backend_class.format, source))
            option: dict[str, Any] = {"precision": precision}
            with backend_class(path, threads=1) as stored, backend_class(path, threads=1, **option) as converted:
                assert stored.runtime.provider != converted.runtime.provider, "what ran is told"
                assert np.abs(stored.predict(images) - converted.predict(images)).max() > 0

    def test_importing_the_adapter_loads_no_runtime(self, backend_class: type[Backend]) -> None:
        runtimes = {module for plugin in plugins.discover().values() for module in plugin.modules} - {np.__name__}
        (loaded,) = in_fresh_process(f"say([name for name in {runtimes} if name in sys.modules])", backend_class)
        assert loaded == []

    @pytest.mark.parametrize("threads", [1, 2])
    def test_uses_the_threads_asked_for(
        self, backend_class: type[Backend], bundle: Bundle, artifact: Path, threads: int
    ) -> None:  # fmt: skip
        reported_threads, cpu_share = in_fresh_process(
            "from digitbench.errors import ThreadsError\n"
            f"try: backend = make({str(artifact)!r}, {threads})\n"
            f"except ThreadsError:\n    assert {threads} > 1, 'one thread must do'\n    say(None, 0), sys.exit()\n"
            f"batch = np.random.default_rng(0).random({(2048, *bundle.task.image_shape)}, np.float32)\n"
            "for _ in range(3): backend.predict(batch)\n"
            "wall, cpu = time.perf_counter(), time.process_time()\n"
            "while time.perf_counter() - wall < 0.5: backend.predict(batch)\n"
            "share = (time.process_time() - cpu) / (time.perf_counter() - wall)\n"
            "say(backend.runtime.threads, share)",
            backend_class,
            threads,
        )
        assert reported_threads in (None, threads)
        if threads == 1:
            assert cpu_share < SINGLE_THREAD_SHARE, f"{cpu_share:.2f} cores busy with one thread asked for"


def in_fresh_process(code: str, backend_class: type[Backend], threads: int = 1) -> list[Any]:
    """Run code in a fresh process where ``make(path, threads)`` builds the backend; give what it ``say``s.

    A runtime that crashes the interpreter fails the test instead of ending the test run.
    """
    prelude = (
        "import json, os, sys, time\nfrom pathlib import Path\nimport numpy as np\n"
        f"sys.path[:0] = {[entry for entry in sys.path if entry]!r}\n"
        f"from {backend_class.__module__} import {backend_class.__name__} as Adapter\n"
        "def make(path, threads): return Adapter(Path(path), threads=threads)\n"
        "def say(*values): print('\\n@' + json.dumps(values))\n"
    )
    process = subprocess.run(
        [sys.executable, "-P", "-c", prelude + code],
        capture_output=True,
        timeout=120,
        env=environment(threads) | {"PATH": os.environ.get("PATH", "")},
    )
    answers = [line for line in process.stdout.decode("utf-8", "replace").splitlines() if line.startswith("@")]
    stderr_tail = process.stderr.decode("utf-8", "replace")[-1000:]
    assert process.returncode == 0, f"the process ended with {process.returncode}: {stderr_tail}"
    assert answers, f"nothing said: {stderr_tail}"
    values: list[Any] = json.loads(answers[-1][1:])
    return values


def corrupt(artifact: Path, folder: Path, damage: str) -> Path:
    """Give a damaged copy of an artifact, damaged in one of the ways of `DAMAGES`.

    Of a folder, its largest file and every file at its top are damaged.
    """
    broken = folder / artifact.name
    (shutil.copytree if artifact.is_dir() else shutil.copy)(artifact, broken)
    files = [file for file in (broken, *broken.rglob("*")) if file.is_file()]
    largest = max(files, key=lambda file: file.stat().st_size)
    for file in files:
        if file is largest or file.parent == broken:
            file.write_bytes(DAMAGES[damage](file.read_bytes()))
    return broken


def random_bundle(
    folder: Path, hidden: Sequence[int] = (16,), seed: int = 0, format: str | Sequence[str] = (),
    dataset: data.Dataset | None = None,
) -> Bundle:  # fmt: skip
    """Write a bundle of random weights, with an ``npz`` artifact: it needs NumPy and no Keras.

    Its accuracy is that of a guess, and its reference scores come from NumPy.

    Parameters
    ----------
    folder
        The bundle's.
    hidden, seed
        The hidden layers' widths, and what draws their weights.
    format
        What else it holds, in fp32: of an exporter, or several. TensorFlow is needed where an exporter takes a Keras
        model, and not where it is made from ``npz``.
    dataset
        What it is made for; ``digits`` if None.
    """
    dataset = dataset or data.load("digits")
    rng = np.random.default_rng(seed)
    task = dataset.task
    widths = [task.pixels, *hidden, task.classes]
    arrays: dict[str, Any] = {
        "image_shape": np.array(task.image_shape), "activations": np.array(["relu"] * len(hidden) + ["softmax"]),
    }  # fmt: skip
    scores: Scores = dataset.test.images.reshape(-1, task.pixels)
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        kernel = rng.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float32)
        bias = rng.normal(0, 0.1, outputs).astype(np.float32)
        if i == len(hidden):  # else nearly all images would have one label, and a wrong answer be right
            bias = -(scores @ kernel).mean(axis=0)
        arrays |= {f"kernel_{i}": kernel, f"bias_{i}": bias}
        scores = scores @ kernel + bias
        scores = np.maximum(scores, 0) if i < len(hidden) else np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    artifact = folder / bundles.ARTIFACTS / "model-fp32.npz"
    artifact.parent.mkdir(parents=True)
    np.savez(artifact, **arrays)
    classes = plugins.classes()
    backend = next(name for name in plugins.usual_order() if classes[name].format == "npz")  # NumPy's own
    facts = {"recipe": Recipe(name="random", hidden=tuple(hidden), seed=seed).to_json()}
    writing.write(folder, facts, dataset, Artifact.describe(folder, artifact, "npz"), backend, scores)
    bundle = Bundle(folder)
    for name in [format] if isinstance(format, str) else format:
        model = None if source_in(bundle, name) else _keras_model(arrays)
        path = artifact.with_name(plugins.find_exporter(name).exporter().file_name(FP32))
        write_format(name, ExportJob(model, FP32, dataset.train.head(1).images), path, bundle)
        bundle.record(Artifact.describe(folder, path, name))
    return bundle


def _keras_model(arrays: Mapping[str, Any]) -> Any:
    """Give a Keras model of the weights that an ``npz`` artifact holds."""
    keras = import_keras(Silent())
    activations = arrays["activations"].tolist()
    weights = [arrays[f"{kind}_{i}"] for i in range(len(activations)) for kind in ("kernel", "bias")]
    dense = [
        keras.layers.Dense(len(bias), activation) for bias, activation in zip(weights[1::2], activations, strict=True)
    ]
    model = keras.Sequential(
        [keras.Input(arrays["image_shape"].tolist(), name="image"), keras.layers.Flatten(), *dense]
    )
    model.set_weights(weights)
    return model
