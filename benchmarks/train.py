"""How much sooner `digitbench train` is done than a tutorial's own script: same network, recipe and epochs, in pairs.

    python benchmarks/train.py                                    # needs MNIST (DIGITBENCH_MNIST) and digitbench[train]
    python benchmarks/train.py --recipe dense-128 --pairs 10

Each training has a process of its own; which of a pair comes first alternates. Timed is all from after the import of
TensorFlow and the reading of MNIST, with whatever is compiled, to the end of training. The scripts in ``tutorials/``
are plain Keras, as one finds them; what they load MNIST with gives them the one that is at hand.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TUTORIALS = Path(__file__).parent / "tutorials"
RECIPES = ("dense-512-rmsprop", "dense-128")
WAYS = ("tutorial", "digitbench")


def work(way: str, recipe: str, seed: int) -> None:
    """Train once, in this process; print seconds and accuracy on the test images as JSON."""
    import keras

    from digitbench import data
    from digitbench.records.recipes import find
    from digitbench.system.progress import Silent
    from digitbench.train.trainer import Trainer

    digits = data.load("mnist")
    train, test = digits.train, digits.test
    keras.datasets.mnist.load_data = lambda: ((train.pixels, train.labels), (test.pixels, test.labels))
    began = time.perf_counter()
    if way == "tutorial":
        keras.utils.set_random_seed(seed)
        model: Any = runpy.run_path(str(TUTORIALS / f"{recipe.replace('-', '_')}.py"))["model"]
    else:
        model = Trainer(keras, find(recipe).changed(seed=seed), train, "auto", Silent()).train().model
    seconds = time.perf_counter() - began
    scores = model.predict(test.images.reshape(-1, *model.input_shape[1:]), verbose=0)
    print("\n" + json.dumps({"seconds": seconds, "accuracy": float((scores.argmax(axis=1) == test.labels).mean())}))


def run(way: str, recipe: str, seed: int) -> dict[str, float]:
    """Train once, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--work", way, "--recipe", recipe, "--seed", str(seed)], text=True,
        capture_output=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(recipe: str, pairs: int) -> None:
    """Train in pairs; print each, and the ratio of their times with its interval."""
    from digitbench.evaluate.accuracy import mean_interval
    from digitbench.evaluate.intervals import log_interval

    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for pair in range(pairs):
        for way in WAYS[:: 1 if pair % 2 == 0 else -1]:
            found[way].append(run(way, recipe, pair))
        told = ", ".join(f"{way} {found[way][-1]['seconds']:.1f} s {found[way][-1]['accuracy']:.2%}" for way in WAYS)
        print(f"{recipe}, pair {pair + 1}: {told}", flush=True)
    plain, ours = ([one["seconds"] for one in found[way]] for way in WAYS)
    ratio = log_interval([a / b for a, b in zip(plain, ours, strict=True)])
    assert ratio.interval
    print(
        f"{recipe}: digitbench is done {ratio.value:.2f} times sooner ({ratio.interval[0]:.2f} to "
        f"{ratio.interval[1]:.2f} over pairs; medians "
        f"{statistics.median(plain):.1f} s and {statistics.median(ours):.1f} s)"
    )
    mean, low, high = mean_interval(
        [100 * (b["accuracy"] - a["accuracy"]) for a, b in zip(*found.values(), strict=True)]
    )
    print(f"{recipe}: its accuracy differs by {mean:+.2f}pp ({low:+.2f} to {high:+.2f}) over {pairs} seeds")


def main() -> None:
    """Train, or run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=RECIPES, help="one of them alone")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--work", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.recipe, given.seed)
        return
    if given.pairs < 2:
        parser.error("--pairs: an interval needs two or more")
    from digitbench import data
    from digitbench.errors import DataError

    try:
        data.load("mnist")
    except DataError as exc:
        sys.exit(f"error: {exc}")
    for recipe in [given.recipe] if given.recipe else RECIPES:
        compare(recipe, given.pairs)


if __name__ == "__main__":
    main()
