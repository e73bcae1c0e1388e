"""The learning curve opens, and shows what it was given; people look at it."""

import numpy as np
import pytest
from PIL import Image

from fsjax.evaluation.pictures.figures import learning_curve


@pytest.mark.parametrize("records", [1, 100])
def test_learning_curve(tmp_path, records):
    path = tmp_path / "curve.png"
    lines = [{"step": i, "loss": 1 / (1 + i), "learning_rate": 0.1} for i in range(records)]
    learning_curve(path, lines)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 30
