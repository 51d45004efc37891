"""A training's history: its best epoch, where overfitting begins, and what is made of broken files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from journeys.helpers import copied, rewrite_manifest

from core.helpers import one_printable_line
from digitbench.bundle import Bundle
from digitbench.bundle.history import History, find, read
from digitbench.errors import BundleError

FALLING = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.01)
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
TURNING = (0.9, 0.6, 0.4, 0.5, 0.6, 0.5, 0.41)


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


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"loss": [1.0]}', '{"loss": [1], "accuracy": [1, 2]}', '{"loss": [], "accuracy": []}',
        '{"loss": 1, "accuracy": 1}', '{"loss": ["a"], "accuracy": [1]}', '{"loss": [true], "accuracy": [1]}',
        '{"loss": [1], "accuracy": [1], "val_loss": [1]}',
    ],
)  # fmt: skip
def test_what_is_no_history_is_one_line(tmp_path: Path, untrained: Bundle, text: str) -> None:
    bundle = copied(untrained, tmp_path)
    (bundle.path / "history.json").write_text(text)
    with pytest.raises(BundleError, match="not the history of a training") as caught:
        read(bundle)
    assert one_printable_line(str(caught.value))


def test_what_is_no_number_costs_no_other_value(tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    text = """{"loss": [1, 0.5, NaN, 3], "accuracy": [0.1, 0.2, null, Infinity], "learning_rate": "more",
               "val_loss": [0.9, 0.8, NaN, 0.1], "val_accuracy": [0.1, 0.2, 0.3, 0.4], "seconds": [1, 2, 3, 4.5]}"""
    (bundle.path / "history.json").write_text(text)
    history = read(bundle)
    assert history.loss[:2] + history.loss[3:] == (1.0, 0.5, 3.0)
    assert np.isnan([history.loss[2], *history.accuracy[2:]]).all()
    assert (history.diverged, history.best, history.overfits_from) == (3, 4, None)
    assert history.seconds == (1, 2, 3, 4.5)
    assert history.to_json()["accuracy"] == [0.1, 0.2, None, None]
    nan = float("nan")
    assert replace(history, val_loss=(nan,) * 4).best is None
    assert replace(history, val_loss=(nan, 0.8, 0.7, 0.9)).best == 3


@pytest.mark.parametrize("seconds", ["null", '"long"', "[1]", '[1, "x"]', "[1, -1]", "[1, NaN]"])
def test_seconds_that_were_not_kept_cost_no_curve(tmp_path: Path, untrained: Bundle, seconds: str) -> None:
    bundle = copied(untrained, tmp_path)
    (bundle.path / "history.json").write_text(f'{{"loss": [1, 0.5], "accuracy": [0.1, 0.2], "seconds": {seconds}}}')
    assert read(bundle) == History((1.0, 0.5), (0.1, 0.2))


def test_a_history_that_is_not_there_says_why(tmp_path: Path, untrained: Bundle) -> None:
    assert find(untrained) is None
    with pytest.raises(BundleError, match="gone; train again"):
        read(untrained)
    bundle = copied(untrained, tmp_path)
    rewrite_manifest(bundle, {**bundle.stored, "imported": {"source": "x.onnx", "format": "onnx"}})
    with pytest.raises(BundleError, match="it was imported"):
        read(Bundle(bundle.path))
