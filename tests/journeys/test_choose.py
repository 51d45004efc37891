"""`digitbench choose`: what is missing is measured, one candidate is named, and its code can be used."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli, Finished, complaint, run_cli
from core.helpers import announce

from digitbench import data
from digitbench.bundle import Bundle
from journeys.helpers import copied, first_on_path, rewrite_manifest
from journeys.test_resume import PLUGIN, starts

QUICKLY = ("--seconds", "0.2", "--generations", "2")
THREE = ("-b", "tflite", "-b", "onnx", "-b", "numpy")


def saved(bundle: Bundle) -> list[Path]:
    return sorted((bundle.path / "results").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def mark_valid(bundle: Bundle) -> None:
    """A busy machine makes rows provisional: here they are all to be relied on."""
    for path in saved(bundle):
        results = read(path)
        for row in results["rows"]:
            row["validity"] = []
            row.pop("doubts", None)
        rewrite(path, results)


def rewrite(path: Path, results: dict[str, Any]) -> None:
    """Write results to a file that stays as old as it was."""
    then = path.stat()
    path.write_text(json.dumps(results), encoding="utf-8")
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, trained: Bundle) -> tuple[Bundle, Finished]:
    """A bundle of which three backends were measured by a first `choose`: don't change it."""
    folder = tmp_path_factory.mktemp("measured")
    bundle = copied(trained, folder)
    done = run_cli("choose", bundle.path, *THREE, *QUICKLY, cwd=folder)
    mark_valid(bundle)
    return bundle, done


def test_the_first_call_measures_and_saves(measured: tuple[Bundle, Finished]) -> None:
    bundle, done = measured
    assert done.returncode in (0, 1), done.stderr  # 1 where all are INVALID
    assert "Traceback" not in done.stderr
    (file,) = saved(bundle)
    assert f"Saved as {file}" in done.stdout
    results = read(file)
    assert results["complete"] is True
    assert {(row["batch_size"], row["threads"], len(row["generations"])) for row in results["rows"]} == {(1, 1, 2)}
    for row in results["rows"]:
        assert [row["backend"], row["precision"]] in [line.split()[:2] for line in done.stdout.splitlines()]


def test_the_second_call_measures_nothing_and_names_one(cli: Cli, measured: tuple[Bundle, Finished]) -> None:
    bundle, _ = measured
    before = {path: path.read_bytes() for path in saved(bundle)}
    done = cli("choose", bundle.path, *THREE, *QUICKLY, "--json", "choice.json", "--markdown", "table.md")
    assert done.returncode == 0, done.stderr
    (file,) = saved(bundle)
    assert f"Nothing new to measure: everything is in {file}" in done.stdout
    assert read(file)["created"] in done.stdout
    assert {path: path.read_bytes() for path in saved(bundle)} == before


def test_the_choice_is_there_for_machines_and_its_code_runs(cli: Cli, measured: tuple[Bundle, Finished]) -> None:
    bundle, _ = measured
    done = cli("choose", bundle.path, *THREE, *QUICKLY, "--max-p50", "1s", "--json", "-")
    assert done.returncode == 0, done.stderr
    choice = json.loads(done.stdout)
    assert choice["schema"] == "digitbench.choice/1"
    assert choice["results"] == str(saved(bundle)[0])
    assert choice["limits"] == [{"metric": "p50", "at_most": 1e6, "unit": "us", "given": "1s"}]
    rows = read(saved(bundle)[0])["rows"]
    assert {(candidate["backend"], candidate["precision"]) for candidate in choice["candidates"]} == {
        (row["backend"], row["precision"]) for row in rows
    }
    assert all(
        candidate["reasons"] == [] and candidate["p50_us"] > 0 and 0 < candidate["top1"] <= 1
        for candidate in choice["candidates"]
    )
    chosen = choice["chosen"]
    identity = {"backend": chosen["backend"], "precision": chosen["precision"]}
    assert identity in choice["front"]
    (chosen_candidate,) = [candidate for candidate in choice["candidates"] if candidate["verdict"] == "chosen"]
    assert {key: chosen_candidate[key] for key in identity} == identity
    assert chosen["artifact"] == str(bundle.path / chosen_candidate["artifact"])
    assert (chosen["threads"], chosen["batch_size"], choice["nearest"]) == (1, 1, None)
    assert f"Chosen: {chosen['why']}" in done.stderr
    assert chosen["code"] in done.stderr
    assert done.stderr.splitlines()[-1].startswith("next: digitbench report ")

    namespace: dict[str, Any] = {"images": data.load("digits").test.images[:50]}
    exec(chosen["code"], namespace)
    assert namespace["labels"].dtype == np.int64
    assert (namespace["labels"] == bundle.reference_scores()[:50].argmax(axis=1)).mean() > 0.9


