"""The rows of a table: which there are, in which order, and what each was counted from."""

import logging
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from fsjax import cli
from fsjax.data import manifest
from fsjax.data.sampling import other_support
from fsjax.errors import InputError
from fsjax.evaluation.adapted import evaluate_adapted
from fsjax.evaluation.paired import Comparison
from fsjax.evaluation.rows import Evaluation, check_rows
from fsjax.models.baselines.over_features import OverFeatures
from fsjax.models.fssdino.fssdino import FSSDINO
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from tests.evaluation.episodes import CLUSTERING, SIDE, SOURCE, Alike, dpnet, fssdino, photos, prnet, sampler
from tests.evaluation.spied import once, query_photos, support_photos

ADAPT = AdaptSettings(steps=2, learning_rate=0.1)
RUNS, LENGTH = 3, 4
OF_PRNET = (
    "rgb", "texture", "color_histogram", "fssdino_prototypes", "fssdino", "untrained", "any_object",
    "wrong_support_absent", "wrong_support_present", "fusion0", "fusion1", "fusion2", "adapted", "oracle",
)  # fmt: skip
OF_DPNET = (
    "frozen_fusion0", "frozen_fusion1", "frozen_fusion2", "fssdino", "any_object", "wrong_support_absent",
    "aux", "master", "oracle",
)  # fmt: skip
OF_FSSDINO = (
    "frozen_fusion0", "frozen_fusion2", "wrong_support_absent", "prototypes", "fssdino", "oracle",
)  # fmt: skip
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))


def untrained():
    return prnet().method.init(jax.random.key(5))


def never():
    raise AssertionError("nobody asked for the untrained row")


def evaluation(segmenter=None, drawing=never, read=None, adapt_length=2, **draw):
    segmenter, draw = segmenter or prnet(), sampler(**draw)
    return Evaluation(
        segmenter=segmenter, untrained=drawing, sampler=draw, photos=read or photos(),
        specs=[draw(i) for i in range(RUNS * LENGTH)], run_length=LENGTH, adapt_length=adapt_length,
        fusion=FusionSettings(), fssdino=CLUSTERING, adapt=ADAPT,
    )  # fmt: skip


def confusions(row):
    return [record["confusion"] for record in row.records]


def counted(segmenter, specs, output, adapt=None, read=None):
    """One episode at a time."""
    (found,) = evaluate_adapted(read or photos(), segmenter, specs, adapt)
    return [matrices.tolist() for matrices in found[output]]


@pytest.fixture(scope="module")
def of_prnet():
    whole = evaluation(drawing=untrained)
    return whole, {row.name: row for row in whole.score(OF_PRNET[::-1])}


@pytest.fixture(scope="module")
def of_dpnet():
    whole = evaluation(dpnet(), read=photos(size=SIDE + 1))
    return whole, {row.name: row for row in whole.score(OF_DPNET[::-1])}


@pytest.fixture(scope="module")
def of_fssdino():
    whole = evaluation(fssdino())
    return whole, {row.name: row for row in whole.score(OF_FSSDINO[::-1])}


def test_rows_stand_in_the_order_of_a_table(of_prnet, of_dpnet, of_fssdino):
    names = ["fusion2_adapt2" if name == "adapted" else name for name in OF_PRNET]
    assert list(of_prnet[1]) == names
    assert list(of_dpnet[1]) == list(OF_DPNET)
    assert list(of_fssdino[1]) == list(OF_FSSDINO)


def test_every_row_that_a_configuration_names_was_run():
    assert CONFIGS
    for path in CONFIGS:
        config = cli.load_config(path)
        run = {"prnet": OF_PRNET, "dpnet": OF_DPNET, "fssdino": OF_FSSDINO}[config.model.name]
        assert set(config.eval.rows) <= set(run)


@pytest.mark.parametrize("name", ["fusion0", "fusion1", "fusion2"])
def test_own_rows_count_the_segmenters_outputs(of_prnet, name):
    whole, rows = of_prnet
    assert confusions(rows[name]) == counted(prnet(), whole.specs, name)


def test_the_untrained_row_has_variables_of_its_own(of_prnet):
    whole, rows = of_prnet
    drawn = replace(prnet(), variables=untrained())
    assert confusions(rows["untrained"]) == counted(drawn, whole.specs, "fusion2")
    assert confusions(rows["untrained"]) != confusions(rows["fusion2"])


@pytest.mark.parametrize("present", [False, True])
def test_wrong_supports_show_another_class(of_prnet, present):
    whole, rows = of_prnet
    row = rows["wrong_support_present" if present else "wrong_support_absent"]
    specs = [s for spec in whole.specs if (s := other_support(spec, whole.sampler, present)) is not None]
    assert confusions(row) == counted(prnet(), specs, "fusion2")
    assert [record["index"] for record in row.records] == [spec.index for spec in specs]
    assert not any(record["shown"] == record["class_ids"] for record in row.records)
    assert row.manifest == manifest.digest(specs, SOURCE.ids)


def test_the_oracle_is_shown_the_queries(of_prnet):
    whole, rows = of_prnet
    specs = [replace(spec, support=(spec.query,)) for spec in whole.specs]
    read = replace(photos(), source=Alike())
    (oracle,) = evaluation(read=read).score(("oracle",))
    assert confusions(oracle) == counted(prnet(), specs, "fusion0", read=read)
    assert confusions(oracle) != confusions(rows["oracle"])  # whose truth has pixels of its own


