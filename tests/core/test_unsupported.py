"""Backends that can't run an imported model: they are left out unless somebody names them, and that is recorded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from journeys.helpers import copied, rewrite_manifest

from core.helpers import Recorder, announce
from digitbench import plugins
from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError, BundleError
from digitbench.importing import unsupported
from digitbench.measure.candidates import candidates

PLUGIN = """
import os
import numpy as np
from digitbench.backend import Backend, Runtime
from digitbench.errors import ArtifactError


class Picky(Backend):
    format = "other"
    further_formats = ("npz",)

    def __init__(self, artifact, *, threads):
        with open(os.environ["HOME"] + "/starts", "a") as starts:
            print("start", file=starts)
        how = open(os.environ["HOME"] + "/how").read()
        if how == "dies":
            os._exit(3)
        if how == "refuses":
            raise ArtifactError(f"{artifact}: Picky can't open it: there is no rule for Einsum")
        self.how = how

    @property
    def runtime(self):
        return Runtime("Picky", "1", "none", 1)

    def predict(self, images):
        if self.how == "fails":
            raise RuntimeError("no kernel for this")
        return np.full((len(images), 10), 0.5, np.float32)

    def close(self):
        pass
"""
REFUSED = "Picky can't open it: there is no rule for Einsum"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the plugin reads how to behave, and notes its starts."""
    site = tmp_path / "site"
    announce(site, "fake_runtime", "", names={}, distribution="fake-runtime")
    announce(site, "picky_plugin", PLUGIN, names={"picky": "Picky"}, requires=["fake-runtime"])
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def imported(untrained: Bundle, folder: Path, precision: str = "fp32") -> Bundle:
    """A bundle that says that it was imported."""
    bundle = copied(untrained, folder)
    artifact = {**bundle.stored["artifacts"][0], "precision": precision}
    changes: dict[str, Any] = {"imported": {"source": "m.npz", "format": "npz"}, "artifacts": [artifact]}
    rewrite_manifest(bundle, {**bundle.stored, **changes})
    return Bundle(bundle.path)


def chosen(bundle: Bundle, *names: str) -> tuple[set[str], list[str]]:
    """The backends that are measured of those that open npz, and the messages about the others."""
    messages: list[str] = []
    measured = candidates(bundle, names, [None], [1], say=messages.append)
    return {candidate.row.backend for candidate in measured if candidate.artifact}, messages


def starts(home: Path) -> int:
    path = home / "starts"
    return len(path.read_text().split()) if path.exists() else 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [("refuses", REFUSED), ("fails", "RuntimeError: no kernel for this"), ("runs", ""), ("dies", "")],
)
def test_what_cant_run_the_model_is_left_out_and_recorded(
    untrained: Bundle, home: Path, behaviour: str, reason: str
) -> None:
    (home / "how").write_text(behaviour)
    bundle = imported(untrained, home)
    for _ in range(2):
        names, messages = chosen(bundle)
        assert names == ({"numpy"} if reason else {"numpy", "picky"})
        assert messages == ([f"picky is left out, as it can't run this model: {reason}"] if reason else [])
        bundle = Bundle(bundle.path)
        assert bundle.attempts["picky"].why == reason
    assert starts(home) == 1, "it is found out once"


def test_one_that_is_named_is_measured_all_the_same(untrained: Bundle, home: Path) -> None:
    (home / "how").write_text("refuses")
    bundle = imported(untrained, home)
    chosen(bundle)
    assert chosen(bundle, "picky") == ({"picky"}, [])


def test_another_version_is_tried_again(untrained: Bundle, home: Path) -> None:
    (home / "how").write_text("refuses")
    bundle = imported(untrained, home)
    assert chosen(bundle)[0] == {"numpy"}
    (home / "how").write_text("runs")
    assert chosen(bundle)[0] == {"numpy"}
    info = home / "site" / "fake_runtime-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-runtime\nVersion: 2.0\n")
    assert chosen(bundle)[0] == {"numpy", "picky"}
    assert Bundle(bundle.path).attempts["picky"].versions["fake-runtime"] == "2.0"
    assert starts(home) == 2


def test_a_precision_that_it_doesnt_run_is_no_failure(
    untrained: Bundle, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "how").write_text("runs")
    monkeypatch.setattr(plugins.find("picky").load(), "precisions", ("fp32", "fp16"))
    bundle = imported(untrained, home, "dynamic")
    assert chosen(bundle)[1] == ["picky is left out, as it can't run this model: it doesn't run dynamic"]
    with pytest.raises(
        ArtifactError, match=r"was imported in dynamic, which backend 'picky' doesn't run \(it runs: fp32"
    ):
        chosen(bundle, "picky")
    assert starts(home) == 0


def test_of_models_trained_here_nothing_is_left_out(untrained: Bundle, home: Path) -> None:
    (home / "how").write_text("refuses")
    assert chosen(copied(untrained, home)) == ({"numpy", "picky"}, [])
    assert starts(home) == 0


def test_import_tries_the_others_and_says_who_cant(untrained: Bundle, home: Path) -> None:
    (home / "how").write_text("refuses")
    bundle = imported(untrained, home)
    progress = Recorder()
    unsupported.try_others(bundle, progress)
    assert progress.lines == [f"picky is left out, as it can't run this model: {REFUSED}"]
    assert progress.updates[-1][0] in progress.finished
    assert Bundle(bundle.path).attempts["picky"].why == REFUSED


def test_a_bundle_that_cannot_be_written_is_no_failure(
    untrained: Bundle, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (home / "how").write_text("refuses")
    monkeypatch.setattr(Bundle, "record_attempt", denied)
    bundle = imported(untrained, home)
    assert chosen(bundle)[0] == {"numpy"}
    assert Bundle(bundle.path).attempts == {}


@pytest.mark.parametrize("entry", [{"versions": {}}, {"versions": [], "why": ""}, {"versions": {}, "why": 1}, "text"])
def test_a_record_that_is_none_is_refused(untrained: Bundle, tmp_path: Path, entry: object) -> None:
    bundle = imported(untrained, tmp_path)
    record = {**bundle.stored["imported"], "tried_with": {"picky": entry}}
    rewrite_manifest(bundle, {**bundle.stored, "imported": record})
    with pytest.raises(BundleError, match="not a model's manifest"):
        Bundle(bundle.path)