def test_the_table_is_written_in_markdown(cli: Cli, measured: tuple[Bundle, Finished]) -> None:
    bundle, _ = measured
    done = cli("choose", bundle.path, *THREE, *QUICKLY, "--markdown", "-")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.replace("\\", "").splitlines()
    table, notes = [line for line in lines if line[:1] == "|"], [line for line in lines if line and line[0] != "|"]
    head, marks, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table]
    assert any(line.startswith("certified, no: onnx dynamic, for each call finds its own ranges") for line in notes)
    assert head == [
        "backend", "precision", "top-1 [95 %]", "flips", "certified", "p50 µs", "images/s", "size kB", "peak MB",
        "verdict",
    ]  # fmt: skip
    assert set(marks) == {":--", "--:"}
    assert len(rows) == len(read(saved(bundle)[0])["rows"])
    assert [row[-1] for row in rows].count("**chosen**") == 1  # a smaller one may tie with the fastest
    assert {len(row) for row in rows} == {len(head)}


def test_who_breaks_a_limit_is_told_why(cli: Cli, tmp_path: Path, measured: tuple[Bundle, Finished]) -> None:
    bundle, _ = measured
    sizes = {row["artifact"]["bytes"] for row in read(saved(bundle)[0])["rows"]}
    bound = sorted(sizes)[len(sizes) // 2]
    done = cli("choose", bundle.path, *THREE, *QUICKLY, "--max-size", f"{bound}B", "--json", "choice.json")
    assert done.returncode == 0, done.stderr
    choice = read(tmp_path / "choice.json")
    for candidate in choice["candidates"]:
        assert (candidate["verdict"] == "out") == (candidate["artifact_bytes"] > bound)
        for reason in candidate["reasons"]:
            assert reason.startswith("size ")
            assert reason in done.stdout


def test_if_nobody_is_left_the_nearest_is_named_and_the_table_is_shown(
    cli: Cli, tmp_path: Path, measured: tuple[Bundle, Finished]
) -> None:
    bundle, _ = measured
    done = cli("choose", bundle.path, *THREE, *QUICKLY, "--max-size", "1kB", "--json", "choice.json")
    line = complaint(done, 1)
    choice = read(tmp_path / "choice.json")
    smallest = min(choice["candidates"], key=lambda candidate: int(candidate["artifact_bytes"]))
    assert f"nearest is {smallest['backend']} {smallest['precision']}: size " in line
    assert {key: choice["nearest"][key] for key in ("backend", "precision")} == {
        "backend": smallest["backend"], "precision": smallest["precision"],
    }  # fmt: skip
    assert (choice["chosen"], choice["front"]) == (None, [])
    assert done.stdout.count(" is above 1 kB") == len(choice["candidates"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-p99", "200"], "--max-p99 '200': give a time with its unit"),
        (["--min-accuracy", "97.5"], "--min-accuracy '97.5': no share is above 100%"),
        (["--max-memory", "much"], "--max-memory 'much': give a size with its unit"),
        (["--max-flips", "-1"], "--max-flips '-1'"),
        (["--prefer", "speed"], "--prefer: unknown criterion 'speed'"),
        (["--precision", "int9"], "unknown precision 'int9'"),
        (["--backend", "onyx"], "did you mean 'onnx'"),
        (["--json", "-", "--markdown", "-"], "can't both be standard output"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(cli: Cli, untrained: Bundle, arguments: list[str], message: str) -> None:
    assert message in complaint(cli("choose", untrained.path, *arguments))


def test_no_bundle_is_one_line(cli: Cli) -> None:
    assert "run: digitbench train" in complaint(cli("choose", "--max-p99", "200us"))


# --- what is missing -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of two backends that note when they are started."""
    folder = tmp_path_factory.mktemp("site")
    announce(folder, "noted_plugin", PLUGIN, names={"noted": "Noted", "other": "Other"})
    return first_on_path(folder)


def rows_of(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["backend"], row["batch_size"]): row for row in read(path)["rows"]}


@pytest.mark.slow
def test_only_what_is_missing_is_measured(cli: Cli, tmp_path: Path, untrained: Bundle, site: dict[str, str]) -> None:
    bundle = copied(untrained, tmp_path)
    first_backend, both_backends = ("-b", "noted"), ("-b", "noted", "-b", "other")

    def choose(*arguments: str) -> Finished:
        done = cli("choose", bundle.path, *arguments, env=site)
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        mark_valid(bundle)
        return done

    def measures_nothing(*arguments: str) -> None:
        before = saved(bundle)
        assert "Nothing new to measure: everything is in" in choose(*arguments).stdout
        assert (saved(bundle), starts(tmp_path)) == (before, {})

    choose(*first_backend, *QUICKLY)
    assert starts(tmp_path)["noted"] >= 4, "two generations, each with the baseline's twin"
    (first,) = saved(bundle)
    measures_nothing(*first_backend)
    measures_nothing(*first_backend, *QUICKLY)
    measures_nothing(*first_backend, "--quick")

    choose(*both_backends)
    assert starts(tmp_path) == {"noted": 4, "other": 2}, "the baseline and its twin took part again"
    second = saved(bundle)[-1]
    assert rows_of(second).keys() == {("noted", 1), ("other", 1)}
    assert rows_of(second)["noted", 1]["generations"] == rows_of(first)["noted", 1]["generations"]
    assert all(generation["ratio"] for generation in rows_of(second)["other", 1]["generations"])
    assert read(second)["settings"] == {**read(first)["settings"], "parent_cpu_share": None} | {
        "parent_cpu_share": read(second)["settings"]["parent_cpu_share"]
    }
    measures_nothing(*both_backends)
    measures_nothing("-b", "other")

    choose("-b", "other", "--batch-size", "8", *QUICKLY)
    assert set(starts(tmp_path)) == {"other"}, "of batch size 8 nothing was known: not even a baseline"
    measures_nothing("-b", "other", "--batch-size", "8")
    measures_nothing(*both_backends)

    for options in (["--generations", "3", "--seconds", "0.2"], ["--generations", "3", "--seconds", "0.4"]):
        choose("-b", "other", *options)
        assert starts(tmp_path)["other"] >= 6, "three generations, each with the baseline's twin"
        measures_nothing("-b", "other", *options)


@pytest.mark.slow
def test_rows_of_other_batch_sizes_are_kept_beside_what_is_added(
    cli: Cli, tmp_path: Path, untrained: Bundle, site: dict[str, str]
) -> None:
    bundle = copied(untrained, tmp_path)
    done = cli("bench", bundle.path, "-b", "noted", "--batch-size", "1,8", *QUICKLY, env=site)
    assert done.returncode == 0, done.stderr
    mark_valid(bundle)
    starts(tmp_path)
    (first,) = saved(bundle)
    done = cli("choose", bundle.path, "-b", "other", env=site)
    assert done.returncode in (0, 1), done.stderr
    assert starts(tmp_path) == {"noted": 4, "other": 2}, "noted is the run's baseline"
    second = saved(bundle)[-1]
    before, after = rows_of(first), rows_of(second)
    assert after.keys() == {("noted", 1), ("noted", 8), ("other", 1)}
    assert after["noted", 8] == before["noted", 8]
    assert after["noted", 1]["generations"] == before["noted", 1]["generations"]
    assert {(floor["threads"], floor["batch_size"]) for floor in read(second)["floors"]} == {(1, 1), (1, 8)}
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.split()[1:2] == ["fp32"]]
    assert lines == ["other"], "only what was asked for is judged"


def test_results_of_something_else_are_not_used(
    cli: Cli, tmp_path: Path, untrained: Bundle, site: dict[str, str]
) -> None:
    bundle = copied(untrained, tmp_path)
    assert cli("bench", bundle.path, "-b", "noted", "--batch-size", "1", *QUICKLY, env=site).returncode == 0
    mark_valid(bundle)
    (file,) = saved(bundle)
    good = file.read_text(encoding="utf-8")

    def changed(part: str, **changes: Any) -> str:
        results = json.loads(good)
        (results if part == "" else results[part]).update(changes)
        return json.dumps(results)

    artifact = json.loads(good)
    artifact["rows"][0]["artifact"]["sha256"] = "ab"
    unusable = {
        "machine": changed("machine", cpu="Z80"),
        "python": changed("machine", python="2.7"),
        "bundle": changed("bundle", reference_sha256="ab"),
        "images": changed("bundle", test_images=1),
        "version": changed("", digitbench="0.0.1"),
        "schema": changed("", schema="digitbench.results/99"),
        "artifact": json.dumps(artifact),
        "evaluation": changed("", settings={}),
        "corrupt": good[:100],
    }
    file.unlink()
    for name, text in unusable.items():
        (file.parent / f"{name}.json").write_text(text, encoding="utf-8")
    starts(tmp_path)
    done = cli("choose", bundle.path, "-b", "noted", *QUICKLY, env=site)
    assert done.returncode in (0, 1), done.stderr
    assert starts(tmp_path)["noted"] >= 4
    assert f"Saved as {saved(bundle)[-1]}" in done.stdout
    assert "taken from" not in done.stdout
    assert {path.stem: path.read_text(encoding="utf-8") for path in saved(bundle)[:-1]} == unusable


@pytest.mark.slow
def test_a_runtime_of_another_version_is_measured_again(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    assert cli("bench", bundle.path, "-b", "numpy", "--batch-size", "1", *QUICKLY).returncode == 0
    mark_valid(bundle)
    (file,) = saved(bundle)
    results = read(file)
    results["rows"][0]["runtime"]["version"] = "1.0"
    file.write_text(json.dumps(results), encoding="utf-8")
    done = cli("choose", bundle.path, "-b", "numpy", *QUICKLY)
    assert "Saved as" in done.stdout, done.stderr
    assert len(saved(bundle)) == 2


@pytest.mark.slow
def test_what_failed_is_told_and_tried_again(cli: Cli, tmp_path: Path, untrained: Bundle, site: dict[str, str]) -> None:
    bundle = copied(untrained, tmp_path)
    (tmp_path / "other").touch()
    done = cli("choose", bundle.path, "-b", "noted", "-b", "other", *QUICKLY, env=site)
    assert done.returncode in (0, 1), done.stderr
    assert "failed: " in done.stdout
    assert "exit code 9" in done.stdout
    mark_valid(bundle)
    (tmp_path / "other").unlink()
    starts(tmp_path)
    done = cli("choose", bundle.path, "-b", "noted", "-b", "other", *QUICKLY, env=site)
    assert done.returncode in (0, 1), done.stderr
    assert starts(tmp_path)["other"] == 2
    assert "failed: " not in done.stdout


def test_a_changed_artifact_is_refused(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    manifest = dict(bundle.stored)
    manifest["artifacts"] = [{**artifact, "sha256": "ab"} for artifact in manifest["artifacts"]]
    rewrite_manifest(bundle, manifest)
    assert "checksum" in complaint(cli("choose", bundle.path, "-b", "numpy"))
