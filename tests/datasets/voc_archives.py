"""A miniature of VOC 2012 and SBD in their archives' own formats."""

import io
import tarfile
import zipfile
from types import SimpleNamespace

import numpy as np
import scipy.io
import scipy.sparse
from PIL import Image

import datasets
from datasets import prepare
from tests.voc import mask_png

VOC_TAR, SBD_TGZ = "VOCtrainval_11-May-2012.tar", "benchmark.tgz"
IN_VOC, IN_SBD = "VOCdevkit/VOC2012/", "benchmark_RELEASE/dataset/"

TRAIN = ["2007_000032", "2008_000002"]
VAL = ["2007_000033", "2008_000005"]
MAIN_TRAIN = ["2008_000002", "2008_000003", "2008_000009"]
SBD_TRAIN = ["2008_000003", "2008_000002"]
SBD_VAL = ["2008_000006", "2008_000005"]
GREY, CMYK = "2008_000003", "2008_000006"

PHOTOS = sorted({*TRAIN, *VAL, *SBD_TRAIN, *SBD_VAL})
TRAINAUG = [*TRAIN, "2008_000003", "2008_000006"]
ALL = range(1, 21)


def size_of(id):
    """Height and width of a photo, each of its own."""
    number = PHOTOS.index(id)
    return 128 + 3 * number, 160 - 5 * number


def voc_labels(id):
    """A photo's class ids as VOC draws them: two objects, one too small for OSLSM, with void borders."""
    labels = np.zeros(size_of(id), np.uint8)
    labels[4:70, 4:70], labels[5:69, 5:69] = 255, PHOTOS.index(id) + 1
    labels[80:92, 70:82], labels[81:91, 71:81] = 255, 20
    return labels


def sbd_labels(id):
    """The same as SBD has it: no void, and other pixels."""
    labels = np.zeros(size_of(id), np.uint8)
    labels[5:70, 5:70] = PHOTOS.index(id) + 1
    labels[81:90, 71:82] = 20
    return labels


def truth(id):
    """What a data set must hold."""
    return voc_labels(id) if id in (*TRAIN, *VAL) else sbd_labels(id)


def mat(labels):
    """A mask as SBD stores it: a struct of boundaries, one sparse matrix a class, and the class ids."""
    boundaries = np.empty((20, 1), object)
    for class_id in ALL:
        shown = np.pad(labels == class_id, 1)
        inner = shown[:-2, 1:-1] & shown[2:, 1:-1] & shown[1:-1, :-2] & shown[1:-1, 2:]
        boundaries[class_id - 1, 0] = scipy.sparse.csc_matrix((shown[1:-1, 1:-1] & ~inner).astype(float))
    present = np.unique(labels[labels > 0]).astype(float)[:, None]
    struct = {"Boundaries": boundaries, "Segmentation": labels, "CategoriesPresent": present}
    encoded = io.BytesIO()
    scipy.io.savemat(encoded, {"GTcls": struct}, do_compression=True)
    return encoded.getvalue()


def jpeg(id):
    """A photo's bytes; one is grey, one has the four colours of print."""
    mode = {GREY: "L", CMYK: "CMYK"}.get(id, "RGB")
    height, width = size_of(id)
    pixels = np.random.default_rng(PHOTOS.index(id)).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).convert(mode).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def lines(ids):
    """A list's bytes."""
    return "".join(f"{id}\n" for id in ids).encode()


def voc_files():
    """The files of VOC's archive by their names in it."""
    files = {f"JPEGImages/{id}.jpg": jpeg(id) for id in PHOTOS}
    files |= {f"SegmentationClass/{id}.png": mask_png(voc_labels(id)) for id in (*TRAIN, *VAL)}
    files |= {f"Annotations/{TRAIN[0]}.xml": b"<annotation/>"}
    sets = {"Segmentation/train": TRAIN, "Segmentation/val": VAL, "Main/train": MAIN_TRAIN}
    files |= {f"ImageSets/{name}.txt": lines(ids) for name, ids in sets.items()}
    return {IN_VOC + name: content for name, content in files.items()}


def sbd_files():
    """The files of SBD's archive by their names in it."""
    files = {f"cls/{id}.mat": mat(sbd_labels(id)) for id in (*SBD_TRAIN, *SBD_VAL)}
    files |= {f"img/{id}.jpg": jpeg(id) for id in (*SBD_TRAIN, *SBD_VAL)}
    files |= {"train.txt": lines(SBD_TRAIN), "val.txt": lines(SBD_VAL)}
    return {IN_SBD + name: content for name, content in files.items()}


def write_tar(path, files, mode="w"):
    """Packs files, with their folders as members of their own."""
    with tarfile.open(path, mode) as tar:
        for name in sorted({f"{name.rpartition('/')[0]}" for name in files}):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_zip(path, files):
    """Packs files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def write_folder(root, files):
    """Writes files below a folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def write_archives(folder, voc=None, sbd=None):
    """Writes both archives as they are downloaded."""
    folder.mkdir(exist_ok=True)
    write_tar(folder / VOC_TAR, voc or voc_files())
    write_tar(folder / SBD_TGZ, sbd or sbd_files(), "w:gz")
    return folder


def run(folder, **flags):
    """Returns the exit code of `datasets.prepare` for a folder, beside which the data set will be."""
    given = {"dataset": "pascal5i", "manual_dir": folder, "tfds_dir": folder.parent / "built", "workers": 0}
    return prepare.main(["prepare", *(f"--{name}={value}" for name, value in (given | flags).items())])


def opened(folder, **fields):
    """Opens the data set that was prepared beside a folder."""
    config = {
        "name": "pascal5i", "tfds_dir": str(folder.parent / "built"), "train_list": "", "test_list": "",
        "split": "", "folds": (), "leave_out": (), "fold_count": 4, "fold_seed": 0,
    }  # fmt: skip
    return datasets.load(SimpleNamespace(**config | fields))


def labels_in(source):
    """Returns the class ids of every photo of a list, by its id."""
    return {id: source.mask(position, ALL, None) for position, id in enumerate(source.ids)}
