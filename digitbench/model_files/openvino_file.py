"""What the weights in OpenVINO's IR are, read from its ``.xml`` without OpenVINO.

Its layers are described in https://docs.openvino.ai/2026/documentation/openvino-ir-format.html.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from digitbench.model_files.number_types import FLOATS, NumberTypes

TYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "f8e4m3": "float8", "f8e5m2": "float8",
    "i16": "int16", "u16": "uint16", "i8": "int8", "u8": "uint8", "i4": "int4", "u4": "uint4", "nf4": "nf4",
}  # fmt: skip
LEVELS = {"256": "int8", "255": "int8", "65536": "int16"}
"""Of FakeQuantize: in how many steps numbers are cut."""

PASSING = ("Convert", "Reshape", "Transpose", "Unsqueeze", "Squeeze")


def precision_of(artifact: Path) -> str:
    """Say which precision an IR is in.

    Parameters
    ----------
    artifact
        Its ``.xml``.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        root = ElementTree.parse(artifact).getroot()
    except ElementTree.ParseError as exc:
        raise ValueError(str(exc)) from exc
    layers = {layer.get("id"): layer for layer in root.iter("layer")}
    if not layers:
        raise ValueError("no layers in it")
    sources = {(edge.get("to-layer"), edge.get("to-port")): edge.get("from-layer") for edge in root.iter("edge")}
    seen = NumberTypes()
    for key, layer in layers.items():
        data = layer.find("data")
        options = {} if data is None else data.attrib
        if layer.get("type") == "Const":
            number_type = TYPES.get(options.get("element_type", ""), "")
            sizes = [int(size) for size in options.get("shape", "").split(",") if size.strip()]
            if number_type and (number_type in FLOATS or len(sizes) > 1):
                seen.weights[number_type] += prod(sizes)
        elif layer.get("type") == "FakeQuantize":
            if _is_constant(sources.get((key, _first_port(layer))), layers, sources):
                seen.simulated = True
            else:
                seen.activations.add(LEVELS.get(options.get("levels", ""), "other"))
    return seen.precision()


def _first_port(layer: Any) -> str | None:
    port = layer.find("input/port")
    return None if port is None else port.get("id")


def _is_constant(key: str | None, layers: dict[str | None, Any], sources: dict[Any, str | None]) -> bool:
    """Is what a layer gives stored in the file, and only brought to another type or shape."""
    while key in layers and layers[key].get("type") in PASSING:
        key = sources.get((key, _first_port(layers[key])))
    return key in layers and layers[key].get("type") == "Const"
