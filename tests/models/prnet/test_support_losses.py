"""PANet's alignment loss against loops over its pixels, and where it and PRNet's Eq. 4 are the same."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.backbone import Features
from fsjax.models.prnet.losses import SUPPORT_LOSSES, nway_support_loss, panet_support_loss
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.prnet.prototypes import Prototypes
from tests.models.prnet import reference
from tests.models.tiny import linear_backbone, random_task

SCALE = 20.0
NWAY, PANET = (jax.jit(partial(loss, scale=SCALE)) for loss in (nway_support_loss, panet_support_loss))


def alignment(supports, masks, p_q):
    """PANet's loops: each way against background on its own supports, the images' means over N K."""
    total = 0.0
    for n, (images, labels) in enumerate(zip(supports, masks, strict=True), 1):
        for image, label in zip(images, labels, strict=True):
            if p_q[n] is None:
                continue
            pair = [p_q[0], p_q[n]]
            cosines = np.zeros((*image.shape[:2], 2))
            for (y, x, c), prototype in ((place, pair[place[2]]) for place in np.ndindex(cosines.shape)):
                if prototype is not None:
                    cosines[y, x, c] = reference.cosine(image[y, x].astype(float), prototype)
            logits, entropies = reference.upsample(SCALE * cosines, *label.shape), []
            for y, x in np.ndindex(*label.shape):
                if label[y, x] in (0, n):
                    mine = logits[y, x, int(label[y, x] == n)]
                    entropies.append(math.log(sum(map(math.exp, logits[y, x]))) - mine)
            total += sum(entropies) / len(entropies) / (len(supports) * len(images))
    return total


def prototypes(vectors):
    """Rows of zeros where there is none."""
    rows = [np.zeros(5) if vector is None else vector for vector in vectors]
    return Prototypes(jnp.asarray(rows, jnp.float32), jnp.asarray([v is not None for v in vectors]))


def drawn(ways, absent=()):
    rng = np.random.default_rng(ways)
    return [None if n in absent else rng.normal(size=5) for n in range(ways + 1)]


def of(loss, task, vectors):
    masks, pixels = (jnp.asarray(part) for part in (task.episode.support_masks, task.episode.support_sizes))
    return float(loss(jax.tree.map(jnp.asarray, task.supports), masks, pixels, prototypes(vectors)))


@pytest.mark.parametrize(
    ("ways", "shots", "absent"),
    [(1, 1, ()), (2, 2, ()), (2, 2, (2,)), (2, 2, (0,)), (2, 2, (0, 1))],
)
def test_panets_loss_agrees_with_loops(ways, shots, absent):
    task, vectors = random_task(60 + ways, ways, shots), drawn(ways, absent)
    expected = alignment(task.support_list, task.support_masks, vectors)
    assert expected > 0
    np.testing.assert_allclose(of(PANET, task, vectors), expected, rtol=2e-5)


def test_without_a_predicted_way_there_is_no_loss():
    task = random_task(64, 2, 2)
    assert of(PANET, task, drawn(2, absent=(1, 2))) == 0


def test_one_support_is_the_same_problem_to_both():
    task, vectors = random_task(61, 1, 1), drawn(1)
    np.testing.assert_allclose(of(PANET, task, vectors), of(NWAY, task, vectors), rtol=1e-6)


def test_several_shots_differ_by_their_means_alone():
    """PRNet's loss is the mean over all their pixels, PANet's the mean of their means."""
    task, vectors = random_task(62, 1, 2, void=0.3), drawn(1)
    counted = [int((mask != 255).sum()) for mask in task.support_masks[0]]
    assert counted[0] != counted[1]

    def alone(k):
        one = task.episode._replace(
            support_masks=task.episode.support_masks[:, k : k + 1],
            support_sizes=task.episode.support_sizes[:, k : k + 1],
        )
        supports = Features(*(part[:, k : k + 1] for part in task.supports))
        return of(NWAY, task._replace(supports=supports, episode=one), vectors)

    each = [alone(k) for k in range(2)]
    np.testing.assert_allclose(of(PANET, task, vectors), np.mean(each), rtol=1e-5)
    weighted = np.average(each, weights=counted)
    np.testing.assert_allclose(of(NWAY, task, vectors), weighted, rtol=1e-5)
    assert abs(weighted - np.mean(each)) > 1e-3


def test_pixels_of_other_ways_count_for_prnet_alone():
    task, vectors = random_task(63, 2, 2), drawn(2)
    masks = np.array(task.episode.support_masks)
    other = np.array([2, 1], np.uint8)[:, None, None, None]
    assert (masks == other).any()
    void = task._replace(
        episode=task.episode._replace(support_masks=np.where(masks == other, 255, masks).astype(np.uint8))
    )
    assert of(PANET, void, vectors) == of(PANET, task, vectors)
    assert of(NWAY, void, vectors) != of(NWAY, task, vectors)


def terms_of(method, supports, queries, episode):
    """The terms of one episode's training loss."""
    batch = jax.tree.map(lambda x: jnp.asarray(x)[None], (supports, queries, episode))
    return jax.tree.map(lambda x: x[0], method.loss({}, *batch, jax.random.key(0)[None])[1])


def test_a_method_trains_by_the_loss_it_names():
    task = random_task(65, 2, 2)
    p_s = reference.support_prototypes(task.support_list, task.support_masks)
    predicted = [reference.predicted(reference.cosine_map(query, p_s)) for query in task.query_list]
    p_q = reference.query_prototypes(task.query_list, predicted, 3)
    query_loss, nway = reference.training_loss(
        task.support_list, task.support_masks, task.query_list, task.query_masks, SCALE
    )
    expected = {"nway": nway, "panet": alignment(task.support_list, task.support_masks, p_q)}
    assert expected.keys() == SUPPORT_LOSSES.keys()
    for name, value in expected.items():
        method = PRNet(linear_backbone(), support_loss=name)
        terms = jax.jit(partial(terms_of, method))(task.supports, task.queries, task.episode)
        np.testing.assert_allclose(terms["support_loss"], value, rtol=2e-5)
        np.testing.assert_allclose(terms["query_loss"], query_loss, rtol=2e-5)


@pytest.mark.parametrize("absent", [(), (0,), (1, 2)])
def test_gradients_are_finite_and_stay_within_the_photos(absent):
    task, found = random_task(66, 2, 2), prototypes(drawn(2, absent))
    masks, pixels = map(jnp.asarray, (task.episode.support_masks, task.episode.support_sizes))
    sizes = jnp.asarray(task.supports.sizes)

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def gradients(maps, vectors):
        pair = Prototypes(vectors, found.present)
        return panet_support_loss(Features(maps, sizes), masks, pixels, pair, SCALE)

    of_maps, of_vectors = gradients(jnp.asarray(task.supports.map), found.vectors)
    assert np.isfinite(of_vectors).all()
    assert np.isfinite(of_maps).all()
    assert bool(np.any(of_maps)) == (absent != (1, 2))
    for size, image in zip(sizes.reshape(-1, 2), of_maps.reshape(-1, *of_maps.shape[2:]), strict=True):
        assert not image[size[0] :].any()
        assert not image[:, size[1] :].any()
