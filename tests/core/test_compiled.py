"""A compiled epoch leaves out pixels and transposes kernels; the weights it trains are the same."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from digitbench import data
from digitbench.data import mnist
from digitbench.records.recipes import Recipe
from digitbench.system.native_output import calm_tensorflow
from digitbench.system.progress import Silent
from digitbench.train import compiled

pytestmark = pytest.mark.slow  # TensorFlow alone takes seconds to start
RECIPES = {
    "narrow, then wide": Recipe(hidden=(12, 100), optimizer="rmsprop", loss="categorical_crossentropy"),
    "wide, then narrow": Recipe(hidden=(100, 12), optimizer="adam", dropout=0.2),
    "the output alone": Recipe(hidden=(), optimizer="sgd", learning_rate=0.5),
    "decayed": Recipe(hidden=(12,), optimizer="adamw", weight_decay=0.1),
    "confined": Recipe(hidden=(12, 12), receptive_fields=(9,)),
}
NARROW = compiled.NARROW
Weights = list[npt.NDArray[np.float32]]


def trained(recipe: Recipe, folder: Path) -> tuple[Weights, Weights, Weights, npt.NDArray[np.bool_] | None]:
    """Initial weights; weights after two compiled epochs, and after two with all pixels and kernels as they are.

    The last value is the mask of the pixels that took part, or None for all of them.
    """
    calm_tensorflow()
    import keras
    import tensorflow as tf

    from digitbench.train import networks
    from digitbench.train.feed import Feed
    from digitbench.train.log import Log

    tf.config.experimental.enable_op_determinism()
    split = data.load("digits").train
    steps = -(-len(split) // recipe.batch_size)
    results = []
    for plain in (False, True):
        compiled.NARROW = 0 if plain else NARROW
        with Feed(recipe, split, 10, None, raw=not plain, hold=compiled.hold) as feed:
            model = networks.build(keras, recipe, mnist.TASK, steps)
            first = model.get_weights()
            train = compiled.epochs(model, recipe, feed, Log(2, steps, Silent()))
            for epoch in range(2):
                train(epoch)
            results.append((model.get_weights(), feed.lit))
        model.save(folder / "model.keras")
        with warnings.catch_warnings(action="error"):
            loaded = keras.models.load_model(folder / "model.keras")  # with what its optimizer remembers
        assert all((a == b).all() for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True))
    (short, lit), (whole, every) = results
    assert every is None
    return first, short, whole, lit


@pytest.fixture(scope="module")
def process_pool() -> Iterator[ProcessPoolExecutor]:
    """A separate process, which may load TensorFlow."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", RECIPES)
def test_weights_are_what_they_would_be(name: str, process_pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    recipe = RECIPES[name].changed(epochs=2, batch_size=64)
    first, short, whole, lit = process_pool.submit(trained, recipe, tmp_path).result()
    for before, after_short, after_whole in zip(first, short, whole, strict=True):
        assert after_short == pytest.approx(after_whole, abs=1e-6)
        assert np.abs(after_short - before).max() > 0.01
    assert (lit is None) == (name in {"decayed", "confined"})
    if lit is not None:
        assert 0 < lit.sum() < 784
        assert (short[0][~lit] == first[0][~lit]).all()
