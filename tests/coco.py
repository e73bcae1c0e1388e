"""COCO in miniature, in the formats of its archives: what tests prepare, and what pycocotools makes of it."""

import contextlib
import io
import json
import zipfile

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

ABSENT = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Of the ids 1 to 90."""

NAMES = """1 person 2 bicycle 3 car 4 motorcycle 5 airplane 6 bus 7 train 8 truck 9 boat 10 traffic light
11 fire hydrant 12 stop sign 13 parking meter 14 bench 15 bird 16 cat 17 dog 18 horse 19 sheep 20 cow
21 elephant 22 bear 23 zebra 24 giraffe 25 backpack 26 umbrella 27 handbag 28 tie 29 suitcase 30 frisbee
31 skis 32 snowboard 33 sports ball 34 kite 35 baseball bat 36 baseball glove 37 skateboard 38 surfboard
39 tennis racket 40 bottle 41 wine glass 42 cup 43 fork 44 knife 45 spoon 46 bowl 47 banana 48 apple
49 sandwich 50 orange 51 broccoli 52 carrot 53 hot dog 54 pizza 55 donut 56 cake 57 chair 58 couch
59 potted plant 60 bed 61 dining table 62 toilet 63 tv 64 laptop 65 mouse 66 remote 67 keyboard
68 cell phone 69 microwave 70 oven 71 toaster 72 sink 73 refrigerator 74 book 75 clock 76 vase 77 scissors
78 teddy bear 79 hair drier 80 toothbrush"""
"""Of the class ids, as the field lists them."""

CATEGORY_IDS = [id for id in range(1, 91) if id not in ABSENT]

PERSON, CAR, DOG, SHEEP, TOOTHBRUSH = 1, 3, 18, 20, 90
"""Ids of categories."""


def names():
    """Returns the class names in order."""
    words = NAMES.split()
    starts = [i for i, word in enumerate(words) if word.isdigit()]
    return [" ".join(words[a + 1 : b]) for a, b in zip(starts, [*starts[1:], len(words)], strict=True)]


def categories():
    rows = zip(CATEGORY_IDS, names(), strict=True)
    return [{"supercategory": "thing", "id": id, "name": name} for id, name in rows]


def jpeg(height, width, mode="RGB", seed=0):
    """Returns the bytes of a photo."""
    rng = np.random.default_rng((height, width, seed))
    small = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(small).resize((width, height)).convert(mode).save(encoded, "JPEG")
    return encoded.getvalue()


def box(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def runs(height, width, *rectangles, compressed):
    """Returns a segmentation by runs, of rectangles (top, left, bottom, right)."""
    mask = np.zeros((height, width), np.uint8, order="F")
    for top, left, bottom, right in rectangles:
        mask[top:bottom, left:right] = 1
    if compressed:
        return {"size": [height, width], "counts": coco_mask.encode(mask)["counts"].decode()}
    flat = mask.ravel(order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=0))
    return {"size": [height, width], "counts": np.diff([0, *starts, flat.size]).tolist()}


def instances(name="{:012}.jpg", first=1):
    """Returns an annotation file: five photos with everything that COCO's annotations have."""
    sizes = {1: (60, 80), 2: (75, 50), 3: (40, 40), 4: (48, 64), 5: (64, 48)}
    objects = [  # photo, category, whether a crowd, segmentation
        (1, PERSON, 0, [[10.5, 5.25, 40.0, 9.75, 52.5, 50.0, 30.0, 58.5, 12.0, 40.0]]),
        (1, DOG, 0, [box(2, 2, 12.5, 10), box(60.3, 40.2, 15, 12)]),  # two parts of one object
        (1, DOG, 0, [box(5, 8, 20, 20)]),  # over the first one and the person
        (1, CAR, 0, [box(70, 50, 9.9, 9.9)]),
        (2, PERSON, 1, runs(75, 50, (0, 0, 30, 50), (40, 10, 60, 30), compressed=False)),
        (2, PERSON, 0, [box(20, 20, 15, 30)]),
        (2, SHEEP, 0, runs(75, 50, (50, 5, 70, 45), (1, 1, 3, 3), compressed=True)),
        (4, DOG, 1, runs(48, 64, (3, 3, 40, 60), compressed=True)),  # nothing but a crowd
        (5, TOOTHBRUSH, 0, [[-1, -1, 20, 0, 49.5, 66, 4, 30]]),  # over the border
        (5, PERSON, 0, []),  # no outline
    ]
    return {
        "info": {"year": 2017},
        "licenses": [],
        "images": [
            {
                "id": first + n, "file_name": name.format(first + n), "height": height, "width": width,
                "license": 1, "coco_url": "", "date_captured": "",
            }
            for n, (height, width) in sizes.items()
        ],
        "annotations": [
            {
                "id": id, "image_id": first + photo, "category_id": category, "iscrowd": is_crowd,
                "segmentation": segmentation, "area": 1.0, "bbox": [0, 0, 1, 1],
            }
            for id, (photo, category, is_crowd, segmentation) in enumerate(objects, 100)
        ],
        "categories": categories(),
    }  # fmt: skip


