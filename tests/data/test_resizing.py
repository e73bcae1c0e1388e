"""Resizes on the host: worked examples, and that no object is lost."""

import numpy as np

from fsjax.data.resizing import mirror, padded, resize_image, resize_mask


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


def test_a_mirror_image_stays_in_its_rectangle():
    photo = padded(np.arange(1, 7, dtype=np.uint8).reshape(2, 3), 4, 4)
    assert mirror(photo, np.int32([2, 3])).tolist() == [[3, 2, 1, 0], [6, 5, 4, 0], [0] * 4, [0] * 4]
    assert photo[0].tolist() == [1, 2, 3, 0]
