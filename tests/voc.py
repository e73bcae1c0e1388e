"""Writes miniatures of VOC's folder."""

import io

import numpy as np
from PIL import Image


def save_photo(root, name, pixels, labels):
    """Adds a photo, uint8 [H, W, 3], and its class ids, uint8 [H, W], to a folder."""
    for folder in ("JPEGImages", "SegmentationClassAug"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg")
    save_mask(root / "SegmentationClassAug" / f"{name}.png", labels)


def save_mask(path, labels):
    """Saves class ids as VOC does, with a palette; three channels are saved as colours."""
    path.write_bytes(mask_png(labels))


def mask_png(labels):
    """Encodes class ids as VOC does, with a palette; three channels are encoded as colours."""
    mask = Image.fromarray(labels, "P") if labels.ndim == 2 else Image.fromarray(labels)
    if mask.mode == "P":  # an index's colour is far from the index, and its grey value is another class
        mask.putpalette(np.random.default_rng(5).integers(0, 256, 768).tolist())
    encoded = io.BytesIO()
    mask.save(encoded, "PNG")
    return encoded.getvalue()
