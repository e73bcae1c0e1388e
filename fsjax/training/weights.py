"""Where a method's variables come from before any training: pretrained weights, another run, a seed."""

from collections.abc import Callable
from pathlib import Path

import jax

from fsjax.errors import InputError
from fsjax.models.method import Trainable
from fsjax.models.variables import Variables
from fsjax.training.runs import Run

RANDOM = "random"


def initial_variables(
    method: Trainable,
    seed: int,
    weights: str,
    check_run: Callable[[Run], None],
) -> Variables:
    """Returns a method's variables before any training; the head is always drawn from the seed.

    Args:
      method: whose variables.
      seed: of what is drawn.
      weights: where the backbone comes from: a file, a run's folder, "random" or "" to draw it, too.
      check_run: raises where a run's backbone may not be taken.

    Raises:
      InputError: for weights that are missing, of another architecture, or of a run that has not ended; and
        for none where the backbone is frozen.
    """
    rng = jax.random.key(seed)
    if weights in ("", RANDOM):
        return method.init(rng)
    place = Path(weights)
    if not place.exists():
        raise InputError(
            f"model.weights is {weights}, and nothing is there: name a .npz or .safetensors file, or train a "
            "PRNet on the same fold first and name its folder."
        )
    if not place.is_dir():
        return {"backbone": method.backbone.load(place), "head": method.init_head(rng)}
    run = Run.open(place)
    check_run(run)
    like = jax.eval_shape(method.init, rng)["backbone"]
    return {"backbone": run.backbone(like), "head": method.init_head(rng)}
