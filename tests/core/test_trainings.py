"""Trainings beside each other: what is read of them, the table, the JSON, and a legible picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied, rewrite_manifest
from rich.console import Console

from core.helpers import one_printable_line
from core.read_charts import check_chart
from core.test_charts_model import LONG, rows_of
from digitbench.bundle import Bundle, trainings
from digitbench.bundle.history import History
from digitbench.bundle.trainings import TrainingRun
from digitbench.charts import trainings as charts
from digitbench.charts import vega
from digitbench.errors import BundleError
from digitbench.report.trainings import print_runs, to_json

NAN = float("nan")
OVERFITTING = History(
    (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.01), (0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0), (0.9, 0.6, 0.4, 0.5, 0.6, 0.5, 0.41),
    (0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0),
)  # fmt: skip
DIVERGED = History((1.0, 0.5, NAN), (0.5, 0.75, NAN), (0.9, 0.6, NAN), (0.5, 0.6, NAN))
FALLING = History((1.0, 0.5, 0.2), (0.7, 0.9, 1.0), (0.9, 0.4, 0.45), (0.8, 0.92, 0.9))


def new_run(name: str = "one", lines: History = FALLING, **more: Any) -> TrainingRun:
    plain = TrainingRun(
        name=name, path=Path(name), recipe="dense-128", seed=0, members=1, loop="fit", dataset=("digits", "abc"),
        history=lines, seconds=6.0, epoch_seconds=(2.0,) * len(lines.loss), shared=False, held_out=144,
        test_accuracy=0.9,
    )  # fmt: skip
    return replace(plain, **more)


def many(count: int, epochs: int = 30) -> list[TrainingRun]:
    """Trainings of different lengths that get ever better, one of them without validation."""
    runs = []
    for number in range(count):
        length = max(2, epochs - 2 * number)
        loss = np.geomspace(0.5, 0.01 / (number + 1), length)
        lines = History(*map(tuple, (loss, 1 - loss / 3, loss + 0.02, 1 - loss / 3 - 0.005)))
        lines = replace(lines, val_loss=(), val_accuracy=()) if number == 1 else lines
        runs.append(new_run(f"dense-champion-20261121-0{number}1502", lines, seed=number))
    return runs


# --- a picture -----------------------------------------------------------------------------------------------------


def curves_of(definition: Any, panel: int = 0) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The points of each curve of a panel, by their name in the legend and the kind of images."""
    curves: dict[tuple[str, str], list[dict[str, Any]]] = {}
    drawn = definition["hconcat"][panel]
    for row in rows_of(definition, drawn["layer"][-1], drawn, definition):
        curves.setdefault((row["name"], row["images"]), []).append(row)
    return curves


def axis_of(definition: Any, panel: int, axis: str) -> Any:
    return definition["hconcat"][panel]["layer"][-1]["encoding"][axis]


@pytest.mark.parametrize(
    ("runs", "by"),
    [
        (many(1), "epochs"), (many(2), "epochs"), (many(6), "epochs"), (many(14), "epochs"), (many(12), "seconds"),
        ([new_run(LONG), new_run("b")], "epochs"),
        ([new_run(lines=History((0.5,), (1.0,), (0.5,), (1.0,)))], "epochs"),
        ([new_run(lines=History((0.5,), (1.0,)))], "seconds"),
        ([new_run(), new_run("long", epoch_seconds=(500.0,) * 3, dataset=("mnist", "x"), shared=True, members=3)],
         "seconds"),
        ([new_run(), *many(2, 200)], "epochs"), ([new_run(lines=DIVERGED), new_run("b")], "epochs"),
        ([new_run(lines=History((0.5, 0.0), (1.0, 1.0), (NAN, NAN), (NAN, NAN)))], "epochs"),
    ],
    ids=["1", "2", "6", "14", "12-seconds", "long-name", "one-epoch", "no-validation", "far-apart",
         "far-apart-epochs", "diverged", "all-diverged"],
)  # fmt: skip
def test_nothing_is_cut_off_and_no_words_lie_on_others(runs: Sequence[TrainingRun], by: str) -> None:
    check_chart(charts.figure(runs, by))
    definition = charts.chart(runs, by).to_dict()
    for panel in (0, 1):
        y = axis_of(definition, panel, "y")
        low, high = y["scale"]["domain"]
        ticks = sum(low <= tick <= high for tick in y["axis"]["values"])
        assert ticks >= 2, "an axis without numbers says nothing"
        points = [point for points in curves_of(definition, panel).values() for point in points if not point["thin"]]
        assert all(low <= point[y["field"]] <= high or np.isnan(point[y["field"]]) for point in points)


