"""fsjax's side: the compiled programs that it trains, embeds, evaluates and adapts with."""

import importlib.util
import os
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

import fsjax
from benchmarks.against_pytorch import drawn
from benchmarks.against_pytorch.cases import Case
from benchmarks.against_pytorch.problem import Arrays, Problem
from fsjax import compiled
from fsjax.cli import load_config, set_fields
from fsjax.devices import first_copy, replicate, spread
from fsjax.episode import Episode
from fsjax.evaluation.adapted import counting
from fsjax.experiment.costs import operations
from fsjax.experiment.settings import optimizer_of
from fsjax.experiment.shapes import variables_of
from fsjax.models import build
from fsjax.models.dpnet.cycle import cycle_consistent, match_cells
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.scales import ONE_SCALE
from fsjax.training.optimizer import learning_rate, make_optimizer
from fsjax.training.step import make_state, make_train_step, split, trainable

CONFIGS = Path(__file__).parents[2] / "configs"
RATES = 64
"""Steps whose learning rates are written down; later ones take the last."""


class Program(Protocol):
    """What is timed, in either library."""

    def call(self) -> None:
        """Runs it once, and waits for its result."""

    def values(self) -> Arrays:
        """Returns what the calls so far have led to."""

    def operations(self) -> float:
        """Returns the floating-point operations of a call, two for each multiplication with addition."""


def about() -> dict[str, Any]:
    """Returns the versions, the device and the cores that XLA may use."""
    cores = len(os.sched_getaffinity(0))
    return {
        "fsjax": fsjax.__version__, "jax": jax.__version__, "device": jax.devices()[0].device_kind,
        "platform": jax.default_backend(), "cores": cores,
    }  # fmt: skip


def peak() -> dict[str, float]:
    """Returns the process's peak memory and, on an accelerator, the device's, in bytes."""
    found = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    statistics = jax.devices()[0].memory_stats()
    return found | ({"device": statistics["peak_bytes_in_use"]} if statistics else {})


def config_of(case: Case, dtype: str) -> ConfigDict:
    """Returns the configuration of a case, whose convolutions compute in a dtype."""
    config = load_config(CONFIGS / f"{case.config}.py")
    if any(one.startswith("model.backbone=") for one in case.settings):
        config.model.backbone_options = ConfigDict()  # another network has other ones
    settings = (*case.settings, f"model.compute_dtype={dtype}")
    return set_fields(config, [f"--config.{one}" for one in settings])


def make(case: Case, dtype: str, folder: Path) -> Program:
    """Returns the program of a case, and leaves the problem in a folder for PyTorch."""
    if case.kind == "cycle":
        return Cycle(case, folder)
    config = config_of(case, dtype)
    method = build.method(config.model)
    if case.kind == "vit":
        variables = _transformers_variables(config.model.backbone, method, folder)
        return Forward(case, config, method, variables, folder)
    variables = drawn.variables(variables_of(method))
    program: Any = {"step": Step, "forward": Forward, "episode": Evaluated}[case.kind]
    return program(case, config, method, variables, folder)


def _transformers_variables(name: str, method: Any, folder: Path) -> Any:
    """Returns weights that transformers draws, and leaves in the folder; without it they are drawn here."""
    if importlib.util.find_spec("transformers") is None:
        return drawn.variables(variables_of(method))
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.against_pytorch.in_pytorch.vit", folder, name]
    subprocess.run(command, check=True)
    return {"backbone": method.backbone.load(folder / "model.safetensors"), "head": {}}


class Step:
    """A training step on one device, from the same state on."""

    def __init__(self, case: Case, config: ConfigDict, method: Any, variables: Any, folder: Path):
        settings = optimizer_of(config)
        schedule, _ = learning_rate(settings, max(1, config.train.steps))
        optimizer = make_optimizer(settings, schedule)
        train = config.train
        batch = drawn.episodes(config.batch_size, train.ways, train.shots, train.queries, train.size)
        if train.cached_features:
            cells = int(method.backbone.cells(train.size)), sum(method.backbone.channels.values())
            masks = batch.support_masks, batch.query_masks
            images = (drawn.features(of, *cells) for of in masks)
            batch = batch._replace(**dict(zip(("support_images", "query_images"), images, strict=True)))
        facts = {
            **_facts(config, method), "optimizer": asdict(settings),
            "rates": [float(schedule(step)) for step in range(RATES)],
        }  # fmt: skip
        Problem(_flat(variables), batch._asdict(), facts).write(folder)
        learned, fixed = split(method, variables)
        self._step = make_train_step(method, optimizer, config.seed, 1, schedule)
        self._before = _flat(trainable(learned))
        self._state = replicate(make_state(learned, optimizer), 1)
        self._fixed = {} if train.cached_features else replicate(fixed, 1)
        self._batch = spread(jax.tree.map(lambda x: x[None], batch))
        self._metrics: list[Any] = []

    def call(self) -> None:
        self._state, metrics = self._step(self._state, self._fixed, self._batch)
        self._metrics.append(jax.block_until_ready((self._state, metrics))[1])

    def values(self) -> Arrays:
        after = _flat(trainable(first_copy(self._state).variables))
        return {
            **{name: np.array([one[name][0] for one in self._metrics]) for name in ("loss", "gradient_norm")},
            **{f"change/{name}": after[name] - before for name, before in self._before.items()},
        }

    def operations(self) -> float:
        return operations(self._step, self._state, self._fixed, self._batch)


