"""What README shows is what is there."""

from __future__ import annotations

import re
from pathlib import Path

from digitbench.recipes import DEFAULT, RECIPES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_backend_in_readme_is_the_example_plugin() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert code == (ROOT / "tests/plugins/digitbench-example/digitbench_example.py").read_text(encoding="utf-8")
    assert len(code.splitlines()) <= 40


def test_the_recipes_in_readme_are_the_named_ones() -> None:
    assert re.findall(r"^\| `(dense-[a-z0-9-]+)`", README, re.MULTILINE) == list(RECIPES)
    assert f"`{DEFAULT}` (default)" in README
