"""PRNet on your own photos, from ImageNet weights (ResNet-50, 321x321, 2,000 steps of one episode).

    python -m datasets.prepare --dataset=folders --manual_dir=MY_PHOTOS --name=mydata
    python train.py --config=configs/prnet_folders.py:fold=0

The classes are dealt to two folds, one for training and one for the test: two classes of two photos each do
for a first run. Deal many classes to more (--config.data.fold_count=4), or name those of each fold as below.
No figures are known for it: they depend on the photos.
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
    config.data.drop_novel_images = False  # True: no photo that shows a tested class is trained on

    config.model.backbone = "resnet50"
    config.model.weights = "imagenet"

    config.train.size = 321
    config.train.steps = 2_000
    config.train.learning_rate = 1e-3
    config.train.milestones = (1_000, 1_500)
    config.train.checkpoint_every = 200

    config.eval.size, config.eval.label = 321, "original"
    config.eval.runs, config.eval.episodes, config.eval.adapt_episodes = 5, 200, 20
    config.eval.rows = ("fusion0", "fusion1", "fusion2")
    return apply(config, argument)
