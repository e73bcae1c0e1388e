"""Milliseconds of a convolution and its gradients: XLA's own against fsjax's, outside and inside a loop.

    python -m benchmarks.conv

The loop is a `lax.scan`, as in PRNet's adaptation (Eq. 6). On a CPU the line of XLA's 3x3 kernel
gradient in a loop takes seconds; everything else should take milliseconds in all four columns.
"""

import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fsjax import cpu
from fsjax.models.layers.conv import conv, xla_conv


class Layer(NamedTuple):
    """A convolution of a ResNet at 321x321, batch 1."""

    side: int  # of the kernel
    inputs: int
    outputs: int
    grid: int  # height and width of the input, in cells
    stride: int = 1
    dilation: int = 1

    def __str__(self):
        kind = f"{self.side}x{self.side} {self.inputs}->{self.outputs} at {self.grid}"
        return f"{kind} s{self.stride} d{self.dilation}"


LAYERS = [
    Layer(7, 3, 64, 321, stride=2),
    Layer(1, 64, 256, 81),
    Layer(3, 128, 128, 81, stride=2),
    Layer(1, 256, 512, 81, stride=2),
    Layer(3, 64, 64, 81),
    Layer(3, 128, 128, 41),
    Layer(3, 128, 128, 41, dilation=2),
    Layer(3, 256, 256, 41, dilation=2),
    Layer(3, 256, 256, 41, dilation=12),
    Layer(3, 256, 256, 41, dilation=18),
    Layer(1, 1024, 256, 41),
    Layer(3, 512, 512, 41, dilation=4),
]
STEPS = 2  # of the loop


def forward(convolve, x, kernel, cotangent):
    return convolve(x, kernel) + cotangent


def kernel_gradient(convolve, x, kernel, cotangent):
    return jax.vjp(lambda k: convolve(x, k), kernel)[1](cotangent)[0]


def input_gradient(convolve, x, kernel, cotangent):
    return jax.vjp(lambda x: convolve(x, kernel), x)[1](cotangent)[0]


def in_loop(operation, x, kernel, cotangent):
    """Runs the operation STEPS times; each step needs the whole result of the one before."""

    def step(total, _):
        return total + 1e-20 * operation(x, kernel, cotangent + total).sum(), None

    return jax.lax.scan(step, jnp.float32(0), None, length=STEPS)[0]


def milliseconds(function, *arrays):
    """The shortest of up to five runs, within about three seconds."""
    run = jax.jit(function)
    jax.block_until_ready(run(*arrays))
    times = []
    while len(times) < 5 and sum(times) < 3:
        start = time.perf_counter()
        jax.block_until_ready(run(*arrays))
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main():
    cpu.prepare()
    columns = ["XLA", "XLA in scan", "fsjax", "fsjax in scan"]
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, float32, milliseconds")
    print(f"{'':44}" + "".join(f"{column:>15}" for column in columns))
    for layer in LAYERS:
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.normal(size=(1, layer.grid, layer.grid, layer.inputs)), jnp.float32)
        kernel_shape = (layer.side, layer.side, layer.inputs, layer.outputs)
        kernel = jnp.asarray(rng.normal(size=kernel_shape), jnp.float32)
        xla = partial(xla_conv, stride=layer.stride, dilation=layer.dilation)
        ours = partial(conv, stride=layer.stride, dilation=layer.dilation)
        cotangent = jnp.ones_like(ours(x, kernel))
        for operation in (forward, kernel_gradient, input_gradient):
            cells = []
            for convolve in (xla, ours):
                alone = partial(operation, convolve)
                cells.append(milliseconds(alone, x, kernel, cotangent))
                cells.append(milliseconds(partial(in_loop, alone), x, kernel, cotangent) / STEPS)
            name = f"{layer}, {operation.__name__.replace('_', ' ')}"
            print(f"{name:44}" + "".join(f"{cell:15.1f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
