"""DPNet's losses and segmentation agree with the paper's equations in NumPy, gradients included."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from configs import common
from fsjax.errors import InputError
from fsjax.models.backbones.resnet import Features
from fsjax.models.dpnet.dpnet import DPNet, DPNetSettings
from fsjax.models.dpnet.head import Head, Switches
from fsjax.models.dpnet.pseudo_prototype import PSEUDO_PROTOTYPES
from fsjax.models.layers.padding import strided, zero_padding
from fsjax.models.method import build, switches
from tests.models.dpnet import reference
from tests.models.tiny import random_task, swap_ways

RATES = (1, 2, 3)
ONE, TWO = (1, 1, 1), (2, 2, 2)  # ways, shots, queries


class Stages(nn.Module):
    """Linear maps of every eighth pixel's colors, named as a ResNet's stages."""

    @nn.compact
    def __call__(self, images, sizes):
        cells = strided(sizes, 8)
        colors = images[:, ::8, ::8].astype(jnp.float32) / 255 - 0.5
        second, third = (nn.Dense(width, use_bias=False)(colors) for width in (3, 6))
        maps = {"stage2": nn.relu(second), "stage3_pre": third}
        return {name: Features(zero_padding(x, cells), cells) for name, x in maps.items()}


METHOD = DPNet(Stages(), Head(width=6, dis_hidden=5, pim_hidden=4, alpha_init=0.3, rates=RATES))


def random_params(init, *arguments):
    """Parameters of which none is zero, so that each of them matters."""
    rng = np.random.default_rng(0)

    def leaf(path, shape):
        match path[-1].key:
            case "kernel":
                spread = np.sqrt(2 / np.prod(shape.shape[:-1]))
            case "bias":
                spread = 0.2
            case "alpha":
                return np.float32(0.3)
        return (spread * rng.normal(size=shape.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, jax.eval_shape(init, jax.random.key(0), *arguments))


PARAMS = random_params(METHOD.init_head)
VARIABLES = {"head": jax.tree.map(jnp.asarray, PARAMS)}


def draw(seed, ways, shots, queries, **options):
    """A task of features as an extractor returns them: stage 2 after its ReLU, and padding of zeros."""
    task = random_task(seed, ways, shots, queries, channels=9, **options)

    def stages(image):
        return np.concatenate([np.maximum(image[..., :3], 0), image[..., 3:]], -1)

    def padded(features):
        flat = jnp.asarray(stages(features.map)).reshape(-1, 5, 6, 9)
        zeroed = zero_padding(flat, jnp.asarray(features.sizes).reshape(-1, 2))
        return Features(np.asarray(zeroed).reshape(features.map.shape), features.sizes)

    return task._replace(
        supports=padded(task.supports),
        queries=padded(task.queries),
        support_list=[[stages(image) for image in way] for way in task.support_list],
        query_list=[stages(image) for image in task.query_list],
    )


def settings(**changes):
    """Switches as arrays; without dropout, as the reference has none."""
    values = Switches(dropout=0.0)._replace(**changes)
    whole = jnp.int32(values.pseudo_prototype)
    return Switches(*map(jnp.float32, values))._replace(pseudo_prototype=whole)


def kind_of(name):
    return PSEUDO_PROTOTYPES.index(name)


@jax.jit
def differentiated(params, batch, keys, switches):
    """The losses of a batch of episodes and their terms, and the gradient of the losses' sum."""

    def of_params(params):
        losses, terms = replace(METHOD, switches=switches).loss({"head": params}, *batch, keys)
        return jnp.sum(losses), (losses, terms)

    (_, found), gradient = jax.value_and_grad(of_params, has_aux=True)(params)
    return *found, gradient


def stacked(*tasks):
    parts = [(task.supports, task.queries, task.episode) for task in tasks]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *parts)


def keys_of(*seeds):
    return jax.vmap(jax.random.key)(jnp.array(seeds))


def evaluate(tasks, *, params=PARAMS, seeds=(0, 1), **changes):
    return differentiated(params, stacked(*tasks), keys_of(*seeds), settings(**changes))


def assert_finite(tree):
    for leaf in jax.tree.leaves(tree):
        assert np.isfinite(leaf).all()