MODES = {1: "CMYK", 2: "L"}
"""Of the photos that are not RGB, by their place in the file."""


def photos(annotated):
    """Returns the photos' bytes by their files' names."""
    return {
        image["file_name"]: jpeg(image["height"], image["width"], MODES.get(n, "RGB"), n)
        for n, image in enumerate(annotated["images"], 1)
    }


def write_photos(folder, name, contents, *, zipped, inside=None):
    """Writes photos into a folder, or into a zip of that name."""
    if zipped:
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for file, content in contents.items():
                archive.writestr(f"{name if inside is None else inside}/{file}".lstrip("/"), content)
        return
    for file, content in contents.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_benchmark(folder, year=2017, *, zipped=True):
    """Writes train and val of a year, as downloaded or unpacked; returns their annotation files."""
    files = {}
    for part, first in (("train", 0), ("val", 10)):
        name = "{:012}.jpg" if year == 2017 else f"COCO_{part}2014_{{:012}}.jpg"
        files[part] = instances(name, first)
        write_photos(folder, f"{part}{year}", photos(files[part]), zipped=zipped)
    texts = {f"annotations/instances_{part}{year}.json": json.dumps(file) for part, file in files.items()}
    if zipped:
        with zipfile.ZipFile(
            folder / f"annotations_trainval{year}.zip", "w", zipfile.ZIP_DEFLATED
        ) as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
        return files
    (folder / "annotations").mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
    return files


def write_piece(folder, annotated=None, **layout):
    """Writes one annotation file beside its photos; returns it."""
    annotated = instances() if annotated is None else annotated
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances_mine.json").write_text(json.dumps(annotated))
    write_photos(folder, "images", photos(annotated), **({"zipped": False} | layout))
    return annotated


def expected(path, crowd, with_crowds=False):
    """Returns of each photo's file the masks by class id, and the void pixels, as pycocotools has them.

    with_crowds: of those photos alone that have one.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
    class_ids = {id: n for n, id in enumerate(sorted(coco.getCatIds()), 1)}
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        masks, void = {}, np.zeros((image["height"], image["width"]), bool)
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        if with_crowds and not any(annotation["iscrowd"] for annotation in annotations):
            continue
        for annotation in annotations:
            if not annotation["segmentation"]:
                continue
            mask = coco.annToMask(annotation).astype(bool)
            if annotation["iscrowd"] and crowd == "void":
                void |= mask
            if not annotation["iscrowd"] or crowd == "include":
                class_id = class_ids[annotation["category_id"]]
                masks[class_id] = masks.get(class_id, False) | mask
        found[image["file_name"]] = masks, void
    return found
