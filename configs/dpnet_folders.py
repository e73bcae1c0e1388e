"""DPNet on your own photos, from ImageNet weights (ResNet-50, 321x321, 2,000 steps of four episodes).

    python -m datasets.prepare --dataset=folders --manual_dir=MY_PHOTOS --name=mydata
    python train.py --config=configs/dpnet_folders.py:fold=0

The classes are dealt to two folds, one for training and one for the test: two classes of two photos each do
for a first run. Deal many classes to more (--config.data.fold_count=4), or name those of each fold as below.
Features are cached, 10 MB for each training photo. No figures are known for it: they depend on the photos.
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
    config.model.backbone = "resnet50"
    config.model.backbone_options.stages = 3
    config.model.backbone_options.first_block_dilation = "stage"
    config.model.weights = "imagenet"
    config.model.dpnet.dropout = 0.1  # little, for a short training; the paper's is 0.5

    config.train.size = 321
    config.train.cached_features = True
    config.train.reference_batch_size = 4
    config.train.steps = 2_000
    config.train.optimizer = "adamw"
    config.train.learning_rate = 3e-4
    config.train.weight_decay = 1e-2
    config.train.schedule = "cosine"
    config.train.warmup = 50
    config.train.checkpoint_every = 200

    config.eval.size, config.eval.label = 321, "original"
    config.eval.runs, config.eval.episodes = 5, 200
    config.eval.rows = ("frozen_fusion0", "aux", "master")
    return apply(config, argument, parts=("eval",))
