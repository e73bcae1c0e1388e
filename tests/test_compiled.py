"""Equal methods share what is compiled, and others do not; drawing inside a trace leaves nothing behind."""

from dataclasses import dataclass

import jax
import numpy as np

from fsjax.data.images import InputSettings
from fsjax.models.backbones.filters import RawRGB
from fsjax.models.backbones.hand_made import HandMade
from fsjax.models.dpnet.dpnet import DPNet
from fsjax.models.dpnet.head import Head
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.segmenter import Segmenter
from fsjax.training.optimizer import OptimizerSettings, learning_rate, make_optimizer
from fsjax.training.step import make_train_step
from tests.models.patch_net import PatchNet

PHOTO = np.zeros((16, 16, 3), np.uint8)
MASK = np.eye(16, dtype=bool)
SETTINGS = OptimizerSettings("sgd", 1e-2, 0.9, 0.99, 1e-2, "constant", (), 1.0, 0)

traced = []


@dataclass(frozen=True)
class Counted(PRNet):
    """Says when it is traced."""

    def segment(self, variables, fitted, features, shape, sizes, settings):
        traced.append(settings)
        return super().segment(variables, fitted, features, shape, sizes, settings)


def segmented(settings):
    """Segments a photo with a segmenter of its own."""
    method, nothing = Counted(HandMade(RawRGB())), {"backbone": {"params": {}}, "head": {}}
    segmenter = Segmenter(method, nothing, settings, InputSettings(16))
    return segmenter.fit([PHOTO], [MASK]).segment([PHOTO])


def test_segmenters_of_equal_parts_are_traced_once():
    traced.clear()
    segmented(FusionSettings(omega_s=0.25))
    once = list(traced)
    assert set(once) == {FusionSettings(omega_s=0.25)}
    segmented(FusionSettings(omega_s=0.25))
    assert traced == once
    segmented(FusionSettings(omega_s=0.75))
    assert set(traced) == {FusionSettings(omega_s=0.25), FusionSettings(omega_s=0.75)}


def test_trainings_of_equal_parts_share_their_step():
    def step(steps, seed=0):
        schedule, _ = learning_rate(SETTINGS, steps)
        return make_train_step(PRNet(PatchNet()), make_optimizer(SETTINGS, schedule), seed)

    assert step(9) is step(9)
    assert step(9) is not step(9, seed=1)
    assert step(9) is not step(10)


def test_a_head_that_was_traced_can_be_drawn():
    head = Head(
        width=3, dis_hidden=2, pim_hidden=2, alpha_init=0.1, rates=(1,), shallow=8,
        rectify=False, aligned=False,
    )  # fmt: skip
    method = DPNet(PatchNet(), head)
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    drawn = method.init(jax.random.key(0))
    assert jax.tree.map(lambda x: x.shape, drawn) == jax.tree.map(lambda x: x.shape, shapes)
