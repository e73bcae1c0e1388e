"""Every row that a configuration names is scored, with the types of all arrays checked."""

from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from fsjax import cli, experiment
from fsjax.evaluation import controls
from fsjax.evaluation.results import read_records
from tests.runs import dpnet_config, fssdino_config, prnet_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
MAKE = {"prnet": prnet_config, "dpnet": dpnet_config, "fssdino": fssdino_config}
RENAMED = {"adapted": "fusion2_adapt5"}


def rows_of(method):
    """The rows that configurations of a method name, each once."""
    configs = [cli.load_config(path) for path in CONFIGS]
    return tuple(dict.fromkeys(row for c in configs if c.model.name == method for row in c.eval.rows))


@pytest.fixture(scope="module", params=MAKE)
def scored(request, sources, tmp_path_factory):
    """The method, its rows and the folder of their evaluation, before any training."""
    out, rows = tmp_path_factory.mktemp("out"), rows_of(request.param)
    config = MAKE[request.param]({"eval.rows": rows, "eval.episodes": 8, "eval.pictures": 1})
    return request.param, rows, out, experiment.evaluate(config, sources, out)


def test_types_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError):
        controls.any_object(np.zeros((2, 2), np.float32))


def test_configurations_name_all_kinds_of_rows():
    assert {"rgb", "texture", "color_histogram", "untrained", "any_object", "wrong_support_absent",
            "wrong_support_present", "fusion0", "fusion1", "fusion2", "adapted", "oracle"} <= set(
        rows_of("prnet"))  # fmt: skip
    assert {"frozen_fusion0", "frozen_fusion1", "frozen_fusion2", "aux", "master", "oracle"} <= set(
        rows_of("dpnet")
    )


def test_every_row_is_in_the_table(scored):
    method, rows, out, results = scored
    found = {row["name"]: row for row in results.rows}
    assert set(found) == {RENAMED.get(name, name) for name in rows}
    for name, row in found.items():
        assert 0 <= row["mean_iou"] <= 100
        assert row["episodes"] == (2 if "adapt" in name else 8) or name.startswith("wrong_support")
        assert name in (out / "results.md").read_text()
    counts = {}
    for record in read_records(out / "episodes.jsonl"):
        counts[record["row"]] = counts.get(record["row"], 0) + 1
    assert counts == {name: row["episodes"] for name, row in found.items()}
    of_method = {"dpnet": {"cycles.png", "branches.png"}, "prnet": {"fusion.png", "stages.png"}}
    pictures = {"episodes.png"} | of_method.get(method, set())
    assert {path.name for path in out.glob("*.png")} == pictures


def test_every_row_counts_the_same_pixels(scored):
    _, _, out, _ = scored
    truths = {}
    for record in read_records(out / "episodes.jsonl"):
        truth = np.sum(record["confusion"], axis=-1).tolist()  # pixels of each class, whatever is predicted
        assert sum(map(sum, truth)) == 32 * 32
        if record["shown"] == record["class_ids"]:
            assert truths.setdefault(record["index"], truth) == truth
    assert len(truths) == 8


def test_every_episode_says_what_its_queries_show(scored, sources):
    _, _, out, _ = scored
    source = sources["test"]
    for record in read_records(out / "episodes.jsonl"):
        (query,), (parts,) = record["query"], record["parts"]
        labels = source.labels(source.ids.index(query))
        assert record["labelled"] == [len(set(np.unique(labels).tolist()) - {0, 255})]
        (matrix,) = record["confusion"]
        assert (parts[0] > 0) == (sum(matrix[1]) > 0)


def test_a_row_does_not_depend_on_its_neighbours(scored, sources, tmp_path):
    method, _, out, _ = scored
    alone = {"prnet": "fusion2", "dpnet": "master", "fssdino": "fssdino"}[method]
    config = MAKE[method]({"eval.rows": (alone,), "eval.episodes": 8})
    experiment.evaluate(config, sources, tmp_path)
    together = [r for r in read_records(out / "episodes.jsonl") if r["row"] == alone]
    assert list(read_records(tmp_path / "episodes.jsonl")) == together
