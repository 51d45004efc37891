"""Model I/O tried in a worker: what happens when a trial kills it, hangs or is refused, and the message about it."""

from __future__ import annotations

import dataclasses
import json
import os
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from msgspec.structs import replace

from core.fakes import Fake, WorkerEvents, numbered
from core.helpers import announce, one_printable_line
from digitbench import plugins
from digitbench.backend import Images, IOSpec, Signature, Tensor
from digitbench.errors import ArtifactError, BundleError
from digitbench.importing import probe
from digitbench.importing.prober import MOST_DEATHS, Prober
from digitbench.plugins.model_io import ModelIO
from digitbench.system import trusted_files
from digitbench.workers.pool import Pool, shared_images

# The name of the output says what the backend does.
PLUGIN = """
import os, time
import numpy as np
from digitbench.backend import Backend, Runtime, Signature, Tensor
from digitbench.errors import ArtifactError


class Moody(Backend):
    format = "moody"

    def __init__(self, artifact, *, threads, io_spec):
        self.io_spec = io_spec

    @classmethod
    def signature(cls, artifact, *, trusted=False):
        return Signature((Tensor("x", (None, 28, 28), "float32"),), (Tensor("a", (None, 10), "int8", 0.5, 3),))

    @property
    def runtime(self):
        return Runtime("Fake", "1", "none", 1)

    def predict(self, images):
        if self.io_spec.output == "exits":
            os._exit(3)
        if self.io_spec.output == "hangs":
            time.sleep(600)
        if self.io_spec.output == "refuses":
            raise ValueError("first line\\nsecond line")
        return np.repeat(images[:, 0, :1], 10, axis=1)

    def close(self):
        pass


class Broken(Moody):
    @classmethod
    def signature(cls, artifact, *, trusted=False):
        raise ArtifactError(f"{artifact}: corrupt at\\nbyte 7")


class Lambda(Moody):
    @classmethod
    def signature(cls, artifact, *, trusted=False):
        raise ArtifactError(f"{artifact}: it holds a `Lambda` layer")


class Odd(Moody):
    @classmethod
    def signature(cls, artifact, *, trusted=False):
        return Signature((Tensor("x", ("many", 784), "float32"),), ())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed plugins: each class above under its name."""
    folder = tmp_path_factory.mktemp("site")
    announce(folder, "moody_backends", PLUGIN, names={name: name for name in ("Moody", "Broken", "Lambda", "Odd")})
    return folder


@pytest.fixture(autouse=True)
def home(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def children() -> Iterator[Callable[[], list[psutil.Process]]]:
    """The processes that this test started and that still run: none when it ends."""
    before = psutil.Process().children(recursive=True)

    def running() -> list[psutil.Process]:
        processes = psutil.Process().children(recursive=True)
        return [process for process in processes if process not in before and process.status() != psutil.STATUS_ZOMBIE]

    yield running
    left = running()
    for child in left:
        child.kill()
    assert left == []


@pytest.fixture
def shared() -> Iterator[Path]:
    """The file of nine images, the i-th of which is all i once it is divided by 255."""
    with shared_images(255 * numbered(9)) as path:
        yield path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"layers")
    return path


@contextmanager
def probing(source: Path, backend: str, images: Path, timeout: float) -> Iterator[Prober]:
    with Pool(images, timeout=timeout) as pool:
        prober = Prober(source, backend, pool)
        prober.wait()
        yield prober


def model_io(output: str = "") -> ModelIO:
    return ModelIO(output=Tensor(output, (None, 10), "float32"))


# --- the parent's end ----------------------------------------------------------------------------------------------


def test_a_model_io_that_kills_its_worker_or_hangs_costs_that_one_alone(
    model: Path, shared: Path, children: Callable[[], list[psutil.Process]]
) -> None:
    with probing(model, "Moody", shared, timeout=60) as prober:
        assert prober.signatures == (
            Signature((Tensor("x", (None, 28, 28), "float32"),), (Tensor("a", (None, 10), "int8", 0.5, 3),)),
        )
        (first,) = children()
        assert prober.ask(model_io("exits"), range(0, 5)) is None
        assert prober.fault == "the worker ended with exit code 3"
        assert children() == []
        scores = prober.ask(model_io(), range(2, 5))
        assert scores is not None
        assert scores.shape == (3, 10)
        assert scores[:, 0].tolist() == [2, 3, 4]
        scores = prober.ask(model_io(), [4, 0, 4], 1)
        assert scores is not None
        assert scores[:, 0].tolist() == [4, 0, 4]
        assert children() != [first], "another worker"
        prober._pool._timeout = 0.2  # the next one has loaded already
        assert prober.ask(model_io("hangs"), range(0, 5)) is None
        assert prober.fault.startswith("the worker did not answer for 0.2 s and was killed; see --timeout")
        prober._pool._timeout = 60
        assert prober.ask(model_io("refuses"), range(0, 5)) is None
        assert prober.fault == "first line second line"
        (third,) = children()
        assert prober.ask(replace(model_io(), foreground=255.0), range(0, 9)) is not None
        assert children() == [third], "a refusal kills nobody"
    assert children() == []


def test_after_three_deaths_nothing_more_is_tried(
    model: Path, shared: Path, children: Callable[[], list[psutil.Process]]
) -> None:
    with probing(model, "Moody", shared, timeout=60) as prober:
        for _ in range(MOST_DEATHS):
            assert prober.ask(model_io("exits"), range(0, 5)) is None
        assert prober.ask(model_io(), range(0, 5)) is None
        assert prober.fault == "the worker ended with exit code 3"
        assert children() == []


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("Broken", "{model}: corrupt at byte 7"),
        (
            "Lambda",
            "{model}: it holds a Lambda layer or other code, which isn't run; add --trust if you trust its maker",
        ),
    ],
)
def test_what_its_runtime_cannot_open_is_refused_in_a_line(
    model: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, backend: str, message: str
) -> None:
    monkeypatch.chdir(model.parent)
    with pytest.raises(BundleError) as caught, probing(Path(model.name), backend, shared, timeout=60):
        raise AssertionError("it was opened")
    assert one_printable_line(str(caught.value))
    assert str(caught.value) == message.format(model=model.name), "as its user named it, and once"


