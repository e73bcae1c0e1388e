"""DPNet on PASCAL-5i as its paper runs it: frozen ResNet-50 to stage 3, 321x321, batches of 4, 200 epochs.

    python -m datasets.prepare --dataset=pascal5i --manual_dir=DOWNLOADS
    python train.py --config=configs/dpnet_pascal.py:fold=0

The list oslsm holds CANet's 10,092 photos, and its rule for small objects holds in the test, too. Give
`--config.eval.scales=0.7,1.0,1.3` for the paper's multi-scale inference. Results hold CANet's metric, where
void counts as background, and beside it PFENet's, where it is ignored.

By CANet's metric the paper reports a mean-IoU of 58.0 (1-shot) and 61.0 (5-shot) over the four folds at one
scale, 58.7 and 62.0 at three; nobody has run this configuration to its end here.
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
    follow(config, "dpnet")  # 321x321, scored at the photos' sizes on val, by CANet's metric

    config.model.name = "dpnet"
    config.model.backbone = "resnet50"
    config.model.backbone_options.stages = 3
    config.model.backbone_options.first_block_dilation = "stage"
    config.model.weights = "imagenet"

    config.train.policy = "pair_epoch"
    config.train.size = 321
    config.train.crop, config.train.rotate = 1.5, 10.0
    config.train.epochs = 200
    config.train.reference_batch_size = 4
    config.train.learning_rate = 0.0025
    config.train.schedule = "constant"

    config.eval.rows = ("aux", "master")
    return apply(config, argument, parts=("eval",))
