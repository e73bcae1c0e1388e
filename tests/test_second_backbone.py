"""A network that is no ResNet goes through both methods: trained, adapted, evaluated, drawn.

`PatchNet` has 16-pixel patches, half-pixel cells, a LayerNorm, no stages, no statistics, and features of
equal width. It enters by the front door, as the `backbone` of a method, and no other file knows of it.
"""

import jax
import numpy as np
import pytest

from fsjax.data.images import InputSettings
from fsjax.data.index import build_index
from fsjax.data.sampling import make_sampler
from fsjax.devices import first_copy, replicate
from fsjax.evaluation.photos import Photos
from fsjax.evaluation.rows import Evaluation
from fsjax.models.dpnet.dpnet import DPNet, DPNetSettings
from fsjax.models.dpnet.head import Head
from fsjax.models.method import Adaptable, Explainable, Trainable
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.segmenter import Segmenter
from fsjax.training.optimizer import OptimizerSettings
from fsjax.training.plan import Plan
from fsjax.training.step import make_state, make_train_step, split
from tests.models.patch_net import PatchNet
from tests.models.tiny import adapted, random_episode, supports_of
from tests.toy import ToySource

SIDE, STEPS, SEED = 64, 4, 3
BACKBONE = PatchNet()
PRNET = PRNet(BACKBONE)
HEAD = Head(
    width=8, dis_hidden=4, pim_hidden=4, alpha_init=0.1, rates=(1,), shallow=8, rectify=False, aligned=False
)  # fmt: skip
DPNET = DPNet(BACKBONE, HEAD)
NORM = {"norm/scale", "norm/bias"}
SOURCE = ToySource()
INDEX = build_index(SOURCE)


def sampler(classes, ways=1, shots=2):
    return make_sampler(
        "class_uniform", INDEX, SOURCE.class_names, classes, ways=ways, shots=shots, queries=2, seed=SEED
    )


def trained(method):
    """The variables before and after some steps on the base classes, and the loss of each step."""
    settings = OptimizerSettings("adamw", 1e-2, 0.9, 0.99, 1e-2, "constant", (), 1.0, 0)
    plan = Plan.make(
        sampler((3, 4, 5, 6)), InputSettings(SIDE, flip=True), settings,
        batch_size=8, reference_batch_size=8, lr_scaling="none", steps=STEPS, epochs=0, seed=SEED,
    )  # fmt: skip
    before = jax.tree.map(np.array, method.init(jax.random.key(0)))
    learned, fixed = split(method, before)
    step = make_train_step(method, plan.optimizer, plan.seed)
    state, frozen, losses = replicate(make_state(learned, plan.optimizer)), replicate(fixed), []
    for batch in plan.episodes(SOURCE, 0, threads=1, workers=0):
        state, metrics = step(state, frozen, batch)
        losses.append(float(metrics["loss"][0]))
    return before, {**fixed, **jax.tree.map(np.array, first_copy(state).variables)}, losses


def evaluated(method, variables, settings, rows):
    """The confusion matrices of some episodes of the novel classes, row by row."""
    drawn = sampler((1, 2))
    specs = [drawn(i) for i in range(6)]
    evaluation = Evaluation(
        segmenter=Segmenter(method, variables, settings, InputSettings(SIDE)),
        untrained=lambda: variables,
        sampler=drawn,
        photos=Photos(SOURCE, InputSettings(SIDE, label="original"), batch_size=1),
        specs=specs,
        run_length=3,
        adapt_length=2,
        fusion=FusionSettings(),
        adapt=AdaptSettings(steps=2, learning_rate=1e-2),
    )
    return {row.name: [np.array(r["confusion"]) for r in row.records] for row in evaluation.score(rows)}


@pytest.fixture(scope="module")
def prnet():
    return trained(PRNET)


@pytest.fixture(scope="module")
def dpnet():
    return trained(DPNET)


def moved(before, after):
    """The names of the parameters that differ."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    return {"/".join(part.key for part in path) for (path, old), new in pairs if (old != new).any()}


def test_they_are_methods_as_others_are():
    assert isinstance(PRNET, Trainable)
    assert isinstance(PRNET, Adaptable)
    assert isinstance(DPNET, Trainable)
    assert isinstance(DPNET, Explainable)
    assert PRNET.side(70) == DPNET.side(70) == 64


def test_prnet_learns_with_it(prnet):
    before, after, losses = prnet
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert moved(before, after) == moved(before, jax.tree.map(lambda x: x + 1, before))


@pytest.mark.parametrize(
    ("parameters", "tuned"),
    [
        ("last_stage", {"layer/kernel", "layer/bias"}),
        pytest.param("norm_affine", NORM, marks=pytest.mark.slow),
        pytest.param(
            "all",
            {f"{layer}/{name}" for layer in ("embedding", "layer") for name in ("kernel", "bias")} | NORM,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_prnet_adapts_it(prnet, parameters, tuned):
    episode = random_episode(1, ways=2, shots=2, side=SIDE)
    settings = AdaptSettings(steps=2, learning_rate=1e-2, parameters=parameters)
    supports = supports_of(episode)
    after, losses = jax.jit(lambda variables: adapted(PRNET, variables, supports, settings))(prnet[1])
    assert moved(prnet[1]["backbone"]["params"], after["backbone"]["params"]) == tuned
    assert losses[1] < losses[0]


@pytest.mark.slow
def test_prnet_is_evaluated_with_it(prnet):
    rows = ("fusion0", "fusion1", "fusion2", "adapted", "oracle")
    counts = evaluated(PRNET, prnet[1], FusionSettings(), rows)
    assert list(counts) == ["fusion0", "fusion1", "fusion2", "fusion2_adapt2", "oracle"]
    assert [len(episodes) for episodes in counts.values()] == [6, 6, 6, 4, 6]
    for episodes in counts.values():
        assert all(matrix.shape == (2, 3, 2) for matrix in episodes)
        assert np.sum(episodes, (0, 1))[1].all()
    shown, own = (np.sum(counts[name], (0, 1)) for name in ("fusion0", "oracle"))
    assert shown.sum() == own.sum()
    first = [counts["fusion2"][i].sum() for i in (0, 1, 3, 4)]
    assert [matrix.sum() for matrix in counts["fusion2_adapt2"]] == first


@pytest.mark.slow
def test_dpnet_learns_over_it_and_leaves_it_alone(dpnet):
    before, after, losses = dpnet
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    names = moved(before, after)
    assert {name.split("/")[0] for name in names} == {"head"}
    parts = {"merge", "discriminator", "interaction", "fusion", "decoder", "aux_decoder"}
    assert {name.split("/")[1] for name in names} == parts


@pytest.mark.slow
def test_dpnet_is_evaluated_and_explained_with_it(dpnet):
    counts = evaluated(DPNET, dpnet[1], DPNetSettings(0.2), ("aux", "master", "frozen_fusion2"))
    assert list(counts) == ["frozen_fusion2", "aux", "master"]
    assert len({np.sum(episodes) for episodes in counts.values()}) == 1
    assert np.sum(counts["frozen_fusion2"], (0, 1))[1].all()
    segmenter = Segmenter(DPNET, dpnet[1], DPNetSettings(0.2), InputSettings(SIDE))
    image, mask = SOURCE.image(0), SOURCE.labels(0)
    found = segmenter.fit([image], [mask == 1]).explain(SOURCE.image(6))
    assert found.support_cells.tolist() == found.query_cells.tolist() == [4, 4]
    assert not found.aligned
