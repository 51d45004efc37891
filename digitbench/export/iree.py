"""IREE's modules, compiled from the model in ONNX for the processor that this runs on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import FP32

ANY, ONE = "any", "one"
LEAST_OPSET = 17  # of what IREE's importer reads without loss
OPTIONS = ("--iree-llvmcpu-target-cpu=host", "--iree-opt-data-tiling")


class IreeExporter(Exporter):
    """``.vmfb`` files with two functions of the same weights: for any number of images, and quicker for one."""

    format: ClassVar[str] = "iree"
    suffix: ClassVar[str] = ".vmfb"
    source: ClassVar[str] = "onnx"
    needs: ClassVar[tuple[str, ...]] = ("iree", "onnx")
    extra: ClassVar[str] = "iree"

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`."""
        from iree.compiler import tools

        assert job.source
        tools.compile_str(
            _module(job.source), input_type="onnx", target_backends=["llvm-cpu"], extra_args=[*OPTIONS],
            output_file=str(target),
        )  # fmt: skip

    def unable(self, model: Any, precision: str) -> str:
        """See `Exporter.unable`."""
        return "" if precision == FP32 else f"it is compiled from a model in fp32, and the model is {precision}"


def _module(source: Path) -> str:
    """Give both functions in IREE's language; a module says nothing of shapes, so that each function notes them."""
    import onnx
    from iree.compiler import ir
    from iree.compiler.extras import onnx_importer

    model = onnx.load(source)
    if model.opset_import[0].version < LEAST_OPSET:
        model = onnx.version_converter.convert_version(model, LEAST_OPSET)
    ends = model.graph.input[0], model.graph.output[0]
    shapes = [[size.dim_value for size in end.type.tensor_type.shape.dim] for end in ends]
    module: Any = None
    for name in (ANY,) if shapes[0][0] else (ANY, ONE):
        model.graph.name = name
        if name == ONE:
            for end in ends:
                end.type.tensor_type.shape.dim[0].dim_value = 1
        info = onnx_importer.ModelInfo(onnx.shape_inference.infer_shapes(model, data_prop=True))
        module = module or info.create_module(context=ir.Context()).operation
        onnx_importer.NodeImporter.define_function(info.main_graph, module).import_all()
        *_, function = module.regions[0].blocks[0].operations
        with module.context:
            noted = {"shapes": ir.StringAttr.get(json.dumps(shapes))}
            function.attributes["iree.reflection"] = ir.DictAttr.get(noted)
    return str(module.get_asm(assume_verified=True))
