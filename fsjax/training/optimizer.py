"""Optimisers and learning-rate schedules, as PyTorch computes them, and what a batch size does to them."""

from collections import Counter

import optax
from ml_collections import ConfigDict

from fsjax.errors import InputError


def learning_rate(train: ConfigDict, batch_size: int, lr_scaling: str) -> tuple[optax.Schedule, int]:
    """Returns the learning rate at each step, and the number of steps.

    `train.steps`, `train.milestones` and `train.learning_rate` are meant for `train.reference_batch_size`
    episodes a step. With `lr_scaling` "linear" another batch size multiplies the rate and divides the
    steps, so that schedules count episodes; with "none" they are taken as they stand.

    Args:
      train: config.train.
      batch_size: episodes in a step, over all devices.
      lr_scaling: "none" or "linear".

    Raises:
      InputError: for an unknown `lr_scaling` or `train.schedule`, or a warm-up as long as the training.
    """
    if lr_scaling not in ("none", "linear"):
        raise InputError(f"lr_scaling is {lr_scaling!r}: choose 'none' or 'linear'.")
    factor = batch_size / train.reference_batch_size if lr_scaling == "linear" else 1.0
    peak, steps = train.learning_rate * factor, max(1, round(train.steps / factor))
    match train.schedule:
        case "constant":
            return optax.constant_schedule(peak), steps
        case "step":
            drops = Counter(round(milestone / factor) for milestone in train.milestones)
            scales = {step: train.decay**count for step, count in drops.items()}
            return optax.piecewise_constant_schedule(peak, scales), steps
        case "cosine":
            warmup = round(train.warmup / factor)
            if warmup >= steps:
                raise InputError(f"train.warmup takes {warmup} of {steps} steps: make it shorter.")
            return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps), steps
    raise InputError(f"train.schedule is {train.schedule!r}: choose 'constant', 'step' or 'cosine'.")


def make_optimizer(train: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Returns the optimiser that `train.optimizer` names.

    "sgd" adds the weight decay to the gradient before the momentum, on every parameter, as torch.optim.SGD
    does; "adamw" decays apart from the gradient.

    Raises:
      InputError: for another name.
    """
    match train.optimizer:
        case "sgd":
            return optax.chain(
                optax.add_decayed_weights(train.weight_decay), optax.sgd(schedule, train.momentum)
            )
        case "adamw":
            return optax.adamw(schedule, b2=train.b2, weight_decay=train.weight_decay)
    raise InputError(f"train.optimizer is {train.optimizer!r}: choose 'sgd' or 'adamw'.")