@pytest.mark.parametrize("by", trainings.AXES)
@pytest.mark.parametrize(("epochs", "scale"), [(90, None), (91, "log")])
def test_a_run_of_few_epochs_beside_one_of_many_is_not_squeezed(by: str, epochs: int, scale: str | None) -> None:
    runs = [new_run(), *(replace(run, epoch_seconds=(2.0,) * run.epochs) for run in many(1, epochs))]
    definition = charts.chart(runs, by).to_dict()
    for panel in (0, 1):
        drawn = axis_of(definition, panel, "x")["scale"]
        assert drawn.get("type") == scale
        low, high = drawn["domain"]
        assert low <= (1 if by == "epochs" else 2) < (epochs if by == "epochs" else 2 * epochs) <= high


def test_each_run_looks_like_no_other() -> None:
    styles = charts.styles_of(60)
    assert len({(style.colour, style.shape, style.dash) for style in styles}) == 60
    assert len({style.colour for style in styles[:10]}) == 10
    assert len({style.shape for style in styles[:10]}) == 10


def test_validation_is_thick_training_thin_and_the_best_epoch_marked() -> None:
    runs = [new_run(), new_run("plain", History((0.6, 0.3), (0.5, 0.7)))]
    definition = charts.chart(runs).to_dict()
    curves = curves_of(definition)
    assert {name: ([point["loss"] for point in points], points[0]["thin"]) for name, points in curves.items()} == {
        ("one", "training"): ([1.0, 0.5, 0.2], True), ("one", "validation"): ([0.9, 0.4, 0.45], False),
        ("plain", "training"): ([0.6, 0.3], False),  # training, if there is no other
    }  # fmt: skip
    assert [(row["name"], row["x"]) for points in curves.values() for row in points if row["best"]] == [("one", 2)]
    wrong = [point["wrong"] for point in curves_of(definition, 1)["one", "validation"]]
    np.testing.assert_allclose(wrong, [0.2, 0.08, 0.1])
    accuracy = axis_of(definition, 1, "y")
    assert accuracy["scale"]["reverse"], "the fewer are wrong, the higher"
    assert accuracy["axis"]["labelExpr"] == "format(1 - datum.value, '.4~%')"
    text = json.dumps(charts.figure(runs).to_dict())
    assert "Nothing was held out, and thick is training, of plain." in text.replace('", "', " ")
    assert charts.title(runs) == "one, epoch 2 of 3: validation loss 0.4000, accuracy 92.00%"


def test_of_a_single_run_training_and_validation_have_a_colour_each_and_overfitting_is_grey() -> None:
    chart = charts.figure([new_run(lines=OVERFITTING)])
    assert vega.title_of(chart) == (
        "Best epoch 3 of 7: validation loss 0.4000, accuracy 70.00%; overfits from epoch 4 on"
    )
    definition = charts.chart([new_run(lines=OVERFITTING)]).to_dict()
    area, thin, *_ = definition["hconcat"][0]["layer"]
    assert (area["mark"]["type"], list(rows_of(definition, area))) == ("rect", [{"x": 3}])
    curves = curves_of(definition)
    assert list(curves) == [("training", "training"), ("validation", "validation")]
    assert not any(point["thin"] for points in curves.values() for point in points), thin
    assert definition["hconcat"][1]["layer"][1]["encoding"]["color"]["scale"]["domain"] == ["training", "validation"]
    assert "one (dense-128), trained on digits [abc]" in json.dumps(chart.to_dict())


def test_without_validation_nothing_is_marked() -> None:
    run = new_run(lines=History((0.5, 0.25), (0.9, 0.95)))
    definition = charts.chart([run]).to_dict()
    assert not any(row["best"] for points in curves_of(definition).values() for row in points)
    assert charts.title([run]) == "Loss 0.2500, accuracy 95.00% after epoch 2; no images were held out for validation"


