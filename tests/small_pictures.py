"""For folders whose tests make runs: that pictures are drawn is seen from small ones, too."""

import pytest

from fsjax.evaluation.pictures import figures


@pytest.fixture(scope="package", autouse=True)
def small_pictures():
    """A conftest that imports it has pictures of few pixels drawn in its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "DPI", 30)
        yield
