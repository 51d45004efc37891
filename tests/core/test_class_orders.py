"""Orders of classes that are tried on scores, which is taken, and what is said where none fits."""

from __future__ import annotations

import numpy as np

from digitbench.importing import class_orders
from digitbench.importing.labels_file import LabelsFile
from digitbench.plugins.model_io import ModelIO
from digitbench.records.task import Task, numbered

NAMED = Task((8, 8, 3), ("ant", "bee", "Cow", "dog"))
TWELVE = Task((8, 8), numbered(12))


def test_the_usual_orders_are_tried_that_of_the_data_first() -> None:
    orders = class_orders.orders(NAMED, 4, None)
    assert orders[:2] == [(0, 1, 2, 3), (1, 2, 0, 3)], "as listed; capitals first"
    assert set(orders[2:]) == {(1, 2, 3, 0), (3, 0, 1, 2)}, "and rolled by one"
    assert class_orders.orders(NAMED, 5, None)[0] == (1, 2, 3, 4), "the first unused"
    assert (0, 1, 2, 3) in class_orders.orders(NAMED, 5, None)
    by_text = class_orders.orders(TWELVE, 12, None)[1]
    assert by_text[:4] == (0, 1, 4, 5), "0, 1, 10, 11, 2"
    assert class_orders.orders(Task((8, 8), ("b", "a")), 2, None) == [(0, 1), (1, 0)]


def test_names_decide_alone_where_they_fit() -> None:
    labels = LabelsFile("labels.txt", ("dog", "cow", "bee", "ant"))
    assert class_orders.orders(NAMED, 4, labels) == [(3, 2, 1, 0)]
    assert len(class_orders.orders(NAMED, 5, labels)) > 1, "other outputs than it names"


def test_the_order_with_the_most_right_is_taken_and_said() -> None:
    labels = np.arange(48) % 12
    for order in class_orders.orders(TWELVE, 12, None):
        scores = np.eye(12, dtype=np.float32)[np.array(order)[labels]]
        assert class_orders.best(scores, labels, class_orders.orders(TWELVE, 12, None)) in (order, ())
    by_text = class_orders.orders(TWELVE, 12, None)[1]
    said = class_orders.describe(ModelIO(answer=(12,), columns=by_text), TWELVE)
    assert said == "classes in the order 0, 1, 10, 11, 2 …"
    assert class_orders.describe(ModelIO(), TWELVE) == ""
    first, last = ModelIO(columns=tuple(range(1, 13))), ModelIO(columns=tuple(range(12)))
    assert class_orders.describe(first, TWELVE) == "its first output is none of the classes"
    assert class_orders.describe(last, TWELVE) == "its last output is none of the classes"


def test_what_tells_most_is_said() -> None:
    labels = np.arange(40) % 4
    eye = np.eye(5, dtype=np.float32)

    def fact(scores: object, **more: object) -> str:
        return class_orders.telling_fact(np.asarray(scores), (), labels, NAMED, None, **more)  # type: ignore[arg-type]

    assert fact(np.ones((40, 4), np.float32)) == "its answer is the same for every image"
    assert "in another order (100.0% right if matched one to one)" in fact(eye[[2, 0, 3, 1]][labels][:, :4])
    drawn = np.random.default_rng(0).random((40, 5), np.float32)
    assert fact(drawn) == "5 outputs for 4 classes: is one of them background?"
    same = drawn[:, :4] + eye[1, :4] * 5
    assert fact(same) == "it says bee of every image"
    assert fact(drawn[:, :4]) == ""