def test_a_signature_that_is_none_leaves_no_process(model: Path, shared: Path) -> None:
    message = r"Expected `int \| null`, got `str` - at `\$\.inputs"
    with pytest.raises(ValueError, match=message), probing(model, "Odd", shared, timeout=60):
        raise AssertionError("it was opened")


# --- the worker's end, in this process -----------------------------------------------------------------------------


class Watched(Fake):
    """Remembers the arguments that it was opened with."""

    opened: list[IOSpec]
    trusted_flags: list[bool]
    acts: list[str]

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec) -> None:
        super().__init__(answer=lambda images: np.repeat(images.reshape(len(images), -1)[:, :1], 10, axis=1))
        type(self).opened.append(io_spec)
        type(self).acts.append("open")
        if io_spec.output == "unknown":
            raise ArtifactError("no output of that name")

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        cls.trusted_flags.append(trusted)
        return Signature((), ())

    def predict(self, images: Images) -> Any:
        scores = super().predict(images)
        return scores * np.float32("nan") if type(self).opened[-1].output == "nothing" else scores

    def close(self) -> None:
        type(self).acts.append("close")


@pytest.fixture
def run_probe(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., WorkerEvents]:
    """Try one model I/O after another, each on images[1:4], and give all events."""
    Watched.opened, Watched.trusted_flags, Watched.acts = [], [], []
    announced: Any = SimpleNamespace(load=lambda: Watched, module="watched")
    plugin = dataclasses.replace(plugins.find("numpy"), name="fake", entry_point=announced)
    monkeypatch.setattr("digitbench.plugins.find", lambda name: plugin)
    monkeypatch.setattr(probe, "_limit_memory", lambda: None)  # that limit is for a worker, and not for this process
    np.save(tmp_path / "images.npy", 255 * numbered(9))

    def call(*model_ios: ModelIO, size: int = 256) -> WorkerEvents:
        images = str(tmp_path / "images.npy")
        job = {"backend": "fake", "artifact": str(model), "precision": "fp32", "images": images}
        commands = (
            {"model_io": tried.to_json(), "order": [1, 2, 3], "size": size, "artifact": str(model)}
            for tried in model_ios
        )
        events: WorkerEvents = []
        probe.serve(map(json.dumps, [job, *commands]), lambda event, **facts: events.append((event, facts)))
        return events

    return call


def test_each_model_io_is_answered_with_the_scores_of_the_images_asked_for(
    run_probe: Callable[..., WorkerEvents], model: Path
) -> None:
    ready, *answers = run_probe(model_io(), replace(model_io(), background=1.0, foreground=0.0))
    signature = {"inputs": (), "outputs": (), "name": "", "others": ()}
    assert ready == ("ready", {"signature": signature, "artifact": str(model), "known": {}})
    answered = [np.frombuffer(b64decode(facts["scores"]), np.float32).reshape(3, 10) for _, facts in answers]
    assert [scores[:, 9].tolist() for scores in answered] == [[1, 2, 3], [0, -1, -2]]


def test_images_are_scored_in_the_order_and_as_many_a_call_as_asked_for(
    run_probe: Callable[..., WorkerEvents], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[float]] = []

    def predict(self: Watched, images: Images) -> Any:
        batches.append(images[:, 0, 0].tolist())
        return Fake.predict(self, images)

    monkeypatch.setattr(Watched, "predict", predict)
    (_, facts) = run_probe(model_io(), size=2)[1]
    assert batches == [[1, 2], [3]]
    assert np.frombuffer(b64decode(facts["scores"]), np.float32)[::10].tolist() == [1, 2, 3]


def test_it_is_opened_anew_only_for_another_io_spec(run_probe: Callable[..., WorkerEvents]) -> None:
    run_probe(model_io(), replace(model_io(), foreground=2.0), replace(model_io(), shape=(784,)), model_io())
    assert [io_spec.shape for io_spec in Watched.opened] == [(), (784,), ()]
    assert Watched.acts == ["open", "close"] * 3, "never two at a time"


def test_what_a_model_io_fails_by_is_told_and_the_next_is_tried(run_probe: Callable[..., WorkerEvents]) -> None:
    _, *answers = run_probe(
        model_io("unknown"), model_io("nothing"), replace(model_io("nothing"), foreground=2.0), model_io()
    )
    assert [set(facts) for _, facts in answers] == [{"error"}, {"error"}, {"error"}, {"scores", "shape"}]
    assert answers[0][1]["error"] == "no output of that name"
    assert answers[1][1]["error"].endswith("not finite numbers")
    assert all(one_printable_line(facts["error"]) for _, facts in answers[:3])
    assert [io_spec.output for io_spec in Watched.opened] == ["unknown", "nothing", ""], (
        "what ran, and gave no numbers, is kept"
    )


@pytest.mark.parametrize("trusted", [False, True])
def test_code_in_a_file_is_run_if_its_user_trusts_that_file(
    run_probe: Callable[..., WorkerEvents], model: Path, trusted: bool
) -> None:
    if trusted:
        trusted_files.remember(model)
    run_probe(replace(model_io(), code=True))
    assert Watched.trusted_flags == [trusted]
    assert [io_spec.trusted for io_spec in Watched.opened] == [trusted]
