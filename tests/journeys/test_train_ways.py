"""`digitbench train` in its other ways: several seeds, a committee, a teacher, a budget, either loop."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, Finished, complaint, run_cli

from digitbench.bundle import Bundle
from digitbench.evaluate.accuracy import mean_interval
from journeys.helpers import copied, weights_of

QUICK = ("train", "--dataset", "digits", "--no-export", "--no-plots")


@dataclass(frozen=True)
class Ways:
    done: Finished
    bundles: tuple[Bundle, Bundle]


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory, trained: Bundle) -> Ways:
    """Two committees of two, with seeds of their own, taught by a bundle, within a budget, compiled."""
    folder = tmp_path_factory.mktemp("ways")
    done = run_cli(
        *QUICK, "--hidden", "8,8", "--seed", "5", "--seeds", "2", "--members", "2", "--teacher", str(trained.path),
        "--distillation", "0.5", "--label-smoothing", "0.1", "--budget", "4s", "--loop", "compiled", "--output", "one",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Ways(done, (Bundle(folder / "one-seed5"), Bundle(folder / "one-seed7")))


@pytest.mark.slow
def test_each_seed_has_a_bundle_and_no_member_is_in_two(ways: Ways) -> None:
    assert [bundle.stored["recipe"]["seed"] for bundle in ways.bundles] == [5, 7]
    assert len({bundle.reference_scores().tobytes() for bundle in ways.bundles}) == 2


@pytest.mark.slow
def test_several_seeds_are_told_with_mean_and_interval(ways: Ways) -> None:
    accuracies = [bundle.stored["metrics"]["test_accuracy"] for bundle in ways.bundles]
    mean, low, high = mean_interval(accuracies)
    line = ways.done.stdout.splitlines()[-1]
    assert line.startswith(f"dense-128+: mean test accuracy {mean:.3%}, 95 % interval {max(low, 0):.3%} to ")
    assert f"{min(high, 1):.3%} over 2 seeds" in line
    assert all(f"{share:.2%}" in ways.done.stdout for share in accuracies)


@pytest.mark.slow
def test_a_committee_says_the_mean_of_its_members(ways: Ways) -> None:
    bundle = ways.bundles[0]
    assert sum(layer.parameters for layer in bundle.manifest.layers) == 2 * (785 * 8 + 9 * 8 + 9 * 10)
    assert bundle.reference_scores().sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_the_budget_and_what_came_of_it_are_recorded(ways: Ways) -> None:
    for bundle in ways.bundles:
        recipe, training = bundle.stored["recipe"], bundle.stored["training"]
        history = json.loads((bundle.path / "history.json").read_text())
        assert training["budget_seconds"] == 4
        assert recipe["name"] == "dense-128+"
        assert recipe["epochs"] == len(history["loss"]) == len(history["seconds"])
        assert f"{recipe['epochs']} epochs fit into 4 s" in ways.done.stdout
        assert training["loop"] == "compiled"


@pytest.mark.slow
def test_the_teacher_is_recorded_by_content(ways: Ways, trained: Bundle) -> None:
    teacher = ways.bundles[0].stored["training"]["teacher"]
    assert teacher["path"] == str(trained.path)
    assert teacher["sha256"] == trained.find("keras").sha256
    assert teacher["test_accuracy"] == trained.stored["metrics"]["test_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--seeds", "2", "--output", "kept"], ["kept-seed1 exists already"]),
        (["--teacher", "nowhere"], ["nowhere: no such model"]),
        (["--loop", "keras"], ["--loop: unknown loop 'keras'", "known are auto, compiled, fit"]),
        (["--recipe", "cnn-small", "--loop", "compiled"], ["--loop compiled: ", "--loop fit"]),
        (["--budget", "10"], ["--budget 10: not a time such as 90s, 10min or 1.5h"]),
        (["--budget", "0s"], ["--budget 0s: "]),
        (["--weight-decay", "0.1"], ["--weight-decay 0.1: adam has none; use --optimizer adamw"]),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(
    cli: Cli, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "kept-seed1").mkdir()
    message = complaint(cli("train", "--dataset", "digits", *arguments))
    assert all(part in message for part in parts), message
    assert list(tmp_path.glob("kept*")) == [tmp_path / "kept-seed1"]
    assert not (tmp_path / "runs").exists()


def test_a_teacher_of_independent_scores_is_refused(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    manifest["output"]["activation"] = "sigmoid"
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))
    assert "a teacher's scores must sum to 1" in complaint(cli("train", "--teacher", str(bundle.path)))


SAME = ("--hidden", "32", "--epochs", "8")


@pytest.mark.slow
def test_both_loops_are_equally_right(cli: Cli, tmp_path: Path) -> None:
    """Over five seeds: the interval of the difference of their accuracies holds 0, and is narrow."""
    shares = {}
    for loop in ("compiled", "fit"):
        done = cli(*QUICK, *SAME, "--seeds", "5", "--loop", loop, "--output", loop)
        assert done.returncode == 0, done.stderr
        bundles = [Bundle(tmp_path / f"{loop}-seed{seed}") for seed in range(5)]
        assert all(bundle.stored["training"]["loop"] == loop for bundle in bundles)
        shares[loop] = np.array([bundle.stored["metrics"]["test_accuracy"] for bundle in bundles])
    _, low, high = mean_interval((shares["compiled"] - shares["fit"]).tolist())
    assert low < 0 < high
    assert high - low < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["compiled", "fit"])
def test_either_loop_gives_the_same_weights_for_a_seed(cli: Cli, tmp_path: Path, loop: str) -> None:
    for name in ("first", "second"):
        done = cli(*QUICK, *SAME, "--dropout", "0.3", "--elastic", "1", "--batch-normalization", "--loop", loop,
                   "--receptive-fields", "9", "--output", name)  # fmt: skip
        assert done.returncode == 0, done.stderr
    first, second = (Bundle(tmp_path / name).reference_scores() for name in ("first", "second"))
    assert (first == second).all()
    (kernel,) = [weights for weights in weights_of(tmp_path / "first").values() if weights.shape == (784, 32)]
    assert 0 < np.count_nonzero(kernel, axis=0).max() <= 81, "no unit looks beyond its 9 × 9 pixels"


@pytest.mark.slow
def test_the_loop_that_was_taken_is_said_and_why(cli: Cli) -> None:
    done = cli(*QUICK, "--hidden", "none", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^training with Keras' own fit: compiling takes longer than \d+ steps do$", done.stdout, re.M)
