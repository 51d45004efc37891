"""The description of a stranger's model: a row of the table in `contract.makers`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from contract.strangers.network import LAYOUTS, SCALES, Array, Layout, Network, Scale, folded, inverted

from digitbench.records.arrays import Pixels

NO_BATCH = 0


@dataclass(frozen=True)
class Spec:
    """One model.

    Attributes
    ----------
    tool
        A key of `contract.makers.WRITERS`.
    layout, scale
        Keys of `LAYOUTS` and `SCALES`.
    activation
        ``"softmax"``, ``"sigmoid"``, ``"logits"`` or ``"log_softmax"``.
    batch
        Images in every call; None for any number, `NO_BATCH` where there is no such axis.
    black
        Digits are black on white.
    dtype
        Of the input, before a converter quantises it.
    extra
        ``"features"``, ``"uncertainty"`` or ``"label"``: a second output; ``"(1,1,10)"`` or ``"(10,1,1)"``: the
        shape of one image's answer; ``"loss"``: compiled with a custom loss.
    opset
        Of ONNX's operators.
    """

    tool: str
    layout: str
    scale: str
    activation: str
    batch: int | None = None
    black: bool = False
    dtype: str = "float32"
    extra: str = ""
    opset: int = 13

    @property
    def id(self) -> str:
        """Its name in `MAKERS`."""
        parts = [self.tool, self.layout, self.scale, "inverted" * self.black, self.activation, self.extra]
        parts += [self.dtype] * (self.dtype != "float32") + [f"opset{self.opset}"] * (self.opset != 13)
        batch = {None: "", NO_BATCH: "nobatch"}.get(self.batch, f"batch{self.batch}")
        return "-".join(part for part in [*parts, batch] if part)

    @property
    def image_layout(self) -> Layout:
        """Its layout."""
        return LAYOUTS[self.layout]

    @property
    def pixel_scale(self) -> Scale:
        """Its scale and polarity."""
        return inverted(SCALES[self.scale]) if self.black else SCALES[self.scale]

    @property
    def network(self) -> Network:
        """The weights that belong to it."""
        return folded(self.image_layout, self.pixel_scale)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of the input, with the batch: None where any number will do."""
        return self.image_layout.shape if self.batch == NO_BATCH else (self.batch, *self.image_layout.shape)

    def prepared(self, pixels: Pixels) -> Array:
        """What the stranger's own code makes of images, but for quantisation: (n, *shape of one)."""
        return self.pixel_scale.convert(self.image_layout.convert(pixels)).astype(self.dtype)


def quantised(values: Array, scale: float, zero_point: int, dtype: str) -> Array:
    """Quantise as TensorFlow's guide to integer models says: divide, shift, round, and clip to the type's limits."""
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(dtype)
