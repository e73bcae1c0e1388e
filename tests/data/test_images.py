"""Photos and masks as arrays: worked examples, and what a resize or a flip must keep."""

from dataclasses import replace

import numpy as np
import pytest

from fsjax.data.images import (
    InputSettings,
    empty_episode,
    episode_mask,
    input_size,
    load_episode,
    resize_image,
    resize_mask,
)
from fsjax.data.sampling import EpisodeSpec
from fsjax.errors import InputError
from tests.toy import ToySource

SPEC = EpisodeSpec(index=4, class_ids=(3, 5), support=((1, 2), (7, 10)), query=(4, 5, 8), shown=(3, 5))


@pytest.fixture(scope="module")
def source():
    return ToySource()


def test_settings_name_what_is_wrong():
    with pytest.raises(InputError, match="input='long' is unknown; choose square or longside"):
        InputSettings(8, input="long")
    with pytest.raises(InputError, match=r"void='drop' .* ignore or background"):
        InputSettings(8, void="drop")
    with pytest.raises(InputError, match="label='raw'"):
        InputSettings(8, label="raw")
    with pytest.raises(InputError, match="size=0"):
        InputSettings(0)


def test_mask_of_an_episode():
    labels = np.array([[0, 3, 5], [255, 6, 1]], np.uint8)
    assert episode_mask(labels, (5, 3), "ignore").tolist() == [[0, 2, 1], [255, 0, 0]]
    assert episode_mask(labels, (6,), "background").tolist() == [[0, 0, 0], [0, 1, 0]]


# ---- resizes ----


def test_image_resize_is_bilinear_between_pixel_centres():
    image = np.repeat(np.array([[0, 100]], np.uint8)[:, :, None], 3, axis=2)
    assert resize_image(image, 1, 4)[0, :, 0].tolist() == [0, 25, 75, 100]
    assert resize_image(image, 1, 1)[0, 0].tolist() == [50, 50, 50]


def test_mask_resize_takes_the_nearest_pixel():
    mask = np.arange(16, dtype=np.uint8).reshape(4, 4) // 2 % 2  # columns 0 0 1 1
    assert resize_mask(mask, 2, 2).tolist() == [[0, 1], [0, 1]]
    assert resize_mask(mask, 8, 4).tolist() == [[0, 0, 1, 1]] * 8


def test_tiny_object_keeps_its_centre_pixel():
    mask = np.zeros((100, 60), np.uint8)
    mask[70:73, 20:23] = 1  # centre (71, 21)
    small = resize_mask(mask, 10, 6)
    assert small.sum() == 1
    assert small[7, 2] == 1


def test_centre_pixel_lies_on_the_object():
    mask = np.zeros((64, 64), np.uint8)
    mask[16, 16:48] = mask[48, 16:48] = 2  # two thin bars; their centroid (32, 31.5) is between them
    small = resize_mask(mask, 3, 3)  # samples rows and columns 10, 32, 53 only
    assert np.argwhere(small == 2).tolist() in ([[0, 1]], [[2, 1]])


def test_tiny_objects_in_one_place_all_survive():
    mask = np.zeros((90, 90), np.uint8)
    mask[40:42, 40:50] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    mask[80:, 80:] = 11
    small = resize_mask(mask, 4, 4)
    assert set(np.unique(small)) == set(range(12))
    assert [(small == label).sum() for label in range(1, 11)] == [1] * 10


def test_no_resize_loses_or_invents_a_label():
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = np.where(rng.random((37, 53)) < 0.995, 0, rng.integers(1, 6, (37, 53))).astype(np.uint8)
        height, width = (int(side) for side in rng.integers(3, 60, 2))
        small = resize_mask(mask, height, width)
        assert small.shape == (height, width)
        assert set(np.unique(small)) == set(np.unique(mask))


def test_void_and_background_are_not_objects():
    mask = np.ones((50, 50), np.uint8)
    mask[0, 0], mask[0, 1] = 255, 0
    assert set(np.unique(resize_mask(mask, 5, 5))) == {1}


@pytest.mark.parametrize(
    ("photo", "kind", "expected"),
    [
        ((375, 500), "longside", (355, 473)),
        ((500, 375), "longside", (473, 355)),
        ((473, 473), "longside", (473, 473)),
        ((2, 4000), "longside", (1, 473)),
        ((375, 500), "square", (473, 473)),
    ],
)
def test_input_size(photo, kind, expected):
    assert input_size(*photo, InputSettings(473, input=kind)) == expected


# ---- episodes ----


class SameSize(ToySource):
    """Photos cut to 20 x 20, the size at which they enter: nothing is resized."""

    def image(self, position):
        return super().image(position)[:20, :20]

    def labels(self, position):
        return super().labels(position)[:20, :20]


