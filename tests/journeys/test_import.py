"""`digitbench import`: a model that somebody else made, from its file to a table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Cli, complaint, run_cli
from contract.makers import MAKERS, REFUSED, MadeModel

from digitbench.bundle import Bundle
from journeys.helpers import contents, table_rows

ZOO = "onnx-zoo-nchw-0..255-logits-opset8-batch1"


@dataclass(frozen=True)
class Imported:
    """What `digitbench import` printed of a model, and made of it."""

    model: MadeModel
    printed: str
    bundle: Bundle


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    """A convolutional network that takes [1, 1, 28, 28], imported once for all tests here: never changed."""
    folder = tmp_path_factory.mktemp("zoo")
    model = MAKERS[ZOO](folder)
    done = run_cli("import", model.path, "--dataset", "digits", "--name", "zoo", "--output", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    before = contents(folder / "run")
    yield Imported(model, done.stdout, Bundle(folder / "run"))
    assert contents(folder / "run") == before, "a test changed what all share"


@pytest.fixture
def run(zoo: Imported, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(zoo.bundle.path, tmp_path / "run"))


def test_it_prints_what_it_chose_and_how_good_the_runner_up_is(zoo: Imported) -> None:
    *lines, head, following = zoo.printed.splitlines()
    assert following == "next: digitbench bench run"
    assert head.startswith("run: zoo on digits [")
    assert f"test accuracy {zoo.model.accuracy:.2%} (338 of 359)" in head
    described = dict(line.split(maxsplit=1) for line in lines if line.startswith("  "))
    assert described["takes"] == (
        "Input3: float32, 1×28×28, background 0, foreground 255, output Plus214_Output_0; a fixed batch of 1"
    )
    assert described["gives"] == "logits"
    chosen, second = zoo.bundle.stored["imported"]["chosen"], zoo.bundle.stored["imported"]["runner_up"]
    assert described["chosen"].endswith(f"{chosen['accuracy']:.1%} ({chosen['correct']} of 500 training images) right")
    assert described["runner-up"].startswith(second["form"])
    assert described["runner-up"].endswith(
        f"{second['accuracy']:.1%} ({second['correct']} of {second['images']} training images) right"
    )


def test_the_manifest_has_the_form_the_source_and_the_runner_up(zoo: Imported) -> None:
    manifest = json.loads((zoo.bundle.path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["schema"] == "digitbench.bundle/4"
    model_io, imported = manifest["form"], manifest["imported"]
    assert (model_io["shape"], model_io["paper"], model_io["ink"], model_io["batch"]) == ([1, 28, 28], 0, 255, 1)
    assert model_io["output"]["name"] == "Plus214_Output_0"
    assert imported["source"] == str(zoo.model.path)
    assert imported["chosen"]["accuracy"] > imported["runner_up"]["accuracy"]
    assert manifest["reference"]["backend"] == "onnx"


def test_it_benches_on_all_backends_that_open_it_and_at_no_other_batch_size(cli: Cli, run: Path) -> None:
    done = cli("bench", run, "--batch-size", "1,8", "--seconds", "0.02", "--json", "-", "-q")
    assert done.returncode == 0, done.stderr
    rows = {(row["backend"], row["batch_size"]): row for row in json.loads(done.stdout)["rows"]}
    opening = ("onnx", "openvino", "tract")
    assert rows.keys() == {(name, size) for name in opening for size in (1, 8)}
    for name in opening:
        assert rows[name, 1]["latency_us"]["mean"] > 0
        assert rows[name, 1]["accuracy"]["correct"] == 338
        assert "latency_us" not in rows[name, 8]
    table = [list(cells.values()) for cells in table_rows(done.stderr)]
    assert sum("n/a (fixed batch 1)" in cells for cells in table) == 3
    assert "failed" not in done.stderr
    assert "labels that differ from onnx's" in " ".join(done.stderr.split())


def test_a_batch_size_that_it_never_takes_is_told_with_the_one_that_it_does(cli: Cli, run: Path) -> None:
    done = cli("bench", run, "--batch-size", "8", "--backend", "onnx", "-q")
    assert complaint(done, 1) == (
        "nothing can be measured here: n/a (fixed batch 1); run: digitbench bench --batch-size 1"
    )


def test_evaluate_and_agree_take_it_as_they_take_our_own(cli: Cli, run: Path) -> None:
    assert cli("evaluate", run, "--per-class", "--limit", "40").returncode == 0
    done = cli("evaluate", run, "--details", "--limit", "40", "--json", "-", "-q")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["reference"]["name"] == "onnx"
    assert {row["agreement"]["reference"] for row in results["rows"]} == {"onnx"}


def test_what_it_can_not_be_exported_to_is_said(cli: Cli, run: Path) -> None:
    message = complaint(cli("evaluate", run, "--backend", "tflite"))
    assert "it was imported from onnx, which isn't converted" in message
    message = complaint(cli("export", run, "--format", "tflite"))
    assert "it was imported from onnx, which isn't converted" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scale", "1"], "recognise digits"),
        (["--inverted"], "recognise digits"),
        (["--layout", "flat"], "--layout flat"),
        (["--layout", "rows"], "unknown --layout value 'rows'"),
        (["--tensor", "Plus2"], "--tensor Plus2: the model has no such output; it has Plus214_Output_0"),
        (["--scale", "9..1"], "--scale 9..1"),
        (["--scale", "big"], "--scale big"),
        (["--activation", "relu"], "softmax, sigmoid, logits"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_says_is_taken_at_their_word(
    zoo: Imported, cli: Cli, tmp_path: Path, options: list[str], message: str
) -> None:
    done = cli("import", zoo.model.path, "--dataset", "digits", "--output", "other", *options)
    assert message in complaint(done)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("option", ["--output", "-o"])
def test_a_folder_that_is_there_already_stays_as_it_is(zoo: Imported, cli: Cli, run: Path, option: str) -> None:
    before = contents(run)
    message = complaint(cli("import", zoo.model.path, "--dataset", "digits", option, run))
    assert message == f"{run} exists already; choose another --output or remove it"
    assert contents(run) == before


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("name", ["Plus214_Output_0", "./Input3"])
def test_an_output_that_names_a_tensor_is_refused(
    zoo: Imported, cli: Cli, tmp_path: Path, name: str, exists: bool
) -> None:
    """Which is what the option chose before: nobody shall get a folder of that name who wanted the tensor."""
    if exists:
        (tmp_path / name).mkdir()
    message, tensor = complaint(cli("import", zoo.model.path, "--dataset", "digits", "--output", name)), Path(name).name
    assert message.startswith(f"--output {tensor}: the model's new folder, but the model has a tensor of that name")
    assert f"--tensor {tensor}; " in message
    assert message.endswith(f"--output {tmp_path / name}")
    assert [path.name for path in tmp_path.iterdir() if path.name != ".cache"] == [tensor] * exists
    if exists:
        assert not any((tmp_path / name).iterdir())


def test_the_tensor_may_be_named_and_a_folder_have_its_name(zoo: Imported, cli: Cli, tmp_path: Path) -> None:
    name = "Plus214_Output_0"
    done = cli("import", zoo.model.path, "--dataset", "digits", "--tensor", name, "--output", tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert Bundle(tmp_path / name).model_io.output.name == name


def test_a_form_that_fits_badly_is_warned_of_last_and_by_choose_until_it_is_accepted(
    zoo: Imported, cli: Cli, tmp_path: Path
) -> None:
    flags = ("--dataset", "digits", "--scale", "-255..255")
    done = cli("import", zoo.model.path, *flags, "--output", "run")
    assert done.returncode == 0, done.stderr
    fit = Bundle(tmp_path / "run").stored["imported"]["fit"]
    last = (done.stdout + done.stderr).splitlines()[-1]
    assert last.startswith(f"no form fits well: the best has {fit['accuracy']:.1%} of {fit['images']} training images")
    assert f"logistic regression fitted on other training images has {fit['simple']:.1%}" in last
    assert fit["simple"] > 0.9 > fit["accuracy"] + 0.03
    assert "--scale, --inverted, --layout, --tensor" in last
    assert "--accept" in last
    quickly = ("--backend", "onnx", "--quick", "--seconds", "0.02", "--json", "choice.json", "--markdown", "choice.md")
    done = cli("choose", "run", *quickly)
    (warning,) = json.loads((tmp_path / "choice.json").read_text(encoding="utf-8"))["warnings"]
    assert warning.startswith("no form fits well: the best has ")
    assert "Note: no form fits well: " in (tmp_path / "choice.md").read_text(encoding="utf-8")
    assert "Note: no form fits well: " in done.stdout
    done = cli("import", zoo.model.path, *flags, "--output", "taken", "--accept")
    assert (done.stdout + done.stderr).splitlines()[-1].endswith("; accepted")
    done = cli("choose", "taken", *quickly)
    assert json.loads((tmp_path / "choice.json").read_text(encoding="utf-8"))["warnings"] == []
    assert "Note: no form" not in done.stdout


@pytest.mark.slow
def test_a_quantised_keras_model_is_exported_as_it_is_alone(cli: Cli, tmp_path: Path) -> None:
    script = """
