"""Find out what a model takes and gives: every guess is tried on labelled training images, the likely ones on more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from time import monotonic
from typing import Any

import numpy as np
from msgspec.structs import replace

from digitbench.backend import Scores
from digitbench.bundle import caveats
from digitbench.bundle.manifest import Fit
from digitbench.data import Split
from digitbench.errors import BundleError
from digitbench.importing import class_orders, fit, guesses, ranking, steadiness
from digitbench.importing.describing import describe
from digitbench.importing.guesses import Constraints
from digitbench.importing.labels_file import LabelsFile
from digitbench.importing.normalisations import Statistics
from digitbench.importing.prober import Prober
from digitbench.importing.ranking import Trial
from digitbench.importing.variations import in_stages, variations
from digitbench.plugins.model_io import ModelIO
from digitbench.records.task import Task
from digitbench.system.progress import Progress

NEARLY_BEST_SHARE = 0.1
SECONDS, LEAST_VARIED = 30.0, 8
"""Of models of pictures each round of trials takes about so long at most, but so many guesses are always varied."""

TOLERANCE = 1e-3
"""So far below 0 or above 1 a probability may be, of rounding."""

FIRST_IMAGES, IMAGES, MORE_IMAGES = 100, 500, 5000
"""All guesses are tried on the first so many; those that could be right on more, until they can be told apart."""


@dataclass(frozen=True)
class Search:
    """Tries every guess of a model's I/O.

    Attributes
    ----------
    prober
        Its images are those of `labelled`, the same ones shifted by a pixel, and others.
    labelled, task
        Training images, and what they show.
    statistics
        Of all of them.
    constraints
        What is known already.
    labels
        Names of the model's outputs, where they are known.
    in_order
        Filled while it searches: see `digitbench.importing.class_orders.telling_fact`.
    """

    prober: Prober
    labelled: Split
    task: Task
    statistics: Statistics
    constraints: Constraints
    progress: Progress
    labels: LabelsFile | None = None
    in_order: list[float] = field(default_factory=list)

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
            fact = self._telling_fact(best)
            raise BundleError(
                f"it doesn't recognise {'digits' if self.task.is_digits else 'these classes'}: the best of "
                f"{len(ranked)} forms, {self._described(best.model_io)}, {caveats.reached(fitness)}; less than "
                f"{fitness.least:.1%} is refused; {f'{fact}; ' * bool(fact)}{caveats.HINT}"
            )
        steady = steadiness.measure_steadiness(self.prober, best.model_io, len(self.labelled), precision)
        runner_up = next((trial for trial in ranked[1:] if not ranking.are_same(trial, best)), None)
        return best.model_io, {
            "tried": len(ranked), "chosen": self._trial_to_json(best),
            "runner_up": self._trial_to_json(runner_up) if runner_up else None, "fit": fitness.to_json(),
            "batch": steady.to_json(), "notes": self._notes(best.model_io),
        }  # fmt: skip

    def _ranked(self) -> list[Trial]:
        """Try all guesses, those that could be right on more images, and sort them: the best first."""
        named = len(self.labels.names) if self.labels and self.labels.columns(self.task) else 0
        candidates = guesses.model_ios(self.prober.signatures, self.constraints, self.statistics, self.task, named)
        began = monotonic()
        first = self._try(in_stages(candidates, self.task), FIRST_IMAGES, shifted=False)
        if not first:  # some declare that any number will do, and take but one
            single = dict.fromkeys(replace(model_io, batch=1) for model_io in candidates if model_io.batch is None)
            first = self._try(list(single), FIRST_IMAGES, shifted=False)
        if not first:
            raise BundleError(f"it can't be run in any form: {self.prober.fault}")
        each = (monotonic() - began) / len(first)
        varied = variations(self._sorted(first), candidates, self.task)[: max(LEAST_VARIED, int(SECONDS / each))]
        first += self._try(varied, FIRST_IMAGES, shifted=False) if varied else []
        ranked, likely = self._sorted(first), ranking.likely(first)
        for count in (IMAGES, MORE_IMAGES):
            images = count if self.task.is_digits else min(count, int(FIRST_IMAGES * SECONDS / each / len(likely) / 2))
            if images <= FIRST_IMAGES:
                break
            # More images may take it too long: then the first trials count.
            retried = self._try([trial.model_io for trial in likely], images, shifted=True)
            if not retried:
                break
            ranked = [*self._sorted(retried), *(trial for trial in ranked if trial not in likely)]
            likely = ranking.level_with_best(retried)
            if ranking.is_decided(ranked[0], likely):
                break
        return ranked

    def _sorted(self, trials: Sequence[Trial]) -> list[Trial]:
        return ranking.ranked(trials, 0.0 if self.task.is_digits else NEARLY_BEST_SHARE)

    def _try(self, model_ios: Sequence[ModelIO], count: int, *, shifted: bool) -> list[Trial]:
        """Score the first `count` images with each, and these shifted if asked for."""
        known = len(self.labelled)
        count, trials = min(count, known), []
        numbers = [*range(count), *(range(known, known + count) if shifted else ())]
        task = f"trying forms on {len(numbers):,} training images"
        for done, model_io in enumerate(model_ios):
            self.progress.update(task, done, len(model_ios), self._described(model_io))
            scores = self.prober.ask(replace(model_io, columns=()), numbers)
            if scores is not None:
                trials.append(self._judge(model_io, scores, count))
        self.progress.update(task, len(model_ios), len(model_ios), f"{len(model_ios)} forms")
        return trials

    def _judge(self, model_io: ModelIO, scores: Scores, count: int) -> Trial:
        """Judge a guess by the model's scores, with the order of classes that is the best for it."""
        labels, activation = self.labelled.labels[:count], self.constraints.activation
        if model_io.answer and prod(model_io.answer) == 1 and not activation:
            is_logit = model_io.activation == "logits" or bool(scores.min() < -TOLERANCE)
            activation = "logits" if is_logit else "sigmoid"
            if is_logit:  # it may have been taken for a probability: then the first column is 1 less it
                scores = np.stack([np.zeros_like(scores[:, 1]), scores[:, 1]], axis=1)
        columns = class_orders.best(scores, labels, class_orders.orders(self.task, scores.shape[1], self.labels))
        ordered = scores[:, list(columns)] if columns else scores
        if columns and scores.shape[1] == self.task.classes:
            self.in_order.append(float((scores[:count].argmax(axis=1) == labels).mean()))
        return ranking.judge(replace(model_io, columns=columns), ordered, labels, activation)

    def _telling_fact(self, best: Trial) -> str:
        columns, labels = best.model_io.columns, self.labelled.labels[: len(best.right)]
        scores, in_order = (
            self.prober.ask(replace(best.model_io, columns=()), range(len(labels))),
            [0.0, *self.in_order],
        )
        if scores is None:
            return ""
        return class_orders.telling_fact(scores, columns, labels, self.task, self.labels, max(in_order))

    def _notes(self, model_io: ModelIO) -> list[str]:
        """Say what its maker's list of names tells beside the form."""
        if self.labels and (problem := self.labels.problem(self.task)):
            return [f"{problem}; it wasn't used"] * self.task.named
        if not self.labels or not model_io.columns:
            return []
        return [f"{self.labels.path} lists the classes in another order than the data: its names decide"]

    def _described(self, model_io: ModelIO) -> str:
        return describe(model_io, self.task, self.labels)

    def _trial_to_json(self, trial: Trial) -> dict[str, Any]:
        model_io = trial.model_io
        return {"form": self._described(model_io), "activation": model_io.activation, "output": model_io.output.name,
                "correct": int(trial.right.sum()), "images": len(trial.right), "accuracy": trial.accuracy,
                "log_loss": trial.surprise}  # fmt: skip

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
        return fit.measure(right, simple, self.labelled.labels[:count], self.task.classes, stated)
