"""Photos and masks as people have them: arrays, Pillow's pictures and files of every mode."""

import numpy as np
import pytest
from PIL import Image

from fsjax.errors import InputError
from fsjax.segmenter import reading
from tests.segmenter.photos import DPNET, PRNET, assert_one_sentence, photo, photos

IMAGE, MASK = photo(0, 24, 30)
ORIENTATION = 0x0112


def read(image):
    return reading.photo(1, image)


def read_masks(*masks):
    return [mask for _, mask in reading.supports([IMAGE] * len(masks), list(masks), None)]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "YCbCr"])
def test_pillows_pictures_are_what_they_look_like(mode):
    grey = Image.fromarray(IMAGE[..., 0])
    picture = (grey if mode in ("L", "LA", "1") else Image.fromarray(IMAGE)).convert(mode)
    np.testing.assert_array_equal(read(picture), np.asarray(picture.convert("RGB")))


def test_what_is_transparent_is_on_white():
    alpha = np.full((24, 30, 1), 255, np.uint8)
    alpha[:4] = 0
    rgba = np.concatenate([IMAGE, alpha], -1)
    for given in (rgba, Image.fromarray(rgba)):
        assert (read(given)[:4] == 255).all()
        np.testing.assert_array_equal(read(given)[4:], IMAGE[4:])


@pytest.mark.parametrize(("orientation", "quarters"), [(3, 2), (6, 3), (8, 1)])
def test_exif_turns_a_photo_and_its_mask(orientation, quarters, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    expected = np.rot90(IMAGE, quarters)
    Image.fromarray(IMAGE).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(read(opened), expected)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), expected)
    np.testing.assert_array_equal(read(str(tmp_path / "a.png")), expected)
    Image.fromarray(MASK).save(tmp_path / "mask.png", exif=exif)
    with Image.open(tmp_path / "mask.png") as opened:
        ((_, mask),) = reading.supports(expected, opened, None)
    np.testing.assert_array_equal(mask, np.rot90(MASK, quarters))


def test_grey_arrays_are_photos():
    grey = IMAGE[..., 0]
    for given in (grey, grey[..., None]):
        np.testing.assert_array_equal(read(given), np.repeat(grey[..., None], 3, -1))


def cut_out():
    return np.concatenate([IMAGE, 255 * MASK[..., None]], -1)


