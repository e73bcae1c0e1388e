"""DINOv2 and DINOv3: the whole network against NumPy, exactness under padding, roles, groups, options."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.models.backbones import make
from fsjax.models.backbones.architecture import DINOV2, DINOV3, Architecture
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Backbone, Group
from fsjax.models.backbones.vit import ViT
from fsjax.models.backbones.vit_backbone import ViTBackbone
from tests.models.programs import elsewhere, operations

LEARNED = Architecture(12, 3, 2, 20, patch=4, grid=3)
TINY = {
    "dinov2": LEARNED,
    "dinov2 with registers": replace(LEARNED, registers=4),
    "dinov2 giant": replace(LEARNED, gated=True),
    "dinov3": Architecture(16, 3, 2, 20, patch=4, grid=0, registers=4, key_bias=False, epsilon=1e-5),
}
PARAMETERS = {
    "dinov2_small": 22_056_576, "dinov2_base": 86_580_480, "dinov2_large": 304_368_640,
    "dinov2_giant": 1_136_480_768, "dinov3_small": 21_596_544, "dinov3_base": 85_660_416,
    "dinov3_large": 303_129_600,
}  # fmt: skip
"""As transformers counts them."""


def backbone_of(shape, final_norm=True, **fields):
    return ViTBackbone(ViT(shape, shape.depth, 2, final_norm, 1, **fields))


def drawn(backbone, seed=0):
    """Variables that keep tokens of order one, no scale being 1 and no bias 0."""
    rng = np.random.default_rng(seed)

    def leaf(path, shape):
        if path[0].key != "params":
            return shape
        values, name = rng.normal(size=shape.shape), path[-1].key
        if name == "kernel":
            values = values / np.sqrt(shape.shape[0])
        elif name.startswith("scale"):
            values = 0.6 + 0.3 * np.abs(values)
        return values.astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, backbone.init(jax.random.key(0)))


def linear(x, layer):
    return x @ layer["kernel"].astype(float) + layer.get("bias", np.zeros(1))


def normalised(x, layer, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * layer["scale"] + layer["bias"]


def turned(x, angles, prefix):
    """Patches' queries or keys [t, head], rotated pair by pair."""
    half = x.shape[-1] // 2
    pairs = (x[prefix:, :half] + 1j * x[prefix:, half:]) * np.exp(1j * angles)
    return np.concatenate([x[:prefix], np.concatenate([pairs.real, pairs.imag], -1)])


