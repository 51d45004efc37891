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
        model = Trainer(keras, find(recipe).changed(seed=seed), train, data.mnist.TASK, "auto", Silent()).train()[0]
    seconds = time.perf_counter() - began
    scores = model.predict(test.images.reshape(-1, *model.input_shape[1:]), verbose=0)
    print("\n" + json.dumps({"seconds": seconds, "accuracy": float((scores.argmax(axis=1) == test.labels).mean())}))


def run(way: str, recipe: str, seed: int) -> dict[str, float]:
    """Train once, in a process of its own."""
    process = subprocess.run(
        [sys.executable, __file__, "--work", way, "--recipe", recipe, "--seed", str(seed)], text=True,
        capture_output=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    if process.returncode:
        sys.exit(process.stderr)
    result: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return result


def compare(recipe: str, pairs: int) -> None:
    """Train in pairs; print each, and the ratio of their times with its interval."""
    from digitbench.evaluate.accuracy import mean_interval
    from digitbench.evaluate.intervals import log_interval

    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for pair in range(pairs):
        for way in WAYS[:: 1 if pair % 2 == 0 else -1]:
            results[way].append(run(way, recipe, pair))
        last = [(way, results[way][-1]) for way in WAYS]
        summary = ", ".join(f"{way} {result['seconds']:.1f} s {result['accuracy']:.2%}" for way, result in last)
        print(f"{recipe}, pair {pair + 1}: {summary}", flush=True)
    tutorial_seconds, digitbench_seconds = ([result["seconds"] for result in results[way]] for way in WAYS)
    ratio = log_interval([a / b for a, b in zip(tutorial_seconds, digitbench_seconds, strict=True)])
    assert ratio.interval
    print(
        f"{recipe}: digitbench is done {ratio.value:.2f} times sooner ({ratio.interval[0]:.2f} to "
        f"{ratio.interval[1]:.2f} over pairs; medians "
        f"{statistics.median(tutorial_seconds):.1f} s and {statistics.median(digitbench_seconds):.1f} s)"
    )
    mean, low, high = mean_interval(
        [100 * (b["accuracy"] - a["accuracy"]) for a, b in zip(*results.values(), strict=True)]
    )
    print(f"{recipe}: its accuracy differs by {mean:+.2f}pp ({low:+.2f} to {high:+.2f}) over {pairs} seeds")


def main() -> None:
    """Train, or run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=RECIPES, help="one of them alone")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--work", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.recipe, options.seed)
        return
    if options.pairs < 2:
        parser.error("--pairs: an interval needs two or more")
    from digitbench import data
    from digitbench.errors import DataError

    try:
        data.load("mnist")
    except DataError as exc:
        sys.exit(f"error: {exc}")
    for recipe in [options.recipe] if options.recipe else RECIPES:
        compare(recipe, options.pairs)


if __name__ == "__main__":
    main()
