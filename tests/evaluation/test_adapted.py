"""Adaptation starts anew in every episode, and is what the method does to that episode's supports."""

from dataclasses import replace

import pytest

from fsjax import compiled
from fsjax.data.images import load_episode
from fsjax.evaluation.adapted import evaluate_adapted
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.scoring import Scoring
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from tests.evaluation.episodes import SIDE, SOURCE, assert_same, drawn, photos, prnet
from tests.models.tiny import supports_of, two_layer_backbone

OUTPUTS = ("fusion0", "fusion2")
TUNED = AdaptSettings(steps=2, learning_rate=0.05)
SEGMENTER = prnet(backbone=two_layer_backbone())
SPECS = drawn(11, ways=2, queries=2)  # on eight devices: the last batch is filled up


@pytest.fixture(scope="module")
def adapted():
    (counted,) = evaluate_adapted(photos(), SEGMENTER, SPECS, TUNED)
    return counted


@pytest.fixture(scope="module")
def plain():
    (counted,) = evaluate_adapted(photos(), SEGMENTER, SPECS, None)
    return counted


def test_every_episode_is_segmented_with_variables_of_its_own(adapted, plain):
    tune = compiled.adapt(SEGMENTER.method, TUNED)
    for number, spec in list(enumerate(SPECS))[::7]:
        episode = load_episode(SOURCE, spec, photos().settings)
        variables = tune(SEGMENTER.variables, *supports_of(episode))
        alone = replace(SEGMENTER, variables=variables)
        (counts,) = evaluate(photos(), [Scoring(alone, [spec], OUTPUTS)]).counts
        for output in OUTPUTS:
            expected, moved = counts[output][0], abs(counts[output][0] - plain[output][number]).sum()
            # Two programs tune to the last bits differently, which a tie in a thousand pixels can show.
            assert abs(adapted[output][number] - expected).sum() <= min(8, moved // 4)


def test_adaptation_changes_what_is_predicted(adapted, plain):
    for output in OUTPUTS:
        pairs = zip(adapted[output], plain[output], strict=True)
        assert sum(abs(tuned - untuned).sum() > 100 for tuned, untuned in pairs) > len(SPECS) / 2


def test_no_filling_is_counted_and_every_pixel_is(adapted):
    assert adapted.keys() == set(SEGMENTER.method.outputs)
    for output in OUTPUTS:
        assert [matrices.shape for matrices in adapted[output]] == [(2, 4, 3)] * len(SPECS)
        assert {int(n) for matrices in adapted[output] for n in matrices.sum((1, 2))} == {SIDE * SIDE}


def test_no_step_leaves_everything_as_it_is(plain):
    (untouched,) = evaluate_adapted(photos(), SEGMENTER, SPECS, replace(TUNED, steps=0))
    assert_same(untouched, plain, OUTPUTS)


def test_episodes_do_not_depend_on_one_another(adapted):
    (backwards,) = evaluate_adapted(photos(), SEGMENTER, SPECS[::-1], TUNED)
    assert_same({name: counts[::-1] for name, counts in backwards.items()}, adapted, OUTPUTS)


@pytest.mark.slow
def test_a_curve_is_what_each_number_of_steps_gives_alone(plain):
    gentle = replace(TUNED, learning_rate=3e-4)  # larger rates end in features of zero, and in ties
    variants = {"threshold_over=predicted": FusionSettings(threshold_over="predicted")}
    curve = evaluate_adapted(photos(), SEGMENTER, SPECS, gentle, variants=variants, curve=True)
    (alone,) = evaluate_adapted(photos(), SEGMENTER, SPECS, gentle)
    over_predicted = SEGMENTER.with_settings(variants["threshold_over=predicted"])
    (varied,) = evaluate_adapted(photos(), over_predicted, SPECS, gentle)
    assert len(curve) == gentle.steps + 1
    for moment, found, expected in (
        *((0, output, plain[output]) for output in OUTPUTS),
        *((-1, output, alone[output]) for output in OUTPUTS),
        (-1, "fusion2 threshold_over=predicted", varied["fusion2"]),
    ):
        assert max(_moved(curve[moment][found], expected)) <= 32
    assert min(_moved(curve[1]["fusion0"], plain["fusion0"])) > 0
    assert max(_moved(curve[2]["fusion0"], curve[1]["fusion0"])) > 100
    assert max(_moved(varied["fusion2"], alone["fusion2"])) > 100


def _moved(counts, others):
    return [abs(x - y).sum() for x, y in zip(counts, others, strict=True)]
