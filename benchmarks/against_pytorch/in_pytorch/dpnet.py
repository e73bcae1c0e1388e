"""DPNet in PyTorch, one-way and one-shot with one query, as it is trained: the head and the loss.

Modules are named as fsjax's are. The layers of a pair [x; v] multiply the vector by itself and add it to
every cell, without tiling it over the map, as fsjax does.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.against_pytorch.in_pytorch.cycle import compare

IGNORED = 255
SCALES = (1, 2, 4)


class PairDense(nn.Module):
    """A fully connected layer, or 1x1 convolution, of [x; vector].

    Args:
      channels: of x, and of the vector.
      features: channels of the output.
    """

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, 2 * channels))
        self.bias = nn.Parameter(torch.empty(features))

    def forward(self, x: Tensor, *vectors: Tensor) -> list[Tensor]:
        """Returns the output for each vector [b, C]; x is a map [b, C, h, w] or a vector."""
        of_x, of_vector = self.weight.chunk(2, 1)
        cells = torch.einsum("bc...,oc->bo...", x, of_x)
        added = [functional.linear(vector, of_vector, self.bias) for vector in vectors]
        return [cells + (one[:, :, None, None] if x.ndim == 4 else one) for one in added]


class Discriminator(nn.Module):
    """Says which of a query's cells share the prototype's class."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.hidden, self.output = PairDense(channels, hidden), nn.Linear(hidden, 1)

    def forward(self, queries: Tensor, prototype: Tensor) -> Tensor:
        """Returns the logits of cells, [b, h w]."""
        (hidden,) = self.hidden(queries, prototype)
        logits = torch.einsum("bchw,c->bhw", functional.relu(hidden), self.output.weight[0])
        return logits.flatten(1) + self.output.bias


class Interaction(nn.Module):
    """Weighs channels by a pair of prototypes."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.mix = PairDense(channels, channels)
        self.reduce, self.expand = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.alpha = nn.Parameter(torch.empty(()))

    def forward(self, prototype: Tensor, pseudo: Tensor) -> Tensor:
        """Returns what channels are multiplied by, less one, [b, C]."""
        (mixed,) = self.mix(prototype, pseudo)
        deviation, mean = torch.std_mean(mixed, 1, correction=0, keepdim=True)
        hidden = functional.relu(self.reduce((mixed - mean) / (deviation + 1e-5)))
        return self.alpha * torch.sigmoid(self.expand(hidden))


class Fusion(nn.Module):
    """Maps compared with prototypes at three scales, added up."""

    def __init__(self, channels: int):
        super().__init__()
        for scale in SCALES:
            self.add_module(f"scale{scale}", PairDense(channels, channels))

    def forward(self, x: Tensor, *prototypes: Tensor) -> list[Tensor]:
        """Returns the fused map of each prototype."""
        sums = [torch.zeros_like(x)] * len(prototypes)
        for scale in SCALES:
            pooled = x
            if scale > 1:
                pooled = functional.avg_pool2d(x, scale, ceil_mode=True, count_include_pad=False)
            fused = [functional.relu(one) for one in self.get_submodule(f"scale{scale}")(pooled, *prototypes)]
            if scale > 1:
                fused = [_resized(one, x.shape[-2:]) for one in fused]
            sums = [total + one for total, one in zip(sums, fused, strict=True)]
        return sums


class Decoder(nn.Module):
    """CANet's pyramid of dilated convolutions, and a classifier.

    Args:
      inputs: channels that come in.
      width: channels of each branch.
      rates: dilations.
      dropout: rate of the dropout of whole channels.
    """

    def __init__(self, inputs: int, width: int, rates: list[int], dropout: float):
        super().__init__()
        self.pool, self.point = nn.Conv2d(inputs, width, 1), nn.Conv2d(inputs, width, 1)
        self.dilated = [f"dilated{rate}" for rate in rates]
        for name, rate in zip(self.dilated, rates, strict=True):
            self.add_module(name, nn.Conv2d(inputs, width, 3, padding=rate, dilation=rate))
        self.project, self.classify = nn.Conv2d((2 + len(rates)) * width, width, 1), nn.Conv2d(width, 2, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits of background and foreground."""
        pooled = self._layer(self.pool, x.mean((2, 3), keepdim=True))
        branches = [pooled.expand(-1, -1, *x.shape[-2:]), self._layer(self.point, x)]
        branches += [self._layer(self.get_submodule(name), x) for name in self.dilated]
        return self.classify(self._layer(self.project, torch.cat(branches, 1)))

    def _layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        return self.dropout(functional.relu(layer(x)))


