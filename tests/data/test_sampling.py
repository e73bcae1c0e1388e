"""Episode specs: what they may hold, how often, and that they depend on (seed, i) alone."""

import itertools
import pickle
import shlex
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from fsjax.config import TABLE
from fsjax.data.index import ClassIndex, build_index
from fsjax.data.sampling import (
    EpisodeSampler,
    EpisodeSpec,
    PairSampler,
    TooFewImagesError,
    fold_classes,
    make_sampler,
    other_support,
)
from fsjax.data.source import LISTED, SHRINKS
from fsjax.errors import InputError
from tests.toy import ToySource

NAMES = ToySource.class_names


def index_of(areas):
    areas = np.array(areas, np.int32)
    flags = np.full(areas.shape, LISTED | SHRINKS, np.uint8)
    ids, sizes = [f"i{p}" for p in range(len(areas))], np.full((len(areas), 2), 9, np.int32)
    return ClassIndex(ids, areas, flags, sizes)


def make(index, classes=(1, 2, 3, 4, 5, 6), *, ways=1, shots=1, queries=1, seed=0, **rest):
    return EpisodeSampler(index, NAMES, classes, ways=ways, shots=shots, queries=queries, seed=seed, **rest)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return build_index(ToySource(tmp_path_factory.mktemp("cache")))


# ---- folds ----


def test_folds_split_the_classes():
    assert fold_classes(ToySource.folds, 1) == ((1, 2, 5, 6), (3, 4))


@pytest.mark.parametrize("fold", [-1, 3])
def test_fold_out_of_range(fold):
    with pytest.raises(InputError, match=rf"fold={fold} .* 0 to 2"):
        fold_classes(ToySource.folds, fold)


# ---- episodes ----


@pytest.mark.parametrize(
    ("ways", "shots", "queries"), [(1, 1, 1), (1, 5, 2), (2, 1, 1), (3, 2, 4), (6, 1, 6)]
)
def test_every_episode_keeps_the_rules(index, ways, shots, queries):
    sampler = make(index, ways=ways, shots=shots, queries=queries, seed=7)
    for i in range(80):
        spec = sampler(i)
        assert spec.index == i
        assert spec.shown == spec.class_ids
        assert len(set(spec.class_ids)) == ways
        for class_id, way in zip(spec.class_ids, spec.support, strict=True):
            assert len(set(way)) == shots
            assert all(index.areas[position, class_id - 1] > 0 for position in way)
        assert len(set(spec.query)) == queries
        assert not set(spec.query) & set(itertools.chain(*spec.support))
        orders = itertools.permutations(spec.class_ids)
        assert any(  # some order of the ways that the queries walk through
            all(index.areas[q, order[t % ways] - 1] > 0 for t, q in enumerate(spec.query)) for order in orders
        )


def test_specs_depend_on_seed_and_number_alone(index):
    sampler = make(index, ways=2, shots=2, queries=2, seed=3)
    forwards = [sampler(i) for i in range(20)]
    backwards = [sampler(i) for i in reversed(range(20))]
    elsewhere = pickle.loads(pickle.dumps(sampler))
    assert forwards == backwards[::-1] == [elsewhere(i) for i in range(20)]
    assert len({spec.support for spec in forwards}) > 15
    other = make(index, ways=2, shots=2, queries=2, seed=4)
    assert sum(other(i).support == forwards[i].support for i in range(20)) <= 1


