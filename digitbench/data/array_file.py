"""Arrays of images and labels in the layouts that people have them in, brought into MNIST's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from digitbench.data.label_values import to_labels
from digitbench.data.pixel_values import to_pixels
from digitbench.errors import DataError
from digitbench.records.arrays import Array, Pixels


def to_mnist_form(
    path: Path, stored: Mapping[str, Array], names: Mapping[str, str] | None = None, advice: str = ""
) -> tuple[dict[str, Pixels], str]:
    """Bring x_test and y_test, and x_train and y_train where they are there, into MNIST's form.

    Parameters
    ----------
    path
        What messages name.
    stored
        Images and labels, in any form that `to_pixels` and `to_labels` take.
    names
        What messages call the arrays, if not x_test and so on.
    advice
        Added to the message if there is no whole set.

    Returns
    -------
    arrays, note
        uint8, (n, 28, 28) and (n,); and how the pixels, and of labels what isn't usual, were understood.

    Raises
    ------
    DataError
        Something isn't as above; the message names the array.
    """
    parts = [part for part in ("train", "test") if part == "test" or stored.keys() & {"x_train", "y_train"}]
    missing = [key for part in parts for key in (f"x_{part}", f"y_{part}") if key not in stored]
    if missing:
        end = f"; {advice}" if advice else ""
        raise DataError(f"{path} holds no complete set of digits: it has no {', '.join(missing)}{end}")
    arrays: dict[str, Pixels] = {}
    notes: dict[str, None] = {}
    label_notes: dict[str, None] = {}
    names = {key: key for key in stored} | dict(names or {})
    for x, y in ((f"x_{part}", f"y_{part}") for part in parts):
        labels_count = len(stored[y]) if stored[y].ndim else None
        arrays[x], range_notes = to_pixels(stored[x], f"{path}: {names[x]}", labels_count)
        arrays[y], label_note = to_labels(stored[y], f"{path}: {names[y]}", arrays[x])
        notes |= dict.fromkeys(range_notes)
        label_notes |= {label_note: None} if label_note else {}
        if len(arrays[x]) != len(arrays[y]):
            counts = f"{len(arrays[x]):,} images and {names[y]} {len(arrays[y]):,} labels"
            raise DataError(f"{path}: {names[x]} has {counts}; give one label for each image")
    if not len(arrays["x_test"]):
        raise DataError(f"{path}: {names['x_test']} holds no image; give at least one")
    return arrays, "; ".join([f"pixels {', '.join(notes)}", *label_notes])
