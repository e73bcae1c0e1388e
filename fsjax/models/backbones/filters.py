"""Hand-made features, pure functions of photos: what a trained network has to beat.

Cell (i, j) of their maps is centred on the middle of its square of pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float, Int, UInt8

from fsjax.models.layers.local_mean import local_mean
from fsjax.models.layers.padding import inside, strided

ENERGY_STRIDE = 2  # energies vary slower than the filters' Gaussians: every second pixel is enough
SPREAD = 0.5  # a Gabor filter's standard deviation in wavelengths
NOISE = 1e-3  # added to energies of luminance in [0, 1]: a wave of amplitude 0.06 has this much

Kernel = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RawRGB:
    """Mean colours of square cells, in [-1, 1].

    Attributes:
      stride: side of a cell in pixels.
    """

    stride: int = 4

    channels: ClassVar[int] = 3

    def __call__(self, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"]) -> Float[Array, "b h w 3"]:
        """Returns the colours of ceil(H / stride) x ceil(W / stride) cells; padding is not averaged.

        Args:
          images: RGB, 0 to 255, each in the top-left rectangle of its array.
          sizes: the rectangles' heights and widths.
        """
        valid = inside(images.shape[1:3], sizes)[..., None]
        colors = jnp.where(valid, images.astype(jnp.float32) / 127.5 - 1, 0)
        pixels = self._sums(valid.astype(jnp.float32))
        return self._sums(colors) / jnp.maximum(pixels, 1)

    def _sums(self, x: Array) -> Array:
        window = (1, self.stride, self.stride, 1)
        spare = [(0, 0), (0, -x.shape[1] % self.stride), (0, -x.shape[2] % self.stride), (0, 0)]
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, spare)


@dataclass(frozen=True)
class FilterBank:
    """Local energies of oriented band-pass filters on luminance.

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

    @property
    def channels(self) -> int:
        """The oriented energies, those without orientation, and the contrast."""
        return (self.orientations + 1) * len(self.wavelengths) + 1

    def __call__(self, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"]) -> Float[Array, "b h w c"]:
        """Returns the energies of ceil(H / stride) x ceil(W / stride) cells, zero in the padding.

        Args:
          images: RGB, 0 to 255, each in the top-left rectangle of its array.
          sizes: the rectangles' heights and widths.
        """
        return jax.vmap(self._describe)(images, sizes)

    def _describe(self, image: Array, size: Array) -> Array:
        valid = inside(image.shape[:2], size)
        luminance = jnp.einsum("hwc,c->hw", image / 255.0, jnp.asarray([0.299, 0.587, 0.114]))
        mean = jnp.sum(luminance * valid) / jnp.maximum(jnp.sum(valid), 1)
        energies = self._energies(luminance - mean, size)
        factor, sigma = self.stride // ENERGY_STRIDE, self.smoothing / ENERGY_STRIDE
        logs = jnp.log(local_mean(energies, strided(size, ENERGY_STRIDE), factor, sigma) + NOISE)
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


def _standardize(x: Array, valid: Array) -> Array:
    """Brings each channel to mean 0 and deviation 1 over the valid cells; zero elsewhere."""
    weight = (valid / jnp.maximum(jnp.sum(valid), 1))[..., None]
    centered = x - jnp.sum(x * weight, axis=(0, 1), keepdims=True)
    variance = jnp.sum(centered**2 * weight, axis=(0, 1), keepdims=True)
    return jnp.where(valid[..., None], centered * jax.lax.rsqrt(variance + 1e-6), 0)
