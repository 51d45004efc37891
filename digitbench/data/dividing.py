"""Images divided into those to train on and those to test with: by share of each class, and by what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from digitbench.records.arrays import Labels, Pixels

SEED = b"digitbench"
TEST_SHARE = 0.2
NOTE = "no test part was given: about a fifth of each class was set apart to test with, the same each time"


def digests(pixels: Pixels) -> list[bytes]:
    """Give a short hash of each image's bytes."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels]


def in_order_of_class(labels: Labels) -> bool:
    """Do images of one class mostly follow each other."""
    return bool(0 < np.count_nonzero(np.diff(labels)) < max(len(np.unique(labels)), len(labels) / 50))


def test_mask(contents: Sequence[bytes], labels: Labels) -> npt.NDArray[np.bool_]:
    """Say which images are to test with: a share of each class, and of equal contents all or none.

    Contents alone decide, not the order of images or the names of files. A class with one content only stays for
    training.
    """
    tested: dict[bytes, bool] = {}
    for label in np.unique(labels):
        members = [contents[i] for i in np.flatnonzero(labels == label).tolist()]
        counts: dict[bytes, int] = {}
        for content in members:
            counts[content] = counts.get(content, 0) + 1
        wanted = max(round(TEST_SHARE * len(members)), 1)
        done = sum(number for content, number in counts.items() if tested.get(content))
        undecided = sorted((c for c in counts if c not in tested), key=lambda c: hashlib.sha256(SEED + c).digest())
        for content in undecided:
            fits = done < wanted and done + counts[content] / 2 <= wanted
            others_are_tested = all(tested.get(other) for other in counts if other != content)
            tested[content] = fits and not (content == undecided[-1] and others_are_tested)  # one stays to train on
            done += counts[content] * tested[content]
    return np.array([tested[content] for content in contents], bool)