class Head(nn.Module):
    """DPNet behind its backbone.

    Args:
      inputs: channels of shallow and deep features together.
      options: the fields of fsjax's model.dpnet.
    """

    def __init__(self, inputs: int, options: dict[str, Any]):
        super().__init__()
        width, rates, dropout = options["width"], options["rates"], options["dropout"]
        self.merge = nn.Conv2d(inputs, width, 3, padding=2, dilation=2)
        self.dropout = nn.Dropout2d(dropout)
        self.discriminator = Discriminator(width, options["dis_hidden"])
        self.interaction = Interaction(width, options["pim_hidden"])
        self.fusion = Fusion(width)
        self.decoder = Decoder(2 * width, width, rates, dropout)
        self.aux_decoder = Decoder(width, width, rates, dropout)
        self.beta = options["beta"]

    def forward(
        self, shallow: Tensor, deep: Tensor, masks: Tensor, half: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns both branches' logits, the candidate cells, and the discriminator's logits.

        Args:
          shallow: features of b supports and then of their b queries, after a ReLU.
          deep: likewise, before it.
          masks: uint8 [b, H, W], of the supports.
          half: whether convolutions compute in bfloat16.
        """
        coarse = torch.autocast(deep.device.type, torch.bfloat16, enabled=half)
        with coarse:
            merged = functional.relu(self.merge(functional.relu(torch.cat([shallow, deep], 1))))
        supports, queries = self.dropout(merged.float()).chunk(2)
        mask = soft_mask(masks == 1, queries.shape[-2:])
        prototype = torch.einsum("bchw,bhw->bc", supports, mask) / (mask.sum((1, 2)) + 5e-4)[:, None]
        with torch.no_grad():
            candidates = cycle_consistent(*deep.chunk(2), foreground_cells(mask.flatten(1)))
        confidence = self.discriminator(queries, prototype)
        chosen = (candidates & (torch.sigmoid(confidence) > self.beta)).float()
        count = chosen.sum(1, keepdim=True)
        pooled = torch.einsum("bq,bcq->bc", chosen, queries.flatten(2)) / count.clamp(min=1)
        pseudo = torch.where(count > 0, pooled, prototype)
        factor = 1 + self.interaction(prototype, pseudo)
        by_both = self.fusion(factor[:, :, None, None] * queries, factor * prototype, factor * pseudo)
        with coarse:
            master, aux = self.decoder(torch.cat(by_both, 1)), self.aux_decoder(by_both[0])
        return master.float(), aux.float(), candidates, confidence


class DPNet(nn.Module):
    """A frozen network, the head, and the loss of a batch of episodes.

    Args:
      backbone: photos to shallow and deep features; None where these are given.
      channels: of the shallow and of the deep features.
      options: the fields of fsjax's model.dpnet.
      half: whether convolutions compute in bfloat16.
    """

    def __init__(self, backbone: nn.Module, channels: dict[str, int], options: dict[str, Any], half: bool):
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.head = Head(channels["shallow"] + channels["deep"], options)
        self.shallow, self.half = channels["shallow"], half
        self.weights = options["lambda1"], options["lambda2"]

    def forward(
        self, support_images: Tensor, support_masks: Tensor, query_images: Tensor, query_masks: Tensor
    ) -> Tensor:
        """Returns the mean loss of b episodes (Eq. 11).

        Args:
          support_images: uint8 [b, 1, 1, H, W, 3], or float16 features [b, 1, 1, h, w, C].
          support_masks: uint8 [b, 1, 1, H, W].
          query_images: as the supports', [b, 1, ...].
          query_masks: uint8 [b, 1, H, W].
        """
        shallow, deep = self._embed(torch.cat([support_images[:, 0, 0], query_images[:, 0]]))
        labels = query_masks[:, 0]
        master, aux, candidates, confidence = self.head(shallow, deep, support_masks[:, 0, 0], self.half)
        of_aux, of_dis = self.weights
        seen = nearest_labels(labels, deep.shape[-2:]).flatten(1)
        loss = segmentation_loss(master, labels) + of_aux * segmentation_loss(aux, labels)
        return loss + of_dis * discriminator_loss(confidence, candidates, seen)

    def _embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if images.is_floating_point():
            layout = self.backbone.memory_format
            features = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=layout)
            return features[:, : self.shallow], features[:, self.shallow :]
        with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            shallow, deep = self.backbone(images)
        return shallow.float(), deep.float()


def soft_mask(selected: Tensor, cells: tuple[int, int]) -> Tensor:
    """Returns masks [b, h, w] on the features' grid, by area where bilinear sampling finds nothing."""
    mask = selected.float()[:, None]
    sampled = _resized(mask, cells)[:, 0]
    shapes = list(mask.shape[-2:]), [len(mask), 1, *cells]
    area = torch.ops.aten.upsample_bilinear2d_backward(mask, *shapes, True)[:, 0]
    area = area / area.amax((1, 2), keepdim=True).clamp(min=1e-6)
    return torch.where((sampled > 0).any(2, keepdim=True).any(1, keepdim=True), sampled, area)


def foreground_cells(mask: Tensor) -> Tensor:
    """Returns the cells [b, h w] with more than half a foreground, or the one with the most."""
    above = mask > 0.5
    most = functional.one_hot(mask.argmax(1), mask.shape[1]).bool() & (mask > 0)
    return torch.where(above.any(1, keepdim=True), above, most)


def cycle_consistent(supports: Tensor, queries: Tensor, foreground: Tensor) -> Tensor:
    """Returns the query cells [b, h w] that are matched from the foreground and back to it."""
    pairs = zip(supports.flatten(2).mT, queries.flatten(2).mT, foreground, strict=True)
    return torch.stack([compare(*pair)["candidates"] for pair in pairs])


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the cross-entropy, a mean over pixels and then over episodes."""
    full = _resized(logits, labels.shape[-2:])
    entropy = functional.cross_entropy(full, labels.long(), ignore_index=IGNORED, reduction="none")
    return (entropy.sum((1, 2)) / (labels != IGNORED).sum((1, 2)).clamp(min=1)).mean()


def discriminator_loss(confidence: Tensor, candidates: Tensor, labels: Tensor) -> Tensor:
    """Returns the binary cross-entropy of the candidate cells, a mean over them and then over episodes."""
    judged = (candidates & (labels != IGNORED)).float()
    entropy = functional.binary_cross_entropy_with_logits(confidence, (labels == 1).float(), reduction="none")
    return ((entropy * judged).sum(1) / judged.sum(1).clamp(min=1)).mean()


def nearest_labels(labels: Tensor, cells: tuple[int, int]) -> Tensor:
    """Returns the labels [b, h, w] of the pixels nearest to the cells, corners aligned."""
    rows, columns = (
        torch.linspace(0, pixels - 1, count, device=labels.device).round().long()
        for pixels, count in zip(labels.shape[-2:], cells, strict=True)
    )
    return labels[:, rows[:, None], columns]


def _resized(x: Tensor, shape: tuple[int, int]) -> Tensor:
    return functional.interpolate(x, shape, mode="bilinear", align_corners=True)
