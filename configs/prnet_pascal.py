"""PRNet on PASCAL-5i, as its paper trains and tests it (ResNet-101, 417x417, one episode a step).

    python -m datasets.prepare --dataset=pascal5i --manual_dir=DOWNLOADS
    python train.py --config=configs/prnet_pascal.py:fold=0

The paper reports a mean-IoU of 53.40 (1-shot) and 60.56 (5-shot) over the four folds, with adaptation and
both stages of fusion; nobody has run this configuration to its end here.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default, follow


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.data.name = "pascal5i"
    config.data.train_list = "trainaug"
    follow(config, "panet")  # trainaug is tested, too, as most likely in the paper; "val" is the cleaner test
    config.model.weights = "imagenet"
    config.train.support_void = "background"  # as in PANet's code, which PRNet's builds on; queries keep void
    config.eval.rows = ("fusion0", "fusion1", "fusion2", "adapted")
    return apply(config, argument)