MASKS = {
    "boolean": MASK > 0,
    "of zero and 255": 255 * MASK,
    "of a wide type": MASK.astype(np.int64),
    "grey in colours": np.repeat(255 * MASK[..., None], 3, -1),
    "boolean in colours": np.repeat(MASK[..., None] > 0, 3, -1),
    "a cut-out": cut_out(),
    "opaque": np.stack([255 * MASK] * 3 + [np.full((24, 30), 255, np.uint8)], -1),
    "nearly opaque": np.stack([255 * MASK] * 3 + [np.full((24, 30), 254, np.uint8)], -1),
    "white on black with a transparent corner": np.stack(
        [255 * MASK] * 3 + [np.where(np.indices(MASK.shape).sum(0), 255, 0).astype(np.uint8)], -1
    ),
    "in red": np.stack([255 * MASK, 0 * MASK, 0 * MASK], -1),
    "in red as a picture": Image.fromarray(np.stack([255 * MASK, 0 * MASK, 0 * MASK], -1)),
    "with a channel": 255 * MASK[..., None],
    "a picture": Image.fromarray(255 * MASK),
    "a bitmap": Image.fromarray(255 * MASK).convert("1"),
    "a palette": Image.fromarray(MASK).convert("P"),
    "a cut-out as a picture": Image.fromarray(cut_out()),
    "grey and transparent": Image.fromarray(np.stack([255 * MASK, 255 * MASK], -1), "LA"),
    "for print": Image.fromarray(np.repeat(255 * MASK[..., None], 3, -1)).convert("CMYK"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_every_kind_mark_the_object(kind):
    for images, masks in ((IMAGE, MASKS[kind]), ([IMAGE], [MASKS[kind]])):
        ((_, mask),) = reading.supports(images, masks, None)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, MASK)


def test_objects_in_255_and_booleans_go_together():
    for mask in read_masks(MASK > 0, 255 * MASK):
        np.testing.assert_array_equal(mask, MASK)
    labelled = MASK.copy()
    labelled[0] = 255
    assert read_masks(labelled)[0][0, 0] == 255  # beside labels it is to be ignored


def test_several_come_as_lists_stacks_generators_and_files(tmp_path):
    images, masks = photos(photo(0, 24, 30), photo(1, 24, 30))
    marked = [255 * mask for mask in masks]
    for name, pixels in zip(("a", "b", "a_mask", "b_mask"), (*images, *marked), strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    ways = [
        (images, masks),
        (np.stack(images), np.stack(masks)),
        (np.stack(images), np.stack(masks) > 0),
        ((image for image in images), (mask for mask in masks)),
        (
            [tmp_path / "a.png", str(tmp_path / "b.png")],
            [str(tmp_path / "a_mask.png"), tmp_path / "b_mask.png"],
        ),
        ([Image.fromarray(images[0]), images[1]], [Image.fromarray(masks[0]), masks[1]]),
    ]  # fmt: skip
    for given, marked in ways:
        for (image, mask), wanted, truth in zip(
            reading.supports(given, marked, None), images, masks, strict=True
        ):
            np.testing.assert_array_equal(image, wanted)
            np.testing.assert_array_equal(mask, truth)


REFUSED = {
    "There is no file nowhere.png": lambda: PRNET.fit("nowhere.png", MASK),
    "There are 1 names and 2 classes": lambda: PRNET.fit(*photo(0, classes=(1, 2)), classes=["cup"]),
    "Mask 1 holds several colours": lambda: PRNET.fit(IMAGE, [IMAGE]),
    "Mask 1 has the shape (23, 30) and its photo (24, 30)": lambda: PRNET.fit(IMAGE, MASK[1:]),
    "or give one object as True and False": lambda: PRNET.fit(IMAGE, 254 * MASK),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_photo_or_mask_is_refused(message):
    with pytest.raises(InputError) as raised:
        REFUSED[message]()
    assert_one_sentence(raised, message)


def test_a_mask_of_nan_says_so():
    with pytest.raises(InputError) as raised:
        PRNET.fit(IMAGE, np.full((24, 30), np.nan))
    assert_one_sentence(raised, "Mask 1 is of type float64: give whole numbers or booleans; it holds NaN")


def test_a_picture_that_is_cut_short_is_refused_by_its_number(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    fitted = DPNET.fit(IMAGE, MASK)
    with Image.open(tmp_path / "a.png") as opened:
        for given, name in ((opened, "Photo 1"), (tmp_path / "a.png", f"{tmp_path}/a.png")):
            with pytest.raises(InputError) as raised:
                fitted.segment([given])
            assert_one_sentence(raised, f"{name} is damaged")


def test_an_empty_mask_is_named_by_its_file(tmp_path):
    Image.fromarray(0 * MASK).save(tmp_path / "empty.png")
    with pytest.raises(InputError) as raised:
        PRNET.fit(IMAGE, tmp_path / "empty.png")
    assert_one_sentence(raised, f"{tmp_path}/empty.png marks nothing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch is 0: give a number of photos from 1 on."),
        ({"threshold": 1.5}, "threshold is 1.5: give a number from 0 to 1."),
        ({"threshold": float("nan")}, "threshold is nan: give a number from 0 to 1."),
        ({"min_presence": -0.1}, "min_presence is -0.1: give a number from 0 to 1."),
    ],
)
def test_options_out_of_their_range_are_refused(options, message):
    with pytest.raises(InputError) as raised:
        PRNET.fit(IMAGE, MASK).segment([], **options)
    assert_one_sentence(raised, message)
