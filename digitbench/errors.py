"""What can go wrong, and whose mistake it was.

::

    DigitbenchError                exit code 2: something the user can mend
    ├── UsageError                 an option or argument that makes no sense
    ├── BackendError
    │   ├── UnknownBackendError    no plugin of that name
    │   ├── MissingRuntimeError    the plugin is there, its runtime is not installed
    │   ├── PluginError            a plugin that can't be used: two of one name, not a Backend
    │   └── ThreadsError           the runtime can't give the thread count asked for in this process
    ├── DataError                  a dataset that can't be had or isn't what it says
    ├── ImageError                 images that a classifier can't take; a ValueError too
    ├── BundleError                no such bundle, or one that can't be read
    │   └── ArtifactError          an artifact that is missing, changed or corrupt
    ├── ResultsError               a results file that can't be read or written
    └── CheckFailed                exit code 1: everything worked, and the answer is no

Anything else that is raised is a fault of digitbench and keeps its traceback.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

MOST = 200
"""Characters of a runtime's reason: two lines of a terminal."""

LONGEST = 50_000
"""Characters of a message that are looked at: a corrupt file's own bytes may stand in it."""

VERBOSE = "DIGITBENCH_VERBOSE"
"""The environment variable by which a command and its workers know that whole messages are wanted."""


class DigitbenchError(Exception):
    """Base of every error whose message is written for the user: one line that says what, where and what to do.

    Parameters
    ----------
    message
        That line.
    mend
        The command that would mend it, where there is one.
    """

    exit_code = 2

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self.mend = mend


class UsageError(DigitbenchError):
    """An option or argument that makes no sense."""


class BackendError(DigitbenchError):
    """A backend can't be used."""


class UnknownBackendError(BackendError):
    """No plugin of that name is installed."""


class MissingRuntimeError(BackendError):
    """The plugin is installed, but a package it imports is not."""


class PluginError(BackendError):
    """A plugin breaks the rules: two of one name, or not a `Backend`."""


class ThreadsError(BackendError):
    """The runtime can't run with the thread count asked for in this process."""


class DataError(DigitbenchError):
    """A dataset can't be had, or isn't what it says it is."""


class ImageError(DigitbenchError, ValueError):
    """Images of a type, shape or range that a classifier can't take.

    A `ValueError` too: it is met in Python, where that is what a wrong argument raises.
    """


class BundleError(DigitbenchError):
    """No such bundle, or one that can't be read or written."""


class ArtifactError(BundleError):
    """An artifact is missing, was changed, or can't be opened by its runtime."""


class ResultsError(DigitbenchError):
    """A results file can't be read or written."""


class CheckFailed(DigitbenchError):
    """Everything worked, and the answer is no: labels differ, a worker died."""

    exit_code = 1


def unknown(noun: str, name: str, known_names: Iterable[str]) -> str:
    """Word the refusal of a name that isn't known: name the nearest, then all."""
    known_list = list(known_names)
    near = nearest(name, known_list)
    hint = f"did you mean {near!r}? " if near else ""
    return f"unknown {noun} {name!r}: {hint}known are {', '.join(known_list)}"


def nearest(name: str, known_names: Iterable[str], cutoff: float = 0.4) -> str:
    """Give the known name that was probably meant: one that begins so, else the most similar; else nothing."""
    known_list, start = list(known_names), name.lower()
    longer = [known for known in known_list if start and known.lower().startswith(start)]
    return next(iter(longer or difflib.get_close_matches(start, known_list, n=1, cutoff=cutoff)), "")


def one_line(exc: BaseException, limit: int = 200) -> str:
    """Give an exception's message as one printable line, for use inside another message.

    Runtimes put newlines, and a corrupt file's own bytes, into their messages.
    """
    text = _printable(str(exc)) or type(exc).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def is_verbose() -> bool:
    """Are whole messages wanted, with where they came from."""
    return bool(os.environ.get(VERBOSE))


# --- what runtimes say ----------------------------------------------------------------------------------------------

