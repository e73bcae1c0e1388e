"""Photos of coloured rectangles, and segmenters of tiny networks that find them."""

import re
from dataclasses import replace

import jax
import numpy as np

from fsjax.data.images import InputSettings
from fsjax.evaluation.adapted import photos_of, segment_episode
from fsjax.models.dpnet.dpnet import DPNetSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.segmenter import Segmenter
from tests.models.dpnet import toy as dpnet
from tests.models.tiny import linear_backbone
from tests.rectangles import rectangles

SIDE = 32
KERNEL = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
COLOURS = np.uint8([[90, 90, 90], [250, 30, 30], [30, 30, 250]])
PRNET = Segmenter(
    PRNet(linear_backbone()),
    {"backbone": {"params": {"kernel": KERNEL}}, "head": {}},
    FusionSettings(),
    InputSettings(size=SIDE),
)
JOINT = replace(PRNET, settings=FusionSettings(joint=True))
DPNET = Segmenter(
    dpnet.METHOD,
    {"backbone": dpnet.METHOD.backbone.init(jax.random.key(1)), "head": dpnet.PARAMS},
    DPNetSettings(0.2),
    InputSettings(size=33),
)


def photo(seed, height=SIDE, width=SIDE, classes=(1,)):
    """Coloured rectangles on grey, side by side, and the mask that says which class each is of."""
    return rectangles(seed, height, width, classes, COLOURS, margin=2, noise=25)


def photos(*several):
    images, masks = zip(*several, strict=True)
    return list(images), list(masks)


def segmented(segmenter, variables, episode):
    """The logits of an episode's queries in one program, as the adapted row's."""
    method, scales = segmenter.method, segmenter.scales
    features = [method.embed(variables, *each) for each in photos_of(method, episode, scales)]
    return segment_episode(method, variables, episode, features, scales)(segmenter.settings)


def iou(found, truth, way):
    return ((found == way) & (truth == way)).sum() / ((found == way) | (truth == way)).sum()


def assert_one_sentence(raised, message):
    text = str(raised.value)
    assert message in text
    assert "\n" not in text
    assert text.endswith(".")
    assert len(re.findall(r"[.!?](?:\s|$)", text)) == 1
