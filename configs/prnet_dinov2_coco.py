"""PRNet without training on COCO-20i: its prototypes and fusion on a frozen DINOv2-small at 518x518.

    python -m datasets.prepare --dataset=coco20i --manual_dir=COCO --year=2014
    python eval.py --config=configs/prnet_dinov2_coco.py:fold=0 --out=runs/prnet_dinov2_coco_fold0

Episodes and labels are those of DPNet's protocol (1,000 of val, scored at the photos' sizes, interleaved
folds), so that its table and configs/dpnet_dinov2_coco.py compare; the input, 37 x 37 patches, is this
network's own. No class is learned, but DINOv2 saw 142 million photos, without labels: not comparable with
networks that saw ImageNet alone. The weights are under the Apache-2.0 licence, and
fetched once. No weights were at hand here: its accuracy was not run.

Adaptation (Eq. 6) is a row of its own, of scales, biases and LayerScale alone, or of the last blocks:
`--config.eval.rows=fusion0,fusion2,adapted`, and `--config.eval.adapt.parameters=last_stage` for the latter.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default, follow


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.data.name = "coco20i"
    config.data.split = "interleaved"
    config.data.min_area = "pfenet"
    follow(config, "dpnet")

    config.model.backbone = "dinov2_small"
    config.model.weights = "dinov2-small"

    config.train.steps = 0
    config.train.size = config.eval.size = 518  # 37 patches of 14 pixels, as in DINOv2's own training
    config.eval.rows = ("fusion0", "fusion1", "fusion2", "fssdino")
    config.eval.variants = ("gram=true",)
    config.eval.adapt.parameters = "norm_affine"
    return apply(config, argument)
