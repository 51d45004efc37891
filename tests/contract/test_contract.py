"""Every backend of digitbench's own passes the contract."""

from __future__ import annotations

import pytest

from digitbench import plugins
from digitbench.backend import Backend
from digitbench.bundle import Bundle
from digitbench.testing import BackendContract


class Ours(BackendContract):
    name: str

    @pytest.fixture(scope="class")
    @classmethod
    def backend_class(cls) -> type[Backend]:
        return plugins.find(cls.name).load()

    @pytest.fixture(scope="class")
    @classmethod
    def bundle(cls, trained: Bundle) -> Bundle:
        return trained


class TestKeras(Ours):
    name = "keras"


class TestSavedModel(Ours):
    name = "savedmodel"


class TestTFLite(Ours):
    name = "tflite"


class TestOnnx(Ours):
    name = "onnx"


class TestOpenVINO(Ours):
    name = "openvino"


class TestNumpy(Ours):
    name = "numpy"


def test_every_backend_we_ship_is_tested_here() -> None:
    tested = {case.name for case in Ours.__subclasses__()}
    ours = {name for name, plugin in plugins.discover().items() if plugin.distribution == "digitbench"}
    assert tested == ours
