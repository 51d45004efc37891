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
from core.test_charts_model import LONG, drawn_texts
from digitbench.bundle import Bundle, trainings
from digitbench.bundle.history import History
from digitbench.bundle.trainings import TrainingRun
from digitbench.charts import canvas
from digitbench.charts import trainings as chart
from digitbench.charts.sheet import plain_number
from digitbench.errors import BundleError
from digitbench.report.trainings import print_runs, to_json

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


@pytest.mark.parametrize(
    ("runs", "by"),
    [
        (many(2), "epochs"), (many(12), "epochs"), (many(12), "seconds"), ([new_run(LONG), new_run("b")], "epochs"),
        ([new_run(lines=History((0.5,), (1.0,), (0.5,), (1.0,)))], "epochs"),
        ([new_run(lines=History((0.5,), (1.0,)))], "seconds"),
        ([new_run(), new_run("long", epoch_seconds=(500.0,) * 3, dataset=("mnist", "x"), shared=True, members=3)],
         "seconds"),
        ([new_run(), *many(2, 200)], "epochs"),
    ],
    ids=["2", "12", "12-seconds", "long-name", "one-epoch", "no-validation", "far-apart", "far-apart-epochs"],
)  # fmt: skip
def test_nothing_is_cut_off_and_no_words_lie_on_others(runs: Sequence[TrainingRun], by: str) -> None:
    figure = chart.figure(runs, by)
    with canvas.styled():
        figure.draw_without_rendering()
    shown = [text for text in drawn_texts(figure) if text.get_visible() and text.get_text().strip()]
    low = np.array([text.get_window_extent().min for text in shown])
    high = np.array([text.get_window_extent().max for text in shown])
    cut = ((low < 0) | (high > figure.bbox.max)).any(axis=1)
    assert not cut.any(), [shown[index].get_text() for index in np.flatnonzero(cut)]
    overlaps = ((low[:, None] + 2 < high) & (low + 2 < high[:, None])).all(axis=2)
    pairs = np.argwhere(np.triu(overlaps, 1)).tolist()
    assert not pairs, [(shown[a].get_text(), shown[b].get_text()) for a, b in pairs]
    for axes in figure.axes[:2]:
        ends = sorted(axes.get_ylim())
        assert sum(ends[0] <= tick <= ends[1] for tick in axes.get_yticks()) >= 2, (
            "an axis without numbers says nothing"
        )


@pytest.mark.parametrize("by", trainings.AXES)
@pytest.mark.parametrize(("epochs", "scale"), [(90, "linear"), (91, "log")])
def test_a_run_of_few_epochs_beside_one_of_many_is_not_squeezed(by: str, epochs: int, scale: str) -> None:
    figure = chart.figure(
        [new_run(), *(replace(run, epoch_seconds=(2.0,) * run.epochs) for run in many(1, epochs))], by
    )
    for axes in figure.axes[:2]:
        assert axes.get_xscale() == scale
        ends = axes.get_xlim()
        assert ends[0] <= (1 if by == "epochs" else 2) < (epochs if by == "epochs" else 2 * epochs) <= ends[1]


def test_each_run_looks_like_no_other() -> None:
    styles = chart.styles_of(60)
    assert len({(style.colour, style.marker, style.dash) for style in styles}) == 60
    assert len({style.colour for style in styles[:10]}) == 10
    assert len({style.marker for style in styles[:10]}) == 10


