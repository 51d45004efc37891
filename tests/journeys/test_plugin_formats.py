"""A third party's exporter, with a format of its own: found, run and checked as ours are, its faults in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Cli, complaint, environment
from core.helpers import announce

from digitbench.bundle import Bundle
from digitbench.plugins.entry_points import EXPORTERS
from journeys.helpers import copied, first_on_path

EXAMPLE = (Path(__file__).parents[1] / "plugins/digitbench-example/digitbench_example.py").read_text(encoding="utf-8")
WRITE = "target.write_text(json.dumps("


def installed(site: Path, code: str = EXAMPLE, requires: tuple[str, ...] = ()) -> dict[str, str]:
    """Announce the example plugin, or what was made of it; give the variables with which it is found."""
    announce(site, "digitbench_example", code, names={"example": "ExampleBackend"})
    exporter = "from digitbench_example import ExampleExporter"
    announce(site, "example_writer", exporter, names={"example": "ExampleExporter"}, requires=requires, group=EXPORTERS)
    return first_on_path(site)


def changed(old: str, new: str) -> str:
    assert EXAMPLE.count(old) == 1
    return EXAMPLE.replace(old, new)


def test_a_bundle_with_its_format_is_made_exported_and_timed_without_tensorflow(cli: Cli, tmp_path: Path) -> None:
    env = installed(tmp_path / "site")
    code = (
        "import sys\nfrom pathlib import Path\nfrom digitbench.cli import run\n"
        "from digitbench.testing import random_bundle\n"
        "bundle = random_bundle(Path('run'), format='example')\n"
        "assert bundle.find('example').checked_by is None\n"
        "assert run(['export', 'run', '--format', 'example']) == 0\n"
        "assert {'tensorflow', 'keras'}.isdisjoint(sys.modules), 'nothing here needs it'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(tmp_path, **env), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "exporting example: checked by example: all 359 labels as numpy's, top-1 the same" in done.stdout
    assert Bundle(tmp_path / "run").find("example").checked_by == "example"
    timed = cli("bench", "run", "-b", "example", "--seconds", "0.1", "--generations", "1", "--batch-size", "1", env=env)
    assert timed.returncode == 0, timed.stderr
    assert "NumPy in double precision" in timed.stdout


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            changed(WRITE, "raise TypeError('no such\\nlayer'); print(("),
            "can't be written: no such layer (TypeError; --verbose shows where)",
        ),
        (changed(WRITE, "print(("), "can't be written: its exporter wrote nothing"),
        (changed(WRITE, "target.write_text('{'); print(("), "'example' can't run what was written: "),
        (changed('bias_{i}"].tolist()', 'bias_{i}"][::-1].tolist()'), "of 359 labels differ from numpy's"),
        (
            changed(WRITE, "import no_such_converter; print(("),
            "exporting example needs no_such_converter, not",
        ),
        (
            changed(WRITE, "import subprocess; subprocess.run(['no-such-program']); print(("),
            "can't be written: [Errno 2] No such file or directory: 'no-such-program'",
        ),
    ],
    ids=["raises", "writes nothing", "writes rubbish", "writes other weights", "lacks a module", "lacks a program"],
)
def test_an_export_that_fails_is_one_line_and_nothing_is_recorded(
    cli: Cli, tmp_path: Path, untrained: Bundle, code: str, message: str
) -> None:
    bundle = copied(untrained, tmp_path)
    line = complaint(cli("export", bundle.path, "--format", "example", env=installed(tmp_path / "site", code)), 1)
    assert line.startswith("example fp32: ")
    assert message in line
    assert Bundle(bundle.path).stored == untrained.stored
    assert [path.name for path in (bundle.path / "artifacts").iterdir()] == ["model-fp32.npz"]


def test_where_a_plugins_exporter_failed_is_shown_with_verbose(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    env = installed(tmp_path / "site", changed(WRITE, "raise TypeError('no such layer'); print(("))
    done = cli("export", copied(untrained, tmp_path).path, "--format", "example", "--verbose", env=env)
    assert done.returncode
    assert "digitbench_example.py" in done.stderr


@pytest.mark.parametrize(
    ("code", "requires", "message"),
    [
        (
            EXAMPLE,
            ("no-such-runtime",),
            "exporting example needs no-such-runtime, not installed here; run:",
        ),
        ("import no_such_runtime\n" + EXAMPLE, (), "exporting example needs no_such_runtime, not installed here; run:"),
        (
            changed('format: ClassVar[str] = "example"\n    source', 'format = "other"\n    source'),
            (),
            "exporter 'example' of example-writer: its format is 'other', and its entry point's name 'example'",
        ),
        (
            changed('"npz"\n', '"npz"\n    precisions = ("fp32", "int4")\n'),
            (),
            "its precisions are fp32, int4; known",
        ),
        (changed('"npz"\n', '"nothing"\n'), (), "unknown format 'nothing'"),
        (changed('"npz"\n', '"example"\n'), (), "exporter 'example' of example-writer: it is made from itself"),
        (changed("class ExampleExporter(Exporter)", "class ExampleExporter"), (), "is not a subclass of"),
    ],
    ids=["lacks a requirement", "lacks an import", "other format", "precision", "source", "itself", "no exporter"],
)
def test_an_exporter_that_cant_be_used_is_one_line_and_in_nobodys_way(
    cli: Cli, tmp_path: Path, untrained: Bundle, code: str, requires: tuple[str, ...], message: str
) -> None:
    bundle, env = copied(untrained, tmp_path), installed(tmp_path / "site", code, requires)
    assert message in complaint(cli("export", bundle.path, "--format", "example", env=env))
    done = cli("evaluate", bundle.path, "--backend", "numpy", env=env)
    assert done.returncode == 0, done.stderr
