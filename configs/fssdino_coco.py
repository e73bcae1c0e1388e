"""FSSDINO on COCO-20i, by the protocol that it is published under: no training.

    python -m datasets.prepare --dataset=coco20i --manual_dir=COCO --year=2014
    python eval.py --config=configs/fssdino_coco.py:fold=0 --out=runs/fssdino_coco_fold0

The published figure is 58.5 (its code's default is this network, ViT-B/16, one-shot). Its protocol is not
comparable with others (docs/protocols.md). The weights are under the DINOv3 License, and fetched once. None
were at hand here: its accuracy was not run.
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
    config.model.backbone = "dinov3_base"
    config.model.backbone_options.update(final_norm=False)
    config.model.weights = "dinov3-base"
    config.train.steps = 0

    config.eval.rows = ("frozen_fusion0", "frozen_fusion2", "prototypes", "fssdino")
    return apply(config, argument, parts=("eval",))
