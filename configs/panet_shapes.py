"""PANet on the embedded benchmark, with the backbone, data and training steps of configs/prnet_shapes.py.

    python train.py --config=configs/panet_shapes.py --workdir=runs/panet_shapes

Against that PRNet it has another support loss, no refinement, and its own counting. For PANet's own network,
thin enough for a CPU, add --config.model.backbone=vgg16 --config.model.backbone_options.width=8, a rate it
bears without normalisation, --config.train.learning_rate=0.002, and another --workdir.
"""

from ml_collections import ConfigDict

from fsjax.config import apply, default


def get_config(argument: str = "") -> ConfigDict:
    """Returns the configuration; the argument is as `fold=0,shots=5`."""
    config = default()
    config.data.name = "shapes"
    config.data.drop_novel_images = True
    config.data.min_area = "200"

    config.model.backbone = "small"
    config.model.support_loss = "panet"

    config.train.ways, config.train.shots, config.train.queries = 12, 1, 8
    config.train.size = 96
    config.train.steps = 1500
    config.train.optimizer = "adamw"
    config.train.learning_rate = 8e-3
    config.train.weight_decay = 1e-2
    config.train.b2 = 0.99
    config.train.schedule = "cosine"
    config.train.warmup = 50
    config.train.support_void = "background"
    config.train.log_every = 50
    config.train.checkpoint_every = 500

    config.eval.runs, config.eval.episodes = 1, 600
    config.eval.size = 96
    config.eval.batch_size = 10
    config.eval.rows = ("any_object", "fusion0", "oracle")
    config.eval.support_void = "background"
    config.eval.counting = "panet_compat"
    return apply(config, argument, parts=("eval",))
