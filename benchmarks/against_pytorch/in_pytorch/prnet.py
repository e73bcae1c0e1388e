"""PRNet in PyTorch: prototypes, the training loss, the loss of adaptation, and both stages of fusion.

Masks are 0 background, 1 to N the ways, 255 ignored; row 0 of prototypes is background.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

IGNORED = 255
ABSENT = -1e4


class PRNet(nn.Module):
    """A network and the loss of one episode.

    Args:
      backbone: photos to features.
      scale: of the cosines.
      half: whether the network computes in bfloat16.
    """

    def __init__(self, backbone: nn.Module, scale: float, half: bool):
        super().__init__()
        self.backbone, self.scale, self.half = backbone, scale, half

    def embed(self, images: Tensor) -> Tensor:
        """Returns the features of photos, float32 [b, C, h, w]."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            return self.backbone(images)[1].float()

    def forward(
        self, support_images: Tensor, support_masks: Tensor, query_images: Tensor, query_masks: Tensor
    ) -> Tensor:
        """Returns the training loss of an episode of N K supports, way by way, and T queries (Eq. 5).

        Args:
          support_images: uint8 [N, K, H, W, 3].
          support_masks: uint8 [N, K, H, W].
          query_images: uint8 [T, H, W, 3].
          query_masks: uint8 [T, H, W].
        """
        supports = support_images.flatten(0, 1)
        features = self.embed(torch.cat([supports, query_images]))
        of_supports, of_queries = features.split([len(supports), len(query_images)])
        masks = support_masks.flatten(0, 1)
        vectors, present = support_prototypes(of_supports, support_masks)
        similar = cosines(of_queries, vectors)
        loss = cross_entropy(self.scale * similar, query_masks, present)
        predicted = similar.masked_fill(~present[:, None, None], -torch.inf).argmax(1)
        selected = functional.one_hot(predicted, len(present)).permute(0, 3, 1, 2)
        of_each, held = means(of_queries, selected.float())
        held = held.float()
        count = held.sum(0)
        back = (of_each * held[..., None]).sum(0) / count.clamp(min=1)[:, None]
        return loss + cross_entropy(self.scale * cosines(of_supports, back), masks, count > 0)

    def adaptation_loss(self, features: Tensor, masks: Tensor) -> Tensor:
        """Returns the loss of supports by their own prototypes (Eq. 6), from features [N K, C, h, w]."""
        vectors, present = support_prototypes(features, masks)
        return cross_entropy(self.scale * cosines(features, vectors), masks.flatten(0, 1), present)

    def segment(
        self,
        supports: Tensor,
        support_masks: Tensor,
        queries: Tensor,
        side: tuple[int, int],
        fusion: dict[str, Any],
    ) -> list[Tensor]:
        """Returns the logits of queries without fusion and after either stage, [T, N + 1, H, W] (Eq. 7 on).

        Args:
          supports: features [N K, C, h, w].
          support_masks: uint8 [N, K, H, W].
          queries: features [T, C, h, w].
          side: height and width of the logits, in pixels.
          fusion: the fields of fsjax's FusionSettings.
        """
        vectors, present = support_prototypes(supports, support_masks)
        first = vectors.expand(len(queries), -1, -1)
        similar_1 = cosines(queries, first)
        second = fused(queries, first, similar_1, present, fusion["omega_s"], fusion["omega_q"])
        similar_2 = cosines(queries, second)
        both = (similar_1 + similar_2) / 2
        third = fused(queries, second, both, present, fusion["omega_f"], fusion["omega_q"])
        maps = similar_1, similar_2, cosines(queries, third)
        return [enlarged(self.scale * one, side, present) for one in maps]


