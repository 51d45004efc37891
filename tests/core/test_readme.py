"""What README and the pages of docs/ show is what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from digitbench.backend import Backend
from digitbench.bundle import Bundle
from digitbench.plugins.exporter import Exporter
from digitbench.records.recipes import DEFAULT, RECIPES

ROOT = Path(__file__).parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
         for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]}  # fmt: skip
README = PAGES["README.md"]


def python_with(excerpt: str, page: str) -> str:
    """The one piece of Python in a page that has `excerpt` in it."""
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL) if excerpt in code]
    return str(code)


def test_readme_is_for_newcomers_and_leads_to_every_page() -> None:
    assert len(README.splitlines()) <= 150
    links = {page: re.findall(r"\]\(([^)#:]+)\)", text) for page, text in PAGES.items()}
    broken = [(page, link) for page, targets in links.items() for link in targets
              if not (ROOT / page).parent.joinpath(link).exists()]  # fmt: skip
    assert broken == []
    linked = {link for page in ("README.md", "docs/recipes.md") for link in links[page]}
    assert {Path(page).name for page in PAGES if page.startswith("docs/")} <= {Path(link).name for link in linked}


def test_the_first_30_lines_say_what_it_does_with_a_result_and_one_command() -> None:
    first = README.splitlines()[:30]
    assert first[2].startswith("digitbench tells you on which CPU runtime")
    assert next(line.strip() for line in first if line.startswith("    ")) == "make quickstart"
    rows = [line for line in first if line.startswith("| ")]
    assert len(rows) == 2 + 4, "a head, its rule, and four candidates"
    assert "p50 µs" in rows[0]


def test_the_plugin_in_the_docs_is_the_example() -> None:
    example = ROOT / "tests/plugins/digitbench-example"
    parts = [(example / name).read_text(encoding="utf-8")
             for name in ("digitbench_example.py", "pyproject.toml", "tests/test_contract.py")]  # fmt: skip
    assert re.findall(r"```(?:python|toml)\n(.*?)```", PAGES["docs/backends.md"], re.DOTALL) == parts
    assert len(parts[0].splitlines()) <= 60


@pytest.mark.parametrize("contract", [Backend, Exporter])
def test_the_docs_have_everything_optional(contract: type) -> None:
    documented = set(re.findall(r"^\| (?:keyword )?`(\w+)", PAGES["docs/backends.md"], re.MULTILINE))
    required = {"format", "extra", "missing", "problem", "file_name", "formats", *contract.__abstractmethods__}  # type: ignore[attr-defined]
    optional = {name for name in vars(contract) if not name.startswith("_")} - required
    assert optional - documented == set()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`([\w/.]+\.(?:py|md|ipynb|html|js|svg))`", PAGES[page])
    folders = ("digitbench", "backends", "benchmarks", "tests", "tools", "docs")
    paths = [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*.*"))]
    files = [path.as_posix() for path in paths]
    assert len(named) > 10
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in files)] == []


def test_the_recipes_in_the_docs_are_the_named_ones() -> None:
    assert re.findall(r"^\| `((?:dense|cnn)-[a-z0-9-]+)`", PAGES["docs/recipes.md"], re.MULTILINE) == list(RECIPES)
    assert f"`{DEFAULT}` (default)" in PAGES["docs/recipes.md"]


def test_the_python_in_readme_runs_as_it_stands(trained: Bundle, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(trained.path, target_is_directory=True)
    completed = subprocess.run(
        [sys.executable, "-c", python_with("digitbench.load(", "README.md")], cwd=tmp_path, env=environment(tmp_path),
        capture_output=True, text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr == ""
    printed = re.fullmatch(r"(\d+\.\d+)% right, by LiteRT (\S+)\n", completed.stdout)
    assert printed, completed.stdout
    # Eight bits may move a few labels, no more.
    assert float(printed[1]) == pytest.approx(100 * trained.stored["metrics"]["test_accuracy"], abs=2)
