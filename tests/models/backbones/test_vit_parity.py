"""DINOv2 and DINOv3 agree with the PyTorch models of transformers and timm, read from the files these write.

Weights are random, and reach us as .safetensors in the codebases' own names. Needs `pip install .[parity]`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.architecture import DINOV2, DINOV3, Architecture
from fsjax.models.backbones.backbone import DEEP
from fsjax.models.backbones.vit import ViT
from fsjax.models.backbones.vit_backbone import ViTBackbone

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
timm = pytest.importorskip("timm")
saving = pytest.importorskip("safetensors.torch")

V2 = Architecture(32, 2, 2, 64, grid=4)
V3 = Architecture(32, 2, 2, 64, patch=16, grid=0, registers=4, key_bias=False, epsilon=1e-5)
GRIDS = [(4, 4), (5, 3), (10, 8)]
"""In cells: the table's own, a smaller and a wider one."""


def randomised(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            if ("norm" in name and name.endswith("weight")) or "gamma" in name or "lambda" in name:
                weight.copy_(1 + 0.3 * drawn)
            else:
                weight.copy_(drawn * (max(weight.shape[-1], 1) ** -0.5 if weight.ndim > 1 else 0.2))
    return model.eval()


def of_transformers(config, model, **fields):
    def made(shape, **more):
        ratio = shape.hidden * (1.5 if shape.gated else 1) / shape.width  # of which SwiGLU's takes two thirds
        settings = {
            "hidden_size": shape.width, "num_hidden_layers": shape.depth, "num_attention_heads": shape.heads,
            "intermediate_size": shape.hidden, "patch_size": shape.patch,
            "image_size": shape.patch * (shape.grid or 4), "mlp_ratio": round(ratio),
        }  # fmt: skip
        return randomised(
            getattr(transformers, model)(getattr(transformers, config)(**settings, **fields, **more))
        )

    return made


def of_timm(name, **fields):
    def made(shape):
        sizes = {"img_size": shape.grid * shape.patch} if shape.grid else {}
        return randomised(
            timm.create_model(
                name, num_classes=0, embed_dim=shape.width, depth=shape.depth, num_heads=shape.heads,
                dynamic_img_size=True, **sizes, **fields,
            )
        )  # fmt: skip

    return made


def wide(shape, **fields):
    return Architecture(**(vars(shape) | fields))


V2_OF = of_transformers("Dinov2Config", "Dinov2Model")
V2_REG = of_transformers("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel", num_register_tokens=4)
V2_GIANT = of_transformers("Dinov2Config", "Dinov2Model", use_swiglu_ffn=True)
V3_OF = of_transformers("DINOv3ViTConfig", "DINOv3ViTModel", num_register_tokens=4)
V3_PLUS = of_transformers(
    "DINOv3ViTConfig", "DINOv3ViTModel", num_register_tokens=4, use_gated_mlp=True, hidden_act="silu"
)
CASES = {
    "transformers dinov2": (V2_OF, V2),
    "transformers dinov2 giant": (V2_GIANT, wide(V2, gated=True, hidden=48)),
    "transformers dinov2 registers": (V2_REG, wide(V2, registers=4)),
    "transformers dinov3": (V3_OF, V3),
    "transformers dinov3 plus": (V3_PLUS, wide(V3, gated=True)),
    "timm dinov2": (of_timm("vit_small_patch14_dinov2"), wide(V2, hidden=128)),
    "timm dinov2 giant": (of_timm("vit_giant_patch14_dinov2"), wide(V2, gated=True, hidden=85)),
    "timm dinov2 registers": (of_timm("vit_small_patch14_reg4_dinov2"), wide(V2, hidden=128, registers=4)),
    "timm dinov3": (of_timm("vit_small_patch16_dinov3"), wide(V3, hidden=128)),
    "timm dinov3 biases": (of_timm("vit_small_patch16_dinov3_qkvb"), wide(V3, hidden=128)),
    "timm dinov3 plus": (of_timm("vit_small_plus_patch16_dinov3"), wide(V3, gated=True, hidden=128)),
}
"""What makes the model, and its shape."""

WHOLE = {
    "transformers dinov2 small": (V2_OF, DINOV2["dinov2_small"], [(37, 37), (23, 30)]),
    "transformers dinov3 small": (V3_OF, DINOV3["dinov3_small"], [(32, 32), (20, 45)]),
    "transformers dinov3 small plus": (V3_PLUS, DINOV3["dinov3_small_plus"], [(32, 32)]),
    "transformers dinov2 base": (V2_OF, DINOV2["dinov2_base"], [(37, 37)]),
}


def written(model, folder):
    """The file that the codebase itself writes, or the model's state by its own names."""
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder)
    else:
        state = {name: weight.contiguous() for name, weight in model.state_dict().items()}
        saving.save_file(state, folder / "model.safetensors")
    return folder / "model.safetensors"


def in_torch(model, photos, patches):
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    pixels = (torch.tensor(photos).permute(0, 3, 1, 2).float() / 255 - mean) / deviation
    with torch.no_grad():
        if hasattr(model, "forward_features"):
            tokens = model.forward_features(pixels)
        else:
            tokens = model(pixels).last_hidden_state
    return tokens.numpy()[:, -patches:]


def compare(backbone, variables, model, grid, batch):
    """Largest differences of features: of the photos by themselves, and at the corner of larger arrays."""
    patch = backbone.network.shape.patch
    height, width = (cells * patch for cells in grid)
    photos = np.random.default_rng(1).integers(0, 256, (batch, height, width, 3), np.uint8)
    expected = in_torch(model, photos, grid[0] * grid[1]).reshape(batch, *grid, -1)
    sizes = jnp.full((batch, 2), jnp.array([height, width]))
    around = np.full((batch, height + 2 * patch, width + 3 * patch, 3), 77, np.uint8)
    around[:, :height, :width] = photos
    embed = jax.jit(backbone.embed)
    for arrays in (photos, around):
        found = np.asarray(embed(variables, jnp.asarray(arrays), sizes)[DEEP].map)[:, : grid[0], : grid[1]]
        yield np.abs(found - expected).max()


@pytest.mark.parametrize("name", CASES)
def test_features_are_the_same(name, tmp_path):
    made, shape = CASES[name]
    model = made(shape)
    backbone = ViTBackbone(ViT(shape, shape.depth, 1, True, 1))
    variables = backbone.load(written(model, tmp_path))
    for grid in GRIDS:
        assert max(compare(backbone, variables, model, grid, batch=2)) < 1e-4, grid


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_features_of_whole_networks_are_the_same(name, tmp_path):
    made, shape, grids = WHOLE[name]
    model = made(shape)
    backbone = ViTBackbone(ViT(shape, shape.depth, shape.depth // 2, True, 3))
    variables = backbone.load(written(model, tmp_path))
    for grid in grids:
        differences = list(compare(backbone, variables, model, grid, batch=1))
        print(name, grid, differences)
        assert max(differences) < 1e-4, grid


@pytest.mark.parametrize("registers", [0, 4])
def test_names_in_memory_are_read_too(registers, tmp_path):
    shape = wide(V2, registers=registers)
    model = (V2_REG if registers else V2_OF)(shape)
    saving.save_file(model.state_dict(), tmp_path / "model.safetensors")
    backbone = ViTBackbone(ViT(shape, 2, 1, True, 1))
    variables = backbone.load(tmp_path / "model.safetensors")
    assert max(compare(backbone, variables, model, (4, 4), batch=1)) < 1e-4