def test_validation_is_thick_training_thin_and_the_best_epoch_marked() -> None:
    figure: Any = chart.figure([new_run(), new_run("plain", History((0.6, 0.3), (0.5, 0.7)))])
    loss, accuracy = figure.axes[:2]
    drawn = {
        (line.get_label(), line.get_linewidth() > 1): line for line in loss.lines if line.get_linestyle() != "None"
    }
    thin, *thick = sorted((line for line in loss.lines if len(line.get_xdata()) > 1), key=lambda x: x.get_linewidth())
    assert list(thin.get_ydata()) == [1.0, 0.5, 0.2]
    assert [list(line.get_ydata()) for line in thick] == [[0.9, 0.4, 0.45], [0.6, 0.3]], (
        "training, if there is no other"
    )
    assert [drawn[name, True].get_marker() for name in ("one", "plain")] == ["o", "s"]
    (best,) = [line for line in loss.lines if len(line.get_xdata()) == 1]
    assert (list(best.get_xdata()), list(best.get_ydata()), best.get_visible()) == ([2], [0.4], True)
    (wrong,) = [line for line in accuracy.lines if line.get_label() == "one"]
    np.testing.assert_allclose(wrong.get_ydata(), [0.2, 0.08, 0.1])
    low, high = accuracy.get_ylim()
    assert low > high, "the fewer are wrong, the higher"
    assert accuracy.yaxis.get_major_formatter()(0.025, 0) == "97.5%"
    assert "Nothing was held out, and thick is training, of plain." in figure.get_supxlabel().replace("\n", " ")
    assert canvas.title_of(figure) == "one, epoch 2 of 3: validation loss 0.4000, accuracy 92.00%"


def test_no_mistake_is_drawn_at_the_edge_and_said() -> None:
    figure: Any = chart.figure([new_run(lines=History((0.5, 0.1), (0.9, 1.0), (0.5, 0.2), (0.96, 1.0)))])
    accuracy = figure.axes[1]
    (line,) = [line for line in accuracy.lines if line.get_label() == "one"]
    np.testing.assert_allclose(line.get_ydata(), [0.04, 0.02])
    assert accuracy.get_title() == "accuracy (stretched towards 100 %, where it is drawn at 98 %)"


def test_seconds_are_those_of_each_epoch_added_up() -> None:
    figure: Any = chart.figure([new_run(epoch_seconds=(3.0, 1.0, 1.5)), new_run("b", shared=True)], "seconds")
    drawn = [line for line in figure.axes[0].lines if line.get_linewidth() > 1 and len(line.get_xdata()) > 1]
    assert [list(line.get_xdata()) for line in drawn] == [[3.0, 4.0, 5.5], [2.0, 4.0, 6.0]]
    assert figure.axes[0].get_xlabel() == "seconds of training"
    assert "Seconds of each epoch weren't kept of b: an even share of all." in figure.get_supxlabel()
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
        "Seconds of each epoch weren't kept of b: an even share of all",
    ]
    assert trainings.lowest([new_run(), committee]) is None
    assert chart.title([new_run(), committee]) == "The training of 2 runs"
    better = new_run("c", replace(FALLING, val_loss=(0.9, 0.3, 0.5)))
    assert trainings.lowest([new_run(), better]) is better
    assert chart.title([new_run(), better]).endswith("; the lowest loss of 2 runs")
    assert "can't be compared" in printed([new_run(), committee])


def test_json_holds_it_all() -> None:
    value = to_json([new_run(), new_run("b", History((0.6,), (0.5,)), shared=True, loop="")], Path("a.png"))
    first, second = json.loads(json.dumps(value, allow_nan=False))["runs"]
    assert (value["schema"], value["picture"]) == ("digitbench.history/1", "a.png")
    assert first["best"] == {"epoch": 2, "val_loss": 0.4, "val_accuracy": 0.92}
    assert first["history"]["val_loss"] == [0.9, 0.4, 0.45]
    assert (first["epoch_seconds"], first["test_accuracy"]) == ([2.0, 2.0, 2.0], 0.9)
    assert (second["best"], second["epoch_seconds"], second["loop"]) == (None, None, None)
    assert set(second["history"]) == {"loss", "accuracy"}


@pytest.mark.parametrize(("value", "text"), [(0.05, "0.05"), (1, "1"), (1.5, "1.5"), (20, "20"), (1500, "1,500")])
def test_ticks_are_plain_numbers_and_no_two_alike(value: float, text: str) -> None:
    assert plain_number(value) == text
