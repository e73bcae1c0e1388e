"""Vision transformers as DINOv2 and DINOv3 build them, exact under padding, as linen modules.

Oquab and others, arXiv 2304.07193; Darcet and others (registers), arXiv 2309.16588; Simeoni and others,
arXiv 2508.10104.
"""

from dataclasses import field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.models.backbones.architecture import Architecture
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features
from fsjax.models.backbones.normalization import normalize
from fsjax.models.backbones.positions import OFFICIAL, periods, resized_table, rotated, rotations, table_rule
from fsjax.models.layers.attention import attention
from fsjax.models.layers.padding import inside, strided, zero_padding
from fsjax.models.layers.parameter import parameter
from fsjax.models.layers.remat import forgetting

POSITIONS = "positions"
"""The collection of what tells rules of positions apart: a table's `rule`, or the rotations' `periods`."""

Rotation = tuple[Float[Array, "b t 1 head"], Float[Array, "b t 1 head"]] | None


class Tokens(NamedTuple):
    """What one stage passes on to the next."""

    tokens: Float[Array, "b t c"]  # of the photo, then of its patches, row by row
    rotation: Rotation
    inside: Bool[Array, "b h w"]  # which patches are the photo's
    cells: Int[Array, "b 2"]  # valid height and width, in patches
    found: dict[str, Float[Array, "b t c"]]  # of the roles whose block has been


