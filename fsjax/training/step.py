"""The training step: episodes over devices, gradients and statistics averaged over all of them."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from fsjax.compiled import kept
from fsjax.devices import DEVICES
from fsjax.episode import Episode
from fsjax.models.method import Networked, Trainable
from fsjax.models.variables import Variables

LOG = logging.getLogger(__name__)


class TrainState(NamedTuple):
    """All that a run needs to go on; of a method with a frozen extractor, without the extractor."""

    step: jax.Array  # int32 [], steps taken
    variables: Variables
    optimizer_state: Any


def split(method: Networked, variables: Variables) -> tuple[Variables, Variables]:
    """Returns the variables that training changes, and those that it never touches."""
    if not method.frozen:
        return variables, {}
    return {"head": variables["head"]}, {"backbone": variables["backbone"]}


def trainable(variables: Variables) -> dict[str, Any]:
    """Returns the part of the variables that has gradients: no statistics."""
    params = {"head": variables["head"]}
    if "backbone" in variables:
        params["backbone"] = variables["backbone"]["params"]
    return params


def with_trained(variables: Variables, params: dict[str, Any]) -> Variables:
    """Returns the variables with their trainable part replaced."""
    if "backbone" not in params:
        return {**variables, "head": params["head"]}
    return {"backbone": {**variables["backbone"], "params": params["backbone"]}, "head": params["head"]}


def all_finite(tree: Any) -> jax.Array:
    """Returns 1.0 where all numbers of a tree are finite, else 0.0."""
    whole = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jnp.stack(whole).all().astype(jnp.float32) if whole else jnp.ones(())


def make_state(variables: Variables, optimizer: optax.GradientTransformation) -> TrainState:
    """Returns the state of step 0, not yet replicated, of the variables that training changes."""
    return TrainState(jnp.zeros((), jnp.int32), variables, optimizer.init(trainable(variables)))


def embed_episodes(method: Trainable, variables: Variables, batch: Episode) -> tuple[Any, Any, Any]:
    """Extracts the features of all images of a device's batch in one call, in training mode.

    Args:
      method: whose backbone.
      variables: of the method.
      batch: episodes [B, ...]; supports and queries must have one size, so that batch statistics see both.

    Returns:
      Features of the supports [B, N, K, ...], of the queries [B, T, ...], and the variables with their
      statistics moved on.
    """
    B, N, K = batch.support_images.shape[:3]
    T = batch.query_images.shape[1]
    supports = (
        batch.support_images.reshape(-1, *batch.support_images.shape[3:]),
        batch.support_sizes.reshape(-1, 2),
    )
    queries = (
        batch.query_images.reshape(-1, *batch.query_images.shape[2:]),
        batch.query_sizes.reshape(-1, 2),
    )
    images, sizes = (jnp.concatenate(pair) for pair in zip(supports, queries, strict=True))
    weights = jnp.concatenate([jnp.repeat(batch.weight, N * K), jnp.repeat(batch.weight, T)])
    features, updated = method.embed_training(variables, images, sizes, weights)
    of_supports = jax.tree.map(lambda x: x[: B * N * K].reshape(B, N, K, *x.shape[1:]), features)
    of_queries = jax.tree.map(lambda x: x[B * N * K :].reshape(B, T, *x.shape[1:]), features)
    return of_supports, of_queries, updated


Step = Callable[[TrainState, Variables, Episode], tuple[TrainState, dict[str, jax.Array]]]


def train_step(
    method: Trainable,
    optimizer: optax.GradientTransformation,
    seed: int,
    parts: int = 1,
    schedule: optax.Schedule | None = None,
) -> Step:
    """Returns the step of a method on one of the devices that it is pmapped over.

    The loss is averaged within an episode, then over all episodes of all devices by their weights, so that
    neither filled-up slots nor the number of devices change it. Randomness depends on the seed and an
    episode's index alone.

    Args:
      method: what to train.
      optimizer: of its trainable variables.
      seed: of all that the loss draws.
      parts: a device's batch is computed in so many equal parts, one after another, whose gradients are added
        up, in about that part of the memory. Batch statistics, where a method takes them, are each part's
        own, over all devices, and the running ones move on with every part.
      schedule: of the learning rate, which then is among the metrics.

    Returns:
      `step(state, frozen, batch)` -> the new state, and the metrics of this step. `frozen` are the variables
      that `split` sets apart; the batch has episodes [B, ...].
    """

    def weighted_loss(params, variables, batch, share):
        variables = with_trained(variables, params)
        with jax.named_scope("backbone"):
            supports, queries, updated = embed_episodes(method, variables, batch)
        with jax.named_scope("loss"):
            rngs = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), batch.index)
            losses, terms = method.loss(variables, supports, queries, batch, rngs)
        metrics = jax.tree.map(lambda x: jnp.sum(share * x), {"loss": losses, **terms})
        return metrics["loss"], (updated, metrics)

    def of_part(params, variables, part):
        return jax.grad(weighted_loss, has_aux=True)(params, variables, *part)

    def step(state: TrainState, frozen: Variables, batch: Episode):
        LOG.info("compiling the training step for supports %s", batch.support_images.shape)
        params, variables = trainable(state.variables), {**frozen, **state.variables}
        share = batch.weight / jnp.maximum(jax.lax.psum(jnp.sum(batch.weight), DEVICES), 1.0)
        gradients, (updated, metrics) = _summed(of_part, params, variables, (batch, share), parts)
        gradients, metrics = jax.lax.psum((gradients, metrics), DEVICES)
        with jax.named_scope("optimizer"):
            updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, params)
            params = optax.apply_updates(params, updates)
        variables = with_trained({part: updated[part] for part in state.variables}, params)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        metrics["finite"] = all_finite(variables)
        if schedule:
            metrics["learning_rate"] = jnp.asarray(schedule(state.step), jnp.float32)
        return TrainState(state.step + 1, variables, optimizer_state), metrics

    return step


def _summed(of_part: Callable[..., Any], params: Any, variables: Variables, batch: Any, parts: int) -> Any:
    """Returns what `of_part` does of a batch, its gradients and metrics added up over parts of the batch.

    Args:
      of_part: of the parameters, the variables and a part: the gradients, and the new variables and metrics.
      params: what is differentiated.
      variables: all of them.
      batch: a tree with the episodes' axis first.
      parts: how many.
    """
    if parts == 1:
        return of_part(params, variables, batch)
    stacked = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)

    def add(carry, part):
        variables, *sums = carry
        gradients, (variables, metrics) = of_part(params, variables, part)
        return (variables, *jax.tree.map(jnp.add, tuple(sums), (gradients, metrics))), None

    first = jax.tree.map(lambda x: x[0], stacked)
    gradients, (_, metrics) = jax.eval_shape(of_part, params, variables, first)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (gradients, metrics))
    (variables, gradients, metrics), _ = jax.lax.scan(add, (variables, *zeros), stacked)
    return gradients, (variables, metrics)


@kept
def make_train_step(
    method: Trainable,
    optimizer: optax.GradientTransformation,
    seed: int,
    parts: int = 1,
    schedule: optax.Schedule | None = None,
) -> Step:
    """Returns the pmapped `train_step`, the same for equal arguments, so that it is compiled once.

    The state and the frozen variables are stacked over devices; the state is donated, the frozen variables
    are not. The batch has leading axes [devices, B]; metrics are stacked as well.
    """
    step = train_step(method, optimizer, seed, parts, schedule)
    return jax.pmap(step, axis_name=DEVICES, donate_argnums=(0,))
