"""Configurations of runs that take seconds, and the data that they run on."""

from tests.config.changed import changed
from tests.toy import ToySource

PRNET = {
    "batch_size": 2,
    "model.backbone": "small",
    "model.backbone_options.widths": (4, 4, 8),
    "train.ways": 2,
    "train.size": 32,
    "train.steps": 6,
    "train.learning_rate": 0.02,
    "train.milestones": (2, 4),
    "train.log_every": 1,
    "train.checkpoint_every": 3,
    "eval.size": 32,
    "eval.runs": 1,
    "eval.episodes": 6,
    "eval.adapt_episodes": 2,
    "eval.batch_size": 1,
    "eval.pictures": 0,
}
"""Six steps of two episodes, a checkpoint after every third."""

DPNET = {
    **PRNET,
    "model.name": "dpnet",
    "model.weights": "random",
    "model.dpnet.width": 6,
    "model.dpnet.dis_hidden": 5,
    "model.dpnet.pim_hidden": 4,
    "model.dpnet.rates": (1,),
    "model.dpnet.alpha_init": 0.5,
    "train.ways": 1,
    "train.steps": 4,
    "train.schedule": "constant",
    "train.learning_rate": 0.01,
    "train.checkpoint_every": 2,
    "eval.rows": ("aux", "master"),
}
"""Four steps over a frozen backbone, a checkpoint after every second."""

FSSDINO = {
    **PRNET,
    "model.name": "fssdino",
    "model.weights": "random",
    "train.steps": 0,
    "eval.rows": ("prototypes", "fssdino"),
}
"""It has no steps."""


def prnet_config(values=None):
    """PRNET's configuration with some fields, named as in the table, replaced."""
    return changed({**PRNET, **(values or {})})


def dpnet_config(values=None):
    """DPNET's configuration with some fields, named as in the table, replaced."""
    return changed({**DPNET, **(values or {})})


def fssdino_config(values=None):
    """FSSDINO's configuration with some fields, named as in the table, replaced."""
    return changed({**FSSDINO, **(values or {})})


def toy_sources(folder):
    """Both splits are the same photos; the class index is kept in a folder."""
    return {"train": ToySource(folder), "test": ToySource(folder)}


def held_out_source(folder):
    """Photos that none of `toy_sources` trains on, in a list of their own."""
    source = ToySource(folder, n=36, seed=1)
    source.split, source.ids = "val", [f"val_{position:03d}" for position in range(36)]
    return source
