"""Which arrays of a set are what, by the names that people give them: ``x_test``, ``test_images``, ``X`` …"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import prod

ROLES = ("x_train", "y_train", "x_test", "y_test")
PART = re.compile(r"training|train|testing|test|t10k|validation|valid|val")
TRAIN, TEST, VALIDATION = "train", "test", "validation"
PARTS = {
    "training": TRAIN, "train": TRAIN, "testing": TEST, "test": TEST, "t10k": TEST, "": "",
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
}  # fmt: skip
KINDS = {
    **dict.fromkeys(("x", "image", "images", "img", "imgs", "data", "pixels", "features", "digits"), "x"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets", "class", "classes"), "y"),
}
VALIDATION_UNUSED, VALIDATION_TESTED = "its validation part is left out", "its validation part is what is tested with"
CLASS_NAMES = {
    "classnames", "labelnames", "labelsnames", "labelstext", "labeltext", "names", "categories", "targetnames",
}  # fmt: skip
SHOWN = 6
LEAST_PIXELS = 64  # of an image whose array has no name that says so


class AmbiguousNames(ValueError):
    """Two arrays could be the same."""


def part_and_kind(name: str) -> tuple[str, str]:
    """Read a name: its part (train, test, validation or none), and ``"x"`` for images, ``"y"`` for labels or none."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    match = PART.search(letters)
    part = match[0] if match else ""
    return PARTS[part], KINDS.get(letters.replace(part, "", 1), "")


def by_name(names: Iterable[str]) -> dict[str, str]:
    """Give the name that each of MNIST's four arrays has here: ``{"x_test": "test_images", …}``; of some perhaps none.

    MNIST's own names go before all others. Images and labels without a part are the test set, if nothing else is.

    Raises
    ------
    AmbiguousNames
        Two names could be the same array's.
    """
    names = list(names)
    exact = {role: role for role in ROLES if role in names}
    if exact.keys() >= {"x_test", "y_test"}:
        return exact
    found: dict[str, list[str]] = {}
    for name in names:
        part, kind = part_and_kind(name)
        if kind:
            found.setdefault(f"{kind}_{part}", []).append(name)
    if not found.keys() & {"x_test", "y_test", "x_train", "y_train"}:
        found = {f"{role}test": found[role] for role in ("x_", "y_") if role in found}
    for role in ROLES:
        if len(found.get(role, ())) > 1:
            raise AmbiguousNames(
                f"{' and '.join(map(repr, found[role][:2]))} could both be {role}: rename one of them to that"
            )
    return {role: found[role][0] for role in ROLES if role in found}


def validation(names: Iterable[str]) -> dict[str, str]:
    """Give the names of a validation part in the roles of a test set; none if there isn't a whole one."""
    kinds = {kind: name for name in names for part, kind in [part_and_kind(name)] if part == VALIDATION and kind}
    return {"x_test": kinds["x"], "y_test": kinds["y"]} if kinds.keys() == {"x", "y"} else {}


def is_class_names(name: str) -> bool:
    """Is an array called as one that holds the names of classes."""
    return re.sub(r"[^a-z]", "", name.lower()) in CLASS_NAMES


def by_shape(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Tell images from labels where there are two arrays and their names say nothing, as ``arr_0`` and ``arr_1``."""
    if len(shapes) != 2:
        return {}
    images = [name for name, shape in shapes.items() if len(shape) > 1 and prod(shape[1:]) >= LEAST_PIXELS]
    labels = [name for name, shape in shapes.items() if len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, 10))]
    if len(images) == len(labels) == 1 and shapes[labels[0]][0] in (shapes[images[0]][0], shapes[images[0]][-1]):
        return {"x_test": images[0], "y_test": labels[0]}
    return {}


def advice(roles: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Say what there is, and what to do where that is no whole set of digits."""
    there = ", ".join(f"{name[:30]} {shape}" for name, shape in list(shapes.items())[:SHOWN])
    held = f"it holds {there or 'no array'}{' …' * (len(shapes) > SHOWN)}"
    if len(shapes) == 1 and len(next(iter(shapes.values()))) > 1:
        return (
            f"{held}, which may be images, and without labels nothing can be scored; some sets keep them in a second "
            "file: save both in one, as x_test and y_test"
        )
    if roles.keys() == {"x_train", "y_train"}:
        return f"{held}, all to train on: save images to score too, as x_test and y_test"
    return f"{held}; call images x_test, and their labels y_test"
