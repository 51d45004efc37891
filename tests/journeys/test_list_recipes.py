"""`digitbench list recipes`, `list results`, and `show` of what has a name and no folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Cli, complaint
from core.test_find_results import saved

from digitbench.bundle import Bundle
from digitbench.data import mnist
from digitbench.records.recipes import RECIPES, Recipe
from digitbench.system.packages import install_command
from journeys.helpers import copied


def test_recipes_are_listed_with_what_each_holds(cli: Cli) -> None:
    done = cli("list", "recipes", "--json", "found.json")
    assert (done.returncode, done.stderr) == (0, "")
    first_words = ((line.split()[0], line) for line in done.stdout.splitlines() if line.strip())
    cells = {word: line for word, line in first_words if word in RECIPES}
    assert list(cells) == list(RECIPES)
    for part in ("dense 512-10", "407,050", "rmsprop", " 5 ", " 128 ", " auto "):
        assert part in cells["dense-512-rmsprop"]
    assert "conv 16-32, dense 64-10" in cells["cnn-small"]
    assert "dataset auto: MNIST if available" in done.stdout


def test_a_recipe_a_backend_and_results_are_shown_by_name(cli: Cli, tmp_path: Path) -> None:
    done = cli("show", "dense-512-rmsprop", "--json", "-")
    (recipe,) = json.loads(done.stdout)["recipes"]
    assert (recipe["hidden"], recipe["epochs"], recipe["parameters"], recipe["dataset"]) == ([512], 5, 407_050, "auto")
    assert "512 relu, softmax, rmsprop" in done.stderr
    assert done.stderr.splitlines()[-1] == "next: digitbench train --recipe dense-512-rmsprop"
    done = cli("show", "openvino")
    assert (done.returncode, done.stderr) == (0, "")
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert facts["precisions"] == "fp32, fp16, int8, bf16"
    assert facts["install"] == install_command("digitbench", "openvino")
    (tmp_path / "openvino").mkdir()
    assert "openvino: not a model's folder" in complaint(cli("show", "openvino")), "a folder of that name comes first"


@pytest.mark.parametrize("name", RECIPES)
def test_the_parameters_of_a_recipe_are_those_of_its_network(name: str) -> None:
    keras = pytest.importorskip("keras")
    from digitbench.train import networks

    assert RECIPES[name].parameters(mnist.TASK) == networks.build(keras, RECIPES[name], mnist.TASK, 100).count_params()


def test_the_parameters_of_a_committee_are_those_of_all_its_networks() -> None:
    one = Recipe(hidden=(), crop=3, convolutions=(4, 8))
    parameters = one.parameters(mnist.TASK)
    assert parameters == (4 * 10) + 8 * (9 * 4 + 1) + 10 * (5 * 5 * 8 + 1)
    assert replace(one, members=3).parameters(mnist.TASK) == 3 * parameters


def test_results_of_a_model_are_listed_the_newest_first(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    done = cli("list", "results", bundle.path)
    assert done.stdout == f"{bundle.name} has no results yet; run: digitbench bench {bundle.name}\n"
    old, new = saved(bundle, "z.json", age=60), saved(bundle, "a.json")
    saved(bundle, "broken.json", age=90, text="{")
    done = cli("list", "results", bundle.path, "--json", "found.json")
    lines = done.stdout.splitlines()
    assert lines[0] == f"3 results files in {bundle.name}/results"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["a.json", "z.json", "broken.json"]
    assert "1 candidate; batch 1: numpy, p50 9.0 µs" in lines[1]
    entries = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["results"]
    assert [entry["path"] for entry in entries[:2]] == [str(new), str(old)]
    assert "broken.json" in entries[2]["problem"]
