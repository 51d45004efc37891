"""Every backend that digitbench ships passes the contract."""

from __future__ import annotations

import pytest

from digitbench import plugins
from digitbench.backend import Backend
from digitbench.bundle import Bundle
from digitbench.testing import BackendContract


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


class TestKeras(NativeBackendContract):
    name = "keras"


class TestSavedModel(NativeBackendContract):
    name = "savedmodel"


class TestTFLite(NativeBackendContract):
    name = "tflite"


class TestOnnx(NativeBackendContract):
    name = "onnx"


class TestOpenVINO(NativeBackendContract):
    name = "openvino"


class TestNumpy(NativeBackendContract):
    name = "numpy"


def test_every_backend_we_ship_is_tested_here() -> None:
    tested = {case.name for case in NativeBackendContract.__subclasses__()}
    native = {name for name, plugin in plugins.discover().items() if plugin.distribution == "digitbench"}
    assert tested == native
