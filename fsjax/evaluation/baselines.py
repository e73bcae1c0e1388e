"""What needs no training: the rows that a trained network has to beat.

`RawRGB` and `FilterBank` are called like the feature extractors, so that prototypes and fusion run on
them as they are. Cell (i, j) of their maps is centred on the middle of its square of pixels.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.lax import Precision
from jaxtyping import Array, Float, Int, Int32, UInt8

from fsjax.episode import IGNORED
from fsjax.models.backbones.resnet import Features
from fsjax.models.layers.padding import inside, strided


class RawRGB(nn.Module):
    """Mean colours of square cells, in [-1, 1]; no parameters.

    Attributes:
      stride: side of a cell in pixels.
    """

    stride: int = 4

    @nn.compact
    def __call__(
        self,
        images: UInt8[Array, "b h w 3"],
        sizes: Int[Array, "b 2"],
        *,
        batch_statistics: bool = False,
        weights: Array | None = None,
    ) -> dict[str, Features]:
        """Returns {"map": features [B, ceil(H / stride), ceil(W / stride), 3]}; padding is not averaged.

        Args:
          images: RGB, 0 to 255.
          sizes: height and width of each image in pixels.
          batch_statistics: unused, there are none.
          weights: unused.
        """
        del batch_statistics, weights
        valid = inside(images.shape[1:3], sizes)[..., None]
        colors = jnp.where(valid, images.astype(jnp.float32) / 127.5 - 1, 0)
        pixels = self._sums(valid.astype(jnp.float32))
        return {"map": Features(self._sums(colors) / jnp.maximum(pixels, 1), strided(sizes, self.stride))}

    def _sums(self, x: Array) -> Array:
        window = (1, self.stride, self.stride, 1)
        spare = [(0, 0), (0, -x.shape[1] % self.stride), (0, -x.shape[2] % self.stride), (0, 0)]
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, spare)


class FilterBank(nn.Module):
    """Local energies of oriented band-pass filters on luminance; no parameters.

    Quadrature pairs of Gabor filters (a wave under a Gaussian) give energies that do not depend on the
    wave's phase; differences of Gaussians give an energy for each scale without orientation. Energies are
    averaged locally, taken as logarithms, split into overall contrast and what each channel has
    above it, and standardised for each image.

    Attributes:
      stride: side of a cell in pixels, even.
      wavelengths: of the filters, in pixels.
      orientations: number of directions in half a turn.
      smoothing: standard deviation of the local average, in pixels.
    """

    stride: int = 4
    wavelengths: tuple[float, ...] = (4.0, 7.0, 12.0)
    orientations: int = 6
    smoothing: float = 2.0

    @nn.compact
    def __call__(
        self,
        images: UInt8[Array, "b h w 3"],
        sizes: Int[Array, "b 2"],
        *,
        batch_statistics: bool = False,
        weights: Array | None = None,
    ) -> dict[str, Features]:
        """Returns {"map": features [B, ceil(H / stride), ceil(W / stride), C]}, zero in the padding.

        C is (orientations + 1) x wavelengths + 1: the oriented energies, those without orientation,
        and the contrast.

        Args:
          images: RGB, 0 to 255.
          sizes: height and width of each image in pixels.
          batch_statistics: unused, there are none.
          weights: unused.
        """
        del batch_statistics, weights
        return {"map": Features(jax.vmap(self._describe)(images, sizes), strided(sizes, self.stride))}

    def _describe(self, image: Array, size: Array) -> Array:
        valid = inside(image.shape[:2], size)
        luminance = jnp.einsum("hwc,c->hw", image / 255.0, jnp.asarray([0.299, 0.587, 0.114]))
        mean = jnp.sum(luminance * valid) / jnp.maximum(jnp.sum(valid), 1)
        energies = self._energies(luminance - mean, size)
        factor, sigma = self.stride // ENERGY_STRIDE, self.smoothing / ENERGY_STRIDE
        logs = jnp.log(_local_mean(energies, strided(size, ENERGY_STRIDE), factor, sigma) + NOISE)
        contrast = logs.mean(axis=-1, keepdims=True)
        channels = jnp.concatenate([logs - contrast, contrast], axis=-1)
        return _standardize(channels, inside(channels.shape[:2], strided(size, self.stride)))

    def _energies(self, luminance: Array, size: Array) -> Array:
        """Returns the filters' squared responses at every second pixel, [h, w, C - 1]."""
        margin = int(np.ceil(3 * SPREAD * max(self.wavelengths)))
        mirrored = luminance[_mirrored(luminance.shape[0], margin, size[0])]
        mirrored = mirrored[:, _mirrored(luminance.shape[1], margin, size[1])]
        responses = []
        for wavelength in self.wavelengths:
            sigma = SPREAD * wavelength
            for angle in np.pi * np.arange(self.orientations) / self.orientations:
                waves = 2 * np.pi / wavelength * np.array([np.sin(angle), np.cos(angle)])
                responses.append(_filtered(mirrored, margin, *(_gabor(sigma, wave) for wave in waves)))
            narrow, wide = (_gabor(width, 0.0) for width in (sigma / 1.6, sigma))
            center, surround = (_filtered(mirrored, margin, blur, blur) for blur in (narrow, wide))
            responses.append(center - surround)
        return jnp.abs(jnp.stack(responses, axis=-1)) ** 2


