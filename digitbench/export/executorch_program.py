"""A program of its own: it reads layers on standard input, builds them in PyTorch, and lowers them to XNNPACK."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy.typing as npt

from digitbench.records.precisions import DYNAMIC, FP32

Step = tuple[str, dict[str, Any], list[npt.NDArray[Any]]]
"""What is done, its options, and its weights as PyTorch has them."""

LARGEST_BATCH = 1024  # a program has to name one, and XNNPACK takes memory for it when the program is opened
ACTIVATIONS = {
    "elu": "ELU", "linear": "Identity", "relu": "ReLU", "sigmoid": "Sigmoid", "silu": "SiLU", "softmax": "Softmax",
    "tanh": "Tanh",
}  # fmt: skip


def built(steps: list[Step]) -> Any:
    """Give the steps, one after another, as a `torch.nn.Module`."""
    import torch

    return torch.nn.Sequential(*(_module(torch, *step) for step in steps)).eval()


def _module(torch: Any, name: str, options: dict[str, Any], arrays: list[npt.NDArray[Any]]) -> Any:
    if name == "softmax":
        return torch.nn.Softmax(dim=-1)
    if name in ACTIVATIONS:
        return getattr(torch.nn, ACTIVATIONS[name])()
    if name == "pool":
        return torch.nn.MaxPool2d(**options)
    if arrays:
        outputs, inputs, *size = arrays[0].shape
        has_bias = len(arrays) > 1
        if size:
            inputs *= options["groups"]
            module = torch.nn.Conv2d(inputs, outputs, tuple(size), bias=has_bias, **options)
        else:
            module = torch.nn.Linear(inputs, outputs, bias=has_bias)
        tensors = [torch.tensor(array.copy()) for array in arrays]
        module.load_state_dict(dict(zip(("weight", "bias"), tensors, strict=False)))
        return module
    module = torch.nn.Module()
    module.forward = {
        "reshape": lambda x: x.reshape(x.shape[0], *options["shape"]),
        "crop": lambda x: x[:, options["rows"], options["columns"]],
        "permute": lambda x: x.permute(options["axes"]),
    }[name]
    return module


def program(steps: list[Step], shape: tuple[int, ...], precision: str, calibration: npt.NDArray[Any]) -> bytes:
    """Give the file's content.

    Parameters
    ----------
    shape
        Of an image.
    calibration
        Images on which the ranges of int8 are found.
    """
    import torch

    images = torch.zeros((2, *shape))  # traced with one image, a program would take one alone

    def traced(network: Any) -> Any:
        sizes = ({0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)},)
        return torch.export.export(network, (images,), dynamic_shapes=sizes)

    exported = traced(built(steps))
    if precision == FP32:
        return _lowered(exported)
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    is_dynamic = precision == DYNAMIC
    config = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=is_dynamic)
    observed = prepare_pt2e(exported.module(), xnnpack.XNNPACKQuantizer().set_global(config))
    observed(images if is_dynamic else torch.tensor(calibration))
    return _lowered(traced(convert_pt2e(observed)))


def _lowered(exported: Any) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    # Without memory of their own in the program, images are read where they are: a batch of 256 takes 8 % less.
    in_place = MemoryPlanningPass(alloc_graph_input=False)
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch(ExecutorchBackendConfig(memory_planning_pass=in_place)).buffer)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(program(*pickle.load(sys.stdin.buffer)))