class ViT(nn.Module):
    """A vision transformer without a classifier.

    The variables are "params", float32, and "positions", which nothing trains. The class token's learned
    position is part of the token.

    Attributes:
      shape: what is built.
      deep: the block whose tokens are DEEP, from 1; later ones are not built.
      shallow: likewise of SHALLOW.
      final_norm: whether the last normalisation follows the block of DEEP.
      stage: blocks that are computed again together where `remat` is "stages".
      dtype: what products of matrices and attention compute in; normalisations, sums along the network and
        results are float32.
      remat: what is computed again for gradients: "none", "stages" or "blocks".
    """

    shape: Architecture
    deep: int
    shallow: int
    final_norm: bool
    stage: int
    dtype: Any = jnp.float32
    remat: str = field(default="none", repr=False)  # changes no features, and so not what they are called

    @property
    def stages(self) -> int:
        """The number of the last stage; the stem is 0."""
        return -(-self.blocks // self.stage)

    @property
    def blocks(self) -> int:
        """How many are built."""
        return max(self.deep, self.shallow)

    def __call__(self, images: UInt8[Array, "b h w 3"], sizes: Int[Array, "b 2"]) -> dict[str, Features]:
        """Returns the features of each role, one cell a patch.

        A padded photo's features are the unpadded one's: no patch attends to one that lies beyond its photo.
        A patch that is partly within counts, its other pixels being ImageNet's mean colour.

        Args:
          images: RGB; what lies beyond `sizes` is not used.
          sizes: valid height and width of each image, in pixels.
        """
        return self.roles((images, sizes), 0)

    def roles(self, entering: Any, begin: int) -> dict[str, Features]:
        """Returns the features of each role from what stage `begin` begins with; see `part`."""
        last = self.part(entering, begin, self.stages + 1)
        shape = (*last.inside.shape, self.shape.width)
        return {
            role: Features(
                zero_padding(found[:, -last.inside[0].size :].reshape(shape), last.cells), last.cells
            )
            for role, found in last.found.items()
        }

    @nn.compact
    def part(self, entering: Any, begin: int, end: int) -> Tokens:
        """Returns what stage `end` begins with.

        Args:
          entering: what stage `begin` begins with: photos and their sizes, or `Tokens`.
          begin: the first stage that is computed; 0 is the stem.
          end: the stage that is the first not to be computed; after the last one the roles are complete.
        """
        state = self._stem(*entering) if begin == 0 else entering
        tokens, found = state.tokens, dict(state.found)
        seen = state.inside.reshape(len(tokens), -1)
        others = tokens.shape[1] - seen.shape[1]
        seen = jnp.pad(seen, ((0, 0), (others, 0)), constant_values=True)
        first, last = ((max(stage, 1) - 1) * self.stage for stage in (begin, end))
        last = min(last, self.blocks)
        step = self.stage if self.remat == "stages" else 1
        roles = {SHALLOW: self.shallow, DEEP: self.deep}
        for block in range(first, last, step):
            numbers = range(block, min(block + step, last))
            compute = forgetting(partial(_blocks, numbers), self.remat != "none")
            made = dict(zip(numbers, compute(self, tokens, state.rotation, seen), strict=True))
            tokens = made[numbers[-1]]
            found |= {role: made[n - 1] for role, n in roles.items() if n - 1 in made}
        if end > self.stages and self.final_norm:
            found[DEEP] = LayerNorm(self.shape.epsilon, name="norm")(found[DEEP])
        return state._replace(tokens=tokens, found=found)

    def _stem(self, images, sizes):
        """The tokens of photos, before all blocks."""
        shape, cells = self.shape, strided(sizes, self.shape.patch)
        patches, rotation = self._placed(
            _patches(normalize(images, sizes, "torchvision"), shape.patch), cells
        )
        grid = patches.shape[1:3]
        tokens = self._with_others(patches.reshape(len(patches), -1, shape.width))
        return Tokens(tokens, rotation, inside(grid, cells), cells, {})

    def _placed(self, patches, cells):
        """The patches as tokens with learned positions, or their rotations beside them."""
        shape, grid = self.shape, patches.shape[1:3]
        tokens = Linear(shape.width, dtype=self.dtype, name="patch")(patches).astype(jnp.float32)
        if shape.grid:
            table = parameter(self, "position", _DRAWN, (shape.grid, shape.grid, shape.width))
            rule = self.variable(POSITIONS, "rule", table_rule, OFFICIAL, shape.registers)
            return tokens + resized_table(table, grid, cells, jnp.asarray(rule.value)), None
        head = shape.width // shape.heads
        period = self.variable(POSITIONS, "periods", periods, OFFICIAL, head)
        cosine, sine = rotations(grid, cells, jnp.asarray(period.value))
        still = ((0, 0), (1 + shape.registers, 0), (0, 0))
        flat = (cosine.shape[0], -1, head)
        cosine = jnp.pad(cosine.reshape(flat), still, constant_values=1)
        sine = jnp.pad(sine.reshape(flat), still)
        return tokens, (cosine[:, :, None], sine[:, :, None])

    def _with_others(self, patches):
        """The class token and the registers, and behind them the patches."""
        shape = self.shape
        others = parameter(self, "cls_token", _DRAWN, (1, shape.width))
        if shape.registers:
            registers = parameter(self, "registers", _DRAWN, (shape.registers, shape.width))
            others = jnp.concatenate([others, registers])
        each = jnp.broadcast_to(others[None], (patches.shape[0], *others.shape))
        return jnp.concatenate([each, patches], axis=1)


class Block(nn.Module):
    """Attention and a feed-forward network, each normalised before and scaled by channel after.

    Attributes:
      shape: of the network.
      dtype: what products compute in.
    """

    shape: Architecture
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], rotation: Rotation, seen: Bool[Array, "b t"]
    ) -> Float[Array, "b t c"]:
        """Returns the tokens after the block, float32.

        Args:
          x: tokens.
          rotation: cosines and sines of each token; None for no rotation.
          seen: which tokens are attended to.
        """
        shape = self.shape
        attended = Attention(shape, self.dtype, name="attention")(
            LayerNorm(shape.epsilon, name="norm1")(x), rotation, seen
        )
        x = x + self._scaled("scale1", attended)
        fed = FeedForward(shape, self.dtype, name="mlp")(LayerNorm(shape.epsilon, name="norm2")(x))
        return x + self._scaled("scale2", fed)

    def _scaled(self, name, x):
        """LayerScale (Touvron and others, ICCV 2021)."""
        gamma = parameter(self, name, nn.initializers.ones, (self.shape.width,))
        return x.astype(jnp.float32) * gamma[None, None]


