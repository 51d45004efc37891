"""The contract: what a backend is. Nothing else.

A backend puts one runtime behind five members, so that every runtime is evaluated and timed by the same code.
See `digitbench.testing.BackendContract` for the tests that each one must pass.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from digitbench.errors import ArtifactError, DigitbenchError, PluginError, reason

FLOAT32 = np.dtype(np.float32)  # compared several times as quick as the type itself

Images = npt.NDArray[np.float32]
"""(n, *image_shape) of the task, each value in [0, 1]: (n, height, width), or (n, height, width, 3), red first."""

Scores = npt.NDArray[np.float32]
"""(n, classes), the model's own output: softmax, sigmoid or logits, as the bundle's manifest says."""


@dataclass(frozen=True)
class Runtime:
    """What really ran, read back from the runtime and never echoed from the request.

    Attributes
    ----------
    name, version
        The engine, as its makers write it: ``"ONNX Runtime"``, and its own version.
    provider
        Device or execution provider that runs the model: ``"CPUExecutionProvider"``.
    threads
        Threads that one prediction may use, 1 or more; None where the runtime can't tell.

    Raises
    ------
    PluginError
        One of them is no such text or number, so that results with it could not be read again.
    """

    name: str
    version: str
    provider: str
    threads: int | None

    def __post_init__(self) -> None:
        for field in ("name", "version", "provider"):
            text = getattr(self, field)
            if not (isinstance(text, str) and text and text.isprintable()):
                raise PluginError(f"Runtime({field}={text!r}): give a text of one line; its adapter's author can")
            object.__setattr__(self, field, str(text))  # NumPy's own texts too
        if self.threads is None:
            return
        if not isinstance(self.threads, Integral) or isinstance(self.threads, bool) or self.threads < 1:
            raise PluginError(f"Runtime(threads={self.threads!r}): give a whole number of 1 or more, or None")
        object.__setattr__(self, "threads", int(self.threads))


@dataclass(frozen=True)
class Steps:
    """One prediction in three parts, for the call breakdown: called one after another they do what `predict` does.

    `put` hands the images to the runtime, `run` computes, and `get` takes the scores out: copies and conversions are in
    the first and the last.
    """

    put: Callable[[Images], object]
    run: Callable[[], object]
    get: Callable[[], Scores]


SHAPES = ("circle", "square", "diamond", "cross", "x", "hexagon", "triangle-up", "triangle-down", "triangle-left",
          "triangle-right")  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Style:
    """How charts draw a backend: by more than its colour, so that black and white will do.

    A `colour` as ``"#rrggbb"``, the `shape` of its points, from `SHAPES`, and the `dash` of its lines, from `DASHES`;
    anything else raises a PluginError.
    """

    colour: str
    shape: str
    dash: str

    def __post_init__(self) -> None:
        if not re.fullmatch("#[0-9a-f]{6}", self.colour) or self.shape not in SHAPES or self.dash not in DASHES:
            raise PluginError(
                f"{self}: give a colour as '#0072b2', a shape of {', '.join(SHAPES)} and a dash of {', '.join(DASHES)}"
            )


@dataclass(frozen=True)
class Tensor:
    """An input or output as an artifact declares it, by the name that the runtime has for it.

    Attributes
    ----------
    shape
        With the batch axis; None for a size that is free or not known before it runs.
    dtype
        NumPy's name of it: ``"float32"``, ``"uint8"``.
    scale, zero_point
        Of whole numbers that stand for others: ``scale * (number - zero_point)``; a scale of 0 where they don't.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class Signature:
    """What an artifact takes and gives; where it can be called in several ways, by its name, and the others."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    name: str = ""
    others: tuple[Signature, ...] = ()


@dataclass(frozen=True)
class IOSpec:
    """The raw tensors of a model. The defaults are those of digitbench's own, whose artifacts declare the shapes.

    Attributes
    ----------
    shape, dtype
        Of one image: ``(1, 32, 32)``, ``"uint8"``; a shape of () where the artifact declares it.
    batch
        Images that every call holds; None where any number will do.
    output
        The output's name; empty for the first.
    answer, answer_dtype
        Of what is given for one image: ``(10,)``, ``"float32"``; () likewise.
    trusted
        The user has allowed that code in the file is run.
    image_axis, answer_axis
        Which axis of what is taken and given is the batch's: 0; -1, the last; or None, where a call holds one image.
    signature
        Of several ways to call it, the name of the one that is used; empty for the usual one.
    input, constants
        Only where there are several inputs: that of the images, and the number that each other one is always given.
    """

    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    batch: int | None = None
    output: str = ""
    answer: tuple[int, ...] = ()
    answer_dtype: str = "float32"
    trusted: bool = False
    image_axis: int | None = 0
    answer_axis: int | None = 0
    signature: str = ""
    input: str = ""
    constants: tuple[tuple[str, float], ...] = ()

    def declared(self, taken: Sequence[int | None], given: Sequence[int | None]) -> IOSpec:
        """Give it with the shapes that an artifact declares of input and output, batch first, if it has none itself.

        Raises
        ------
        ValueError
            The artifact leaves a size open.
        """
        if self.shape:
            return self
        sizes = [int(size or 0) for size in (*taken[1:], *given[1:])]
        if not sizes or min(sizes) < 1:
            raise ValueError(f"it declares no fixed shape of an image and its scores: {[*taken]} to {[*given]}")
        return replace(self, shape=tuple(sizes[: len(taken) - 1]), answer=tuple(sizes[len(taken) - 1 :]))

    def shapes(self, count: int | None) -> Sequence[tuple[Any, ...]]:
        """Give the shapes of what a call of `count` images takes and gives; a None stays in its place."""
        axes = (self.shape, self.image_axis), (self.answer, self.answer_axis)
        return [shape if axis is None else (count, *shape) if axis == 0 else (*shape, count) for shape, axis in axes]

    def count(self, images: npt.NDArray[Any]) -> int:
        """Say how many images an array holds that a call takes."""
        return 1 if self.image_axis is None else images.shape[self.image_axis] if images.ndim else 0


NATIVE_SPEC = IOSpec()


class Backend(ABC):
    """One artifact, opened by one runtime. Construct to load: there is no half-built state.

    Import the runtime inside ``__init__``, not at the top of the module: backends are listed and chosen by
    importing their classes, and that must not cost five seconds of TensorFlow.

    Parameters
    ----------
    artifact
        File or folder in this backend's `format`.
    threads
        How many threads a prediction may use, 1 or more.

    Raises
    ------
    FileNotFoundError
        There is nothing at `artifact`.
    ArtifactError
        The runtime can't open it: corrupt, truncated, another format.
    ThreadsError
        The runtime already runs in this process with another thread count that can't be changed.
    """

    format: ClassVar[str]
    """The artifact format it opens: ``"onnx"``."""

    further_formats: ClassVar[tuple[str, ...]] = ()
    """Optional: what else it opens, where a bundle holds nothing of `format`."""

    precisions: ClassVar[tuple[str, ...] | None] = None
    """Optional: the precisions of that format that it opens (see `digitbench.records.precisions`), if not all."""

    makes: ClassVar[Mapping[str, str]] = {}
    """Optional: precisions that the runtime itself makes when loading, each of which artifact: ``{"bf16": "fp32"}``.

    They are measured only if asked for by name, and the constructor then takes one as the keyword ``precision``.
    """

    example: ClassVar[str] = ""
    """Optional: Python that labels `images` by the runtime alone, for users to copy.

    ``{artifact}`` stands for the artifact's path as a Python literal, ``{threads}`` for a number, ``{precision}`` for
    a name; it must import what it needs, take `images` (`Images`) and leave `labels` (int64, (n,)).
    """

    order: ClassVar[int | None] = None
    """Optional: its place among those that may be taken where nobody names one, the quickest to load first."""
    style: ClassVar[Style | None] = None
    """Optional: how charts draw it; else one of the styles that are left."""
    title: ClassVar[str] = ""
    """Optional: what texts call it as a reference, if not by its name: ``"Keras"``."""

    only_named: ClassVar[bool] = False
    """Optional: it is measured only if asked for by name."""
    trained: ClassVar[bool] = False
    """Optional: models are trained in its `format`, and exports made from that. It holds for one backend."""

    native_tool: ClassVar[str] = ""
    """Optional: its runtime's own benchmark tool, one of `digitbench.measure.native_tools.TOOLS`."""

    steps: Steps | None = None
    """Optional: the parts of `predict` for the batch size it saw last, so that a call breakdown can time each."""

    # Optional: a constructor that takes the keyword ``io_spec`` too opens models that somebody else made; `predict` is
    # then given arrays of that shape and dtype, and gives the output as the runtime does. The core does the rest.
    @abstractmethod
    def __init__(self, artifact: Path, *, threads: int) -> None: ...

    @classmethod
    def formats(cls) -> tuple[str, ...]:
        """Every format that it opens, the usual one first."""
        return (cls.format, *cls.further_formats)

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """Optional: read what an artifact takes and gives, for ``digitbench import``.

        Raises
        ------
        ArtifactError
            The runtime can't open it.
        """
        raise NotImplementedError

    @property
    @abstractmethod
    def runtime(self) -> Runtime:
        """What really runs."""

    @abstractmethod
    def predict(self, images: Images) -> Scores:
        """Score a batch of images.

        Parameters
        ----------
        images
            `Images` for any n >= 1; read-only and non-contiguous arrays too. Left untouched.

        Returns
        -------
        Scores
            float32, (n, classes): a new `numpy.ndarray` with the scores in it, C-contiguous and writable, which shares
            no memory with the images or another answer; see `check_scores`.

        Raises
        ------
        ValueError
            Wrong shape or dtype; the message names both.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the runtime's memory. Safe to call twice; `predict` must not be called after it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@contextmanager
def opening(artifact: Path, runtime: str) -> Iterator[None]:
    """Turn what a runtime raises while it opens an artifact into one line.

    Raises
    ------
    FileNotFoundError
        There is nothing at `artifact`.
    ArtifactError
        The runtime, of that name, raised anything else but an error of digitbench's.
    """
    if not artifact.exists():
        raise FileNotFoundError(artifact)
    try:
        yield
    except DigitbenchError:
        raise
    except Exception as exc:
        raise ArtifactError(f"{artifact}: {runtime} can't open it: {reason(exc, artifact)}") from exc


def check_images(images: npt.NDArray[Any], io_spec: IOSpec = NATIVE_SPEC) -> None:
    """Refuse what `Backend.predict` must refuse: call it first there.

    Raises
    ------
    ValueError
        `images` is not a float32 array of n >= 1 images, or not what `io_spec` says.
    """
    count = io_spec.count(images)
    if not io_spec.shape:
        io_spec = replace(io_spec, shape=images.shape[1:] if images.ndim in (3, 4) else (0, 0))
    if images.dtype != io_spec.dtype or not count or images.shape != io_spec.shapes(count)[0]:
        names = {None: "n", 0: "side"}
        expected_shape = ", ".join(names.get(size, str(size)) for size in io_spec.shapes(None)[0])
        given = f"{images.dtype} of shape {images.shape}"
        raise ValueError(f"images must be {io_spec.dtype} of shape ({expected_shape}) with n >= 1; got {given}")


def check_scores(
    scores: Any, images: Images, earlier: Iterable[Scores] = (), *, classes: int | None = None
) -> None:  # fmt: skip
    """Refuse what `Backend.predict` must not give; asked outside of timed calls.

    An array of another type may stand for something that is not computed yet, and memory that is shared changes under
    whoever holds an answer: such a backend is timed at something else than giving scores.

    Parameters
    ----------
    scores
        What it gave.
    images
        What it was given.
    earlier
        Other answers of the same backend.
    classes
        How many scores an image has; None for any number.

    Raises
    ------
    ValueError
        It isn't a `numpy.ndarray` itself, float32, of shape (n, classes), C-contiguous, writable, of memory of its own.
    """
    if type(scores) is not np.ndarray:
        type_name = f"{type(scores).__module__}.{type(scores).__qualname__}"
        raise ValueError(
            f"predict gave a {type_name}, not a numpy.ndarray: it may not be computed yet; give np.array of it"
        )
    expected_shape = (len(images), classes or (scores.shape[1] if scores.ndim == 2 else "classes"))
    if scores.shape != expected_shape or scores.dtype != FLOAT32:
        raise ValueError(f"predict gave {scores.dtype} of shape {scores.shape}, not float32 {expected_shape}")
    if not (scores.flags.c_contiguous and scores.flags.writeable):
        lacking = "writable" if scores.flags.c_contiguous else "C-contiguous"
        raise ValueError(f"predict gave an array that is not {lacking}: it must be its caller's; give np.array of it")
    # Of contiguous arrays that have bytes in common, this is exact.
    others = [(images, "the images it was given"), *((answer, "an earlier answer") for answer in earlier)]
    if shared := next((name for array, name in others if np.may_share_memory(scores, array)), ""):
        raise ValueError(f"predict gave an array that shares memory with {shared}: it must be a new one")
