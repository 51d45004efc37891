"""A photograph brought to what a model sees: digits as MNIST's are prepared, all else just in the model's size.

`resized` does as `digitbench.data` does with the pictures that a model is trained on.
"""

from __future__ import annotations

import numpy as np

from digitbench.images.centring import PreparedDigit
from digitbench.images.reading import prepared_photograph
from digitbench.records.arrays import Pixels
from digitbench.records.task import Task


def prepared_for(task: Task, photograph: Pixels, name: str, *, several: bool = False) -> list[PreparedDigit]:
    """Bring what `read_photograph` gave into the form of a task's images; an `ImageError` begins with the name.

    Of digits each is found, if `several` are asked for; of any other task the whole picture is one image.
    """
    if task.is_digits:
        return prepared_photograph(photograph, name, several=several)
    return [PreparedDigit(resized(photograph, task.image_shape))]


def resized(pixels: Pixels, image_shape: tuple[int, ...]) -> Pixels:
    """Bring a picture to a shape by bilinear interpolation, its sides scaled apart; colour becomes grey by its luma.

    Parameters
    ----------
    pixels
        uint8, (height, width) if it is grey, else (height, width, 3).
    """
    from PIL import Image

    height, width = image_shape[:2]
    picture = Image.fromarray(pixels).convert("RGB" if len(image_shape) == 3 else "L")
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
