"""Published datasets on the network: mirrors asked at once, files fetched and checked, kept in digitbench's cache."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from digitbench.errors import DataError, one_line
from digitbench.system.files import written_beside
from digitbench.system.progress import Progress

ANSWER_SECONDS = 6.0  # for the first mirror to answer at all; without a network this is all that is lost
STALL_SECONDS = 20.0  # without a byte, in a download that has begun
TRIES = 2  # per mirror


@dataclass(frozen=True)
class Mirror:
    """An address on the network that holds a dataset: one ``.npz``, or a folder of gzipped IDX files."""

    url: str
    files: tuple[str, ...]


def cache_folder() -> Path:
    """Where downloaded datasets are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("digitbench", appauthor=False))


def cached(name: str) -> Path | None:
    """What an earlier download of a dataset left, or None."""
    paths = (cache_folder() / file for file in (f"{name}.npz", name))
    return next((path for path in paths if path.exists()), None)


def download(
    name: str, mirrors: tuple[Mirror, ...], check: Callable[[Path], object], progress: Progress, advice: str
) -> Path:
    """Download a dataset into digitbench's cache from the first mirror that serves it.

    Parameters
    ----------
    name
        Of the folder that it gets there, if it isn't a single file.
    check
        Raises `DataError` if what was downloaded isn't that dataset; it then never gets its name.
    progress
        Receives how it gets on.
    advice
        What to do where it can't be had, for the message.

    Raises
    ------
    DataError
        No mirror answers within `ANSWER_SECONDS`, or each one breaks off; nothing is left behind.
    """
    import requests

    reasons = []
    for mirror in _answering(mirrors):
        single = len(mirror.files) == 1
        target = cache_folder() / (mirror.files[0] if single else name)
        try:
            with written_beside(target) as draft:
                if not single:
                    draft.mkdir()
                for name in mirror.files:
                    _fetch(mirror.url + name, draft if single else draft / name, progress)
                check(draft)
        except (DataError, requests.RequestException, ValueError) as exc:
            reason = str(exc).replace(f"{draft} ", "its content ").replace(str(draft), "its content")
            reasons.append(f"{mirror.url}: {one_line(Exception(reason), 120)}")
            continue
        except OSError as exc:
            raise DataError(f"{target.parent}: can't be written: {exc.strerror or exc}") from exc
        return target
    raise DataError(f"download failed: {'; '.join(reasons) or 'no mirror can be reached'}; {advice}")


def _answering(mirrors: tuple[Mirror, ...]) -> list[Mirror]:
    """The mirrors that answer in time, the quickest first. Asked at once, since each may be dead in its own way."""
    import requests

    answers: queue.Queue[Mirror | None] = queue.Queue()

    def ask(mirror: Mirror) -> None:
        result = None
        with contextlib.suppress(requests.RequestException, OSError):  # no answer is an answer: None
            url = mirror.url + mirror.files[0]
            result = mirror if requests.head(url, timeout=ANSWER_SECONDS, allow_redirects=True).ok else None
        answers.put(result)

    for mirror in mirrors:
        threading.Thread(target=ask, args=(mirror,), daemon=True).start()
    answered: list[Mirror] = []
    deadline = time.monotonic() + ANSWER_SECONDS
    with contextlib.suppress(queue.Empty):
        for _ in mirrors:
            remaining = deadline - time.monotonic()
            answer = answers.get(timeout=max(0.0, min(remaining, 1.0) if answered else remaining))
            answered += [answer] if answer else []
    return answered


def _fetch(url: str, target: Path, progress: Progress) -> None:
    """Download a file; begin anew where it breaks off, `TRIES` times in all."""
    import requests

    task = f"downloading {target.name}"
    for tries_left in reversed(range(TRIES)):
        try:
            with (
                requests.get(url, stream=True, timeout=(ANSWER_SECONDS, STALL_SECONDS)) as response,
                target.open("wb") as stream,
            ):
                response.raise_for_status()
                total = int(response.headers.get("Content-Length", 0))
                for chunk in response.iter_content(1 << 16):
                    done = stream.tell() + stream.write(chunk)
                    progress.update(task, min(done, total), max(total, 1), f"{done / 1e6:.1f} MB")
            progress.update(task, 1, 1)
            return
        except requests.RequestException:
            if not tries_left:
                raise
