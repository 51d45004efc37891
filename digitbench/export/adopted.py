"""A Keras model that somebody else made, brought into the form in which the exporters and a bundle want it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from digitbench import trust
from digitbench.form import Form
from digitbench.progress import Progress

FILE = "model.keras"


def write(source: Path, form: Form, target: Path, progress: Progress) -> int | None:
    """Write a model as a ``.keras`` file with the one output that is used and a free batch size, if it can be had.

    Parameters
    ----------
    source
        A ``.keras`` or ``.h5`` file, opened before.
    form
        Its form there.
    target
        Where to write it; trusted if the source is.

    Returns
    -------
    int or None
        The batch size that stays fixed, if one does.
    """
    from digitbench.train import import_keras

    keras = import_keras(progress)
    trusted = trust.holds(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of how a stranger's model should have been written
        model = keras.models.load_model(source, compile=False, safe_mode=not trusted)
    if len(model.outputs) > 1:
        names = list(getattr(model, "output_names", None) or [])
        names = names if len(set(names)) == len(model.outputs) else [f"output_{i}" for i in range(len(model.outputs))]
        model = keras.Model(model.inputs[0], model.outputs[names.index(form.output.name)])
    freed = model if form.batch is None else _freed(keras, model)
    (freed or model).save(target)
    if trusted:
        trust.remember(target)
    return None if freed is not None else form.batch


def _freed(keras: Any, model: Any) -> Any:
    """Give the model with a free batch size; None where one of its layers holds on to the size."""
    given = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype, name="image")
    try:
        free = keras.models.clone_model(model, input_tensors=given)
    except (ValueError, TypeError):
        return None
    free.set_weights(model.get_weights())
    return free if free.output_shape[0] is None else None
