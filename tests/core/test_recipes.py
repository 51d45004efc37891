"""Recipes: the named ones, their variations, and their JSON."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from inspect import signature
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.helpers import one_printable_line
from digitbench.commands.train import _read_field, train
from digitbench.data import mnist
from digitbench.errors import UsageError
from digitbench.records import recipes
from digitbench.records.recipes import ACTIVATIONS, LOSSES, OPTIONS, RECIPES, SCHEDULES, TUTORIALS, Recipe
from digitbench.records.task import Task

NAN, INFINITY = float("nan"), float("inf")

any_recipe = st.builds(
    Recipe,
    name=st.text(max_size=20),
    about=st.text(max_size=20),
    hidden=st.lists(st.integers(1, 65536), max_size=4).map(tuple),
    convolutions=st.lists(st.integers(1, 4096), max_size=1).map(tuple),
    crop=st.integers(0, 13),
    activation=st.sampled_from(ACTIVATIONS),
    dropout=st.floats(0, 1, exclude_max=True),
    batch_normalization=st.booleans(),
    optimizer=st.just("adamw"),
    weight_decay=st.none() | st.floats(0, 10),
    schedule=st.sampled_from(SCHEDULES),
    label_smoothing=st.floats(0, 1, exclude_max=True),
    weight_averaging=st.floats(0, 1, exclude_max=True),
    rotation=st.floats(0, 180),
    elastic=st.floats(0, 14),
    teacher=st.text(max_size=20),
    distillation=st.floats(0, 1),
    members=st.integers(1, 100),
    learning_rate=st.none() | st.floats(0, 10, exclude_min=True),
    loss=st.sampled_from(LOSSES),
    epochs=st.integers(1, 1000),
    batch_size=st.integers(1, 60000),
    validation_split=st.floats(0, 0.9),
    seed=st.integers(0, 2**32 - 1),
)


def test_the_tutorials_recipes_are_among_the_named_ones() -> None:
    assert TUTORIALS.items() <= RECIPES.items()
    assert {name: recipe.hidden for name, recipe in TUTORIALS.items()} == {
        "dense-128": (128,),
        "dense-100-sigmoid": (100,),
        "dense-256-128": (256, 128),
        "dense-128-dropout": (128,),
        "dense-512-rmsprop": (512,),
    }
    assert RECIPES["dense-100-sigmoid"].output_activation == "sigmoid"
    assert RECIPES["dense-128-dropout"].dropout == 0.2
    assert RECIPES["dense-512-rmsprop"].optimizer == "rmsprop"
    assert all(one_printable_line(recipe.about) for recipe in RECIPES.values())
    assert recipes.DEFAULT in RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_found_by_its_name(name: str) -> None:
    assert recipes.find(name) is RECIPES[name]


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("dense-129", "dense-128"), ("Dense-256", "dense-256-128"), ("dense-sigmoid", "dense-100-sigmoid")],
)
def test_an_unknown_recipe_is_told_the_nearest_and_all(wrong: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"unknown recipe '{wrong}': did you mean '{nearest}'") as caught:
        recipes.find(wrong)
    assert all(name in str(caught.value) for name in RECIPES)


def test_a_recipe_like_none_is_told_all() -> None:
    with pytest.raises(UsageError) as caught:
        recipes.find("xyz")
    assert "did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in RECIPES)


def test_nothing_changed_is_the_same_recipe() -> None:
    recipe = RECIPES["dense-128"]
    assert recipe.changed(epochs=None, hidden=None, dropout=None) == recipe
    assert recipe.changed(epochs=recipe.epochs).name == "dense-128"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"epochs": 3}, "dense-128+"),
        ({"hidden": ()}, "dense-128+"),
        ({"dropout": 0.5}, "dense-128+"),
        ({"seed": 7}, "dense-128"),
        ({"seed": 7, "epochs": 3}, "dense-128+"),
    ],
)
def test_a_change_shows_in_the_name_unless_it_is_the_seed_alone(change: dict[str, Any], name: str) -> None:
    old = RECIPES["dense-128"]
    new = old.changed(**change, learning_rate=None)
    assert new.name == name
    for item in fields(Recipe):
        if item.name not in {"name", "about"}:
            assert getattr(new, item.name) == change.get(item.name, getattr(old, item.name))
    assert (new.about == old.about) == (name == old.name), "a description of the old one would be wrong"
    assert new.changed(epochs=4).name == "dense-128+", "however often it is changed"


def test_a_change_to_zero_counts() -> None:
    assert RECIPES["dense-128-dropout"].changed(dropout=0.0).dropout == 0
    assert RECIPES["dense-128"].changed(validation_split=0.0).validation_split == 0


def test_a_bad_change_is_refused() -> None:
    with pytest.raises(UsageError, match="--epochs 0"):
        RECIPES["dense-128"].changed(epochs=0)


@given(any_recipe)
def test_json_gives_every_recipe_back(recipe: Recipe) -> None:
    text = json.dumps(recipe.to_json(), allow_nan=False)
    back = Recipe.from_json(json.loads(text))
    assert back == recipe
    assert back.about == recipe.about
    assert isinstance(back.hidden, tuple)


def test_json_from_a_newer_version_loses_only_what_is_unknown() -> None:
    recipe = RECIPES["dense-256-128"]
    assert Recipe.from_json(recipe.to_json() | {"invented_later": 1}) == recipe


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("activation", "softplus"),
        ("activation", ""),
        ("output_activation", "relu"),
        ("optimizer", "adagrad"),
        ("loss", "mse"),
        ("hidden", (0,)),
        ("hidden", (128, -1)),
        ("hidden", (65537,)),
        ("dropout", -0.1),
        ("dropout", 1.0),
        ("dropout", NAN),
        ("validation_split", -0.1),
        ("validation_split", 0.95),
        ("validation_split", NAN),
        ("learning_rate", 0.0),
        ("learning_rate", -1.0),
        ("learning_rate", NAN),
        ("learning_rate", INFINITY),
        ("epochs", 0),
        ("epochs", -3),
        ("schedule", "step"),
        ("crop", 14),
        ("crop", -1),
        ("convolutions", (0,)),
        ("receptive_fields", (0,)),
        ("receptive_fields", (57,)),
        ("receptive_fields", (7, 7)),
        ("weight_averaging", 1.0),
        ("weight_averaging", NAN),
        ("label_smoothing", 1.0),
        ("warmup", -1),
        ("rotation", 181.0),
        ("rotation", NAN),
        ("shear", -0.1),
        ("scaling", 0.95),
        ("shift", INFINITY),
        ("elastic", 15.0),
        ("smoothness", 0.0),
        ("distillation", 1.1),
        ("members", 0),
        ("batch_size", 0),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_in_one_line_that_names_the_option(option: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe(**{option: value})  # type: ignore[arg-type]
    assert one_printable_line(str(caught.value))
    assert str(caught.value).startswith(f"--{option.replace('_', '-')} ")
    with pytest.raises(UsageError):
        Recipe.from_json(Recipe().to_json() | {option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("hidden", (65536,)),
        ("hidden", ()),
        ("receptive_fields", (56,)),
        ("dropout", 0.99),
        ("validation_split", 0.9),
        ("seed", 2**32 - 1),
    ],
)
def test_the_last_good_value_is_taken(option: str, value: object) -> None:
    assert getattr(Recipe(**{option: value}), option) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"weight_decay": 0.1}, "--weight-decay"),
        ({"warmup": 10, "epochs": 10}, "--warmup"),
        ({"output_activation": "sigmoid", "teacher": "runs/x"}, "--output-activation"),
        ({"output_activation": "sigmoid", "label_smoothing": 0.1}, "--output-activation"),
        ({"convolutions": (8,), "receptive_fields": (7,)}, "--receptive-fields"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=f"^{option} ") as caught:
        Recipe(**changes)
    assert one_printable_line(str(caught.value))


@pytest.mark.parametrize(
    ("changes", "size", "option"),
    [
        ({"convolutions": (8,) * 5}, (28, 28), "--convolutions"),
        ({"convolutions": (8, 8), "crop": 13}, (28, 28), "--convolutions"),
        ({"convolutions": (8, 8)}, (3, 40), "--convolutions"), ({"crop": 8}, (40, 16), "--crop"),
    ],
    ids=str,
)  # fmt: skip
def test_a_task_whose_images_are_too_small_is_refused(
    changes: dict[str, Any], size: tuple[int, int], option: str
) -> None:
    with pytest.raises(UsageError, match=f"^{option} ") as caught:
        Recipe(**changes).check_task(Task(size, ("a", "b")))
    assert one_printable_line(str(caught.value))


def test_deformations_of_a_named_recipe_are_for_digits_alone() -> None:
    things = Task((32, 32, 3), ("a", "b"))
    tiny = RECIPES["dense-tiny"]
    assert tiny.on(mnist.TASK) is tiny
    assert not tiny.on(things).deformation
    assert not tiny.changed(seed=3, epochs=50).on(things).deformation
    assert tiny.changed(rotation=3).on(things).deformation, "asked for"


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPES["dense-128"].epochs = 1  # type: ignore[misc]


def test_every_field_is_an_option_of_train_once() -> None:
    names = [item.name for item in fields(Recipe) if item.name not in {"name", "about"}]
    assert list(OPTIONS) == names
    parameters = signature(train).parameters
    assert set(names) < set(parameters)
    assert "recipe_fields" not in parameters
    assert parameters["hidden"].annotation.__metadata__[0].metavar == "512,256"
    assert parameters["dropout"].annotation.__args__[0] == float | None
    assert all(option.help.endswith(".") for option in OPTIONS.values())


def test_options_of_several_numbers_are_read_and_none_is_empty() -> None:
    assert _read_field("hidden", "64,64") == (64, 64)
    assert _read_field("hidden", "none") == ()
    assert _read_field("hidden", None) is None
    assert _read_field("teacher", "none") == ""
    assert _read_field("loss", "none") == "none", "which the recipe refuses"
    assert _read_field("dropout", 0.0) == 0
    for text in ("", "8,x", "0"):
        with pytest.raises(UsageError, match=f"^--receptive-fields {text}: "):
            _read_field("receptive_fields", text)
