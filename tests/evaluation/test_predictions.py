"""Masks of other programs: counted as NumPy counts them, and read as they are or not at all."""

import hashlib
import os
import struct
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fsjax.data.images import InputSettings
from fsjax.errors import InputError
from fsjax.evaluation.predictions import count_predictions, file_name, truth_of
from tests.evaluation.episodes import SOURCE, Toy, drawn

INPUTS = {
    "square": InputSettings(32),
    "longside": InputSettings(40, input="longside"),
    "original": InputSettings(32, label="original"),
}
CASES = {"one way": {}, "three ways, five queries": {"ways": 3, "shots": 2, "queries": 5}}


def png(values, depth=8, color=0):
    """Returns a PNG written without Pillow: of grey values (0), or of entries of a palette (3)."""
    height, width = values.shape
    bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :].reshape(height, -1)
    lines = b"".join(b"\0" + np.packbits(line).tobytes() for line in bits)

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    palette = chunk(b"PLTE", bytes(range(250, 250 - 3 * 2**depth, -1)[: 3 * 2**depth])) if depth < 8 else b""
    if color == 3 and depth == 8:
        palette = chunk(b"PLTE", bytes(768))
    pixels = chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + header + (palette if color == 3 else b"") + pixels + chunk(b"IEND", b"")


def expected_truth(spec, query, settings):
    """The truth at the size that is scored, by Pillow: no object of these is so small that it vanishes."""
    labels, mask = SOURCE.labels(query), np.zeros(SOURCE.size(query), np.uint8)
    for way, class_id in enumerate(spec.class_ids, 1):
        mask[labels == class_id] = way
    mask[labels == 255] = 255
    mask[:4] = 255  # as `Toy` has it
    height, width = mask.shape
    if settings.label == "input":
        scale = settings.size / max(mask.shape)
        longside = max(1, round(width * scale)), max(1, round(height * scale))
        size = longside if settings.input == "longside" else (settings.size, settings.size)
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return mask


@pytest.fixture
def written(tmp_path):
    """Writes random masks of episodes at the truths' sizes; returns the folder and what NumPy counts."""

    def write(specs, settings):
        rng, counts = np.random.default_rng(3), []
        for spec in specs:
            matrices = []
            for t, query in enumerate(spec.query):
                truth, ways = expected_truth(spec, query, settings), len(spec.class_ids)
                mask = rng.integers(0, ways + 1, truth.shape, np.uint8)
                Image.fromarray(mask).save(tmp_path / file_name(spec.index, t, len(spec.query)))
                rows = [*range(ways + 1), 255]
                matrices.append([[((truth == r) & (mask == c)).sum() for c in range(ways + 1)] for r in rows])
            counts.append(matrices)
        return tmp_path, counts

    return write


@pytest.mark.parametrize("draw", CASES.values(), ids=CASES)
@pytest.mark.parametrize("settings", INPUTS.values(), ids=INPUTS)
def test_the_counts_are_those_of_numpy(written, settings, draw):
    specs = [s for s in drawn(12, **draw) if SOURCE.tiny not in s.query]
    folder, counts = written(specs, settings)
    found = count_predictions(folder, specs, SOURCE, settings)
    assert [matrices.tolist() for matrices in found.matrices] == counts
    assert np.array(counts)[..., -1, :].sum() > 0, "there is void to be counted"
    assert found.masks == len(specs) * len(specs[0].query)


def test_the_hash_is_that_of_sha256sum(written):
    specs = drawn(3)
    folder, _ = written(specs, INPUTS["original"])
    lines = b""
    for path in sorted(folder.iterdir()):
        lines += hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"  " + path.name.encode() + b"\n"
    (folder / "notes.txt").write_text("not a mask")
    found = count_predictions(folder, specs[::-1], SOURCE, INPUTS["original"])
    assert found.sha256 == hashlib.sha256(lines).hexdigest()


def test_an_object_that_a_resize_would_erase_is_scored():
    truth = truth_of(SOURCE, SOURCE.tiny, (1,), INPUTS["square"])
    assert (truth == 1).sum() == 1


def test_a_truth_is_read_once_for_a_choice_of_classes(written):
    class Counting(Toy):
        def __init__(self):
            super().__init__()
            self.read = Counter()

        def mask(self, position, class_ids, way):
            self.read[position, tuple(class_ids)] += 1
            return super().mask(position, class_ids, way)

    source, specs = Counting(), drawn(40, ways=2)
    folder, _ = written(specs, INPUTS["original"])
    count_predictions(folder, specs, source, INPUTS["original"])
    queries = {(spec.query[0], spec.class_ids) for spec in specs}
    assert len(queries) < len(specs)
    assert source.read == Counter(queries)


