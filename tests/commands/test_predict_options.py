"""What each flag of predict.py changes: the masks are those of a Segmenter that was told the same."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import predict
from fsjax import cli
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.scales import Scales
from fsjax.prediction import MIN_PRESENCE
from fsjax.segmenter import Segmenter
from tests.commands.own_photos import drawn, mask_of, saved, segment, show, table
from tests.runs import dpnet_config
from tests.training import test_release

QUERIES = {"a": (36, 44, (1, 2)), "b": (52, 30, (1,)), "c": (36, 44, ())}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Supports of two classes, and three photos."""
    root = tmp_path_factory.mktemp("options")
    show(root / "shown", classes=("cup", "jar"))
    for number, (name, drawing) in enumerate(QUERIES.items()):
        saved(root / "photos" / f"{name}.png", drawn(100 + number, *drawing)[0])
    return root


def fit(segmenter, **options):
    """The segmenter fitted to the supports of `show`, in the same order."""
    shown = [drawn(10 * n + k, classes=(n,)) for n in (1, 2) for k in range(2)]
    return segmenter.fit([image for image, _ in shown], [mask for _, mask in shown], **options)


def photos():
    return {name: drawn(100 + number, *drawing)[0] for number, (name, drawing) in enumerate(QUERIES.items())}


def resized(segmenter):
    return replace(segmenter, inputs=replace(segmenter.inputs, size=24))


def at_scales(segmenter):
    return replace(segmenter, scales=Scales((0.5, 1.0), "logit"))


ALL = "--min_presence=0"
SIZE = "--config.eval.size=24"
SCALES = "--scales=0.5,1", "--config.eval.scale_average=logit"
ADAPT = "--adapt", "--config.eval.adapt.steps=2", "--config.eval.adapt.learning_rate=0.05"
TUNED = AdaptSettings(steps=2, learning_rate=0.05)


def same(segmenter):
    return segmenter


CASES = {
    "nothing": ((), same, None, {"min_presence": MIN_PRESENCE}),
    "a threshold": (("--threshold=0.55", ALL), same, None, {"threshold": 0.55}),
    "no fusion": (("--fusion=0", ALL), same, None, {"output": "fusion0"}),
    "batches": (("--fusion=1", "--batch=2", ALL), same, None, {"output": "fusion1", "batch": 2}),
    "a field": ((SIZE, ALL), resized, None, {}),
    "scales": ((*SCALES, ALL), at_scales, None, {}),
    "adaptation": ((*ADAPT, ALL), same, TUNED, {}),
}  # fmt: skip


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case == "a field")) for case in CASES]
)
def test_masks_are_those_of_a_segmenter_that_is_told_the_same(case, place, untrained, tmp_path):
    flags, made, adapt, options = CASES[case]
    assert segment(place, *flags, f"--model={untrained}", out=tmp_path / "found") == 0
    fitted = fit(made(Segmenter.load(untrained)), adapt=adapt)
    for name, photo in photos().items():
        found = fitted.segment(photo, **options)
        np.testing.assert_array_equal(mask_of(tmp_path / "found", name), found.mask)


def test_a_threshold_of_nothing_and_of_all(place, untrained, tmp_path):
    model = f"--model={untrained}"
    assert segment(place, model, "--threshold=0", "--min_presence=0", out=tmp_path / "all") == 0
    assert segment(place, model, "--threshold=1", out=tmp_path / "none") == 0
    for name in QUERIES:
        assert mask_of(tmp_path / "all", name).min() > 0
        assert not mask_of(tmp_path / "none", name).any()
    assert {row["found"] for row in table(tmp_path / "none")} == {"no"}
    assert json.loads((tmp_path / "none" / "annotations.json").read_text())["annotations"] == []


def test_what_is_not_there_has_an_empty_mask_and_its_score(place, untrained, tmp_path, capsys):
    model = f"--model={untrained}"
    assert segment(place, model, "--min_presence=1", out=tmp_path / "found") == 0
    said = capsys.readouterr().out
    assert "cup: found in 0 of 3 photos (presence of 1 and more)." in said
    assert segment(place, model, "--min_presence=0", out=tmp_path / "all") == 0
    assert "of 3 photos.\n" in capsys.readouterr().out
    for row, whole in zip(table(tmp_path / "found"), table(tmp_path / "all"), strict=True):
        assert (row["area"], row["found"], row["presence"]) == ("0", "no", whole["presence"])
        assert not mask_of(tmp_path / "found", row["photo"]).any()


def test_a_configuration_without_weights_asks_for_a_model(place, refusal):
    given = (f"--support={place}/shown", f"--query={place}/photos", f"--out={place}/none")
    file = f"{cli.CONFIGS}/prnet_shapes.py"
    said = refusal(predict, *given, f"--config={file}")
    assert "No model is named, and there are no published weights of small: name a run, or a file" in said
    assert not (place / "none").exists()


@pytest.fixture(scope="module")
def dpnet(tmp_path_factory):
    return test_release.saved(tmp_path_factory.mktemp("dpnet"), dpnet_config({"eval.size": 33}))[0]


def test_a_dpnet_is_neither_fused_nor_adapted(place, dpnet, tmp_path, refusal):
    given = (
        f"--support={place}/shown",
        f"--query={place}/photos",
        f"--out={tmp_path}/none",
        f"--model={dpnet}",
    )
    said = refusal(predict, *given, "--fusion=1")
    assert "There is no output 'fusion1': choose from aux, master." in said
    assert "This method cannot be adapted to supports: PRNet can." in refusal(predict, *given, "--adapt")
    assert not (tmp_path / "none").exists()


@pytest.mark.slow  # its head takes long to compile
def test_a_dpnet_segments(place, dpnet, tmp_path):
    assert segment(place, f"--model={dpnet}", out=tmp_path / "found") == 0
    fitted = fit(Segmenter.load(dpnet))
    for name, photo in photos().items():
        found = fitted.segment(photo, min_presence=MIN_PRESENCE)
        np.testing.assert_array_equal(mask_of(tmp_path / "found", name), found.mask)


def test_pictures_of_the_page_can_be_opened(place, untrained, tmp_path):
    assert segment(place, f"--model={untrained}", out=tmp_path / "found") == 0
    for k in range(1, 5):
        with Image.open(tmp_path / "found" / "supports" / f"{k}.jpg") as picture:
            assert picture.size == (44, 36)