def support_prototypes(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Returns p_s (Eq. 1), [N + 1, C], and which of them were pooled.

    The mask is brought to the features by the transpose of their bilinear enlargement, which pools what PANet
    pools from enlarged features, without these.

    Args:
      features: [N K, C, h, w].
      masks: uint8 [N, K, H, W].
    """
    N, K = masks.shape[:2]
    ways = torch.arange(1, N + 1, device=masks.device)[:, None, None, None]
    shown = torch.stack([masks == ways, masks == 0], 2).flatten(0, 1).float()
    cells = list(features.shape[-2:])
    small = torch.ops.aten.upsample_bilinear2d_backward(
        shown, list(masks.shape[-2:]), [*shown.shape[:2], *cells], False
    )
    pooled, held = means(features, small)
    pooled, held = pooled.view(N, K, 2, -1), held.view(N, K, 2, 1).float()
    of_ways, of_ground = pooled[:, :, 0], pooled[:, :, 1]
    count, ground = held[:, :, 0].sum(1), held[:, :, 1].sum((0, 1))
    ways = (of_ways * held[:, :, 0]).sum(1) / count.clamp(min=1)
    background = (of_ground * held[:, :, 1]).sum((0, 1)) / ground.clamp(min=1)
    return torch.cat([background[None], ways]), torch.cat([ground, count[:, 0]]) > 0


def means(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Returns weighted means of each image, [b, p, C], and where anything was weighed, [b, p].

    Args:
      features: [b, C, h, w].
      weights: [b, p, h, w].
    """
    total = weights.sum((2, 3))
    summed = torch.einsum("bphw,bchw->bpc", weights, features)
    return summed / torch.where(total > 0, total, 1)[..., None], total > 0


def cosines(features: Tensor, vectors: Tensor) -> Tensor:
    """Returns the cosine of every cell with every prototype, [b, classes, h, w].

    Args:
      features: [b, C, h, w].
      vectors: [classes, C], or of each image [b, classes, C].
    """
    units = functional.normalize(features, dim=1, eps=1e-6)
    vectors = functional.normalize(vectors, dim=-1, eps=1e-6)
    # No conv2d with the vectors as its kernels: PyTorch 2.13's inductor has wrong gradients of it on CPUs.
    each = "" if vectors.ndim == 2 else "b"
    return torch.einsum(f"bchw,{each}nc->bnhw", units, vectors)


def enlarged(logits: Tensor, side: tuple[int, int], present: Tensor) -> Tensor:
    """Returns logits at the labels' pixels; a class without a prototype has next to no probability."""
    full = functional.interpolate(logits, side, mode="bilinear", align_corners=False)
    return full.masked_fill(~present[:, None, None], ABSENT)


def cross_entropy(logits: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Returns the mean over the pixels that are labelled with a class that is present, 0 without any."""
    labels = masks.long()
    known = present[labels.clamp(max=len(present) - 1)] & (labels != IGNORED)
    labels = labels.masked_fill(~known, IGNORED)
    full = enlarged(logits, masks.shape[-2:], present)
    total = functional.cross_entropy(full, labels, ignore_index=IGNORED, reduction="sum")
    return total / known.sum().clamp(min=1)


def fused(
    queries: Tensor, old: Tensor, similar: Tensor, present: Tensor, weight_old: float, weight_new: float
) -> Tensor:
    """Returns prototypes fused with those of the queries' confident cells, [T, N + 1, C].

    Args:
      queries: features [T, C, h, w].
      old: prototypes [T, N + 1, C].
      similar: the map that decides on the cells, [T, N + 1, h, w].
      present: which classes have a prototype.
      weight_old: of the old ones.
      weight_new: of the queries'.
    """
    predicted = similar.masked_fill(~present[:, None, None], -torch.inf).argmax(1)
    member = functional.one_hot(predicted, len(present)).permute(0, 3, 1, 2).bool()
    alpha = (similar.amax((2, 3), keepdim=True) + similar.mean((2, 3), keepdim=True)) / 2
    new, held = means(queries, (member & (similar > alpha)).float())
    known = (held & present)[..., None]
    return torch.where(known, weight_old * old + weight_new * new, old)


def confusion(logits: Tensor, truth: Tensor) -> Tensor:
    """Returns how many pixels of each truth (0 to N, void) are predicted as each class, [T, N + 2, N + 1]."""
    T, classes = logits.shape[:2]
    rows = torch.where(truth == IGNORED, classes, truth).long()
    query = torch.arange(T, device=truth.device)[:, None, None]
    pairs = (query * (classes + 1) + rows) * classes + logits.argmax(1)
    counted = torch.bincount(pairs.flatten(), minlength=T * (classes + 1) * classes)
    return counted.view(T, classes + 1, classes)
