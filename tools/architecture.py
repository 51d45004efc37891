"""The rooms of digitbench, from the top floor down, and what imports what: printed, checked against the budget, drawn.

    python tools/architecture.py           # lines of code of each room; fails above the budget
    python tools/architecture.py --draw    # docs/architecture.svg

`tests/core/test_architecture.py` holds the code to what stands here.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "digitbench"

ROOMS = {
    "cli": "public names · parse, call, print",
    "commands": "one file per command",
    "api": "what a notebook calls",
    "draw": "the drawing page",
    "report": "results → text and HTML",
    "charts": "results, trainings, data → pictures",
    "judge": "what the figures mean",
    "classifier": "digitbench.load()",
    "testing": "contract tests for backends",
    "measure": "the heart: timing in fresh processes",
    "importing": "a model made elsewhere → a bundle",
    "train": "the only trainer",
    "export": "one file per format",
    "model_files": "model files read without runtimes",
    "workers": "processes that do what is asked",
    "bundle": "a trained model's folder",
    "evaluate": "scores → accuracy, intervals",
    "data": "datasets → numpy",
    "images": "a picture → what the model sees",
    "plugins": "find backends, fit inputs and outputs",
    "records": "frozen records and their JSON",
    "backend": "THE CONTRACT",
    "system": "files, machine, progress",
    "errors": "the exception tree",
}
"""From the top floor down: a room imports from rooms below it, and from its own files, never from above."""

BUDGET = 21_610
"""Lines of code in the package. A commit that raises it says why."""


# --- imports --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One name that a file imports: ``digitbench.plugins`` also for ``from digitbench import plugins``."""

    name: str
    line: int
    at_once: bool
    """Done when the file is loaded: not in a function, and not for a type checker alone."""

    @property
    def top(self) -> str:
        """The package that it is from."""
        return self.name.partition(".")[0]

    def within(self, *packages: str) -> bool:
        """Is it one of these, or something in them."""
        return any(self.name == package or self.name.startswith(f"{package}.") for package in packages)


