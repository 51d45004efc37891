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
from fuzzing.watch import Ending, Watched

INTERRUPTED = 130
SHAPES = 30
MOST_SHOWN = 400  # characters of a finding; its file holds all
SLOWEST = 5
EVERY_SECONDS = 10.0  # a line of progress, where no terminal is


def main() -> int:
    """Do what the command line says; give the exit code: 1 if there are findings, 130 after Ctrl-C."""
    given = _arguments()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        run = Run(given, Path(folder))
        try:
            for kind, numbers in _wanted(given):
                run.put_to_the_test(kind, numbers)
        except KeyboardInterrupt:
            print("\nstopped; so far:")
            run.sum_up()
            return INTERRUPTED
        if given.case:
            return _told_of(run.verdicts)
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
    given = parser.parse_args()
    if given.case and not re.fullmatch(rf"({'|'.join(seeds.KINDS)}):\d+", given.case):
        parser.error(f"--case {given.case}: not a case such as models:1234 or pictures:17")
    return given


def _wanted(given: argparse.Namespace) -> list[tuple[str, Sequence[int]]]:
    if given.case:
        kind, _, number = given.case.partition(":")
        return [(kind, [int(number)])]
    counts = {kind: getattr(given, kind) for kind in seeds.KINDS}
    return [(kind, range(given.first, given.first + count)) for kind, count in counts.items() if count > 0]


class Run:
    """A run, and what it has found.

    Parameters
    ----------
    given
        The options.
    folder
        Empty; removed by somebody else.
    """

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._given, self._folder, self._models = given, folder, folder / "models"
        self.verdicts: list[Ending] = []
        self._told = monotonic()

    @property
    def findings(self) -> list[Ending]:
        """The cases that something is wrong with."""
        return [one for one in self.verdicts if one.faults]

    def put_to_the_test(self, kind: str, numbers: Sequence[int]) -> None:
        """Run cases, several at a time, and tell of them as they come."""
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
                self._keep(verdict)
                if verdict.faults:
                    self._tell("")
                    print(self._finding(verdict), flush=True)
                done = len(self.verdicts) - first
                left = (monotonic() - began) / done * (len(numbers) - done)
                self._tell(f"{kind}: {done:,} of {len(numbers):,}: {self._counts(first)}; {left / 60:.0f} min left")
        self._tell("")

    @contextmanager
    def _pool(self, kind: str, numbers: Sequence[int]) -> Iterator[Iterator[Ending]]:
        """Threads that each watch a process; leaving it ends them."""
        waiting: SimpleQueue[int] = SimpleQueue()
        done: SimpleQueue[Ending | BaseException] = SimpleQueue()
        for number in numbers:
            waiting.put(number)

        pool = [self._watched(kind, job) for job in range(max(1, min(self._given.jobs, len(numbers))))]
        threads = [threading.Thread(target=self._watch, args=(one, waiting, done)) for one in pool]
        for thread in threads:
            thread.start()
        try:
            yield (_raised(done.get()) for _ in numbers)
        finally:
            with suppress(Empty):
                while True:
                    waiting.get_nowait()
            for one in pool:
                one.kill()  # idle by now, if all went well
            for thread in threads:
                thread.join()

    def _watched(self, kind: str, job: int) -> Watched:
        return Watched(kind, self._given.seed, self._given.timeout, self._models, self._folder / f"{kind}-{job}")

    def _watch(self, watched: Watched, waiting: SimpleQueue[int], done: SimpleQueue[Ending | BaseException]) -> None:
        try:
            while True:
                done.put(watched.run(waiting.get_nowait(), self._given.keep))
        except Empty:
            return
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            done.put(exc)
        finally:
            watched.close()

    # --- telling ----------------------------------------------------------------------------------------------------

    def _counts(self, first: int = 0) -> str:
        found = Counter(one.outcome for one in self.verdicts[first:] if not one.faults)
        wrong = sum(bool(one.faults) for one in self.verdicts[first:])
        return f"{found['taken']:,} taken, {found['refused']:,} refused, {wrong:,} findings"

    def _tell(self, line: str) -> None:
        if sys.stdout.isatty():
            print(f"\r\x1b[2K{line}", end="", flush=True)
        elif line and monotonic() - self._told > EVERY_SECONDS:
            print(line, flush=True)
            self._told = monotonic()

    def _finding(self, verdict: Ending) -> str:
        faults = _printable("; ".join(one.strip().splitlines()[0] + _last_line(one) for one in verdict.faults))
        again = f"{sys.executable} tests/fuzz.py --case {verdict.name} --seed {self._given.seed}"
        return f"FINDING {verdict.name} ({verdict.model_format}): {faults[:MOST_SHOWN]}\n  again: {again}"

    def _keep(self, verdict: Ending) -> None:
        if self._given.keep:
            with (self._given.keep / "cases.txt").open("a", encoding="utf-8") as stream:
                cost = f"{verdict.seconds:.2f} s", f"{verdict.grown / 1e6:.0f} MB"
                print(
                    verdict.name, verdict.model_format, verdict.outcome, *cost, verdict.message, sep="\t", file=stream
                )
            if verdict.faults:
                with (self._given.keep / "findings.txt").open("a", encoding="utf-8") as stream:
                    print(self._finding(verdict), *verdict.faults, "", sep="\n", file=stream)

    def sum_up(self) -> None:
        """Print what was found, how refusals were worded, and what took longest."""
        shapes = Counter(shape_of(one) for one in self.verdicts if one.outcome == "refused")
        print(f"\nThe {min(SHAPES, len(shapes))} most frequent of {len(shapes)} shapes of refusal:")
        for shape, times in shapes.most_common(SHAPES):
            print(f"{times:6,} × {shape}")
        for kind in seeds.KINDS:
            ours = [one for one in self.verdicts if one.kind == kind]
            slow = sorted(ours, key=lambda one: -one.seconds)[:SLOWEST]
            if ours:
                print(f"\n{kind}: memory {max(one.grown for one in ours) / 1e6:,.0f} MB above the start; slowest: "
                      + ", ".join(f"{one.name} {one.seconds:.1f} s" for one in slow))  # fmt: skip
            for sort, counts in _by_sort(ours).items():
                told = (f"{counts[name]:6,} {name}" for name in ("taken", "refused", "findings"))
                print(f"  {sort:18}", *told, sep="")
        for name, times in Counter(name for one in self.verdicts for name in set(one.litter)).items():
            print(f"left in the temporary folder by {times:,} cases: {name}")
        for one in self.findings:
            print(self._finding(one))
        print(f"\n{len(self.verdicts):,} cases: {self._counts()}")


