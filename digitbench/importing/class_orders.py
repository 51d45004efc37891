"""Which output of a model belongs to which class: by names where they are known, else the few usual orders are tried.

All of them are tried on scores that are there already: none takes another run of the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from digitbench.backend import Scores
from digitbench.importing.labels_file import LabelsFile
from digitbench.plugins.model_io import ModelIO
from digitbench.records.arrays import Labels
from digitbench.records.task import Task

Columns = tuple[int, ...]
SURE, LEAST = 4.0, 0.3
"""Standard errors by which another order than that of the data must be ahead, and the share it must have right."""

MATCHED = 0.3
"""An order that matches images and outputs one to one is spoken of if it has so many more right, as a share."""


def orders(task: Task, outputs: int, labels: LabelsFile | None) -> list[Columns]:
    """Give every order that so many outputs could have, the most usual first; only that of the names, if they fit."""
    named = labels.columns(task) if labels and len(labels.names) == outputs else ()
    if named:
        return [named]
    names, classes = task.class_names, task.classes
    listed = [names, sorted(names), sorted(names, key=str.casefold), sorted(names, key=_natural)]
    listed += [names[::-1]] * (classes == 2)
    columns = [{name: column for column, name in enumerate(order)} for order in listed]
    usual = [tuple(column_of[name] for name in names) for column_of in columns]
    if outputs == classes:
        usual += [tuple((label + step) % classes for label in range(classes)) for step in (-1, 1)]
    first_unused = [tuple(column + 1 for column in columns) for columns in usual]
    return list(dict.fromkeys(usual if outputs == classes else [*first_unused, *usual]))


def _natural(name: str) -> list[Any]:
    """Sort names as people do: 2 before 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.casefold()) for part in re.split(r"(\d+)", name)]


def best(scores: Scores, labels: Labels, columns: Sequence[Columns]) -> Columns:
    """Give the order with which most images are right, the first of several; empty for the outputs as they are.

    These are left as they are unless another order is better beyond doubt, and good: nonsense fits some order by luck.
    """
    right = np.array([scores[: len(labels), list(order)].argmax(axis=1) == labels for order in columns], np.int64)
    chosen = int(right.sum(axis=1).argmax())
    lead = right[chosen] - right[0]
    is_clear = lead.sum() > SURE * np.abs(lead).sum() ** 0.5 and right[chosen].mean() > LEAST
    order = columns[chosen if is_clear or len(columns[0]) < scores.shape[1] else 0]
    return () if order == tuple(range(scores.shape[1])) else order


def describe(model_io: ModelIO, task: Task, labels: LabelsFile | None = None) -> str:
    """Say in which order a model has the classes; empty where it is that of the task."""
    columns, classes = model_io.columns, task.classes
    if not columns:
        return ""
    shown = {column: task.class_names[label] for label, column in enumerate(columns)}
    unused = {tuple(range(1, classes + 1)): "first", tuple(range(classes)): "last"}.get(columns)
    if unused:
        return f"its {unused} output is none of the classes"
    if labels and labels.columns(task) == columns:
        return f"classes in the order of {labels.path}"
    listed = ", ".join(shown.get(column, "(unused)") for column in range(min(max(columns) + 1, 5)))
    return f"classes in the order {listed}{' …' * (max(columns) >= 5)}"


def telling_fact(
    scores: Scores, columns: Columns, labels: Labels, task: Task, file: LabelsFile | None, in_order: float = 0.0
) -> str:  # fmt: skip
    """Say what tells most of why a model has so few images right; empty where nothing does.

    Parameters
    ----------
    scores
        float32 (n, outputs): of the images of `labels`, in the model's own order.
    columns
        The order that was chosen.
    labels, task, file
        What the images show, and the names of outputs, if there are any.
    in_order
        The largest share of images that some guess had right in the order of the data, where names say another.
    """
    from scipy.optimize import linear_sum_assignment

    if len(scores) > 1 and np.ptp(scores, axis=0).max() == 0:
        return "its answer is the same for every image"
    predicted, outputs = scores.argmax(axis=1), scores.shape[1]
    counts = np.zeros((task.classes, outputs), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    rows, matched = linear_sum_assignment(counts, maximize=True)
    share = counts[rows, matched].sum() / len(labels)
    right = (scores[:, list(columns or range(task.classes))].argmax(axis=1) == labels).mean()
    if columns and file and file.columns(task) == columns and in_order > right + MATCHED:
        return f"in the order of the data {in_order:.1%} are right, not in that of {file.path}: correct {file.path}"
    if share > right + MATCHED:
        return (
            f"its outputs tell the classes apart, but in another order ({share:.1%} right if matched one to one): put "
            f"a labels.txt beside it with the names of its {outputs} outputs, one a line"
        )
    if file and (problem := file.problem(task)):
        return problem
    if outputs == task.classes + 1:
        return f"{outputs} outputs for {task.classes} classes: is one of them background?"
    if len(np.unique(predicted)) == 1:
        name = "the same class" if columns else task.class_names[predicted[0]]
        return f"it says {name} of every image"
    return ""
