"""DPNet on your own photos over a frozen DINOv2-small at 518x518: its head is trained, from cached features.

    python -m datasets.prepare --dataset=folders --manual_dir=MY_PHOTOS --name=mydata
    python train.py --config=configs/dpnet_dinov2_folders.py:fold=0

The classes are dealt to two folds, one for training and one for the test. The row frozen_fusion0 is what the
features do without training; the numbers compare with configs/prnet_dinov2_folders.py on the same photos.
Cached features take 4 MB a photo, with its mirror image. Weights are under the Apache-2.0 licence, and
fetched once. No weights were at hand here: its accuracy was not run.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`, the shots being the evaluation's."""
    config = default()
    config.batch_size = 4
    config.data.name = "mydata"
    config.data.split = "drawn"
    config.data.fold_count = 2
    # In place of drawn folds, the classes of each: config.data.folds = (("cat", "cow"), ("dog", "horse"))
    config.data.drop_novel_images = False  # True: no photo that shows a tested class is trained on

    config.model.name = "dpnet"
    config.model.backbone = "dinov2_small"
    config.model.weights = "dinov2-small"
    config.model.dpnet.dropout = 0.1  # little, for a short training; the paper's is 0.5

    config.train.cached_features = True
    config.train.reference_batch_size = 4
    config.train.steps = 2_000
    config.train.optimizer = "adamw"
    config.train.learning_rate = 3e-4
    config.train.weight_decay = 1e-2
    config.train.schedule = "cosine"
    config.train.warmup = 50
    config.train.checkpoint_every = 200

    config.train.size = config.eval.size = 518  # 37 patches of 14 pixels, as in DINOv2's own training
    config.eval.label = "original"
    config.eval.runs, config.eval.episodes = 5, 200
    config.eval.rows = ("frozen_fusion0", "aux", "master")
    return apply(config, argument, parts=("eval",))
