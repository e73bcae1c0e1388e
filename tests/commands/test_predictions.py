"""eval.py --predictions: our own masks, written as another program would, score what our own row scores."""

import json

import numpy as np
import pytest
from PIL import Image

import datasets
import eval as evaluation
from datasets import shapes
from fsjax import compare
from fsjax.data import manifest
from fsjax.models import build
from fsjax.segmenter import Segmenter
from fsjax.training.weights import initial_variables
from tests.commands.programs import results, start
from tests.config.changed import changed
from tests.runs import PRNET

CONFIG = """
from tests.config.changed import changed

def get_config(argument=""):
    return changed({values})
"""


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """A few pictures of the embedded benchmark, with a configuration of them; nothing is trained."""
    monkeypatch.setattr(shapes, "SPLITS", {"train": 1, "test": 30})
    values = {
        **PRNET, "data.name": "shapes", "data.tfds_dir": str(tmp_path / "data"), "eval.ways": 2,
        "eval.runs": 2, "eval.episodes": 2, "eval.queries": 2, "eval.label": "original", "eval.size": 48,
        "eval.rows": ("fusion0", "fusion2"), "train.ways": 1,
    }  # fmt: skip
    (tmp_path / "few.py").write_text(CONFIG.format(values=values))
    return tmp_path, changed(values)


def write_own(config, path, folder, output):
    """Writes the masks of the untrained network, made as those of one's own photos are, one by one."""
    method = build.method(config.model)
    segmenter = Segmenter.configured(config, method, initial_variables(method, config.seed, "", print))
    source = datasets.load(config.data)["test"]
    folder.mkdir()
    _, specs = manifest.read(path, source)
    for spec in specs:
        supports = [
            (way, position) for way, positions in enumerate(spec.support, 1) for position in positions
        ]
        images = [source.image(position) for _, position in supports]
        masks = [source.mask(position, spec.class_ids, way) for way, position in supports]
        fitted = segmenter.fit(images, masks, [way for way, _ in supports])
        queries = [source.image(position) for position in spec.query]
        for t, found in enumerate(fitted.segment(queries, output)):
            Image.fromarray(found.mask).save(folder / f"{spec.index:06d}_{t}.png")


def records(folder, row):
    """The lines of a row in episodes.jsonl, without its name."""
    lines = map(json.loads, (folder / "episodes.jsonl").read_text().splitlines())
    return [{**line, "row": ""} for line in lines if line["row"] == row]


def test_our_own_masks_score_what_our_row_scores(benchmark, capsys):
    place, config = benchmark
    assert start(evaluation, f"--config={place}/few.py", f"--out={place}/ours") == 0
    episodes = place / "ours" / "manifest.jsonl"
    write_own(config, episodes, place / "fusion2", "fusion2")
    data = f"--config.data.tfds_dir={place}/data"  # all else is in the manifest
    given = f"--predictions={place}/fusion2", f"--episodes={episodes}", f"--out={place}/theirs"
    assert start(evaluation, *given, data) == 0
    assert records(place / "theirs", "fusion2") == records(place / "ours", "fusion2")
    assert (place / "theirs" / "manifest.jsonl").read_bytes() == episodes.read_bytes()
    theirs, ours = results(place / "theirs"), results(place / "ours")
    (row,), (same,) = theirs["rows"], [row for row in ours["rows"] if row["name"] == "fusion2"]
    assert {**row, "seconds": 0} == {**same, "seconds": 0, "against": []}
    assert (theirs["predictions"]["masks"], "predictions" in ours) == (8, False)
    assert "external, 8 masks of another program" in (place / "theirs" / "results.md").read_text()
    capsys.readouterr()
    assert start(compare, place / "theirs", place / "ours") == 0
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[4:8] for line in lines] == [
        ["+0.0", "+0.0", "to", "+0.0"]
    ]  # and no word of protocols


