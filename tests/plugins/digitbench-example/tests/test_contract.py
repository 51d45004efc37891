"""The whole of the contract's tests, for this backend: two fixtures."""

import pytest
from digitbench_example import ExampleBackend

from digitbench.testing import BackendContract, random_bundle


class TestExample(BackendContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backend_class(cls):
        return ExampleBackend

    @pytest.fixture(scope="class")
    @classmethod
    def bundle(cls, tmp_path_factory):
        return random_bundle(tmp_path_factory.mktemp("bundle") / "run", format="example")
