"""A manifest's recipe as one line of text; recipes of older and newer versions have other fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FIELD_TEXTS = (
    ("weight_decay", "weight decay {}"), ("warmup", "{} epochs of warm-up"), ("label_smoothing", "label smoothing {}"),
    ("weight_averaging", "weights averaged with {}"), ("rotation", "turned by ±{}°"), ("shear", "sheared by ±{}"),
    ("scaling", "scaled by ±{}"), ("shift", "shifted by ±{} pixels"), ("elastic", "bent by {} pixels"),
    ("teacher", "taught by {}"),
)  # fmt: skip
"""How a field is written that isn't empty or 0."""


def recipe_line(recipe: Mapping[str, Any]) -> str:
    """Say what a recipe trains, and how: ``"128 relu, softmax, adam, 10 epochs in steps of 32, seed 0"``."""
    return ", ".join(part for part in _parts(recipe) if part)


def _parts(recipe: Mapping[str, Any]) -> Iterator[str]:
    hidden, filters, members = (recipe.get(key) for key in ("hidden", "convolutions", "members"))
    yield f"a committee of {members}" if isinstance(members, int) and members > 1 else ""
    yield f"without {recipe['crop']} pixels at each edge" if recipe.get("crop") else ""
    yield f"convolutions of {', '.join(map(str, filters))} filters" if isinstance(filters, list) and filters else ""
    widths = "-".join(map(str, hidden)) if isinstance(hidden, list | tuple) and hidden else "no hidden layer"
    yield f"{widths} {recipe.get('activation', '')}".strip() if hidden else widths
    fields = recipe.get("receptive_fields")
    yield f"receptive fields of {', '.join(map(str, fields))} pixels" if isinstance(fields, list) and fields else ""
    yield "batch normalisation" if recipe.get("batch_normalization") else ""
    yield f"dropout {recipe['dropout']}" if recipe.get("dropout") else ""
    yield str(recipe.get("output_activation", ""))
    yield str(recipe.get("optimizer", ""))
    yield f"learning rate {recipe['learning_rate']}" if recipe.get("learning_rate") is not None else ""
    yield "cosine schedule" if recipe.get("schedule") == "cosine" else ""
    yield from (template.format(recipe[key]) for key, template in FIELD_TEXTS if recipe.get(key))
    yield str(recipe.get("loss", "")).replace("_", " ")
    yield f"{recipe.get('epochs')} epochs in steps of {recipe.get('batch_size')}" if recipe.get("epochs") else ""
    yield f"seed {recipe['seed']}" if "seed" in recipe else ""
