"""What a model's weights are stored as and computed with, whatever its format: which precision that is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from digitbench.records.precisions import BF16, DYNAMIC, FP16, FP32, FP64, INT8, INT16, OTHER, WEIGHTS8

FLOATS = {"float64": FP64, "float32": FP32, "float16": FP16, "bfloat16": BF16}
BYTES = ("int8", "uint8")
WORDS = ("int16", "uint16")
CALL = "call"
"""Instead of a type of activations: each call finds their ranges."""


@dataclass
class NumberTypes:
    """What was seen in a model's graph.

    Attributes
    ----------
    weights
        How many numbers are stored as each type: NumPy's names, and ``"bfloat16"``, ``"int4"``, ``"float8"``.
    activations
        What activations are quantised to before they meet weights: names of types, or `CALL`.
    simulated
        Weights are stored as floats and quantised when the model is opened.
    computed
        How many numbers meet products of each float type, where that may be another than they are stored as.
    """

    weights: Counter[str] = field(default_factory=Counter)
    activations: set[str] = field(default_factory=set)
    simulated: bool = False
    computed: Counter[str] = field(default_factory=Counter)

    def precision(self) -> str:
        """Name the precision, of `digitbench.records.precisions`; `OTHER` for what has no name there."""
        quantised = {name: count for name, count in self.weights.items() if name not in FLOATS}
        if self.activations and (quantised or self.simulated):
            return self._quantised(set(quantised))
        stored = max(self.weights, key=self.weights.__getitem__, default="float32")
        if self.activations or (quantised and stored in FLOATS):
            return OTHER  # activations without weights, or a part of the weights alone
        if stored in BYTES:
            return WEIGHTS8
        if stored not in FLOATS:
            return OTHER
        if stored == "float32":
            stored = max(filter(FLOATS.get, self.computed), key=self.computed.__getitem__, default=stored)
        return FLOATS[stored]

    def _quantised(self, weights: set[str]) -> str:
        if not weights <= {*BYTES, *WORDS}:
            return OTHER
        if self.activations & set(WORDS):
            return INT16
        if weights & set(WORDS) or not self.activations <= {CALL, *BYTES}:
            return OTHER
        return DYNAMIC if CALL in self.activations else INT8
