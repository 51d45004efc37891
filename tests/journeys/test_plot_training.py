"""`digitbench plot training`: trainings beside each other, as a user compares them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cli, complaint, run_cli

from digitbench.bundle import Bundle
from digitbench.commands.plot_training import training
from digitbench.errors import MissingRuntimeError
from journeys.helpers import contents, copied, rewrite_manifest
from journeys.test_plot import png_size


@pytest.fixture
def pair(tmp_path: Path, trained: Bundle) -> tuple[Bundle, Bundle]:
    """A training, and the same with a lower validation loss after its second epoch."""
    first = copied(trained, tmp_path / "a")
    second = Bundle(copied(trained, tmp_path / "b").path.rename(tmp_path / "other"))
    path = second.path / "history.json"
    history = json.loads(path.read_text(encoding="utf-8"))
    history["val_loss"][1] = 0.001
    path.write_text(json.dumps(history), encoding="utf-8")
    return first, second


def test_two_trainings_are_compared_and_drawn(tmp_path: Path, pair: tuple[Bundle, Bundle]) -> None:
    first, second = pair
    done = run_cli("plot", "training", first.path, second.path, "--json", "found.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if "dense" in line}
    assert set(rows) == {first.name, "other"}
    assert rows["other"][-1] == f"{second.stored['metrics']['test_accuracy']:.2%}"
    assert done.stdout.splitlines()[-2].startswith("other, epoch 2 of 5: validation loss 0.0010, accuracy ")
    assert done.stdout.splitlines()[-1] == "Drawn: trainings.png"
    assert png_size(tmp_path / "trainings.png") > (900, 500)
    value = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [run["name"] for run in value["runs"]] == [first.name, "other"]
    assert value["runs"][1]["best"]["epoch"] == 2
    assert value["runs"][0]["seconds"] == first.stored["training"]["seconds"]
    assert value["picture"] == "trainings.png"


def test_one_training_is_drawn_below_it_and_without_a_picture_nothing_is(
    cli: Cli, tmp_path: Path, pair: tuple[Bundle, Bundle]
) -> None:
    run = pair[1].path
    before = contents(run)
    done = cli("plot", "training", run, "--no-picture", "--json", "-")
    assert (done.returncode, json.loads(done.stdout)["picture"]) == (0, None)
    assert "best" in done.stderr
    assert contents(run) == before
    done = cli("plot", "training", run, run, "--by", "seconds")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"Drawn: {run / 'plots' / 'training-seconds.png'}"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["no model yet", "run: digitbench train"]),
        (["nowhere"], ["nowhere: no such model"]),
        (["RUN"], ["has no history to draw: it was imported"]),
        (["RUN", "--by", "second"], ["--by: unknown choice 'second': did you mean 'seconds'?"]),
        (["RUN", "-o", "a.jpg"], ["has no history to draw"]),
        (["RUN", "-o", "a.png", "--no-picture"], ["--output a.png", "--no-picture; give only one of the two"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_cannot_be_compared_is_one_line(
    cli: Cli, tmp_path: Path, untrained: Bundle, arguments: list[str], parts: list[str]
) -> None:
    bundle = copied(untrained, tmp_path)
    rewrite_manifest(bundle, {**bundle.stored, "imported": {"source": "x.onnx", "format": "onnx"}})
    message = complaint(
        cli("plot", "training", *(bundle.path if argument == "RUN" else argument for argument in arguments))
    )
    for part in parts:
        assert part in message
    assert not list(tmp_path.rglob("*.png"))


def test_without_altair_it_is_one_line(
    tmp_path: Path, pair: tuple[Bundle, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    from digitbench.system import packages

    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(MissingRuntimeError, match=r"pictures need altair and vl-convert-python.* pip install"):
        training([pair[0].path])
    assert not list(tmp_path.rglob("trainings.png"))
