"""The scores that benchmarks/own_photos.py prints, by hand."""

import numpy as np
import pytest

from benchmarks import own_photos
from benchmarks.own_photos import Seen
from fsjax.errors import InputError
from fsjax.segmenter import Segmentation


def test_scores_of_four_photos():
    """Two that show the class and two that do not; of the four pairs of presences three are in order."""
    seen = [
        Seen(True, True, 0.8, 30, 60),
        Seen(True, True, 0.1, 10, 40),
        Seen(False, True, 0.3, 0, 25),  # what is found where nothing is does not count towards the IoU
        Seen(False, False, 0.0, 0, 0),
    ]
    assert own_photos._scores(seen) == pytest.approx([40 / 100, 1.0, 0.5, 0.5, 0.5, 3 / 4])
    assert own_photos._line(seen) == "2 + 2 | 40.0 | 100, 50 | 50, 50 | 0.75"


def test_equal_presences_are_half_in_order():
    seen = [Seen(True, True, 0.5, 1, 2), Seen(False, True, 0.5, 0, 1)]
    assert own_photos._scores(seen)[-1] == 0.5


def test_void_pixels_are_not_compared():
    mask = np.array([[1, 1, 1], [0, 0, 0]], np.uint8)
    found = Segmentation(
        photo=np.zeros((2, 3, 3), np.uint8),
        mask=mask,
        classes=("thing",),
        presence=np.float32([0.7]),
        similarity=np.float32([0.5]),
        working=np.eye(2, dtype=np.float32)[mask],
        cosines=np.zeros((1, 1, 1), np.float32),
    )
    truth = np.array([[1, 0, 255], [1, 0, 255]], np.uint8)
    assert own_photos._compared(found, truth) == Seen(True, True, pytest.approx(0.7), 1, 3)


@pytest.mark.parametrize("flag", ["--shots=a", "--shots=1,,3", "--draws=0", "--draws=1,2"])
def test_numbers_that_will_not_do_are_named(flag):
    name, text = flag.removeprefix("--").split("=")
    with pytest.raises(InputError, match=rf"^--{name} is '{text}': say "):
        own_photos.program(["own_photos", "--config=nothing.py", flag])
