"""Crops and rotations: what is drawn, that mask and photo stay aligned, and that no object is lost."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fsjax.data.augment import FILL, Warp, draw_warp, warp_mask, warp_picture
from fsjax.data.images import ATTEMPTS, InputSettings, kept_warp, load_episode
from fsjax.data.resizing import resize_image, resize_mask
from fsjax.data.sampling import EpisodeSpec
from tests.toy import ToySource

BOTH = InputSettings(24, crop=1.5, rotate=10.0)
SPEC = EpisodeSpec(index=4, class_ids=(3, 5), support=((2, 14), (10, 4)), query=(16, 20, 8), shown=(3, 5))


def warped(image, warp):
    """A photo, resized to the warp's square and warped."""
    return np.asarray(warp_picture(Image.fromarray(resize_image(image, warp.side, warp.side)), warp))


# ---- what is drawn ----


def drawn(count, *settings):
    return [draw_warp(np.random.default_rng(i), *settings) for i in range(count)]


def test_draws_cover_their_ranges():
    warps = drawn(600, 20, 1.5, 10.0)
    sides = np.array([warp.side for warp in warps])
    assert set(sides) == set(range(20, 31))
    assert abs(sides.mean() - 25) < 0.7
    for places in ([(w.side, w.top) for w in warps], [(w.side, w.left) for w in warps]):
        assert {top for side, top in places if side == 28} == set(range(9))
        assert all(0 <= top <= side - 20 for side, top in places)
    assert abs(np.corrcoef(*zip(*[(w.top, w.left) for w in warps if w.side > 25], strict=True))[0, 1]) < 0.2
    angles = np.array([warp.angle for warp in warps])
    assert 0.4 < (angles == 0).mean() < 0.6
    assert -10 <= angles.min() < -9
    assert 9 < angles.max() <= 10


def test_a_setting_that_is_off_draws_nothing_and_leaves_the_other_as_it_was():
    assert set(drawn(20, 20, 1.0, 0.0)) == {Warp(20, 0.0, 0, 0, 20)}
    both, crops, turns = drawn(20, 20, 1.5, 10.0), drawn(20, 20, 1.5, 0.0), drawn(20, 20, 1.0, 10.0)
    assert crops == [warp._replace(angle=0.0) for warp in both]
    assert [warp.angle for warp in turns] == [warp.angle for warp in both]


# ---- geometry ----


def test_a_cut():
    mask = np.arange(30, dtype=np.uint8).repeat(30).reshape(30, 30)
    warp = Warp(side=30, angle=0.0, top=3, left=5, size=20)
    np.testing.assert_array_equal(warp_mask(mask, warp), mask[3:23, 5:25])
    np.testing.assert_array_equal(warp_mask(mask.T.copy(), warp), mask.T[3:23, 5:25])
    image = np.stack([mask, mask.T, mask], axis=-1)
    np.testing.assert_array_equal(warped(image, warp), image[3:23, 5:25])


@pytest.mark.parametrize("angle", [-33.0, 7.5])
def test_a_rotation_is_counterclockwise_about_the_centre(angle):
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 9, (31, 31)).astype(np.uint8)
    warp = Warp(side=31, angle=angle, top=2, left=6, size=23)
    turned = warp_mask(mask, warp)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    compared = uncovered = 0
    for row in range(23):
        for column in range(23):
            right, up = column + 6 + 0.5 - 15.5, 15.5 - (row + 2 + 0.5)
            x, y = 15.5 + cos * right + sin * up, 15.5 - (cos * up - sin * right)  # turned back
            if min(x % 1, 1 - x % 1, y % 1, 1 - y % 1) < 1e-3:
                continue  # between two pixels
            outside = not (0 <= x < 31 and 0 <= y < 31)
            assert turned[row, column] == (255 if outside else mask[int(y), int(x)])
            compared, uncovered = compared + 1, uncovered + outside
    assert compared > 500
    assert (uncovered > 0) == (angle == -33.0)


def test_what_a_rotation_uncovers_is_ignored_and_of_the_mean_colour():
    image, mask = np.full((40, 40, 3), 9, np.uint8), np.ones((40, 40), np.uint8)
    warp = Warp(side=40, angle=10.0, top=0, left=0, size=40)
    image, mask = warped(image, warp), warp_mask(mask, warp)
    assert set(np.unique(mask)) == {1, 255}
    assert 0.05 < (mask == 255).mean() < 0.12
    assert [mask[0, 0], mask[0, -1], mask[-1, 0], mask[-1, -1]] == [255] * 4
    assert (image[mask == 255] == FILL).all()
    assert (image[mask == 1] == 9).all()


COLOURS = np.array([[10, 200, 60], [250, 30, 30], [30, 90, 250], [240, 240, 20]], np.uint8)


