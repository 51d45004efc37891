"""What is tried after layouts and ranges, with the best of these alone: order of channels, other fits, transposing.

It is tried for fewer guesses the better these do already.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from digitbench.importing.ranking import Trial
from digitbench.plugins.fitting import channel_count
from digitbench.plugins.model_io import ModelIO
from digitbench.records.task import Task

DOUBTFUL, DOUBTFUL_DIGITS, SURE = 0.8, 0.5, 0.97
"""With that share of images right or more, the best guess misses at most one thing, or nothing at all: see below."""

FEW, MANY = 4, 24
"""So many of the best are varied: few if they are sure; and of all fits, and transposed, many only if in doubt."""


def in_stages(candidates: Sequence[ModelIO], task: Task) -> list[ModelIO]:
    """Give the guesses that are tried first: of digits all, else those of one fit for each shape."""
    if task.is_digits:
        return list(candidates)
    resized = {model_io.shape for model_io in candidates if model_io.fit == "resize"}
    return [model_io for model_io in candidates if model_io.fit == "resize" or model_io.shape not in resized]


def variations(ranked: Sequence[Trial], candidates: Sequence[ModelIO], task: Task) -> list[ModelIO]:
    """Give what is tried next.

    Parameters
    ----------
    ranked
        What was tried first, the best first.
    candidates
        All guesses, also of other fits.
    task
        What the training images show.
    """
    doubtful = ranked[0].accuracy < (DOUBTFUL_DIGITS if task.is_digits else DOUBTFUL)
    tried = {_plain(trial.model_io) for trial in ranked}
    varied: list[ModelIO] = []
    many = MANY * len({(trial.model_io.signature, trial.model_io.output) for trial in ranked})
    for place, trial in enumerate(ranked[:FEW] if ranked[0].accuracy >= SURE else ranked[:many]):
        model_io = _plain(trial.model_io)
        fits = dict.fromkeys(guess.fit for guess in candidates if guess.shape == model_io.shape)
        for fit in fits if doubtful or place < FEW else [model_io.fit]:
            varied += _varied(replace(model_io, fit=fit), task, doubtful and task.size[0] == task.size[1])
    return [model_io for model_io in dict.fromkeys(varied) if model_io not in tried]


def _varied(model_io: ModelIO, task: Task, transposed: bool) -> list[ModelIO]:
    orders = [model_io]
    if task.colour and channel_count(model_io.shape, task.size) > 1:
        orders.append(with_channels_swapped(model_io))
    return orders + [replace(ordered, transposed=True) for ordered in orders if transposed]


def with_channels_swapped(model_io: ModelIO) -> ModelIO:
    """Give it with the other order of channels; the mean of each channel stays with it."""
    channels = "rgb" if model_io.channels == "bgr" else "bgr"
    return replace(model_io, channels=channels, mean=model_io.mean[::-1], deviation=model_io.deviation[::-1])


def _plain(model_io: ModelIO) -> ModelIO:
    """Leave out what scores tell: see `digitbench.importing.search`."""
    return replace(model_io, activation="", columns=())
