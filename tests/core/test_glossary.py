"""Words are explained once: `--explain` prints what the guide says."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli

from digitbench.report.glossary import GLOSSARY

GUIDE = Path(__file__).parents[2] / "docs" / "methodology.md"
FORMATS = Path(__file__).parent / "formats"
NEWEST = max(FORMATS.glob("results-*.json"), key=lambda path: int(path.stem.split("-")[1]))


def test_the_guide_explains_the_same_words_alike() -> None:
    section = GUIDE.read_text(encoding="utf-8").partition("## Eight words\n")[2].partition("\n## ")[0]
    listed = [" ".join(part.split()) for part in section.split("\n- ")[1:]]
    assert listed == [f"**{word}**: {explanation}" for word, explanation in GLOSSARY.items()]


@pytest.mark.parametrize(("command", "files"), [("show", 1), ("compare", 2), ("choose", 1)])
def test_words_are_explained_first_and_only_when_asked_for(command: str, files: int, cli: Cli) -> None:
    arguments = [command, *[NEWEST] * files]
    plain, explained = cli(*arguments), cli(*arguments, "--explain")
    lines = explained.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(GLOSSARY)]] == list(GLOSSARY)
    assert lines[len(GLOSSARY)] == ""
    assert explained.stdout.endswith(plain.stdout)
    assert explained.returncode == plain.returncode


def test_they_leave_standard_output_to_results(cli: Cli) -> None:
    done = cli("show", NEWEST, "--json", "-", "--explain")
    assert done.stdout.startswith("{")
    assert done.stderr.startswith("candidate")


@pytest.mark.parametrize("word", GLOSSARY)
def test_an_explanation_is_one_line_on_a_usual_terminal(word: str) -> None:
    assert len(f"{word:<14}  {GLOSSARY[word]}") <= 80
    assert "\n" not in GLOSSARY[word]