def test_a_training_that_diverged_is_drawn_up_to_there_and_said() -> None:
    runs = [new_run(lines=DIVERGED)]
    assert "one diverged: not all values are numbers from epoch 3 on." in json.dumps(charts.figure(runs).to_dict())
    losses = [row["loss"] for row in curves_of(charts.chart(runs).to_dict())["training", "training"]]
    assert losses[:2] == [1.0, 0.5]
    assert np.isnan(losses[2])
    assert "one diverged: not all values are numbers from epoch 3 on." in printed(runs)


def test_no_mistake_is_drawn_at_the_edge_and_said() -> None:
    run = new_run(lines=History((0.5, 0.1), (0.9, 0.98), (0.5, 0.2), (0.96, 1.0)))
    definition = charts.chart([run, new_run("b", run.history)]).to_dict()
    wrong = [row["wrong"] for row in curves_of(definition, 1)["one", "validation"]]
    np.testing.assert_allclose(wrong, [0.04, 0.02])
    title = axis_of(definition, 1, "y")["axis"]["title"]
    assert title == "accuracy (stretched towards 100 %, where it is drawn at 98 %)"


def test_seconds_are_those_of_each_epoch_added_up() -> None:
    runs = [new_run(epoch_seconds=(3.0, 1.0, 1.5)), new_run("b", shared=True)]
    definition = charts.chart(runs, "seconds").to_dict()
    curves = curves_of(definition)
    drawn = [[row["x"] for row in points] for (_, images), points in curves.items() if images == "validation"]
    assert drawn == [[3.0, 4.0, 5.5], [2.0, 4.0, 6.0]]
    assert axis_of(definition, 0, "x")["axis"]["title"] == "seconds of training"
    note = "Seconds of each epoch are not recorded for b: shown as equal shares."
    assert note in json.dumps(charts.figure(runs, "seconds").to_dict())
    with pytest.raises(BundleError, match="b doesn't say how long its training took; leave out --by seconds") as caught:
        trainings.check_seconds([new_run(), new_run("b", epoch_seconds=())])
    assert one_printable_line(str(caught.value))


# --- reading -------------------------------------------------------------------------------------------------------


def trained_bundle(bundle: Bundle, folder: Path, seconds: Any = None, training: Any = None, **recipe: Any) -> Bundle:
    copy = copied(bundle, folder)
    lines = {"loss": [1, 0.5], "accuracy": [0.5, 0.6], "val_loss": [0.9, 0.95], "val_accuracy": [0.7, 0.6]}
    (copy.path / "history.json").write_text(json.dumps(lines | ({} if seconds is None else {"seconds": seconds})))
    manifest = copy.stored | {"training": training, "recipe": copy.stored["recipe"] | recipe}
    rewrite_manifest(copy, manifest)
    return Bundle(copy.path)


@pytest.mark.parametrize(
    ("seconds", "training", "members", "epoch_seconds", "shared", "total"),
    [
        ([3.0, 1.0], {"seconds": 4.5, "loop": "compiled"}, 1, (3.0, 1.0), False, 4.5),
        ([3.0, 1.0], {"seconds": 12.0}, 3, (9.0, 3.0), False, 12.0),
        (None, {"seconds": 6.0}, 1, (3.0, 3.0), True, 6.0),
        ([3.0], {"seconds": 6.0}, 1, (3.0, 3.0), True, 6.0),
        ([3.0, "x"], {"seconds": 6.0}, 1, (3.0, 3.0), True, 6.0),
        ([2.0, 1.0], None, 1, (2.0, 1.0), False, 3.0),
        (None, {"seconds": "long"}, 1, (), False, None),
        (None, "nonsense", 1, (), False, None),
    ],
)
def test_seconds_are_read_where_they_are_kept(
    tmp_path: Path, untrained: Bundle, seconds: Any, training: Any, members: int,
    epoch_seconds: tuple[float, ...], shared: bool, total: float | None,
) -> None:  # fmt: skip
    (run,) = trainings.read([trained_bundle(untrained, tmp_path, seconds, training, members=members)])
    assert (run.epoch_seconds, run.shared, run.seconds, run.members) == (epoch_seconds, shared, total, members)
    assert run.loop == (training["loop"] if isinstance(training, Mapping) and "loop" in training else "")
    assert (run.best, run.epochs, run.seed) == ((1, 0.9, 0.7), 2, 0)
    metrics = untrained.stored["metrics"]
    assert run.test_accuracy == metrics["correct"] / metrics["total"]


