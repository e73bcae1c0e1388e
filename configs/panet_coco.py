"""PANet on COCO-20i, as its paper and its code train and test it (VGG-16, 417x417, one episode a step).

    python -m datasets.prepare --dataset=coco20i --manual_dir=COCO --year=2014
    python train.py --config=configs/panet_coco.py:fold=0 --workdir=runs/panet_coco_fold0

Folds are contiguous, PRNet's split-A, for which the paper (Wang and others, ICCV 2019) reports a mean-IoU of
20.9 (1-shot) and 29.7 (5-shot) over the four; for 5-shot it trains another model, with shots=5 behind the
colon. Nobody has run this configuration to its end here. On a ResNet: --config.model.backbone=resnet50 and a
--workdir of its own.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default, follow


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.data.name = "coco20i"
    config.data.split = "contiguous"
    config.data.train_list = "train"
    follow(config, "panet")  # train is tested, too, as its code does; "val" is the cleaner test

    config.model.backbone = "vgg16"
    config.model.weights = "imagenet"
    config.model.support_loss = "panet"

    config.train.learning_rate = 1e-3
    config.train.milestones = (10_000, 20_000)
    config.train.support_void = "background"  # COCO has no void; other data under this name may

    config.eval.rows = ("fusion0",)  # prototypes as they are: PANet has no refinement
    return apply(config, argument)