@pytest.fixture(scope="module")
def tasks():
    """Two episodes of each shape."""
    return {shape: [draw(seed, *shape) for seed in (40, 41)] for shape in (ONE, TWO)}


KINDS = [({"pseudo_prototype": kind_of(name)}, {"kind": name}) for name in PSEUDO_PROTOTYPES]
OTHERS = [
    ({"pim": 0.0}, {"pim": False}),
    ({"msf": 0.0}, {"msf": False}),
    ({"beta": 0.4}, {"beta": 0.4}),
    ({"selected_loss": 1.0}, {"judge": "selected"}),
]


@pytest.mark.parametrize(
    ("shape", "changes", "options"),
    [(ONE, *kind) for kind in KINDS] + [(TWO, *switched) for switched in KINDS + OTHERS],
)
def test_loss(tasks, shape, changes, options):
    losses, terms, gradient = evaluate(tasks[shape], **changes)
    for i, task in enumerate(tasks[shape]):
        expected = reference.losses(PARAMS, task, rates=RATES, **options)
        for name, value in expected.items():
            np.testing.assert_allclose(terms[name][i], value, rtol=1e-4, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(losses[i], sum(expected.values()), rtol=1e-4)
    assert_finite(gradient)


def test_the_discriminator_leaves_some_candidates_out(tasks):
    pairs = [
        pair
        for task in tasks[TWO]
        for way in reference.segment_all(PARAMS, task, rates=RATES)
        for pair in way
    ]
    candidates, selected = (
        [len(cells) for pair in pairs for cells in getattr(pair, name)] for name in ("candidates", "selected")
    )
    assert sum(candidates) > sum(selected) > 0
    assert 0 in selected  # P_q is P there


def test_the_total_weighs_its_terms(tasks):
    weighted, terms, _ = evaluate(tasks[TWO], lambda1=0.5, lambda2=1.2)
    expected = terms["seg_loss"] + 0.5 * terms["aux_loss"] + 1.2 * terms["dis_loss"]
    np.testing.assert_allclose(weighted, expected, rtol=1e-6)
    alone, terms, gradient = evaluate(tasks[TWO], aux_only=1.0, lambda1=0.5)
    np.testing.assert_array_equal(alone, terms["aux_loss"])
    assert not any(
        leaf.any() for name in ("decoder", "discriminator") for leaf in jax.tree.leaves(gradient[name])
    )
    assert all(leaf.any() for leaf in jax.tree.leaves(gradient["aux_decoder"]["project"]))


def test_gradients_agree_with_finite_differences(tasks):
    _, _, gradient = evaluate(tasks[ONE])
    rng = np.random.default_rng(0)
    along = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), PARAMS)

    def expected(step):
        moved = jax.tree.map(lambda leaf, direction: leaf + step * direction, PARAMS, along)
        return sum(sum(reference.losses(moved, task, rates=RATES).values()) for task in tasks[ONE])

    dot = sum(jax.tree.leaves(jax.tree.map(lambda a, b: np.vdot(a, b), gradient, along)))
    np.testing.assert_allclose(dot, (expected(1e-6) - expected(-1e-6)) / 2e-6, rtol=1e-3)


def test_alpha_has_a_gradient_at_zero(tasks):
    params = {**PARAMS, "interaction": {**PARAMS["interaction"], "alpha": np.float32(0)}}
    losses, terms, gradient = evaluate(tasks[ONE], params=params)
    assert abs(gradient["interaction"]["alpha"]) > 1e-4
    for name, value in terms.items():
        np.testing.assert_array_equal(value, evaluate(tasks[ONE], params=params, pim=0.0)[1][name])
    assert (losses != evaluate(tasks[ONE])[0]).all()


