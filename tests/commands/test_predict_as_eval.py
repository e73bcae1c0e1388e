"""predict.py finds in photos, to the pixel, what eval.py counts in its episodes."""

import json
from pathlib import Path

import pytest

import datasets
import eval as evaluation
from datasets import prepare
from fsjax import cli
from fsjax.data import manifest
from tests.commands.conftest import write_folder
from tests.commands.own_photos import mask_of, saved, segment
from tests.commands.programs import start
from tests.training import test_release

ANIMALS = Path(__file__).parents[2] / "configs" / "prnet_animals.py"
CONFUSED = (0, 1, 255)  # background, the object and void


def assert_same(out, source, tmp_path, *flags):
    """The photos of a manifest's episodes as files: each query has the confusion matrix of its record."""
    _, specs = manifest.read(out / "manifest.jsonl", source)
    records = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    assert len(specs) == len(records) == 3
    for spec, record in zip(specs, records, strict=True):
        folder, (supports,) = tmp_path / str(spec.index), spec.support
        for k, position in enumerate(supports):
            saved(folder / "shown" / "images" / f"{k}.png", source.image(position))
            saved(folder / "shown" / "masks" / f"{k}.png", source.mask(position, spec.class_ids, 1))
        for t, position in enumerate(spec.query):
            saved(folder / "photos" / f"{t}.png", source.image(position))
        assert segment(folder, "--min_presence=0", *flags) == 0
        for t, position in enumerate(spec.query):
            truth, mask = source.mask(position, spec.class_ids, None), mask_of(folder / "found", str(t))
            counts = [[int(((truth == label) & (mask == n)).sum()) for n in (0, 1)] for label in CONFUSED]
            assert counts == record["confusion"][t]
            assert mask.any()


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """A run on the miniature of VOC, whose objects have a rim of void, and its configuration."""
    root = write_folder(tmp_path_factory.mktemp("benchmark"), rim=2)
    config = cli.load_config(root / "mini.py")
    config.eval.update(runs=1, episodes=3, queries=2, label="original", rows=("fusion2",), pictures=0)
    config.eval.allow_trained_classes = True  # nothing was trained
    return test_release.saved(root / "run", config)[0], config


@pytest.mark.parametrize("input_", ["square", "longside"])
def test_masks_are_those_that_eval_counts(input_, benchmark, tmp_path):
    run, config = benchmark
    out, field = tmp_path / "out", f"--config.eval.input={input_}"
    assert start(evaluation, f"--workdir={run}", f"--out={out}", field) == 0
    assert_same(out, datasets.load(config.data)["test"], tmp_path, f"--model={run}", field)


@pytest.mark.slow
@pytest.mark.parametrize("shots", [1, 5])
def test_masks_of_genuine_photos_are_those_that_eval_counts(shots, shared, tmp_path):
    voc, built = shared / "data" / "voc_animals", tmp_path / "built"
    place = [f"--manual_dir={voc}", f"--lists={voc}", f"--tfds_dir={built}"]
    assert start(prepare, "--dataset=pascal5i", "--name=animals", "--workers=0", *place) == 0
    weights = shared / "weights" / "resnet50_msra_conv1_to_layer3.npz"
    flags = f"--config={ANIMALS}", f"--config.model.weights={weights}", f"--config.data.tfds_dir={built}"
    out = tmp_path / "out"
    eval_fields = "runs=1", "episodes=3", f"shots={shots}", "label=original", "rows=fusion2", "pictures=0"
    fields = [f"--config.eval.{field}" for field in eval_fields]
    assert start(evaluation, f"--out={out}", *flags, *fields) == 0
    config = cli.load_config(ANIMALS)
    config.data.tfds_dir = str(built)
    assert_same(out, datasets.load(config.data)["test"], tmp_path, f"--model={weights}", *flags)
