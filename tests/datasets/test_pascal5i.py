"""PASCAL-5i from miniatures of VOC's tar and SBD's archive, and from the same files unpacked."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets import building, pascal5i
from fsjax.errors import InputError
from tests.datasets import voc_archives
from tests.datasets.voc_archives import (
    CMYK,
    GREY,
    IN_VOC,
    PHOTOS,
    TRAIN,
    TRAINAUG,
    VAL,
    jpeg,
    labels_in,
    opened,
    run,
    size_of,
    truth,
    write_archives,
    write_folder,
    write_zip,
)
from tests.voc import mask_png


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """Both archives as downloaded, and the data set that they were prepared to."""
    folder = write_archives(tmp_path_factory.mktemp("pascal") / "downloads")
    assert run(folder) == 0
    return folder


def augmented(prefix="SegmentationClassAug/"):
    """All masks as SegmentationClassAug has them, VOC's own among them."""
    return {f"{prefix}{id}.png": mask_png(truth(id)) for id in PHOTOS}


def test_the_lists_are_those_that_follow_from_both_archives(downloads):
    splits = opened(downloads)
    assert splits["train"].ids == tuple(TRAINAUG)  # not 2008_000005, which is one of SBD's and of VOC's val
    assert splits["test"].ids == tuple(VAL)
    assert (splits["train"].split, splits["test"].split) == ("trainaug", "val")
    derived = opened(downloads, train_list="pfenet_derived")["train"]
    assert derived.ids == (*TRAIN, "2008_000003")  # of SBD's alone those in VOC's Main/train


def test_masks_are_vocs_own_and_sbds_where_there_is_none(downloads):
    splits = opened(downloads)
    found = {**labels_in(splits["train"]), **labels_in(splits["test"])}
    assert sorted(found) == PHOTOS
    for id, labels in found.items():
        np.testing.assert_array_equal(labels, truth(id))


def test_void_is_kept_where_voc_has_it(downloads):
    found = labels_in(opened(downloads)["train"])
    assert {id: bool((labels == 255).any()) for id, labels in found.items()} == {
        id: id in TRAIN for id in TRAINAUG
    }


@pytest.mark.parametrize("id", [TRAIN[0], GREY, CMYK])
def test_photos_are_those_of_the_files_in_rgb(downloads, id):
    source = opened(downloads)["train"]
    expected = np.asarray(Image.open(io.BytesIO(jpeg(id))).convert("RGB"))
    np.testing.assert_array_equal(source.image(source.ids.index(id)), expected)
    assert source.size(source.ids.index(id)) == size_of(id)


def test_oslsms_list_has_pairs_of_large_objects_alone(downloads):
    source = opened(downloads, train_list="oslsm_derived")["train"]
    assert source.ids == tuple(TRAINAUG)
    for position, id in enumerate(source.ids):
        # Every photo shows class 20 on a hundred pixels or less, and another on sixty squared or more.
        assert np.flatnonzero(source.areas(position)).tolist() == [PHOTOS.index(id), 19]
        assert np.flatnonzero(source.eligible(position) & 1).tolist() == [PHOTOS.index(id)]


def test_the_published_name_asks_for_the_published_list(downloads):
    with pytest.raises(
        InputError,
        match=r"no list 'oslsm', because what was derived .*--lists, called DIR/oslsm\.txt, or "
        r"DIR/oslsm/fold0\.txt and so on; or take oslsm_",
    ):
        opened(downloads, train_list="oslsm")


def test_a_miniature_is_not_called_pascal5i(downloads):
    source = opened(downloads)["train"]
    assert (source.name, source.title) == ("pascal5i", "VOC folder: 6 photos")
    assert source.class_names[14] == "person"
    assert source.folds == tuple(tuple(range(5 * f + 1, 5 * f + 6)) for f in range(4))


def test_counts_are_printed_beside_the_known_ones_a_second_time_too(downloads, capsys, monkeypatch):
    monkeypatch.delattr(building, "_write")  # nothing is built anew
    assert run(downloads) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "VOC's train: photos: 2, known are 1,464: DIFFERENT",
        "SBD: photos: 4, known are 11,355: DIFFERENT",
        "SBD in VOC's Main/train: photos: 2, known are 5,623: DIFFERENT",
        "of these in VOC's train: photos: 1, known are 1,134: DIFFERENT",
        "list trainaug: photos: 4, known are 10,582: DIFFERENT",
        "list pfenet_derived: photos: 3, known are 5,953: DIFFERENT",
        "list val: photos: 2, known are 1,449: DIFFERENT",
        "list oslsm_derived: pairs of photo and class: 4, known are 13,680: DIFFERENT",
        "list oslsm_derived: photos of person: 0, known are 3,387: DIFFERENT",
        "val by OSLSM's rule: photos of bicycle: 1, known are 57: DIFFERENT",
    ):
        assert f"  {line}" in lines


