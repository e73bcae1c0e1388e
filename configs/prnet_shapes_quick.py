"""PRNet on the embedded benchmark for the impatient: under a minute on two CPU cores, all included.

    python train.py --config=configs/prnet_shapes_quick.py --workdir=runs/quick

It shows that everything works, not what the method can do, which configs/prnet_shapes.py shows: after a fifth
of its steps, on smaller photos, fusion2 scores 30.7 and 26.9 when a wrong class is shown (100 episodes).
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

    config.train.ways, config.train.shots, config.train.queries = 12, 1, 8
    config.train.size = 64  # less than is evaluated, and twice as fast
    config.train.steps = 300
    config.train.optimizer = "adamw"
    config.train.learning_rate = 8e-3
    config.train.weight_decay = 1e-2
    config.train.b2 = 0.99
    config.train.schedule = "cosine"
    config.train.warmup = 20
    config.train.log_every = 50
    config.train.checkpoint_every = 100

    config.eval.runs, config.eval.episodes = 1, 100
    config.eval.size = 96
    config.eval.batch_size = 10
    config.eval.rows = ("any_object", "wrong_support_absent", "fusion0", "fusion1", "fusion2", "oracle")
    return apply(config, argument, parts=("eval",))