def test_draws_of_earlier_versions_still_come():
    areas = np.eye(6)[np.arange(30) % 6] + np.eye(6)[np.arange(30) // 6]
    sampler = make(index_of(areas), ways=2, shots=2, queries=2, seed=11)
    assert [sampler(i) for i in (0, 1, 1000)] == [
        EpisodeSpec(0, (1, 6), ((4, 5), (5, 17)), (3, 29), (1, 6)),
        EpisodeSpec(1, (6, 2), ((23, 29), (7, 11)), (17, 25), (6, 2)),
        EpisodeSpec(1000, (2, 5), ((11, 1), (22, 16)), (19, 27), (2, 5)),
    ]


def test_classes_and_query_ways_are_uniform():
    index = index_of(np.repeat(np.eye(6), [3, 30, 3, 3, 3, 3], axis=0))  # one class is common
    sampler = make(index, ways=2)
    specs = [sampler(i) for i in range(1200)]
    seen = Counter(c for spec in specs for c in spec.class_ids)
    assert set(seen) == {1, 2, 3, 4, 5, 6}
    assert all(abs(count - 400) < 80 for count in seen.values())  # five standard deviations
    first_way = sum(index.areas[spec.query[0], spec.class_ids[0] - 1] > 0 for spec in specs)
    assert abs(first_way - 600) < 90
    assert sum(spec.class_ids[0] < spec.class_ids[1] for spec in specs) in range(510, 690)


def test_images_of_left_out_classes_never_appear(index):
    sampler = make(index, classes=(1, 2, 3, 4), ways=2, queries=2, without=(5, 6))
    for i in range(60):
        spec = sampler(i)
        used = [*itertools.chain(*spec.support), *spec.query]
        assert not index.areas[used][:, 4:].any()


def test_min_area_holds_for_supports_and_queries(index):
    smallest = int(np.sort(index.areas[:, 0])[-6])
    sampler = make(index, classes=(1,), min_area=smallest)
    specs = [sampler(i) for i in range(100)]
    used = {position for spec in specs for position in (*spec.support[0], *spec.query)}
    assert used == set(np.flatnonzero(index.areas[:, 0] >= smallest).tolist())


def test_a_class_with_too_few_images_is_named():
    index = index_of([[1, 0], [1, 0], [1, 1], [0, 1]])
    assert make(index, classes=(1,), shots=2)(0).class_ids == (1,)
    with pytest.raises(InputError, match=r"'bee' has 2 eligible images and an episode needs 3"):
        make(index, classes=(1, 2), shots=2)
    with pytest.raises(InputError, match=r"'ant' has 3 .* needs 4"):  # 2 shots and 3 queries of 2 ways
        make(index, classes=(1, 2), ways=2, shots=2, queries=3)
    with pytest.raises(InputError, match=r"'ant' has 1 .* needs 2"):
        make(index_of([[1, 0], [1, 1]]), classes=(1,), without=(2,))


def test_more_ways_than_classes(index):
    with pytest.raises(InputError, match="ways=7 needs as many classes, and there are 6"):
        make(index, ways=7)


def test_classes_that_share_images_are_redrawn_or_refused():
    tight = index_of([[1, 1], [1, 1], [1, 0], [0, 1]])
    sampler = make(tight, classes=(1, 2), ways=2, queries=2)
    for i in range(50):
        spec = sampler(i)
        assert not set(spec.query) & set(itertools.chain(*spec.support))
    impossible = make(index_of([[1, 1], [1, 1]]), classes=(1, 2), ways=2, queries=2)
    with pytest.raises(InputError, match="share too few images"):
        impossible(0)


# ---- epochs over pairs ----


def make_pairs(index, classes=(1, 2, 3, 4, 5, 6), *, ways=1, shots=1, queries=1, seed=0, **rest):
    return PairSampler(index, NAMES, classes, ways=ways, shots=shots, queries=queries, seed=seed, **rest)


def pairs_of(index, classes, min_area=1, without=()):
    """All (image, class), by a loop over the pixels counted."""
    return {
        (position, c)
        for position, areas in enumerate(index.areas)
        for c in classes
        if areas[c - 1] >= min_area and not any(areas[left_out - 1] for left_out in without)
    }


@pytest.mark.parametrize("shots", [1, 4])
@pytest.mark.parametrize("rules", [{}, {"min_area": 30}, {"without": (5, 6)}])
def test_an_epoch_is_every_pair_once(index, shots, rules):
    classes = (4, 1, 2)
    sampler = make_pairs(index, classes, shots=shots, seed=5, **rules)
    expected = pairs_of(index, classes, **rules)
    assert (expected != pairs_of(index, classes)) == bool(rules)
    assert sampler.pairs == len(expected)
    orders = []
    for epoch in range(3):
        specs = [sampler(i) for i in range(epoch * sampler.pairs, (epoch + 1) * sampler.pairs)]
        orders.append([(spec.query[0], spec.class_ids[0]) for spec in specs])
        assert len(orders[-1]) == len(expected)
        assert set(orders[-1]) == expected
        for i, spec in enumerate(specs, start=epoch * sampler.pairs):
            (class_id,), (query,), (way,) = spec.class_ids, spec.query, spec.support
            assert (spec.index, spec.shown) == (i, spec.class_ids)
            assert len({*way, query}) == shots + 1
            assert {(position, class_id) for position in way} < expected
    for one, other in itertools.combinations([*orders, sorted(expected)], 2):
        assert sum(a == b for a, b in zip(one, other, strict=True)) < len(expected) / 4  # shuffled anew


def test_pair_specs_depend_on_seed_and_number_alone(index):
    sampler = make_pairs(index, shots=2, seed=3)
    numbers = list(range(3 * sampler.pairs))
    forwards = [make_pairs(index, shots=2, seed=3)(i) for i in numbers]
    assert [sampler(i) for i in reversed(numbers)] == forwards[::-1]
    elsewhere = pickle.loads(pickle.dumps(sampler))
    shuffled = np.random.default_rng(0).permutation(numbers).tolist()  # epochs in turns, in many threads
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(elsewhere, shuffled)) == [forwards[i] for i in shuffled]
    other = make_pairs(index, shots=2, seed=4)
    assert sum(other(i).query == forwards[i].query for i in numbers) < len(numbers) / 5