def test_prototypes_of_the_frozen_backbone_stand_beside_the_method(of_dpnet):
    whole, rows = of_dpnet
    method = dpnet().method
    over = OverFeatures(method, PRNet(method.backbone))
    beside = replace(dpnet(), method=over, settings=FusionSettings())
    for number in range(3):
        found = counted(beside, whole.specs, f"fusion{number}", read=whole.photos)
        # Other programs round sums differently, and a pixel that is nearly tied turns.
        turned = np.abs(np.subtract(confusions(rows[f"frozen_fusion{number}"]), found)).sum((1, 2, 3)) // 2
        assert turned.max() <= 2
        assert turned.sum() <= len(whole.specs) // 4
    assert confusions(rows["aux"]) == counted(dpnet(), whole.specs, "aux", read=whole.photos)


def test_fssdino_stands_beside_prnet_as_it_stands_alone(of_prnet, of_fssdino):
    whole, rows = of_prnet
    for name, output in (("fssdino_prototypes", "prototypes"), ("fssdino", "fssdino")):
        assert confusions(rows[name]) == counted(fssdino(), whole.specs, output)
        assert confusions(rows[name]) == confusions(of_fssdino[1][output])
    assert confusions(rows["fssdino"]) != confusions(rows["fssdino_prototypes"])
    assert confusions(of_fssdino[1]["frozen_fusion2"]) == confusions(rows["fusion2"])


def test_fssdino_goes_by_the_deep_features_of_another_method(of_dpnet):
    whole, rows = of_dpnet
    method = dpnet().method
    over = OverFeatures(method, FSSDINO(method.backbone))
    assert (over.outputs, over.plain, over.final) == (FSSDINO.outputs, FSSDINO.plain, FSSDINO.final)
    alone = replace(dpnet(), method=over, settings=CLUSTERING)
    assert alone.method.head.clustering == CLUSTERING
    found = counted(alone, whole.specs, "fssdino", read=whole.photos)
    turned = np.abs(np.subtract(confusions(rows["fssdino"]), found)).sum((1, 2, 3)) // 2
    assert turned.sum() <= len(whole.specs) // 2


def test_baselines_need_no_variables(of_prnet):
    whole, rows = of_prnet
    for name in ("rgb", "texture", "color_histogram"):
        total = np.sum(confusions(rows[name]), (0, 1))
        assert total.sum() == SIDE**2 * len(whole.specs)
        assert (total[:2].sum(0) > 0).all()  # it finds the class somewhere, and not everywhere


def test_only_the_first_episodes_of_each_run_are_adapted_to(of_prnet):
    whole, rows = of_prnet
    row = rows["fusion2_adapt2"]
    first = [whole.specs[i] for i in (0, 1, 4, 5, 8, 9)]
    assert [(record["run"], record["index"]) for record in row.records] == [
        (0, 0), (0, 1), (1, 4), (1, 5), (2, 8), (2, 9),
    ]  # fmt: skip
    assert confusions(row) == counted(prnet(), first, "fusion2", ADAPT)
    assert row.manifest == manifest.digest(first, SOURCE.ids)


def test_records_say_what_their_episodes_show(of_prnet):
    whole, rows = of_prnet
    for number, (spec, record) in enumerate(zip(whole.specs, rows["fusion1"].records, strict=True)):
        assert (record["row"], record["run"], record["index"]) == ("fusion1", number // LENGTH, spec.index)
        assert tuple(record["class_ids"]) == tuple(record["shown"]) == spec.class_ids
        assert record["support"] == [[SOURCE.ids[position] for position in way] for way in spec.support]
        assert record["query"] == [SOURCE.ids[position] for position in spec.query]


def test_extractions_of_the_own_variables_are_told(of_prnet):
    whole, _ = of_prnet
    wrong = [other_support(spec, whole.sampler, present) for spec in whole.specs for present in (False, True)]
    supports = support_photos([*whole.specs, *filter(None, wrong)])
    queries = query_photos(whole.specs)
    assert whole.extracted == once(supports, "support") + once(queries - supports, "query")


def test_a_final_row_is_compared_with_what_it_refines(of_prnet, of_dpnet):
    assert of_prnet[0].comparisons[:2] == [
        Comparison("fusion2_adapt2", "fusion2", restricted=True),
        Comparison("fusion2", "fusion0"),
    ]
    assert of_dpnet[0].comparisons[1:] == [
        Comparison("master", other)
        for other in (
            "aux", "frozen_fusion2", "frozen_fusion1", "frozen_fusion0", "fssdino", "fssdino_prototypes",
        )
    ]  # fmt: skip


def test_two_ways_leave_the_controls_of_one_out(caplog):
    with caplog.at_level(logging.INFO):
        rows = evaluation(ways=2, queries=2).score(
            ("any_object", "wrong_support_absent", "wrong_support_present", "fusion0", "oracle")
        )
    assert [row.name for row in rows] == ["fusion0", "oracle"]
    for name in ("any_object", "wrong_support_absent", "wrong_support_present"):
        assert f"The row {name} is left out: it is for one-way episodes." in caplog.text


def test_a_control_that_no_episode_fits_is_left_out(caplog):
    with caplog.at_level(logging.INFO):
        rows = evaluation(classes=(1,)).score(("fusion0", "wrong_support_absent"))
    assert [row.name for row in rows] == ["fusion0"]
    assert "The row wrong_support_absent is left out: no episode fits it." in caplog.text


def test_unknown_rows_are_refused():
    check_rows(OF_PRNET, prnet().method)
    check_rows(OF_DPNET, dpnet().method)
    check_rows(OF_FSSDINO, fssdino().method)
    with pytest.raises(InputError, match=r"^eval.rows holds 'fusion3': choose from fusion0, .*, oracle.*\.$"):
        check_rows(("fusion0", "fusion3"), prnet().method)
    with pytest.raises(InputError, match="'adapted'"):
        check_rows(("adapted",), dpnet().method)
    with pytest.raises(InputError, match="'frozen_fusion0'"):
        check_rows(("frozen_fusion0",), prnet().method)
