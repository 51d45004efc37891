"""The parts of a training that don't need Keras: targets, the feed, averaged weights, its log."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitbench.backend import Images, Scores
from digitbench.data import Dataset, Split
from digitbench.errors import CheckFailed, UsageError
from digitbench.records.recipes import RECIPES, Recipe
from digitbench.records.task import Task
from digitbench.system.progress import Silent
from digitbench.train import chance_remark, loops
from digitbench.train.feed import Feed, targets_of
from digitbench.train.log import Log, rising_epochs

LABELS = np.array([3, 0, 9], np.int64)
SPLIT = Split(np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8), np.arange(40) % 10)
DEFORMED = Recipe(rotation=10, elastic=1, epochs=3)
TAUGHT: Scores = np.full((3, 10), 0.1, np.float32)


def test_plain_targets_are_the_labels() -> None:
    targets = targets_of(Recipe(), LABELS, 10)
    assert targets.dtype == np.int32
    assert targets.tolist() == [3, 0, 9]
    one_hot = targets_of(Recipe(loss="categorical_crossentropy"), LABELS, 10)
    assert one_hot.dtype == np.float32
    assert (one_hot == np.eye(10)[LABELS]).all()


def test_smoothed_targets_give_every_class_its_share() -> None:
    targets = targets_of(Recipe(label_smoothing=0.2), LABELS, 10)
    assert targets.sum(axis=1) == pytest.approx(1)
    assert targets[0, 3] == pytest.approx(0.82)
    assert targets[0, 4] == pytest.approx(0.02)


@pytest.mark.parametrize(("share", "right"), [(1.0, 0.1), (0.5, 0.55), (0.0, 1.0)])
def test_a_teacher_gives_its_share_of_a_target(share: float, right: float) -> None:
    targets = targets_of(Recipe(teacher="runs/x", distillation=share), LABELS, 10, TAUGHT)
    assert targets[0, 3] == pytest.approx(right)
    assert targets.sum(axis=1) == pytest.approx(1)


def fed(recipe: Recipe, teach: Any = None, *, raw: bool = False) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    with Feed(recipe, SPLIT, 10, teach, raw=raw) as feed:
        return [feed.epoch(number) for number in range(recipe.epochs)]


def test_without_deformation_every_epoch_is_the_same_array() -> None:
    assert all(images is SPLIT.images for images, _ in fed(Recipe(epochs=3)))


def test_pixels_are_given_raw_only_where_nothing_is_done_to_them() -> None:
    assert all(images is SPLIT.pixels for images, _ in fed(Recipe(epochs=2), raw=True))
    assert all(images.dtype == np.float32 for images, _ in fed(DEFORMED, raw=True))
    taught = fed(Recipe(epochs=1, teacher="runs/x"), lambda images: np.full((len(images), 10), 0.1), raw=True)
    assert taught[0][0] is SPLIT.images


BORDERED = Split(np.pad(SPLIT.pixels[:, 2:-2, 2:-2], ((0, 0), (2, 2), (2, 2))), SPLIT.labels)


def test_pixels_that_are_dark_in_every_image_are_left_out_of_raw_ones() -> None:
    with Feed(Recipe(epochs=2), BORDERED, 10, None, raw=True) as feed:
        assert feed.lit is not None
        assert np.flatnonzero(feed.lit.reshape(28, 28).any(axis=0)).tolist() == [*range(2, 26)]
        assert feed.lit.sum() == 24 * 24
        for epoch in (0, 1):
            images, _ = feed.epoch(epoch)
            assert (images == BORDERED.pixels[:, 2:-2, 2:-2].reshape(40, -1)).all()


@pytest.mark.parametrize(
    ("recipe", "split"),
    [
        (Recipe(), SPLIT),
        (Recipe(), Split(np.zeros_like(SPLIT.pixels), SPLIT.labels)),
        (Recipe(optimizer="adamw"), BORDERED),
        (Recipe(crop=2), BORDERED),
        (Recipe(receptive_fields=(5,)), BORDERED),
        (DEFORMED, BORDERED),
    ],
    ids=["all are lit", "none is", "weights decay", "cropped already", "masks of weights", "images move"],
)
def test_all_pixels_are_given_where_leaving_some_out_gains_nothing_or_isnt_the_same(
    recipe: Recipe, split: Split
) -> None:
    with Feed(recipe, split, 10, None, raw=True) as feed:
        assert feed.lit is None
        images, _ = feed.epoch(0)
        assert images.shape == (40, 28, 28)


def test_what_holds_an_epoch_is_given_it_in_another_thread() -> None:
    thread_ids: list[int] = []

    def hold(images: npt.NDArray[Any], targets: npt.NDArray[Any]) -> str:
        thread_ids.append(threading.get_ident())
        return f"{len(images)} and {len(targets)}"

    with Feed(DEFORMED, SPLIT, 10, None, hold=hold) as feed:
        assert [feed.epoch(number) for number in range(3)] == ["40 and 40"] * 3
    assert len(thread_ids) == 3
    assert threading.get_ident() not in thread_ids


def test_deformed_epochs_differ_and_come_again_for_the_same_seed() -> None:
    first, again, other_seed = fed(DEFORMED), fed(DEFORMED), fed(replace(DEFORMED, seed=1))
    assert len({images.tobytes() for images, _ in first}) == 3
    for (images, _), (same, _), (different, _) in zip(first, again, other_seed, strict=True):
        assert (images == same).all()
        assert (images != different).any()


def test_a_teacher_sees_the_deformed_images_in_another_thread() -> None:
    calls: list[tuple[int, float]] = []

    def teach(images: Images) -> Scores:
        calls.append((threading.get_ident(), float(images.sum())))
        return np.full((len(images), 10), 0.1, np.float32)

    epochs = fed(replace(DEFORMED, teacher="runs/x"), teach)
    assert [total for _, total in calls] == [float(images.sum()) for images, _ in epochs]
    assert threading.get_ident() not in {thread for thread, _ in calls}


def test_a_fault_in_the_feed_is_heard() -> None:
    def teach(images: Images) -> Scores:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fed(replace(DEFORMED, teacher="runs/x"), teach)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.floats(0.01, 0.99))
def test_an_average_weighs_each_epoch_before_less(values: list[float], share: float) -> None:
    average = loops.Average(share)
    for value in values:
        (mean,) = average.add([np.array([value], np.float64)])
    weights = share ** np.arange(len(values))[::-1]
    assert mean[0] == pytest.approx(np.average(values, weights=weights), abs=1e-3)


def test_an_average_of_one_epoch_is_that_epoch() -> None:
    (mean,) = loops.Average(0.8).add([np.array([3.5], np.float32)])
    assert mean.tolist() == [3.5]


@pytest.mark.parametrize(
    ("recipe", "loop", "chosen"),
    [
        ("dense-128", "auto", "compiled"),
        ("dense-128", "fit", "fit"),
        ("dense-128-dropout", "auto", "compiled"),
        ("cnn-small", "auto", "fit"),
    ],
)
def test_the_loop_follows_from_the_recipe(recipe: str, loop: str, chosen: str) -> None:
    name, reason = loops.choose(loop, RECIPES[recipe], 1688)
    assert name == chosen
    assert bool(reason) == (chosen == "fit")


def test_a_short_training_is_not_worth_compiling_unless_asked_for() -> None:
    assert loops.choose("auto", RECIPES["dense-128"], 41)[0] == "fit"
    assert loops.choose("compiled", RECIPES["dense-128"], 41) == ("compiled", "")


@pytest.mark.parametrize(("loop", "recipe"), [("keras", "dense-128"), ("compiled", "cnn-small")])
def test_a_loop_that_cannot_be_is_refused(loop: str, recipe: str) -> None:
    with pytest.raises(UsageError, match="--loop"):
        loops.choose(loop, RECIPES[recipe], 1688)


class RecordingProgress(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tasks: list[tuple[str, float, float]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        self.tasks.append((task, done, total))


def test_a_log_keeps_every_metric_and_draws_the_last_stretch_at_the_end() -> None:
    progress = RecordingProgress()
    log = Log(2, 10, progress, "member 1/2, ")
    log.step(0, 10, {"loss": 1.0, "accuracy": 0.5})
    log.end(0, {"loss": 1.0, "accuracy": 0.5, "val_loss": 2.0, "val_accuracy": 0.25})
    assert progress.tasks == [("member 1/2, epoch 1/2", done, 10) for done in (0, 9.99, 10)]
    assert log.history["val_loss"] == [2.0]
    assert set(log.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"}


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_training_that_diverges_is_stopped_in_words(loss: float) -> None:
    with pytest.raises(CheckFailed, match="lower --learning-rate"):
        Log(2, 10, Silent()).end(0, {"loss": loss, "accuracy": 0.1})


def test_overfitting_is_said_once() -> None:
    progress = RecordingProgress()
    log = Log(9, 1, progress)
    for epoch, loss in enumerate([3.0, 2.0, 2.1, 2.2, 2.3, 2.4]):
        log.end(epoch, {"loss": 1.0, "accuracy": 0.5, "val_loss": loss, "val_accuracy": 0.5})
    assert len(progress.lines) == 1
    assert rising_epochs(log.history["val_loss"]) == 4


@pytest.mark.parametrize(("right", "says"), [(100, False), (45, False), (32, True), (0, True)])
def test_a_model_that_learned_nothing_is_told(right: int, says: bool) -> None:
    labels = np.repeat([0, 1, 2, 3], [30, 24, 23, 23])
    pixels = np.zeros((100, 4, 4), np.uint8)
    split = Split(pixels, labels)
    dataset = Dataset("letters", "f" * 16, "here", split, split, task=Task((4, 4), ("alpha", "beta", "gamma", "delta")))
    said = np.where(np.arange(100) < right, labels, (labels + 1) % 4)
    remark = chance_remark(np.eye(4, dtype=np.float32)[said], dataset)
    told = f"learned nothing? {right} of 100 test images are right, and naming them all 'alpha' is right of 30.0%: "
    assert remark.startswith(told) if says else not remark
