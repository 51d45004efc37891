"""Saving results, so that nothing is lost that is worth more: neither earlier results, nor those of another run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitbench.errors import ResultsError, UsageError

if TYPE_CHECKING:
    from digitbench.records.results import Results
    from digitbench.system.progress import Progress

STDOUT = "-"
FileStamp = tuple[int, int, int]
CSV_START = re.compile(r"backend,precision,")
MARKDOWN_START = re.compile(r"\*\*.*\n.*, digitbench \S+$|\|.* backend .*\|$", re.MULTILINE)
LISTINGS = tuple(f"digitbench.{name}" for name in ("runs", "backends", "recipes", "saved", "show", "history"))
PYTEST_BENCHMARK_START = re.compile(r'\{\s*"machine_info":')
JSON_LINES_START = re.compile(r'\{"file":')
PAGE_START = re.compile(r"<!doctype html>", re.IGNORECASE)
REPORT_START = re.compile(r"## .*: which to ship\n")
HEAD_BYTES = 4096


def check_targets(files: Mapping[str, tuple[str | None, re.Pattern[str]]]) -> bool:
    """Refuse, before anything is measured, what can't be written, or would replace something of another format.

    Parameters
    ----------
    files
        By its option, the file that is asked for, ``-`` for standard output; and how one begins that may be replaced,
        since it is of the same format. An empty file always may.

    Returns
    -------
    bool
        Whether one of them is standard output.

    Raises
    ------
    UsageError
        One can't be written, two are the same, or something else would be lost.
    """
    from digitbench.system.files import check_writable

    options_by_target: dict[str, str] = {}
    for option, (file, start) in files.items():
        if file is None:
            continue
        path, target = Path(file), file if file == STDOUT else str(Path(file).absolute())
        if target in options_by_target:
            conflict = "standard output" if file == STDOUT else file
            raise UsageError(f"{options_by_target[target]} and {option} can't both be {conflict}; name another file")
        options_by_target[target] = option
        if file == STDOUT:
            continue
        check_writable(path)
        is_free = not path.exists() or (path.is_file() and not path.stat().st_size)
        if not is_free and not (path.is_file() and _starts_like(start, path)):
            message = f"{option} {path}: it holds something else, which would be lost"
            raise UsageError(f"{message}; name another file, or remove it first")
    return STDOUT in options_by_target


def json_start(format: str) -> re.Pattern[str]:
    """Say how JSON of a format (``"digitbench.results"``) begins, or a listing, which can be made again."""
    return re.compile(rf'\{{\s*"schema":\s*"({"|".join([format, *LISTINGS])})/')


def _starts_like(pattern: re.Pattern[str], path: Path) -> bool:
    """Does a file begin as one that digitbench wrote."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES).decode("utf-8", "replace")
    return pattern.match(head.replace("\r\n", "\n")) is not None


