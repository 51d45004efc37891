"""Arrays of images in a user's own code, brought into the form that backends are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images
from digitbench.data import mnist
from digitbench.errors import ImageError, one_line
from digitbench.records.arrays import scaled
from digitbench.records.task import Task


def to_images(array: object, task: Task = mnist.TASK) -> Images:
    """Bring images into the form that models are trained on and backends are given.

    Parameters
    ----------
    array
        A NumPy array, or what NumPy makes one of by itself (``__array__``): uint8 from 0 (background) to 255
        (foreground), or floats from 0 to 1; of the task's shape, (n, *shape) or (n, pixels), n >= 1. Left untouched.
    task
        What the model that they are for tells apart; without it digits of MNIST's form.

    Returns
    -------
    Images
        float32, (n, *shape); uint8 is divided by 255, exactly as for training. May share memory with `array`.

    Raises
    ------
    ImageError
        Another type, shape or range; or values that are not finite.
    """
    values = _as_array(array)
    problem = f"can't take {values.dtype.name} of shape {values.shape}"
    if not values.size:
        raise ImageError(f"{problem}: there is no image in it; give at least one")
    shape = task.image_shape
    if values.shape != shape and values.shape[1:] not in (shape, (task.pixels,)):
        forms = f"{shape}, ({', '.join(map(str, ('n', *shape)))}) or (n, {task.pixels})"
        raise ImageError(f"{problem}: images are {forms}; {_shape_advice(values.shape, task)}")
    if values.dtype == np.uint8:
        return scaled(values).reshape(-1, *shape)
    if values.dtype.kind != "f":
        raise ImageError(f"{problem}: {_dtype_advice(values.dtype.kind)}")
    with np.errstate(all="ignore"):  # what overflows is refused below
        images = values.astype(np.float32, copy=False).reshape(-1, *shape)
        if not (images.min() >= 0 and images.max() <= 1):  # written this way, NaN is refused too
            raise ImageError(f"{problem}: {_range_advice(values)}")
    return images


def _as_array(array: object) -> npt.NDArray[Any]:
    if not (hasattr(array, "__array__") or hasattr(array, "__array_interface__")):
        message = f"can't take a {type(array).__name__}: give a NumPy array, uint8 from 0 to 255 or float from 0 to 1"
        raise ImageError(message)
    try:
        return np.asarray(array)
    except Exception as exc:  # whatever another library's array raises: a tensor on a GPU, say
        raise ImageError(f"can't make a NumPy array of a {type(array).__name__}: {one_line(exc)}") from exc


def _shape_advice(shape: tuple[int, ...], task: Task) -> str:
    sizes, own = (tuple(size for size in given if size != 1) for given in (shape, task.image_shape))
    rank = len(own)
    if (sizes[-rank:] == own and len(sizes) <= rank + 1) or (sizes[-1:] == (task.pixels,) and len(sizes) <= 2):
        return f"reshape it: .reshape{(-1, *task.image_shape)}"
    return f"convert each image to {task.size[0]} × {task.size[1]} {'colour' if task.colour else 'grey'} pixels first"


def _dtype_advice(dtype_kind: str) -> str:
    accepted = "pixels are uint8 from 0 (background) to 255 (foreground), or float from 0 to 1"
    if dtype_kind == "b":
        return f"{accepted}; if True is the foreground, convert it: .astype('float32')"
    return f"{accepted}; convert it: .astype('uint8') if it runs from 0 to 255, .astype('float32') if from 0 to 1"


def _range_advice(array: npt.NDArray[Any]) -> str:
    if not np.isfinite(array).all():
        return "it holds NaN or infinite values; replace them first"
    low, high = array.min(), array.max()
    problem = f"it runs from {low} to {high}, but float pixels run from 0 (background) to 1 (foreground)"
    if low >= 0 and 1 < high <= 255:
        return f"{problem}; divide it by 255 if it is meant to run from 0 to 255"
    return f"{problem}; scale it to that range"
