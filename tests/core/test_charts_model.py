"""Pictures of data and models: what is in them, that all of it can be read, and what can't be drawn."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied, rewrite_manifest
from matplotlib.figure import Figure

from core.helpers import one_printable_line
from core.read_charts import check_chart
from digitbench import data
from digitbench.backend import Scores
from digitbench.bundle import Artifact, Bundle
from digitbench.charts import canvas, confusion, files, predictions, reliability, samples, vega, weights
from digitbench.charts.palette import GREY
from digitbench.charts.weights import Kernel
from digitbench.data import Dataset, Split
from digitbench.errors import ArtifactError, ResultsError
from digitbench.evaluate import accuracy as evaluate
from digitbench.plugins.model_io import ModelIO
from digitbench.testing import random_bundle

LONG = "a-bundle-whose-name-goes-on-and-on-and-on " * 5


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


@pytest.fixture(scope="module")
def reference_scores(untrained: Bundle) -> Scores:
    return untrained.reference_scores()


def sure_of(*labels: int) -> Scores:
    """Scores that are sure of these labels, of each later one a little more."""
    scores = np.full((len(labels), 10), 0.01, np.float32)
    scores[np.arange(len(labels)), labels] = np.linspace(0.5, 0.9, len(labels))
    return scores


def texts(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def rows_of(definition: Any, *parts: Any) -> list[dict[str, Any]]:
    """The rows of the first of some parts of a Vega-Lite definition that has any; all data are in one place."""
    name = next(part["data"]["name"] for part in parts if "data" in part)
    rows: list[dict[str, Any]] = definition["datasets"][name]
    return rows


# --- all can be read -----------------------------------------------------------------------------------------------


def pictures(digits: Dataset, reference_scores: Scores) -> Iterator[tuple[str, Any]]:
    """Every picture, small and large, with names that are too long for a line."""
    test = digits.test
    one_class = replace(digits, name="mine", train=digits.train.head(0), test=Split(test.pixels[:1], test.labels[:1]))
    yield "samples", samples.figure(replace(digits, name=LONG[:40]), per_class=3)
    yield "one image", samples.figure(one_class, per_class=1)
    yield "predictions", predictions.figure(test, reference_scores, LONG, count=5)
    yield "one mistake", predictions.figure(test, reference_scores, LONG, worst=True, count=1)
    yield "weights", weights.figure(Kernel(np.eye(784, 70, dtype=np.float32)), LONG)
    yield "ten weights", weights.figure(Kernel(np.ones((784, 10), np.float32), last=True), LONG)


def drawn_texts(figure: Any) -> Iterator[Any]:
    """Every text that is drawn: not those of a hidden axis, nor of ticks outside the view."""
    yield from figure.texts
    for axes in figure.axes:
        yield from (axes.title, *axes.texts)
        if axes.get_legend():
            yield from axes.get_legend().get_texts()
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            yield from (tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)


def test_nothing_is_cut_off_and_no_words_lie_on_others(digits: Dataset, reference_scores: Scores) -> None:
    for name, figure in pictures(digits, reference_scores):
        with canvas.styled():
            figure.draw_without_rendering()
        shown = [text for text in drawn_texts(figure) if text.get_visible() and text.get_text().strip()]
        low = np.array([text.get_window_extent().min for text in shown])
        high = np.array([text.get_window_extent().max for text in shown])
        assert len(shown) > 3
        cut = ((low < 0) | (high > figure.bbox.max)).any(axis=1)
        assert not cut.any(), f"{name}: {[shown[index].get_text() for index in np.flatnonzero(cut)]}"
        meeting = ((low[:, None] + 2 < high) & (low + 2 < high[:, None])).all(axis=2)
        pairs = np.argwhere(np.triu(meeting, 1)).tolist()
        assert not pairs, f"{name}: {[(shown[first].get_text(), shown[second].get_text()) for first, second in pairs]}"


@pytest.mark.parametrize(("picture", "mode"), [("lines", "P"), ("shades", "RGB")])
def test_a_png_has_a_palette_where_that_costs_no_shades(tmp_path: Path, picture: str, mode: str) -> None:
    from PIL import Image

    figure = Figure((3, 2), layout="constrained")
    axes = figure.subplots()
    if picture == "lines":
        axes.plot([1, 2, 3], [1, 3, 2], "o-")
    else:
        axes.imshow(np.random.default_rng(0).random((60, 60, 3)))
    files.save(figure, tmp_path / "a.png", "It goes up, then down")
    with Image.open(tmp_path / "a.png") as drawn:
        assert (drawn.mode, drawn.info["Title"]) == (mode, "It goes up, then down")


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_the_same_digits_give_the_same_bytes(tmp_path: Path, digits: Dataset, suffix: str) -> None:
    targets = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for target in targets:
        files.save(samples.figure(replace(digits, name="$x_1 & <y>"), per_class=1), target, "Some digits")
    first, second = (target.read_bytes() for target in targets)
    assert first == second
    assert b"Some digits" in first, "the title is in the file"


def test_letters_that_the_font_has_not_cost_no_warning(tmp_path: Path, digits: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files.save(samples.figure(replace(digits, name="数字"), per_class=1), tmp_path / "samples.png", "数字")
    assert (tmp_path / "samples.png").stat().st_size > 1000


# --- samples -------------------------------------------------------------------------------------------------------


def test_each_row_holds_images_of_its_class_and_says_how_many_there_are(digits: Dataset) -> None:
    figure: Any = samples.figure(digits, per_class=4, seed=3)
    whole = figure.axes[0].images[0].get_array()
    of_class = {digit: digits.train.pixels[digits.train.labels == digit] for digit in range(10)}
    for digit in range(10):
        row = [whole[digit * 32 : digit * 32 + 28, column * 32 : column * 32 + 28] for column in range(4)]
        matches = [np.flatnonzero((of_class[digit] == image).all(axis=(1, 2))) for image in row]
        assert all(len(indexes) for indexes in matches)
        assert len({indexes[0] for indexes in matches}) == 4
        assert f"{len(of_class[digit]):,} training\n{(digits.test.labels == digit).sum()} test" in texts(figure)
    assert canvas.title_of(figure) == "digits: 1,438 training images and 359 test images"
    same_seed, other_seed = (samples.figure(digits, per_class=4, seed=seed).axes[0].images[0] for seed in (3, 4))
    assert np.array_equal(np.asarray(same_seed.get_array()), whole)
    assert not np.array_equal(np.asarray(other_seed.get_array()), whole)


def test_data_without_training_images_show_their_test_images(digits: Dataset) -> None:
    figure: Any = samples.figure(replace(digits, train=digits.train.head(0)), per_class=40)
    whole = figure.axes[0].images[0].get_array()
    assert canvas.title_of(figure) == "digits: 359 test images"
    assert whole[:28, 35 * 32 :].any(), "36 zeros"
    assert not whole[:28, 36 * 32 :].any(), "and background after them"


# --- predictions ---------------------------------------------------------------------------------------------------


def test_the_choice_holds_some_of_every_class_and_depends_on_the_seed_alone(digits: Dataset) -> None:
    labels = digits.test.labels
    chosen = predictions.choice(labels, 20)
    assert labels[chosen].tolist() == [digit for digit in range(10) for _ in range(2)]
    assert len(set(chosen.tolist())) == 20
    assert (predictions.choice(labels, 20) == chosen).all()
    assert (predictions.choice(labels, 20, seed=1) != chosen).any()
    assert sorted(predictions.choice(labels, 1000).tolist()) == list(range(359))
    few = np.array([7, 7, 7, 3], np.int64)
    assert few[predictions.choice(few, 2)].tolist() == [3, 7]


def test_mistakes_come_worst_first() -> None:
    scores = sure_of(1, 2, 3, 4)
    assert predictions.mistakes(scores, np.array([1, 0, 3, 0])).tolist() == [3, 1]
    tied = np.repeat(sure_of(5), 2, axis=0)
    tied[0, 0], tied[1, 0] = 0.3, 0.2
    assert predictions.mistakes(tied, np.array([0, 0])).tolist() == [1, 0], "the larger loss"


def test_right_and_wrong_are_told_by_more_than_colour(digits: Dataset) -> None:
    test = Split(digits.test.pixels[:2], np.array([4, 6]))
    figure: Any = predictions.figure(test, sure_of(4, 5))
    assert {"✓ 4   50.0%", "✗ 5, is 6   90.0%"} <= set(texts(figure))
    assert canvas.title_of(figure) == "2 of 2 test images; in all 1 mistake (50.00% right)"
    frames = [patch for patch in figure.axes[0].patches if not patch.get_fill()]
    assert [frame.get_linestyle() == "-" for frame in frames] == [True, False]
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert [-bar.get_height() for bar in hatched] == [pytest.approx(0.9)]
    assert len(figure.axes[0].images) == 2


def test_mistakes_are_counted_also_where_not_all_are_drawn(digits: Dataset, reference_scores: Scores) -> None:
    wrong = int((reference_scores.argmax(axis=1) != digits.test.labels).sum())
    figure: Any = predictions.figure(digits.test, reference_scores, worst=True, count=5)
    assert re.fullmatch(rf"{wrong} mistakes among 359 test images \(\d+\.\d\d% right\): the worst 5",
                        canvas.title_of(figure))  # fmt: skip
    assert sum(word.startswith("✗ ") for word in texts(figure)) == 5


# --- confusion and reliability -------------------------------------------------------------------------------------


def test_a_confusion_matrix_counts_and_shades_mistakes_by_their_share_of_the_digit() -> None:
    labels = np.array([0] * 1000 + [1] * 40 + [2] * 2)
    predicted = np.array([0] * 999 + [3] + [1, 1, 1, 7] * 10 + [2, 8])
    scores = np.eye(10, dtype=np.float32)[predicted]
    definition = confusion.chart(evaluate.confusion(scores, labels)).to_dict()
    in_images = {(0, 0): "999", (0, 3): "1", (1, 1): "30", (1, 7): "10", (2, 2): "1", (2, 8): "1"}
    in_percent = {(0, 0): "99.9", (0, 3): "0.1", (1, 1): "75.0", (1, 7): "25.0", (2, 2): "50.0", (2, 8): "50.0"}
    cells = {}
    for panel, expected in zip(definition["hconcat"], (in_images, in_percent), strict=True):
        rows = {(int(row["true"][0]), row["said"]): row for row in rows_of(definition, panel)}
        assert {position: row["text"] for position, row in rows.items() if row["text"] not in ("", "·")} == expected
        assert sum(row["text"] != "" for row in rows.values()) == 93, "zeros are dots, but on the diagonal nothing"
        cells[id(expected)] = rows
    shades = {position: row["shade"] for position, row in cells[id(in_images)].items()}
    assert 0 < shades[0, 3] < 0.15 < shades[1, 7] == 1, "one in a thousand is pale, one in four dark"
    assert shades[2, 8] < 0.5, "one of two images is chance"
    assert shades[0, 0] == shades[5, 6] == 0
    assert {position: row["shade"] for position, row in cells[id(in_percent)].items()} == shades
    assert [cells[id(in_images)][position]["letters"] for position in ((0, 0), (5, 6))] == ["black", GREY]
    y = definition["hconcat"][0]["layer"][0]["encoding"]["y"]
    assert [int(name[0]) for name in y["sort"]] == list(range(10)), "else the order is that of the first mistakes"
    assert [cells[id(in_images)][position]["letters"] for position in ((0, 3), (1, 7))] == ["black", "white"]
    low, high = evaluate.wilson_interval(1030, 1042)
    assert vega.title_of(confusion.figure(scores, labels)) == (
        f"98.85% right: 1,030 of 1,042 images (95 % Wilson interval {100 * low:.2f} to {100 * high:.2f} %)"
    )


def test_a_reliability_diagram_shows_what_calibration_says(digits: Dataset, reference_scores: Scores) -> None:
    calibration = evaluate.calibration(reference_scores, digits.test.labels)
    definition = reliability.chart(calibration.bins).to_dict()
    above, below = definition["vconcat"]
    assert [mark["mark"]["type"] for mark in (*above["layer"], *below["layer"])] == [
        "line", "rule", "point", "bar", "text",
    ]  # fmt: skip
    for row, bin_ in zip(rows_of(definition, below), calibration.bins, strict=True):
        interval = evaluate.wilson_interval(round(bin_.accuracy * bin_.images), bin_.images)
        assert (row["confidence"], row["accuracy"], row["images"]) == (bin_.confidence, bin_.accuracy, bin_.images)
        assert (row["low"], row["high"]) == interval
        assert row["size"] == ("fewer than 30" if bin_.images < reliability.FEW else "30 images or more")
    assert below["layer"][0]["encoding"]["y"]["scale"]["type"] == "log"
    assert vega.title_of(reliability.figure(reference_scores, digits.test.labels)) == (
        f"Expected calibration error {calibration.expected_error:.2%}, "
        f"log loss {calibration.log_loss:.4f} nats (359 images)"
    )


def test_all_of_both_can_be_read(tmp_path: Path, digits: Dataset, reference_scores: Scores) -> None:
    labels = digits.test.labels
    check_chart(confusion.figure(reference_scores, labels, about=LONG))
    check_chart(confusion.figure(np.repeat(reference_scores, 300, axis=0), np.repeat(labels, 300), about=LONG))
    check_chart(reliability.figure(reference_scores, labels, about=LONG))
    check_chart(reliability.figure(reference_scores[:1], labels[:1], about=LONG))


# --- weights -------------------------------------------------------------------------------------------------------


def test_weights_are_drawn_strongest_first_on_a_scale_with_0_in_its_middle(untrained: Bundle) -> None:
    kernel = weights.read(untrained)
    with np.load(untrained.open(untrained.find("npz"))) as stored:
        assert (kernel.weights == stored["kernel_0"]).all()
    assert kernel.weights.shape == (784, 16)
    assert not kernel.last
    figure: Any = weights.figure(kernel, count=3)
    image = figure.axes[0].images[0]
    strongest = np.argsort(-np.linalg.norm(kernel.weights, axis=0))[:3]
    assert [text.get_text() for text in figure.axes[0].texts] == [str(unit) for unit in strongest]
    assert (image.get_array()[9:37, :28] == kernel.weights[:, strongest[0]].reshape(28, 28)).all()
    low, high = image.get_clim()
    assert low == -high < 0
    assert min(image.cmap(0.5)[:3]) > 0.98, "0 is white"
    assert image.cmap(0.9)[2] > image.cmap(0.9)[0], "above it blue"
    assert image.cmap(0.1)[0] > image.cmap(0.1)[2], "below it orange"
    assert canvas.title_of(figure) == "What the first layer looks for: the 3 strongest of 16 units"


def test_a_layer_whose_foreground_is_below_its_background_is_drawn_the_other_way_round(
    tmp_path: Path, untrained: Bundle
) -> None:
    bundle = copied(untrained, tmp_path)
    model_io = ModelIO(background=1.0, foreground=0.0)
    form = {"paper": model_io.background, "ink": model_io.foreground}
    rewrite_manifest(bundle, {**bundle.stored, "form": form})
    assert bundle.model_io == model_io
    assert (weights.read(bundle).weights == -weights.read(untrained).weights).all()


def test_the_units_of_a_linear_model_are_its_digits(tmp_path: Path) -> None:
    kernel = weights.read(random_bundle(tmp_path / "linear", hidden=()))
    assert kernel.last
    assert "digit 7" in texts(weights.figure(kernel))


def test_a_first_layer_of_other_inputs_and_broken_weights_are_one_line(tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    path = bundle.path / bundle.find("npz").path
    np.savez(path, activations=np.array(["softmax"]), kernel_0=np.ones((1024, 10), np.float32))
    bundle.record(Artifact.describe(bundle.path, path, "npz"))
    with pytest.raises(ArtifactError, match="takes 1,024 inputs, and only one of 784"):
        weights.read(bundle)
    path.write_bytes(b"PK\x03\x04")
    bundle.record(Artifact.describe(bundle.path, path, "npz"))
    with pytest.raises(ArtifactError, match=r"not a digitbench \.npz of weights.*; run: digitbench export") as caught:
        weights.read(bundle)
    assert one_printable_line(str(caught.value))
    rewrite_manifest(bundle, {**bundle.stored, "artifacts": []})
    with pytest.raises(ArtifactError, match=r"run: digitbench export .* --format npz"):
        weights.read(Bundle(bundle.path))


def test_a_place_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="can't be written") as caught:
        files.save(Figure(), tmp_path / "file" / "history.png", "nothing")
    assert one_printable_line(str(caught.value))