def test_supports_of_a_pair_are_drawn_anew_and_uniformly():
    sampler = make_pairs(index_of(np.ones((6, 1))), classes=(1,), shots=2, seed=1)
    specs = [sampler(i) for i in range(6 * 500)]
    seen = Counter((spec.query[0], frozenset(spec.support[0])) for spec in specs)
    assert len(seen) == 6 * 10  # 10 pairs of the other five images
    assert all(abs(count - 50) < 35 for count in seen.values())  # five standard deviations
    assert abs(sum(spec.support[0][0] < spec.support[0][1] for spec in specs) - 1500) < 140


@pytest.mark.parametrize("numbers", [{"ways": 2}, {"queries": 2}])
def test_pairs_are_one_way_with_one_query(index, numbers):
    with pytest.raises(InputError, match=r"pair_epoch is one-way .* ways=1 and queries=1"):
        make_pairs(index, **numbers)


def test_a_list_is_walked_through_in_order_and_then_shuffled(index):
    pairs = pairs_of(index, (2, 5), min_area=30)
    ordered = [(c, q) for c in (2, 5) for q in sorted(q for q, of in pairs if of == c)]
    sampler = make_sampler("list_walk", index, NAMES, (2, 5), ways=1, shots=2, queries=1, seed=4, min_area=30)
    epochs = [
        [(spec.class_ids[0], spec.query[0]) for spec in map(sampler, range(start, start + len(ordered)))]
        for start in (0, len(ordered), 2 * len(ordered))
    ]
    assert sampler.pairs == len(ordered)
    assert epochs[0] == ordered
    assert sorted(epochs[1]) == sorted(epochs[2]) == sorted(ordered)
    assert len(set(map(tuple, epochs))) == 3
    assert [sampler(i) for i in range(9)] == [sampler(i) for i in range(9)]
    assert all(spec.query[0] not in spec.support[0] for spec in map(sampler, range(len(ordered))))


def test_only_what_is_listed_and_large_enough_is_drawn(index):
    flags = index.flags.copy()
    flags[::2, 2] = 0  # every other photo is not listed for the third class
    flags[:, 3] = LISTED  # no object of the fourth class is large enough for OSLSM's rule
    sampler = make(replace(index, flags=flags), classes=(3,), min_area="oslsm")
    shown = np.flatnonzero(index.areas[:, 2] > 0).tolist()
    drawn = {p for i in range(200) for p in (*sampler(i).support[0], *sampler(i).query)}
    assert drawn == {p for p in shown if p % 2}
    with pytest.raises(InputError, match=r"'dog' has 0 eligible .* --config.data.leave_out=dog\.$"):
        make(replace(index, flags=flags), classes=(3, 4), min_area="oslsm")


