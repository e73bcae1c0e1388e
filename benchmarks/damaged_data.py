"""Files that fsjax writes and reads back, or that its users write: how each is made, and read."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

import datasets
from benchmarks.damaged_files import encoded
from benchmarks.damaged_kind import Kind, digest
from benchmarks.damaged_texts import figure, own_folder, photo_lists
from datasets import shapes
from datasets.building import build
from datasets.plans import Plan
from fsjax import config as configuration
from fsjax.config import Found
from fsjax.data import images, manifest
from fsjax.data.index import build_index
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec
from fsjax.evaluation import predictions, report
from fsjax.evaluation.results import Results
from fsjax.models import build as models
from fsjax.models.backbones import pretrained
from fsjax.training import frozen, release
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import Curves, read_metrics
from fsjax.training.frozen_features import FrozenFeatures
from fsjax.training.runs import Run
from fsjax.training.step import TrainState, split

PHOTOS = 8


def prepared(folder: Path, list_: str = "train") -> Any:
    """Returns a list of a small data set, which is drawn and prepared unless it is there."""
    names = [f"train_{i:05d}" for i in range(PHOTOS)]
    plan = Plan(
        kind="drawn", title="few shapes", version="1", class_names=shapes.CLASS_NAMES,
        folds={"standard": shapes.FOLD_IDS}, ids=names, tasks=[("train", i) for i in range(PHOTOS)],
        read=shapes.drawn_photo, lists={"train": names, "test": names}, usual=("train", "test"),
    )  # fmt: skip
    if not (folder / "few").exists():
        build(plan, "few", folder, workers=0)
    config = configuration.default().data
    config.name, config.tfds_dir = "few", str(folder)
    return datasets.load(config)[list_]


def photos_of(source: Any) -> str:
    """Returns a digest of all that a source says."""
    return digest(
        source.class_names,
        source.folds,
        *[
            (id, source.image(p), source.mask(p, range(1, 21), None), source.size(p), source.areas(p),
             source.eligible(p))
            for p, id in enumerate(source.ids)
        ],
    )  # fmt: skip


def records(folder: Path) -> Kind:
    """The records of a prepared data set."""
    place = prepared(folder).cache_dir
    return Kind(
        sorted(place.glob("*array_record*")), lambda: photos_of(prepared(folder)), [str(place), "few"]
    )


def descriptions(folder: Path) -> Kind:
    """What a prepared data set says of itself."""
    place = prepared(folder).cache_dir
    return Kind(sorted(place.glob("*.json")), lambda: photos_of(prepared(folder)), [str(place), str(folder)])


def index(folder: Path) -> Kind:
    """The class index of a list."""
    source = prepared(folder)

    def read() -> str:
        found = build_index(source)
        return digest(found.areas, found.flags, found.sizes, list(found.ids))

    read()
    return Kind([*source.cache_dir.glob("class_index*")], read, [str(source.cache_dir)])


def features(folder: Path) -> Kind:
    """The features of a frozen backbone."""

    def embed(photos: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return photos[:, :, ::8, ::8].astype(np.float16) / 255

    source, settings = prepared(folder), images.InputSettings(size=33)
    stored = FrozenFeatures(
        folder / "features", source, embed, "every eighth pixel", settings, shape=(5, 5, 3)
    )
    positions = [0, 1]

    def read() -> str:
        stored.fill(positions, mirrored=True)
        return digest(*[stored.reader.read(p, flipped) for p in positions for flipped in (False, True)])

    read()
    return Kind(sorted((folder / "features").rglob("*.safetensors")), read, [str(folder)])


def manifests(folder: Path, *, sealed: bool = True) -> Kind:
    """The episodes of an evaluation; `sealed` as this fsjax writes them."""
    source = prepared(folder)
    index = build_index(source)
    often = np.flatnonzero(index.counts(1).sum(0) > 1) + 1
    sampler = EpisodeSampler(
        index, source.class_names, [*map(int, often)], ways=1, shots=1, queries=1, seed=3
    )
    path = folder / "manifest.jsonl"
    header = manifest.describe(source, sampler, fold=0, label_policy="void ignored")
    manifest.write(path, header, [sampler(i) for i in range(6)], source.ids)
    if not sealed:
        first, _, lines = path.read_bytes().partition(b"\n")
        fields = {name: value for name, value in json.loads(first).items() if name != "header_sha256"}
        path.write_bytes(json.dumps(fields).encode() + b"\n" + lines)

    def read() -> str:
        return digest(*map(repr, manifest.read(path, source)))

    return Kind([path], read, [str(path)], sealed)


def small_config(**fields: Any) -> Any:
    """Returns a configuration of the smallest network."""
    config = configuration.default()
    config.model.backbone = "small"
    config.model.backbone_options = {"widths": (4, 4, 8)}
    config.update_from_flattened_dict(fields)
    return config


def drawn(shapes_of: Any) -> Any:
    """Returns variables of these shapes."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes_of)


def run_of(folder: Path, *steps: int) -> tuple[Any, Any]:
    """Returns the method of a run with checkpoints of these steps, and the shapes of its variables."""
    config = small_config()
    method = models.method(config.model)
    like = jax.eval_shape(method.init, jax.random.key(0))
    learned, _ = split(method, drawn(like))
    found = Found(data_version="1", steps=9, base_classes=["a"], novel_classes=["b"], weights_sha256="5" * 64)
    for step in steps:
        with Checkpoints(folder) as checkpoints:
            state = jax.tree.map(lambda leaf, step=step: leaf * step, learned)
            checkpoints.save(TrainState(np.int32(step), state, {}), config, found)
    return method, like