def painted(seed):
    """Returns a photo and a mask of 0..3 that its colours tell, in patches of about 12 pixels."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 4, (7, 9)).astype(np.uint8).repeat(13, 0).repeat(11, 1)
    return COLOURS[mask], mask


def test_photo_and_mask_stay_aligned():
    inside = turned = 0
    for i in range(30):
        image, mask = painted(i)
        warp, mask, _ = kept_warp(mask, InputSettings(80, crop=1.5, rotate=30.0), (0, i))
        image = warped(image, warp)
        windows = np.lib.stride_tricks.sliding_window_view(mask, (5, 5))
        centres, same = mask[2:-2, 2:-2], (windows == windows[:, :, :1, :1]).all(axis=(2, 3))
        expected = np.vstack([COLOURS, np.broadcast_to(np.uint8(FILL), (252, 3))])[centres]
        difference = np.abs(np.int16(image[2:-2, 2:-2]) - np.int16(expected))
        assert difference[same].max() <= 1  # Pillow rounds down
        inside, turned = inside + same.sum(), turned + (mask == 255).any()
    assert inside > 30 * 80 * 80 / 3  # most pixels are away from edges
    assert turned > 5


# ---- no object is lost ----


def test_a_tiny_object_at_the_edge_stays():
    mask = np.zeros((50, 50), np.uint8)
    mask[20:22, 0:2], mask[25:40, 25:40] = 1, 2
    given_up = []
    for i in range(60):
        _, augmented, attempts = kept_warp(mask, BOTH, (1, i))
        assert {1, 2} <= set(np.unique(augmented))
        for attempt in range(min(attempts + 1, ATTEMPTS)):  # the first that keeps both is the one
            warp = draw_warp(np.random.default_rng([1, i, attempt]), 24, 1.5, 10.0)
            tried = warp_mask(resize_mask(mask, warp.side, warp.side), warp)
            assert ({1, 2} <= set(np.unique(tried))) == (attempt == attempts)
        given_up.append(attempts)
    assert min(given_up) == 0
    assert max(given_up) > 2


def test_where_no_attempt_keeps_all_classes_the_photo_is_only_resized():
    image, mask = painted(0)
    mask = np.zeros_like(mask)
    mask[:3, :3], mask[-3:, -3:] = 1, 2  # in opposite corners: a crop loses one
    settings = InputSettings(24, crop=4.0)
    warp, augmented, attempts = kept_warp(mask, settings, (0, 0))
    assert attempts == ATTEMPTS == 10
    np.testing.assert_array_equal(augmented, resize_mask(mask, 24, 24))
    np.testing.assert_array_equal(warped(image, warp), resize_image(image, 24, 24))


def test_void_and_background_may_go():
    mask = np.ones((50, 50), np.uint8)
    mask[0, 0:2], mask[-1] = 255, 0
    results = [kept_warp(mask, InputSettings(24, crop=1.5), (0, i)) for i in range(20)]
    assert [attempts for _, _, attempts in results] == [0] * 20
    assert any(set(np.unique(augmented)) == {1} for _, augmented, _ in results)


# ---- episodes ----


@pytest.fixture(scope="module")
def source():
    return ToySource()


def same(left, right):
    return [np.array_equal(a, b) for a, b in zip(left, right, strict=True)]


def photos(episode):
    """Returns an episode's 4 supports and 3 queries as pairs of photo and mask."""
    images = [*episode.support_images.reshape(4, 24, 24, 3), *episode.query_images]
    return list(zip(images, [*episode.support_masks.reshape(4, 24, 24), *episode.query_masks], strict=True))


def test_episodes_are_a_pure_function_of_seed_and_index(source):
    def load(seed, index):
        return load_episode(source, replace(SPEC, index=index), BOTH, seed)

    first = load(3, 0)
    assert all(same(first, load(3, 0)))
    for other in (load(3, 1), load(4, 0)):
        assert not np.array_equal(first.support_images, other.support_images)
        assert not np.array_equal(first.query_images, other.query_images)
    assert (first.support_sizes == 24).all()
    assert (first.query_mask_sizes == 24).all()


def test_each_photo_is_augmented_by_itself(source):
    spec = replace(SPEC, support=((2, 2), (2, 2)), query=(2, 2, 2))
    images = [image.tobytes() for image, _ in photos(load_episode(source, spec, BOTH))]
    assert len(set(images)) == 7


def test_no_class_of_an_episode_vanishes(source):
    for i in range(12):
        plain = load_episode(source, replace(SPEC, index=i), InputSettings(24))
        harsh = InputSettings(24, crop=3.0, rotate=45.0, flip=True)
        augmented = load_episode(source, replace(SPEC, index=i), harsh)
        for (_, before), (_, after) in zip(photos(plain), photos(augmented), strict=True):
            assert set(np.unique(before)) - {0, 255} == set(np.unique(after)) - {0, 255}


def test_void_that_counts_as_background_leaves_the_fill_ignored(source):
    settings = InputSettings(24, void="background", rotate=45.0)
    for i in range(4):
        for image, mask in photos(load_episode(source, replace(SPEC, index=i), settings)):
            np.testing.assert_array_equal(mask == 255, (image == FILL).all(axis=-1))


# random([seed, index, 1]) < 0.5 for the seven photos of an episode
FLIPS = {
    (0, 0): (1, 1, 0, 1, 1, 1, 1),
    (9, 4): (0, 0, 0, 1, 1, 1, 1),
    (1234, 50_000): (1, 0, 0, 1, 0, 1, 1),
}


@pytest.mark.parametrize("crop", [1.0, 1.5])
@pytest.mark.parametrize(("seed", "index"), FLIPS)
def test_flips_are_what_they_always_were(source, seed, index, crop):
    spec, settings = replace(SPEC, index=index), InputSettings(24, crop=crop)
    straight = photos(load_episode(source, spec, settings, seed))
    mixed = photos(load_episode(source, spec, replace(settings, flip=True), seed))
    for before, after, flip in zip(straight, mixed, FLIPS[seed, index], strict=True):
        assert same(after, [array[:, ::-1] if flip else array for array in before]) == [True, True]


def test_without_augmentation_photos_are_only_resized(source):
    settings = InputSettings(24, crop=1.0, rotate=0.0)
    positions = [position for way in SPEC.support for position in way] + list(SPEC.query)
    names = np.zeros(256, np.uint8)
    names[[3, 5, 255]] = 1, 2, 255
    for (image, mask), position in zip(photos(load_episode(source, SPEC, settings)), positions, strict=True):
        np.testing.assert_array_equal(image, resize_image(source.image(position), 24, 24))
        np.testing.assert_array_equal(mask, resize_mask(names[source.labels(position)], 24, 24))
