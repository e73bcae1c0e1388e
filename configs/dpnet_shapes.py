"""DPNet on the embedded benchmark, over the extractor that PRNet learned on the same base classes.

    python train.py
    python train.py --config=configs/dpnet_shapes.py

The frozen extractor comes from the run of the first command, which learned to tell base classes apart, as
ImageNet's does in the paper.
"""

from ml_collections import ConfigDict

from configs import common, prnet_shapes


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = prnet_shapes.get_config()
    config.batch_size = 16
    config.model.name = "dpnet"
    config.model.batch_statistics = False
    config.model.dpnet.width = 64
    config.model.dpnet.dis_hidden, config.model.dpnet.pim_hidden = 128, 32
    config.model.dpnet.rates = (2, 4, 6)  # as wide in a grid of 12 cells as 6, 12 and 18 in one of 41
    config.model.dpnet.dropout = 0.0  # with 0.5 this narrow head scored 0.0 on fold 1 after 800 steps

    config.train.ways, config.train.shots, config.train.queries = 1, 1, 1
    config.train.reference_batch_size = 16
    config.train.steps = 1000
    config.train.learning_rate = 2e-3

    config.eval.rows = (
        "any_object", "wrong_support_absent", "frozen_fusion0", "frozen_fusion2", "aux", "master", "oracle",
    )  # fmt: skip
    common.apply(config, argument, parts=("eval",))
    config.model.weights = f"runs/prnet_shapes_fold{config.fold}"
    return config
