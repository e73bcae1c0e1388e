"""What pretrained weights expect of a photo's values."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from fsjax.models.layers.padding import zero_padding

MEAN_RGB = (0.485, 0.456, 0.406)  # of ImageNet, of values in [0, 1]
DEVIATION_RGB = (0.229, 0.224, 0.225)
MEAN_BGR = (103.06262, 115.902885, 123.15163)  # of ImageNet, of values in [0, 255]: MSRA's ResNets


def normalize(
    images: UInt8[Array, "b h w 3"], sizes: Int[Array, "b 2"], convention: str
) -> Float[Array, "b h w 3"]:
    """Returns what the weights of a convention expect of a photo, with the padding set to zero.

    Args:
      images: RGB.
      sizes: valid height and width of each image, in pixels.
      convention: `torchvision` (RGB in [0, 1], minus ImageNet's mean, over its deviation) or `caffe`
        (BGR in [0, 255], minus the mean).
    """
    photos = images.astype(jnp.float32)
    if convention == "torchvision":
        photos = (photos / 255 - _pixel(MEAN_RGB)) / _pixel(DEVIATION_RGB)
    else:
        photos = photos[..., ::-1] - _pixel(MEAN_BGR)
    return zero_padding(photos, sizes)


def _pixel(values):
    return jnp.asarray(values, jnp.float32)[None, None, None, :]
