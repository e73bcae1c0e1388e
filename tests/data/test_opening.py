"""Photos on the way from their bytes: decoded smaller only where they are much larger than what is asked."""

import io

import numpy as np
import pytest
from PIL import Image

from fsjax.data.images import InputSettings, load_episode, load_photo
from fsjax.data.opening import open_photo
from fsjax.data.resizing import resize_image
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Reducing
from fsjax.errors import InputError
from tests.toy import ToySource

SPEC = EpisodeSpec(index=1, class_ids=(3,), support=((2,),), query=(8,), shown=(3,))


def drawn(position, height=403, width=530):
    """Returns a photo with edges, gradients and grain."""
    rng = np.random.default_rng(position)
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / rng.uniform(5, 60) + columns / rng.uniform(5, 60)) for _ in range(3)]
    image = 120 + 50 * np.stack(waves, axis=-1) + rng.normal(0, 6, (height, width, 3))
    image[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    return image.clip(0, 255).astype(np.uint8)


class Jpegs(ToySource):
    """Photos of 403 x 530 that are kept as JPEGs."""

    def __init__(self):
        super().__init__(n=10)
        self.encoded = []
        for position in range(10):
            file = io.BytesIO()
            Image.fromarray(drawn(position)).save(file, "JPEG", quality=92)
            self.encoded.append(file.getvalue())
        self.decoded = []

    def image(self, position):
        return np.array(Image.open(io.BytesIO(self.encoded[position])))

    def picture(self, position, least):
        picture = Image.open(io.BytesIO(self.encoded[position]))
        picture.draft(None, least[::-1])
        self.decoded.append(picture.size[::-1])
        return picture

    def labels(self, position):
        return np.kron(super().labels(position)[:14, :11], np.ones((30, 50), np.uint8))[:403, :530]

    def size(self, position):
        return 403, 530


@pytest.fixture
def source():
    return Jpegs()


@pytest.mark.parametrize(
    ("size", "decoded"),
    [((101, 101), (403, 530)), ((100, 133), (403, 530)), ((100, 132), (202, 265)), ((25, 33), (51, 67))],
)
def test_a_photo_is_decoded_smaller_only_from_four_times_the_size_on(source, size, decoded):
    photo = np.asarray(open_photo(source, 4, *size))
    assert source.decoded == [decoded]
    whole = resize_image(source.image(4), *size)
    if decoded == (403, 530):
        np.testing.assert_array_equal(photo, whole)
    else:
        difference = np.abs(photo.astype(int) - whole)
        assert 0 < difference.mean() < 1
        assert np.percentile(difference, 99) <= 5


@pytest.mark.parametrize(
    "settings",
    [
        InputSettings(160, flip=True),
        InputSettings(200, input="longside", flip=True),
        InputSettings(110, flip=True, crop=1.5, rotate=20.0),
    ],
)
def test_pictures_make_the_episodes_that_arrays_make(source, settings):
    assert isinstance(source, Reducing)
    plain = Arrays(source)
    assert not isinstance(plain, Reducing)
    for seed in range(4):
        pictures = load_episode(source, SPEC, settings, seed)
        arrays = load_episode(plain, SPEC, settings, seed)
        for left, right in zip(pictures, arrays, strict=True):
            np.testing.assert_array_equal(left, right)


class Arrays(ToySource):
    """A source of arrays alone, with the photos and labels of another."""

    def __init__(self, other):
        super().__init__(n=10)
        self.image, self.labels, self.size = other.image, other.labels, other.size


def test_a_reduced_photo_of_another_size_is_found(source):
    source.size = lambda position: (403, 526)
    with pytest.raises(
        InputError, match="the photo of image 'toy_004' is 51x67 and the data set gives 403x5"
    ):
        load_photo(source, 4, InputSettings(25))
    source.size = lambda position: (403, 529)  # 1/8 of either is 67 pixels
    assert load_photo(source, 4, InputSettings(25))[0].shape == (25, 25, 3)
