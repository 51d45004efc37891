"""The watching side: give cases to a process, and say what went wrong with each of them, if anything did."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
from fuzzing import seeds

LONGEST = 600  # characters of a message, without the file's name
MOST_GROWN = 500_000_000  # bytes of memory above what a process had before its first case
PICTURE_SECONDS = 15.0
MARGIN_SECONDS = 20.0  # above a model's timeout
LITTER = (".ses", "__autograph_generated_file", "__pycache__")  # of ONNX Runtime, TensorFlow, and Python for that
ANSWERS = 5  # that one model may keep a process waiting for, until it is killed


@dataclass
class Verdict:
    """What became of a case.

    Attributes
    ----------
    kind, number, model_format
        Which case it was; the format of its file.
    outcome
        ``"taken"``, ``"refused"``, ``"raised"``, or ``"dead"`` where the process died of it or was killed.
    message
        Of the refusal or exception.
    seconds, grown
        How long it took, and bytes of memory above what the process had at its start.
    faults
        What is wrong; each in a line, traceback and prints after it. Empty if all is well.
    litter
        What a runtime's code left in the temporary folder, each by its prefix in `LITTER`.
    """

    kind: str
    number: int
    model_format: str
    outcome: str
    message: str = ""
    seconds: float = 0.0
    grown: int = 0
    faults: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The case, as the option ``--case`` takes it."""
        return f"{self.kind}:{self.number}"


class Watched:
    """A process that takes cases, one at a time; started anew when one has killed it, or made it grow.

    Parameters
    ----------
    kind, seed, timeout
        Of its cases.
    models
        Filled by `seeds.make_models`; unused for pictures.
    base
        An empty folder for this process alone.
    """

    def __init__(self, kind: str, seed: int, timeout: float, models: Path, base: Path) -> None:
        self._kind, self._seed, self._timeout, self._models = kind, seed, timeout, models
        self._cases, self._home, self._temporary, self._bundles = (
            base / name for name in ("cases", "home", "tmp", "bundles")
        )
        for folder in (self._cases, self._home, self._temporary, self._bundles):
            folder.mkdir(parents=True)
        self._printed = (base / "printed").open("a+b", buffering=0)
        self._process: subprocess.Popen[str] | None = None

    def kill(self) -> None:
        """Kill the process, so that `run` comes back in another thread."""
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._end()
        self._printed.close()

    def run(self, number: int, keep: Path | None = None) -> Verdict:
        """Run a case; if something is wrong with it, its file is copied into the folder `keep`."""
        path = seeds.write(self._kind, number, self._seed, self._models, self._cases)
        self._printed.truncate(0)
        answer = self._ask(path)
        fields = {name: answer[name] for name in ("outcome", "message", "seconds", "grown") if name in answer}
        verdict = Verdict(self._kind, number, seeds.format_of(self._kind, number), **fields)
        verdict.faults = [*self._faults(verdict, answer, path), *self._left_behind(verdict)]
        if verdict.outcome == "dead" or verdict.grown > MOST_GROWN:
            self._end()
        if verdict.faults and keep:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, keep / path.name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return verdict

    # --- the process ------------------------------------------------------------------------------------------------

    def _start(self) -> subprocess.Popen[str]:
        home = {name: str(self._home) for name in ("HOME", "USERPROFILE", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
        temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self._temporary))
        return subprocess.Popen(
            [sys.executable, "-m", "fuzzing.trial"], cwd=self._home, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._printed, text=True, encoding="utf-8", start_new_session=True,
            env=seeds.environment() | home | temporary,
        )  # fmt: skip

    def _end(self) -> None:
        if self._process is not None:
            for process in self._children():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                with suppress(BrokenPipeError):
                    if stream:
                        stream.close()
        for process in _processes_in(self._temporary):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process = None

    def _children(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        try:
            return list(psutil.Process(self._process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []

    def _ask(self, path: Path) -> Mapping[str, Any]:
        """Have the process run a case and answer; if it dies of it or must be killed, the answer says how."""
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        limit = ANSWERS * (self._timeout + MARGIN_SECONDS) if self._kind == "models" else 4 * PICTURE_SECONDS
        start, late = monotonic(), threading.Timer(limit, process.kill)
        late.start()
        try:
            request = {"kind": self._kind, "path": str(path), "target": str(self._bundles / "bundle"),
                       "timeout": self._timeout}  # fmt: skip
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
        finally:
            late.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        spent, code = monotonic() - start, process.wait()
        reason = f"still at it after {limit:.0f} s" if spent >= limit else f"it ended with {code}"
        return {"outcome": "dead", "message": reason, "seconds": spent}

    # --- the judge --------------------------------------------------------------------------------------------------

    def _faults(self, verdict: Verdict, answer: Mapping[str, Any], path: Path) -> Iterator[str]:
        message, limit = verdict.message, self._timeout + MARGIN_SECONDS if self._kind == "models" else PICTURE_SECONDS
        if verdict.outcome == "dead":
            yield f"killed the process: {message}"
        if verdict.outcome == "raised":
            yield f"another exception: {answer['trace']}"
        if verdict.outcome == "refused":
            yield from complaints(message, path)
        if verdict.seconds > limit:
            yield f"slow: {verdict.seconds:.0f} s"
        if verdict.grown > MOST_GROWN:
            yield f"memory: {verdict.grown / 1e6:,.0f} MB above its start"
        self._printed.seek(0)
        printed = self._printed.read().decode("utf-8", "replace").strip()
        if printed:
            yield f"printed: {printed[:2000]}"

    def _left_behind(self, verdict: Verdict) -> Iterator[str]:
        """Remove processes and files that the case left behind, and say what they were."""
        for process in self._children():
            with suppress(psutil.NoSuchProcess):
                yield f"left a process: {process.name()}"
                process.kill()
        left = {*self._temporary.iterdir(), *self._bundles.iterdir()}
        bundle = self._bundles / "bundle"
        if verdict.outcome == "taken" and self._kind == "models":
            left.discard(bundle)
            if not bundle.is_dir():
                yield "said that it made a bundle, and there is none"
        for path in sorted(left):
            litter = [name for name in LITTER if path.name.startswith(name)]
            verdict.litter += litter
            if not litter:
                yield f"left {path.name}"
        for path in (*left, bundle):
            if path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def complaints(message: str, path: Path) -> Iterator[str]:
    """Say what is wrong with a refusal: it must be one clear line."""
    if not message.isprintable() or not message.strip():
        yield f"not one printable line: {message!r}"
    if len(message.replace(str(path), "")) > LONGEST:
        yield f"a message of {len(message)} characters: {message!r}"
    if path.name not in message:
        yield f"doesn't name the file: {message!r}"


def _processes_in(temporary: Path) -> Iterator[psutil.Process]:
    """Find processes that were started with that temporary folder and have outlived their parent."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(temporary):
                yield process