def in_numpy(photo, params, shape, final_norm=True):
    """The network, token by token, in float64; on the learned table's own grid."""
    pixels = (photo / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    rows, columns, p = photo.shape[0] // shape.patch, photo.shape[1] // shape.patch, shape.patch
    x = np.array(
        [
            linear(pixels[i * p : i * p + p, j * p : j * p + p].ravel(), params["patch"])
            for i in range(rows)
            for j in range(columns)
        ]
    )
    if shape.grid:
        x = x + params["position"].reshape(-1, shape.width)
    x = np.concatenate([params["cls_token"], params.get("registers", np.zeros((0, shape.width))), x])
    head = shape.width // shape.heads
    angles = np.array(
        [
            [
                2 * np.pi * (2 * (at + 0.5) / of - 1) / 100 ** (4 * k / head)
                for at, of in places
                for k in range(head // 4)
            ]
            for places in [((i, rows), (j, columns)) for i in range(rows) for j in range(columns)]
        ]
    )
    made = []
    for number in range(shape.depth):
        block = params[f"block{number}"]
        y = normalised(x, block["norm1"], shape.epsilon)
        q, k, v = (linear(y, block["attention"][part]) for part in ("query", "key", "value"))
        taken = []
        for at in range(shape.heads):
            one = slice(at * head, at * head + head)
            a, b = q[:, one], k[:, one]
            if not shape.grid:
                a, b = (turned(part, angles, 1 + shape.registers) for part in (a, b))
            logits = a @ b.T / math.sqrt(head)
            weights = np.exp(logits - logits.max(-1, keepdims=True))
            taken.append(weights / weights.sum(-1, keepdims=True) @ v[:, one])
        x = x + block["scale1"] * linear(np.concatenate(taken, -1), block["attention"]["out"])
        y, mlp = normalised(x, block["norm2"], shape.epsilon), block["mlp"]
        up = linear(y, mlp["up"])
        if shape.gated:
            gate = linear(y, mlp["gate"])
            up = gate / (1 + np.exp(-gate)) * up
        else:
            up = up * np.vectorize(lambda value: (1 + math.erf(value / math.sqrt(2))) / 2)(up)
        x = x + block["scale2"] * linear(up, mlp["down"])
        made.append(x)
    deep = normalised(x, params["norm"], shape.epsilon) if final_norm else x
    return [tokens[1 + shape.registers :].reshape(rows, columns, -1) for tokens in (made[1], deep)]


@pytest.mark.parametrize("final_norm", [True, False])
@pytest.mark.parametrize("name", TINY)
def test_the_network_agrees_with_numpy(name, final_norm):
    backbone = backbone_of(TINY[name], final_norm)
    variables = drawn(backbone)
    if not TINY[name].grid:  # the equations' own periods, which Meta's weights hold rounded
        variables["positions"] = {"periods": 100 ** (np.arange(2, dtype=np.float32) / 2)}
    photo = np.random.default_rng(1).integers(0, 256, (12, 12, 3), np.uint8)
    ours = jax.jit(backbone.embed)(variables, jnp.asarray(photo[None]), jnp.array([[12, 12]]))
    expected = in_numpy(photo, variables["params"], TINY[name], final_norm)
    for role, values in zip((SHALLOW, DEEP), expected, strict=True):
        assert np.std(values) > 0.3
        np.testing.assert_allclose(ours[role].map[0], values, atol=3e-5, err_msg=role)


def test_what_lies_beyond_a_photo_changes_nothing():
    """Photos of several sizes in one batch, one with a part of a patch, and noise around them."""
    rng = np.random.default_rng(0)
    sizes = [(12, 20), (16, 8), (7, 9), (24, 24)]
    for shape in (TINY["dinov2"], TINY["dinov3"]):
        backbone = backbone_of(shape)
        embed, variables = jax.jit(backbone.embed), drawn(backbone)
        whole = rng.integers(0, 256, (len(sizes), 24, 24, 3), np.uint8)
        together = embed(variables, jnp.asarray(whole), jnp.array(sizes))
        for one, (height, width) in enumerate(sizes):
            photo = jnp.asarray(whole[one : one + 1, :height, :width])
            alone = embed(variables, photo, jnp.array([[height, width]]))
            rows, columns = backbone.cells(height), backbone.cells(width)
            for role in (SHALLOW, DEEP):
                found = together[role].map[one]
                np.testing.assert_allclose(found[:rows, :columns], alone[role].map[0], atol=1e-5)
                assert not found[rows:].any()
                assert not found[:, columns:].any()
                assert together[role].sizes[one].tolist() == [rows, columns]


@pytest.mark.parametrize("name", PARAMETERS)
def test_its_parameters_are_those_of_the_published_networks(name):
    params = jax.eval_shape(make(name, {}, "float32").init, jax.random.key(0))["params"]
    ours = sum(leaf.size for leaf in jax.tree.leaves(params))
    width = params["cls_token"].shape[-1]
    folded = width if name.startswith("dinov2") else 0  # the class token's own position, which is added to it
    assert ours + folded + width == PARAMETERS[name]  # and the mask token of training


@pytest.mark.parametrize("remat", ["blocks", "stages"])
def test_what_is_computed_again_changes_no_gradient(remat):
    shape = TINY["dinov3"]
    photos, sizes = jnp.zeros((1, 8, 8, 3), jnp.uint8), jnp.full((1, 2), 8)
    backbones = backbone_of(shape), backbone_of(shape, remat=remat)
    variables = drawn(backbones[0])

    def gradient(backbone):
        def loss(params):
            features = backbone.embed({**variables, "params": params}, photos, sizes)
            return sum(jnp.sum(jnp.sin(found.map)) for found in features.values())

        return jax.grad(loss)

    programs = [gradient(backbone) for backbone in backbones]
    expected, found = (jax.jit(program)(variables["params"]) for program in programs)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), found, expected)
    once, again = (
        len(list(operations(jax.make_jaxpr(program)(variables["params"]), "dot_general")))
        for program in programs
    )
    assert again > once
    assert str(backbones[0]) == str(backbones[1])  # stored features are still theirs


def test_bfloat16_is_where_products_are_and_nowhere_else(monkeypatch):
    backbone = backbone_of(TINY["dinov3"], dtype=jnp.bfloat16)
    variables = drawn(backbone)
    photo = jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8))
    with monkeypatch.context() as patched:
        patched.setattr(jax.lax, "platform_dependent", elsewhere)
        program = jax.make_jaxpr(backbone.embed)(variables, photo, jnp.array([[16, 16]]))
    products = list(operations(program, "dot_general"))
    assert len(products) == 1 + TINY["dinov3"].depth * 8
    assert all("bfloat16" in kinds for kinds in products)
    found, exact = (
        np.asarray(jax.jit(which.embed)(variables, photo, jnp.array([[16, 16]]))[DEEP].map)
        for which in (backbone, backbone_of(TINY["dinov3"]))
    )
    assert found.dtype == np.float32
    cosine = (found * exact).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(exact, axis=-1)
    assert 0.99 < cosine.min() < 1 - 1e-7