def test_one_program_serves_all_switches_and_agrees_with_constants(tasks):
    evaluate(tasks[ONE])
    before = differentiated._cache_size()
    names = [kind_of(name) for name in PSEUDO_PROTOTYPES]
    found = [evaluate(tasks[ONE], pseudo_prototype=kind)[0] for kind in names]
    evaluate(
        tasks[ONE], pim=0.0, msf=0.0, aux_only=1.0, selected_loss=1.0, lambda1=0.3, beta=0.1, dropout=0.2
    )
    assert differentiated._cache_size() == before
    assert len({float(losses[0]) for losses in found}) == len(names)
    constant = replace(METHOD, switches=Switches(dropout=0.0, pseudo_prototype=kind_of("cosine")))
    alone = jax.jit(lambda batch: constant.loss(VARIABLES, *batch, keys_of(0, 1))[0])
    np.testing.assert_allclose(alone(stacked(*tasks[ONE])), found[kind_of("cosine")], rtol=1e-6)


def test_without_reliable_cells_the_prototype_stands_in(tasks):
    _, nothing, _ = evaluate(tasks[TWO], beta=1.0)  # no confidence exceeds it
    _, off, _ = evaluate(tasks[TWO], pseudo_prototype=kind_of("off"))
    for name in ("seg_loss", "aux_loss"):
        np.testing.assert_array_equal(nothing[name], off[name])
    assert (nothing["dis_loss"] > 0).all()
    assert not evaluate(tasks[TWO], beta=1.0, selected_loss=1.0)[1]["dis_loss"].any()


def test_dropout_is_a_function_of_an_episodes_own_key(tasks):
    first, second = tasks[ONE]
    losses, _, gradient = evaluate([first, second], seeds=(3, 4), dropout=0.5)
    again, _, _ = evaluate([first, draw(42, *ONE)], seeds=(3, 9), dropout=0.5)
    swapped, _, _ = evaluate([second, first], seeds=(4, 3), dropout=0.5)
    other, _, _ = evaluate([first, second], seeds=(5, 4), dropout=0.5)
    without, _, _ = evaluate([first, second], seeds=(3, 4))
    np.testing.assert_array_equal(again[0], losses[0])
    np.testing.assert_array_equal(swapped[::-1], losses)
    assert other[0] != losses[0]
    assert other[1] == losses[1]
    assert (without != losses).all()
    assert_finite(gradient)


def with_supports(task, change):
    """The task with `change` made to every support's mask, the rubbish beyond it aside."""
    masks = np.array(task.episode.support_masks)
    for n, way in enumerate(task.support_masks):
        for k, mask in enumerate(way):
            way[k] = mask = change(mask.copy())
            masks[n, k, : mask.shape[0], : mask.shape[1]] = mask
    return task._replace(episode=task.episode._replace(support_masks=masks))


def one_pixel(mask):
    mask[:] = 0
    mask[1, 2] = 1  # between the points that align_corners samples
    return mask


@pytest.mark.parametrize("change", [np.zeros_like, one_pixel])
def test_supports_with_next_to_nothing(change):
    tasks = [with_supports(draw(seed, *ONE), change) for seed in (43, 44)]
    _, terms, gradient = evaluate(tasks)
    for i, task in enumerate(tasks):
        for name, value in reference.losses(PARAMS, task, rates=RATES).items():
            np.testing.assert_allclose(terms[name][i], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert_finite(gradient)


def test_void_alone_is_a_loss_of_zero(tasks):
    first, second = tasks[ONE]
    void = first.episode._replace(query_masks=np.full_like(first.episode.query_masks, 255))
    losses, terms, _ = evaluate([first._replace(episode=void), second])
    assert losses[0] == 0
    assert losses[1] == evaluate([first, second])[0][1]
    assert all(value[0] == 0 for value in terms.values())
    _, _, gradient = evaluate([first._replace(episode=void)] * 2)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, 0)


@pytest.fixture(scope="module")
def segment():
    """Segments a task's queries on labels of given sizes, with beta 0.2."""

    @jax.jit
    def run(supports, masks, pixels, queries, sizes):
        fitted = METHOD.fit(VARIABLES, supports, masks, pixels)
        return METHOD.segment(VARIABLES, fitted, queries, (19, 23), sizes, DPNetSettings(0.2))

    def of_task(task, sizes):
        episode = task.episode
        return run(task.supports, episode.support_masks, episode.support_sizes, task.queries, np.int32(sizes))

    return of_task


SIZES = [[19, 11], [8, 23]]


