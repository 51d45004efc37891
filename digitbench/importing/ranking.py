"""Which of the I/Os that a model could have is the one it has: that with which it says what the labels say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from digitbench.backend import Scores
from digitbench.evaluate import accuracy as evaluate
from digitbench.plugins.model_io import ModelIO
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.results import McNemar

NEARLY_BEST_GAP = 0.003
FAR = 0.05
"""A guess that has so many fewer images right, of a hundred, is tried on no more, unless chance could explain it."""
SURE = 4.0  # standard errors
ROUNDING = 1e-3  # nats an image
CHANNELS, PAIR = 3, 2
LEAST_ODDS = 1e-4  # one image at which a model is surely wrong doesn't outweigh a hundred others


@dataclass(frozen=True, eq=False)
class Trial:
    """A guess of the model I/O, and how well the model did with it.

    Attributes
    ----------
    model_io
        With the activation that the scores look like.
    right
        int64 (n,): 1 for each image that it labelled right.
    losses
        float64 (m,): log loss in nats, of the same images and then of shifted ones, if these were scored.
    """

    model_io: ModelIO
    right: Labels
    losses: npt.NDArray[np.float64]

    @property
    def surprise(self) -> float:
        """Mean log loss in nats."""
        return float(self.losses.mean())

    @property
    def accuracy(self) -> float:
        """Share of images that it labelled right."""
        return float(self.right.mean())


def shifted(pixels: Pixels) -> Pixels:
    """Give the images moved by up to a pixel each way, at random: close to those trained on, and not among them."""
    moves = np.random.default_rng(0).integers(-1, 2, (len(pixels), 2))
    shifted_pixels = np.empty_like(pixels)
    for move in np.unique(moves, axis=0):
        alike = (moves == move).all(axis=1)
        shifted_pixels[alike] = np.roll(pixels[alike], tuple(move), (1, 2))
    return shifted_pixels


def judge(model_io: ModelIO, scores: Scores, labels: Labels, activation: str | None) -> Trial:
    """Say how good a guess of the model I/O is.

    Parameters
    ----------
    model_io
        With which the scores were given.
    scores
        float32 (m, 10): of the images, and then, if there are more, of the same images shifted.
    labels
        int64 (n,): the images' true labels.
    activation
        What the output is, if known.
    """
    detected = activation or activation_of(scores)
    odds = scores if detected == "sigmoid" else evaluate.probabilities(scores, detected)
    is_true_class = np.arange(scores.shape[1]) == np.resize(labels, len(scores))[:, None]
    complements = 1 - odds if detected == "sigmoid" else 1  # a sigmoid says of each class apart whether it is that one
    odds = np.where(is_true_class, odds, complements)
    losses = -np.log(np.clip(odds.astype(np.float64), LEAST_ODDS, 1)).sum(axis=1)
    right = scores[: len(labels)].argmax(axis=1) == labels
    return Trial(replace(model_io, activation=detected), right.astype(np.int64), losses)


def activation_of(scores: Scores) -> str:
    """Say what an output looks like: ``"softmax"``, ``"sigmoid"`` or ``"logits"``, as logarithms of a softmax are.

    A softmax times a constant, as percentages, is one too: see `digitbench.evaluate.accuracy.probabilities`.
    """
    total = evaluate.constant_sum(scores)
    # A single row has some sum, and logits far from 0 nearly the same one; but their least is no small part of it.
    shared_out = len(scores) > 1 and bool(
        np.median(scores.min(axis=1).astype(np.float64)) < total / (2 * scores.shape[1])
    )
    larger = total >= 1 + evaluate.SUM_TOLERANCE and shared_out
    if larger or abs(total - 1) < evaluate.SUM_TOLERANCE:
        return "softmax"
    within = bool(((scores >= -1e-6) & (scores <= 1 + 1e-6)).all())
    return "sigmoid" if within else "logits"


def ranked(trials: Sequence[Trial], share: float = 0.0) -> list[Trial]:
    """Sort trials of the same images, the best first.

    A network that is given another scale or offset than it was trained on often loses little accuracy, none at all
    where it is linear, but is too sure or not sure enough: of those that are the most often right, or nearly, comes
    first the one that is least surprised by the labels. On images it was trained on, being too sure is never punished:
    hence the shifted ones. Few models divide an image by its norm, or standardise its pixels; most images look nearly
    alike then and with a mean and deviation of all: without a clear lead a plain range of pixels comes before.

    Nearly is by `NEARLY_BEST_GAP`. With a `share` it is also by that share of the images that the best has wrong, or
    where McNemar's test sees no difference: where many are wrong, or images are few, chance alone makes one.
    """
    most = max(trial.accuracy for trial in trials)
    least = most - max(NEARLY_BEST_GAP, share * (1 - most))
    nearly_best = [trial for trial in trials if trial.accuracy >= least]
    if share:
        nearly_best += [trial for trial in level_with_best(trials) if trial not in nearly_best]
    others = sorted((trial for trial in trials if trial not in nearly_best), key=lambda trial: -trial.accuracy)
    first, *others = [*sorted(nearly_best, key=lambda trial: trial.surprise), *others]
    plain = next((trial for trial in others if not _is_rare(trial) and trial in nearly_best), None)
    if plain and _is_rare(first) and not _is_ahead(first, plain):
        others.remove(plain)
        return [plain, first, *others]
    return [first, *others]


def _is_rare(trial: Trial) -> bool:
    """Is it a guess that pixels have no fixed values, or of two classes that dark and light are exchanged.

    That nearly does the same to two classes as exchanging them, which is more usual.
    """
    model_io = trial.model_io
    inverted = model_io.background > model_io.foreground and 0 < prod(model_io.answer or (0,)) <= PAIR
    return bool(model_io.normalised) or len(model_io.mean) > CHANNELS or inverted


def _is_ahead(trial: Trial, other: Trial) -> bool:
    """Is it less surprised than another one beyond doubt."""
    gaps = other.losses - trial.losses
    return bool(gaps.mean() > SURE * gaps.std() / len(gaps) ** 0.5)


def likely(trials: Sequence[Trial]) -> list[Trial]:
    """Those that could be the best on more images: level with it, or not far below."""
    least = max(trial.accuracy for trial in trials) - FAR
    level = level_with_best(trials)
    return [trial for trial in trials if trial.accuracy >= least or trial in level]


def is_decided(first: Trial, level: Sequence[Trial]) -> bool:
    """Is it the first of those that are level beyond doubt: nobody else is less surprised, or as much, by chance."""
    return all(_is_ahead(first, trial) for trial in level if trial is not first and not are_same(trial, first))


def are_same(trial: Trial, other: Trial) -> bool:
    """Do two guesses give the same answers, but for rounding."""
    count = min(len(trial.right), len(other.right))
    return bool(np.abs(trial.losses[:count] - other.losses[:count]).mean() < ROUNDING)


def level_with_best(trials: Sequence[Trial]) -> list[Trial]:
    """Those that McNemar's test can't tell from the most often right by these images: more images may."""
    best = max(trials, key=lambda trial: trial.accuracy)
    return [trial for trial in trials if McNemar.between(trial.right, best.right).verdict == "same"]
