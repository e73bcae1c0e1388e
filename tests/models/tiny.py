"""Episodes of a few cells, and backbones that compile in a moment."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fsjax.episode import IGNORED, Episode
from fsjax.errors import InputError
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features, Group
from fsjax.models.layers.norm import BatchNorm
from fsjax.models.layers.padding import nearest_fit, zero_padding

PATCH = 4  # pixels a cell


class Task(NamedTuple):
    """The same features and masks padded, for the library, and cut out, for the reference."""

    supports: Features
    queries: Features
    episode: Episode
    support_list: list  # [n][k] of [h, w, c]
    support_masks: list  # [n][k] of [H, W]
    query_list: list  # [t]
    query_masks: list


def random_task(seed, ways, shots, queries=1, *, padded=True, channels=5, void=0.05):
    """Random features that lean towards one direction a class, under random masks with void pixels.

    With padding every image has its own size, and the padding of masks and features is rubbish.
    """
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(ways + 1, channels))

    def photo(rows, columns):
        cells = rng.integers(0, ways + 1, (rows, columns))
        features = directions[cells] + 0.7 * rng.normal(size=(rows, columns, channels))
        height, width = 3 * rows + int(rng.integers(3)), 3 * columns + int(rng.integers(3))
        mask = cells[np.arange(height) * rows // height][:, np.arange(width) * columns // width]
        mask = np.where(rng.random(mask.shape) < void, IGNORED, mask).astype(np.uint8)
        return features.astype(np.float32), mask

    def photos(*lead):
        sizes = rng.integers(3, 6, (*lead, 2)) if padded else np.full((*lead, 2), 4)
        drawn = [photo(*size) for size in sizes.reshape(-1, 2)]
        features = rng.normal(size=(len(drawn), 5, 6, channels)).astype(np.float32)
        masks = rng.integers(0, ways + 1, (len(drawn), 17, 20)).astype(np.uint8)
        for image, mask, (small, labels) in zip(features, masks, drawn, strict=True):
            image[: small.shape[0], : small.shape[1]] = small
            mask[: labels.shape[0], : labels.shape[1]] = labels
        pixels = np.int32([labels.shape for _, labels in drawn]).reshape(*lead, 2)
        maps = Features(features.reshape(*lead, 5, 6, channels), np.int32(sizes))
        return maps, masks.reshape(*lead, 17, 20), pixels, drawn

    supports, support_masks, support_pixels, drawn_supports = photos(ways, shots)
    query_maps, query_masks, query_pixels, drawn_queries = photos(queries)
    by_way = [drawn_supports[n * shots : (n + 1) * shots] for n in range(ways)]
    return Task(
        supports,
        query_maps,
        Episode(
            support_images=np.zeros((ways, shots, 17, 20, 3), np.uint8),
            support_masks=support_masks,
            support_sizes=support_pixels,
            query_images=np.zeros((queries, 17, 20, 3), np.uint8),
            query_sizes=query_pixels,
            query_masks=query_masks,
            query_mask_sizes=query_pixels,
            class_ids=np.arange(1, ways + 1, dtype=np.int32),
            weight=np.float32(1),
            index=np.int32(seed),
        ),
        [[features for features, _ in way] for way in by_way],
        [[mask for _, mask in way] for way in by_way],
        [features for features, _ in drawn_queries],
        [mask for _, mask in drawn_queries],
    )


def swap_ways(task):
    """The same two-way task with its ways in the other order."""
    swap = np.arange(256, dtype=np.uint8)
    swap[[1, 2]] = [2, 1]
    episode = task.episode._replace(
        support_masks=swap[task.episode.support_masks][::-1],
        support_sizes=task.episode.support_sizes[::-1],
        query_masks=swap[task.episode.query_masks],
    )
    return task._replace(supports=Features(*(field[::-1] for field in task.supports)), episode=episode)


def random_episode(seed, ways=2, shots=1, queries=1, side=16, weight=1.0):
    """A NumPy episode of unpadded photos whose colours lean towards one colour a class."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(0).uniform(20, 235, (ways + 1, 3))

    def photos(*lead):
        cells = rng.integers(0, ways + 1, (*lead, side // 4, side // 4))
        masks = cells.repeat(4, -1).repeat(4, -2).astype(np.uint8)
        images = np.clip(colours[masks] + rng.normal(0, 30, (*masks.shape, 3)), 0, 255).astype(np.uint8)
        masks = np.where(rng.random(masks.shape) < 0.05, IGNORED, masks).astype(np.uint8)
        return images, masks, np.full((*lead, 2), side, np.int32)

    support_images, support_masks, support_sizes = photos(ways, shots)
    query_images, query_masks, query_sizes = photos(queries)
    return Episode(
        support_images, support_masks, support_sizes, query_images, query_sizes, query_masks, query_sizes,
        np.arange(1, ways + 1, dtype=np.int32), np.float32(weight), np.int32(seed),
    )  # fmt: skip


def supports_of(episode):
    return tuple(
        jnp.asarray(x) for x in (episode.support_images, episode.support_masks, episode.support_sizes)
    )


def batch_of(images, sizes):
    """Photos [N, K, ...] and their sizes in one batch."""
    return images.reshape(-1, *images.shape[2:]), sizes.reshape(-1, 2)


def support_loss(method, variables, supports, leave_one_out=False):
    """Eq. 6 of a PRNet by the whole network."""
    images, masks, sizes = supports
    return method.adaptation_loss(
        method.embed(variables, *batch_of(images, sizes)), masks, sizes, leave_one_out
    )


def adapted(method, variables, supports, settings, probe=None):
    """The variables tuned to supports, and after each step the loss, or what a probe finds."""
    images, masks, sizes = supports
    below = method.below(variables, *batch_of(images, sizes), settings)
    probe = probe or (lambda variables: support_loss(method, variables, supports))
    return method.adapt(variables, below, masks, sizes, settings, probe)


def patch_colours(images):
    """The mean colour of every 4x4 patch, -0.5 to 0.5, of images [B, H, W, 3]."""
    rows, columns = images.shape[1] // PATCH, images.shape[2] // PATCH
    whole = images[:, : rows * PATCH, : columns * PATCH]
    return whole.reshape(-1, rows, PATCH, columns, PATCH, 3).mean((2, 4)) / 255 - 0.5


class Linear(nn.Module):
    """A linear map of each patch's mean colour, without statistics."""

    @nn.compact
    def __call__(self, images):
        kernel = self.param("kernel", nn.initializers.normal(1.0), (3, 4))
        return jnp.einsum("bhwi,io->bhwo", patch_colours(images.astype(jnp.float32)), kernel)


class Layer(nn.Module):
    """A linear map of the channels and a BatchNorm."""

    axis_name: str | None

    @nn.compact
    def __call__(self, x, **statistics):
        x = nn.Dense(6, use_bias=False, name="conv")(x)
        return BatchNorm(axis_name=self.axis_name, name="bn")(x, **statistics)


class TwoLayers(nn.Module):
    """Two layers over each patch's mean colour, named by their stages."""

    axis_name: str | None

    @nn.compact
    def __call__(self, images, **statistics):
        x = patch_colours(images.astype(jnp.float32))
        x = nn.relu(Layer(self.axis_name, name="layer1_0")(x, **statistics))
        return Layer(self.axis_name, name="layer2_0")(x, **statistics)


@dataclass(frozen=True)
class Tiny:
    """One of the networks above as a backbone whose two roles are one map of whole patches."""

    network: nn.Module
    width: int
    stages: int
    batch_statistics: bool = False

    aligned: ClassVar[bool] = False
    awaits_relu: ClassVar[bool] = False
    published: ClassVar[tuple[str, ...]] = ()

    @property
    def channels(self):
        return {SHALLOW: self.width, DEEP: self.width}

    def cells(self, pixels):
        return pixels // PATCH

    def side(self, pixels):
        return nearest_fit(pixels, PATCH, 0)

    def init(self, rng):
        return self.network.init(rng, jnp.zeros((1, PATCH, PATCH, 3), jnp.uint8))

    def imagenet(self):
        raise InputError("Nobody has trained it on ImageNet: name a file.")

    def load(self, path):
        raise NotImplementedError(path)

    def embed(self, variables, images, sizes):
        return self._roles(self.network.apply(variables, images), sizes)

    def below(self, variables, images, sizes, stage):
        return images, sizes

    def above(self, variables, below, stage):
        return self.embed(variables, *below)

    def embed_training(self, variables, images, sizes, weights):
        if not self.batch_statistics:
            return self.embed(variables, images, sizes), variables
        maps, updated = self.network.apply(
            variables, images, batch_statistics=True, weights=weights, mutable=["batch_stats"]
        )
        return self._roles(maps, sizes), {**variables, **updated}

    def group(self, path):
        stage = int(path[0][len("layer")]) if path[0].startswith("layer") else 0
        return Group(stage, path[-1] in ("scale", "bias"))

    def _roles(self, maps, sizes):
        features = Features(zero_padding(maps, sizes // PATCH), sizes // PATCH)
        return {SHALLOW: features, DEEP: features}


def linear_backbone():
    """A linear map of colours to four channels; no statistics, no stages."""
    return Tiny(Linear(), 4, 0)


def two_layer_backbone(axis_name=None, batch_statistics=False):
    """Two layers with BatchNorm, of six channels each."""
    return Tiny(TwoLayers(axis_name), 6, 2, batch_statistics)
