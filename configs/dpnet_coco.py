"""DPNet on COCO-20i as its paper runs it: 641x641, 20 epochs of eight episodes, interleaved folds.

    python -m datasets.prepare --dataset=coco20i --manual_dir=COCO --year=2014
    python train.py --config=configs/dpnet_coco.py:fold=0

The paper reports a mean-IoU of 37.2 (1-shot) and 42.9 (5-shot) over the four folds; nobody has run this
configuration to its end here.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default, follow


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`, the shots being the evaluation's."""
    config = default()
    config.batch_size = 8
    config.data.name = "coco20i"
    config.data.split = "interleaved"
    config.data.train_list = "train"
    config.data.min_area = "pfenet"
    follow(config, "dpnet")  # 641x641, scored at the photos' sizes on val

    config.model.name = "dpnet"
    config.model.backbone = "resnet50"
    config.model.backbone_options.stages = 3
    config.model.backbone_options.first_block_dilation = "stage"
    config.model.weights = "imagenet"

    config.train.policy = "pair_epoch"
    config.train.size = 641
    config.train.crop, config.train.rotate = 1.5, 10.0
    config.train.epochs = 20
    config.train.reference_batch_size = 8
    config.train.learning_rate = 0.005
    config.train.schedule = "constant"

    config.eval.rows = ("aux", "master")
    return apply(config, argument, parts=("eval",))
