"""DPNet's convolutions and resizes agree with PyTorch, the decoder's gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.dpnet import multiscale, pseudo_prototype
from fsjax.models.dpnet.decoder import Decoder
from fsjax.models.layers.conv import Conv

torch = pytest.importorskip("torch")
functional = torch.nn.functional

RATES = (2, 4, 6)


def drawn(module, *arguments):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *arguments)["params"]
    return jax.tree.map(lambda leaf: (0.4 * rng.normal(size=leaf.shape)).astype(np.float32), shapes)


def channels_first(x):
    return torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy())


def convolve(x, layer, dilation=1):
    kernel = layer["kernel"].permute(3, 2, 0, 1)
    padding = dilation * (kernel.shape[-1] // 2)
    return functional.conv2d(x, kernel, layer["bias"], padding=padding, dilation=dilation)


def aspp(params, x):
    """CANet's decoder, from [b, c, h, w] to two logits."""
    pooled = convolve(functional.adaptive_avg_pool2d(x, 1), params["pool"]).relu()
    branches = [functional.interpolate(pooled, x.shape[-2:], mode="bilinear", align_corners=True)]
    branches.append(convolve(x, params["point"]).relu())
    branches += [convolve(x, params[f"dilated{rate}"], rate).relu() for rate in RATES]
    return convolve(convolve(torch.cat(branches, 1), params["project"]).relu(), params["classify"])


def test_the_decoder_and_its_gradients():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 13, 11, 6)).astype(np.float32)
    toward = rng.normal(size=(2, 13, 11, 2)).astype(np.float32)
    cells = jnp.array([[13, 11]] * 2)
    module = Decoder(5, RATES)
    params = drawn(module, x, cells, None, 0.0)

    @jax.jit
    def differentiated(params, x):
        def of_both(params, x):
            logits = module.apply({"params": params}, x, cells, None, 0.0)
            return jnp.sum(logits * toward), logits

        return jax.grad(of_both, (0, 1), has_aux=True)(params, x)

    (of_params, of_x), logits = differentiated(params, x)
    theirs = jax.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), params)
    image = channels_first(x).requires_grad_()
    expected = aspp(theirs, image)
    torch.sum(expected * channels_first(toward)).backward()
    np.testing.assert_allclose(np.moveaxis(logits, -1, 1), expected.detach().numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.moveaxis(of_x, -1, 1), image.grad.numpy(), rtol=1e-4, atol=1e-4)
    for name, layer in theirs.items():
        for field, leaf in layer.items():
            ours, gradient = of_params[name][field], leaf.grad.numpy()
            np.testing.assert_allclose(ours, gradient, atol=1e-5 * np.abs(gradient).max(), err_msg=name)


def test_the_merging_convolution():
    x = np.random.default_rng(2).normal(size=(2, 9, 12, 6)).astype(np.float32)
    module = Conv(5, 3, dilation=2, use_bias=True)
    params = drawn(module, x)
    ours = jax.jit(module.apply)({"params": params}, x)
    expected = convolve(channels_first(x), jax.tree.map(torch.tensor, params), 2)
    np.testing.assert_allclose(np.moveaxis(ours, -1, 1), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("scale", [2, 4])
def test_pooling_and_enlarging(scale, aligned):
    x = np.random.default_rng(3).normal(size=(2, 41, 22, 3)).astype(np.float32)
    cells = jnp.array([[41, 22]] * 2)
    pooled = jax.jit(multiscale.average_pool, static_argnums=2)(x, cells, scale)
    expected = functional.avg_pool2d(channels_first(x), scale, ceil_mode=True, count_include_pad=False)
    np.testing.assert_allclose(np.moveaxis(pooled, -1, 1), expected.numpy(), atol=1e-6)
    enlarge = jax.jit(multiscale.enlarge, static_argnums=(1, 3), static_argnames="aligned")
    ours = enlarge(pooled, (41, 22), cells, scale, aligned=aligned)
    expected = functional.interpolate(expected, (41, 22), mode="bilinear", align_corners=aligned)
    np.testing.assert_allclose(np.moveaxis(ours, -1, 1), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("aligned", [True, False])
def test_soft_masks(aligned):
    selected = np.random.default_rng(4).random((97, 65)) < 0.5
    shape, pixels = jnp.array([13, 9]), jnp.array([97, 65])
    soft_mask = jax.jit(pseudo_prototype.soft_mask, static_argnums=1, static_argnames="aligned")
    ours = soft_mask(selected, (13, 9), shape, pixels, aligned=aligned)
    mask = torch.from_numpy(selected[None, None].astype(np.float32))
    expected = functional.interpolate(mask, (13, 9), mode="bilinear", align_corners=aligned)
    np.testing.assert_allclose(ours, expected[0, 0].numpy(), atol=1e-5)
