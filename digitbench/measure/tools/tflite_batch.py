"""A copy of a TFLite model with a fixed batch size: `litert-benchmark` has no option for one.

Run as a program by `digitbench.measure.native_tools`; needs LiteRT (extra ``tflite``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def fix_batch(source: Path, target: Path, batch_size: int) -> None:
    """Write `source` to `target` with every open dimension set to `batch_size`."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.shapeSignature is not None:
                tensor.shape = [batch_size if length == -1 else int(length) for length in tensor.shapeSignature]
                tensor.shapeSignature = None
    builder = flatbuffers.Builder(source.stat().st_size + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    target.write_bytes(builder.Output())


def main() -> None:
    """Do the job in standard input."""
    job = json.loads(sys.stdin.readline())
    fix_batch(Path(job["artifact"]), Path(job["target"]), job["batch_size"])
    print("{}")


if __name__ == "__main__":
    main()
