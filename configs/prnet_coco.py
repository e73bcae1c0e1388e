"""PRNet on COCO-20i, as its paper trains and tests it (ResNet-101, 417x417, one episode a step).

    python -m datasets.prepare --dataset=coco20i --manual_dir=COCO --year=2014
    python train.py --config=configs/prnet_coco.py:fold=0

Folds are interleaved, the paper's split-B, where it reports a mean-IoU of 34.29 (1-shot) and 41.05 (5-shot)
over the four; add --config.data.split=contiguous and a --workdir of its own for its split-A, 28.53 and 36.03.
Both are with adaptation and both stages of fusion; nobody has run this configuration to its end here.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default, follow


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.data.name = "coco20i"
    config.data.split = "interleaved"
    config.data.train_list = "train"
    follow(config, "panet")  # train is tested, too, as most likely in the paper; "val" is the cleaner test
    config.model.weights = "imagenet"
    config.train.support_void = "background"  # as in PANet's code, which PRNet's builds on
    config.eval.rows = ("fusion0", "fusion1", "fusion2", "adapted")
    return apply(config, argument)
