"""DPNet on the embedded benchmark, over the extractor that PRNet learned on the same base classes.

    python train.py
    python train.py --config=configs/dpnet_shapes.py

The frozen extractor comes from the run of the first command, which learned to tell base classes apart, as
ImageNet's does in the paper.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.batch_size = 16
    config.data.name = "shapes"
    config.data.drop_novel_images = True
    config.data.min_area = "200"

    config.model.name = "dpnet"
    config.model.backbone = "small"
    config.model.dpnet.width = 64
    config.model.dpnet.dis_hidden, config.model.dpnet.pim_hidden = 128, 32
    config.model.dpnet.rates = (2, 4, 6)  # as wide in a grid of 12 cells as 6, 12 and 18 in one of 41
    config.model.dpnet.dropout = 0.0  # with 0.5 this narrow head scored 0.0 on fold 1 after 800 steps

    config.train.size = 96
    config.train.reference_batch_size = 16
    config.train.steps = 1000
    config.train.optimizer = "adamw"
    config.train.learning_rate = 2e-3
    config.train.weight_decay = 1e-2
    config.train.b2 = 0.99
    config.train.schedule = "cosine"
    config.train.warmup = 50
    config.train.log_every = 50
    config.train.checkpoint_every = 500

    config.eval.runs, config.eval.episodes, config.eval.adapt_episodes = 1, 600, 100
    config.eval.size = 96
    config.eval.batch_size = 10
    config.eval.rows = (
        "any_object", "wrong_support_absent", "frozen_fusion0", "frozen_fusion2", "aux", "master", "oracle",
    )  # fmt: skip
    apply(config, argument, parts=("eval",))
    config.model.weights = f"runs/prnet_shapes_fold{config.fold}"
    return config
