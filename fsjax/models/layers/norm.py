"""Batch normalisation whose statistics see only the episodes that count."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from fsjax.models.layers.parameter import parameter


class BatchNorm(nn.Module):
    """Batch normalisation with fixed or with batch statistics.

    The batch statistics come from sums over the images of positive weight, added up over all devices
    before anything is divided. (`nn.BatchNorm` averages the devices' own masked means, which is wrong
    when they hold different numbers of such images and NaN when one holds none.)

    The parameters `scale` and `bias` and the running statistics `mean` and `var` are float32.

    Attributes:
      momentum: what is kept of the running statistics in an update (PyTorch's momentum is 1 minus it).
      epsilon: added to the variance.
      axis_name: the mapped axis over which devices share statistics; None for one device.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        *,
        batch_statistics: bool = False,
        weights: Float[Array, "b"] | None = None,
    ) -> Float[Array, "b h w c"]:
        """Returns the normalised features, in the dtype of `x`.

        Args:
          x: features; with `batch_statistics` every cell counts, so images should be unpadded.
          batch_statistics: normalise by the batch's mean and (biased) variance and, where the
            collection `batch_stats` is mutable, move the running statistics towards the mean and the
            unbiased variance, as PyTorch does; otherwise normalise by the running statistics.
          weights: images of weight 0 are left out of the statistics; None for no such images. With no
            image left at all, the running statistics stay as they are and the result is finite.
        """
        scale, bias, running_mean, running_var = _variables(self, x.shape[-1])
        wide = x.astype(jnp.float32)
        if batch_statistics:
            mean, var, count = self._statistics(wide, weights)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                unbiased = var * (count / jnp.maximum(count - 1, 1))
                running_mean.value = self._moved(running_mean.value, mean, count)
                running_var.value = self._moved(running_var.value, unbiased, count)
        else:
            mean, var = running_mean.value, running_var.value

        gain, shift = _affine(scale, bias, mean, var, self.epsilon)
        return (wide * _channels(gain) + _channels(shift)).astype(x.dtype)

    def _statistics(self, x, weights):
        """The mean and the biased variance of each channel, and the number of cells they come from."""
        batch, height, width, _ = x.shape
        counted = jnp.ones(batch) if weights is None else (weights > 0).astype(jnp.float32)
        count = self._total(counted.sum() * (height * width))
        divisor = jnp.maximum(count, 1)
        counted = counted[:, None, None, None]
        mean = self._total((counted * x).sum((0, 1, 2))) / divisor
        var = self._total((counted * jnp.square(x - _channels(mean))).sum((0, 1, 2))) / divisor
        return mean, var, count

    def _total(self, value):
        return value if self.axis_name is None else lax.psum(value, self.axis_name)

    def _moved(self, old, new, count):
        return jnp.where(count > 0, self.momentum * old + (1 - self.momentum) * new, old)


class FixedNorm(nn.Module):
    """Batch normalisation by the running statistics, as what the convolution before it multiplies and adds.

    Its variables are those of `BatchNorm`.

    Attributes:
      epsilon: added to the variance.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, channels: int) -> tuple[Float[Array, " channels"], Float[Array, " channels"]]:
        """Returns what each of so many channels is multiplied by, and what is then added to it."""
        scale, bias, mean, var = _variables(self, channels)
        return _affine(scale, bias, mean.value, var.value, self.epsilon)


def _variables(module, channels):
    scale = parameter(module, "scale", nn.initializers.ones, (channels,))
    bias = parameter(module, "bias", nn.initializers.zeros, (channels,))
    mean = module.variable("batch_stats", "mean", jnp.zeros, (channels,))
    return scale, bias, mean, module.variable("batch_stats", "var", jnp.ones, (channels,))


def _affine(scale, bias, mean, var, epsilon):
    gain = scale * lax.rsqrt(var + epsilon)
    return gain, bias - mean * gain


def _channels(values):
    return values[None, None, None, :]
