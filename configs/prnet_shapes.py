"""PRNet on the embedded benchmark: data, training and evaluation on two CPU cores in minutes.

    python train.py

Training is many-way: twelve of the fifteen base classes compete in each step, and the others are background
that must not look like them. Evaluation is one-way; `ways=` and `shots=` behind the colon set it alone.
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
    config.train.size = 96
    config.train.steps = 1500
    config.train.optimizer = "adamw"
    config.train.learning_rate = 8e-3
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
        "rgb", "color_histogram", "texture", "untrained", "any_object",
        "wrong_support_absent", "wrong_support_present", "fusion0", "fusion1", "fusion2", "adapted", "oracle",
    )  # fmt: skip
    return apply(config, argument, parts=("eval",))