class Saver:
    """Where the results of one run are saved: while they come in, and in the end.

    A file that was there when the run began is replaced only at the end, and only by results that better it. Until
    then, or if they don't, the results are saved beside it: ``found.partial.json``. A file that appeared or changed
    since the run began isn't replaced either: the results get the next free name.

    Parameters
    ----------
    target
        The file; None to save nothing.
    named
        A person named it: then complete results are saved even if nothing was timed.

    Attributes
    ----------
    path
        Where they are saved so far; None if they aren't.
    note
        Why that isn't `target`; empty if it is, or if there is nothing to say.
    """

    def __init__(self, target: Path | None, *, named: bool = False) -> None:
        self._target, self._named = target, named
        self._initial_stamp = _file_stamp(target) if target and named else None
        self._written_stamp: FileStamp | None = None  # of what was written last
        self._reported: set[str] = set()
        self.path: Path | None = None
        self.note = ""

    def keep(self, partial: Results, progress: Progress) -> None:
        """Save results that aren't complete yet; a full disk is reported once, and stops nothing."""
        if self._target is None or not worth(partial):
            return
        try:
            self._write(partial, self._target if self._initial_stamp is None else _partial_name(self._target))
        except ResultsError as exc:
            if str(exc) not in self._reported:
                progress.say(str(exc))
            self._reported.add(str(exc))

    def finish(self, results: Results) -> None:
        """Save what a run came to, complete or not.

        Raises
        ------
        ResultsError
            They could not be saved as `target`; the message says where they are.
        """
        if self._target is None or not (worth(results) or (self._named and results.complete)):
            return
        try:
            if self._initial_stamp is None:
                self._write(results, self._target)
            else:
                self._replace(results, self._target)
        except ResultsError as exc:
            raise _saved_elsewhere(results, self._target, exc) from exc
        if self._named and self._initial_stamp is None and self.path != self._target:
            self.note = f"{self._target} was written by another run meanwhile"

    def __str__(self) -> str:
        """Say where they are saved; nothing where there is nothing to say."""
        if self.path is None:
            return f"Not saved: {self.note}" if self.note else ""
        return f"Saved as {self.path}{f' ({self.note})' if self.note else ''}"

    def _replace(self, results: Results, target: Path) -> None:
        with _locked(target):
            changed = _file_stamp(target) != self._initial_stamp
            if not changed and may_replace(results, target):
                write_text(target, results.dumps())
                final: Path | None = target
            elif not results.complete:
                self.note = f"{target} is unchanged"
                self._write(results, _partial_name(target))
                return
            elif worth(results):
                final = write_new(target, results.dumps())
                reason = "was changed by another run meanwhile" if changed else "holds times, and is unchanged"
                self.note = f"{target} {reason}" if final != target else ""
            else:
                final = None
                self.note = f"nothing was timed: {target} is unchanged"
        if self.path:
            self.path.unlink(missing_ok=True)
        self.path = final

    def _write(self, results: Results, path: Path) -> None:
        """Write to this run's file; claim a new one the first time, and if another run replaced the file since."""
        text = results.dumps()
        with _locked(self.path) if self.path else nullcontext():
            if self.path is None or _file_stamp(self.path) not in (self._written_stamp, None):
                self.path = write_new(path, text)
                self._written_stamp = _file_stamp(self.path)
                return
            try:
                write_text(self.path, text)
            finally:  # Ctrl-C may come when it has been written: this run wrote it all the same
                self._written_stamp = _file_stamp(self.path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from digitbench.system.files import faults_as, locked

    with faults_as(ResultsError, path), locked(path):
        yield


def _file_stamp(path: Path) -> FileStamp | None:
    """What changes with a file's content; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _partial_name(path: Path) -> Path:
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def worth(results: Results) -> int:
    """Count what would be lost with results: timed generations, or scored candidates of an evaluation."""
    if results.settings:
        return sum(len(row.generations) for row in results.rows)
    return sum(row.accuracy is not None for row in results.rows)


def may_replace(new: Results, path: Path) -> bool:
    """May results replace those in a file: they are complete and lack no times, or go on from them, or it is empty."""
    from digitbench.records.results import Results

    if not path.stat().st_size:
        return True
    try:
        old = Results.read(path)
    except ResultsError:  # of another version
        return new.complete and worth(new) > 0
    if new.complete:
        return not worth(old) or (worth(new) > 0 and bool(new.settings or not old.settings))
    return not old.complete and new.created == old.created and worth(new) >= worth(old)


def write_text(target: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    ResultsError
        It can't be written.
    """
    from digitbench.system.files import faults_as, written_beside

    with faults_as(ResultsError, target), written_beside(target) as draft:
        draft.write_text(text, encoding="utf-8", newline="")


def write_each(parts: Iterable[tuple[str | None, Callable[[], str]]], *faults: ResultsError) -> None:
    """Write each text into its file, or to standard output: one that fails doesn't stop the others.

    Raises
    ------
    ResultsError
        One failed, or there were faults before; the message names all.
    """
    messages = [str(fault) for fault in faults]
    for file, make in parts:
        try:
            if file == STDOUT:
                print(make(), end="")
            elif file:
                write_text(Path(file), make())
        except ResultsError as exc:
            messages.append(str(exc))
    if messages:
        raise ResultsError("; ".join(messages))


def write_json(file: str | None, value: Mapping[str, Any]) -> None:
    """Write plain values as JSON into a file, or to standard output.

    Raises
    ------
    ResultsError
        It can't be written.
    """
    write_each([(file, lambda: pretty(value))])


def pretty(value: Any) -> str:
    """Give plain values as JSON text; bytes of a file's name that are no UTF-8 become JSON's own escapes."""
    import json  # not for --help, which is to be quick

    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_new(target: Path, text: str) -> Path:
    """Write a new file, under the next free name if there is one already; give its path.

    Raises
    ------
    ResultsError
        It can't be written.
    """
    from digitbench.system.files import claim_file, faults_as

    with faults_as(ResultsError, target):
        path = claim_file(target)
    try:
        write_text(path, text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _saved_elsewhere(results: Results, target: Path, fault: ResultsError) -> ResultsError:
    """Save results in the temporary folder or the home, so that they aren't lost, and say so."""
    import tempfile

    for folder in (Path(tempfile.gettempdir()), Path.home()):
        try:
            path = write_new(folder / f"digitbench-{target.stem}.json", results.dumps())
        except ResultsError:
            continue
        return ResultsError(f"{fault}; saved as {path} instead")
    return fault
