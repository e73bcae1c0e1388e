"""The programs on a miniature of VOC's folder: its classes and photos, its configuration, its results."""

import json

from datasets import pascal5i
from datasets.building import build

CLASSES = {"cat": 8, "cow": 10, "dog": 12, "horse": 13}
PHOTOS = [f"{name}_{number}" for number in range(3) for name in CLASSES]
ROWS = ("rgb", "fusion0", "fusion2")

CONFIG = """
from fsjax.config import apply
from tests.runs import prnet_config

def get_config(argument=""):
    config = prnet_config()
    config.fold = 1
    config.data.name, config.data.tfds_dir = "mini", "{root}/built"
    config.data.train_list = config.data.test_list = "all"
    config.data.folds = (("cat", "cow"), ("dog", "horse"))
    config.train.steps, config.train.checkpoint_every = 2, 1
    config.eval.runs, config.eval.episodes, config.eval.pictures = 2, 4, 2
    config.eval.rows = {rows}
    return apply(config, argument)
"""


def write_config(root):
    """Writes the configuration of two steps on the photos in a folder, `mini.py`."""
    (root / "mini.py").write_text(CONFIG.format(root=root, rows=ROWS))


def prepare(root, photos):
    """Prepares the photos that are named, out of the miniature in a folder, as the data set `mini`."""
    (root / "voc" / "all.txt").write_text("\n".join(photos))
    build(pascal5i.plan(root / "voc", lists=str(root / "voc")), "mini", root / "built", workers=0)


def start(program, *arguments):
    """Returns the exit code of a program."""
    return program.main([program.__file__, *map(str, arguments)])


def results(folder):
    """What results.json says."""
    return json.loads((folder / "results.json").read_text())


def scores(folder):
    """The rows of results.json, but for what they took."""
    return [
        {name: value for name, value in row.items() if name != "seconds"} for row in results(folder)["rows"]
    ]


def files(folder):
    """The contents of all files below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
