"""A tiny DPNet, tasks of a few cells for it, and what tests do with both."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.errors import InputError
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features, Group
from fsjax.models.dpnet.dpnet import DPNet, DPNetSettings
from fsjax.models.dpnet.head import Head, Switches
from fsjax.models.layers.padding import nearest_fit, zero_padding
from tests.models.tiny import random_task

RATES = (1, 2, 3)
ONE, TWO = (1, 1, 1), (2, 2, 2)  # ways, shots, queries
STRIDE = 8
SETTINGS = DPNetSettings(0.2)


@dataclass(frozen=True)
class Colours:
    """A backbone of linear maps of every eighth pixel's colours: shallow after a ReLU, deep before it."""

    shallow: int = 3
    deep: int = 6

    stages = 1
    aligned = True
    awaits_relu = True
    published = ()

    @property
    def channels(self):
        return {SHALLOW: self.shallow, DEEP: self.deep}

    def cells(self, pixels):
        return -(-pixels // STRIDE)

    def side(self, pixels):
        return nearest_fit(pixels, STRIDE, 1)

    def init(self, rng):
        drawn = (jax.random.normal(jax.random.fold_in(rng, i), (3, c)) for i, c in enumerate(self._widths))
        return {"params": dict(zip((SHALLOW, DEEP), drawn, strict=True))}

    def imagenet(self):
        raise InputError("Nobody has trained it on ImageNet: name a file.")

    def load(self, path):
        raise NotImplementedError(path)

    def embed(self, variables, images, sizes):
        colours = images[:, ::STRIDE, ::STRIDE].astype(jnp.float32) / 255 - 0.5
        shallow, deep = (colours @ variables["params"][role] for role in (SHALLOW, DEEP))
        cells = self.cells(sizes)
        maps = {SHALLOW: jax.nn.relu(shallow), DEEP: deep}
        return {role: Features(zero_padding(x, cells), cells) for role, x in maps.items()}

    def below(self, variables, images, sizes, stage):
        return images, sizes

    def above(self, variables, below, stage):
        return self.embed(variables, *below)

    def embed_training(self, variables, images, sizes, weights):
        raise AssertionError("a frozen backbone is not trained")

    def group(self, path):
        return Group(1, False)

    @property
    def _widths(self):
        return self.shallow, self.deep


def make_method(shallow=3, deep=6):
    head = Head(
        width=6, dis_hidden=5, pim_hidden=4, alpha_init=0.3, rates=RATES,
        shallow=shallow, rectify=True, aligned=True,
    )  # fmt: skip
    return DPNet(Colours(shallow, deep), head)


def random_params(method):
    """Parameters of the head, of which none is zero, so that each of them matters."""
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

    return jax.tree_util.tree_map_with_path(leaf, jax.eval_shape(method.init_head, jax.random.key(0)))


METHOD = make_method()
PARAMS = random_params(METHOD)
VARIABLES = {"head": jax.tree.map(jnp.asarray, PARAMS)}


def draw(seed, ways, shots, queries, *, shallow=3, deep=6):
    """A task of features as a backbone returns them: shallow ones after a ReLU, and padding of zeros."""
    task = random_task(seed, ways, shots, queries, channels=shallow + deep)

    def rectified(image):
        return np.concatenate([np.maximum(image[..., :shallow], 0), image[..., shallow:]], -1)

    def padded(features):
        flat = jnp.asarray(rectified(features.map)).reshape(-1, *features.map.shape[-3:])
        zeroed = zero_padding(flat, jnp.asarray(features.sizes).reshape(-1, 2))
        return Features(np.asarray(zeroed).reshape(features.map.shape), features.sizes)

    return task._replace(
        supports=padded(task.supports),
        queries=padded(task.queries),
        support_list=[[rectified(image) for image in way] for way in task.support_list],
        query_list=[rectified(image) for image in task.query_list],
    )


def keys_of(*seeds):
    return jax.vmap(jax.random.key)(jnp.array(seeds))


def stacked(*tasks):
    parts = [(task.supports, task.queries, task.episode) for task in tasks]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *parts)


@partial(jax.jit, static_argnums=3)
def differentiated(params, batch, keys, method):
    """The losses of a batch of episodes and their terms, and the gradient of the losses' sum."""

    def of_params(params):
        losses, terms = method.loss({"head": params}, *batch, keys)
        return jnp.sum(losses), (losses, terms)

    (_, found), gradient = jax.value_and_grad(of_params, has_aux=True)(params)
    return *found, gradient


def evaluate(tasks, *, method=METHOD, params=PARAMS, seeds=(0, 1), dropout=0.0, **switches):
    """What `differentiated` finds; without dropout, as the reference has none."""
    method = replace(method, switches=Switches(dropout=dropout, **switches))
    return differentiated(params, stacked(*tasks), keys_of(*seeds), method)


def own_masks(task):
    """Every support's mask for its own way: 1 the way, 0 anything else, 255 void."""
    masks = task.episode.support_masks
    ways = np.arange(1, len(masks) + 1)[:, None, None, None]
    return np.where(masks == 255, 255, masks == ways).astype(np.uint8)


@partial(jax.jit, static_argnames="method")
def describe(features, masks, pixels, method=METHOD, variables=VARIABLES):
    """Of supports [N, K, ...], each by itself."""
    return jax.vmap(jax.vmap(partial(method.describe, variables)))(features, masks, pixels)


def described(task, **options):
    return describe(task.supports, own_masks(task), task.episode.support_sizes, **options)


@partial(jax.jit, static_argnames=("shape", "settings", "method"))
def segment(
    descriptions, present, queries, sizes,
    shape=(19, 23), settings=SETTINGS, method=METHOD, variables=VARIABLES,
):  # fmt: skip
    fitted = method.fit(variables, descriptions, present)
    return method.segment(variables, fitted, queries, shape, sizes, settings)


def segment_task(task, sizes, *, present=None, **options):
    """Segments a task's queries on masks of given sizes, with beta 0.2."""
    present = np.ones(task.supports.sizes.shape[:2], bool) if present is None else present
    model = {name: options[name] for name in ("method", "variables") if name in options}
    return segment(described(task, **model), present, task.queries, np.int32(sizes), **options)


def assert_finite(tree):
    for leaf in jax.tree.leaves(tree):
        assert np.isfinite(leaf).all()
