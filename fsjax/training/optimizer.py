"""Optimisers and learning-rate schedules, as PyTorch computes them, and what a batch size does to them."""

from collections import Counter
from dataclasses import dataclass

import optax

from fsjax.compiled import kept
from fsjax.errors import InputError


@dataclass(frozen=True)
class OptimizerSettings:
    """How parameters are learned; meant for a reference batch size.

    Attributes:
      optimizer: "sgd" adds the weight decay to the gradient before the momentum, on every parameter, as
        torch.optim.SGD does; "adamw" decays apart from the gradient.
      learning_rate: at its highest.
      momentum: of "sgd".
      b2: of "adamw": how long squared gradients are remembered.
      weight_decay: of either.
      schedule: "constant", "step" (multiplied by `decay` at each milestone) or "cosine" (after `warmup`).
      milestones: steps of "step".
      decay: the factor at a milestone.
      warmup: steps of "cosine".
    """

    optimizer: str
    learning_rate: float
    momentum: float
    b2: float
    weight_decay: float
    schedule: str
    milestones: tuple[int, ...]
    decay: float
    warmup: int


@kept  # equal settings have one schedule and one optimiser, whose step is then compiled once
def learning_rate(settings: OptimizerSettings, steps: int, factor: float = 1.0) -> tuple[optax.Schedule, int]:
    """Returns the learning rate at each step, and the number of steps.

    Args:
      settings: of the optimiser.
      steps: at the reference batch size.
      factor: how many times as large the batches are: the rate is multiplied, and steps and milestones are
        divided by it, so that schedules count episodes; 1 takes all as it stands.

    Raises:
      InputError: for a warm-up as long as the training.
    """
    peak, steps = settings.learning_rate * factor, max(1, round(steps / factor))
    match settings.schedule:
        case "constant":
            return optax.constant_schedule(peak), steps
        case "step":
            drops = Counter(round(milestone / factor) for milestone in settings.milestones)
            scales = {step: settings.decay**count for step, count in drops.items()}
            return optax.piecewise_constant_schedule(peak, scales), steps
        case "cosine":
            warmup = round(settings.warmup / factor)
            if warmup >= steps:
                raise InputError(f"train.warmup takes {warmup} of {steps} steps: make it shorter.")
            return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps), steps
    raise ValueError(settings.schedule)


@kept
def make_optimizer(settings: OptimizerSettings, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Returns the optimiser that settings describe, with a learning rate for each step."""
    if settings.optimizer == "adamw":
        return optax.adamw(schedule, b2=settings.b2, weight_decay=settings.weight_decay)
    return optax.chain(
        optax.add_decayed_weights(settings.weight_decay), optax.sgd(schedule, settings.momentum)
    )
