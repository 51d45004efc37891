"""One layer of a model, as manifests and results hold it."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    name, kind
        ``"dense_1"``, ``"Dense"``.
    takes, gives
        Shapes of one image's values on their way in and out, without the batch axis; None where there are several.
    activation
        Empty where there is none.
    parameters
        Weights that it holds, those that training doesn't change included.
    """

    name: str
    kind: str
    takes: Shape | None = None
    gives: Shape | None = None
    activation: str = ""
    parameters: int = 0
