"""DPNet on COCO-20i as its paper runs it: 641x641, 20 epochs of eight episodes, interleaved folds.

    python train.py --config=configs/dpnet_coco.py:fold=0 --config.model.weights=resnet50.safetensors

The data set coco20i is still to come; until then the command says so.
"""

from ml_collections import ConfigDict

from configs import common, dpnet_pascal


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`, the shots being the evaluation's."""
    config = dpnet_pascal.get_config()
    config.batch_size = 8
    config.data.name = "coco20i"
    config.data.dir, config.data.train_list, config.data.test_list = "COCO", "", ""

    config.train.size = 641
    config.train.epochs = 20
    config.train.reference_batch_size = 8
    config.train.learning_rate = 0.005

    config.eval.size = 641
    return common.apply(config, argument, parts=("eval",))
