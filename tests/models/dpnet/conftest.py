"""Tasks that several modules look at."""

import pytest

from tests.models.dpnet.toy import ONE, TWO, draw


@pytest.fixture(scope="session")
def tasks():
    """Two episodes of each shape."""
    return {shape: [draw(seed, *shape) for seed in (40, 41)] for shape in (ONE, TWO)}