class Forward:
    """The features of photos, as evaluation extracts them."""

    def __init__(self, case: Case, config: ConfigDict, method: Any, variables: Any, folder: Path):
        photos = drawn.episodes(1, 1, 1, case.photos, config.train.size)
        Problem(_flat(variables), {"photos": photos.query_images[0]}, _facts(config, method)).write(folder)
        self._embed = compiled.embed(method)
        self._arguments = replicate(variables, 1), *spread((photos.query_images, photos.query_sizes)), 1.0

    def call(self) -> None:
        self._features = jax.block_until_ready(self._embed(*self._arguments))

    def values(self) -> Arrays:
        return {"features": np.asarray(self._features.map[0])}

    def operations(self) -> float:
        *arrays, factor = self._arguments
        return operations(jax.jit(lambda *arrays: self._embed(*arrays, factor)), *arrays)


class Evaluated:
    """An episode, adapted to or not, segmented without fusion and after both stages, and counted."""

    def __init__(self, case: Case, config: ConfigDict, method: Any, variables: Any, folder: Path):
        evaluation = config.eval
        batch = drawn.episodes(1, evaluation.ways, evaluation.shots, evaluation.queries, evaluation.size)
        settings = build.segment_settings(config)
        adapt = AdaptSettings(**evaluation.adapt) if case.adapts else None
        facts = {
            **_facts(config, method), "fusion": asdict(settings), "adapt": adapt and asdict(adapt),
        }  # fmt: skip
        Problem(_flat(variables), batch._asdict(), facts).write(folder)
        self._count = counting(method, (("", settings),), ONE_SCALE, adapt, False)
        self._arguments = replicate(variables, 1), spread(jax.tree.map(lambda x: x[None], batch))
        self._method, self._adapt, self._variables, self._batch = method, adapt, variables, batch

    def call(self) -> None:
        self._counted = jax.block_until_ready(self._count(*self._arguments))

    def values(self) -> Arrays:
        found = {f"confusion/{name}": np.asarray(array[0, 0, 0]) for name, array in self._counted.items()}
        return {**found, **(self._changes() if self._adapt else {})}

    def _changes(self) -> Arrays:
        shown: Episode = jax.tree.map(lambda x: x[0], self._batch)
        supports = shown.support_images, shown.support_masks, shown.support_sizes
        tuned = compiled.adapt(self._method, self._adapt)(self._variables, *supports)
        before, after = (_flat(tree["backbone"]["params"]) for tree in (self._variables, tuned))
        return {f"change/backbone/{name}": after[name] - before[name] for name in before}

    def operations(self) -> float:
        return operations(jax.jit(self._count), *self._arguments)  # which is mapped by a plain function


class Cycle:
    """The cycle comparison of two maps."""

    def __init__(self, case: Case, folder: Path):
        rng, cells = np.random.default_rng(0), case.cells**2
        shape = cells, case.channels
        maps = {name: rng.standard_normal(shape, np.float32) for name in ("support", "query")}
        foreground = rng.random(cells) < 0.3
        Problem({}, {**maps, "foreground": foreground}, {}).write(folder)
        tile = config_of(case, "float32").model.dpnet.tile
        valid = jnp.ones(cells, bool)

        @jax.jit
        def compare(support, query, foreground):
            matches = match_cells(support, query, valid, valid, tile=tile)
            return {**matches._asdict(), "candidates": cycle_consistent(matches, foreground)}

        self._compare = compare
        self._arguments = *map(jnp.asarray, maps.values()), jnp.asarray(foreground)

    def call(self) -> None:
        self._found = jax.block_until_ready(self._compare(*self._arguments))

    def values(self) -> Arrays:
        return {name: np.asarray(array) for name, array in self._found.items()}

    def operations(self) -> float:
        return operations(self._compare, *self._arguments)


def _flat(tree: Any) -> Arrays:
    flat = traverse_util.flatten_dict(tree, sep="/")
    return {name: np.asarray(leaf) for name, leaf in flat.items()}


def _facts(config: ConfigDict, method: Any) -> dict[str, Any]:
    """Returns what a network and a head are made from."""
    network = method.backbone.network
    names = ("stage_sizes", "widths", "strides", "dilations", "bottleneck", "stages", "first_block_dilation")
    return {
        "network": {name: getattr(network, name) for name in names if hasattr(network, name)},
        "batch_statistics": getattr(method.backbone, "batch_statistics", False),
        "method": config.model.name,
        "scale": config.model.scale,
        "cached": config.train.cached_features,
        "dpnet": config.model.dpnet.to_dict(),
        "channels": dict(method.backbone.channels),
    }
