"""Photos, masks and episodes as arrays, and what may take a photo's place."""

from dataclasses import replace

import numpy as np
import pytest

from fsjax.data.images import (
    InputSettings,
    empty_episode,
    input_size,
    load_episode,
    load_mask,
    load_photo,
)
from fsjax.data.resizing import resize_image, resize_mask
from fsjax.data.sampling import EpisodeSpec
from fsjax.errors import InputError
from tests.toy import ToySource

SPEC = EpisodeSpec(index=4, class_ids=(3, 5), support=((1, 2), (7, 10)), query=(4, 5, 8), shown=(3, 5))


@pytest.fixture(scope="module")
def source():
    return ToySource()


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

    def size(self, position):
        return 20, 20


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
    episode = load_episode(source, SPEC, InputSettings(16, label=label))
    side = 16 if label == "input" else 128
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
    for filled in (episode, empty_episode(ToySource(), SPEC, InputSettings(16, label=label))):
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
    settings = InputSettings(16, label="original")
    episode = load_episode(source, SPEC, settings)
    for mask, (h, w), position in zip(episode.query_masks, episode.query_mask_sizes, SPEC.query, strict=True):
        assert (h, w) == source.size(position)
        names = np.zeros(256, np.uint8)
        names[[3, 5, 255]] = 1, 2, 255
        np.testing.assert_array_equal(mask[:h, :w], names[source.labels(position)])
        assert not mask[h:].any()


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


class Torn(ToySource):
    """Its photos lack a row."""

    def image(self, position):
        return super().image(position)[1:]


class Cut(ToySource):
    """Its masks lack a column."""

    def mask(self, position, class_ids, way):
        return super().mask(position, class_ids, way)[:, 1:]


@pytest.mark.parametrize("drawn", [{}, {"crop": 1.5}])
@pytest.mark.parametrize(("source", "kind"), [(Torn(), "photo"), (Cut(), "mask")])
def test_a_mask_of_another_size_than_its_photo(source, kind, drawn):
    said = rf"the {kind} of image 'toy_001' is \d+x\d+ and the data set gives \d+x\d+; make photo and mask"
    with pytest.raises(InputError, match=said):
        load_episode(source, SPEC, InputSettings(16, **drawn))


class Asked(ToySource):
    """Writes down what is asked of it."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def mask(self, position, class_ids, way):
        self.asked.append((position, tuple(class_ids), way))
        return super().mask(position, class_ids, way)


@pytest.mark.parametrize("drawn", [{}, {"rotate": 5.0}])
def test_masks_are_asked_for_by_way(drawn):
    source = Asked()
    load_episode(source, replace(SPEC, shown=(1, 2)), InputSettings(16, **drawn))
    supports = [(position, (1, 2), n) for n, way in enumerate(SPEC.support, 1) for position in way]
    assert source.asked == supports + [(position, (3, 5), None) for position in SPEC.query]


# ---- one photo, one mask ----


@pytest.mark.parametrize(
    "settings",
    [
        InputSettings(20),
        InputSettings(30, input="longside", void="background"),
        InputSettings(24, label="original"),
        InputSettings(24, input="longside", label="original", void="background"),
    ],
)
def test_an_episode_is_made_of_photos_and_masks_that_are_loaded_alone(source, settings):
    episode = load_episode(source, SPEC, settings)
    original = (128, 128) if settings.label == "original" else None
    for way, k in np.ndindex(2, 2):
        position = SPEC.support[way][k]
        check(load_photo(source, position, settings), episode, "support", "images", (way, k))
        mask = load_mask(source, position, (3, 5), way + 1, settings)
        check(mask, episode, "support", "masks", (way, k))
    for t, position in enumerate(SPEC.query):
        check(load_photo(source, position, settings), episode, "query", "images", t)
        mask = load_mask(source, position, (3, 5), None, settings, original=original)
        check(mask, episode, "query", "masks", t)


def check(loaded, episode, role, kind, at):
    array, size = loaded
    np.testing.assert_array_equal(array, getattr(episode, f"{role}_{kind}")[at])
    sizes = "query_mask_sizes" if (role, kind) == ("query", "masks") else f"{role}_sizes"
    np.testing.assert_array_equal(size, getattr(episode, sizes)[at])
    assert (array.dtype, size.dtype) == (np.uint8, np.int32)


def test_random_settings_leave_a_photo_alone(source):
    plain, drawn = InputSettings(24), InputSettings(24, flip=True, crop=2.0, rotate=30.0)
    for position in range(5):
        np.testing.assert_array_equal(
            load_photo(source, position, plain)[0], load_photo(source, position, drawn)[0]
        )


def test_any_object_is_the_mask_of_all_classes(source):
    mask, (height, width) = load_mask(
        source, 7, range(1, 7), None, InputSettings(16, label="original"), original=(128, 256)
    )
    np.testing.assert_array_equal(mask[:height, :width], source.labels(7))


def test_a_rescued_object_keeps_its_class():
    class Speck(ToySource):
        def labels(self, position):
            labels = np.zeros_like(super().labels(position))
            labels[9, 9] = 4
            return labels

    source, settings = Speck(), InputSettings(3)
    mask, size = load_mask(source, 0, (1, 4), 1, settings)
    assert sorted(mask.ravel().tolist()) == [0] * 8 + [2]
    assert size.tolist() == [3, 3]


# ---- void pixels, and classes that are not asked for ----


@pytest.mark.parametrize(
    ("settings", "of_supports", "of_queries"),
    [
        (InputSettings(32), True, True),
        (InputSettings(32, void="background"), False, False),
        (InputSettings(32, support_void="background"), False, True),
        (InputSettings(32, void="background", support_void="ignore"), True, False),
    ],
)
def test_void_of_supports_and_queries(source, settings, of_supports, of_queries):
    episode = load_episode(source, SPEC, settings)
    assert (255 in episode.support_masks, 255 in episode.query_masks) == (of_supports, of_queries)


def test_other_classes_are_ignored_where_they_would_be_background(source):
    settings = InputSettings(16, void="background", ignored=(2, 4, 6))
    for position in range(12):
        labels, (height, width) = source.labels(position), source.size(position)
        mask, _ = load_mask(source, position, (3, 4), None, settings, original=(128, 128))
        expected = np.zeros((height, width), int)
        for row, column in np.ndindex(height, width):
            label = labels[row, column]
            expected[row, column] = {3: 1, 4: 2, 2: 255, 6: 255}.get(int(label), 0)
        np.testing.assert_array_equal(mask[:height, :width], expected)


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
        InputSettings(24, label="original", flip=True),
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


# ---- fillings ----


def test_a_filling_is_zero_but_for_its_sizes():
    empty = empty_episode(ToySource(), SPEC, InputSettings(16, label="original"))
    assert (empty.support_sizes == 16).all()
    assert (empty.query_sizes == 16).all()
    assert (empty.query_mask_sizes == 128).all()
    rest = [value for name, value in empty._asdict().items() if not name.endswith("sizes")]
    assert not any(np.any(value) for value in rest)


def test_a_filling_among_features():
    settings = InputSettings(16)
    empty, photos = (
        empty_episode(ToySource(), SPEC, settings, TellTale()),
        empty_episode(ToySource(), SPEC, settings),
    )
    for name, value in empty._asdict().items():
        if name.endswith("images"):
            assert value.dtype == np.float16
            assert not value.any()
        else:
            np.testing.assert_array_equal(value, getattr(photos, name))
    assert empty.support_images.shape == (2, 2, 3, 4, 2)
    assert empty.query_images.shape == (3, 3, 4, 2)
