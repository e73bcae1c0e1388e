"""A fitted segmenter as one file of StableHLO, which is served with JAX and without fsjax.

The file holds the whole way from a photo of one fixed size to its mask, the weights and the supports'
prototypes included. docs/export.md has the ten lines that serve it.
"""

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from fsjax.data.images import input_size
from fsjax.data.resizing import resize_image
from fsjax.errors import InputError
from fsjax.files import replacing
from fsjax.models.method import Shape
from fsjax.models.scales import mean_prediction, rescale
from fsjax.segmenter import Fitted

SUFFIX = ".stablehlo"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""What a file can be made for, as JAX calls them."""

BITS = 22
"""Behind the binary point of Pillow's weights."""


def export_stablehlo(
    fitted: Fitted,
    file: str | Path,
    height: int,
    width: int,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> str:
    """Writes a fitted segmenter as one file, whole or not at all, and returns the sha256 of the file.

    What is in it takes a photo, uint8 [height, width, 3], and returns {"mask": uint8 [height, width], 0
    background, 1 to N the classes; "probabilities": float32 [height, width, N + 1]}, those of the method's
    final output. The mask is that of `Fitted.segment(photo)`, but for pixels whose logits differ by no more
    than rounding; of a photo of more than 2,048 pixels it is not made smaller first. Convolutions and
    attention are those of the platform that it runs on, equal on all but for rounding.

    JAX reads such files of its own and earlier versions, for about six months (its compatibility
    guarantees): keep the model itself, too.

    Args:
      fitted: of `Segmenter.fit`. With `Segmenter.joint` a photo is segmented as if it came alone.
      file: a .stablehlo; an earlier one is replaced.
      height: of the photos that will come, in pixels.
      width: of them.
      platforms: where it is to run, of `PLATFORMS`.

    Raises:
      InputError: for a name or size that will not do, or where the package flatbuffers is missing.
    """
    path = Path(file)
    if path.suffix != SUFFIX:
        raise InputError(f"{path} is to hold StableHLO: let its name end in {SUFFIX}.")
    if min(height, width) < 1:
        raise InputError(f"Photos of {height}x{width} pixels cannot be: give a height and a width from 1 on.")
    for name in platforms:
        if name not in PLATFORMS:
            raise InputError(f"There is no platform {name!r}: choose from {', '.join(PLATFORMS)}.")
    if find_spec("flatbuffers") is None:
        raise InputError("JAX writes such files with the package flatbuffers: pip install flatbuffers.")
    photo = jax.ShapeDtypeStruct((height, width, 3), jnp.uint8)
    program = jax.jit(predictor(fitted, (height, width)))
    data = jax.export.export(program, platforms=tuple(platforms))(photo).serialize()
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def predictor(fitted: Fitted, shape: Shape) -> Callable[[UInt8[Array, "H W 3"]], dict[str, Array]]:
    """Returns what maps a photo of one shape to its mask and probabilities, and can be compiled."""
    segmenter = fitted.segmenter
    method, settings, scales = segmenter.method, segmenter.settings, segmenter.scales
    known = jax.tree.map(lambda x: np.asarray(x)[0, 0, 0], fitted.fitted)
    constants = jax.tree.map(np.asarray, (segmenter.variables, known))
    side, size = segmenter.inputs.size, input_size(*shape, segmenter.inputs)
    first = columns_first(shape, size)

    def predict(photo: UInt8[Array, "H W 3"]) -> dict[str, Array]:
        variables, known = jax.tree.map(jnp.asarray, constants)
        small = resized(photo, *size, columns_first=first)
        batch = jnp.pad(small, ((0, side - size[0]), (0, side - size[1]), (0, 0)))[None], jnp.array([size])
        logits = []
        for factor in scales.factors:
            features = method.embed(variables, *rescale(*batch, factor, method.side))
            logits.append(method.segment(variables, known, features, shape, jnp.array([shape]), settings))
        (final,) = mean_prediction(logits, scales.average)[method.final]
        return {"mask": final.argmax(-1).astype(jnp.uint8), "probabilities": jax.nn.softmax(final)}

    return predict


def resized(
    image: UInt8[Array, "h w 3"], height: int, width: int, *, columns_first: bool = False
) -> UInt8[Array, "{height} {width} 3"]:
    """Returns what `fsjax.data.resizing.resize_image` does, bit for bit, in a program that can be compiled.

    Pillow resizes along one axis, rounds to whole numbers, then along the other; all in whole numbers.

    Args:
      image: a photo.
      height: of the result, in pixels.
      width: of the result.
      columns_first: whether heights change before widths.
    """
    passes = (1, width), (0, height)
    for axis, side in reversed(passes) if columns_first else passes:
        if side == image.shape[axis]:
            continue
        places, weights = taps(image.shape[axis], side)
        total = jnp.full((), 1 << (BITS - 1), jnp.int32)
        for place, weight in zip(places, weights, strict=True):
            taken = jnp.take(image, place, axis, mode="clip").astype(jnp.int32)
            total = total + taken * jnp.expand_dims(weight, [other for other in range(3) if other != axis])
        image = jnp.clip(total >> BITS, 0, 255).astype(jnp.uint8)
    return image


def columns_first(before: Shape, after: Shape) -> bool:
    """Says whether Pillow changes heights before widths: some versions do where that is less work.

    It is tried on noise, which either order rounds otherwise.
    """
    noise = np.random.default_rng(0).integers(0, 256, (*before, 3), np.uint8)
    wanted = resize_image(noise, *after)
    compiled = jax.jit(resized, static_argnums=(1, 2), static_argnames="columns_first")
    rows, columns = (
        int((np.asarray(compiled(noise, *after, columns_first=first)) != wanted).sum())
        for first in (False, True)
    )
    return columns < rows


def taps(before: int, after: int) -> tuple[Int[np.ndarray, "taps after"], Int[np.ndarray, "taps after"]]:
    """Returns of each pixel of a resized line the pixels that it is the mean of, and their weights.

    Weights fall linearly from the centre; where a line shrinks, as slowly as it takes to see all its pixels.

    Args:
      before: pixels of the line.
      after: pixels of the resized line.

    Returns:
      The places of pixels, and their weights times 2**BITS, rounded; a weight is 0 where a pixel needs fewer.
    """
    scale = before / after
    reach = max(scale, 1.0)
    centre = (np.arange(after) + 0.5) * scale
    first = np.maximum(np.trunc(centre - reach + 0.5), 0)
    end = np.minimum(np.trunc(centre + reach + 0.5), before)
    places = first + np.arange(2 * int(np.ceil(reach)) + 1)[:, None]
    weights = np.maximum(1 - np.abs((places - centre + 0.5) / reach), 0) * (places < end)
    weights = np.floor(weights / weights.sum(0) * (1 << BITS) + 0.5)
    return np.minimum(places, before - 1).astype(np.int32), weights.astype(np.int32)