class Attention(nn.Module):
    """Attention of all tokens to those that are seen.

    Attributes:
      shape: of the network.
      dtype: what it computes in and returns.
    """

    shape: Architecture
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], rotation: Rotation, seen: Bool[Array, "b t"]
    ) -> Float[Array, "b t c"]:
        """Returns what each token takes from the others; see `Block`."""
        shape = self.shape
        heads = (*x.shape[:2], shape.heads, shape.width // shape.heads)
        q, k, v = (
            Linear(shape.width, biased, self.dtype, name=name)(x).reshape(heads)
            for name, biased in (("query", True), ("key", shape.key_bias), ("value", True))
        )
        if rotation is not None:
            q, k = (rotated(part.astype(jnp.float32), *rotation).astype(self.dtype) for part in (q, k))
        taken = attention(q, k, v, seen)
        return Linear(shape.width, dtype=self.dtype, name="out")(taken.reshape(x.shape))


class FeedForward(nn.Module):
    """A block's feed-forward network: GELU, exactly, or SwiGLU (Shazeer, arXiv 2002.05202).

    Attributes:
      shape: of the network.
      dtype: what it computes in and returns.
    """

    shape: Architecture
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        """Returns each token's own."""
        up = Linear(self.shape.hidden, dtype=self.dtype, name="up")(x)
        if self.shape.gated:
            up = nn.silu(Linear(self.shape.hidden, dtype=self.dtype, name="gate")(x)) * up
        else:
            up = nn.gelu(up, approximate=False)
        return Linear(self.shape.width, dtype=self.dtype, name="down")(up)


class LayerNorm(nn.Module):
    """Layer normalisation in float32; `scale` and `bias` are parameters.

    Attributes:
      epsilon: added to the variance.
    """

    epsilon: float

    @nn.compact
    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        """Returns the tokens with mean 0 and variance 1 over channels, then scaled and shifted."""
        scale = parameter(self, "scale", nn.initializers.ones, (x.shape[-1],))
        bias = parameter(self, "bias", nn.initializers.zeros, (x.shape[-1],))
        centred = x - x.mean(-1, keepdims=True)
        gain = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + self.epsilon)
        return centred * gain * scale[None, None] + bias[None, None]


class Linear(nn.Module):
    """A product with a matrix; its parameters `kernel` and `bias` are float32.

    Attributes:
      features: channels of the output.
      use_bias: whether a bias is added.
      dtype: what it computes in and returns.
    """

    features: int
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... d"]:
        """Returns the product with each vector of channels."""
        kernel = parameter(self, "kernel", _DRAWN, (x.shape[-1], self.features))
        y = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if not self.use_bias:
            return y
        bias = parameter(self, "bias", nn.initializers.zeros, (self.features,))
        return y + bias.astype(self.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


_DRAWN = nn.initializers.truncated_normal(0.02)


def _blocks(numbers, network, tokens, rotation, seen):
    """The tokens after each of some blocks."""
    made = []
    for number in numbers:
        tokens = Block(network.shape, network.dtype, name=f"block{number}")(tokens, rotation, seen)
        made.append(tokens)
    return made


def _patches(photos, side):
    """The pixels of each patch, [b, h, w, side x side x 3], row by row."""
    batch, height, width, channels = photos.shape
    rows, columns = -(-height // side), -(-width // side)
    whole = jnp.pad(photos, ((0, 0), (0, rows * side - height), (0, columns * side - width), (0, 0)))
    apart = whole.reshape(batch, rows, side, columns, side, channels).swapaxes(2, 3)
    return apart.reshape(batch, rows, columns, side * side * channels)