def test_segmentation_on_labels_of_another_size(tasks, segment):
    ours = segment(tasks[TWO][0], SIZES)
    assert tuple(ours) == METHOD.outputs == ("aux", "master")
    assert (METHOD.plain, METHOD.final) == METHOD.outputs
    for branch, maps in ours.items():
        expected = reference.log_probabilities(PARAMS, tasks[TWO][0], branch, SIZES, rates=RATES, beta=0.2)
        for image, theirs in zip(maps, expected, strict=True):
            height, width, _ = theirs.shape
            np.testing.assert_allclose(image[:height, :width], theirs, atol=1e-4)


def test_one_ways_probabilities_add_up_to_one(tasks, segment):
    for maps in segment(tasks[ONE][0], SIZES[:1]).values():
        np.testing.assert_allclose(np.exp(maps).sum(-1), 1, atol=1e-6)


def test_the_order_of_ways_permutes_what_is_found(tasks, segment):
    task = tasks[TWO][0]
    swapped = swap_ways(task)
    for name, maps in segment(swapped, SIZES).items():
        np.testing.assert_allclose(maps, segment(task, SIZES)[name][..., [0, 2, 1]], atol=1e-6)
    losses = evaluate([swapped, task])[0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_padding_changes_nothing(tasks):
    @jax.jit
    def found(supports, masks, pixels, queries):
        fitted = METHOD.fit(VARIABLES, supports, masks, pixels)
        batch = jax.tree.map(lambda x: x[None], (fitted, queries))
        params = {"params": VARIABLES["head"]}
        return fitted, METHOD.head.apply(params, *batch, Switches(), 0.2, method="segment")

    for task in tasks[ONE]:
        episode = task.episode
        support, query = task.support_list[0][0], task.query_list[0]
        (h, w), (rows, columns) = support.shape[:2], query.shape[:2]
        fitted, padded = found(task.supports, episode.support_masks, episode.support_sizes, task.queries)
        fitted_cut, cut = found(
            Features(support[None, None], task.supports.sizes),
            task.support_masks[0][0][None, None],
            episode.support_sizes,
            Features(query[None], task.queries.sizes),
        )
        np.testing.assert_allclose(fitted.prototypes, fitted_cut.prototypes, rtol=1e-6, atol=1e-6)
        foreground = fitted.foreground.reshape(5, 6)[:h, :w]
        np.testing.assert_array_equal(foreground, fitted_cut.foreground.reshape(h, w))
        for branch in METHOD.outputs:
            ours, theirs = (getattr(maps, branch)[0, 0, 0] for maps in (padded, cut))
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours[:rows, :columns] / scale, theirs / scale, atol=1e-6)
        selected = np.zeros((5, 6), bool)
        selected[:rows, :columns] = cut.selected.reshape(rows, columns)
        np.testing.assert_array_equal(padded.selected.reshape(5, 6), selected)


def test_an_explanation_shows_the_cycles(tasks):
    explain = jax.jit(lambda *arguments: METHOD.explain(VARIABLES, *arguments, DPNetSettings(0.5)))
    for task in tasks[ONE]:
        episode = task.episode
        ours = explain(task.supports, episode.support_masks, episode.support_sizes, task.queries)
        images = [reference.compared(image) for image in (task.support_list[0][0], task.query_list[0])]
        np.testing.assert_array_equal(ours.support_cells, images[0].shape[:2])
        np.testing.assert_array_equal(ours.query_cells, images[1].shape[:2])
        mask = task.support_masks[0][0] == 1
        foreground = reference.foreground_cells(reference.soft_mask(mask, *images[0].shape[:2]))
        assert {tuple(cell) for cell in np.argwhere(ours.foreground)} == foreground
        for indices, (image, other) in ((ours.forward, images), (ours.backward, images[::-1])):
            for cell in np.ndindex(*image.shape[:2]):
                matched = np.unravel_index(indices[cell], ours.foreground.shape)
                assert matched == reference.most_similar(image[cell], other)
        pair = reference.segment_pair(PARAMS, task.support_list[0], [mask], task.query_list[0], rates=RATES)
        assert {tuple(cell) for cell in np.argwhere(ours.selected)} == pair.selected[0]
        for cell, confidence in pair.confidence[0].items():
            best = max(reference.cosine(images[1][cell], images[0][start]) for start in foreground)
            np.testing.assert_allclose(ours.similarity[cell], best, atol=1e-6)
            np.testing.assert_allclose(ours.confidence[cell], confidence, atol=1e-5)


