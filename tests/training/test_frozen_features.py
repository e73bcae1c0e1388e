"""Features that a frozen backbone computes once: exact, told apart by all they depend on, made anew."""

import json
import pickle
import shutil
from collections import namedtuple

import jax
import numpy as np
import pytest

from fsjax.data.images import FeatureReader, InputSettings, load_episode
from fsjax.data.loader import Slots, batches
from fsjax.data.resizing import resize_image
from fsjax.data.sampling import EpisodeSpec
from fsjax.errors import InputError
from fsjax.training.frozen_features import FrozenFeatures
from tests.toy import ToySource

SETTINGS, SHAPE = InputSettings(24, flip=True), (3, 4, 6)
RECORD = 3 * 4 * 6 * 2  # bytes
SPEC = EpisodeSpec(index=4, class_ids=(3, 5), support=((1, 2), (7, 10)), query=(4, 5, 8), shown=(3, 5))


class Embed:
    """A made-up backbone: cells of 8 x 6 pixels, their colour and place; it counts what it is shown."""

    def __init__(self):
        self.calls, self.photos = 0, 0

    def __call__(self, images, sizes):
        assert images.shape == (jax.local_device_count(), 1, 24, 24, 3)
        assert sizes.shape == (jax.local_device_count(), 1, 2)
        assert (images.dtype, sizes.dtype) == (np.uint8, np.int32)
        self.calls, self.photos = self.calls + 1, self.photos + len({image.tobytes() for image in images})
        shown = zip(images[:, 0], sizes[:, 0].tolist(), strict=True)
        return np.stack([features_of(image, *size) for image, size in shown])[:, None]


def features_of(image, height, width):
    """The mean colour of each cell, then the height and width of the photo and the number of the cell."""
    result = np.zeros(SHAPE, np.float16)
    for row, column in np.ndindex(3, 4):
        result[row, column, :3] = image[8 * row : 8 * row + 8, 6 * column : 6 * column + 6].mean(axis=(0, 1))
        result[row, column, 3:] = height, width, 4 * row + column
    return result


def make(folder, embed=None, *, source=None, description="a backbone", settings=SETTINGS, shape=SHAPE):
    source = source or ToySource()
    return FrozenFeatures(folder, source, embed or Embed(), description, settings, shape=shape)


@pytest.mark.parametrize("input", ["square", "longside"])
def test_stored_features_are_those_of_the_photos_as_they_enter(tmp_path, input):
    features = make(tmp_path, settings=InputSettings(24, input=input))
    assert not any(tmp_path.iterdir())
    features.fill([5, 8], mirrored=False)
    features.fill([3], mirrored=True)
    for position, flipped in ((3, False), (5, False), (8, False), (3, True)):
        image = ToySource().image(position)
        height, width = image.shape[:2]
        scale = 24 / max(height, width)
        size = (24, 24) if input == "square" else (round(height * scale), round(width * scale))
        entering = np.zeros((24, 24, 3), np.uint8)
        resized = resize_image(image, *size)
        entering[: size[0], : size[1]] = np.flip(resized, axis=1) if flipped else resized
        found = features.reader.read(position, flipped)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, features_of(entering, *size))


def test_each_view_is_computed_once_in_batches_of_all_devices(tmp_path):
    embed = Embed()
    features = make(tmp_path, embed)
    features.fill(range(20), mirrored=True)
    assert (embed.photos, embed.calls) == (40, 40 / jax.local_device_count())
    for _ in range(2):
        make(tmp_path, embed).fill(range(20), mirrored=True)
        assert embed.photos == 40
    make(tmp_path, embed).fill([1, 2, 33], mirrored=False)
    assert (embed.photos, embed.calls) == (41, 6)


def test_what_is_damaged_is_computed_anew(tmp_path):
    features, embed = make(tmp_path), Embed()
    features.fill([1, 2], mirrored=True)
    expected = {view: features.reader.read(*view) for view in ((1, False), (2, False), (1, True), (2, True))}
    paths = sorted(tmp_path.rglob("*.safetensors"))
    content = bytearray(paths[0].read_bytes())
    content[-3] ^= 1
    paths[0].write_bytes(content)
    paths[1].unlink()
    with pytest.raises(
        InputError, match=r"of image 'toy_00\d.*' are missing or damaged: run the command again"
    ):
        [features.reader.read(*view) for view in expected]
    again = make(tmp_path, embed)
    again.fill([1, 2], mirrored=True)
    assert embed.photos == 2
    for view, array in expected.items():
        np.testing.assert_array_equal(again.reader.read(*view), array)