def imports(tree: ast.AST, at_once: bool = True) -> Iterator[Import]:
    """Find every import of a file: those in functions, for types, and by `import_module` too."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import(names=names, lineno=line):
                yield from (Import(alias.name, line, at_once) for alias in names)
            case ast.ImportFrom(module=module, names=names, lineno=line, level=level):
                start = "." * level + (module or "")
                yield from (Import(f"{start}.{alias.name}", line, at_once) for alias in names)
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]
            ):
                if called in {"import_module", "__import__", "find_spec"}:
                    yield Import(name, node.lineno, at_once)
                yield from imports(node, at_once)
            case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
                for part in ast.iter_child_nodes(node):
                    yield from imports(ast.Module([part], []), at_once and part not in body)  # type: ignore[list-item]
            case ast.Lambda():
                yield from imports(node, False)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from imports(node, False)
            case _:
                yield from imports(node, at_once)


Graph = Mapping[str, Mapping[str, int]]
"""Each module, and the modules that it imports with the line that does."""


def sources(package: Path = ROOT / PACKAGE) -> dict[str, str]:
    """Give the text of every module by its dotted name."""
    texts = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        texts[name] = path.read_text(encoding="utf-8")
    return texts


def graph(texts: Mapping[str, str]) -> Graph:
    """Find which module imports which; the name of a module in a string, as workers are started by, counts too."""

    def module_of(name: str) -> str:
        while name and name not in texts:
            name = name.rpartition(".")[0]
        return name

    arrows: dict[str, dict[str, int]] = {}
    for module, text in texts.items():
        tree = ast.parse(text)
        named = [(item.name, item.line) for item in imports(tree)]
        named += [(node.value, node.lineno) for node in ast.walk(tree)
                  if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in texts
                  and node.value.count(".") > 1]  # fmt: skip
        targets = {module_of(name): line for name, line in reversed(named)}
        arrows[module] = {target: line for target, line in targets.items() if target not in ("", module)}
    return arrows


def room_of(module: str) -> str:
    """Give the room that a module is in; what starts the program, and the package itself, are on the top floor."""
    room = module.split(".")[1] if "." in module else "cli"
    return "cli" if room == "__main__" else room


def upward(arrows: Graph) -> list[str]:
    """Say which imports lead to a room above, or to none that is known."""
    floors = {room: floor for floor, room in enumerate(ROOMS)}
    complaints = [f"{module}: {room_of(module)} is no room" for module in arrows if room_of(module) not in floors]
    if complaints:
        return complaints
    return [
        f"{module}:{line} imports {target}, which is above it"
        for module, targets in arrows.items() for target, line in targets.items()
        if floors[room_of(target)] < floors[room_of(module)]
    ]  # fmt: skip


def circles(arrows: Graph) -> list[list[str]]:
    """Find modules that import each other in a circle: each group of them, sorted (R. Tarjan's algorithm, 1972)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        numbers[module] = lowest[module] = len(numbers)
        stack.append(module)
        for target in arrows.get(module, ()):
            if target not in numbers:
                visit(target)
            if target in stack:
                lowest[module] = min(lowest[module], lowest[target])
        if lowest[module] == numbers[module]:
            start = stack.index(module)
            groups.append(sorted(stack[start:]))
            del stack[start:]

    for module in arrows:
        if module not in numbers:
            visit(module)
    return [group for group in groups if len(group) > 1]


def reached(arrows: Graph, starts: Iterable[str]) -> set[str]:
    """Give every module that these load, at once or when one of their functions is called, and what those load."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            package = module.rpartition(".")[0]  # is loaded too
            waiting += [*arrows.get(module, ()), *([package] if "." in package else [])]
    return seen


# --- lines of code --------------------------------------------------------------------------------------------------

_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(text: str) -> int:
    """Count a file's lines without those that are blank, comments or docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def room_lines(texts: Mapping[str, str]) -> dict[str, int]:
    """Count the lines of code of each room, from the top floor down."""
    counts = dict.fromkeys(ROOMS, 0)
    for module, text in texts.items():
        counts[room_of(module)] += code_lines(text)
    return counts


# --- the picture ----------------------------------------------------------------------------------------------------

WIDE, BOX, TALL, GAP_X, GAP_Y = 1180, 250, 52, 28, 46


def needed(between: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leave out each arrow that a longer way says too."""

    def below(room: str, seen: frozenset[str] = frozenset()) -> set[str]:
        return set().union(*({target} | below(target) for target in between[room] if target not in seen))

    return {
        room: {target for target in targets if not any(target in below(other) for other in targets - {target})}
        for room, targets in between.items()
    }


def levels(between: Mapping[str, set[str]]) -> dict[str, int]:
    """Put each room one above the highest that it imports from; rooms on one level import nothing of each other."""
    level: dict[str, int] = {}
    for room in reversed(ROOMS):
        level[room] = max((level[target] + 1 for target in between[room]), default=0)
    return level


def picture(texts: Mapping[str, str]) -> str:
    """Draw rooms as boxes and imports as arrows that lead down, as SVG."""
    between: dict[str, set[str]] = {room: set() for room in ROOMS}
    for module, arrows in graph(texts).items():
        between[room_of(module)] |= {room_of(target) for target in arrows} - {room_of(module)}
    level = levels(between)
    rows = [[room for room in ROOMS if level[room] == floor] for floor in range(max(level.values()), -1, -1)]
    high = len(rows) * (TALL + GAP_Y) + 40
    corners: dict[str, tuple[float, float]] = {}
    for at, row in enumerate(rows):
        left = (WIDE - len(row) * BOX - (len(row) - 1) * GAP_X) / 2
        for i, room in enumerate(row):
            corners[room] = left + i * (BOX + GAP_X), 30 + at * (TALL + GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}" font-family="sans-serif" role="img">',
        "<title>The rooms of digitbench: each imports from those below it</title>",
        f'<rect width="{WIDE}" height="{high}" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#7a8794"/></marker></defs>',
    ]
    for room, targets in needed(between).items():
        for target in sorted(targets, key=list(ROOMS).index):
            (x1, y1), (x2, y2) = corners[room], corners[target]
            x1, x2 = x1 + BOX / 2 + (x2 - x1) * 0.12, x2 + BOX / 2 + (x1 - x2) * 0.12
            y1 += TALL
            bend = (y2 - y1) / 2
            parts.append(
                f'<path d="M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}" '
                'fill="none" stroke="#7a8794" stroke-width="1.4" marker-end="url(#tip)"/>'
            )
    for room, (x, y) in corners.items():
        name = f"{room}/" if any(module.startswith(f"{PACKAGE}.{room}.") for module in texts) else f"{room}.py"
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX}" height="{TALL}" rx="7" fill="#eef4fa" stroke="#3b6ea5"/>'
            f'<text x="{x + 12:.0f}" y="{y + 21:.0f}" font-size="15" font-weight="bold" fill="#16324f">{name}</text>'
            f'<text x="{x + 12:.0f}" y="{y + 40:.0f}" font-size="11.5" fill="#333b42">{escape(ROOMS[room])}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> int:
    """Print the rooms and their lines; exit code 1 above the budget."""
    texts = sources()
    if "--draw" in sys.argv[1:]:
        (ROOT / "docs" / "architecture.svg").write_text(picture(texts), encoding="utf-8")
        print("docs/architecture.svg is drawn")
        return 0
    counts = room_lines(texts)
    for room, count in counts.items():
        print(f"{count:7,}  {room:12} {ROOMS[room]}")
    total = sum(counts.values())
    print(f"{total:7,}  in all; the budget is {BUDGET:,} (BUDGET in tools/architecture.py)")
    return int(total > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
