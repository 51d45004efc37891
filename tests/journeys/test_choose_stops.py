"""`digitbench choose` where a run is INVALID, was stopped, or can't be saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, complaint
from core.helpers import announce
from core.test_outputs import RESULTS

from digitbench import cli as command_line
from digitbench.bundle import Bundle
from digitbench.measure import session
from digitbench.records.results import Results
from digitbench.records.timing import Finding
from journeys.helpers import copied, first_on_path, interrupted
from journeys.test_choose import QUICKLY, mark_valid, read, rewrite, rows_of, saved
from journeys.test_resume import PLUGIN, starts


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of two backends that note when they are started."""
    folder = tmp_path_factory.mktemp("site")
    announce(folder, "noted_plugin", PLUGIN, names={"noted": "Noted", "other": "Other"})
    return first_on_path(folder)


def test_a_bundle_that_cannot_be_written_is_measured_all_the_same(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    (bundle.path / "results").write_text("in the way", encoding="utf-8")
    done = cli("choose", bundle.path, "-b", "numpy", *QUICKLY, "--json", "choice.json")
    line = complaint(done)
    assert "saved as" in line
    assert line in done.stdout, "where it is said where the figures are from"
    choice = read(tmp_path / "choice.json")
    assert [candidate["backend"] for candidate in choice["candidates"]] == ["numpy"]
    assert choice["results"] is None
    assert ["numpy", "fp32"] in [printed_line.split()[:2] for printed_line in done.stdout.splitlines()]
    if choice["chosen"]:  # it may be INVALID here
        assert f"Chosen: {choice['chosen']['why']}" in done.stdout
        assert choice["chosen"]["code"] in done.stdout
    else:
        assert "no candidate is left" in done.stdout


@pytest.mark.slow
def test_what_is_invalid_is_measured_again(cli: Cli, tmp_path: Path, untrained: Bundle, site: dict[str, str]) -> None:
    bundle = copied(untrained, tmp_path)
    both_backends = ("-b", "noted", "-b", "other", *QUICKLY)
    assert cli("choose", bundle.path, *both_backends, env=site).returncode in (0, 1)
    mark_valid(bundle)
    (first,) = saved(bundle)
    results = read(first)
    base = results["settings"]["baseline"][0]
    for row in results["rows"]:
        row["validity"] = [{"reason": "made up", "mend": ""}] if row["backend"] != base else []
    rewrite(first, results)
    starts(tmp_path)

    done = cli("choose", bundle.path, *both_backends, env=site)
    assert f"the rest is from {first}" in done.stdout, done.stderr
    rival = "other" if base == "noted" else "noted"
    assert starts(tmp_path) == {base: 4, rival: 2}
    second = saved(bundle)[-1]
    before, after = rows_of(first), rows_of(second)
    assert after[base, 1]["generations"] == before[base, 1]["generations"]
    for old, new in zip(before[rival, 1]["generations"], after[rival, 1]["generations"], strict=True):
        assert old["samples"] != new["samples"]
    assert "made up" not in second.read_text(encoding="utf-8")

    for path in saved(bundle):
        results = read(path)
        for row in results["rows"]:
            row["validity"] = [{"reason": "made up", "mend": ""}] if row["backend"] == base else []
        rewrite(path, results)
    done = cli("choose", bundle.path, *both_backends, env=site)
    assert "taken from" not in done.stdout, "nothing can be paired with a baseline that can't be relied on"
    assert min(starts(tmp_path).values()) >= 2


@pytest.mark.slow
def test_ctrl_c_says_where_the_next_one_goes_on(
    cli: Cli, tmp_path: Path, untrained: Bundle, site: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in site.items():
        monkeypatch.setenv(name, value)
    bundle = copied(untrained, tmp_path)
    options = ("-b", "noted", "-b", "other", "--seconds", "0.4", "--generations", "2")
    done = interrupted("choose", bundle.path, *options, cwd=tmp_path, trigger="generation 1 of 2, batch 1")
    assert complaint(done, 130)
    (file,) = saved(bundle)
    results = read(file)
    base = results["settings"]["baseline"][0]
    assert results["complete"] is False
    assert f"Saved as {file}" in done.stdout

    mark_valid(bundle)
    starts(tmp_path)
    done = cli("choose", bundle.path, *options, env=site)
    assert f"the rest is from {file}" in done.stdout, done.stderr
    assert starts(tmp_path)[base] == 2, "one generation, with the baseline's twin"


def test_ctrl_c_before_anything_is_known_saves_nothing(
    tmp_path: Path, untrained: Bundle, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def run(*arguments: Any, keep: Callable[[Results], None], **_: Any) -> Results:
        results = replace(RESULTS, rows=tuple(candidate.row for candidate in arguments[2]), complete=False)
        keep(results)
        return results

    monkeypatch.setattr(session, "run", run)
    bundle = copied(untrained, tmp_path)
    assert command_line.run(["choose", str(bundle.path), "-b", "numpy", *QUICKLY]) == 130
    assert saved(bundle) == []
    assert "Saved" not in capsys.readouterr().out


@pytest.mark.parametrize("valid", [True, False])
def test_the_next_one_is_said_to_go_on_only_where_it_can(
    tmp_path: Path, untrained: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], valid: bool
) -> None:
    original_run = session.run

    def run(*arguments: Any, **options: Any) -> Results:
        results = original_run(*arguments, **options)
        validity = () if valid else (Finding("made up", ""),)
        return replace(results, rows=tuple(replace(row, validity=validity) for row in results.rows), complete=False)

    monkeypatch.setattr(session, "run", run)
    bundle = copied(untrained, tmp_path)
    assert command_line.run(["choose", str(bundle.path), "-b", "numpy", *QUICKLY]) == 130
    (file,) = saved(bundle)
    goes_on = "; the next `digitbench choose` continues there" * valid
    assert f"Saved as {file}{goes_on}\n" in capsys.readouterr().out
