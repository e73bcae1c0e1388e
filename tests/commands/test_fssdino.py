"""FSSDINO by its name, from the command line: evaluated, beside PRNet, predicting, and never trained."""

import numpy as np
import pytest

import eval as evaluation
import predict
import train
from fsjax.config import default
from fsjax.segmenter import Segmenter, loading
from tests.commands.own_photos import drawn, mask_of, saved, segment, show
from tests.commands.programs import results, scores, start
from tests.commands.test_eval import make_weights

ROWS = "--config.eval.rows=frozen_fusion0,prototypes,fssdino"
BY_NAME = "--config.model.name=fssdino", "--config.train.steps=0", "--config.model.weights=random"


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    place = tmp_path_factory.mktemp("fssdino")
    for name in ("one", "other"):
        given = f"--config={trained}/mini.py", *BY_NAME, ROWS, f"--out={place / name}"
        assert start(evaluation, *given, "--config.eval.fssdino.clusters=2") == 0
    return place


def test_it_is_evaluated_by_its_name_the_same_each_time(evaluated):
    found = results(evaluated / "one")
    assert [row["name"] for row in found["rows"]] == ["frozen_fusion0", "prototypes", "fssdino"]
    assert scores(evaluated / "one") == scores(evaluated / "other")
    assert found["protocol"]["clusters"] == 2
    assert not (evaluated / "one" / "fusion.png").exists()


def test_it_stands_beside_a_trained_prnet(trained, tmp_path):
    rows = "fssdino_prototypes", "fssdino", "fusion0", "fusion0 gram=true", "fusion2", "fusion2 gram=true"
    given = f"--workdir={trained}/run", "--config.eval.rows=fssdino_prototypes,fssdino,fusion0,fusion2"
    more = "--config.eval.variants=gram=true", "--config.eval.fssdino.clusters=2", "--config.eval.pictures=0"
    assert start(evaluation, *given, *more, f"--out={tmp_path}/out") == 0
    assert [row["name"] for row in results(tmp_path / "out")["rows"]] == list(rows)
    assert start(evaluation, *given, *more, "--dry_run") == 0


def test_prnet_is_evaluated_and_drawn_with_gram_maps(trained, tmp_path):
    given = f"--workdir={trained}/run", "--config.eval.rows=fusion0,fusion2", "--config.eval.fusion.gram=True"
    assert start(evaluation, *given, f"--out={tmp_path}/out") == 0
    assert results(tmp_path / "out")["protocol"]["gram"] is True
    assert (tmp_path / "out" / "stages.png").exists()


def test_it_is_never_trained(trained, tmp_path, refusal):
    config = f"--config={trained}/mini.py"
    said = refusal(train, config, "--config.model.name=fssdino", f"--workdir={tmp_path}/run")
    assert "train.steps is 2, and fssdino is never trained: set train.steps=0, or another model.name." in said
    for more in ((), ("--dry_run",)):
        said = refusal(train, config, *BY_NAME, ROWS, f"--workdir={tmp_path}/run", *more)
        assert "trains nothing, train.steps being 0: give it to eval.py." in said
    said = refusal(evaluation, config, *BY_NAME[:2], ROWS, f"--out={tmp_path}/out")
    assert "This method never trains its backbone: set model.weights" in said
    said = refusal(evaluation, config, *BY_NAME, f"--out={tmp_path}/out")
    assert "eval.rows holds 'fusion0': choose from prototypes, fssdino, oracle" in said
    variant = "--config.eval.variants=gram=true"
    said = refusal(evaluation, config, *BY_NAME, ROWS, variant, f"--out={tmp_path}/out")
    assert "the fields are clusters, iterations, seed" in said
    assert not any(tmp_path.iterdir())


SMALL = (
    "--config.model.backbone=small", "--config.model.backbone_options.widths=4,4,8", "--config.eval.size=33",
    "--config.model.name=fssdino", "--config.train.steps=0", "--config.eval.rows=fssdino",
    "--config.eval.fssdino.clusters=3",
)  # fmt: skip


def test_it_predicts(tmp_path, refusal):
    make_weights(tmp_path / "made.safetensors")
    show(tmp_path / "shown", classes=("cup", "jar"))
    image, _ = drawn(7, 40, 52, (1, 2))
    saved(tmp_path / "photos" / "one.png", image)
    (tmp_path / "small.py").write_text(
        "from fsjax.config import apply, default\n\n\ndef get_config(argument=''):\n"
        "    return apply(default(), argument)\n"
    )
    flags = f"--config.model.weights={tmp_path}/made.safetensors", f"--config={tmp_path}/small.py", *SMALL
    assert segment(tmp_path, *flags, "--min_presence=0") == 0
    config = default()
    config.model.update(name="fssdino", backbone="small", backbone_options={"widths": (4, 4, 8)})
    config.train.steps, config.eval.size, config.eval.rows = 0, 33, ("fssdino",)
    config.eval.fssdino.clusters = 3
    segmenter = Segmenter.configured(*loading.load(tmp_path / "made.safetensors", config))
    assert segmenter.method.clustering.clusters == 3
    shown = [drawn(10 * n + k, classes=(n,)) for n in (1, 2) for k in range(2)]
    fitted = segmenter.fit([photo for photo, _ in shown], [mask for _, mask in shown], ways=[1, 1, 2, 2])
    np.testing.assert_array_equal(mask_of(tmp_path / "found", "one"), fitted.segment(image).mask)
    given = f"--support={tmp_path}/shown", f"--query={tmp_path}/photos", f"--out={tmp_path}/more", *flags
    assert "There is no output 'fusion1'" in refusal(predict, *given, "--fusion=1")
    assert "This method cannot be adapted to supports" in refusal(predict, *given, "--adapt")
