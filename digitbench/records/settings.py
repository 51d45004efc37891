"""How a run was measured, as its results record it."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """How a run was measured; None is what nobody recorded. An evaluation, which times nothing, records nothing.

    Attributes
    ----------
    seconds
        Of timed calls of each candidate, over all generations.
    generations
        Fresh processes of each candidate.
    seed
        Seed of the order of turns.
    baseline
        Backend and precision that all ratios are to; as it was asked for (``"onnx"``, ``"onnx:int8"``) or None until
        its precision is known.
    timeout
        Seconds that a worker may take for one answer.
    strict
        A busy machine made a row INVALID, and not only provisional.
    race, equivalence, budget
        Was it a race, until a winner was known; by which share that one may be slower than another; and its seconds.
    parent_cpu_share
        CPU seconds of digitbench's own process per second of turns; None if they were too short to say.
    """

    seconds: float | None = None
    generations: int | None = None
    seed: int | None = None
    baseline: tuple[str, str] | str | None = None
    timeout: float | None = None
    strict: bool | None = None
    race: bool | None = None
    equivalence: float | None = None
    budget: float | None = None
    parent_cpu_share: float | None = None

    def __bool__(self) -> bool:
        """Was anything recorded: was it a run that timed."""
        return any(value is not None for value in astuple(self))

    @property
    def baseline_pair(self) -> tuple[str, str] | None:
        """Backend and precision of the baseline, once both are known."""
        return self.baseline if isinstance(self.baseline, tuple) else None

    @property
    def baseline_name(self) -> str | None:
        """The baseline as ``--baseline`` takes it: ``"onnx:int8"``."""
        return ":".join(self.baseline) if isinstance(self.baseline, tuple) else self.baseline

    @property
    def options(self) -> dict[str, Any]:
        """What was recorded, as the options of ``bench`` take it."""
        names = ("seconds", "generations", "seed", "timeout", "strict", "race", "equivalence", "budget")
        values = {name: getattr(self, name) for name in names} | {"baseline": self.baseline_name}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def plan(self) -> dict[str, Any]:
        """How long and how often was measured, as the options of ``bench`` take it."""
        names = {"seconds", "generations", "race", "equivalence", "budget"}
        return {name: value for name, value in self.options.items() if name in names}

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values; an evaluation's is empty."""
        return asdict(self) if self else {}


def normalize(settings: Any) -> Any:
    """Give parsed JSON of settings as `Settings` has it: a baseline could be an object with backend and precision."""
    match settings:
        case {"baseline": {"backend": backend, "precision": precision}}:
            return {**settings, "baseline": [backend, precision]}
    return settings
