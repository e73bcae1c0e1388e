"""benchmarks/protocols.py: one set of predictions, scored under all presets."""

import json

import numpy as np
import pytest
from PIL import Image

import datasets
from benchmarks import protocols
from fsjax import cli
from fsjax.config import PROTOCOLS
from fsjax.data.resizing import resize_mask
from tests.commands.conftest import write_folder
from tests.commands.programs import results, start

SIZE = 36, 44


@pytest.fixture
def rimmed(tmp_path):
    """The miniature, each object with a rim of void, as VOC's have."""
    return write_folder(tmp_path, rim=2)


def pooled(masks, truths, void):
    """Mean-IoU in percent over the classes, by sets of pixels."""
    inner, union = {}, {}
    for mask, (class_id, truth) in zip(masks, truths, strict=True):
        found, shown = (mask == 1) & (True if void == "background" else truth != 255), truth == 1
        inner[class_id] = inner.get(class_id, 0) + (found & shown).sum()
        union[class_id] = union.get(class_id, 0) + (found | shown).sum()
    return 100 * np.mean([inner[class_id] / union[class_id] for class_id in inner])


def test_every_preset_scores_the_same_masks(rimmed, tmp_path, capsys):
    given = f"--config={rimmed}/mini.py", f"--out={tmp_path}/out", "--episodes=6"
    assert start(protocols, *given) == 0
    printed = capsys.readouterr().out.splitlines()[2:]
    assert [line.split("`")[1] for line in printed] == list(PROTOCOLS)

    source = datasets.load(cli.load_config(f"{rimmed}/mini.py").data)["test"]
    position = {photo: place for place, photo in enumerate(source.ids)}
    episodes = map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()[1:])
    truths = [
        (one["class_ids"][0], source.mask(position[one["query"][0]], one["class_ids"], None))
        for one in episodes
    ]
    scores = {}
    for line, (name, protocol) in zip(printed, PROTOCOLS.items(), strict=True):
        side = protocol.fields["eval.size"] if protocol.fields["eval.label"] == "input" else 0
        files = sorted((tmp_path / "out" / "masks" / str(side or "original")).iterdir())
        masks = [np.asarray(Image.open(file)) for file in files]
        assert {mask.shape for mask in masks} == {(side, side) if side else SIZE}
        (row,) = results(tmp_path / "out" / name)["rows"]
        of_size = [(c, resize_mask(truth, side, side) if side else truth) for c, truth in truths]
        expected = pooled(masks, of_size, protocol.fields["eval.void"])
        assert row["mean_iou"] == pytest.approx(expected, abs=1e-9)
        low, high = row["ci95"]
        assert f"| {row['mean_iou']:.2f} | {low:.2f} to {high:.2f} | {row['binary_iou']:.2f} |" in line
        scores[name] = row["mean_iou"]
    assert scores["canet"] == scores["dpnet"] < scores["pfenet"]


def test_flags_that_lack_are_told(refusal):
    assert "--episodes" in refusal(protocols, "--config=configs/prnet_animals.py")
