"""What may be wrong with a set of digits although each part of it can be read: told in a note, and never mended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from digitbench.data import classes, dividing, mnist, simple_classifier
from digitbench.errors import DataError
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.task import Task

MANY_IMAGES = 10  # images: fewer may well show the same digit
MISSING_FROM = 50  # images: of fewer it is no surprise that a digit is missing
LEAST_LOOKED_AT, LOOKED_AT = 20, 1000  # images: enough to see which way up they are, if anything is; and at most
LEAST_RECOGNISED, STANDARD_ERRORS = 0.3, 4  # of what are digits
COPIES_SHARE = 0.01  # of the images: fewer copies are by chance

# The ways in which a picture can lie; and what puts it upright: are rows and columns exchanged, and then reversed.
WAYS = {
    "transposed, as EMNIST's are": (True, 1, 1),
    "mirrored left to right": (False, 1, -1),
    "mirrored top to bottom": (False, -1, 1),
    "upside down": (False, -1, -1),
    "turned to the left": (True, 1, -1),
    "turned to the right": (True, -1, 1),
    "transposed and upside down": (True, -1, -1),
}


def remarks(arrays: Mapping[str, Pixels]) -> str:
    """Say what is odd about a set of digits; nothing of most.

    Parameters
    ----------
    arrays
        x_test and y_test, and x_train and y_train or none: uint8, (n, 28, 28) and (n,).
    """
    notes = [lying_note(arrays["x_test"], arrays["y_test"]), copies_note(arrays["x_test"])]
    notes += [_missing_digits(key, arrays.get(key)) for key in ("y_train", "y_test")]
    return "".join(f"; {note}" for note in notes if note)


def doubt_labels(path: Path, arrays: Mapping[str, Pixels]) -> str:
    """Say what is odd about labels that nothing but an array's name calls so; nothing of most.

    Raises
    ------
    DataError
        They are the same for many images, as a place-holder's are.
    """
    notes = ""
    for key in ("y_train", "y_test"):
        labels = arrays.get(key, np.empty(0, np.uint8))
        if len(labels) >= MANY_IMAGES and np.ptp(labels) == 0:
            raise DataError(
                f"{path}: {key} is {labels[0]} for all {len(labels):,} images; are the labels unknown? If all "
                f"images really show it, give a CSV with a column called 'label', or pictures in a folder {labels[0]}"
            )
        if len(labels) > 2 and (np.diff(labels.astype(int)) == 1).all():
            notes += f"; {key} counts up from {labels[0]} to {labels[-1]}: check that these are labels"
    return notes


def _missing_digits(key: str, labels: Pixels | None) -> str:
    if labels is None or len(labels) < MISSING_FROM:
        return ""
    missing = sorted(set(range(mnist.TASK.classes)) - set(labels.tolist()))
    return f"{key} has no {', '.join(map(str, missing))}" if missing else ""


def lying_note(pixels: Pixels, labels: Pixels) -> str:
    """Say that the pictures lie on their side, or are mirrored, if by their labels they are; and how to put them right.

    A simple classifier is asked of the pictures as they are and of the seven other ways in which a square can lie.
    """
    if len(pixels) < LEAST_LOOKED_AT:
        return ""
    chosen = np.linspace(0, len(pixels) - 1, min(LOOKED_AT, len(pixels))).astype(int)
    pixels, labels = pixels[chosen], labels[chosen]
    as_they_are = simple_classifier.recognised(pixels) == labels
    # What is right of most is so without a look at the others.
    if as_they_are.mean() > 1 - simple_classifier.LEAST_RIGHT:
        return ""
    right = {way: simple_classifier.recognised(_put_upright(pixels, way)) == labels for way in WAYS}
    way = max(right, key=lambda way: int(right[way].sum()))
    if not simple_classifier.ahead(right[way], as_they_are):
        return ""
    across, down, sideways = WAYS[way]
    upright = ".transpose(0, 2, 1)" * across + f"[:, ::{down}, ::{sideways}]" * (down + sideways < 2)
    shares = f"{right[way].mean():.0%} of them corrected, and {as_they_are.mean():.0%} as they are"
    return (
        f"the pictures look {way}, since a simple classifier recognises {shares}; they are scored as they are: to "
        f"correct them, save x{upright}, where x is (n, {pixels.shape[1]}, {pixels.shape[2]})"
    )


def recognised_as_digits(pixels: Pixels, labels: Labels | Pixels) -> float | None:
    """Say how many of the pictures a simple classifier of digits recognises, whichever way they lie.

    Returns
    -------
    float or None
        A share: above `LEAST_RECOGNISED` they are digits, since it is also well above chance; else they aren't. None if
        there are too few pictures to say.
    """
    if len(pixels) < LEAST_LOOKED_AT:
        return None
    chosen = np.linspace(0, len(pixels) - 1, min(LOOKED_AT, len(pixels))).astype(int)
    pixels, labels = pixels[chosen], labels[chosen]
    shares = [0.0]
    for turned in (pixels, *(_put_upright(pixels, way) for way in WAYS)):
        seen = simple_classifier.recognised(turned)
        # As many would agree if the answers were dealt out anew.
        chance = sum(float((seen == label).mean() * (labels == label).mean()) for label in range(mnist.TASK.classes))
        share = float((seen == labels).mean())
        if share > chance + STANDARD_ERRORS * np.sqrt(chance * (1 - chance) / len(pixels)):
            shares.append(share)
    return max(shares)


def general_remarks(arrays: Mapping[str, Pixels], task: Task, *, divided_here: bool) -> list[str]:
    """Say what is odd about a set of any classes; nothing of most."""
    notes = list[str]()
    train, test = (dividing.digests(arrays[key]) for key in ("x_train", "x_test"))
    trained = set(train)
    if (shared := sum(digest in trained for digest in test)) and not divided_here:
        notes.append(
            f"{shared:,} of the {len(test):,} test images are training images too, byte for byte: accuracies will look "
            "too good"
        )
    if (copies := len(test) - len(set(test))) > COPIES_SHARE * len(test):
        notes.append(
            f"{copies:,} of the {len(test):,} test images are copies of others: intervals of accuracies take all for "
            "different, and are too narrow"
        )
    for key in ("y_train", "y_test"):
        missing = [name for i, name in enumerate(task.class_names) if i not in set(arrays[key].tolist())]
        if missing and len(arrays[key]) >= (1 if key == "y_train" else MISSING_FROM):
            notes.append(f"{key} has no {classes.shown(missing)}")
    return notes


def _put_upright(pixels: Pixels, way: str) -> Pixels:
    across, down, sideways = WAYS[way]
    return (pixels.transpose(0, 2, 1) if across else pixels)[:, ::down, ::sideways]


def copies_note(pixels: Pixels) -> str:
    """Say how many pictures are copies of others, moved or not, if more than a few are.

    Pictures are the same if what lies in the box around their foreground is, wherever that box lies.
    """
    if len(pixels) < 2:
        return ""
    rows, columns = (pixels.any(axis=axis).argmax(axis=1) for axis in (2, 1))
    side = mnist.TASK.size[0]
    cells = np.arange(side)
    # Moved so that the box lies in the upper left corner; what comes back on the other side is background.
    moved = pixels[
        np.arange(len(pixels))[:, None, None],
        ((rows[:, None] + cells) % side)[:, :, None],
        ((columns[:, None] + cells) % side)[:, None, :],
    ]
    different = len({picture.tobytes() for picture in moved})
    copies = len(pixels) - different
    if copies <= COPIES_SHARE * len(pixels):
        return ""
    return (
        f"{copies:,} of the {len(pixels):,} test images are copies of others, in the same place or moved: intervals "
        "of accuracies ignore this and are too narrow"
    )
