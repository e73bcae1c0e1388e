"""DPNet on VOC photos of six animals: three train it, the other three are segmented; about an hour on a CPU.

    python -m datasets.prepare --dataset=pascal5i --manual_dir=VOC_ANIMALS --lists=VOC_ANIMALS --name=animals
    python train.py --config=configs/dpnet_animals.py \
        --config.model.weights=resnet50_conv1_to_layer3.npz

VOC_ANIMALS is a folder in VOC's layout, whose lists train.txt and val.txt name photos of these classes;
`fold=1` exchanges the two halves. Features are cached, 10 MB for each training photo. The scores are not
PASCAL-5i scores.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`, the shots being the evaluation's."""
    config = default()
    config.batch_size = 4
    config.data.name = "animals"
    config.data.train_list, config.data.test_list = "train", "val"
    config.data.folds = (("cow", "horse", "person"), ("cat", "dog", "sheep"))
    config.data.min_area = "pfenet"

    config.model.name = "dpnet"
    config.model.backbone = "resnet50"
    config.model.backbone_options.stages = 3
    config.model.backbone_options.convention = "caffe"
    config.model.backbone_options.first_block_dilation = "stage"
    config.model.weights = "resnet50_conv1_to_layer3.npz"
    config.model.dpnet.dropout = 0.1  # little, for a short training; the paper's is 0.5

    config.train.size = 321
    config.train.cached_features = True
    config.train.reference_batch_size = 4
    config.train.steps = 1000
    config.train.optimizer = "adamw"
    config.train.learning_rate = 3e-4
    config.train.weight_decay = 1e-2
    config.train.schedule = "cosine"
    config.train.warmup = 50
    config.train.checkpoint_every = 100

    config.eval.runs, config.eval.episodes, config.eval.adapt_episodes = 1, 500, 10
    config.eval.size, config.eval.label = 321, "original"
    config.eval.batch_size = 1
    config.eval.rows = (
        "frozen_fusion0", "frozen_fusion1", "frozen_fusion2", "wrong_support_absent", "aux", "master",
    )  # fmt: skip
    return apply(config, argument, parts=("eval",))
