"""Two-stage prototype fusion (PRNet 3.3 and 4.1, Eq. 7 to Eq. 14).

All similarities here are raw cosines, on the grid of the features.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fsjax.episode import IGNORED
from fsjax.models.prnet.prototypes import Prototypes, cosine_map, predicted_classes, query_prototypes


@dataclass(frozen=True)
class FusionSettings:
    """How prototypes are fused; the defaults are the paper's, but for `threshold_over`.

    Attributes:
      omega_s: weight of the support prototypes in the first stage (Eq. 9).
      omega_q: weight of the query prototypes in both stages (Eq. 9 and Eq. 12).
      omega_f: weight of the first stage's prototypes in the second (Eq. 12).
      second_mask: whose argmax is the second stage's mask (Eq. 11): the fused map's, "m3", or "m2".
      threshold_over: the cells that a class's threshold is taken over (Eq. 14): the whole "map", or those
        "predicted" as the class, which is what the sentence after Eq. 14 says. On photos the map is better
        without adaptation (docs/results.md).
      joint: whether the query prototypes of all T queries are averaged, as Eq. 7 and Eq. 11 write it; by
        default each query is refined by itself. With one query both agree.
      gram: whether the similarity maps that are answered with, fused or not, are refined by FSSDINO's Gram
        maps. What fusion itself selects goes by cosines alone.
    """

    omega_s: float = 0.5
    omega_q: float = 0.5
    omega_f: float = 0.5
    second_mask: str = "m3"
    threshold_over: str = "map"
    joint: bool = False
    gram: bool = False

    of_plain: ClassVar[tuple[str, ...]] = ("gram",)


class Stages(NamedTuple):
    """All that the two stages of fusion compute on their way (PRNet Figure 1)."""

    m_q1: Float[Array, "T h w classes"]  # similarity to p_s
    selected_1: Bool[Array, "T h w classes"]  # the cells of the first query prototypes (Eq. 7, Eq. 8)
    m_q2: Float[Array, "T h w classes"]  # similarity to p_f1
    m_q3: Float[Array, "T h w classes"]  # mean of both (Eq. 10)
    selected_2: Bool[Array, "T h w classes"]  # the cells of the second query prototypes (Eq. 11)
    final: Float[Array, "T h w classes"]  # similarity to p_f2


class Fused(NamedTuple):
    """Similarity maps with the support prototypes and after either stage of fusion."""

    fusion0: Float[Array, "T h w classes"]
    fusion1: Float[Array, "T h w classes"]
    fusion2: Float[Array, "T h w classes"]


def hard_selection(
    similarities: Float[Array, "h w classes"], predicted: Int[Array, "h w"], threshold_over: str = "map"
) -> Bool[Array, "h w classes"]:
    """Returns the confident cells of each class: H of PRNet Eq. 8.

    A cell counts for its predicted class where its similarity is strictly above that class's threshold,
    which Eq. 13 and Eq. 14 set halfway between the largest and the mean similarity of some cells. A class
    that is predicted nowhere, or equally similar everywhere, selects nothing.

    Args:
      similarities: cosines, in [-1, 1].
      predicted: the class of each cell; 255 in the padding.
      threshold_over: see `FusionSettings`.
    """
    member = predicted[..., None] == jnp.arange(similarities.shape[-1])[None, None]
    over = member if threshold_over == "predicted" else (predicted != IGNORED)[..., None]
    largest = jnp.max(jnp.where(over, similarities, -jnp.inf), (0, 1))  # V_max of Eq. 14
    count = jnp.maximum(jnp.sum(over, (0, 1)), 1)
    mean = jnp.sum(jnp.where(over, similarities, 0.0), (0, 1)) / count  # V_mean of Eq. 14
    alpha = (largest + mean) / 2  # Eq. 13
    return member & (similarities > alpha[None, None])


def fuse_prototypes(old: Prototypes, new: Prototypes, weight_old: float, weight_new: float) -> Prototypes:
    """Returns the weighted sum of PRNet Eq. 9 and Eq. 12; a class that `new` lacks keeps its prototype."""
    vectors = weight_old * old.vectors + weight_new * new.vectors
    known = old.present & new.present
    return Prototypes(jnp.where(known[:, None], vectors, old.vectors), old.present)


def fuse(
    features: Float[Array, "T h w c"],
    cells: Int[Array, "T 2"],
    support: Prototypes,
    settings: FusionSettings,
) -> Fused:
    """Refines the support prototypes by the queries, twice, and compares the queries with each.

    The arguments are those of `fusion_stages`.

    Returns:
      The maps of p_s (M_q1), p_f1 (M_q2) and p_f2, the last one being the paper's final answer.
    """
    found = fusion_stages(features, cells, support, settings)
    return Fused(found.m_q1, found.m_q2, found.final)


def fusion_stages(
    features: Float[Array, "T h w c"],
    cells: Int[Array, "T 2"],
    support: Prototypes,
    settings: FusionSettings,
) -> Stages:
    """Refines the support prototypes by the queries, twice, and keeps what either stage compares and selects.

    Args:
      features: the queries' features.
      cells: their valid height and width.
      support: p_s.
      settings: weights and the choices that the paper leaves open.
    """
    queries = features.shape[0]
    each_query = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (queries, *x.shape)), support)
    compare = jax.vmap(lambda query, prototypes: cosine_map(query, prototypes.vectors))
    predict = jax.vmap(lambda similarities, size: predicted_classes(similarities, support.present, size))

    def refine(prototypes, similarities, predicted, weight):
        selected = jax.vmap(partial(hard_selection, threshold_over=settings.threshold_over))(
            similarities, predicted
        )
        together, apart = query_prototypes(features, selected)
        if settings.joint:
            apart = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (queries, *x.shape)), together)
        fused = jax.vmap(fuse_prototypes, (0, 0, None, None))(prototypes, apart, weight, settings.omega_q)
        return fused, selected

    m_q1 = compare(features, each_query)
    p_f1, selected_1 = refine(each_query, m_q1, predict(m_q1, cells), settings.omega_s)  # Eq. 7, Eq. 9
    m_q2 = compare(features, p_f1)
    m_q3 = (m_q1 + m_q2) / 2  # Eq. 10
    second = predict(m_q3 if settings.second_mask == "m3" else m_q2, cells)
    p_f2, selected_2 = refine(p_f1, m_q3, second, settings.omega_f)  # Eq. 11, Eq. 12
    return Stages(m_q1, selected_1, m_q2, m_q3, selected_2, compare(features, p_f2))
