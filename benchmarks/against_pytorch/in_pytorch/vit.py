"""DINOv2 as transformers has it.

    python -m benchmarks.against_pytorch.in_pytorch.vit FOLDER dinov2_small

leaves random weights of it in a folder, which both libraries read.
"""

import sys
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn

from benchmarks.against_pytorch.in_pytorch.networks import DEVIATION, MEAN


class Dinov2(nn.Module):
    """A network and what it expects of photos.

    Args:
      folder: where its weights lie.
      half: whether it computes in bfloat16.
    """

    def __init__(self, folder: Path, half: bool):
        super().__init__()
        self.backbone, self.half = transformers.Dinov2Model.from_pretrained(folder).eval(), half
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])

    def embed(self, images: Tensor) -> Tensor:
        """Returns the features of square photos, float32 [b, C, h, w]."""
        pixels = (images.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.deviation
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            tokens = self.backbone(pixels).last_hidden_state[:, 1:]
        side = images.shape[1] // self.backbone.config.patch_size
        return tokens.float().mT.unflatten(2, (side, side))


if __name__ == "__main__":
    from benchmarks.vit import in_pytorch
    from fsjax.models.backbones.architecture import DINOV2

    in_pytorch(DINOV2[sys.argv[2]], Path(sys.argv[1]))
