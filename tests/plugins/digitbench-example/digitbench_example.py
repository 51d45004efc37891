"""A plugin for digitbench, complete: a runtime with a format of its own, and the exporter that writes that format."""

import json
from pathlib import Path
from typing import ClassVar

from digitbench.backend import Backend, Images, IOSpec, Runtime, Scores, check_images, opening
from digitbench.plugins.exporter import Exporter, ExportJob


class ExampleExporter(Exporter):
    """Dense layers as JSON, made from plain weights: neither Keras nor TensorFlow is needed."""

    format: ClassVar[str] = "example"
    source: ClassVar[str] = "npz"

    def write(self, job: ExportJob, target: Path) -> None:
        import numpy as np

        with np.load(job.source) as stored:
            if "window" in stored or not {*stored["activations"]} <= {"linear", "relu", "softmax"}:
                raise ValueError("it holds whole images, and layers that are linear, relu or softmax")
            layers = [
                [stored[f"kernel_{i}"].tolist(), stored[f"bias_{i}"].tolist(), str(activation)]
                for i, activation in enumerate(stored["activations"])
            ]
            target.write_text(json.dumps({"shape": stored["image_shape"].tolist(), "layers": layers}))


class ExampleBackend(Backend):
    """The runtime: NumPy in double precision."""

    format: ClassVar[str] = "example"

    def __init__(self, artifact: Path, *, threads: int) -> None:
        import numpy as np  # the runtime: imported here, so that listing backends stays quick

        self._np = np
        with opening(artifact, "the example"):  # whatever is raised here becomes one line that names the file
            model = json.loads(artifact.read_text())
            self._io_spec = IOSpec(shape=tuple(model["shape"]))
            self._layers = [(np.array(kernel), np.array(bias), name) for kernel, bias, name in model["layers"]]

    @property
    def runtime(self) -> Runtime:
        return Runtime("NumPy in double precision", self._np.__version__, "CPU", threads=None)

    def predict(self, images: Images) -> Scores:
        check_images(images, self._io_spec)
        x = images.reshape(len(images), -1).astype("f8")
        for kernel, bias, activation in self._layers:
            x = x @ kernel + bias
            if activation == "softmax":
                powers = self._np.exp(x - x.max(axis=1, keepdims=True))
                x = powers / powers.sum(axis=1, keepdims=True)
            x = self._np.maximum(x, 0) if activation == "relu" else x
        return x.astype("f4")

    def close(self) -> None:
        self._layers = []
