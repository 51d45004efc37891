"""The arrays that pictures and labels come in, and how many digits there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
"""Images as they are stored: (n, 28, 28), or one of them: 0 is the background, 255 the middle of a stroke."""

Labels = npt.NDArray[np.int64]
"""The digit that each image shows: (n,)."""

CLASSES = 10
