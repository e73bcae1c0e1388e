"""Adaptation of a last stage computes what is below it once an episode, and tunes as if it did not."""

from dataclasses import replace
from typing import ClassVar

import jax
import numpy as np
import pytest

from fsjax import compiled
from fsjax.evaluation.adapted import evaluate_adapted
from fsjax.models.backbones.vgg import VGG
from fsjax.models.backbones.vgg_backbone import VGGBackbone
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.scales import Scales
from tests.evaluation.episodes import drawn, photos, prnet
from tests.evaluation.spied import in_full_batches
from tests.models.programs import bodies, elsewhere, operations
from tests.models.tiny import random_episode, supports_of

LAST = AdaptSettings(steps=2, learning_rate=0.05, parameters="last_stage")
WAYS, SHOTS, QUERIES = 2, 2, 1
SCALES = Scales((1.0, 0.5))


class Whole(VGGBackbone):
    """A VGG of one part: each step computes all of it."""

    def below(self, variables, images, sizes, stage):
        return super().below(variables, images, sizes, 0)

    def above(self, variables, below, stage):
        return super().above(variables, below, 0)


class Spied(VGGBackbone):
    """A VGG that notes each image whose lower part it computes."""

    seen: ClassVar[list[int]] = []

    def below(self, variables, images, sizes, stage):
        jax.debug.callback(lambda images: self.seen.extend(range(len(images))), images)
        return super().below(variables, images, sizes, stage)


def backbone(kind=VGGBackbone, remat="none"):
    return kind(VGG(width=2, remat=remat), "")


def test_no_convolution_below_is_in_the_loop(monkeypatch):
    """Of VGG's thirteen layers three are tuned, each with a forward and two backward convolutions.

    What comes first needs no gradient of its input. The convolutions are accelerators' own.
    """
    monkeypatch.setattr(jax.lax, "platform_dependent", elsewhere)
    method = PRNet(backbone())
    variables = jax.eval_shape(method.init, jax.random.key(0))
    supports = supports_of(random_episode(0, WAYS, SHOTS))
    counts = {}
    for parameters in ("all", "last_stage"):
        adapt = compiled.adapt.__wrapped__(method, replace(LAST, parameters=parameters))  # traced anew
        program = jax.make_jaxpr(adapt)(variables, *supports)
        (loop,) = bodies(program, "scan")
        of = [len(list(operations(part, "conv_general_dilated"))) for part in (program, loop)]
        counts[parameters] = of[0] - of[1], of[1]
    assert counts["all"] == (0, 3 * 13 - 1)
    assert counts["last_stage"] == (10, 3 * 3 - 1)


@pytest.mark.parametrize("remat", ["none", pytest.param("blocks", marks=pytest.mark.slow)])
def test_the_tuned_weights_are_those_of_whole_networks(remat):
    parts, whole = (PRNet(backbone(kind, remat)) for kind in (VGGBackbone, Whole))
    variables = parts.init(jax.random.key(1))
    episode = random_episode(1, WAYS, SHOTS, side=32)
    sizes = np.int32([[[32, 32], [24, 32]], [[20, 17], [32, 9]]])
    supports = supports_of(episode._replace(support_sizes=sizes))
    found, expected = (compiled.adapt(method, LAST)(variables, *supports) for method in (parts, whole))
    moved = 0
    for path, value in jax.tree_util.tree_leaves_with_path(expected):
        before, after = (dict(jax.tree_util.tree_leaves_with_path(tree))[path] for tree in (variables, found))
        np.testing.assert_allclose(after, value, atol=1e-6 * np.abs(value).max(), rtol=1e-6)
        moved += np.abs(after - before).max() > 1e-4
    assert moved == 6


def test_an_evaluation_counts_what_whole_networks_do():
    """At two scales, of padded photos, before the first step and after each one."""
    segmenters = [prnet(scales=SCALES, backbone=backbone(kind), input="longside") for kind in (Spied, Whole)]
    specs = drawn(8, ways=WAYS, shots=SHOTS, queries=QUERIES)
    Spied.seen.clear()
    source = photos(input="longside")
    found, expected = (evaluate_adapted(source, each, specs, LAST, curve=True) for each in segmenters)
    jax.effects_barrier()
    episodes = in_full_batches(len(specs), jax.local_device_count())
    assert len(Spied.seen) == episodes * (WAYS * SHOTS + len(SCALES.factors) * QUERIES)
    for counted, others in zip(found, expected, strict=True):
        for name, matrices in counted.items():
            np.testing.assert_array_equal(matrices, others[name], err_msg=name)
    first, last = found[0]["fusion0"], found[-1]["fusion0"]
    assert any((before != after).any() for before, after in zip(first, last, strict=True))