def test_arrays_are_the_photos_and_relabelled_masks():
    source = SameSize()
    episode = load_episode(source, SPEC, InputSettings(20))
    names = {3: 1, 5: 2, 255: 255}
    for images, masks, positions in [
        (episode.support_images[0], episode.support_masks[0], SPEC.support[0]),
        (episode.support_images[1], episode.support_masks[1], SPEC.support[1]),
        (episode.query_images, episode.query_masks, SPEC.query),
    ]:
        for image, mask, position in zip(images, masks, positions, strict=True):
            np.testing.assert_array_equal(image, source.image(position))
            labels = source.labels(position)
            assert mask.tolist() == [[names.get(int(label), 0) for label in row] for row in labels]
    assert (episode.support_sizes == 20).all()
    assert (episode.query_mask_sizes == 20).all()
    assert episode.class_ids.tolist() == [3, 5]
    assert (episode.weight, episode.index) == (1, 4)


@pytest.mark.parametrize("label", ["input", "original"])
def test_shapes_and_types(source, label):
    episode = load_episode(source, SPEC, InputSettings(16, label=label, label_side=40))
    side = 16 if label == "input" else 40
    shapes = {
        "support_images": ((2, 2, 16, 16, 3), np.uint8),
        "support_masks": ((2, 2, 16, 16), np.uint8),
        "support_sizes": ((2, 2, 2), np.int32),
        "query_images": ((3, 16, 16, 3), np.uint8),
        "query_sizes": ((3, 2), np.int32),
        "query_masks": ((3, side, side), np.uint8),
        "query_mask_sizes": ((3, 2), np.int32),
        "class_ids": ((2,), np.int32),
        "weight": ((), np.float32),
        "index": ((), np.int32),
    }
    for filled in (episode, empty_episode(SPEC, InputSettings(16, label=label, label_side=40))):
        assert {k: (v.shape, v.dtype) for k, v in filled._asdict().items()} == shapes


def test_longside_leaves_the_rest_zero(source):
    episode = load_episode(source, SPEC, InputSettings(48, input="longside"))
    for image, mask, (height, width), (mask_height, mask_width), position in zip(
        episode.query_images,
        episode.query_masks,
        episode.query_sizes,
        episode.query_mask_sizes,
        SPEC.query,
        strict=True,
    ):
        h, w = source.size(position)
        assert max(height, width) == 48
        assert abs(height * w - width * h) <= max(h, w)  # the ratio holds to a pixel
        assert (height, width) == (mask_height, mask_width)
        np.testing.assert_array_equal(
            image[:height, :width], resize_image(source.image(position), int(height), int(width))
        )
        for array in (image, mask):
            assert not array[height:].any()
            assert not array[:, width:].any()


def test_original_labels_are_scored_as_stored(source):
    settings = InputSettings(16, label="original", label_side=44)
    episode = load_episode(source, SPEC, settings)
    for mask, (h, w), position in zip(episode.query_masks, episode.query_mask_sizes, SPEC.query, strict=True):
        assert (h, w) == source.size(position)
        np.testing.assert_array_equal(
            mask[:h, :w], episode_mask(source.labels(position), SPEC.class_ids, "ignore")
        )
        assert not mask[h:].any()
    with pytest.raises(InputError, match=r"image 'toy_00\d' is .* give label_side="):
        load_episode(source, SPEC, replace(settings, label_side=20))


def test_controls_show_another_class(source):
    spec = EpisodeSpec(0, class_ids=(1,), support=((1,),), query=(6,), shown=(2,))
    episode = load_episode(source, spec, InputSettings(32))
    shown, right = (
        resize_mask((source.labels(p) == c).astype(np.uint8), 32, 32) for p, c in [(1, 2), (6, 1)]
    )
    np.testing.assert_array_equal(episode.support_masks[0, 0] == 1, shown == 1)
    np.testing.assert_array_equal(episode.query_masks[0] == 1, right == 1)
    assert episode.class_ids.tolist() == [1]


def test_void_policy(source):
    for void, has in [("ignore", True), ("background", False)]:
        episode = load_episode(source, SPEC, InputSettings(32, void=void))
        assert (episode.query_masks == 255).any() == (episode.support_masks == 255).any() == has


def test_a_mask_of_another_size_than_its_photo():
    class Torn(ToySource):
        def image(self, position):
            return super().image(position)[1:]

    with pytest.raises(InputError, match=r"image 'toy_001' is \d+x\d+ and its mask \d+x\d+"):
        load_episode(Torn(), SPEC, InputSettings(16))


# ---- flips ----


