"""Where the batch is among a model's axes, which of several ways to call it is taken, and what further inputs get."""

from __future__ import annotations

from typing import Any

import pytest

from core.test_guesses import SCORES, Shape, guessed, images, refusal, signature
from digitbench.backend import Signature, Tensor
from digitbench.data.mnist import TASK
from digitbench.errors import BundleError, UsageError
from digitbench.importing.guesses import NO_CONSTRAINTS, Constraints, model_ios
from digitbench.importing.normalisations import Statistics

__all__ = ["images"]  # a fixture


@pytest.mark.parametrize(
    ("taken", "given", "expected"),
    [
        ((28, 28), (10,), ((28, 28), None, None, (10,), 1)),
        ((784,), (1, 10), ((784,), None, 0, (10,), 1)),
        ((1, 28, 28), (10,), ((28, 28), 0, None, (10,), 1)),
        ((784, 1), (10, 1), ((784,), -1, -1, (10,), 1)),
        ((3, 28, 28), (10,), ((3, 28, 28), None, None, (10,), 1)),
        ((784, None), (10, None), ((784,), -1, -1, (10,), None)),
        ((28, 28, None), (None, 10), ((28, 28), -1, 0, (10,), None)),
        ((784, 32), (10, 32), ((784,), -1, -1, (10,), 32)),
        ((None, 784), (10,), ((784,), 0, None, (10,), 1)),
        ((32, 784), (32, 10), ((784,), 0, 0, (10,), 32)),
    ],
    ids=str,
)
def test_the_batch_is_found_first_last_or_nowhere(
    images: Statistics, taken: Shape, given: Shape, expected: tuple[Any, ...]
) -> None:
    candidates = guessed(images, taken, Tensor("b", given, "float32"))
    assert {(io.shape, io.image_axis, io.answer_axis, io.answer, io.batch) for io in candidates} == {expected}


def test_of_several_signatures_all_are_tried_that_take_an_image_and_give_scores(images: Statistics) -> None:
    image, text = Tensor("image", (None, 784), "float32"), Tensor("example", (None,), "string")
    signatures = [Signature((text,), (SCORES,), "usual"), Signature((image,), (SCORES,), "plain"),
                  Signature((image,), (SCORES,), "other")]  # fmt: skip
    candidates = model_ios(signatures, NO_CONSTRAINTS, images, TASK)
    assert list(dict.fromkeys(io.signature for io in candidates)) == ["plain", "other"]
    candidates = model_ios(signatures, Constraints(signature="other"), images, TASK)
    assert {io.signature for io in candidates} == {"other"}
    with pytest.raises(UsageError, match="unknown --signature 'othr': did you mean 'other'"):
        model_ios(signatures, Constraints(signature="othr"), images, TASK)
    with pytest.raises(BundleError, match=r"none of its signatures .* usual: its input 'example' takes string, text"):
        model_ios([signatures[0], Signature((text,), (), "second")], NO_CONSTRAINTS, images, TASK)


@pytest.mark.parametrize(("name", "number"), [("keep_prob", 1.0), ("dropout_rate", 0.0), ("is_training", 0.0)])
def test_a_number_beside_the_image_is_given_what_switches_it_off(images: Statistics, name: str, number: float) -> None:
    inputs = (Tensor("image", (None, 784), "float32"), Tensor(name, (), "float32"))
    candidates = model_ios([Signature(inputs, (SCORES,))], NO_CONSTRAINTS, images, TASK)
    assert {io.constants for io in candidates} == {((name, number),)}
    assert {(io.io_spec.input, io.io_spec.constants) for io in candidates} == {("image", ((name, number),))}


@pytest.mark.parametrize(
    ("outputs", "advice"),
    [
        ([Tensor("label", (None,), "int64"), Tensor("p", (), "seq(map(int64,tensor(float)))")], "zipmap=False"),
        (
            [Tensor("label", (None,), "int64"), *(Tensor(f"i{i}", (None,), "float32") for i in range(10))],
            "zipmap=False",
        ),
        ([Tensor("label", (None,), "int64")], "only labels"),
    ],
)
def test_what_its_maker_can_do_is_said_where_the_outputs_tell(outputs: list[Tensor], advice: str) -> None:
    assert advice in refusal(BundleError, signature((None, 784), "float32", *outputs))