def test_what_masks_hold_beyond_their_sizes_changes_nothing(tasks):
    task, other = tasks[ONE]
    masks = {}
    for name, sizes in (("support_masks", "support_sizes"), ("query_masks", "query_mask_sizes")):
        height, width = getattr(task.episode, sizes).reshape(2)
        changed = np.full_like(getattr(task.episode, name), 1)
        changed[..., :height, :width] = getattr(task.episode, name)[..., :height, :width]
        assert (changed != getattr(task.episode, name)).any()
        masks[name] = changed
    rubbish = task._replace(episode=task.episode._replace(**masks))
    np.testing.assert_array_equal(evaluate([rubbish, other])[0], evaluate([task, other])[0])


def test_cached_features_are_those_of_the_photos():
    rng = np.random.default_rng(0)
    images, sizes = (
        jnp.asarray(rng.integers(0, 256, (2, 33, 40, 3), np.uint8)),
        jnp.array([[33, 40], [17, 25]]),
    )
    variables = {"backbone": random_params(METHOD.extractor.init, images, sizes)}
    features, statistics = METHOD.embed(variables, images, sizes, train=True)
    assert statistics == {}
    assert features.map.shape == (2, 5, 5, 9)
    np.testing.assert_array_equal(features.sizes, [[5, 5], [3, 4]])
    cached, _ = METHOD.embed(variables, features.map.astype(jnp.float16), sizes)
    np.testing.assert_allclose(cached.map, features.map, atol=2e-3)
    rubbish, _ = METHOD.embed(variables, jnp.full((2, 5, 5, 9), 7, jnp.float16), sizes)
    assert (rubbish.map[1, :3, :4] == 7).all()
    assert rubbish.map[1].sum() == 7 * 3 * 4 * 9


@pytest.fixture
def model():
    model = common.get_config().model
    model.name, model.backbone, model.backbone_options.stages = "dpnet", "resnet50", 3
    return model


def test_parameter_totals_are_the_papers(model):
    def count(tree):
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    def totals():
        method = build(model)
        assert method.frozen
        variables = jax.eval_shape(method.init, jax.random.key(0))
        return count(variables["backbone"]["params"]), count(variables["head"])

    backbone, head = totals()
    assert backbone == 8_543_296
    assert backbone + head == 19_297_990
    model.dpnet.auxiliary, model.dpnet.lambda1 = False, 0.0
    assert sum(totals()) == 17_067_716
    assert build(model).outputs == ("master",)


def test_without_the_auxiliary_branch_there_is_no_auxiliary_loss(tasks):
    method = replace(METHOD, head=METHOD.head.clone(auxiliary=False))
    params = {name: leaves for name, leaves in VARIABLES["head"].items() if name != "aux_decoder"}
    _, terms = jax.eval_shape(
        lambda *batch: method.loss({"head": params}, *batch), *stacked(*tasks[ONE]), keys_of(0, 1)
    )
    assert set(terms) == {"seg_loss", "dis_loss"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pseudo_prototype", "mean", "choose from off, global, cosine, ccm"),
        ("dis_loss_set", "all", "choose from candidates, selected"),
        ("dropout", 1.0, "less than 1"),
        ("auxiliary", False, "lambda1=0"),
    ],
)
def test_a_switch_that_does_not_exist_is_refused(model, field, value, message):
    model.dpnet[field] = value
    with pytest.raises(InputError, match=message):
        build(model)


def test_an_extractor_without_a_last_third_stage_is_refused(model):
    model.backbone_options.stages = 4
    with pytest.raises(InputError, match="stages=3"):
        build(model)


def test_a_configurations_switches(model):
    assert switches(model.dpnet) == Switches()
    model.dpnet.ccm, model.dpnet.dis_loss_set = False, "selected"
    assert switches(model.dpnet) == Switches(pseudo_prototype=kind_of("off"), selected_loss=1.0)


def test_a_threshold_beyond_one_is_refused():
    with pytest.raises(InputError, match="beta"):
        DPNetSettings(1.5)
