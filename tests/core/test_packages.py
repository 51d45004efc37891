"""The command that installs what is missing, from where digitbench itself was installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from digitbench.system.packages import install_command

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a distribution ``gear`` known, with what pip notes of where it is from."""

    def installed(origin: str) -> None:
        info = tmp_path / "site" / "gear-1.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gear\nVersion: 1\n")
        (info / "direct_url.json").write_text(origin)
        monkeypatch.syspath_prepend(tmp_path / "site")

    return installed


def test_a_checkout_is_named_by_its_folder(tmp_path: Path, install: Install) -> None:
    checkout = tmp_path / "my gear"
    checkout.mkdir()
    install(json.dumps({"url": checkout.as_uri(), "dir_info": {"editable": True}}))
    assert install_command("gear", "onnx") == f'pip install -e "{checkout}[onnx]"'
    assert install_command("gear") == f'pip install -e "{checkout}"'
    install(json.dumps({"url": checkout.as_uri(), "dir_info": {}}))
    assert install_command("gear", "onnx") == f'pip install "{checkout}[onnx]"'


@pytest.mark.parametrize("origin", ["", "{", '{"url": "file:///gone/gear.whl"}', '{"url": "https://host/gear.whl"}'])
def test_without_a_place_of_its_own_it_is_named_as_an_index_has_it(origin: str, install: Install) -> None:
    install(origin)
    assert install_command("gear", "onnx") == 'pip install "gear[onnx]"'
    assert install_command("gear") == "pip install gear"
    assert install_command("no such", "x") == 'pip install "no such[x]"'
