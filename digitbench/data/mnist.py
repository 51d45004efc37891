"""Where digits come from: an ``.npz``, IDX files, a download, or scikit-learn. All as uint8 arrays."""

from __future__ import annotations

import contextlib
import gzip
import queue
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from digitbench.errors import DataError, one_line
from digitbench.records.arrays import Array, Pixels
from digitbench.system.files import written_beside
from digitbench.system.progress import Progress

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


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
MOST_BYTES = 4_000_000_000  # unpacked: a zip of a few kB can promise any size


def read_arrays(path: Path) -> dict[str, Pixels]:
    """Read x_train, y_train, x_test and y_test from an ``.npz`` or a folder of IDX files.

    Raises
    ------
    DataError
        There is nothing, or it isn't in either format; the message names the file and what is wrong with it.
    """
    if path.is_dir():
        files = {key: _idx_file(path, name) for key, name in IDX_FILES.items()}
        for key, file in files.items():
            if file is None:
                raise DataError(f"{path} isn't MNIST: it has no {IDX_FILES[key]} or {IDX_FILES[key]}.gz")
        return {key: _read_idx(file) for key, file in files.items() if file}
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give an .npz or a folder with the IDX files")
    stored = read_npz(path)
    missing = [key for key in IDX_FILES if key not in stored]
    if missing:
        raise DataError(f"{path} isn't MNIST in Keras' layout: it has no {', '.join(missing)}")
    return stored


def read_npz(path: Path, hint: str = "") -> dict[str, Array]:
    """Read what an ``.npz`` holds of x_train, y_train, x_test and y_test, in any type and shape.

    Nothing is unpickled, and no memory is taken before the sizes in the headers are checked.

    Parameters
    ----------
    hint
        What else could be given, for the message about a file that is no ``.npz``.

    Raises
    ------
    DataError
        It isn't a whole ``.npz``, or would unpack to more than `MOST_BYTES`.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} isn't MNIST: not a readable .npz (another kind of file, or cut short){hint}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            infos = {key: archive.getinfo(f"{key}.npy") for key in IDX_FILES if f"{key}.npy" in names}
            total = sum(_promised_bytes(archive, info) for info in infos.values())
            if total > MOST_BYTES:
                raise DataError(f"{path}: unpacks to {total / 1e9:,.1f} GB; at most {MOST_BYTES / 1e9:g} GB are read")
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in infos}
    except DataError:
        raise
    except Exception as exc:  # zipfile raises nearly anything at a damaged file
        raise DataError(f"{path} isn't MNIST: not a readable .npz ({one_line(exc, 80)}){hint}") from exc


def _promised_bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Bytes of an array by its own header, which must not promise more than the archive says that there is."""
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        promised, available = prod(shape) * dtype.itemsize, info.file_size - stream.tell()
    if dtype.hasobject or promised > available:
        raise ValueError(f"{info.filename} is {dtype}{list(shape)} in {available:,} bytes")
    return promised


def holds_idx(folder: Path) -> bool:
    """Is any of MNIST's four IDX files there, however it is spelt."""
    return any(_idx_file(folder, name) for name in IDX_FILES.values())


def _idx_file(folder: Path, name: str) -> Path | None:
    # Some archives write t10k-images.idx3-ubyte.
    spellings = (f"{spelling}{end}" for spelling in (name, name.replace("-idx", ".idx")) for end in ("", ".gz"))
    return next((folder / spelling for spelling in spellings if (folder / spelling).is_file()), None)


def _read_idx(path: Path) -> Pixels:
    """Read an IDX file of unsigned bytes: two zeros, type 8, the rank, big-endian sizes, then the data."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as exc:
        raise DataError(f"{path}: not readable: {one_line(exc, 80)}") from exc
    if len(raw) > MOST_BYTES:
        raise DataError(f"{path}: unpacks to more than {MOST_BYTES / 1e9:g} GB: not MNIST")
    rank = 3 if "idx3" in path.name else 1
    magic, expected_magic = int.from_bytes(raw[:4]), 0x800 + rank
    if magic != expected_magic:
        raise DataError(
            f"{path} isn't an IDX file of rank {rank}: its magic number is {magic:#010x}, not {expected_magic:#010x}"
        )
    data_start = 4 + 4 * rank
    if len(raw) < data_start:
        raise DataError(f"{path}: cut short in its header")
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    if len(raw) - data_start != prod(shape):
        promised = f"where its header promises {prod(shape):,}: cut short?"
        raise DataError(f"{path}: {len(raw) - data_start:,} bytes of data {promised}")
    return np.frombuffer(raw, np.uint8, offset=data_start).reshape(shape)


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
            reason = str(exc).replace(f"{draft} ", "what it serves ").replace(str(draft), "what it serves")
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
