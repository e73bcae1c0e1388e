"""How long DINOv2's features take, beside transformers' PyTorch where it is installed, and adapting.

    python -m benchmarks.vit
    python -m benchmarks.vit --sizes=small --batches=1 --repeats=5 --adapt=0

Weights are random, written by transformers and read by fsjax; features are compared before anything is timed.
Both libraries run in turns in one process, on as many threads as there are cores; medians and the ratio of
medians are printed, below 1 where fsjax is the faster. The rate of a product of matrices of a block's shapes
says what the machine could do at best. Then the peak memory of an adapted episode, in a process of its own.
`pip install .[parity]` brings PyTorch.
"""

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fsjax import compiled
from fsjax.models.backbones import make
from fsjax.models.backbones.architecture import DINOV2, Architecture
from fsjax.models.backbones.backbone import DEEP
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.prnet import PRNet

SIDE = 518  # pixels
REPEATS = 7
ADAPTED = "--adapted-episode"


def flops(shape: Architecture, tokens: int) -> float:
    """Returns the floating-point operations of a forward pass of one photo, products of matrices alone."""
    block = 2 * tokens * shape.width * (4 * shape.width + 2 * shape.hidden) + 4 * tokens**2 * shape.width
    return shape.depth * block + 2 * tokens * 3 * shape.patch**2 * shape.width


def in_turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Returns the median seconds of each call, after one call of each that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in seconds.items()}


def product_rate(shape: Architecture, tokens: int, repeats: int) -> float:
    """Returns the FLOPs a second of the first product of a block's feed-forward network, by XLA."""
    left, right = jnp.ones((tokens, shape.width)), jnp.ones((shape.width, shape.hidden))
    product = jax.jit(jnp.matmul)
    seconds = in_turns({"": lambda: product(left, right).block_until_ready()}, 4 * repeats)[""]
    return 2 * tokens * shape.width * shape.hidden / seconds


def in_pytorch(shape: Architecture, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Returns transformers' network with random weights, which it leaves in a folder."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=shape.width, num_hidden_layers=shape.depth, num_attention_heads=shape.heads,
        patch_size=shape.patch, image_size=SIDE,
    )  # fmt: skip
    model = transformers.Dinov2Model(config).eval()
    model.save_pretrained(folder)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    def features(photos: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            pixels = (torch.from_numpy(photos).permute(0, 3, 1, 2).float() / 255 - mean) / deviation
            return np.asarray(model(pixels).last_hidden_state[:, 1:])

    return features


def forward(size: str, batch: int, repeats: int) -> str:
    """Returns the row of one network and batch."""
    name = f"dinov2_{size}"
    shape = DINOV2[name]
    cells = SIDE // shape.patch
    photos = np.random.default_rng(0).integers(0, 256, (batch, SIDE, SIDE, 3), np.uint8)
    sizes = jnp.full((batch, 2), SIDE)
    backbone, coarse = (make(name, {}, dtype) for dtype in ("float32", "bfloat16"))
    embed = jax.jit(lambda variables, photos: backbone.embed(variables, photos, sizes)[DEEP].map)
    calls: dict[str, Callable[[], Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("transformers"):
            other = in_pytorch(shape, Path(folder))
            variables = backbone.load(Path(folder) / "model.safetensors")
            calls["pytorch"] = lambda: other(photos)
        else:
            variables = backbone.init(jax.random.key(0))
    variables = jax.device_put(variables)
    ours = np.asarray(embed(variables, jnp.asarray(photos)))
    differs = "-"
    if calls:
        differs = f"{np.abs(ours - calls['pytorch']().reshape(ours.shape)).max():.1e}"
    rough = np.asarray(coarse.embed(variables, jnp.asarray(photos[:1]), sizes[:1])[DEEP].map)
    cosine = (rough * ours[:1]).sum(-1) / np.linalg.norm(rough, axis=-1) / np.linalg.norm(ours[:1], axis=-1)
    calls["fsjax"] = lambda: embed(variables, jnp.asarray(photos)).block_until_ready()
    seconds = in_turns(calls, repeats)
    work = batch * flops(shape, 1 + cells**2)
    rate = product_rate(shape, 1 + cells**2, repeats)
    pytorch, ratio = (
        (f"{seconds['pytorch']:.2f}", f"{seconds['fsjax'] / seconds['pytorch']:.2f}")
        if "pytorch" in seconds
        else ("not run", "-")
    )
    return (
        f"| {size} | {batch} | {seconds['fsjax']:.2f} | {pytorch} | {ratio} | {differs} | {work / 1e9:.0f} | "
        f"{work / seconds['fsjax'] / 1e9:.0f} | {rate / 1e9:.0f} | {cosine.min():.5f} |"
    )


def adapted_episode(parameters: str, remat: str, shots: int = 5, steps: int = 5) -> str:
    """Adapts DINOv2-small to an episode, and returns the row of its time and this process's peak memory."""
    backbone = make("dinov2_small", {}, "float32", remat)
    method = PRNet(backbone)
    rng = np.random.default_rng(0)
    photos = jnp.asarray(rng.integers(0, 256, (1, shots, SIDE, SIDE, 3), np.uint8))
    masks = jnp.asarray(rng.integers(0, 2, (1, shots, SIDE, SIDE), np.uint8))
    sizes = jnp.full((1, shots, 2), SIDE)
    settings = AdaptSettings(steps=steps, parameters=parameters)
    variables = method.init(jax.random.key(0))
    supports = photos, masks, sizes
    tune = compiled.adapt(method, settings).lower(variables, *supports).compile()
    began = time.perf_counter()
    jax.block_until_ready(tune(variables, *supports))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"| {parameters} | {remat} | {time.perf_counter() - began:.0f} | {peak:.1f} |"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="small,base", help="of DINOv2.")
    parser.add_argument("--batches", default="1,8", help="photos at a time.")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of each call.")
    parser.add_argument("--adapt", type=int, default=1, help="0 leaves the adapted episodes out.")
    parser.add_argument(ADAPTED, nargs=2, help=argparse.SUPPRESS, dest="adapted")
    flags = parser.parse_args(argv)
    if flags.adapted:
        print(adapted_episode(*flags.adapted))
        return 0
    print(
        "| DINOv2 | photos | fsjax, s | PyTorch, s | ratio | differs by | GFLOP | GFLOP/s | of a product | "
        "bfloat16 |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in flags.sizes.split(","):
        for batch in map(int, flags.batches.split(",")):
            print(forward(size, batch, flags.repeats), flush=True)
    if flags.adapt:
        print("\n| adapted: small, 5 shots, 5 steps | computed again | s | peak, GiB |\n|---|---|---|---|")
        for parameters in ("norm_affine", "last_stage", "all"):
            for remat in ("none", "blocks"):
                command = [sys.executable, "-m", "benchmarks.vit", ADAPTED, parameters, remat]
                done = subprocess.run(command, capture_output=True, text=True)
                print(
                    done.stdout.strip() or f"| {parameters} | {remat} | ended with {done.returncode} | - |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
