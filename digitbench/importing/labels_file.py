"""Names of a model's outputs: in a text file beside it, in the archive at the end of a .tflite, or in ONNX metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

from digitbench.importing import formats
from digitbench.model_files import onnx_file
from digitbench.records.task import Task

FILES = ("{}_labels.txt", "{}-labels.txt", "{}.labels.txt", "labels.txt", "classes.txt")
"""Beside a model file, whose name without its suffix stands for the braces."""
QUOTED = re.compile(r"""['"]([^'"]+)['"]""")
METADATA = {"names", "labels", "classes", "class_names"}
MOST_BYTES = 10**6
NUMBERED = re.compile(r"(\d+)[\s:,;]+(\S.*)")


@dataclass(frozen=True)
class LabelsFile:
    """The names of a model's outputs, in their order, and where they were read."""

    path: str
    names: tuple[str, ...]

    def columns(self, task: Task) -> tuple[int, ...]:
        """Say which output belongs to each class of a task; empty where some class isn't among the names, or twice."""
        plain = [_plain(name) for name in self.names]
        wanted = [_plain(name) for name in task.class_names]
        return tuple(plain.index(name) for name in wanted) if all(plain.count(name) == 1 for name in wanted) else ()

    def problem(self, task: Task) -> str:
        """Say why the names aren't those of a task; empty where they are."""
        if self.columns(task):
            return ""
        if len(self.names) != task.classes:
            return f"{self.path} lists {len(self.names)} names, but the data have {task.classes} classes"
        others = [name for name in self.names if _plain(name) not in map(_plain, task.class_names)]
        return f"{self.path} has other names than the data: {', '.join((others or [*self.names])[:3])} …"


def find(source: Path, model_format: str) -> LabelsFile | None:
    """Find the names of a model's outputs; None where there are none."""
    found = (LabelsFile(path, read(text)) for path, text in _texts(source, model_format))
    return next((labels for labels in found if len(labels.names) > 1), None)


def read(text: str) -> tuple[str, ...]:
    """Read names, one a line; numbers before them are left out where they count the lines."""
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    matches = [match for match in map(NUMBERED.fullmatch, lines) if match]
    numbers = [int(match[1]) for match in matches]
    if len(matches) == len(lines) and numbers in ([*range(len(lines))], [*range(1, len(lines) + 1)]):
        return tuple(match[2] for match in matches)
    return tuple(lines)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _texts(source: Path, model_format: str) -> Iterator[tuple[str, str]]:
    """Every text that may list names, with where it is; one a line."""
    if model_format == formats.TFLITE and is_zipfile(source):
        with suppress(BadZipFile, OSError), ZipFile(source) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".txt") and entry.file_size < MOST_BYTES:
                    yield f"{entry.filename} in the model", archive.read(entry).decode("utf-8", "replace")
    if model_format == formats.ONNX:
        with suppress(ValueError):
            metadata = onnx_file.texts(source)
            for key in METADATA & metadata.keys():
                yield f"{key} in its metadata", "\n".join(QUOTED.findall(metadata[key]) or metadata[key].split(","))
    folders = [source, source / "assets", source.parent] if source.is_dir() else [source.parent]
    for path in (folder / name.format(source.stem) for folder in folders for name in FILES):
        if path.is_file() and path.stat().st_size < MOST_BYTES:
            yield path.name, path.read_text("utf-8", "replace")
