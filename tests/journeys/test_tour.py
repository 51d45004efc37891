"""The tour in `docs/` does what it says, from its first cell to its last."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import environment

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tour.ipynb"
SECONDS = 120
MOST_BYTES = 40_000


def read() -> Any:
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_a_sound_notebook_without_stored_outputs() -> None:
    import nbformat

    tour = read()
    nbformat.validate(tour)
    code = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code), "they would be of another machine, and grow stale"
    assert {cell.execution_count for cell in code} == {None}
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    assert tour.metadata.kernelspec.name == "python3"


def test_it_runs_no_command_of_a_shell() -> None:
    for cell in read().cells:
        if cell.cell_type == "code":
            lines = [line for line in cell.source.splitlines() if not line.startswith("%matplotlib inline")]
            ast.parse("\n".join(lines))  # which neither !pip nor %pip is
            assert "subprocess" not in cell.source
        else:
            assert not re.search(r"\]\(|<img", cell.source), "nothing of it lies elsewhere"


@pytest.mark.slow
def test_every_cell_runs_and_complains_of_nothing(tmp_path: Path) -> None:
    from nbclient import NotebookClient

    tour = read()
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(tour, timeout=SECONDS, kernel_name="python3", resources=resources).execute(env=environment(tmp_path))
    shown: dict[str, int] = {}
    for cell in tour.cells:
        for output in cell.get("outputs", ()):
            details = f"{cell.source}\n{output.get('text') or output.get('evalue')}"
            assert output.output_type != "error", details
            assert output.get("name") != "stderr", details
            for mime_type, text in output.get("data", {}).items():
                shown[mime_type] = shown.get(mime_type, 0) + 1
                assert mime_type != "text/plain" or len(text) < 1000, "what is stored beside a picture or a table"
    assert (shown["image/png"], shown["image/svg+xml"]) == (3, 4), "pictures of images, and charts"
    assert shown["text/html"] == 3, "a bundle, results and a choice"
    (bundle,) = (path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    assert (bundle / "artifacts" / "model-int8.onnx").is_file()