def changed_source(**fields):
    source = ToySource(n=fields.pop("n", 40))
    for name, value in fields.items():
        setattr(source, name, value)
    return source


@pytest.mark.parametrize(
    "changes",
    [
        {"source": changed_source(name="other")},
        {"source": changed_source(version="1.0.1")},
        {"source": changed_source(split="train")},
        {"source": changed_source(n=39)},
        {"source": changed_source(ids=[f"toy_{p:03d}" for p in reversed(range(40))])},
        {"description": "another backbone"},
        {"settings": InputSettings(32)},
        {"settings": InputSettings(24, input="longside")},
        {"shape": (4, 3, 6)},
    ],
    ids=["name", "version", "split", "photos", "ids", "backbone", "size", "input", "shape"],
)
def test_features_of_something_else_are_elsewhere(tmp_path, changes):
    make(tmp_path).fill([0], mirrored=False)
    with pytest.raises(InputError, match="missing"):
        make(tmp_path, **changes).reader.read(0, False)
    same = make(tmp_path, settings=InputSettings(24, void="background", crop=2.0))  # no matter of photos
    np.testing.assert_array_equal(same.reader.read(0, False), make(tmp_path).reader.read(0, False))


def test_the_description_is_for_people(tmp_path):
    make(tmp_path).fill([0], mirrored=False)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("features_test_24_")
    described = json.loads((folder / "description.json").read_text())
    expected = {"data_set": "toy", "version": "1.0.0", "split": "test", "backbone": "a backbone", "size": 24}
    assert described == described | expected | {"shape": [3, 4, 6], "input": "square"}


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_float16_cannot_hold_is_refused(tmp_path, value):
    def embed(images, sizes):
        features = Embed()(images, sizes)
        features[0, 0, 1, 2, 3] = value
        return features

    features = make(tmp_path, embed)
    with pytest.raises(InputError, match=r"'toy_006' are not finite in float16 \(beyond 65504"):
        features.fill([6], mirrored=False)
    with pytest.raises(InputError, match="missing"):
        features.reader.read(6, False)


# ---- the disk ----


def test_room_is_asked_for_first(tmp_path, monkeypatch):
    usage, embed = namedtuple("usage", "total used free"), Embed()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3 * RECORD))
    with pytest.raises(InputError, match=r"4 views need 0\.0 GB and '.*' has 0\.0 GB left: make room"):
        make(tmp_path, embed).fill([1, 2], mirrored=True)
    assert embed.calls == 0
    make(tmp_path, embed).fill([1, 2, 3], mirrored=False)
    make(tmp_path, embed).fill([1, 2, 3, 4], mirrored=False)  # only one more
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 12_345_000_000))
    with pytest.raises(InputError, match=r"40 views need 20\.7 GB and '.*' has 12\.3 GB left"):
        make(tmp_path, embed, shape=(410, 410, 1536)).fill(range(40), mirrored=False)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.* cannot be written to \(Not a directory\)"):
        make(tmp_path / "file").fill([1], mirrored=False)


# ---- episodes ----


def test_a_reader_is_sent_to_other_processes(tmp_path):
    features = make(tmp_path)
    features.fill(range(11), mirrored=True)
    reader = pickle.loads(pickle.dumps(features.reader))
    assert isinstance(reader, FeatureReader)
    assert (reader.shape, len(pickle.dumps(reader)) < 5000) == (SHAPE, True)
    np.testing.assert_array_equal(reader.read(3, True), features.reader.read(3, True))


class Undecodable(ToySource):
    """Its photos must not be asked for."""

    def image(self, position):
        raise AssertionError(f"image {position} was decoded")


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_episodes_of_stored_features(tmp_path, workers):
    features = make(tmp_path)
    features.fill(range(11), mirrored=True)
    read = batches(
        Undecodable(), Specs(), SETTINGS, Slots(1, 1, 1), seed=9, stop=1, threads=1, workers=workers,
        features=features.reader,
    )  # fmt: skip
    (batch,) = read
    photos = load_episode(ToySource(), SPEC, SETTINGS, seed=9)
    for role, images in (("support", photos.support_images), ("query", photos.query_images)):
        stored = getattr(batch, f"{role}_images")[0, 0].reshape(-1, *SHAPE)
        for found, image in zip(stored, images.reshape(-1, 24, 24, 3), strict=True):
            np.testing.assert_array_equal(found, features_of(image, 24, 24))
    np.testing.assert_array_equal(batch.query_masks[0, 0], photos.query_masks)


class Specs:
    """One episode, for worker processes too."""

    def __call__(self, number):
        return SPEC
