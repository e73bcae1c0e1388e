"""PANet on PASCAL-5i, as its paper and its code train and test it (VGG-16, 417x417, one episode a step).

    python -m datasets.prepare --dataset=pascal5i --manual_dir=DOWNLOADS
    python train.py --config=configs/panet_pascal.py:fold=0 --workdir=runs/panet_pascal_fold0

The paper (Wang and others, ICCV 2019) reports a mean-IoU of 48.1 (1-shot) and 55.7 (5-shot) over the four
folds; for 5-shot it trains another model, with shots=5 behind the colon. Nobody has run this configuration to
its end here. On a ResNet: --config.model.backbone=resnet50 and a --workdir of its own.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default, follow


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.data.name = "pascal5i"
    config.data.train_list = "trainaug"
    follow(config, "panet")  # trainaug is tested, too: the same images, of classes that were background

    config.model.backbone = "vgg16"
    config.model.weights = "imagenet"
    config.model.support_loss = "panet"

    config.train.learning_rate = 1e-3
    config.train.milestones = (10_000, 20_000)
    config.train.support_void = "background"  # its masks of supports are "not the class"; queries keep void

    config.eval.rows = ("fusion0",)  # prototypes as they are: PANet has no refinement
    return apply(config, argument)
