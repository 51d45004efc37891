"""Find out what a model takes and gives: every guess is tried on labelled training images, the likely ones on more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from digitbench.bundle import caveats
from digitbench.bundle.manifest import Fit
from digitbench.data import Split
from digitbench.errors import BundleError
from digitbench.importing import fit, guesses, ranking, steadiness
from digitbench.importing.guesses import Constraints
from digitbench.importing.normalisations import CAFFE, IMAGENET, Statistics
from digitbench.importing.prober import Prober
from digitbench.importing.ranking import Trial
from digitbench.plugins.model_io import SIDE, ModelIO, square
from digitbench.system.progress import Progress

FIRST_IMAGES, IMAGES, MORE_IMAGES = 100, 500, 5000
"""All guesses are tried on the first so many; those that could be right on more, until they can be told apart."""


@dataclass(frozen=True)
class Search:
    """Tries every guess of a model's I/O.

    Attributes
    ----------
    prober
        Its images are those of `labelled`, the same ones shifted by a pixel, and others.
    labelled
        Training images.
    statistics
        Of all of them.
    constraints
        What is known already.
    """

    prober: Prober
    labelled: Split
    statistics: Statistics
    constraints: Constraints
    progress: Progress

    def best(self, stated: float | None, precision: str) -> tuple[ModelIO, dict[str, Any]]:
        """Give the best guess, and what the manifest says of how it was found.

        Parameters
        ----------
        stated
            The accuracy that the file states.
        precision
            The model's.

        Raises
        ------
        BundleError
            It runs with no guess, or tells no digits apart with the best.
        """
        ranked = self._ranked()
        best, fitness = ranked[0], self._fit(ranked[0], stated)
        if fitness.accuracy < fitness.least:
            raise BundleError(
                f"it doesn't recognise digits: the best of {len(ranked)} forms, {describe(best.model_io)}, "
                f"{caveats.reached(fitness)}; less than {fitness.least:.1%} is refused; {caveats.HINT}"
            )
        steady = steadiness.measure_steadiness(self.prober, best.model_io, len(self.labelled), precision)
        runner_up = next((trial for trial in ranked[1:] if not ranking.are_same(trial, best)), None)
        return best.model_io, {
            "tried": len(ranked), "chosen": _trial_to_json(best),
            "runner_up": _trial_to_json(runner_up) if runner_up else None, "fit": fitness.to_json(),
            "batch": steady.to_json(),
        }  # fmt: skip

    def _ranked(self) -> list[Trial]:
        """Try all guesses, those that could be right on more images, and sort them: the best first."""
        candidates = guesses.model_ios(self.prober.signatures, self.constraints, self.statistics)
        first = self._try(candidates, FIRST_IMAGES, shifted=False)
        if not first:  # some declare that any number will do, and take but one
            single = dict.fromkeys(replace(model_io, batch=1) for model_io in candidates if model_io.batch is None)
            first = self._try(list(single), FIRST_IMAGES, shifted=False)
        if not first:
            raise BundleError(f"it can't be run in any form: {self.prober.fault}")
        ranked, likely = ranking.ranked(first), ranking.likely(first)
        for count in (IMAGES, MORE_IMAGES):
            # More images may take it too long: then the first trials count.
            retried = self._try([trial.model_io for trial in likely], count, shifted=True)
            if not retried:
                break
            ranked = [*ranking.ranked(retried), *(trial for trial in ranked if trial not in likely)]
            likely = ranking.level_with_best(retried)
            if ranking.is_decided(ranked[0], likely):
                break
        return ranked

    def _try(self, model_ios: Sequence[ModelIO], count: int, *, shifted: bool) -> list[Trial]:
        """Score the first `count` images with each, and these shifted if asked for."""
        known = len(self.labelled)
        count, trials = min(count, known), []
        numbers = [*range(count), *(range(known, known + count) if shifted else ())]
        task = f"trying forms on {len(numbers):,} training images"
        for done, model_io in enumerate(model_ios):
            self.progress.update(task, done, len(model_ios), describe(model_io))
            scores = self.prober.ask(model_io, numbers)
            if scores is not None:
                labels = self.labelled.labels[:count]
                trials.append(ranking.judge(model_io, scores, labels, self.constraints.activation))
        self.progress.update(task, len(model_ios), len(model_ios), f"{len(model_ios)} forms")
        return trials

    def _fit(self, best: Trial, stated: float | None) -> Fit:
        """Say how well the best guess fits."""
        count = fit.scored(self.labelled)
        if len(best.right) < count:
            scores = self.prober.ask(best.model_io, range(count))
            if scores is None:  # more images may take it too long
                count = len(best.right)
            else:
                best = ranking.judge(best.model_io, scores, self.labelled.labels[:count], best.model_io.activation)
        right = best.right[:count]
        # One that is nearly always right is so whatever another one says, which takes a second to fit.
        simple = None if right.mean() > 1 - fit.GAP else fit.logistic_regression(self.labelled, count, best.model_io)
        return fit.measure(right, simple, self.labelled.labels[:count], stated)


NORMALISED = {
    "image": "each image divided by its norm", "rows": "each row of pixels divided by its norm",
    "columns": "each column of pixels divided by its norm", "standard": "each image standardised",
}  # fmt: skip
STANDARDISED = {IMAGENET: "ImageNet's mean and deviation", CAFFE: "Caffe's means, 0 to 255"}
FITTED = {"pad": "padded", "resize": "resized", "crop": "its middle", "mean": "means of blocks"}


def describe(model_io: ModelIO) -> str:
    """Say in a few words what a model takes: ``28×28×1, background 0, foreground 255``."""
    height, width = square(model_io.shape)
    parts = ["×".join(map(str, model_io.shape))]
    if model_io.normalised:
        parts.append(NORMALISED[model_io.normalised])
    if model_io.mean:
        parts.append(STANDARDISED.get((model_io.mean, model_io.deviation), "each pixel standardised"))
    if not (model_io.normalised or model_io.mean):
        parts += [f"background {model_io.background:.4g}", f"foreground {model_io.foreground:.4g}"]
    elif model_io.background > model_io.foreground:
        parts.append("dark on light")
    parts += [FITTED[model_io.fit]] * ((height, width) != (SIDE, SIDE))
    parts += [f"output {model_io.output.name}"] * bool(model_io.output.name)
    return ", ".join([*parts, *([f"signature {model_io.signature}"] * bool(model_io.signature))])


def _trial_to_json(trial: Trial) -> dict[str, Any]:
    model_io = trial.model_io
    return {"form": describe(model_io), "activation": model_io.activation, "output": model_io.output.name,
            "correct": int(trial.right.sum()), "images": len(trial.right), "accuracy": trial.accuracy,
            "log_loss": trial.surprise}  # fmt: skip
