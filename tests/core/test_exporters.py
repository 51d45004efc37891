"""What an exporter of a plugin says of itself, needs, and reads, is asked before it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from journeys.helpers import copied

from core.helpers import Install, Recorder, refusal
from core.test_export import CROPPED, layer, network
from core.test_plugins import EXPORTER
from digitbench import export, plugins
from digitbench.bundle import Bundle
from digitbench.errors import MissingRuntimeError, PluginError
from digitbench.plugins.exporter import ExportJob
from digitbench.testing import random_bundle


def test_an_exporter_whose_requirement_is_missing_is_only_written_if_named(install: Install) -> None:
    install("my_exporter", EXPORTER, group="digitbench.exporters", requires=["digitbench", "no-such-runtime"])
    assert "mine" in plugins.exporters()
    assert "mine" not in export.formats()
    message = refusal(MissingRuntimeError, lambda: export.require(["mine"]))
    assert message == "exporting mine needs no-such-runtime, not installed here; run: pip install my-exporter"


MADE_FROM_NPZ = """
from digitbench.plugins.exporter import Exporter

class Good(Exporter):
    format, source, suffix = "mine", "npz", ".bin"
    def write(self, job, target):
        assert job.model is None
        target.write_bytes(job.source.read_bytes())
"""


def test_an_exporter_reads_its_source_from_the_bundle_or_it_is_written_first(
    install: Install, untrained: Bundle, tmp_path: Path
) -> None:
    install("my_exporter", MADE_FROM_NPZ, group="digitbench.exporters")
    bundle, job = copied(untrained, tmp_path), ExportJob(CROPPED, "fp32", np.empty(0))
    held, made = tmp_path / "held", tmp_path / "made"
    export.write("mine", job, held, bundle)
    source = bundle.open(bundle.find("npz"))
    assert held.read_bytes() == source.read_bytes()
    source.write_bytes(b"changed since it was recorded")
    export.write("mine", job, made, bundle)
    with np.load(made) as stored:
        assert "window" in stored, "of the model, not of the bundle"


def test_no_two_formats_have_one_file(install: Install, tmp_path: Path) -> None:
    install("my_exporter", MADE_FROM_NPZ.replace(".bin", ".npz"), group="digitbench.exporters")
    bundle = random_bundle(tmp_path / "run", format=["mine"])
    names = [bundle.open(artifact).name for artifact in bundle.artifacts]
    assert names == ["model-fp32.npz", "model-fp32.mine.npz"]


def test_what_cant_hold_the_model_or_its_source_cant_is_left_out(
    install: Install, untrained: Bundle, tmp_path: Path
) -> None:
    faulty = MADE_FROM_NPZ + "    def unable(self, model, precision): return model.no_such_attribute\n"
    install("my_exporter", MADE_FROM_NPZ, group="digitbench.exporters")
    install("faulty", faulty.replace('"mine"', '"faulty"'), names={"faulty": "Good"}, group="digitbench.exporters")
    bundle, progress = copied(untrained, tmp_path), Recorder()
    remaining = export._writable(export.formats(), network(layer("Conv2D")), "fp32", bundle, progress)
    assert remaining == [name for name in export.formats() if name not in ("faulty", "mine", "npz")]
    lines = "\n".join(progress.lines)
    assert "mine is left out: npz holds a single dense network" in lines
    assert "faulty is left out: its exporter can't say whether it holds the model: " in lines


@pytest.mark.parametrize(
    ("precisions", "problem"),
    [('("int4",)', "its precisions are int4; known are fp32, fp16, dynamic, int8, int8-weights"),
     ("()", "its precisions are none; known are fp32, fp16, dynamic, int8, int8-weights")],
)  # fmt: skip
def test_what_an_exporter_says_of_itself_must_be_known(install: Install, precisions: str, problem: str) -> None:
    install("my_exporter", EXPORTER.replace('("fp32", "int8")', precisions), group="digitbench.exporters")
    message = refusal(PluginError, plugins.find_exporter("mine").exporter)
    assert message == f"exporter 'mine' of my-exporter: {problem}; its author can change that"