# What stands around the sentence that says what is wrong, and what replaces it; applied in this order.
_BOILERPLATE = tuple(
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        # Keras: the cause comes last, in bold, after a configuration and the arguments; or the configuration does
        (r"\x1b\[[01]m", ""),
        (r"^.*Exception encountered: ", ""),
        (r"^.*Exception encountered when calling [^\n]*\n+", ""),
        (r"\n+Arguments received by .*$", ""),
        (r"\s*Full object config: .*$", ""),
        (r" using config=\{.*?\}\.(?=\s|$)", "."),
        (r"\n\nconfig=\{.*?\}\.(?=\s|$)", ""),
        (r"\s*Target variable: <Variable path=([^,]*),.*?>(?=\s|$)", r" Variable: \1."),
        (r"\s*List of objects that could not be loaded:.*$", ""),
        (r"\s*Stack backtrace:.*$", ""),  # tract
        # TensorFlow: nodes, and Python's frames
        (r"^in user code:\n.*\n\s+(?:\w+\.)*\w*(?:Error|Exception): ", ""),
        (r"\s*\[\[\{\{node [^\n]*?\]\]", ""),
        (r"\{\{function_node [^}]*\}\}\s*", ""),
        (r"\{\{node ([^}]*)\}\}", r"\1"),
        (r"See instructions: \S*?(?=Node number|\s|$)", ""),
        (r"\[_XlaMustCompile=[^\]]*\]", ""),
        (r"\s*The op is created at:.*$", ""),
        (r"\s*\[Op:[^\]]*\](?: name: \w*)?", ""),
        # TensorFlow's converters: the first error, before notes and the whole program
        (r"^.*?error: loc\(.*?\): ([^\n]+).*$", r"\1"),
        # ONNX Runtime
        (r"\[ONNXRuntimeError\] : \d+ : \w+ : ", ""),
        (r"Load model from .*? failed:\s*", ""),
        (r"Non-zero status code returned while running (\w+) node\. Name:'[^']*' Status Message: ", r"\1: "),
        # OpenVINO: where in its sources, layer by layer
        (r"Exception from \S+:\d+:\s*", ""),
        (r"While validating ONNX node '[^\n]*?': ", ""),
        (r"Check '[^\n]*?' failed at \S+:\d+:\s*", ""),
        (r"While validating node '[^\n]*' with friendly_name '[^\n]*?':\s*", ""),
        (r"FrontEnd API failed with \w+:\s*|Loading input model\s*\n|Model wasn't fully converted\.\s*", ""),
        (r"Failed operations detailed log:\s*|\s*-- Conversion is failed for: [^\n]*|Summary:\s*", ""),
        (r"-- (\S+) with a message:\s*", r"\1: "),
        (r"(?:^|(?<=\n))-- |Available frontends: [^\n]*", ""),
    )
)
_SOURCE_LOCATION = re.compile(r"\S+\.(?:h|hh|hpp|cc|cpp|cxx|c|cu):\d+(?::\d+)?:?\s+")
_SIGNATURE_START = re.compile(r"[\w:<>,&*~\[\]= ]*::[\w:<>,&*~\[\]= ]*\(")
_SIGNATURE_END = re.compile(r"(?: const)?(?: \[with [^\]]*\])? ?")
_IMAGES_FOLDER = "digitbench-[a-z0-9_]{8}"
_SUBFOLDERS = r"(?:[^\s/'\"]+/)*"
# What is still being written, and gone when somebody reads of it: see `digitbench.system.files`.
_DRAFT = re.compile(r"(?:/[^\s/'\"]+)*/\.([^\s/'\"]+)\.[a-z0-9_]{8}/(?:\1/)?" + _SUBFOLDERS)
_SENTENCE_END = re.compile(r"(?<!e\.g\.)(?<!i\.e\.)(?<=[.!?])\s+(?=[A-Z\[(<`'\"])|\n")
_ADVICE = re.compile(r"(?:Please|Note that|See|If (?:you|they)|Make sure|You may|Consider|Run with|Try|For the)\b")


def reason(exc: BaseException | str, *paths: Path) -> str:
    """Give what a runtime says is wrong as one printable line, for use inside another message.

    Runtimes begin with paths, lines of their sources and configurations, and say last what is wrong. Of a message
    that is still too long the sentences nearest to its end are kept; a "…" stands for what is left out. An error of
    digitbench itself is whole already, and only put in one line, unless it is very long.

    Parameters
    ----------
    exc
        The exception, or its message.
    paths
        Files that the other message names already: of these only the name stays.
    """
    text = str(exc)
    from_digitbench = isinstance(exc, DigitbenchError) and len(text) <= 4 * MOST
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"
    for path in paths:
        for written_path in {str(path.resolve()), str(path)}:
            text = text.replace(written_path, path.name)
    if not from_digitbench:
        for pattern, replacement in _BOILERPLATE:
            text = pattern.sub(replacement, text)
        text = _without_source_locations(text)
    text = _without_temporary_folders(text)
    sentences = [sentence for part in _SENTENCE_END.split(text) if (sentence := _printable(part))]
    if not sentences:
        return type(exc).__name__ if isinstance(exc, BaseException) else "no reason given"
    return " ".join(sentences if from_digitbench else _nearest_to_end(sentences))


def _without_source_locations(text: str) -> str:
    """Leave out locations in C++ sources, with the signature of the function: ``/a/b.cc:12 void ns::f(int) const``."""
    while location := _SOURCE_LOCATION.search(text):
        rest = text[location.end() :]
        while start := _SIGNATURE_START.match(rest):
            depth, end = 1, start.end()
            while depth and end < len(rest):
                depth += {"(": 1, ")": -1}.get(rest[end], 0)
                end += 1
            tail = _SIGNATURE_END.match(rest, end)
            rest = rest[tail.end() if tail else end :]
        text = text[: location.start()] + rest
    return text


def _without_temporary_folders(text: str) -> str:
    """Leave out temporary folders of digitbench, which are gone when somebody reads of them."""
    import tempfile

    folder = Path(tempfile.gettempdir())  # in a worker that of the images
    pattern = re.escape(f"{folder}/") + (f"{_IMAGES_FOLDER}/" if not re.fullmatch(_IMAGES_FOLDER, folder.name) else "")
    return _DRAFT.sub("", re.sub(pattern + _SUBFOLDERS, "", text))


def _nearest_to_end(sentences: list[str]) -> list[str]:
    """Choose sentences that fit into `MOST` characters: no advice if there is anything else, then from the last on."""
    if len(" ".join(sentences)) <= MOST:
        return sentences
    chosen: list[str] = []
    remaining, has_gap = MOST, False
    for sentence in reversed([candidate for candidate in sentences if not _ADVICE.match(candidate)] or sentences):
        if len(sentence) <= remaining:
            chosen = [sentence, *["…"] * (has_gap and bool(chosen)), *chosen]
            remaining, has_gap = remaining - len(sentence) - 3, False
        else:
            has_gap = True
            if not chosen:  # a sentence that is too long by itself: its ends say most
                chosen, remaining = [f"{sentence[: MOST * 2 // 3 - 2]} … {sentence[-(MOST // 3) :]}"], 0
    return chosen


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