def checkpoints(folder: Path) -> Kind:
    """The later of a run's two checkpoints, all of its files."""
    method, _ = run_of(folder / "run", 3)

    def read() -> str:
        run = Run.open(folder / "run")
        return digest(run.config.to_json(), dict(run.found), run.step, run.variables(method))

    earlier = read()
    run_of(folder / "run", 6)
    files = sorted(path for path in (folder / "run/checkpoints/6").rglob("*") if path.is_file())
    return Kind(files, read, [str(folder / "run")], earlier=earlier)


def export(folder: Path) -> Kind:
    """A model as one file for others."""
    run_of(folder / "run", 3)
    path = folder / "model.safetensors"
    release.export_run(folder / "run", path)

    def read() -> str:
        found = release.read(path)
        return digest(found.config.to_json(), dict(found.header), found.variables)

    return Kind([path], read, [str(path)])


def extractor(folder: Path) -> Kind:
    """The frozen extractor beside a run's checkpoints."""
    method = models.method(small_config().model)
    backbone = drawn(jax.eval_shape(method.init, jax.random.key(0)))["backbone"]
    sha256 = frozen.keep(folder, backbone)
    path = folder / frozen.NAME
    return Kind([path], lambda: digest(frozen.restore(folder, backbone, sha256)), [str(path)])


def weights(folder: Path, *, ending: str) -> Kind:
    """Weights of a backbone, as other programs write them."""
    method = models.method(small_config().model)
    like = jax.eval_shape(method.init, jax.random.key(0))["backbone"]
    leaves = jax.tree_util.tree_leaves_with_path(drawn(like))
    arrays = {
        pretrained._key([part.key for part in path]): np.ascontiguousarray(
            leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf
        )
        for path, leaf in leaves
    }
    path = folder / f"weights{ending}"
    if ending == ".npz":
        np.savez(path, **arrays)
    else:
        save_file(arrays, path)
    return Kind([path], lambda: digest(method.backbone.load(path)), [str(path)], sealed=ending == ".npz")


def metrics(folder: Path) -> Kind:
    """The curves of a run, read when it is resumed."""
    losses = jnp.linspace(2, 1, 12)
    with Curves(folder, 0) as curves:
        for step, loss in enumerate(losses, 1):
            curves.add(step, {"loss": loss[None], "query_loss": loss[None]})
        curves.flush()

    def read() -> str:
        with Curves(folder, 8):
            return digest(read_metrics(folder))

    return Kind([folder / "metrics.jsonl"], read, [str(folder)], sealed=False)


def results(folder: Path) -> Kind:
    """What an evaluation leaves for comparisons."""
    record = {
        "row": "a", "run": 0, "class_ids": [1], "support": [["s"]], "query": ["q"], "shown": [1],
        "confusion": [[[9, 1], [1, 9], [0, 0]]],
    }  # fmt: skip
    sha256 = report.write_records(folder / "episodes.jsonl", [{**record, "index": i} for i in range(4)])
    header = {
        "data_set": "pets", "version": "1", "classes": ["cat"], "class_ids": [1], "episodes_sha256": sha256,
        "protocol": {"void": "ignore", "counting": "strict"},
        "rows": [{"name": "a", "episodes": 4, "seed": 1, "seconds": 2.5}],
    }  # fmt: skip
    text = json.dumps({**header, "sha256": report.seal(header)}, indent=2)
    (folder / "results.json").write_text(text)

    def read() -> str:
        found = Results.read(folder)
        told = [{**row, "seconds": 0} for row in found.header["rows"]]
        return digest({**found.header, "rows": told}, found.records, found.class_names, found.counted)

    return Kind([folder / "results.json", folder / "episodes.jsonl"], read, [str(folder)])


def predicted(folder: Path) -> Kind:
    """A mask that another program predicted."""
    source, settings = prepared(folder / "data"), images.InputSettings(size=33)
    path = folder / "000003.png"
    path.write_bytes(encoded(np.eye(33, dtype=np.uint8), "PNG"))
    spec = EpisodeSpec(3, (1,), ((0,),), (1,), (1,))

    def read() -> str:
        return digest(predictions.count_predictions(folder, [spec], source, settings).matrices)

    return Kind([path], read, [str(folder)], sealed=False)


KINDS: dict[str, Callable[[Path], Kind]] = {
    "checkpoint": checkpoints,
    "export": export,
    "frozen backbone": extractor,
    "weights, .npz": partial(weights, ending=".npz"),
    "weights, .safetensors": partial(weights, ending=".safetensors"),
    "TFDS records": records,
    "TFDS descriptions": descriptions,
    "class index": index,
    "feature cache": features,
    "manifest": manifests,
    "manifest of fsjax 0.5": partial(manifests, sealed=False),
    "metrics.jsonl": metrics,
    "results, episodes": results,
    "figure's points": figure,
    "predicted mask": predicted,
    "list of photos": photo_lists,
    "folder of photos": own_folder,
}
"""How each kind is made in an empty folder."""
