"""What a step of adaptation costs in the scan and unrolled, and what compiling costs for more steps.

    python -m benchmarks.adaptation --size=321 --stages=3

Prints a table; the weights are random, which does not matter for time.
"""

import argparse
import time

import jax
import numpy as np
import optax

from fsjax.models.backbones import make
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.prnet import PRNet


def make_supports(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the image, mask and size of one way and one shot."""
    rng = np.random.default_rng(0)
    mask = np.zeros((1, 1, size, size), np.uint8)
    mask[..., size // 4 : size // 2, size // 4 : size // 2] = 1
    image = rng.integers(0, 256, (1, 1, size, size, 3), np.uint8)
    return image, mask, np.full((1, 1, 2), size, np.int32)


def timed(call, *arguments, repeats: int = 3) -> float:
    """Returns the median seconds of a call that is compiled already."""
    jax.block_until_ready(call(*arguments))
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call(*arguments))
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=321, help="side of the photos in pixels")
    parser.add_argument("--stages", type=int, default=3, help="stages of the ResNet-50")
    options = parser.parse_args()

    method = PRNet(make("resnet50", {"stages": options.stages}, "float32"))
    variables = method.init(jax.random.key(0))
    supports = make_supports(options.size)

    def scanned(steps):
        return jax.jit(lambda variables: method.adapt(variables, *supports, AdaptSettings(steps=steps))[0])

    @jax.jit
    def unrolled(variables):
        def loss(params):
            backbone = {**variables["backbone"], "params": params}
            return method.adaptation_loss({**variables, "backbone": backbone}, *supports)

        params, optimizer = variables["backbone"]["params"], optax.sgd(7e-4, 0.9)
        state = optimizer.init(params)
        for _ in range(5):
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            params = optax.apply_updates(params, updates)
        return params

    print(f"ResNet-50 to stage {options.stages}, {options.size}x{options.size}, one support, all parameters")
    print(f"{'steps':>14}  {'compile, s':>10}  {'run, s':>8}")
    for name, call in [(str(n), scanned(n)) for n in (1, 5, 20)] + [("5, unrolled", unrolled)]:
        began = time.perf_counter()
        compiled = call.lower(variables).compile()
        seconds = time.perf_counter() - began
        print(f"{name:>14}  {seconds:10.1f}  {timed(compiled, variables):8.2f}", flush=True)


if __name__ == "__main__":
    main()
