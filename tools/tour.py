"""Run the notebook `docs/tour.ipynb` in an empty folder, and store what its cells show.

python tools/tour.py
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"
SECONDS = 120
"""That one cell may take."""


def read() -> Any:
    """Give the notebook."""
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)


def run(folder: Path, environment: Mapping[str, str] = os.environ) -> Any:
    """Give the notebook with the outputs of a run in a folder; lines printed one by one become one output."""
    from nbclient import NotebookClient

    tour = read()
    client = NotebookClient(tour, timeout=SECONDS, kernel_name="python3", record_timing=False,
                            coalesce_streams=True, resources={"metadata": {"path": str(folder)}})  # fmt: skip
    client.execute(env=dict(environment))
    return tour


def kinds(tour: Any) -> list[list[str]]:
    """Give what each cell shows: the MIME types of its outputs, or the name of the stream that they were printed to."""
    return [
        [", ".join(sorted(output["data"])) if "data" in output else output.get("name", output.output_type)
         for output in cell.get("outputs", ())]
        for cell in tour.cells
    ]  # fmt: skip


def main() -> int:
    """Run it and write it."""
    import nbformat

    with TemporaryDirectory() as folder:
        text = nbformat.writes(run(Path(folder))).replace(f"{folder}/", "")  # nobody else has that folder
    tour = nbformat.reads(text, as_version=4)
    tour.metadata.language_info = {"name": "python"}  # without its version
    nbformat.write(tour, NOTEBOOK)
    print(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
