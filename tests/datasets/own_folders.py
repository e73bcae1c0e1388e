"""Folders as people have them, and what is prepared from them."""

import io
import zlib
from types import SimpleNamespace

import numpy as np
from PIL import Image

import datasets
from datasets import folders
from datasets.building import build

SETTINGS = {
    "train_list": "", "test_list": "", "split": "", "folds": (), "fold_count": 2, "fold_seed": 0,
    "leave_out": (),
}  # fmt: skip


def pixels(*shape, seed=0):
    """Random bytes of a shape."""
    return np.random.default_rng([seed, *shape]).integers(0, 256, shape, np.uint8)


def encoded(image, format="PNG", **options):
    """The bytes of an image, or of an array."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, format, **options)
    return stream.getvalue()


def decoded(photo):
    """What records make of a stored photo, uint8 [H, W, 3]."""
    return np.array(Image.open(io.BytesIO(photo.encoded)).convert("RGB"))


def save(path, image, **options):
    """Saves an image, or an array, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)


def box(height, width, seed=0):
    """A mask of one rectangle, bool [H, W]."""
    top, left = np.random.default_rng([seed, height, width]).integers(0, (height // 2, width // 2))
    mask = np.zeros((height, width), bool)
    mask[top : top + height // 2, left : left + width // 3] = True
    return mask


def white(mask):
    """A mask as FSS-1000 has them, RGB."""
    return np.repeat(np.uint8(255) * mask[..., None], 3, -1)


def paletted(indices, palette):
    """An image with a palette."""
    image = Image.fromarray(indices, "P")
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


def packed(values, bits):
    """A grey PNG of so few bits a value."""
    image = paletted(values, np.repeat(np.arange(1 << bits)[:, None] * (255 // ((1 << bits) - 1)), 3, 1))
    png = bytearray(encoded(image, bits=bits))
    return _grey_header(png)


def _grey_header(png):
    """Makes a PNG with a palette a grey one of the same values."""
    assert png[25] == 3
    png[25] = 0
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    start = png.index(b"PLTE") - 4
    del png[start : start + 12 + int.from_bytes(png[start : start + 4], "big")]
    return bytes(png)


def class_folders(root, names, photos=2, size=(20, 24)):
    """Makes folders of classes as FSS-1000 has them; returns each photo's mask by its id."""
    masks = {}
    for number, name in enumerate(names):
        for k in range(1, photos + 1):
            masks[f"{name}/{k}"] = box(*size, seed=100 * number + k)
            save(root / name / f"{k}.jpg", pixels(*size, 3, seed=k))
            save(root / name / f"{k}.png", white(masks[f"{name}/{k}"]))
    return masks


def labelled_folder(root, labels, images="images", masks="masks"):
    """Makes photos, PNGs, beside masks with the given labels, by the photos' ids."""
    for number, (id, of_photo) in enumerate(labels.items()):
        save(root / images / f"{id}.png", pixels(*of_photo.shape, 3, seed=number))
        save(root / masks / f"{id}.png", of_photo)


def prepared(root, tmp_path, *, name="mine", workers=0, options=None, **settings):
    """Prepares a folder and opens it; `options` are the plan's, `settings` those of `config.data`."""
    build(folders.plan(root, **(options or {})), name, tmp_path / "built", workers=workers)
    return load(tmp_path, name, **settings)


def load(tmp_path, name="mine", **settings):
    """Opens what was prepared."""
    fields = {"name": name, "tfds_dir": str(tmp_path / "built"), **SETTINGS, **settings}
    return datasets.load(SimpleNamespace(**fields))
