"""Every backend that digitbench ships passes the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from large_runtimes import LARGE

from digitbench import export, plugins
from digitbench.backend import Backend
from digitbench.bundle import Bundle
from digitbench.plugins.exporter import Exporter
from digitbench.records.precisions import EXPORTED, WEIGHTS8
from digitbench.testing import DAMAGES, BackendContract, random_bundle


class NativeBackendContract(BackendContract):
    name: str

    @pytest.fixture(scope="class")
    @classmethod
    def backend_class(cls) -> type[Backend]:
        return plugins.find(cls.name).load()

    @pytest.fixture(scope="class")
    @classmethod
    def bundle(cls, trained: Bundle) -> Bundle:
        return trained


class TensorFlowContract(NativeBackendContract):
    @pytest.mark.slow  # each imports TensorFlow anew
    @pytest.mark.parametrize("threads", [1, 2])
    def test_uses_the_threads_asked_for(
        self, backend_class: type[Backend], bundle: Bundle, artifact: Path, threads: int
    ) -> None:  # fmt: skip
        super().test_uses_the_threads_asked_for(backend_class, bundle, artifact, threads)


class TestKeras(TensorFlowContract):
    name = "keras"


class TestSavedModel(TensorFlowContract):
    name = "savedmodel"

    @pytest.mark.slow  # TensorFlow is imported anew, as by day for Keras
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_corrupt_artifact_is_an_artifact_error(self, answers_to_damage: list[Any], damage: str) -> None:
        super().test_a_corrupt_artifact_is_an_artifact_error(answers_to_damage, damage)


class TestTFLite(NativeBackendContract):
    name = "tflite"


class TestOnnx(NativeBackendContract):
    name = "onnx"

    def test_idle_threads_sleep_so_that_they_slow_down_nobody_else(self, backend: Backend) -> None:
        options = vars(backend)["_session"].get_session_options()
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


class TestOpenVINO(NativeBackendContract):
    name = "openvino"


class TestOpenVINOsOwnFormat(NativeBackendContract):
    name = "openvino"

    @pytest.fixture(scope="class")
    @classmethod
    def artifact(cls, backend_class: type[Backend], bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
        import openvino as ov

        folder = tmp_path_factory.mktemp("ir") / "model-fp32.openvino"
        model = ov.convert_model(bundle.open(bundle.find("onnx")))
        ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
        return folder


class TestNumpy(NativeBackendContract):
    name = "numpy"


class TestTract(NativeBackendContract):
    name = "tract"


class TestMnn(NativeBackendContract):
    name = "mnn"


class TestOnnxReference(NativeBackendContract):
    name = "onnx-reference"


def test_every_backend_we_ship_is_tested_here() -> None:
    cases = [*NativeBackendContract.__subclasses__(), *TensorFlowContract.__subclasses__()]
    tested = {case.name for case in cases if case is not TensorFlowContract}
    native = {name for name, plugin in plugins.discover().items() if plugin.distribution == "digitbench"}
    assert tested | LARGE.keys() == native  # those in tests/installs


def test_one_backend_is_that_of_training_and_orders_differ() -> None:
    classes = plugins.classes().values()
    assert sum(backend_class.trained for backend_class in classes) == 1
    orders = [backend_class.order for backend_class in classes]
    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("name", plugins.exporters())
def test_every_exporter_says_what_the_core_must_know(name: str) -> None:
    exporter: Exporter = plugins.exporters()[name]
    assert exporter.format == name
    assert exporter.precisions
    assert {*exporter.precisions, *exporter.batch_dependent} <= {*EXPORTED, WEIGHTS8}


def test_a_random_bundle_holds_every_format_and_all_say_the_same(tmp_path: Path) -> None:
    formats = [name for name in export.formats() if name != "npz"]
    bundle = random_bundle(tmp_path / "run", format=formats)
    assert {artifact.format for artifact in bundle.artifacts} == {"npz", *formats}
    images = np.random.default_rng(0).random((5, 28, 28), np.float32)
    answers = {}
    for name in ("numpy", "onnx", "tflite"):
        plugin = plugins.find(name)
        path = bundle.open(bundle.opened_by(plugin.load(), "fp32"))
        with plugin.open(path, threads=1, precision="fp32") as backend:
            answers[name] = backend.predict(images)
    for answer in answers.values():
        np.testing.assert_allclose(answer, answers["numpy"], rtol=0, atol=1e-5)