import keras, sys
model = keras.models.load_model(sys.argv[1], compile=False)
model.quantize("int8")
model.save("small.keras")
"""
    original = MAKERS["keras-nhwc-0..1-softmax"](tmp_path)
    subprocess.run([sys.executable, "-c", script, original.path], cwd=tmp_path, check=True)
    done = cli("import", "small.keras", "--dataset", "digits", "--output", "later", "--no-export")
    assert "\n  exports    none; to write the other formats: digitbench export later\n" in done.stdout
    done = cli("import", "small.keras", "--dataset", "digits", "--output", "run")
    assert done.returncode == 0, done.stderr
    assert "digitbench export" not in done.stdout
    message = "npz is left out, and with it the backend numpy: plain weights are those of fp32"
    assert message in done.stdout + done.stderr
    bundle = Bundle(tmp_path / "run")
    exported = {(artifact.format, artifact.precision) for artifact in bundle.artifacts}
    assert {("keras", "dynamic"), ("savedmodel", "dynamic"), ("onnx", "dynamic")} <= exported
    assert {precision for _, precision in exported} == {"dynamic"}
    message = complaint(cli("export", "run", "--format", "onnx", "--precision", "int8"))
    assert message == "--precision int8: the model is dynamic already, and can only be exported as it is"
    assert "plain weights are those of fp32" in complaint(cli("export", "run", "--format", "npz"))
    assert "imported only in that precision" in complaint(cli("evaluate", "run", "-b", "onnx", "-p", "fp32"))
    done = cli("evaluate", "run", "-b", "keras,onnx,savedmodel", "--json", "-", "-q")
    rows = {row["backend"]: row for row in json.loads(done.stdout)["rows"]}
    assert {row["precision"] for row in rows.values()} == {"dynamic"}
    assert {name: row["agreement"]["flips"] for name, row in rows.items()} == {"keras": 0, "onnx": 0, "savedmodel": 0}
    assert rows["onnx"]["agreement"]["certificate"] is None


def test_what_is_no_model_is_one_line(cli: Cli, tmp_path: Path) -> None:
    assert "two-inputs" not in complaint(cli("import", REFUSED["two inputs"][0](tmp_path), "--dataset", "digits"))
    assert "no such file" in complaint(cli("import", "nothing.onnx", "--dataset", "digits"))
    assert list(tmp_path.glob("runs/*")) == []
