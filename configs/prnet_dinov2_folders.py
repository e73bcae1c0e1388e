"""PRNet without training on your own photos: its prototypes and fusion on a frozen DINOv2-small at 518x518.

    python -m datasets.prepare --dataset=folders --manual_dir=MY_PHOTOS --name=mydata
    python eval.py --config=configs/prnet_dinov2_folders.py:fold=0 --out=runs/prnet_dinov2_mydata_fold0

The classes are dealt to two folds, of which the one that is named is tested; nothing is learned of the other.
The numbers compare with configs/dpnet_dinov2_folders.py and configs/prnet_folders.py on the same photos. The
weights are under the Apache-2.0 licence, and fetched once. No weights were at hand here: its accuracy was not
run.

Adaptation (Eq. 6) is a row of its own, of scales, biases and LayerScale alone, or of the last blocks:
`--config.eval.rows=fusion0,fusion2,adapted`, and `--config.eval.adapt.parameters=last_stage` for the latter.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.data.name = "mydata"
    config.data.split = "drawn"
    config.data.fold_count = 2
    # In place of drawn folds, the classes of each: config.data.folds = (("cat", "cow"), ("dog", "horse"))

    config.model.backbone = "dinov2_small"
    config.model.weights = "dinov2-small"

    config.train.steps = 0
    config.train.size = config.eval.size = 518  # 37 patches of 14 pixels, as in DINOv2's own training
    config.eval.label = "original"
    config.eval.runs, config.eval.episodes, config.eval.adapt_episodes = 5, 200, 20
    config.eval.rows = ("fusion0", "fusion1", "fusion2", "fssdino")
    config.eval.variants = ("gram=true",)
    config.eval.adapt.parameters = "norm_affine"
    return apply(config, argument)
