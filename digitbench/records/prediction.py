"""What a model says of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.records.arrays import Pixels


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    Attributes
    ----------
    path
        The file.
    name
        The same as people may be shown it.
    pixels
        uint8, of the task's image shape: what the model saw; of digits 0 is background.
    scores, probabilities
        float32, (classes,): the model's own output, and that as probabilities.
    photograph
        uint8, (height, width) or (height, width, 3): the picture itself, small; None if it isn't to be drawn.
    box
        Where in the picture the digit lies, if all were asked for: left, top, right, bottom as shares of its sides.
    remark
        Why the probability may mean little; mostly empty.
    """

    path: Path
    name: str
    pixels: Pixels
    scores: Scores
    probabilities: Scores
    photograph: npt.NDArray[np.uint8] | None = None
    box: tuple[float, ...] = ()
    remark: str = ""

    @property
    def label(self) -> int:
        """The class: the first with the highest score, as everywhere."""
        return int(self.scores.argmax())

    @property
    def runner_up(self) -> int:
        """The class with the next highest score."""
        return self.ranked(2)[1]

    @property
    def probability(self) -> float:
        """Of the class, from 0 to 1."""
        return float(self.probabilities[self.label])

    def ranked(self, count: int) -> list[int]:
        """Give the classes of the highest scores, the highest first; the lower label where two are alike."""
        return [int(label) for label in np.argsort(-self.scores, kind="stable")[:count]]
