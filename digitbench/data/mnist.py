"""Where digits come from: an ``.npz``, IDX files, a download, or scikit-learn. All as uint8 arrays."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitbench.data import idx_files, npz_file
from digitbench.data.idx_files import IDX_FILES
from digitbench.errors import DataError, one_line
from digitbench.records.arrays import Array, Pixels
from digitbench.records.task import DIGITS, Task, numbered
from digitbench.system.files import written_beside
from digitbench.system.progress import Progress

TASK = Task((28, 28), numbered(10), DIGITS)
"""Of MNIST, of scikit-learn's digits, and of whatever holds digits as MNIST does."""


@dataclass(frozen=True)
class Mirror:
    """An address on the network that holds MNIST: one ``.npz``, or a folder of gzipped IDX files."""

    url: str
    files: tuple[str, ...]


MIRRORS = (
    Mirror("https://storage.googleapis.com/tensorflow/tf-keras-datasets/", ("mnist.npz",)),
    Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/", tuple(f"{name}.gz" for name in IDX_FILES.values())),
)
ANSWER_SECONDS = 6.0  # for the first mirror to answer at all; without a network this is all that is lost
STALL_SECONDS = 20.0  # without a byte, in a download that has begun
TRIES = 2  # per mirror


def read_arrays(path: Path) -> dict[str, Array]:
    """Read x_train, y_train, x_test and y_test from an ``.npz`` or a folder of IDX files.

    Raises
    ------
    DataError
        There is nothing, or it isn't in either format; the message names the file and what is wrong with it.
    """
    if path.is_dir():
        return dict(idx_files.read(path))
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give an .npz or a folder with the IDX files")
    stored = npz_file.read(path)
    missing = [key for key in IDX_FILES if key not in stored.arrays]
    if missing:
        raise DataError(f"{path} isn't MNIST in Keras' layout: it has no {', '.join(missing)}")
    return stored.arrays


def cache_folder() -> Path:
    """Where a downloaded MNIST is kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("digitbench", appauthor=False))


def cached_mnist() -> Path | None:
    """The MNIST that an earlier download left, or None."""
    paths = (cache_folder() / name for name in ("mnist.npz", "mnist"))
    return next((path for path in paths if path.exists()), None)


def download_mnist(check: Callable[[Path], object], progress: Progress) -> Path:
    """Download MNIST into digitbench's cache from the first mirror that serves it.

    Parameters
    ----------
    check
        Raises `DataError` if what was downloaded isn't MNIST; it then never gets its name.
    progress
        Told how it gets on.

    Raises
    ------
    DataError
        No mirror answers within `ANSWER_SECONDS`, or each one breaks off; nothing is left behind.
    """
    import requests

    reasons = []
    for mirror in _answering(MIRRORS):
        single = len(mirror.files) == 1
        target = cache_folder() / (mirror.files[0] if single else "mnist")
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
    raise DataError(
        f"download failed: {'; '.join(reasons) or 'no mirror can be reached'}; pass --data PATH or set DIGITBENCH_MNIST"
    )


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


def sklearn_digits() -> tuple[Pixels, Pixels]:
    """Give scikit-learn's 1,797 digits (8 × 8, Alpaydin and Kaynak 1998) in MNIST's form.

    The 8 × 8 picture is scaled to the 20 × 20 box by linear interpolation and moved so that its centre of mass is
    at the centre of 28 × 28. Whole numbers throughout, so that every machine gets the same bytes.

    Returns
    -------
    pixels, labels
        uint8, (1797, 28, 28) and (1797,), in scikit-learn's order.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    small = bunch.images.astype(np.int64)  # 0 to 16
    centres = (2 * np.arange(20) + 1) / 5 - 0.5  # of the box's pixels, in those of the small picture
    shares = np.stack([np.interp(centres, np.arange(8), unit) for unit in np.eye(8)], axis=1)
    weights = np.rint(40 * shares).astype(np.int64)  # (20, 8), in fortieths
    large = np.einsum("ih,nhw,jw->nij", weights, small, weights)  # 0 to 16 × 40 × 40
    large = (large * 255 + 12800) // 25600
    pixels = np.zeros((len(large), 28, 28), np.uint8)
    ticks = 2 * np.arange(20) + 1  # pixel centres, in half pixels
    for canvas, digit in zip(pixels, large, strict=True):
        mass = int(digit.sum())
        # 28 - 2 × centre of mass, rounded, is where the box goes: half pixels keep it whole.
        top, left = (
            min(max((28 * mass - int(digit.sum(axis=axis) @ ticks) + mass) // (2 * mass), 0), 8) for axis in (1, 0)
        )
        canvas[top : top + 20, left : left + 20] = digit
    return pixels, bunch.target.astype(np.uint8)
