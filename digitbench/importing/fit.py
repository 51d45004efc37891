"""How well the best model I/O fits: beside a simple classifier of the same pictures, and what the file states."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping

import numpy as np

from digitbench.backend import Images
from digitbench.bundle.manifest import Fit
from digitbench.data import Split
from digitbench.evaluate import accuracy as evaluate
from digitbench.plugins.fitting import fitted, size_of
from digitbench.plugins.model_io import ModelIO
from digitbench.records.arrays import Labels, scaled
from digitbench.records.quality import McNemar

IMAGES = 1000
"""That many, or half of what there is where that is fewer, are scored; the classifier is fitted on the others."""

MOST_VALUES = 1024
"""Of an image: larger ones are made smaller for the classifier, which takes minutes else, and is hardly better."""

PART = 10**8
"""So many pixels are made smaller at once."""

FEWEST = 100
"""Fitted on fewer images, no classifier says much of them."""

GAP = 0.03
"""A model I/O fits badly from that share of images below a simple classifier, or below what the file states."""

NAME_OF_ACCURACY = re.compile(r"(?:^|[^a-z])(?:acc|accuracy)$", re.IGNORECASE)
TEXTS_OF_ACCURACY = (
    re.compile(r"\bacc(?:uracy)?\b\W{0,3}(?:of|is|was)?\W{0,3}(\d+(?:\.\d+)?)\s*(%?)", re.IGNORECASE),
    re.compile(r"(\d+(?:\.\d+)?)\s*(%)\s*(?:\w+[ -])?accura(?:cy|te)\b", re.IGNORECASE),
)


def measure(right: Labels, simple: Labels | None, labels: Labels, classes: int, stated: float | None) -> Fit:
    """Say how well a model I/O fits.

    Parameters
    ----------
    right, simple
        int64 (n,): 1 for each image that the model, and the simple classifier, labelled right; None without the latter.
    labels, classes
        int64 (n,): the true labels; and how many classes there are.
    stated
        The accuracy that the file states, from 0 to 1.
    """
    correct, images = int(right.sum()), len(right)
    well_above = correct / images + GAP - 1e-9  # shares are floats: 0.93 - 0.9 is below 0.03
    # Few images tell little: it must be more than chance explains.
    worse = simple is not None and simple.mean() > well_above and McNemar.between(right, simple).verdict == "worse"
    below = stated is not None and stated > max(well_above, evaluate.wilson_interval(correct, images)[1])
    counts = np.bincount(labels)
    # Images of one class are all right by chance, and say nothing of it: then it is that of all classes.
    chance = float(counts.max() / images) if (counts > 0).sum() > 1 else 1 / classes
    return Fit(correct, images, None if simple is None else float(simple.mean()), stated, chance, bool(worse or below))


def scored(labelled: Split) -> int:
    """How many of the first labelled images are scored; the others are there to fit the simple classifier on."""
    return min(IMAGES, max(1, len(labelled) // 2))


def logistic_regression(labelled: Split, count: int, model_io: ModelIO) -> Labels | None:
    """Fit it on all images but the first `count`, and say which of these it labels right.

    Parameters
    ----------
    labelled
        Labelled training images.
    count
        How many are scored.
    model_io
        Of the model: where it takes smaller pictures, the classifier gets these.

    Returns
    -------
    Labels or None
        int64 (count,): 1 for right; None with fewer than `FEWEST` images to fit it on, or a single class of them.
    """
    if len(labelled) - count < FEWEST or len(np.unique(labelled.labels[count:])) < 2:
        return None
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    source = labelled.pixels.shape[1:3]
    size = size_of(model_io.shape or source, source)
    parts = np.array_split(labelled.pixels, 1 + labelled.pixels.size // PART)
    images = np.concatenate([_made_smaller(scaled(part), size, model_io.fit) for part in parts])
    pixels = images.reshape(len(labelled), -1)
    with warnings.catch_warnings():  # a few steps do: more move its accuracy by less than a point
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=0.05, max_iter=30).fit(pixels[count:], labelled.labels[count:])
    return np.asarray(model.predict(pixels[:count]) == labelled.labels[:count], dtype=np.int64)


def _made_smaller(images: Images, size: tuple[int, int], fit: str) -> Images:
    """Give images in the size that the model gets, if that is smaller, and no larger than the classifier needs."""
    if min(size) < min(images.shape[1:3]):
        images = fitted(images, size, fit)
    height, width = images.shape[1:3]
    ratio = (images[0].size / MOST_VALUES) ** 0.5
    return images if ratio <= 1 else fitted(images, (int(height / ratio) or 1, int(width / ratio) or 1), "resize")


def stated_accuracy(texts: Mapping[str, str]) -> float | None:
    """Find the accuracy that a file states: the lowest of several, from 0 to 1; None if there is none.

    Parameters
    ----------
    texts
        What the file says of itself, by name: ``{"test_accuracy": "0.981"}``, ``{"doc_string": "accuracy: 98.1 %"}``.
    """
    values = []
    for name, text in texts.items():
        pattern = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*") if NAME_OF_ACCURACY.search(name) else None
        phrase_matches = (match for phrase in TEXTS_OF_ACCURACY for match in phrase.finditer(text))
        matches = [pattern.fullmatch(text)] if pattern else list(phrase_matches)
        for match in matches:
            value = float(match[1]) if match else 0.0
            percent = bool(match and match[2]) or value > 1
            values.append(value / 100 if percent else value)
    sensible = [value for value in values if 0 < value <= 1]
    return min(sensible, default=None)
