"""FSSDINO on COCO-20i, by the protocol that it is published under: no training.

    python -m datasets.prepare --dataset=coco20i --manual_dir=COCO --year=2014
    python eval.py --config=configs/fssdino_coco.py:fold=0 --out=runs/fssdino_coco_fold0

The published figure, 58.5, is of DINOv3 (its code's default is ViT-B/16, one-shot); here the weights are a
ResNet-50's. Its protocol is not comparable with others (docs/protocols.md). Nobody has run this here.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default, follow


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`, the shots being the evaluation's."""
    config = default()
    config.data.name = "coco20i"
    config.data.train_list = "train"
    follow(config, "fssdino")  # longer sides of 512, scored at the photos' sizes on val

    config.model.name = "fssdino"
    config.model.backbone = "resnet50"
    config.model.weights = "imagenet"
    config.train.steps = 0

    config.eval.rows = ("frozen_fusion0", "frozen_fusion2", "prototypes", "fssdino")
    return apply(config, argument, parts=("eval",))
