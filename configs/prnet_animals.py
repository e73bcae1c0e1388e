"""PRNet on six animal classes of VOC photos, by ImageNet weights alone: no training, minutes on a CPU.

    python -m datasets.prepare --dataset=pascal5i --manual_dir=VOC_ANIMALS --lists=VOC_ANIMALS --name=animals
    python eval.py --config=configs/prnet_animals.py \
        --config.model.weights=resnet50_conv1_to_layer3.npz --out=runs/animals

VOC_ANIMALS is a folder in VOC's layout, whose lists train.txt and val.txt name photos of these classes. The
scores are not PASCAL-5i scores.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.data.name = "animals"
    config.data.train_list, config.data.test_list = "train", "val"
    config.data.folds = (("cat", "cow", "dog", "horse", "person", "sheep"),)

    config.model.backbone = "resnet50"
    config.model.backbone_options.stages = 3
    config.model.backbone_options.convention = "caffe"
    config.model.weights = "resnet50_conv1_to_layer3.npz"
    config.train.steps = 0

    config.eval.runs, config.eval.episodes, config.eval.adapt_episodes = 3, 400, 10
    config.eval.size = 321
    config.eval.batch_size = 1
    return apply(config, argument)
