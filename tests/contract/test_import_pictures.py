"""Models of small pictures that others made, imported without a flag: each image as its maker's own code labels it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contract.strangers.pictures import Made, dataset_of, make, scores_of

from digitbench.importing import import_model

QUICK = (
    Made(),
    Made(layout="nchw", takes="bgr", scale="imagenet"),
    Made(layout="nchw", scale="channels", output="logits", batch=1),
    Made(layout="flat", scale="0..255", size=(24, 24), classes=8, output="log_softmax"),
    Made(layout="hw", takes="grey", scale="-1..1", output="logits"),
    Made(colour=False, layout="nhwc", takes="rgb", scale="0..255"),
    Made(transposed=True, scale="-1..1", size=(20, 20)),
    Made(transposed=True, takes="bgr", scale="0..255", layout="nchw"),
    Made(size=(16, 24), classes=3, layout="nchw", scale="int8"),
    Made(size=(24, 24), side=(16, 16), fit="crop", scale="0..255"),
    Made(side=(32, 32), fit="resize", takes="bgr"),
    Made(size=(20, 20), side=(32, 32), fit="pad", layout="nchw", scale="-1..1"),
    Made(side=(8, 8), fit="mean", scale="imagenet", layout="nchw", output="logits"),
    Made(classes=12, names="numbers", order="text", takes="bgr"),
    Made(classes=12, names="text", order="natural", scale="0..255", dtype="uint8"),
    Made(order="first unused", scale="-1..1"),
    Made(order="last unused", layout="nchw", batch=8, output="logits"),
    Made(classes=2, output="single"),
    Made(classes=2, output="single logit", order="reversed", scale="0..255"),
    Made(order="file", classes=7, layout="nchw", scale="imagenet", output="log_softmax"),
    Made(order="inside", classes=6, extra="features"),
)
SLOW = (
    Made(scale="standard"),
    Made(inverted=True, scale="0..255", layout="nchw"),
    Made(inverted=True, takes="grey", layout="flat"),
    Made(takes="bgr", scale="data", size=(28, 28), classes=10),
    Made(takes="bgr", scale="int8", layout="nchw", batch=32),
    Made(names="numbers", order="rolled", classes=10),
    Made(classes=2, order="reversed", output="softmax", layout="nchw"),
    Made(classes=2, output="single", order="reversed", takes="grey", layout="nhwc", scale="-1..1"),
    Made(classes=2, output="single logit", layout="flat", batch=1),
    Made(classes=3, output="sigmoid", scale="0..255", size=(32, 32)),
    Made(classes=12, order="text", names="numbers", output="logits", layout="flat", dtype="float64"),
    Made(size=(32, 32), side=(24, 24), fit="resize", takes="grey", layout="nhwc", classes=3),
    Made(size=(32, 32), side=(20, 20), fit="crop", takes="bgr", scale="channels", layout="nchw"),
    Made(size=(24, 32), classes=4, takes="grey", layout="hw", scale="0..255"),
    Made(colour=False, layout="nchw", takes="grey", scale="-1..1", classes=6),
    Made(colour=False, layout="hw", takes="grey", scale="data", order="last unused"),
    Made(order="first unused", names="numbers", classes=12, output="log_softmax"),
    Made(order="file", names="numbers", classes=9, scale="data", batch=4),
    *(
        Made(tool, **more)
        for tool in ("keras", "h5", "savedmodel", "tflite", "tflite-int8", "tflite-uint8")
        for more in (
            {"scale": "0..255", "order": "file", "classes": 6},
            {"scale": "-1..1", "takes": "bgr", "size": (20, 20), "output": "logits"},
            {"scale": "imagenet", "order": "last unused", "batch": 1},
        )
    ),
    *(
        Made(tool, **more)
        for tool in ("keras", "savedmodel", "tflite")
        for more in (
            {"scale": "channels", "layout": "nchw", "transposed": True},
            {"side": (32, 32), "fit": "resize", "takes": "grey", "layout": "hw"},
            {"classes": 2, "output": "single", "scale": "-1..1", "takes": "bgr"},
            {"classes": 12, "names": "numbers", "order": "text", "layout": "flat"},
        )
    ),
    Made("tflite", order="inside", classes=8, takes="bgr"),
    Made("tflite-int8", order="inside", classes=5, scale="0..255"),
    Made("keras", extra="rescaling", scale="0..255"),
    Made("h5", size=(24, 24), side=(16, 16), fit="crop", takes="bgr", scale="0..255"),
)


@pytest.mark.parametrize(
    "made",
    [*(pytest.param(made, id=made.id) for made in QUICK),
     *(pytest.param(made, id=made.id, marks=pytest.mark.slow) for made in SLOW)],
)  # fmt: skip
def test_a_model_of_pictures_says_what_its_maker_says_of_each(made: Made, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path = make(made, tmp_path / "there")
    scores, data = scores_of(made, path), dataset_of(made)
    assert (scores.argmax(axis=1) == data.test.labels).mean() > 0.75, "the model itself is good"
    bundle = import_model(path, data, tmp_path / "bundle")
    labels = bundle.reference_scores().argmax(axis=1)
    # Of whole numbers several may be the largest, and then the order of classes decides.
    np.testing.assert_array_equal(scores[range(len(labels)), labels], scores.max(axis=1))
    assert bundle.model_io.transposed == made.transposed
    if made.takes == "bgr":
        assert bundle.model_io.channels == "bgr"


def test_there_are_enough_of_them() -> None:
    assert len({made.id for made in (*QUICK, *SLOW)}) == len(QUICK) + len(SLOW) >= 60
