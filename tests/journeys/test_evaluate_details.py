"""`digitbench evaluate --details`: who says what Keras says, on a model whose labels change when it is quantised."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import Cli, complaint, run_cli
from core.helpers import announce
from large_runtimes import LARGE
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from scipy.special import softmax

from digitbench import data
from digitbench.bundle import Artifact, Bundle
from digitbench.evaluate.accuracy import calibration, wilson_interval
from digitbench.plugins import find
from digitbench.records.results import Results
from digitbench.system.files import sha256
from digitbench.system.packages import install_command
from journeys.helpers import copied, first_on_path, interrupted, rewrite_manifest

DIGITS = data.load("digits").test
PIXELS, LABELS = DIGITS.images.reshape(-1, 784), DIGITS.labels
STEP = 0.1  # of the int8 weights: 12.7 / 127
HAIR, PLAIN = 14 * 28 + 14, 10 * 28 + 10  # two pixels
NEAR, FAR, SURE = 8, 3, 0  # three classes
HALF = 127.5 / 255  # no pixel has exactly this
TOLERANCE = 1e-6


def layer() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A layer in which the brightness of one pixel decides between two classes by less than half a step of int8.

    A bright pixel there gives NEAR, and a dark one FAR; in int8 that weight is 0, and both give FAR. Another bright
    pixel gives SURE by far more, in both.
    """
    kernel, bias = np.zeros((784, 10), np.float32), np.full(10, -5, np.float32)
    kernel[HAIR, NEAR], bias[[NEAR, FAR]] = 0.4 * STEP, (-0.4 * STEP * HALF, 0)
    kernel[PLAIN, SURE], bias[SURE] = 127 * STEP, -127 * STEP * HALF
    return kernel, bias


CHANGED = [int(i) for i in np.flatnonzero((PIXELS[:, HAIR] > HALF) & (PIXELS[:, PLAIN] < HALF))]
"""The images whose label int8 changes: known from the pixels, without any model."""