@pytest.mark.parametrize("label", ["input", "original"])
def test_a_flip_mirrors_photo_and_mask_within_their_rectangles(source, label):
    settings = InputSettings(24, input="longside", label=label, label_side=40)
    flips = []
    for i in range(60):
        spec = replace(SPEC, index=i)
        plain = load_episode(source, spec, settings)
        mixed = load_episode(source, spec, replace(settings, flip=True), seed=9)
        for way, k in np.ndindex(2, 2):
            flips.append(
                mirrored(
                    (plain.support_images[way, k], plain.support_masks[way, k]),
                    (mixed.support_images[way, k], mixed.support_masks[way, k]),
                    (plain.support_sizes[way, k], plain.support_sizes[way, k]),
                )
            )
        for t in range(3):
            flips.append(
                mirrored(
                    (plain.query_images[t], plain.query_masks[t]),
                    (mixed.query_images[t], mixed.query_masks[t]),
                    (plain.query_sizes[t], plain.query_mask_sizes[t]),
                )
            )
    flips = np.array(flips).reshape(60, 7)
    assert abs(flips.mean() - 0.5) < 0.12  # five standard deviations of 420 coins
    together = np.corrcoef(flips.T)[np.triu_indices(7, 1)]
    assert np.abs(together).max() < 0.6  # each photo has its own coin


def mirrored(plain, mixed, sizes):
    """Returns whether photo and mask were flipped; fails if they were not either both or neither."""
    flipped = not np.array_equal(plain[0], mixed[0])
    for before, after, (height, width) in zip(plain, mixed, sizes, strict=True):
        expected = before.copy()
        if flipped:
            for x in range(width):
                expected[:height, x] = before[:height, width - 1 - x]
        np.testing.assert_array_equal(after, expected)
    return flipped


def test_flips_follow_seed_and_index(source):
    settings = InputSettings(16, flip=True)

    def images(seed, index):
        return load_episode(source, replace(SPEC, index=index), settings, seed).query_images.tobytes()

    assert images(1, 0) == images(1, 0)
    assert len({images(seed, 0) for seed in range(12)}) > 1
    assert len({images(0, index) for index in range(12)}) > 1


# ---- features in place of photos ----


class Undecodable(ToySource):
    """Its photos must not be asked for."""

    def image(self, position):
        raise AssertionError(f"image {position} was decoded")


class TellTale:
    """Features that tell which record they are."""

    shape = (3, 4, 2)

    def read(self, position, flipped):
        return np.broadcast_to(np.float16([position, flipped]), self.shape)


@pytest.mark.parametrize(
    "settings",
    [
        InputSettings(24, flip=True),
        InputSettings(24, input="longside", flip=True, void="background"),
        InputSettings(24, label="original", label_side=44, flip=True),
    ],
)
def test_features_take_the_place_of_photos_and_of_nothing_else(source, settings):
    photos = load_episode(source, SPEC, settings, seed=9)
    episode = load_episode(Undecodable(), SPEC, settings, seed=9, features=TellTale())
    assert episode.support_images.dtype == episode.query_images.dtype == np.float16
    assert episode.support_images.shape == (2, 2, 3, 4, 2)
    assert episode.query_images.shape == (3, 3, 4, 2)
    flips = np.array([[0, 0, 0, 1, 1, 1, 1]]).T  # random([9, 4, 1]) < 0.5
    records = np.concatenate([np.reshape(SPEC.support, (4, 1)), np.reshape(SPEC.query, (3, 1))])
    found = np.concatenate([episode.support_images.reshape(4, 3, 4, 2), episode.query_images])
    expected = np.concatenate([records, flips], axis=1)[:, None, None]
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))
    for name, value in episode._asdict().items():
        if not name.endswith("images"):
            np.testing.assert_array_equal(value, getattr(photos, name))


@pytest.mark.parametrize("drawn", [{"crop": 1.5}, {"rotate": 10.0}])
def test_features_are_neither_cropped_nor_rotated(drawn):
    with pytest.raises(InputError, match=r"only the photo and its mirror image: set train\.crop=1 and"):
        load_episode(Undecodable(), SPEC, InputSettings(24, **drawn), features=TellTale())


# ---- fillings ----


def test_a_filling_is_zero_but_for_its_sizes():
    empty = empty_episode(SPEC, InputSettings(16, label="original", label_side=30))
    assert (empty.support_sizes == 16).all()
    assert (empty.query_sizes == 16).all()
    assert (empty.query_mask_sizes == 30).all()
    rest = [value for name, value in empty._asdict().items() if not name.endswith("sizes")]
    assert not any(np.any(value) for value in rest)


def test_a_filling_among_features():
    settings = InputSettings(16)
    empty, photos = empty_episode(SPEC, settings, TellTale()), empty_episode(SPEC, settings)
    for name, value in empty._asdict().items():
        if name.endswith("images"):
            assert value.dtype == np.float16
            assert not value.any()
        else:
            np.testing.assert_array_equal(value, getattr(photos, name))
    assert empty.support_images.shape == (2, 2, 3, 4, 2)
    assert empty.query_images.shape == (3, 3, 4, 2)
