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

from core.helpers import one_printable_line
from digitbench import data
from digitbench.backend import Scores
from digitbench.bundle import Artifact, Bundle
from digitbench.bundle.history import History, read
from digitbench.charts import canvas, confusion, history, predictions, reliability, samples, weights
from digitbench.charts.weights import Kernel
from digitbench.data import Dataset, Split
from digitbench.errors import ArtifactError, BundleError, ResultsError
from digitbench.evaluate import accuracy as evaluate
from digitbench.plugins.model_io import ModelIO
from digitbench.testing import random_bundle

LONG = "a-bundle-whose-name-goes-on-and-on-and-on " * 5
FALLING = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.01)
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
TURNING = (0.9, 0.6, 0.4, 0.5, 0.6, 0.5, 0.41)
OVERFITTING = History(FALLING, SHARES, TURNING, SHARES)


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


# --- all can be read -----------------------------------------------------------------------------------------------


def pictures(digits: Dataset, reference_scores: Scores) -> Iterator[tuple[str, Any]]:
    """Every picture, small and large, with names that are too long for a line."""
    test = digits.test
    one_class = replace(digits, name="mine", train=digits.train.head(0), test=Split(test.pixels[:1], test.labels[:1]))
    yield "samples", samples.figure(replace(digits, name=LONG[:40]), per_class=3)
    yield "one image", samples.figure(one_class, per_class=1)
    yield "overfitting", history.figure(OVERFITTING, LONG)
    yield "one epoch", history.figure(History((0.5,), (0.5,), (0.4,), (0.6,)), LONG)
    yield "no validation", history.figure(History((0.5, 0.0), (0.5, 1.0)), LONG)
    many = History(*([*np.linspace(1, 0.01, 300)] for _ in range(4)))  # type: ignore[arg-type]
    yield "300 epochs", history.figure(many, LONG)
    yield "predictions", predictions.figure(test, reference_scores, LONG, count=5)
    yield "one mistake", predictions.figure(test, reference_scores, LONG, worst=True, count=1)
    yield "confusion", confusion.figure(reference_scores, test.labels, LONG)
    yield "reliability", reliability.figure(reference_scores, test.labels, about=LONG)
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

    figure = canvas.blank(3, 2)
    axes = figure.subplots()
    if picture == "lines":
        axes.plot([1, 2, 3], [1, 3, 2], "o-")
    else:
        axes.imshow(np.random.default_rng(0).random((60, 60, 3)))
    canvas.save(figure, tmp_path / "a.png", "It goes up, then down")
    with Image.open(tmp_path / "a.png") as drawn:
        assert (drawn.mode, drawn.info["Title"]) == (mode, "It goes up, then down")


@pytest.mark.parametrize("suffix", canvas.SUFFIXES)
def test_the_same_history_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    targets = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for target in targets:
        history.draw(OVERFITTING, target, "$x_1 & <y>")
    first, second = (target.read_bytes() for target in targets)
    assert first == second
    assert b"Best epoch 3 of 7: " in first, "the title is in the file"


def test_letters_that_the_font_has_not_cost_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history.draw(OVERFITTING, tmp_path / "history.png", "数字")
    assert (tmp_path / "history.png").stat().st_size > 1000


# --- history -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "validation", "best", "overfits"),
    [
        (FALLING, TURNING, 3, 4),
        (FALLING, FALLING, 7, None),
        (FALLING, (0.9, 0.8, 0.7, 0.6, 0.5, 0.51, 0.52), 5, None),  # two epochs may be chance
        (FALLING, (0.9, 0.8, 0.7, 0.5, 0.6, 0.6, 0.6), 4, 5),
        (FALLING, (0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4), 2, 3),  # never lower again
        ((1.0, 0.5, 0.3, 0.2, 0.3, 0.4, 0.5), TURNING, 3, None),  # the training got worse too
        ((1.0,), (0.9,), 1, None),
        (FALLING, (), None, None),
    ],
)
def test_where_overfitting_begins(
    training: tuple[float, ...], validation: tuple[float, ...], best: int | None, overfits: int | None
) -> None:
    result = History(training, SHARES[: len(training)], validation, SHARES[: len(validation)])
    assert (result.best, result.overfits_from) == (best, overfits)


def test_a_history_is_drawn_over_whole_epochs_from_1_with_the_best_and_overfitting_marked() -> None:
    figure: Any = history.figure(OVERFITTING)
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        shown = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] < tick < axes.get_xlim()[1]]
        assert shown == list(range(1, 8))
        (star,) = [line for line in axes.lines if line.get_marker() == "*"]
        assert list(star.get_xdata()) == [3]
        (area,) = axes.patches
        assert (area.get_x(), area.get_x() + area.get_width()) == (3, 7.5)
        assert area.get_hatch()
    loss, accuracy = figure.axes[:2]
    assert [list(line.get_ydata()) for line in loss.lines[:2]] == [list(FALLING), list(TURNING)]
    assert list(accuracy.lines[0].get_xdata()) == [1, 2, 3, 4, 5, 6, 7]
    assert {"training", "validation", "best epoch: 3", "overfitting: epoch 4 on"} <= set(texts(figure))
    assert canvas.title_of(figure).endswith("validation loss 0.4000, accuracy 70.00%; overfits from epoch 4 on")


