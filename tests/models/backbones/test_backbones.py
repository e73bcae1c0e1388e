"""Backbones by name: options are checked in one sentence, defaults filled in."""

import jax
import jax.numpy as jnp
import pytest

from fsjax.errors import InputError
from fsjax.models.backbones import OPTIONS, make
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Backbone


@pytest.mark.parametrize(
    ("name", "options", "stages", "channels"),
    [
        ("resnet50", {}, 4, {SHALLOW: 1024, DEEP: 2048}),
        ("resnet101", {"stages": 3, "first_block_dilation": "stage"}, 3, {SHALLOW: 512, DEEP: 1024}),
        ("resnet50", {"stages": 1, "convention": "caffe"}, 1, {SHALLOW: 64, DEEP: 256}),
        ("vgg16", {}, 5, {SHALLOW: 512, DEEP: 512}),
        ("vgg16", {"width": 3}, 5, {SHALLOW: 24, DEEP: 24}),
        ("small", {}, 3, {SHALLOW: 64, DEEP: 128}),
        ("small", {"widths": [4, 6, 8, 10]}, 4, {SHALLOW: 8, DEEP: 10}),
    ],
)
def test_a_name_and_options_make_a_backbone(name, options, stages, channels):
    backbone = make(name, options, "bfloat16")
    assert isinstance(backbone, Backbone)
    assert (backbone.stages, backbone.channels) == (stages, channels)
    assert hash(backbone) == hash(make(name, options, "bfloat16"))
    assert backbone == make(name, options, "bfloat16") != make(name, options, "float32")
    assert {leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(backbone.init, jax.random.key(0)))} == {
        jnp.dtype("float32")
    }


@pytest.mark.parametrize(
    ("option", "value"), [("stages", 3), ("convention", "caffe"), ("first_block_dilation", "stage")]
)
def test_every_option_is_heard(option, value):
    assert make("resnet50", {option: value}, "float32") != make("resnet50", {}, "float32")


def test_what_trains_from_scratch_takes_the_batch_and_what_is_pretrained_does_not():
    normalised = [name for name, options in OPTIONS.items() if "batch_statistics" in options]
    taken = {name: make(name, {}, "float32").batch_statistics for name in normalised}
    assert taken == {"resnet50": False, "resnet101": False, "small": True}


@pytest.mark.parametrize("name", OPTIONS)
def test_defaults_are_allowed(name):
    defaults = {option: field.default for option, field in OPTIONS[name].items()}
    assert make(name, defaults, "float32") == make(name, {}, "float32")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("vgg", {}, r"model\.backbone is 'vgg': choose one of resnet50, resnet101, vgg16, dinov2_small, "),
        ("resnet50", {"stages": 5}, r"model\.backbone_options\.stages is 5"),
        ("resnet50", {"stages": 0}, r"model\.backbone_options\.stages is 0"),
        ("resnet50", {"stages": 2.5}, r"model\.backbone_options\.stages is 2\.5"),
        ("resnet50", {"convention": "coffee"}, r"model\.backbone_options\.convention is 'coffee'.*caffe"),
        ("resnet101", {"first_block_dilation": None}, r"first_block_dilation is None"),
        ("resnet101", {"stage": 3}, r"model\.backbone_options.*stage.*stages"),
        ("resnet101", {"batch_statistics": 1}, r"batch_statistics is 1"),
        ("vgg16", {"width": 0}, r"model\.backbone_options\.width is 0"),
        ("vgg16", {"stages": 4}, r"no field model\.backbone_options\.stages"),
        ("small", {"stages": 2}, r"model\.backbone_options.*stages"),
        ("small", {"widths": ()}, r"model\.backbone_options\.widths is \(\)"),
        ("small", {"widths": (8, -1)}, r"model\.backbone_options\.widths is \(8, -1\)"),
    ],
)
def test_a_wrong_option_is_named_in_one_sentence(name, options, said):
    with pytest.raises(InputError, match=said) as error:
        make(name, options, "float32")
    assert "\n" not in str(error.value)
