"""The second kind of backbone keeps what the interface promises."""

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.models.backbones.backbone import DEEP, SHALLOW, Backbone
from tests.models.patch_net import PatchNet

NET = PatchNet()


def embed(photo, array, size):
    variables = jax.jit(NET.init)(jax.random.key(0))
    array[: photo.shape[0], : photo.shape[1]] = photo
    return jax.jit(NET.embed)(variables, jnp.asarray(array[None]), jnp.array([size]))


def test_a_padded_photo_gives_the_unpadded_features():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (37, 52, 3), np.uint8)
    alone = embed(photo, photo.copy(), (37, 52))
    within = embed(photo, rng.integers(0, 256, (64, 80, 3), np.uint8), (37, 52))
    for role in (SHALLOW, DEEP):
        assert alone[role].map.shape == (1, NET.cells(37), NET.cells(52), NET.channels[role])
        assert within[role].sizes.tolist() == [[3, 4]]
        np.testing.assert_allclose(within[role].map[:, :3, :4], alone[role].map, atol=1e-5)
        assert not within[role].map[:, 3:].any()
        assert not within[role].map[:, :, 4:].any()
    assert np.abs(alone[SHALLOW].map - alone[DEEP].map).max() > 0.1


def test_it_satisfies_the_interface(tmp_path):
    assert isinstance(NET, Backbone)
    assert [NET.side(pixels) for pixels in (3, 39, 41, 48)] == [16, 32, 48, 48]
    variables = NET.init(jax.random.key(0))
    paths = [tuple(part.key for part in path) for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    groups = {path: NET.group(path[1:]) for path in paths}
    assert {path[1] for path, group in groups.items() if group.norm} == {"norm"}
    assert {path[1] for path, group in groups.items() if group.stage == NET.stages} == {"layer"}
    flat = {".".join(path[1:]): leaf for path, leaf in zip(paths, jax.tree.leaves(variables), strict=True)}
    np.savez(tmp_path / "weights.npz", **flat)
    jax.tree.map(np.testing.assert_array_equal, NET.load(tmp_path / "weights.npz"), variables)