@pytest.mark.parametrize("name", [*DINOV2, "dinov3_small_plus"])
def test_its_grid_its_roles_and_its_groups(name):
    backbone = make(name, {}, "bfloat16")
    assert isinstance(backbone, Backbone)
    sides = [518, 518, 14] if "dinov2" in name else [512, 512, 16]
    assert [backbone.side(pixels) for pixels in (518, 512, 3)] == sides
    assert backbone.channels[SHALLOW] == backbone.channels[DEEP]
    assert (backbone.stages, backbone.aligned, backbone.awaits_relu) == (4, False, False)
    depth = backbone.network.shape.depth
    assert backbone.group(("block0", "mlp", "up", "kernel")) == Group(1, False)
    assert backbone.group((f"block{depth - 1}", "attention", "out", "bias")) == Group(4, False)
    assert backbone.group((f"block{depth // 2}", "scale2")) == Group(3, True)
    assert backbone.group(("block1", "norm1", "bias")) == Group(1, True)
    assert backbone.group(("norm", "scale")) == Group(4, True)
    for path in (("patch", "kernel"), ("patch", "bias"), ("cls_token",), ("registers",), ("position",)):
        assert backbone.group(path) == Group(0, False)


def test_options_choose_blocks_and_registers():
    backbone = make(
        "dinov2_small", {"deep": 3, "shallow": 1, "registers": True, "final_norm": False}, "float32"
    )
    params = jax.eval_shape(backbone.init, jax.random.key(0))["params"]
    assert {name for name in params if name.startswith("block")} == {"block0", "block1", "block2"}
    assert "norm" not in params
    assert params["registers"].shape == (4, 384)
    assert backbone.stages == 3
    assert make("dinov3_base", {"stage_blocks": 2}, "float32").stages == 6
    with pytest.raises(InputError, match=r"debias is 400, and features have 384 channels: name fewer"):
        make("dinov2_small", {"debias": 400}, "float32")
    with pytest.raises(
        InputError, match=r"weights have other names: dinov3-small-plus\. They are under the DINOv3"
    ):
        make("dinov3_small_plus", {}, "float32").imagenet()


def test_directions_of_an_empty_photo_are_projected_out():
    shape = TINY["dinov3"]
    plain = backbone_of(shape)
    debiased = replace(plain, debias=3)
    variables = drawn(debiased)
    side = 32 * shape.patch
    black = jnp.zeros((1, side, side, 3), jnp.uint8)
    cells = np.asarray(jax.jit(plain.embed)(variables, black, jnp.array([[side, side]]))[DEEP].map, float)
    cells = cells.reshape(-1, shape.width)
    _, vectors = np.linalg.eigh(np.cov(cells.T))
    leading = vectors[:, -3:]
    variables = {**variables, **dict(debiased._debiased(variables))}
    photo = jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, 16, 20, 3), np.uint8))
    before, after = (
        np.asarray(jax.jit(which.embed)(variables, photo, jnp.array([[12, 20]]))[DEEP].map)
        for which in (plain, debiased)
    )
    np.testing.assert_allclose(after, before - before @ leading @ leading.T, atol=2e-3)
    assert np.abs(after - before).max() > 0.1
    assert not after[:, 3:].any()


def test_training_embeds_as_ever():
    backbone = backbone_of(TINY["dinov2"])
    variables = drawn(backbone)
    photos = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8))
    sizes = jnp.full((2, 2), 8)
    features, after = jax.jit(backbone.embed_training)(variables, photos, sizes, jnp.array([1.0, 0.0]))
    jax.tree.map(np.testing.assert_array_equal, after, variables)
    jax.tree.map(np.testing.assert_array_equal, features, jax.jit(backbone.embed)(variables, photos, sizes))


@pytest.mark.parametrize("name", ["dinov2", "dinov3"])
def test_a_photo_of_no_size_changes_no_gradient(name):
    backbone = backbone_of(TINY[name])
    variables = drawn(backbone)
    photos = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8))

    def total(params, photos, sizes):
        roles = backbone.embed({**variables, "params": params}, photos, sizes)
        return sum(jnp.square(features.map).sum() for features in roles.values())

    gradient = jax.jit(jax.grad(total))
    found = gradient(variables["params"], photos, jnp.array([[8, 6], [0, 0]]))
    alone = gradient(variables["params"], photos[:1], jnp.array([[8, 6]]))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3), found, alone)


def test_dinov3_has_the_published_shapes():
    assert {name: (a.width, a.depth, a.heads, a.hidden, a.gated) for name, a in DINOV3.items()} == {
        "dinov3_small": (384, 12, 6, 1536, False),
        "dinov3_small_plus": (384, 12, 6, 1536, True),
        "dinov3_base": (768, 12, 12, 3072, False),
        "dinov3_large": (1024, 24, 16, 4096, False),
        "dinov3_huge_plus": (1280, 32, 20, 5120, True),
    }
