"""benchmarks/protocols.py: one set of predictions, scored under all presets."""

import json

import numpy as np
import pytest
from PIL import Image

import datasets
from benchmarks import protocols
from fsjax import cli
from fsjax.config import PROTOCOLS
from tests.commands.programs import results, start


def pooled(masks, truths, classes, size):
    """Mean-IoU in percent over the classes of masks and truths, resized to the nearest pixel."""
    inner, union = dict.fromkeys(classes, 0), dict.fromkeys(classes, 0)
    for mask, (class_id, truth) in zip(masks, truths, strict=True):
        found = np.asarray(mask) == 1
        shown = np.asarray(truth.resize(size, Image.Resampling.NEAREST) if size else truth) == 1
        inner[class_id] += (found & shown).sum()
        union[class_id] += (found | shown).sum()
    return 100 * np.mean([inner[c] / union[c] for c in classes])


def test_every_preset_scores_the_same_masks(trained, tmp_path, capsys):
    given = f"--config={trained}/mini.py", f"--out={tmp_path}/out", "--episodes=6"
    assert start(protocols, *given) == 0
    printed = capsys.readouterr().out.splitlines()[2:]
    assert [line.split("`")[1] for line in printed] == list(PROTOCOLS)

    source = datasets.load(cli.load_config(f"{trained}/mini.py").data)["test"]
    position = {photo: place for place, photo in enumerate(source.ids)}
    episodes = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    truths = [
        (one["class_ids"][0], Image.fromarray(source.mask(position[one["query"][0]], one["class_ids"], None)))
        for one in episodes[1:]
    ]
    for name, protocol in PROTOCOLS.items():
        side = protocol.fields["eval.size"] if protocol.fields["eval.label"] == "input" else 0
        masks = [
            Image.open(file) for file in sorted((tmp_path / "out/masks" / str(side or "original")).iterdir())
        ]
        assert {mask.size for mask in masks} == {(side, side) if side else (44, 36)}
        (row,) = results(tmp_path / "out" / name)["rows"]
        classes = sorted({class_id for class_id, _ in truths})
        expected = pooled(masks, truths, classes, (side, side) if side else ())
        assert row["mean_iou"] == pytest.approx(expected, abs=0.2 if side else 1e-9)
        assert f"{row['mean_iou']:.2f}" in printed[list(PROTOCOLS).index(name)]


def test_flags_that_lack_are_told(refusal):
    assert "--episodes" in refusal(protocols, "--config=configs/prnet_animals.py")