def test_a_run_counts_once_and_one_name_is_of_one_run(tmp_path: Path, untrained: Bundle) -> None:
    first, second = (trained_bundle(untrained, tmp_path / name) for name in "ab")
    (tmp_path / "link").symlink_to(first.path, target_is_directory=True)
    assert [run.name for run in trainings.read([first, Bundle(tmp_path / "link"), first])] == [first.name]
    assert [run.name for run in trainings.read([first, second])] == [str(first.path), str(second.path)]


# --- a table and JSON ----------------------------------------------------------------------------------------------


def printed(runs: Sequence[TrainingRun], width: int = 0) -> str:
    console = Console(file=StringIO(), width=width or 200, force_terminal=bool(width))
    print_runs(runs, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_table_says_of_each_run_what_came_of_it() -> None:
    text = printed(
        [new_run("a", seed=7), new_run("b", History((0.6, 0.3), (0.5, 0.7)), loop="compiled", test_accuracy=None)]
    )
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.split()[:1] in (["a"], ["b"])}
    assert rows["a"] == [
        "a",
        "dense-128",
        "7",
        "3",
        "fit",
        "6.0",
        "2",
        "0.4000",
        "92.00%",
        "0.2000",
        "100.00%",
        "90.00%",
    ]
    assert rows["b"] == ["b", "dense-128", "0", "2", "compiled", "6.0", "0.3000", "70.00%"]
    assert "loop" not in printed([new_run(loop="")]), "a column that nobody fills is left out"
    narrow = printed([new_run("a"), new_run("b")], width=60)
    assert "This terminal is too narrow for:" in narrow
    assert "0.4000" in narrow


def test_what_makes_runs_differ_is_said() -> None:
    committee = new_run("b", dataset=("mnist", "x"), held_out=6000, members=5, shared=True)
    assert list(trainings.notes([new_run()], "seconds")) == []
    assert list(trainings.notes([new_run(), committee], "seconds")) == [
        "Not trained on the same data, so their figures can't be compared: digits [abc], mnist [x]",
        "Validation is of different images: 144, 6,000 held out",
        "A committee's curves are means over its members",
        "Seconds of each epoch are not recorded for b: shown as equal shares",
    ]
    assert trainings.lowest([new_run(), committee]) is None
    assert charts.title([new_run(), committee]) == "The training of 2 runs"
    better = new_run("c", replace(FALLING, val_loss=(0.9, 0.3, 0.5)))
    assert trainings.lowest([new_run(), better]) is better
    assert charts.title([new_run(), better]).endswith("; the lowest loss of 2 runs")
    assert "can't be compared" in printed([new_run(), committee])


def test_a_test_accuracy_far_below_validation_is_explained() -> None:
    one, other = new_run(test_accuracy=0.8), new_run("other", test_accuracy=0.7, dataset=("mine", "abc"))
    (digits,) = trainings.notes([one])
    assert digits.startswith("one: 80.00% of the test images are right, and 92.00% of those held out for validation")
    assert digits.endswith("the test images are by other writers")
    (mine,) = trainings.notes([other])
    assert mine.endswith(
        "of those held out for validation, which are training images: the test images differ from them"
    )
    assert f"{digits}." in charts.legend([one])
    assert list(trainings.notes([new_run(test_accuracy=None), new_run(test_accuracy=0.91)])) == []
    assert sum("of the test images" in note for note in trainings.notes([one, other, one])) == 1, "the worst alone"


def test_json_holds_it_all() -> None:
    value = to_json([new_run(), new_run("b", History((0.6,), (0.5,)), shared=True, loop="")], Path("a.png"))
    first, second = json.loads(json.dumps(value, allow_nan=False))["runs"]
    assert (value["schema"], value["picture"]) == ("digitbench.history/1", "a.png")
    assert first["best"] == {"epoch": 2, "val_loss": 0.4, "val_accuracy": 0.92}
    assert first["history"]["val_loss"] == [0.9, 0.4, 0.45]
    assert (first["epoch_seconds"], first["test_accuracy"]) == ([2.0, 2.0, 2.0], 0.9)
    assert (second["best"], second["epoch_seconds"], second["loop"]) == (None, None, None)
    assert set(second["history"]) == {"loss", "accuracy"}
