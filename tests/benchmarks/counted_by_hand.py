"""The convolutions of a ResNet-50 at output stride 8, and what they cost, from the shapes of its layers."""

BLOCKS, WIDTHS = (3, 4, 6, 3), (64, 128, 256, 512)
STRIDES, DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)


def layers(side, stages, first="previous"):
    """Yields each convolution of a square photo: cells, kernel, stride, dilation, channels in and out.

    The first block of a dilated stage keeps the dilation of the `previous` one, or has its own, the `stage`.
    """
    yield side, 7, 2, 1, 3, 64
    cells, channels = -(-side // 4), 64
    for stage in range(stages):
        width = WIDTHS[stage]
        for block in range(BLOCKS[stage]):
            stride = 1 if block else STRIDES[stage]
            keeps = block == 0 and first == "previous"
            dilation = DILATIONS[max(stage - 1, 0) if keeps else stage]
            after = -(-cells // stride)
            yield cells, 1, 1, 1, channels, width
            yield cells, 3, stride, dilation, width, width
            yield after, 1, 1, 1, width, 4 * width
            if block == 0:
                yield cells, 1, stride, 1, channels, 4 * width
            cells, channels = after, 4 * width


def flops(cells, kernel, stride, dilation, inputs, outputs):
    """Two for each multiplication; what a kernel would take from beyond the border is not computed."""
    pad = dilation * (kernel // 2)
    along_an_axis = sum(
        0 <= place * stride - pad + tap * dilation < cells
        for place in range(-(-cells // stride))
        for tap in range(kernel)
    )
    return 2 * along_an_axis**2 * inputs * outputs


def in_tiles(cells, kernel, stride, dilation, inputs, outputs):
    """Whether a CPU computes it by Winograd's tiles: what is 3x3 from the second stage on, but rate 18."""
    return (cells, kernel, stride) == (41, 3, 1) and dilation < 18


def tiles(cells, dilation):
    """How many: rows and columns are in `dilation` sets, with a zero between one and the next."""
    return ((cells + min(dilation, cells)) // 2) ** 2


def flops_on_cpus(*layer):
    """As `flops`; in tiles it takes 16 multiplications a tile, wherever the border is, and a stem 64 taps."""
    cells, kernel, stride, dilation, inputs, outputs = layer
    if kernel == 7:
        return flops(cells, 8, stride, dilation, inputs, outputs)
    return 2 * 16 * tiles(cells, dilation) * inputs * outputs if in_tiles(*layer) else flops(*layer)


class Network:
    """What the programs of a ResNet-50 take, given what a convolution takes."""

    def __init__(self, flops):
        self._flops = flops

    def forward(self, side, stages, first="previous"):
        """Of one photo."""
        return sum(self._flops(*layer) for layer in layers(side, stages, first))

    def training(self, side, stages):
        """Of one photo: forward, and the gradients of kernels and of all inputs but the photo."""
        return 3 * self.forward(side, stages) - self._flops(*next(layers(side, stages)))

    def head(self, cells):
        """Of DPNet's convolutions on one query and its support, and their gradients.

        The features that are merged are frozen and have none. Either decoder has five branches, one of which
        sees a single cell, and then two layers.
        """
        merging = 2 * 2 * self._flops(cells, 3, 1, 2, 512 + 1024, 256)
        decoders = 0
        for channels in (256, 512):
            decoders += sum(self._flops(cells, 3, 1, rate, channels, 256) for rate in (6, 12, 18))
            decoders += self._flops(cells, 1, 1, 1, channels, 256) + self._flops(1, 1, 1, 1, channels, 256)
            decoders += self._flops(cells, 1, 1, 1, 5 * 256, 256) + self._flops(cells, 1, 1, 1, 256, 2)
        return merging + 3 * decoders

    def adapted(self, side, steps):
        """Of an episode of one support and one query whose last stage is tuned in so many steps.

        What is below that stage is computed once a photo. In a step its ten layers are computed, with their
        gradients; the two that see what the stage begins with need none of their inputs.
        """
        last = list(layers(side, 4))[-10:]
        above, beginning = (
            sum(self._flops(*layer) for layer in last),
            self._flops(*last[0]) + self._flops(*last[3]),
        )
        return 2 * self.forward(side, 4) + steps * (3 * above - beginning)


def cosines(cells):
    """Of one query and its support: each cell with each, in 1,024 channels."""
    return 2 * cells**4 * 1024
