"""The learning curve opens, and shows what it was given; people look at it."""

import numpy as np
import pytest
from PIL import Image

from fsjax.evaluation.pictures.figures import learning_curve


@pytest.mark.parametrize(("records", "select"), [(1, ""), (100, ""), (1, "base_val"), (100, "novel_fold")])
def test_learning_curve(tmp_path, records, select):
    path = tmp_path / "curve.png"
    lines = [{"step": i, "loss": 1 / (1 + i), "learning_rate": 0.1} for i in range(records)]
    for line in lines[::20] if select else ():
        line["selection"] = 40.0
    learning_curve(path, lines, select)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 30
