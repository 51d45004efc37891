"""The tour in `docs/` does what it says, and shows the kinds of things that are stored in it."""

from __future__ import annotations

import ast
import re
import socket
from pathlib import Path

import pytest
import tour
from conftest import environment

from digitbench import api

MOST_BYTES = 400_000
MOST_IMPORTS = 6


def code_of(source: str) -> ast.Module:
    """A cell's code, with what only IPython reads as Python."""
    from IPython.core.inputtransformer2 import TransformerManager

    return ast.parse(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]


def test_it_is_a_sound_notebook_with_outputs_of_nobody_elses_machine() -> None:
    import nbformat

    notebook = tour.read()
    nbformat.validate(notebook)
    assert tour.NOTEBOOK.stat().st_size < MOST_BYTES
    assert notebook.metadata.kernelspec.name == "python3"
    shown = "\n".join(
        str(output.get("text") or [output["data"].get(kind) for kind in ("text/plain", "text/html")])
        for cell in notebook.cells for output in cell.get("outputs", ())
    )  # fmt: skip
    assert not re.search(r"(?<![\w.<])/(home|root|tmp|work|usr|var|Users)/", shown), "no absolute paths"
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", shown)
    kinds = [kind for cell in tour.kinds(notebook) for kind in cell]
    assert kinds.count("image/png, text/plain") == 7, "its pictures show where it is read"
    assert "stderr" not in kinds
    assert "error" not in kinds


def test_it_takes_few_names_and_none_that_is_not_public() -> None:
    trees = [code_of(cell.source) for cell in tour.read().cells if cell.cell_type == "code"]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(found) <= MOST_IMPORTS
    ours = [node for node in found if isinstance(node, ast.ImportFrom) and str(node.module).startswith("digitbench")]
    assert [node.module for node in ours] == ["digitbench"]
    attributes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "api"}
    assert "train" in used
    assert used <= set(api.__all__)


def test_its_first_cell_installs_from_the_checkout_and_the_others_run_no_command() -> None:
    first, *others = [cell.source for cell in tour.read().cells if cell.cell_type == "code"]
    (line,) = (line.strip() for line in first.splitlines() if line.strip().startswith("%"))
    assert line == '%pip install --quiet "..[all]"', "it isn't on PyPI"
    for source in others:
        ast.parse(source)  # which neither !pip nor %pip is
        assert "subprocess" not in source
    for cell in tour.read().cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\]\(|<img", cell.source), "nothing of it lies elsewhere"


@pytest.mark.slow
def test_every_cell_runs_and_shows_the_kinds_of_things_that_are_stored(tmp_path: Path) -> None:
    executed = tour.run(tmp_path, environment(tmp_path))
    for cell in executed.cells:
        for output in cell.get("outputs", ()):
            details = f"{cell.source}\n{output.get('text') or output.get('evalue')}"
            assert output.output_type != "error", details
            assert output.get("name") != "stderr", details
            assert "\x1b" not in output.get("text", ""), "plain lines, without colours or movements"
            text = output.get("data", {}).get("text/plain", "")
            assert len(text) < 1000, "what is stored beside a picture or a table"
    assert tour.kinds(executed) == tour.kinds(tour.read())
    (bundle,) = (path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    assert (bundle / "artifacts" / "model-int8.onnx").is_file()
    assert (tmp_path / "report.html").is_file()
