"""What layers a bundle's model has: written into the manifest while Keras is loaded, read without any runtime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from digitbench.records.layers import Layer as Layer
from digitbench.records.layers import Shape as Shape

KEY = "layers"
"""Where they are in the manifest."""


def to_json(model: Any) -> list[dict[str, Any]]:
    """Describe the layers of a Keras model that was built, for a manifest; a nested model's come in its place."""
    return [asdict(layer) for layer in _layers_in(model, "")]


def _layers_in(model: Any, prefix: str) -> Iterator[Layer]:
    for layer in model.layers:
        name, kind = f"{prefix}{layer.name}", type(layer).__name__
        if hasattr(layer, "layers"):
            yield from _layers_in(layer, f"{name}/")
        elif kind != "InputLayer":
            takes, gives = (_shape(getattr(layer, end, None)) for end in ("input", "output"))
            function = getattr(layer, "activation", None)
            activation = str(getattr(function, "__name__", None) or type(function).__name__) if function else ""
            yield Layer(name, kind, takes, gives, activation, layer.count_params())


def _shape(tensor: Any) -> Shape | None:
    shape = getattr(tensor, "shape", None)
    return None if shape is None else tuple(shape[1:])
