"""The dilated ResNets as PyTorch programmers write them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """A residual block, a bottleneck or of two 3x3 convolutions; its sum is returned before the ReLU.

    Args:
      inputs: channels that come in.
      width: channels of the 3x3 convolutions.
      bottleneck: which kind it is.
      stride: of the block.
      dilation: of the 3x3 convolutions.
    """

    def __init__(self, inputs: int, width: int, bottleneck: bool, stride: int, dilation: int):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        self.conv1 = _conv(inputs, width, 1) if bottleneck else _conv(inputs, width, 3, stride, dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride if bottleneck else 1, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        if bottleneck:
            self.conv3 = _conv(width, outputs, 1)
            self.bn3 = nn.BatchNorm2d(outputs)
        self.bottleneck = bottleneck
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(functional.relu(y, inplace=True)))
        return y + (x if self.downsample is None else self.downsample(x))


class ResNet(nn.Module):
    """A ResNet whose last stages are dilated; the arguments are the fields of fsjax's.

    It is normalised by its running statistics, as in evaluation, unless it is put into training mode.
    """

    def __init__(
        self,
        stage_sizes: Sequence[int],
        widths: Sequence[int],
        strides: Sequence[int],
        dilations: Sequence[int],
        bottleneck: bool,
        stages: int | None,
        first_block_dilation: str,
    ):
        super().__init__()
        self.stages = stages or len(stage_sizes)
        self.conv1 = _conv(3, widths[0], 7, 2)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inputs = widths[0]
        for stage in range(self.stages):
            blocks = []
            for index in range(stage_sizes[stage]):
                keep = index == 0 and stage > 0 and first_block_dilation == "previous"
                stride, dilation = strides[stage] if index == 0 else 1, dilations[stage - keep]
                blocks.append(Block(inputs, widths[stage], bottleneck, stride, dilation))
                inputs = 4 * widths[stage] if bottleneck else widths[stage]
            self.add_module(f"layer{stage + 1}", nn.ModuleList(blocks))
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.memory_format = torch.contiguous_format
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the last stage but one after its ReLU, and the last one before it, of uint8 photos."""
        shallow = self.early(images)
        return shallow, self.last(shallow)

    def early(self, images: Tensor) -> Tensor:
        """Returns the features that the last stage is given."""
        x = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=self.memory_format)
        x = (x / 255 - self.mean) / self.deviation
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, self.stages):
            x = functional.relu(self._stage(stage, x))
        return x

    def last(self, x: Tensor) -> Tensor:
        """Returns the sums of the last stage, before their ReLU."""
        return self._stage(self.stages, x)

    def _stage(self, stage: int, x: Tensor) -> Tensor:
        first, *others = self.get_submodule(f"layer{stage}")
        x = first(x)
        for block in others:
            x = block(functional.relu(x))
        return x


def _conv(inputs: int, outputs: int, side: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inputs, outputs, side, stride, dilation=dilation, padding=dilation * (side // 2), bias=False
    )
