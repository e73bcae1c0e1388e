"""Variants of a segmenter's settings are rows of the same pass: what each setting alone would score."""

from dataclasses import replace

import pytest

from fsjax.config import default
from fsjax.errors import InputError
from fsjax.evaluation.paired import Comparison
from fsjax.models import build
from fsjax.models.dpnet.dpnet import DPNetSettings
from fsjax.models.fssdino.clustering import Clustering
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from tests.evaluation.episodes import CLUSTERING, SIDE, dpnet, fssdino, photos, prnet
from tests.evaluation.test_rows import confusions, counted, evaluation

GRAM = "gram=true"
PREDICTED, SECOND = "threshold_over=predicted", "second_mask=m2+omega_q=0.9"
PRNET = {
    PREDICTED: FusionSettings(threshold_over="predicted"),
    SECOND: FusionSettings(second_mask="m2", omega_q=0.9),
}
BETAS = {"beta=0": DPNetSettings(0.0), "beta=1": DPNetSettings(1.0)}


def test_variants_are_what_their_settings_alone_score():
    whole = replace(evaluation(), variants=PRNET)
    rows = {row.name: row for row in whole.score(("fusion0", "fusion2"))}
    assert list(rows) == ["fusion0", "fusion2", f"fusion2 {PREDICTED}", f"fusion2 {SECOND}"]
    for variant, settings in PRNET.items():
        alone = prnet().with_settings(settings)
        assert confusions(rows[f"fusion2 {variant}"]) == counted(alone, whole.specs, "fusion2")
        assert confusions(rows[f"fusion2 {variant}"]) != confusions(rows["fusion2"])
        assert Comparison(f"fusion2 {variant}", "fusion2") in whole.comparisons
    assert whole.extracted.total() == evaluated_alone().extracted.total()


def test_a_variant_that_changes_the_plain_output_has_a_row_of_it():
    """Prototypes, with fusion, with Gram maps, with both: one table."""
    whole = replace(evaluation(), variants={GRAM: FusionSettings(gram=True), PREDICTED: PRNET[PREDICTED]})
    rows = {row.name: row for row in whole.score(("fusion0", "fusion2"))}
    own = ["fusion0", f"fusion0 {GRAM}", "fusion2", f"fusion2 {GRAM}", f"fusion2 {PREDICTED}"]
    assert list(rows) == own
    alone = prnet().with_settings(FusionSettings(gram=True))
    for output in ("fusion0", "fusion2"):
        assert confusions(rows[f"{output} {GRAM}"]) == counted(alone, whole.specs, output)
        assert confusions(rows[f"{output} {GRAM}"]) != confusions(rows[output])
        assert confusions(rows[output]) == counted(prnet(), whole.specs, output)
        assert Comparison(f"{output} {GRAM}", output) in whole.comparisons
    assert Comparison(f"fusion0 {PREDICTED}", "fusion0") not in whole.comparisons
    assert whole.extracted == evaluated_alone().extracted


def test_an_adaptation_has_such_rows_too():
    settings = {"variants": {GRAM: FusionSettings(gram=True)}, "adapt": AdaptSettings(1, 0.05)}
    whole = replace(evaluation(), **settings, adapt_curve=True)
    rows = [row.name for row in whole.score(("adapted", "fusion0"))]
    assert rows == [
        "fusion0", f"fusion0 {GRAM}", "fusion0_adapt0", f"fusion0_adapt0 {GRAM}",
        "fusion0_adapt1", f"fusion0_adapt1 {GRAM}",
    ]  # fmt: skip


def test_clusterings_are_variants_of_fssdino():
    variants = {"clusters=1": Clustering(1), "seed=9": replace(CLUSTERING, seed=9)}
    whole = replace(evaluation(fssdino()), variants=variants)
    rows = {row.name: row for row in whole.score(("fssdino",))}
    for name, settings in variants.items():
        alone = fssdino().with_settings(settings)
        assert confusions(rows[f"fssdino {name}"]) == counted(alone, whole.specs, "fssdino")
        assert not alone.describes_as(fssdino())


def test_what_describes_nothing_more_describes_alike():
    able = prnet().with_settings(FusionSettings(gram=True))
    assert not able.describes_as(prnet())
    assert able.with_settings(FusionSettings()).describes_as(able)


def evaluated_alone():
    whole = evaluation()
    whole.score(("fusion2",))
    return whole


@pytest.mark.slow
def test_a_curve_of_beta_comes_from_one_pass():
    whole = replace(evaluation(dpnet(), read=photos(size=SIDE + 1)), variants=BETAS)
    rows = {row.name: row for row in whole.score(("aux", "master"))}
    assert list(rows) == ["aux", "master", "master beta=0", "master beta=1"]
    for variant, settings in BETAS.items():
        alone = dpnet().with_settings(settings)
        assert confusions(rows[f"master {variant}"]) == counted(
            alone, whole.specs, "master", read=whole.photos
        )


def test_a_curve_of_the_adaptation_has_a_row_for_every_step():
    adapt = AdaptSettings(steps=1, learning_rate=0.05)
    whole = replace(evaluation(), variants={PREDICTED: PRNET[PREDICTED]}, adapt=adapt, adapt_curve=True)
    rows = [row.name for row in whole.score(("adapted", "fusion0", "fusion2"))]
    assert rows == [
        "fusion0", "fusion2", f"fusion2 {PREDICTED}",
        "fusion0_adapt0", "fusion2_adapt0", f"fusion2_adapt0 {PREDICTED}",
        "fusion0_adapt1", "fusion2_adapt1", f"fusion2_adapt1 {PREDICTED}",
    ]  # fmt: skip
    assert whole.comparisons[0] == Comparison("fusion2_adapt1", "fusion2_adapt0")


def test_settings_share_the_variables_on_the_devices():
    segmenter = prnet()
    other = segmenter.with_settings(PRNET[PREDICTED])
    assert other._placed(1) is segmenter._placed(1)
    assert other.describes_as(segmenter)
    assert not replace(segmenter, variables=dict(segmenter.variables)).describes_as(segmenter)


def test_variants_are_read_from_the_configuration():
    config = default()
    config.eval.variants = (PREDICTED, SECOND)
    assert build.variants(config) == PRNET
    config.model.name, config.eval.variants = "dpnet", ("beta=0.4",)
    assert build.variants(config) == {"beta=0.4": DPNetSettings(0.4)}
    config.model.name, config.eval.variants = "fssdino", ("clusters=9+seed=3",)
    assert build.variants(config) == {"clusters=9+seed=3": Clustering(9, 100, 3)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("beta=0.3", r"eval.variants holds 'beta=0.3': write field=value, .* the fields are omega_s, .*\."),
        ("threshold_over", r"eval.variants holds 'threshold_over': write field=value"),
        ("threshold_over=mean", r"eval.fusion.threshold_over is 'mean': give 'map' or 'predicted'\."),
    ],
)
def test_other_variants_are_refused(text, sentence):
    config = default()
    config.eval.variants = (text,)
    with pytest.raises(InputError, match=f"^{sentence}"):
        build.variants(config)