def _raised(found: Ending | BaseException) -> Ending:
    if isinstance(found, BaseException):
        raise found
    return found


def _by_sort(verdicts: Sequence[Ending]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for one in verdicts:
        found.setdefault(one.model_format, Counter())["findings" if one.faults else one.outcome] += 1
    return dict(sorted(found.items()))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _last_line(fault: str) -> str:
    lines = fault.strip().splitlines()
    return f" … {lines[-1].strip()}" if len(lines) > 1 else ""


def shape_of(verdict: Ending) -> str:
    """Give a refusal without what differs from file to file: names, numbers, quoted words."""
    text = re.sub(rf"\S*{verdict.kind}-{verdict.number}\.?\w*", "FILE", verdict.message)
    text = re.sub(r"\B'[^']*'|\"[^\"]*\"|`[^`]*`", "'…'", text)
    text = re.sub(r"/\S+", "PATH", text)
    text = _printable(re.sub(r"-?\d[\d.,]*(e[+-]?\d+)?", "N", text))
    return text if len(text) <= 170 else f"{text[:170]}…"


def _told_of(verdicts: Sequence[Ending]) -> int:
    for one in verdicts:
        spent = f"{one.seconds:.1f} s, {one.grown / 1e6:.0f} MB above the start"
        print(f"{one.name} ({one.model_format}): {one.outcome} after {spent}")
        print(*filter(None, [one.message]), *one.faults, sep="\n")
    return 1 if any(one.faults for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
