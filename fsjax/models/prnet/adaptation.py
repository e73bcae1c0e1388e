"""Fine-tuning on the support set before a query is segmented (PRNet 3.3, Eq. 6)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import optax
from flax import traverse_util

from fsjax.errors import InputError
from fsjax.models.backbones.backbone import Backbone


@dataclass(frozen=True)
class AdaptSettings:
    """How the feature extractor is tuned to an episode.

    Attributes:
      steps: gradient steps; 0 leaves the weights as they are, bit for bit. The paper takes 5.
      learning_rate: of SGD. The paper gives none; choose it on base classes, never on novel ones.
      momentum: of SGD, without weight decay.
      parameters: what is tuned: "all" of the extractor, its "last_stage", or the scales and biases of its
        normalisation, "norm_affine".
      leave_one_out: segments each of K > 1 shots by the prototypes of the others instead of by all.
    """

    steps: int = 5
    learning_rate: float = 7e-4
    momentum: float = 0.9
    parameters: str = "all"
    leave_one_out: bool = False


def is_adapted(backbone: Backbone, path: tuple[str, ...], parameters: str) -> bool:
    """Says whether the parameter at a path of the backbone's tree is tuned.

    Args:
      backbone: knows where its parameters belong.
      path: the keys that lead to the parameter.
      parameters: as `AdaptSettings.parameters`.
    """
    if parameters == "all":
        return True
    group = backbone.group(path)
    return group.norm if parameters == "norm_affine" else group.stage == backbone.stages


def lowest_stage(backbone: Backbone, params: Mapping[str, Any], parameters: str) -> int:
    """Returns the first stage that has a parameter which is tuned: what is below it stays as it is.

    Args:
      backbone: knows where its parameters belong.
      params: of it.
      parameters: as `AdaptSettings.parameters`.
    """
    tuned = [path for path in traverse_util.flatten_dict(params) if is_adapted(backbone, path, parameters)]
    return min((backbone.group(path).stage for path in tuned), default=backbone.stages)


def check_adapted(backbone: Backbone, parameters: str) -> None:
    """Makes sure that a backbone has parameters to tune.

    Args:
      backbone: any network.
      parameters: as `AdaptSettings.parameters`.

    Raises:
      InputError: it has no normalisation, whose scales and biases are asked for.
    """
    if parameters != "norm_affine":  # the shapes of all parameters take a moment
        return
    shapes = jax.eval_shape(backbone.init, jax.random.key(0))["params"]
    if not any(is_adapted(backbone, path, parameters) for path in traverse_util.flatten_dict(shapes)):
        raise InputError(
            "eval.adapt.parameters is norm_affine, and this backbone has no normalisation: set it to all or "
            "last_stage."
        )


def adapt(
    params: dict[str, Any],
    loss: Callable[[dict[str, Any]], jax.Array],
    settings: AdaptSettings,
    selected: Callable[[tuple[str, ...]], bool],
    probe: Callable[[dict[str, Any]], Any] | None = None,
) -> tuple[dict[str, Any], Any]:
    """Minimises a loss of the parameters by a few steps of SGD, as one `lax.scan` over an optax update.

    The optimiser's state is fresh, and the given parameters stay as they are. Only the selected parameters
    are differentiated, so that tuning a last stage runs no backward pass through the earlier ones. What the
    loss and the probe need of those is best computed before: the loop repeats all that they do.

    Args:
      params: the extractor's parameters.
      loss: of all parameters; for PRNet L_adapt of Eq. 6, whose prototypes move with the features.
      settings: steps, learning rate and momentum.
      selected: says of a parameter's path whether it is tuned.
      probe: what to report after each step, a function of the parameters; None reports nothing.

    Returns:
      The tuned parameters and, stacked along a new first axis, the probe's value after every step.
    """
    flat = traverse_util.flatten_dict(params)
    tuned = {path: value for path, value in flat.items() if selected(path)}
    fixed = {path: value for path, value in flat.items() if not selected(path)}
    optimizer = optax.sgd(settings.learning_rate, settings.momentum)

    def joined(part):
        return traverse_util.unflatten_dict(fixed | part)

    def step(carry, _):
        part, state = carry
        updates, state = optimizer.update(jax.grad(lambda part: loss(joined(part)))(part), state)
        part = optax.apply_updates(part, updates)
        return (part, state), None if probe is None else probe(joined(part))

    (tuned, _), values = jax.lax.scan(step, (tuned, optimizer.init(tuned)), length=settings.steps)
    return joined(tuned), values