def to_onnx(path: Path, *, int8: bool) -> None:
    """Write the layer as ONNX, its weights as they are or rounded to int8."""
    kernel, bias = layer()
    shape = numpy_helper.from_array(np.array([-1, 784], np.int64), "shape")
    nodes = [helper.make_node("Reshape", ["image", "shape"], ["flat"])]
    if int8:
        rounded = np.clip(np.round(kernel / STEP), -127, 127).astype(np.int8)
        weights = [numpy_helper.from_array(rounded, "stored"), numpy_helper.from_array(np.float32(STEP), "step")]
        # Not DequantizeLinear, of which ONNX Runtime may make a MatMul that rounds the images too.
        nodes.append(helper.make_node("Cast", ["stored"], ["whole"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", ["whole", "step"], ["kernel"]))
    else:
        weights = [numpy_helper.from_array(kernel, "kernel")]
    nodes += [
        helper.make_node("MatMul", ["flat", "kernel"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "hair", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 28, 28])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        [shape, numpy_helper.from_array(bias, "bias"), *weights],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


@pytest.fixture
def brittle(untrained: Bundle, tmp_path: Path) -> Bundle:
    """A bundle whose int8 artifact says something else than its reference of known images."""
    bundle = copied(untrained, tmp_path)
    kernel, bias = layer()
    reference = bundle.path / "reference_scores.npy"
    np.save(reference, softmax(PIXELS.astype("f8") @ kernel + bias, axis=1).astype(np.float32))
    artifacts = []
    for precision in ("fp32", "int8"):
        path = bundle.path / "artifacts" / f"model-{precision}.onnx"
        to_onnx(path, int8=precision == "int8")
        artifacts.append(asdict(Artifact.describe(bundle.path, path, "onnx", precision)))
    bundle.stored["reference"]["sha256"] = sha256(reference)
    rewrite_manifest(bundle, {**bundle.stored, "artifacts": artifacts, "output": {"activation": "softmax"}})
    return Bundle(bundle.path)


def rows_of(path: Path) -> dict[str, dict[str, Any]]:
    return {f"{row['backend']} {row['precision']}": row for row in json.loads(path.read_text("utf-8"))["rows"]}


def test_the_ledger_finds_exactly_the_images_that_quantisation_flips(cli: Cli, tmp_path: Path, brittle: Bundle) -> None:
    assert 20 < len(CHANGED) < len(LABELS) - 20
    done = cli("evaluate", brittle.path, "--details", "-b", "onnx", "--pairs", "--json", "found.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(tmp_path / "found.json")
    assert rows["onnx fp32"]["agreement"]["flipped"] == []
    agreement = rows["onnx int8"]["agreement"]
    assert agreement["flips"] == len(CHANGED)
    expected = [(i, int(LABELS[i]), NEAR, FAR) for i in CHANGED]
    assert [
        (flip["index"], flip["true_label"], flip["reference_label"], flip["label"]) for flip in agreement["flipped"]
    ] == expected

    reference, rounded = (
        softmax(PIXELS.astype("f8") @ kernel + layer()[1], axis=1)
        for kernel in (layer()[0], np.round(layer()[0] / STEP) * STEP)
    )
    for flip in agreement["flipped"]:
        rounded_scores, reference_scores = np.sort(rounded[flip["index"]]), np.sort(reference[flip["index"]])
        assert flip["margin"] == pytest.approx(rounded_scores[-1] - rounded_scores[-2], abs=TOLERANCE)
        assert flip["reference_margin"] == pytest.approx(reference_scores[-1] - reference_scores[-2], abs=TOLERANCE)
    lost, won = (int((LABELS[CHANGED] == label).sum()) for label in (NEAR, FAR))
    p = min(1.0, 2 * sum(comb(lost + won, k) for k in range(min(lost, won) + 1)) / 2 ** (lost + won))
    assert lost
    assert won
    assert agreement["mcnemar"] == {"lost": lost, "won": won, "p_value": pytest.approx(p)}
    assert rows["onnx int8"]["accuracy"]["correct"] - rows["onnx fp32"]["accuracy"]["correct"] == won - lost

    difference = np.abs(rounded - reference)
    tops = np.sort(reference, axis=1)
    margins = tops[:, -1] - tops[:, -2]
    assert agreement["max_abs_diff"] == pytest.approx(difference.max(), abs=TOLERANCE)
    assert agreement["mean_abs_diff"] == pytest.approx(difference.mean(), abs=TOLERANCE)
    assert agreement["certificate"]["certified"] == (margins > 2 * difference.max()).sum() > 0
    assert agreement["certificate"]["total"] == len(LABELS)
    assert agreement["certificate"]["smallest_margin"] == pytest.approx(margins.min(), abs=TOLERANCE)
    assert not set(CHANGED) & set(np.flatnonzero(margins > 2 * difference.max()))

    (pair,) = json.loads((tmp_path / "found.json").read_text("utf-8"))["pairs"]
    assert (pair["first"], pair["second"]) == (["onnx", "fp32"], ["onnx", "int8"])
    assert pair["flipped"] == CHANGED


def test_probabilities_are_judged_and_the_reference_with_them(cli: Cli, tmp_path: Path, brittle: Bundle) -> None:
    manifest = {**brittle.stored, "output": {"activation": "linear"}}  # of which the softmax is taken
    for bundle, activation in ((brittle.stored, "softmax"), (manifest, "linear")):
        rewrite_manifest(brittle, bundle)
        done = cli("evaluate", brittle.path, "--details", "-b", "onnx", "--json", "found.json", "--limit", "200")
        assert done.returncode == 0, done.stderr
        results = Results.read(tmp_path / "found.json")
        scores = brittle.reference_scores()[:200]
        expected = calibration(scores, LABELS[:200], activation)
        assert results.reference
        assert results.reference.calibration == expected
        correct = int((scores.argmax(axis=1) == LABELS[:200]).sum())
        assert results.reference.accuracy.interval == wilson_interval(correct, 200)
        for row in results.rows:
            assert row.calibration
            assert row.calibration.log_loss == pytest.approx(expected.log_loss, rel=0.05)
            if row.precision == "fp32":
                assert row.calibration.log_loss == pytest.approx(expected.log_loss, rel=1e-5)
                assert row.calibration.expected_error == pytest.approx(expected.expected_error, rel=1e-3)


def test_the_flipped_images_are_drawn(cli: Cli, tmp_path: Path, brittle: Bundle) -> None:
    done = cli("evaluate", brittle.path, "--details", "-b", "onnx", "--output", "pictures")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Drawn: pictures/flips-onnx-int8.png" in done.stdout
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["flips-onnx-int8.png"]
    with Image.open(tmp_path / "pictures" / "flips-onnx-int8.png") as picture:
        assert f"{len(CHANGED)} of {len(LABELS)} test images" in str(picture.info["Title"])
    done = cli("evaluate", brittle.path, "--details", "-b", "onnx", "-p", "fp32", "--output", "others")
    assert done.returncode == 0, done.stderr
    assert "nothing to draw" in done.stdout
    assert not (tmp_path / "others").exists()


@pytest.mark.slow
def test_every_candidate_of_a_trained_model_is_told(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    done = cli("evaluate", trained.path, "--details", "--pairs", "--reliability", "--json", "found.json")
    assert done.returncode == 0, done.stdout + done.stderr
    results = Results.read(tmp_path / "found.json")
    assert results.complete
    assert results.reference
    metrics = trained.stored["metrics"]
    assert (results.reference.accuracy.correct, results.reference.accuracy.total) == (
        metrics["correct"], metrics["total"],
    )  # fmt: skip
    rows = [row for row in results.rows if row.backend not in LARGE or not find(row.backend).missing()]
    names = [(row.backend, row.precision) for row in rows]
    assert len(names) == len(set(names)) > 6
    for row in rows:
        assert row.error is None
        assert row.latency_us is None
        assert row.agreement
        assert row.agreement.mcnemar
        unsure = (row.backend, row.precision) in {("onnx", "dynamic"), ("tract", "dynamic")}
        assert bool(row.agreement.uncertified) is unsure
        assert (row.agreement.certificate is None) is unsure
        if row.agreement.certificate:
            assert row.agreement.certificate.certified <= metrics["total"] - row.agreement.flips
        if row.precision == "fp32":
            assert row.agreement.flips == 0
            assert row.agreement.mcnemar.verdict == "same"
            assert row.calibration
            assert row.calibration.log_loss == pytest.approx(results.reference.calibration.log_loss, rel=1e-4)
    assert len(results.pairs) == len(names) * (len(names) - 1) / 2
    for part in ("top-1 is", "certified", "Every pair of candidates", "Reliability"):
        assert part in done.stdout
    assert all(f"{' '.join(name)}: top-1 " in done.stdout for name in names)


def test_json_on_standard_output_has_it_for_itself(cli: Cli, tmp_path: Path, brittle: Bundle) -> None:
    done = cli(
        "evaluate", brittle.path, "--details", "-b", "onnx", "--json", "-", "--output", "pictures", "--limit", "9"
    )
    assert done.returncode == 0, done.stderr
    results = Results.from_json(json.loads(done.stdout), "stdout")
    assert results.bundle["test_images"] == 9
    assert results.pairs == ()
    assert "certified" in done.stderr
    (row,) = [row for row in results.rows if row.precision == "int8"]
    assert row.agreement
    assert [flip.index for flip in row.agreement.flipped] == [i for i in CHANGED if i < 9]


def test_quiet_prints_what_was_found_alone(cli: Cli, brittle: Bundle) -> None:
    done = cli("evaluate", brittle.path, "--details", "-b", "onnx", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "onnx fp32: top-1" not in done.stdout
    assert "changed their label" in done.stdout


def test_pictures_without_matplotlib_are_refused_before_anything_is_scored(tmp_path: Path, brittle: Bundle) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys\nsys.modules['matplotlib'] = None\n")
    details = partial(
        run_cli, "evaluate", brittle.path, "--details", "-b", "onnx", cwd=tmp_path, env=first_on_path(site)
    )
    done = details("--output", "pictures")
    assert install_command("digitbench", "plot") in complaint(done)
    assert done.stdout == ""
    assert not (tmp_path / "pictures").exists()
    without = details()
    assert without.returncode == 0, without.stderr


@pytest.mark.parametrize("option", ["--json", "--output"])
def test_a_place_that_cannot_be_written_is_refused_at_once(
    cli: Cli, tmp_path: Path, brittle: Bundle, option: str
) -> None:
    (tmp_path / "file").write_text("")
    done = cli(
        "evaluate",
        brittle.path,
        "--details",
        "-b",
        "onnx",
        option,
        "file" if option == "--output" else "file/found.json",
    )
    assert "can't be written" in complaint(done)
    assert done.stdout == ""


def test_a_candidate_that_dies_is_told_and_the_others_stay(cli: Cli, tmp_path: Path, brittle: Bundle) -> None:
    path = brittle.path / "artifacts" / "model-int8.onnx"
    path.write_bytes(b"not a model")
    manifest = dict(brittle.stored)
    artifacts = [dict(artifact) for artifact in manifest["artifacts"]]
    artifacts[1] |= {"sha256": sha256(path), "bytes": path.stat().st_size}
    rewrite_manifest(brittle, {**manifest, "artifacts": artifacts})
    done = cli("evaluate", brittle.path, "--details", "-b", "onnx", "--pairs", "--json", "found.json")
    assert "1 of 2 rows failed: onnx" in complaint(done, 1)
    rows = rows_of(tmp_path / "found.json")
    assert "can't open it" in rows["onnx int8"]["error"]
    assert rows["onnx fp32"]["agreement"]["flips"] == 0
    assert "onnx fp32: top-1" in done.stdout


SLOW = """
    import time

    from digitbench_onnx import OnnxBackend


    class Slow(OnnxBackend):
        def __init__(self, artifact, *, threads):
            time.sleep(3)  # so that it is scored last
            super().__init__(artifact, threads=threads)

        def predict(self, images):
            time.sleep(0 if len(images) == 1 else 90)
            return super().predict(images)
    """


@pytest.mark.slow
def test_ctrl_c_shows_and_saves_what_was_scored(
    tmp_path: Path, brittle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(tmp_path / "site", "slow_backend", SLOW, names={"slow": "Slow"})
    monkeypatch.setenv("PYTHONPATH", first_on_path(tmp_path / "site")["PYTHONPATH"])
    done = interrupted(
        "evaluate", brittle.path, "--details", "-b", "onnx", "-b", "slow", "--pairs", "--json", "found.json",
        cwd=tmp_path, trigger="onnx int8: top-1",
    )  # fmt: skip
    assert complaint(done, 130)
    assert "Stopped early" in done.stdout
    results = Results.read(tmp_path / "found.json")
    assert not results.complete
    scored = {row.precision: row for row in results.rows if row.agreement}
    assert scored["int8"].backend == "onnx"
    assert {row.backend for row in results.rows if row.error} == set(), "a worker that Ctrl-C ended is no failure"