@pytest.mark.slow
def test_worker_processes_build_the_same(downloads, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "CHUNK", 2)
    assert run(downloads, tfds_dir=tmp_path / "built", workers=2) == 0
    one, two = (opened(place)["train"] for place in (downloads, tmp_path / "elsewhere"))
    assert two.cache_dir != one.cache_dir
    assert two.version == one.version
    for position in range(len(TRAINAUG)):
        assert two.image(position).tobytes() == one.image(position).tobytes()
        np.testing.assert_array_equal(two.mask(position, (20, 3), 1), one.mask(position, (20, 3), 1))


def unpacked(folder):
    write_folder(folder, voc_archives.voc_files() | voc_archives.sbd_files())


def inside_vocdevkit(folder):
    write_folder(folder, {name.removeprefix("VOCdevkit/"): c for name, c in voc_archives.voc_files().items()})
    write_folder(folder, augmented("VOC2012/SegmentationClassAug/"))


def augmented_alone(folder):
    files = {name.removeprefix(IN_VOC): c for name, c in voc_archives.voc_files().items()}
    write_folder(folder, {name: c for name, c in files.items() if "SegmentationClass/" not in name})
    write_folder(folder, augmented())


def zip_beside_the_tar(folder):
    write_archives(folder)
    (folder / voc_archives.SBD_TGZ).unlink()
    write_zip(folder / "SegmentationClassAug.zip", augmented())


def flat_zip_in_the_folder(folder):
    write_folder(folder, voc_archives.voc_files())
    write_zip(folder / "VOCdevkit/VOC2012/SegmentationClassAug.zip", augmented(""))


@pytest.mark.parametrize(
    "layout", [unpacked, inside_vocdevkit, augmented_alone, zip_beside_the_tar, flat_zip_in_the_folder]
)
def test_other_layouts_hold_the_same(downloads, tmp_path, layout):
    folder = tmp_path / "other"
    folder.mkdir()
    layout(folder)
    assert run(folder) == 0
    for train_list in ("trainaug", "pfenet_derived", "oslsm_derived"):
        fields = {"train_list": train_list}
        expected, found = opened(downloads, **fields), opened(folder, **fields)
        for split in ("train", "test"):
            assert found[split].ids == expected[split].ids
            labels = labels_in(expected[split])
            for id, mask in labels_in(found[split]).items():
                np.testing.assert_array_equal(mask, labels[id])


def test_vocs_own_masks_win_over_augmented_ones(tmp_path):
    folder = tmp_path / "voc"
    inside_vocdevkit(folder)
    write_folder(folder, {f"VOC2012/SegmentationClassAug/{TRAIN[0]}.png": mask_png(0 * truth(TRAIN[0]))})
    assert run(folder) == 0
    np.testing.assert_array_equal(labels_in(opened(folder)["train"])[TRAIN[0]], truth(TRAIN[0]))


def test_the_version_follows_photos_masks_and_lists_but_not_the_place(downloads, tmp_path):
    folder = tmp_path / "voc"
    write_folder(folder, voc_archives.voc_files())
    (folder / voc_archives.SBD_TGZ).write_bytes((downloads / voc_archives.SBD_TGZ).read_bytes())
    version = pascal5i.plan(folder).version
    assert version == opened(downloads)["train"].version
    (folder / IN_VOC / "JPEGImages" / f"{GREY}.jpg").write_bytes(jpeg(GREY) + b"\0")
    versions = {version, pascal5i.plan(folder).version}
    (folder / IN_VOC / "SegmentationClass" / f"{VAL[0]}.png").write_bytes(mask_png(0 * truth(VAL[0])))
    versions.add(pascal5i.plan(folder).version)
    (folder / IN_VOC / "ImageSets/Segmentation/val.txt").write_text(VAL[0])
    assert len({*versions, pascal5i.plan(folder).version}) == 4


def test_nothing_is_unpacked_to_the_disk(downloads):
    assert sorted(path.name for path in downloads.iterdir()) == sorted(
        (voc_archives.VOC_TAR, voc_archives.SBD_TGZ)
    )
    assert not list(downloads.parent.rglob("*.mat"))