ENERGY_STRIDE = 2  # energies vary slower than the filters' Gaussians: every second pixel is enough
SPREAD = 0.5  # a Gabor filter's standard deviation in wavelengths
NOISE = 1e-3  # added to energies of luminance in [0, 1]: a wave of amplitude 0.06 has this much

UNSEEN = 128.0  # pixels of every colour alike that a histogram is taken to hold beforehand

Kernel = Callable[[np.ndarray], np.ndarray]


def _gabor(sigma: float, wave: float) -> Kernel:
    """Returns one axis of a Gabor filter; a filter of a Gaussian envelope is a product over the axes."""
    return lambda x: np.exp(-0.5 * (x / sigma) ** 2 + 1j * wave * x) / (sigma * np.sqrt(2 * np.pi))


def _filtered(extended: Array, margin: int, vertical: Kernel, horizontal: Kernel) -> Array:
    """Filters a map that is extended by a margin, as two matrix products; complex at ENERGY_STRIDE."""
    rows, columns = (
        _sampled(kernel, length, margin)
        for kernel, length in zip((vertical, horizontal), extended.shape, strict=True)
    )
    return jnp.einsum("Hh,hw,Ww->HW", rows, extended, columns, precision=Precision.HIGHEST)


def _sampled(kernel: Kernel, length: int, margin: int) -> np.ndarray:
    """Returns the kernel as a matrix from the extended axis to the grid of ENERGY_STRIDE."""
    out = -(-(length - 2 * margin) // ENERGY_STRIDE)
    centers = np.arange(out) * ENERGY_STRIDE + (ENERGY_STRIDE - 1) / 2
    distance = np.arange(length)[None] - margin - centers[:, None]
    return np.where(np.abs(distance) <= margin, kernel(distance), 0).astype(np.complex64)


def _mirrored(length: int, margin: int, size: Array) -> Array:
    """Returns the positions that continue an axis of valid length `size` by reflection on both sides."""
    position = jnp.arange(-margin, length + margin) % (2 * size)
    return jnp.minimum(position, 2 * size - 1 - position)


def _local_mean(x: Array, size: Array, factor: int, sigma: float) -> Array:
    """Averages [h, w, C] under a Gaussian over its valid cells, on a grid `factor` times coarser."""
    valid = inside(x.shape[:2], size).astype(jnp.float32)[..., None]
    rows, columns = (_smoother(length, factor, sigma) for length in x.shape[:2])
    total, mass = (
        jnp.einsum("Hh,hwc,Ww->HWc", rows, part, columns, precision=Precision.HIGHEST)
        for part in (x * valid, valid)
    )
    return total / jnp.maximum(mass, 1e-12)


def _smoother(length: int, factor: int, sigma: float) -> np.ndarray:
    """Returns Gaussian weights from an axis to one that is `factor` times coarser."""
    centers = np.arange(-(-length // factor)) * factor + (factor - 1) / 2
    return np.exp(-0.5 * ((np.arange(length)[None] - centers[:, None]) / sigma) ** 2).astype(np.float32)


def _standardize(x: Array, valid: Array) -> Array:
    """Brings each channel to mean 0 and deviation 1 over the valid cells; zero elsewhere."""
    weight = (valid / jnp.maximum(jnp.sum(valid), 1))[..., None]
    centered = x - jnp.sum(x * weight, axis=(0, 1), keepdims=True)
    variance = jnp.sum(centered**2 * weight, axis=(0, 1), keepdims=True)
    return jnp.where(valid[..., None], centered * jax.lax.rsqrt(variance + 1e-6), 0)


def color_histogram_logits(
    support_images: UInt8[Array, "n k hs ws 3"],
    support_masks: UInt8[Array, "n k hs ws"],
    support_sizes: Int[Array, "n k 2"],
    query_images: UInt8[Array, "t hq wq 3"],
    query_sizes: Int[Array, "t 2"],
    *,
    bins: int = 16,
    smoothing: float = 4.0,
) -> Float[Array, "t hq wq classes"]:
    """Classifies the queries' pixels by colour: log likelihoods, averaged locally.

    A class has the joint RGB histogram of its pixels in all supports, blurred over neighbouring bins. Classes
    are equally likely beforehand, as they are for prototypes: with the supports' class frequencies as
    the prior, nearly every pixel would be background. A class without pixels expects all colours alike.

    Args:
      support_images: RGB, 0 to 255.
      support_masks: 0 background, 1..N the ways, 255 not looked at.
      support_sizes: height and width in pixels; padding is not looked at.
      query_images: as the supports.
      query_sizes: as the supports'.
      bins: of each channel.
      smoothing: standard deviation in pixels of the average over a query's log likelihoods.

    Returns:
      [T, Hq, Wq, N + 1], background first.
    """
    classes = jnp.arange(support_masks.shape[0] + 1, dtype=support_masks.dtype)
    valid = inside(support_masks.shape[2:], support_sizes)
    of_class = (support_masks[None] == classes[:, None, None, None, None]) & valid[None]
    color = _color_bin(support_images, bins).reshape(-1)
    counts = jax.vmap(lambda weight: jnp.bincount(color, weight, length=bins**3))(
        of_class.reshape(len(classes), -1).astype(jnp.float32)
    )
    pixels = counts.sum(axis=-1, keepdims=True)
    likelihood = (_blur_bins(counts, bins) + UNSEEN / bins**3) / (pixels + UNSEEN)
    logits = jnp.log(likelihood).T[_color_bin(query_images, bins)]
    return jax.vmap(lambda x, size: _local_mean(x, size, 1, smoothing))(logits, query_sizes)


def _color_bin(images: Array, bins: int) -> Array:
    level = images.astype(jnp.int32) * bins // 256
    return (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]


def _blur_bins(counts: Array, bins: int) -> Array:
    """Spreads each bin's count over its neighbours, (1, 2, 1) / 4 along each channel."""
    blur = np.eye(bins) / 2 + (np.eye(bins, k=1) + np.eye(bins, k=-1)) / 4
    blur = (blur / blur.sum(axis=0, keepdims=True)).astype(np.float32)
    cube = counts.reshape(-1, bins, bins, bins)
    spread = jnp.einsum("Rr,Gg,Bb,nrgb->nRGB", blur, blur, blur, cube, precision=Precision.HIGHEST)
    return spread.reshape(counts.shape)


def any_object(labels: UInt8[Array | np.ndarray, "h w"]) -> Int32[Array | np.ndarray, "h w"]:
    """Returns 1 wherever the truth shows an object of any class (1..254), 0 elsewhere."""
    return ((labels > 0) & (labels < IGNORED)).astype(np.int32)
