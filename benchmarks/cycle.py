"""What the cycle comparison of two images costs, by tiles and with the whole matrix of cosines.

    python -m benchmarks.cycle --sides=41,53,81 --tiles=128,256,512,1024

Prints a table; the features are random, which does not matter for time.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision

from benchmarks.adaptation import timed
from fsjax.models.dpnet.cycle import SMALLEST_NORM, Matches, match_cells


def materialized(support, query, support_valid, query_valid) -> Matches:
    """Returns what `match_cells` does, from a matrix that is held whole."""
    units = (
        x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), SMALLEST_NORM) for x in (support, query)
    )
    cosines = jnp.einsum("sc,qc->sq", *units, precision=Precision.HIGHEST)
    of_valid = jnp.where(support_valid[:, None], cosines, -jnp.inf)
    return Matches(
        jnp.argmax(jnp.where(query_valid[None], cosines, -jnp.inf), 1),
        jnp.argmax(of_valid, 0),
        jnp.max(of_valid, 0),
    )


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=numbers, default=[41, 53, 81], help="cells along a side of the maps")
    parser.add_argument("--tiles", type=numbers, default=[128, 256, 512, 1024], help="rows held at a time")
    parser.add_argument("--channels", type=int, default=1024, help="of the features")
    options = parser.parse_args()

    ways = {"whole": materialized} | {str(tile): partial(match_cells, tile=tile) for tile in options.tiles}
    print(f"{jax.devices()[0].device_kind}, {options.channels} channels")
    print(f"{'cells':>8}  {'rows held':>9}  {'memory, MB':>10}  {'time, s':>8}")
    for side in options.sides:
        cells, rng = side * side, np.random.default_rng(0)
        maps = [jnp.asarray(rng.standard_normal((cells, options.channels), np.float32)) for _ in range(2)]
        arguments = *maps, jnp.ones(cells, bool), jnp.ones(cells, bool)
        for name, call in ways.items():
            compiled = jax.jit(call).lower(*arguments).compile()
            memory = compiled.memory_analysis().temp_size_in_bytes / 1e6
            seconds = timed(compiled, *arguments)
            print(f"{cells:8}  {name:>9}  {memory:10.1f}  {seconds:8.3f}", flush=True)


if __name__ == "__main__":
    main()
