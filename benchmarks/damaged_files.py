"""Sound and damaged files of every format that photos, masks and annotations have."""

import base64
import io
import json
import math
import random
import struct
import zlib

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from fsjax.data import photo_files

HEIGHT, WIDTH = 24, 40

LOOK = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
LOOK[4:14, 6:30] //= 4
GREY = LOOK[..., 0]
MASK = np.zeros((HEIGHT, WIDTH), np.uint8)
MASK[4:14, 6:30] = 255
RGBA = np.dstack([LOOK, MASK])


def encoded(values, format, mode=None, **options):
    """Returns the bytes of a picture."""
    file = io.BytesIO()
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(file, format, **options)
    return file.getvalue()


def png_chunk(kind, content):
    """Returns a piece of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(values, bits, colour, *, interlaced=False):
    """Returns a PNG as Pillow writes none: of 16 bits a colour, or interlaced."""
    starts = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    passes = [values[y::dy, x::dx] for y, x, dy, dx in starts] if interlaced else [values]
    order = ">u2" if bits == 16 else "u1"
    rows = b"".join(b"\0" + row.astype(order).tobytes() for part in passes for row in part)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, interlaced)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def animated(format, **options):
    """Returns an animation of three pictures."""
    file, (first, *others) = io.BytesIO(), [Image.fromarray(np.roll(LOOK, n, 0)) for n in range(3)]
    first.save(file, format, save_all=True, append_images=others, **options)
    return file.getvalue()


def turned():
    """Returns the EXIF tag of a photo that lies on its side."""
    exif = Image.Exif()
    exif[photo_files.ORIENTATION] = 6
    return exif


PICTURES = {
    "JPEG": lambda: encoded(LOOK, "JPEG", quality=90),
    "JPEG, progressive": lambda: encoded(LOOK, "JPEG", progressive=True),
    "JPEG, grey": lambda: encoded(GREY, "JPEG"),
    "JPEG, CMYK": lambda: encoded(LOOK, "JPEG", "CMYK"),
    "JPEG, on its side": lambda: encoded(LOOK, "JPEG", exif=turned()),
    "JPEG, two in one": lambda: animated("MPO"),
    "PNG, 1 bit": lambda: encoded(MASK > 0, "PNG"),
    "PNG, grey": lambda: encoded(MASK, "PNG"),
    "PNG, grey, opacity": lambda: encoded(RGBA, "PNG", "LA"),
    "PNG, 16 bits": lambda: encoded(GREY.astype(np.uint16) * 257, "PNG"),
    "PNG, RGB": lambda: encoded(LOOK, "PNG"),
    "PNG, RGB, 16 bits": lambda: png(LOOK.astype(np.uint16) * 257, 16, 2),
    "PNG, RGBA": lambda: encoded(RGBA, "PNG"),
    "PNG, palette": lambda: encoded(LOOK, "PNG", "P"),
    "PNG, palette of 4 bits": lambda: encoded(GREY % 7, "PNG", "P", bits=4, transparency=3),
    "PNG, interlaced": lambda: png(LOOK, 8, 2, interlaced=True),
    "PNG, on its side": lambda: encoded(LOOK, "PNG", exif=turned()),
    "WebP": lambda: encoded(LOOK, "WEBP"),
    "WebP, lossless": lambda: encoded(LOOK, "WEBP", lossless=True),
    "WebP, RGBA": lambda: encoded(RGBA, "WEBP"),
    "WebP, animated": lambda: animated("WEBP"),
    "TIFF": lambda: encoded(LOOK, "TIFF"),
    "TIFF, LZW": lambda: encoded(LOOK, "TIFF", compression="tiff_lzw"),
    "TIFF, deflate": lambda: encoded(RGBA, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, PackBits": lambda: encoded(MASK, "TIFF", compression="packbits"),
    "TIFF, JPEG": lambda: encoded(LOOK, "TIFF", compression="jpeg"),
    "TIFF, fax": lambda: encoded(MASK > 0, "TIFF", compression="group4"),
    "TIFF, 16 bits": lambda: encoded(GREY.astype(np.uint16) * 257, "TIFF"),
    "TIFF, floats": lambda: encoded(np.where(MASK, np.nan, np.inf).astype(np.float32), "TIFF"),
    "TIFF, 32 bits": lambda: encoded(GREY.astype(np.int32), "TIFF"),
    "TIFF, CMYK": lambda: encoded(LOOK, "TIFF", "CMYK"),
    "TIFF, on its side": lambda: encoded(LOOK, "TIFF", exif=turned()),
    "BMP": lambda: encoded(LOOK, "BMP"),
    "BMP, palette": lambda: encoded(LOOK, "BMP", "P"),
    "BMP, 1 bit": lambda: encoded(MASK > 0, "BMP"),
    "GIF": lambda: encoded(MASK, "GIF"),
    "GIF, animated": lambda: animated("GIF"),
    "PPM": lambda: encoded(LOOK, "PPM"),
    "PGM, 16 bits": lambda: encoded(GREY.astype(np.uint16) * 257, "PPM"),
    "PBM": lambda: encoded(MASK > 0, "PPM"),
}
"""How a sound file of each format is made."""


def labelme(*, photo_within=False):
    """Returns an annotation file of LabelMe's with every shape."""
    points = {"polygon": [[3, 3], [20.5, 4], [9, 17]], "rectangle": [[4, 5], [20, 15]]}
    points |= {"circle": [[20, 12], [24, 12]], "mask": [[5, 5], [14, 12]]}
    part = base64.b64encode(encoded(MASK[8:16, 20:30], "PNG")).decode()
    shapes = [
        {"label": f"a {kind}", "points": points[kind], "shape_type": kind, "group_id": None, "flags": {}}
        | {"mask": part if kind == "mask" else None}
        for kind in points
    ]
    data = base64.b64encode(encoded(LOOK, "JPEG")).decode() if photo_within else None
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    whole = {"version": "5.5.0", "shapes": shapes, "imagePath": "x.jpg", "imageData": data, **size}
    return json.dumps(whole, indent=2).encode()