def test_without_validation_nothing_is_marked() -> None:
    figure: Any = history.figure(History((0.5, 0.0), (0.9, 1.0)))
    assert [len(axes.lines) for axes in figure.axes[:2]] == [1, 1]
    assert figure.axes[0].get_yscale() == "linear", "a loss of 0 has no logarithm"
    assert "no images were held out" in canvas.title_of(figure)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"loss": [1.0]}', '{"loss": [1], "accuracy": [1, 2]}', '{"loss": [], "accuracy": []}',
        '{"loss": [1], "accuracy": [NaN]}', '{"loss": 1, "accuracy": 1}', '{"loss": ["a"], "accuracy": [1]}',
        '{"loss": [1], "accuracy": [1], "val_loss": [1]}',
    ],
)  # fmt: skip
def test_what_is_no_history_is_one_line(tmp_path: Path, untrained: Bundle, text: str) -> None:
    bundle = copied(untrained, tmp_path)
    (bundle.path / "history.json").write_text(text)
    with pytest.raises(BundleError, match="not the history of a training") as caught:
        read(bundle)
    assert one_printable_line(str(caught.value))


def test_a_history_that_is_not_there_says_why(tmp_path: Path, untrained: Bundle) -> None:
    with pytest.raises(BundleError, match="gone; train again"):
        read(untrained)
    bundle = copied(untrained, tmp_path)
    rewrite_manifest(bundle, {**bundle.stored, "imported": {"source": "x.onnx", "format": "onnx"}})
    with pytest.raises(BundleError, match="it was imported"):
        read(Bundle(bundle.path))


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


def test_a_confusion_matrix_counts_and_its_mistakes_are_not_drowned() -> None:
    labels = np.array([0] * 1000 + [1] * 4 + [2] * 2)
    predicted = np.array([0] * 999 + [3] + [1, 1, 1, 7] + [2, 8])
    figure: Any = confusion.figure(np.eye(10, dtype=np.float32)[predicted], labels)
    counts, shares = figure.axes
    in_images = {(0, 0): "999", (0, 3): "1", (1, 1): "3", (1, 7): "1", (2, 2): "1", (2, 8): "1"}
    in_percent = {(0, 0): "99.9", (0, 3): "0.1", (1, 1): "75.0", (1, 7): "25.0", (2, 2): "50.0", (2, 8): "50.0"}
    for axes, expected in ((counts, in_images), (shares, in_percent)):
        cells = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
        assert {position: text for position, text in cells.items() if text != "·"} == expected
        assert len(cells) == 93, "zeros are dots, but on the diagonal nothing"
    shade = counts.images[0].get_array()
    assert shade[0, 3] == shade[1, 7] == 1, "as dark as can be, whatever the diagonal holds"
    assert shade[0, 0] == shade[5, 6] == 0
    assert shares.images[0].get_array()[0, 3] < 0.2 < shares.images[0].get_array()[2, 8] == 1
    low, high = evaluate.wilson_interval(1003, 1006)
    assert canvas.title_of(figure) == (
        f"99.70% right: 1,003 of 1,006 images (95 % Wilson interval {100 * low:.2f} to {100 * high:.2f} %)"
    )


def test_a_reliability_diagram_shows_what_calibration_says(digits: Dataset, reference_scores: Scores) -> None:
    calibration = evaluate.calibration(reference_scores, digits.test.labels)
    figure: Any = reliability.figure(reference_scores, digits.test.labels)
    above, below = figure.axes
    points = [
        (x, y) for bars in above.containers for x, y in zip(*bars.lines[0].get_data(), strict=True)
    ]  # fmt: skip
    assert sorted(points) == sorted((bin_.confidence, bin_.accuracy) for bin_ in calibration.bins)
    ends = {tuple(end) for bars in above.containers for line in bars.lines[2] for end in line.get_segments()[0][:, 1:]}
    low, high = evaluate.wilson_interval(
        round(calibration.bins[0].accuracy * calibration.bins[0].images), calibration.bins[0].images
    )
    assert {round(end[0], 9) for end in ends} >= {round(low, 9), round(high, 9)}
    assert [bar.get_height() for bar in below.patches] == [bin_.images for bin_ in calibration.bins]
    assert below.get_yscale() == "log"
    assert canvas.title_of(figure) == (
        f"Expected calibration error {calibration.expected_error:.2%}, "
        f"log loss {calibration.log_loss:.4f} nats (359 images)"
    )


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
        history.draw(OVERFITTING, tmp_path / "file" / "history.png")
    assert one_printable_line(str(caught.value))
