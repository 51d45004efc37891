"""Trains networks of one recipe on one set of images: a single one, or a committee; for so many epochs, or minutes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from digitbench.data import Split
from digitbench.records.recipes import Recipe
from digitbench.records.task import Task
from digitbench.system.progress import Progress
from digitbench.train import compiled, loops, networks
from digitbench.train.feed import Feed
from digitbench.train.log import Log
from digitbench.train.teacher import Teacher

History = dict[str, list[float]]


class Trainer:
    """Holds what all networks share.

    Parameters
    ----------
    keras
        The module.
    recipe
        What to train.
    split
        The training images; the recipe's share of them is held out, from the end.
    task
        What they show.
    loop
        One of `loops.LOOPS`.
    progress
        Told of each epoch.
    """

    def __init__(self, keras: Any, recipe: Recipe, split: Split, task: Task, loop: str, progress: Progress) -> None:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()  # sums in the same order every time
        self._keras, self._recipe, self._task, self._progress = keras, recipe, task, progress
        self._train_count = count = len(split) - round(len(split) * recipe.validation_split)
        self._split = split.head(count)
        self._held_out = Split(split.pixels[count:], split.labels[count:]) if count < len(split) else None
        self._teacher = Teacher(keras, recipe.teacher) if recipe.teacher else None
        self._loop, self._loop_reason = loops.choose(loop, recipe, self._steps)
        if self._loop_reason and loop == "auto":
            progress.say(f"training with Keras' own fit: {self._loop_reason}")

    @property
    def _steps(self) -> int:
        return -(-self._train_count // self._recipe.batch_size)

    def train(self, budget: float | None = None) -> tuple[Any, Recipe, History, dict[str, Any]]:
        """Train.

        Parameters
        ----------
        budget
            Seconds, from which the number of epochs is chosen; None for the recipe's own number.

        Returns
        -------
        tuple
            The Keras model; the recipe as it was trained, as the budget may have chosen its `epochs`; the history by
            epoch, of a committee the mean of its members'; and what the manifest says of it.
        """
        began = time.perf_counter()
        recipe = self._recipe
        if budget is not None:
            recipe = self._recipe_within(budget)
            self._progress.say(f"{recipe.epochs} epochs fit into {budget:g} s")
        members, histories = [], []
        for number in range(recipe.members):
            prefix = f"member {number + 1}/{recipe.members}, " if recipe.members > 1 else ""
            model, history = self._train_network(replace(recipe, seed=recipe.seed + number), prefix)
            members.append(model)
            histories.append(history)
        model = members[0] if recipe.members == 1 else networks.committee(self._keras, members)
        history = {key: np.mean([member[key] for member in histories], axis=0).tolist() for key in histories[0]}
        facts: dict[str, Any] = {
            "seconds": round(time.perf_counter() - began, 2), "images": self._train_count,
            "held_out": len(self._held_out.labels) if self._held_out else 0, "loop": self._loop,
        }  # fmt: skip
        if self._loop_reason:
            facts["why"] = self._loop_reason
        if budget is not None:
            facts["budget_seconds"] = budget
        if self._teacher:
            facts["teacher"] = self._teacher.to_json()
        return model, recipe, history, facts

    def _train_network(self, recipe: Recipe, prefix: str = "") -> tuple[Any, History]:
        log = Log(recipe.epochs, self._steps, self._progress, prefix)
        teach = self._teacher.teach if self._teacher else None
        compiles = self._loop == "compiled"
        hold = compiled.hold if compiles else None
        with Feed(recipe, self._split, self._task.classes, teach, raw=compiles, hold=hold) as feed:
            model = networks.build(self._keras, recipe, self._task, self._steps)
            loops.run(self._loop, model, recipe, feed, self._held_out, log)
        return model, log.history

    def _recipe_within(self, budget: float) -> Recipe:
        """Choose how many epochs a training may have, by one of two epochs: the second's time is every later one's."""
        began = time.perf_counter()
        two_epochs = replace(self._recipe, epochs=2, warmup=min(1, self._recipe.warmup))
        _, history = self._train_network(two_epochs, "timing, ")
        first, later = history["seconds"]
        remaining = (budget - (time.perf_counter() - began)) / self._recipe.members - max(first - later, 0)
        epochs = max(1, int(remaining / later))
        return self._recipe.changed(epochs=epochs, warmup=min(self._recipe.warmup, epochs - 1))
