"""`--verbose`: all that a runtime said, where a message holds its reason alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli, complaint
from core.helpers import announce
from PIL import Image

from digitbench.bundle import Bundle
from journeys.helpers import first_on_path

PLUGIN = """
from digitbench.backend import Runtime
from digitbench.errors import ArtifactError, reason
from digitbench_numpy import NumpyBackend

MESSAGE = "Exception from src/core.cpp:84:\\nCheck 'false' failed at src/report.cpp:151:\\nThere is no rule for Einsum"


class Refusing(NumpyBackend):
    def __init__(self, artifact, *, threads):
        try:
            raise RuntimeError(MESSAGE)
        except RuntimeError as exc:
            raise ArtifactError(f"{artifact}: can't be opened: {reason(exc, artifact)}") from exc


class Failing(NumpyBackend):
    def predict(self, images):
        raise RuntimeError(MESSAGE)
"""


@pytest.mark.parametrize(
    ("command", "name", "code"), [("evaluate", "refusing", 1), ("evaluate", "failing", 1), ("predict", "refusing", 2)]
)
def test_the_whole_text_is_shown_where_it_is_wanted(
    cli: Cli, tmp_path: Path, untrained: Bundle, command: str, name: str, code: int
) -> None:
    announce(tmp_path / "site", "refusing_plugin", PLUGIN, names={"refusing": "Refusing", "failing": "Failing"})
    Image.new("L", (28, 28)).save(tmp_path / "digit.png")
    arguments = [command, untrained.path, *["digit.png"] * (command == "predict"), "-b", name]
    site = first_on_path(tmp_path / "site")
    short = complaint(cli(*arguments, env=site), code)
    assert short.endswith("There is no rule for Einsum")
    assert "src/core.cpp" not in short
    for verbose in (["--verbose", *arguments], [*arguments, "--verbose"]):
        done = cli(*verbose, env=site)
        assert "src/core.cpp:84:\nCheck 'false' failed at src/report.cpp:151:\nThere is no rule" in done.stderr
        assert done.stderr.splitlines()[-1] == f"digitbench: {short}"


def test_verbose_alone_is_no_command(cli: Cli) -> None:
    done = cli("--verbose")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: " in done.stdout