@pytest.fixture
def given(trained, tmp_path):
    """Flags that score masks of background for the run's own episodes, and the folder of these."""
    episodes = tmp_path / "episodes.jsonl"
    assert start(evaluation, f"--workdir={trained}/run", f"--save_episodes={episodes}") == 0
    masks = tmp_path / "masks"
    masks.mkdir()
    for line in episodes.read_text().splitlines()[1:]:
        Image.fromarray(np.zeros((32, 32), np.uint8)).save(masks / f"{json.loads(line)['index']:06d}.png")
    flags = {"predictions": masks, "episodes": episodes, "workdir": trained / "run", "out": tmp_path / "out"}
    return flags, tmp_path


def refused(refusal, flags, **other):
    """Returns the sentence of a refusal, after which nothing was written."""
    arguments = {name: value for name, value in {**flags, **other}.items() if value}
    said = refusal(evaluation, *(f"--{name}={value}" for name, value in arguments.items()))
    assert not flags["out"].exists()
    return said


def test_a_run_says_at_which_size_its_episodes_are_scored(given, trained):
    flags, place = given
    assert start(evaluation, *(f"--{name}={value}" for name, value in flags.items()), "--name=zeros") == 0
    found = results(place / "out")
    assert [(row["name"], row["mean_iou"], row["runs"]) for row in found["rows"]] == [("zeros", 0.0, 2)]
    assert (found["protocol"]["size"], found["protocol"]["label"]) == (32, "input")
    assert found["manifest_sha256"] == results(trained / "run")["manifest_sha256"]
    with Image.open(place / "masks" / "000000.png") as image:
        assert image.size == (32, 32)


def test_flags_that_do_not_go_together_are_refused(given, refusal):
    flags, place = given
    for other in ({"episodes": ""}, {"step": 1}, {"out": "", "save_episodes": place / "more.jsonl"}):
        assert "--predictions goes with --episodes, " in refused(refusal, flags, **other)
    assert "--name is the row of --predictions" in refused(refusal, flags, predictions="", name="a")
    assert "--config and --workdir exclude each other" in refused(refusal, flags, config="a.py")
    assert "--out is the folder of --episodes" in refusal(
        evaluation, *(f"--{name}={value}" for name, value in {**flags, "out": place}.items())
    )
    for name in ("a:b", "a|b", "a;b", " "):
        assert f"{name!r} is no name for a row" in refused(refusal, flags, name=name)


def test_a_bad_folder_is_one_sentence_and_nothing_is_written(given, refusal):
    flags, place = given
    path = place / "masks" / "000003.png"
    assert f"The folder of predictions {place}/none cannot be" in refused(
        refusal, flags, predictions=place / "none"
    )
    for mask, said in (
        (np.full((32, 32), 2, np.uint8), f"{path} has the value 2, and its episode has 1 way: write 0 for"),
        (np.zeros((36, 44), np.uint8), f"{path} is 36x44 pixels (height x width) and its truth is 32x32, as"),
    ):
        Image.fromarray(mask).save(path)
        assert said in refused(refusal, flags)
    path.unlink()
    assert f"{place}/masks lacks 1 of 8 masks, such as 000003.png of the episode" in refused(refusal, flags)


def test_a_manifest_of_other_data_is_refused(given, trained, refusal):
    flags, _ = given
    own = trained / "run" / "manifest.jsonl"
    header, rest = own.read_text().split("\n", 1)
    told = {**json.loads(header), "data_set": "maxi"}
    del told["header_sha256"]  # as before fsjax 0.6
    flags["episodes"].write_text(f"{json.dumps(told)}\n{rest}")
    assert "its data_set is 'maxi' and the data's is 'mini'" in refused(refusal, flags)
    assert "There is no data set maxi in" in refused(refusal, flags, workdir="")
    flags["episodes"].write_text(own.read_text().rstrip().rpartition("\n")[0] + "\n")
    assert "the file was changed or cut short" in refused(refusal, flags)
    flags["episodes"].write_text("not a manifest")
    assert "not a header of episodes" in refused(refusal, flags, workdir="")
