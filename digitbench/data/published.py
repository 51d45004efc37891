"""Published datasets: each recognised by the content of its four arrays, whatever file they came in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitbench.data import downloads, idx_files, mnist, npz_file
from digitbench.data.array_names import ROLES as ARRAYS
from digitbench.data.dataset import Dataset, array_hashes, assembled
from digitbench.data.downloads import Mirror
from digitbench.data.idx_files import IDX_FILES
from digitbench.errors import DataError
from digitbench.records.arrays import Array
from digitbench.records.task import Task
from digitbench.system.progress import Progress

GZIPPED = tuple(f"{name}.gz" for name in IDX_FILES.values())
KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


@dataclass(frozen=True)
class Published:
    """A published dataset.

    Attributes
    ----------
    name, title
        What ``--dataset`` calls it, and what its authors do.
    task
        What its images show.
    sha256
        Of each array's bytes in C order: the published files, decoded.
    mirrors
        Where it can be downloaded.
    keras
        What Keras calls it in its cache.
    folders
        Where packages of Linux distributions put it.
    environment
        The variable that says where it is; may be none.
    """

    name: str
    title: str
    task: Task
    sha256: Mapping[str, str]
    mirrors: tuple[Mirror, ...]
    keras: str
    folders: tuple[Path, ...] = ()
    environment: str = ""

    def named_path(self) -> Path | None:
        """Where a person says that it is."""
        text = os.environ.get(self.environment, "")
        return Path(text).expanduser() if text else None

    def read(self, path: Path) -> Dataset:
        """Read it from an ``.npz`` or a folder of IDX files.

        Raises
        ------
        DataError
            There is nothing, or something else; the message names the file and what is wrong with it.
        """
        arrays = read_arrays(path, self.title)
        hashes = array_hashes(arrays)
        if difference := self.difference(arrays, hashes):
            raise DataError(f"{path} isn't {self.title}: {difference}")
        return self.dataset(arrays, hashes, path)

    def dataset(self, arrays: Mapping[str, Array], hashes: Mapping[str, str], path: Path) -> Dataset:
        """Give the dataset that these arrays are."""
        return assembled(self.name, arrays, hashes, str(path.resolve()), task=self.task)

    def difference(self, arrays: Mapping[str, Array], hashes: Mapping[str, str]) -> str:
        """Say what of four arrays isn't this dataset's; nothing if all of it is."""
        wrong = [
            key for key in ARRAYS
            if hashes[key] != self.sha256[key] or arrays[key].dtype != np.uint8
            or arrays[key].shape[1:] != (self.task.image_shape if key.startswith("x") else ())
        ]  # fmt: skip
        shapes = ", ".join(f"{key} {arrays[key].dtype}{list(arrays[key].shape)}" for key in wrong)
        return f"the content of {shapes} differs from the published files" if wrong else ""

    def find(self, remembered: Path | None, progress: Progress) -> Dataset:
        """Find it where it was, on this machine, or on the network.

        Raises
        ------
        DataError
            It can't be had; the message says of each file why not.
        """
        keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
        reasons = []
        for path in (remembered, *self.folders, keras_home / "datasets" / self.keras, downloads.cached(self.name)):
            if path is not None and path.exists():
                try:
                    return self.read(path)
                except DataError as exc:  # nobody named this file, and a download may still be had
                    reasons.append(str(exc))
        advice = f"pass --data PATH{f' or set {self.environment}' * bool(self.environment)}"
        try:
            return self.read(downloads.download(self.name, self.mirrors, self.read, progress, advice))
        except DataError as exc:
            raise DataError("; ".join([*reasons, str(exc)])) from exc


MNIST = Published(
    "mnist",
    "MNIST",
    mnist.TASK,
    {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    (Mirror(KERAS, ("mnist.npz",)), Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/", GZIPPED)),
    "mnist.npz",
    environment="DIGITBENCH_MNIST",
)
GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FASHION_MNIST = Published(
    "fashion-mnist",
    "Fashion-MNIST",
    Task(mnist.TASK.image_shape, GARMENTS, names_from="Fashion-MNIST's authors"),
    {
        "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
    (Mirror(KERAS, GZIPPED), Mirror("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", GZIPPED)),
    "fashion-mnist",
    (Path("/usr/share/datasets/fashion-mnist"),),
)
PUBLISHED = {published.name: published for published in (MNIST, FASHION_MNIST)}


def read_arrays(path: Path, title: str = "MNIST") -> dict[str, Array]:
    """Read x_train, y_train, x_test and y_test from an ``.npz`` or a folder of IDX files.

    Raises
    ------
    DataError
        There is nothing, or it isn't in either format; the message names the file and what is wrong with it.
    """
    if path.is_dir():
        return dict(idx_files.read(path, title=title))
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give an .npz or a folder with the IDX files")
    stored = npz_file.read(path, title=title)
    missing = [key for key in IDX_FILES if key not in stored.arrays]
    if missing:
        raise DataError(f"{path} isn't {title} in Keras' layout: it has no {', '.join(missing)}")
    return stored.arrays