def coco():
    """Returns an annotation file of COCO's kind with polygons, runs and a crowd."""
    polygon, runs = [[3, 3, 20.5, 4, 9, 17]], {"size": [HEIGHT, WIDTH], "counts": [100, 60, 800]}
    crowd = coco_mask.encode(np.asfortranarray(MASK // 255))["counts"].decode()
    outlines = (polygon, 0), (runs, 0), ({"size": [HEIGHT, WIDTH], "counts": crowd}, 1)
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1 + n % 2, "iscrowd": crowd, "segmentation": outline}
        for n, (outline, crowd) in enumerate(outlines)
    ]
    image = {"id": 1, "file_name": "x.jpg", "height": HEIGHT, "width": WIDTH}
    names = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    return json.dumps({"images": [image], "annotations": annotations, "categories": names}).encode()


ANNOTATIONS = {
    "LabelMe": labelme,
    "LabelMe, photo within": lambda: labelme(photo_within=True),
    "COCO": coco,
}
"""How a sound annotation file of each format is made; all but one are of the photo x.jpg."""


def damaged(sound, seed):
    """Returns a file that something has happened to: always the same for the same seed."""
    rng, content = random.Random(seed), bytearray(sound)
    reach = rng.choice([min(64, len(content)), len(content)])
    kind = rng.choice(["cut", "bits", "bits", "byte", "zeros", "out", "twice"])
    start = rng.randrange(reach)
    end = min(len(content), start + rng.randrange(1, 32))
    if kind == "cut":
        del content[start:]
    elif kind == "bits":
        for _ in range(rng.randrange(1, 9)):
            content[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        content[start] = rng.randrange(256)
    elif kind == "zeros":
        content[start:end] = bytes(end - start)
    elif kind == "out":
        del content[start:end]
    else:
        content[start:start] = content[start:end]
    mends = sound.startswith(b"\x89PNG") and rng.random() < 0.7
    return mended(bytes(content)) if mends else bytes(content)


def mutated(sound, seed):
    """Returns an annotation file with something odd in the place of one or two of its values."""
    rng, whole = random.Random(seed), json.loads(sound)
    for _ in range(rng.randrange(1, 3)):
        places = list(_places(whole))
        container, key = rng.choice(places)
        container[key] = rng.choice(
            [None, -1, 0, 1, 10**30, 1e308, math.nan, math.inf, True, "", "x", "../x", [], [[]], {}, [1, 2]]
        )
    return json.dumps(whole).encode()


def _places(value):
    """Yields every value in a JSON value, as what holds it and its key there."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def mended(content):
    """Returns a PNG whose pieces have right checksums, so that its readers look at what is in them."""
    whole, place = bytearray(content), 8
    while place + 12 <= len(whole):
        end = place + 8 + int.from_bytes(whole[place : place + 4], "big")
        if end + 4 > len(whole):
            break
        whole[end : end + 4] = struct.pack(">I", zlib.crc32(whole[place + 4 : end]))
        place = end + 4
    return bytes(whole)
