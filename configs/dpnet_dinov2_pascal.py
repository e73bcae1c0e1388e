"""DPNet on PASCAL-5i over a frozen DINOv2-small at 518x518: its head is trained, from cached features.

    python -m datasets.prepare --dataset=pascal5i --manual_dir=DOWNLOADS
    python train.py --config=configs/dpnet_dinov2_pascal.py:fold=0

Lists, episodes and metrics are those of DPNet's paper (configs/dpnet_pascal.py), which reports a mean-IoU of
58.0 (1-shot) and 61.0 (5-shot) on ResNet-50 at 321x321; here photos are neither cropped nor rotated, so that
each runs through the backbone once, and the features are another network's, which saw 142 million photos
without labels: not comparable. Cached features take 4 MB a photo, with its mirror image. Weights are under
the Apache-2.0 licence, and fetched once. No weights were at hand here: its accuracy was not run.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default, follow


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`, the shots being the evaluation's."""
    config = default()
    config.batch_size = 4
    config.data.name = "pascal5i"
    config.data.train_list = "oslsm"
    config.data.min_area = "oslsm"
    follow(config, "dpnet")

    config.model.name = "dpnet"
    config.model.backbone = "dinov2_small"
    config.model.weights = "dinov2-small"

    config.train.policy = "pair_epoch"
    config.train.cached_features = True
    config.train.epochs = 200
    config.train.reference_batch_size = 4
    config.train.learning_rate = 0.0025
    config.train.schedule = "constant"

    config.train.size = config.eval.size = 518  # 37 patches of 14 pixels, as in DINOv2's own training
    config.eval.rows = ("frozen_fusion0", "aux", "master")
    return apply(config, argument, parts=("eval",))