@pytest.fixture
def single(written):
    """An episode of three ways, its folder, the path of its mask, and a function that counts it."""
    (spec,) = drawn(1, ways=3)
    folder, counts = written([spec], INPUTS["original"])
    path = folder / file_name(spec.index, 0, 1)
    mask = np.asarray(Image.open(path))
    return mask, path, lambda: count_predictions(folder, [spec], SOURCE, INPUTS["original"]), counts


@pytest.mark.parametrize(("color", "depth"), [(0, 2), (0, 4), (0, 8), (3, 2), (3, 4), (3, 8)])
def test_values_are_read_as_they_are_written(single, color, depth):
    mask, path, count, counts = single
    path.write_bytes(png(mask, depth, color))
    assert count().matrices[0].tolist() == counts[0]


def test_masks_of_one_bit_are_read(single):
    mask, path, count, _ = single
    Image.fromarray(mask == 2).save(path)
    with Image.open(path) as image:
        assert image.mode == "1"
    (matrix,) = count().matrices[0]
    assert matrix[:, :2].sum() == mask.size
    assert matrix[:, 1].sum() == (mask == 2).sum()


def folder_in_its_place(path, mask):
    path.unlink()
    path.mkdir()


def pipe_in_its_place(path, mask):
    path.unlink()
    os.mkfifo(path)


def saved(array):
    return lambda path, mask: Image.fromarray(array(mask)).save(path)


def changed(change):
    return lambda path, mask: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path, mask: path.unlink(), "lacks 1 of 1 masks, such as 000000.png of the episode with the"),
        (lambda path, mask: path.rename(path.with_name("0.png")), "other names are 1, such as 0.png: write"),
        (
            saved(lambda mask: mask[1:]),
            r"\d+x\d+ pixels \(height x width\) and its truth is \d+x\d+, as eval",
        ),
        (saved(lambda mask: mask + np.uint8(1)), "has the value 4, and its episode has 3 ways: write 0 for"),
        (saved(lambda mask: np.where(mask, np.uint8(255), mask)), "has the value 255, and its episode"),
        (saved(lambda mask: np.stack([mask] * 3, -1)), "more than one value of 8 bits a pixel: write a pal"),
        (saved(lambda mask: mask.astype(np.uint16)), "more than one value of 8 bits a pixel"),
        (changed(lambda png: png[:-1]), "000000.png is damaged or cut short: write it again"),
        (changed(lambda png: png[:60] + bytes([png[60] ^ 1]) + png[61:]), "is damaged or cut short"),
        (changed(lambda png: png[:20]), "000000.png is no PNG: write"),
        (changed(lambda png: b""), "000000.png is no PNG: write"),
        (lambda path, mask: path.write_bytes(b"\xff\xd8\xff\xe0 of a JPEG" * 9), "000000.png is no PNG"),
        (folder_in_its_place, "is a folder, a pipe or a broken link: put the PNG in its place"),
        (pipe_in_its_place, "is a folder, a pipe or a broken link: put the PNG in its place"),
    ],
)
def test_what_is_no_mask_is_refused(single, harm, said):
    mask, path, count, _ = single
    harm(path, mask)
    with pytest.raises(InputError, match=said):
        count()


def test_no_damage_of_a_mask_passes(single):
    _, path, count, _ = single
    sound = path.read_bytes()
    for place in range(0, len(sound), 7):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        with pytest.raises(InputError, match=r"is damaged|is no PNG|pixels \(height|value of 8 bits"):
            count()


def test_a_png_whose_pixels_cannot_be_unpacked_is_refused(single, monkeypatch):
    mask, path, count, _ = single
    path.write_bytes(png(mask).replace(b"IDAT", b"iDOT"))
    with pytest.raises(InputError, match="is damaged or cut short"):
        count()
    monkeypatch.setattr(zlib, "compress", lambda lines: b"x\x9c" + b"\xff" * 30)
    path.write_bytes(png(mask))  # its checksums are right
    with pytest.raises(InputError, match="is no sound PNG"):
        count()


def test_pngs_of_no_episode_are_told_of(written, caplog):
    specs = drawn(3)
    folder, _ = written(specs, INPUTS["original"])
    count_predictions(folder, specs[:1], SOURCE, INPUTS["original"])
    assert f"Of no episode are 2 PNGs in {folder}, such as 000001.png." in caplog.messages


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for folder in (tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=f"The folder of predictions {folder} cannot be read"):
            count_predictions(folder, drawn(1), SOURCE, INPUTS["original"])
