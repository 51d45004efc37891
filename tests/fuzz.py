"""`make fuzz`: break thousands of models and pictures, and look at how digitbench takes it.

Every case must end soon, with a bundle or a picture's pixels, or with one clear line; and leave nothing behind. Cases
are numbered: `--case models:1234` makes one of them again, of the same `--seed`.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic

from fuzzing import seeds
from fuzzing.watch import Verdict, Watched

INTERRUPTED = 130
SHAPES = 30
MOST_SHOWN = 400  # characters of a finding; its file holds all
SLOWEST = 5
EVERY_SECONDS = 10.0  # a line of progress, where no terminal is


def main() -> int:
    """Do what the command line says; give the exit code: 1 if there are findings, 130 after Ctrl-C."""
    options = _arguments()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        run = Run(options, Path(folder))
        try:
            for kind, numbers in _cases(options):
                run.run_cases(kind, numbers)
        except KeyboardInterrupt:
            print("\nstopped; so far:")
            run.sum_up()
            return INTERRUPTED
        if options.case:
            return _print_verdicts(run.verdicts)
        run.sum_up()
    return 1 if run.findings else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/fuzz.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, default=5000, metavar="N", help="so many broken models (%(default)s)")
    parser.add_argument("--pictures", type=int, default=5000, metavar="N", help="so many pictures (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed breaks them in other ways")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin with that case (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="so many at a time (%(default)s)")
    parser.add_argument("--timeout", type=float, default=60, metavar="S", help="seconds for a model's one answer")
    parser.add_argument("--case", metavar="KIND:NUMBER", help="that one alone: models:1234, pictures:17")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what failed there, and a list of all cases")
    options = parser.parse_args()
    if options.case and not re.fullmatch(rf"({'|'.join(seeds.KINDS)}):\d+", options.case):
        parser.error(f"--case {options.case}: not a case such as models:1234 or pictures:17")
    return options


def _cases(options: argparse.Namespace) -> list[tuple[str, Sequence[int]]]:
    if options.case:
        kind, _, number = options.case.partition(":")
        return [(kind, [int(number)])]
    counts = {kind: getattr(options, kind) for kind in seeds.KINDS}
    return [(kind, range(options.first, options.first + count)) for kind, count in counts.items() if count > 0]


class Run:
    """A fuzz run and its verdicts so far.

    Parameters
    ----------
    options
        From the command line.
    folder
        Empty; the caller removes it.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options, self._folder, self._models = options, folder, folder / "models"
        self.verdicts: list[Verdict] = []
        self._last_progress = monotonic()

    @property
    def findings(self) -> list[Verdict]:
        """The verdicts of cases that something is wrong with."""
        return [verdict for verdict in self.verdicts if verdict.faults]

    def run_cases(self, kind: str, numbers: Sequence[int]) -> None:
        """Run cases, several at a time, and print findings and progress as they come."""
        if kind == "models":
            print("making sound models ...", flush=True)
            self._models.mkdir()
            seeds.make_models(self._models)
        else:
            seeds.pictures()  # here, and not in several threads at once
        began, first = monotonic(), len(self.verdicts)
        with self._pool(kind, numbers) as verdicts:
            for verdict in verdicts:
                self.verdicts.append(verdict)
                self._record(verdict)
                if verdict.faults:
                    self._show_progress("")
                    print(self._finding(verdict), flush=True)
                done = len(self.verdicts) - first
                left = (monotonic() - began) / done * (len(numbers) - done)
                self._show_progress(
                    f"{kind}: {done:,} of {len(numbers):,}: {self._counts(first)}; {left / 60:.0f} min left"
                )
        self._show_progress("")

    @contextmanager
    def _pool(self, kind: str, numbers: Sequence[int]) -> Iterator[Iterator[Verdict]]:
        """Start threads that each watch a process; leaving the context ends them."""
        waiting: SimpleQueue[int] = SimpleQueue()
        done: SimpleQueue[Verdict | BaseException] = SimpleQueue()
        for number in numbers:
            waiting.put(number)

        pool = [self._watched(kind, job) for job in range(max(1, min(self._options.jobs, len(numbers))))]
        threads = [threading.Thread(target=self._watch, args=(watched, waiting, done)) for watched in pool]
        for thread in threads:
            thread.start()
        try:
            yield (_raised(done.get()) for _ in numbers)
        finally:
            with suppress(Empty):
                while True:
                    waiting.get_nowait()
            for watched in pool:
                watched.kill()  # idle by now, if all went well
            for thread in threads:
                thread.join()

    def _watched(self, kind: str, job: int) -> Watched:
        return Watched(kind, self._options.seed, self._options.timeout, self._models, self._folder / f"{kind}-{job}")

    def _watch(self, watched: Watched, waiting: SimpleQueue[int], done: SimpleQueue[Verdict | BaseException]) -> None:
        try:
            while True:
                done.put(watched.run(waiting.get_nowait(), self._options.keep))
        except Empty:
            return
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            done.put(exc)
        finally:
            watched.close()

    # --- printing ---------------------------------------------------------------------------------------------------

    def _counts(self, first: int = 0) -> str:
        outcomes = Counter(verdict.outcome for verdict in self.verdicts[first:] if not verdict.faults)
        findings = sum(bool(verdict.faults) for verdict in self.verdicts[first:])
        return f"{outcomes['taken']:,} taken, {outcomes['refused']:,} refused, {findings:,} findings"

    def _show_progress(self, line: str) -> None:
        if sys.stdout.isatty():
            print(f"\r\x1b[2K{line}", end="", flush=True)
        elif line and monotonic() - self._last_progress > EVERY_SECONDS:
            print(line, flush=True)
            self._last_progress = monotonic()

    def _finding(self, verdict: Verdict) -> str:
        faults = _printable("; ".join(fault.strip().splitlines()[0] + _last_line(fault) for fault in verdict.faults))
        again = f"{sys.executable} tests/fuzz.py --case {verdict.name} --seed {self._options.seed}"
        return f"FINDING {verdict.name} ({verdict.model_format}): {faults[:MOST_SHOWN]}\n  again: {again}"

    def _record(self, verdict: Verdict) -> None:
        if self._options.keep:
            with (self._options.keep / "cases.txt").open("a", encoding="utf-8") as stream:
                cost = f"{verdict.seconds:.2f} s", f"{verdict.grown / 1e6:.0f} MB"
                print(
                    verdict.name, verdict.model_format, verdict.outcome, *cost, verdict.message, sep="\t", file=stream
                )
            if verdict.faults:
                with (self._options.keep / "findings.txt").open("a", encoding="utf-8") as stream:
                    print(self._finding(verdict), *verdict.faults, "", sep="\n", file=stream)

    def sum_up(self) -> None:
        """Print what was found, how refusals were worded, and what took longest."""
        shapes = Counter(shape_of(verdict) for verdict in self.verdicts if verdict.outcome == "refused")
        print(f"\nThe {min(SHAPES, len(shapes))} most frequent of {len(shapes)} shapes of refusal:")
        for shape, times in shapes.most_common(SHAPES):
            print(f"{times:6,} × {shape}")
        for kind in seeds.KINDS:
            verdicts = [verdict for verdict in self.verdicts if verdict.kind == kind]
            slowest = sorted(verdicts, key=lambda verdict: -verdict.seconds)[:SLOWEST]
            if verdicts:
                grown = max(verdict.grown for verdict in verdicts)
                print(f"\n{kind}: memory {grown / 1e6:,.0f} MB above the start; slowest: "
                      + ", ".join(f"{verdict.name} {verdict.seconds:.1f} s" for verdict in slowest))  # fmt: skip
            for model_format, counts in _by_format(verdicts).items():
                columns = (f"{counts[name]:6,} {name}" for name in ("taken", "refused", "findings"))
                print(f"  {model_format:18}", *columns, sep="")
        for name, times in Counter(name for verdict in self.verdicts for name in set(verdict.litter)).items():
            print(f"left in the temporary folder by {times:,} cases: {name}")
        for verdict in self.findings:
            print(self._finding(verdict))
        print(f"\n{len(self.verdicts):,} cases: {self._counts()}")


