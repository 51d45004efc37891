"""A bundle whose scores another network learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from digitbench import plugins
from digitbench.backend import Images, Scores
from digitbench.bundle import Artifact, Bundle
from digitbench.errors import BundleError
from digitbench.system import trusted_files

BATCH = 2000  # images that it judges at once


def find(run: str) -> tuple[Bundle, Artifact]:
    """Find the teacher's bundle and Keras model, before anything slow is done.

    Raises
    ------
    BundleError
        It is no bundle, holds no Keras model, or one whose scores aren't shares of one whole.
    """
    bundle = Bundle(Path(run))
    if bundle.manifest.output.activation == "sigmoid":
        raise BundleError(f"--teacher {run}: its scores are independent (sigmoid); a teacher's scores must sum to 1")
    return bundle, bundle.find(plugins.trained()[1])


class Teacher:
    """Opens a bundle's Keras model.

    Parameters
    ----------
    keras
        The module.
    run
        The bundle's folder.

    Raises
    ------
    BundleError
        See `find`.
    """

    def __init__(self, keras: Any, run: str) -> None:
        import tensorflow as tf

        self._bundle, artifact = find(run)
        self._model_io, logits = self._bundle.model_io, self._bundle.manifest.output.activation == "logits"
        path = self._bundle.open(artifact)
        self._sha256 = artifact.sha256
        model = keras.models.load_model(path, compile=False, safe_mode=not trusted_files.holds(path))

        def judge(images: Any) -> Any:
            scores = model(images, training=False)
            return tf.nn.softmax(scores) if logits else scores

        self._judge = tf.function(judge, autograph=False)

    def teach(self, images: Images) -> Scores:
        """Say what the images are: float32, (n, 10), from (n, 28, 28)."""
        import tensorflow as tf

        answers = []
        for start in range(0, len(images), BATCH):
            inputs = self._model_io.encode(images[start : start + BATCH])
            answers.append(np.asarray(self._judge(tf.constant(inputs)), np.float32).reshape(len(inputs), -1))
        return np.concatenate(answers)

    def to_json(self) -> dict[str, Any]:
        """Give what a manifest says of it."""
        manifest = self._bundle.manifest
        return {
            "path": str(self._bundle.path), "recipe": manifest.recipe["name"], "sha256": self._sha256,
            "test_accuracy": manifest.metrics and manifest.metrics.test_accuracy,
        }  # fmt: skip
