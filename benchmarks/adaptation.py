"""What adapting to an episode costs by what is tuned, beside the whole network in every step.

    python -m benchmarks.adaptation --size=321 --stages=3 --shots=1
    python -m benchmarks.adaptation --loop   # the loop of all parameters, beside the same steps unrolled

Prints a table: minimum (median) seconds of runs in turns, and the least processor time of one. The weights
are random, which does not matter for time.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fsjax import compiled
from fsjax.models.backbones import make
from fsjax.models.backbones.backbone import Features
from fsjax.models.backbones.resnet_backbone import ResNetBackbone
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.variables import Variables

STEPS = 5
TUNED = ("all", "norm_affine", "last_stage")

Supports = tuple[jax.Array, jax.Array, jax.Array]


class Whole(ResNetBackbone):
    """A ResNet of one part, all of which each step computes."""

    def below(self, variables: Variables, images: Any, sizes: Any, stage: int) -> Features:
        """Returns the photos."""
        return super().below(variables, images, sizes, 0)

    def above(self, variables: Variables, below: Features, stage: int) -> dict[str, Features]:
        """Returns the features of each role."""
        return super().above(variables, below, 0)


def make_supports(size: int, shots: int) -> Supports:
    """Returns the images, masks and sizes of one way."""
    rng = np.random.default_rng(0)
    masks = np.zeros((1, shots, size, size), np.uint8)
    masks[..., size // 4 : size // 2, size // 4 : size // 2] = 1
    images = rng.integers(0, 256, (1, shots, size, size, 3), np.uint8)
    return jnp.asarray(images), jnp.asarray(masks), jnp.full((1, shots, 2), size)


def in_turns(calls: Sequence[Callable[[], Any]], repeats: int) -> list[str]:
    """Returns the minimum and median seconds of compiled calls, and the least processor time, as text."""
    seconds: list[list[tuple[float, float]]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for call, found in zip(calls, seconds, strict=True):
            began = time.perf_counter(), time.process_time()
            jax.block_until_ready(call())
            if turn:  # the first one warms up
                found.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    walls, works = ([np.array(found)[:, kind] for found in seconds] for kind in (0, 1))
    return [
        f"{wall.min():7.2f} ({np.median(wall):.2f}), {work.min():.2f}"
        for wall, work in zip(walls, works, strict=True)
    ]


def by_what_is_tuned(method: PRNet, supports: Supports, repeats: int) -> None:
    """Prints what five steps cost for each choice of parameters, and what of it is computed once."""
    backbone = method.backbone
    assert isinstance(backbone, ResNetBackbone)
    whole = PRNet(Whole(backbone.network, backbone.batch_statistics))
    variables = method.init(jax.random.key(0))
    images, _, sizes = supports
    print(f"{'tuned':>12}  {'once':>20}  {f'{STEPS} steps':>20}  {'whole network':>20}")
    for parameters in TUNED:
        settings = AdaptSettings(STEPS, parameters=parameters)
        once = jax.jit(lambda variables, images, sizes, s=settings: method.below(variables, images, sizes, s))
        adapt, as_a_whole = (compiled.adapt(each, settings) for each in (method, whole))
        cells = in_turns(
            [
                lambda once=once: once(variables, images[0], sizes[0]),
                lambda adapt=adapt: adapt(variables, *supports),
                lambda adapt=as_a_whole: adapt(variables, *supports),
            ],
            repeats,
        )
        print(f"{parameters:>12}  " + "  ".join(f"{cell:>20}" for cell in cells), flush=True)


def in_the_loop(method: PRNet, supports: Supports, repeats: int) -> None:
    """Prints what compiling and running costs for more steps, and for steps that are unrolled."""
    variables = method.init(jax.random.key(0))
    images, masks, sizes = supports

    def unrolled(variables, *_):
        def loss(params):
            features = method.embed(
                {"backbone": {**variables["backbone"], "params": params}}, images[0], sizes[0]
            )
            return method.adaptation_loss(features, masks, sizes)

        params, optimizer = variables["backbone"]["params"], optax.sgd(7e-4, 0.9)
        state = optimizer.init(params)
        for _ in range(STEPS):
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            params = optax.apply_updates(params, updates)
        return params

    calls = {str(steps): compiled.adapt(method, AdaptSettings(steps)) for steps in (1, STEPS, 20)}
    print(f"{'steps':>12}  {'compile, s':>10}  {'run':>20}")
    for name, call in {**calls, f"{STEPS}, unrolled": jax.jit(unrolled)}.items():
        began = time.perf_counter()
        program = call.lower(variables, *supports).compile()
        seconds = time.perf_counter() - began
        (cell,) = in_turns([lambda program=program: program(variables, *supports)], repeats)
        print(f"{name:>12}  {seconds:10.1f}  {cell:>20}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=321, help="side of the photos in pixels")
    parser.add_argument("--stages", type=int, default=3, help="stages of the ResNet-50")
    parser.add_argument("--shots", type=int, default=1, help="supports")
    parser.add_argument("--repeats", type=int, default=3, help="of each call")
    parser.add_argument("--loop", action="store_true", help="time the loop of all parameters")
    options = parser.parse_args()

    method = PRNet(make("resnet50", {"stages": options.stages}, "float32"))
    supports = make_supports(options.size, options.shots)
    photos = f"{options.shots} supports of {options.size}x{options.size}"
    print(f"ResNet-50 to stage {options.stages}, {photos}: minimum (median) seconds, processor seconds")
    (in_the_loop if options.loop else by_what_is_tuned)(method, supports, options.repeats)


if __name__ == "__main__":
    main()