def _raised(result: Verdict | BaseException) -> Verdict:
    if isinstance(result, BaseException):
        raise result
    return result


def _by_format(verdicts: Sequence[Verdict]) -> dict[str, Counter[str]]:
    counters: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        counters.setdefault(verdict.model_format, Counter())["findings" if verdict.faults else verdict.outcome] += 1
    return dict(sorted(counters.items()))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _last_line(fault: str) -> str:
    lines = fault.strip().splitlines()
    return f" … {lines[-1].strip()}" if len(lines) > 1 else ""


def shape_of(verdict: Verdict) -> str:
    """Give a refusal without what differs from file to file: names, numbers, quoted words."""
    text = re.sub(rf"\S*{verdict.kind}-{verdict.number}\.?\w*", "FILE", verdict.message)
    text = re.sub(r"\B'[^']*'|\"[^\"]*\"|`[^`]*`", "'…'", text)
    text = re.sub(r"/\S+", "PATH", text)
    text = _printable(re.sub(r"-?\d[\d.,]*(e[+-]?\d+)?", "N", text))
    return text if len(text) <= 170 else f"{text[:170]}…"


def _print_verdicts(verdicts: Sequence[Verdict]) -> int:
    for verdict in verdicts:
        spent = f"{verdict.seconds:.1f} s, {verdict.grown / 1e6:.0f} MB above the start"
        print(f"{verdict.name} ({verdict.model_format}): {verdict.outcome} after {spent}")
        print(*filter(None, [verdict.message]), *verdict.faults, sep="\n")
    return 1 if any(verdict.faults for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