def test_a_sentence_names_all_classes_with_too_few_photos():
    index = index_of([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]])
    said = (
        r"class 'ant bear' has 1 eligible images and an episode needs 2 of one class, and 1 other classes "
        r"have too few, too; .*--config\.data\.leave_out='ant bear,cat'\.$"
    )
    with pytest.raises(InputError, match=said):
        EpisodeSampler(index, ("bee", "ant bear", "cat"), (1, 2, 3), ways=1, shots=1, queries=1, seed=0)


@pytest.mark.parametrize("names", [("1", "2"), ("a, b", "c"), ("it's",), ("plain", "two words"), ("None",)])
def test_what_is_to_be_left_out_is_read_back_as_it_is(names):
    said = str(TooFewImagesError("something is wrong", names))
    (flag,) = (word for word in shlex.split(said.removesuffix(".")) if word.startswith("--"))
    name, _, text = flag.removeprefix("--config.").partition("=")
    assert TABLE[name].read(name, text) == names


def test_pairs_check_what_episodes_check():
    index = index_of([[1, 0], [1, 0], [1, 1], [0, 1]])
    with pytest.raises(InputError, match=r"'bee' has 2 eligible images and an episode needs 3"):
        make_pairs(index, classes=(1, 2), shots=2)


def test_pairs_may_have_controls(index):
    sampler = make_pairs(index, classes=(1, 2, 3), seed=2)
    spec = sampler(7)
    control = other_support(spec, sampler, present=False)
    assert control.query == spec.query
    assert control.shown != spec.class_ids


@pytest.mark.parametrize(
    ("policy", "expected"), [("class_uniform", EpisodeSampler), ("pair_epoch", PairSampler)]
)
def test_a_policy_names_its_sampler(index, policy, expected):
    rules = {"ways": 1, "shots": 2, "queries": 1, "seed": 3, "min_area": 30, "without": (6,)}
    sampler = make_sampler(policy, index, NAMES, (1, 2), **rules)
    assert type(sampler) is expected
    assert [sampler(i) for i in range(30)] == [expected(index, NAMES, (1, 2), **rules)(i) for i in range(30)]


# ---- the wrong-support controls ----


@pytest.mark.parametrize("shots", [1, 3])
def test_controls_show_what_they_say(index, shots):
    sampler = make(index, classes=(1, 2, 3), shots=shots, seed=2)
    found = Counter()
    for spec in map(sampler, range(80)):
        (right,), query = spec.class_ids, spec.query[0]
        for present in (False, True):
            control = other_support(spec, sampler, present)
            assert control == other_support(spec, sampler, present)
            if control is None:
                continue
            found[present] += 1
            (shown,), (way,) = control.shown, control.support
            assert replace(control, support=spec.support, shown=spec.shown) == spec
            assert shown != right
            assert len({*way, query}) == shots + 1
            assert (index.areas[list(way), shown - 1] > 0).all()
            assert (index.areas[query, shown - 1] > 0) == present
            if not present:
                assert shown in sampler.classes
    assert found[False] == 80
    expected = sum(int((index.areas[sampler(i).query[0]] > 0).sum()) == 2 for i in range(80))
    assert found[True] == expected > 0


def test_absent_control_prefers_supports_without_the_right_class():
    #        right, other
    areas = [[1, 0], [1, 0], [0, 1], [1, 1], [1, 1], [0, 1]]
    sampler = make(index_of(areas), classes=(1, 2))
    specs = [spec for spec in map(sampler, range(100)) if spec.class_ids == (1,) and spec.query[0] in (0, 1)]
    assert {other_support(spec, sampler, present=False).support[0] for spec in specs} == {(2,), (5,)}
    # with two shots the two clean images are needed both; with three the others have to serve too
    three = [replace(spec, support=((2, 3, 4),)) for spec in specs]
    assert all(len(other_support(spec, sampler, present=False).support[0]) == 3 for spec in three)


def test_there_may_be_no_control():
    alone = make(index_of([[1, 0], [1, 0], [1, 0]]), classes=(1,))
    assert other_support(alone(0), alone, present=False) is None
    assert other_support(alone(0), alone, present=True) is None
    # the other class is in every query, and in no other image
    spec = replace(alone(0), query=(0,), support=((1,),))
    crowded = make(index_of([[1, 1], [1, 0], [1, 0]]), classes=(1,))
    assert other_support(spec, crowded, present=True) is None
