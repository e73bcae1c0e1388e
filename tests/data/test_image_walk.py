"""PFENet's walk through a list's images, and that each preset's episodes are of all classes of a fold."""

import functools
import pickle
from collections import Counter

import numpy as np
import pytest

from fsjax.config import PROTOCOLS, default, follow
from fsjax.data.index import ClassIndex, build_index
from fsjax.data.sampling import ImageSampler, make_sampler
from fsjax.data.source import LISTED, SHRINKS
from fsjax.errors import InputError
from tests.toy import ToySource

#        ant, bee, cat, dog; bee counts from 5 pixels on as the others, and dog is not asked for
AREAS = [
    [9, 0, 0, 9],
    [0, 0, 0, 9],  # never a query
    [9, 9, 0, 0],
    [0, 4, 9, 0],  # too little of bee
    [9, 9, 9, 9],
    [4, 4, 4, 9],  # too little of all
    [0, 9, 0, 0],
    [0, 0, 9, 0],
]
NAMES = ("ant", "bee", "cat", "dog")
ELIGIBLE = {1: {0, 2, 4}, 2: {2, 4, 6}, 3: {3, 4, 7}}
WALK = [0, 2, 3, 4, 6, 7]
"""By hand from AREAS."""


def index_of(areas):
    areas = np.array(areas, np.int32)
    flags = np.full(areas.shape, LISTED | SHRINKS, np.uint8)
    ids, sizes = [f"i{p}" for p in range(len(areas))], np.full((len(areas), 2), 9, np.int32)
    return ClassIndex(ids, areas, flags, sizes)


def walk(index, classes=(3, 1, 2), *, ways=1, shots=1, queries=1, seed=0, min_area=5):
    numbers = {"ways": ways, "shots": shots, "queries": queries, "seed": seed, "min_area": min_area}
    return make_sampler("image_walk", index, NAMES, classes, **numbers)


@pytest.mark.parametrize("shots", [1, 2])
def test_images_come_in_the_lists_order_and_again_from_its_head(shots):
    sampler = walk(index_of(AREAS), shots=shots)
    assert type(sampler) is ImageSampler
    for i in range(40):
        spec = sampler(i)
        assert (spec.index, spec.query) == (i, (WALK[i % 6],))
        (class_id,), (way,) = spec.class_ids, spec.support
        assert spec.shown == spec.class_ids
        assert spec.query[0] in ELIGIBLE[class_id]
        assert len({*way, *spec.query}) == shots + 1
        assert set(way) < ELIGIBLE[class_id]


def test_the_class_and_the_supports_of_an_image_are_uniform():
    specs = [*map(walk(index_of(AREAS), seed=5), range(6 * 600))]
    seen = Counter((spec.query[0], spec.class_ids[0], spec.support[0][0]) for spec in specs)
    expected = {}
    for query in WALK:  # every choice of the class, then of the support, and its probability
        classes = [c for c in ELIGIBLE if query in ELIGIBLE[c]]
        for c in classes:
            for support in ELIGIBLE[c] - {query}:
                expected[query, c, support] = 600 / len(classes) / 2
    assert seen.keys() == expected.keys()
    assert all(abs(seen[key] - mean) < 5 * mean**0.5 for key, mean in expected.items())


def test_specs_depend_on_seed_and_number_alone(tmp_path):
    index, classes = build_index(ToySource(tmp_path)), (1, 3, 5)

    def make(seed):
        return make_sampler(
            "image_walk", index, ToySource.class_names, classes, ways=1, shots=2, queries=1, seed=seed
        )

    sampler = make(3)
    forwards = [sampler(i) for i in range(90)]
    elsewhere = pickle.loads(pickle.dumps(sampler))
    assert [elsewhere(i) for i in reversed(range(90))] == forwards[::-1]
    assert [*map(make(3), range(90))] == forwards
    other = [*map(make(4), range(90))]
    assert [spec.query for spec in other] == [spec.query for spec in forwards]
    assert sum(a.support == b.support for a, b in zip(other, forwards, strict=True)) < 20
    walked = len({spec.query for spec in forwards})
    assert forwards[0].query == forwards[walked].query
    assert any(forwards[i].class_ids != forwards[i + walked].class_ids for i in range(90 - walked))


def test_only_listed_images_are_walked():
    index = index_of(AREAS)
    index.flags[4, :2] = 0
    specs = [*map(walk(index), range(60))]
    assert {spec.class_ids for spec in specs if spec.query == (4,)} == {(3,)}
    assert {position for spec in specs if spec.class_ids == (1,) for position in spec.support[0]} == {0, 2}


@pytest.mark.parametrize("numbers", [{"ways": 2}, {"queries": 2}])
def test_it_is_one_way_with_one_query(numbers):
    with pytest.raises(InputError, match=r"image_walk is one-way .* ways=1 and queries=1"):
        walk(index_of(AREAS), **numbers)


def test_too_few_images_are_told():
    with pytest.raises(InputError, match=r"has 3 eligible images and an episode needs 4"):
        walk(index_of(AREAS), shots=3)


# ---- the presets ----

VOC = {0: (80, 57, 86, 58, 65), 1: (69, 96, 115, 102, 69), 2: (74, 125, 76, 72, 378), 3: (58, 49, 90, 82, 67)}
"""The known counts of pairs of the list val, for each fold's classes."""

COCO = (6000, 1500, 900, 700, 500, 400, 350, 300, 250, 220, 180, 150, 120, 100, 80, 70, 60, 50, 40, 30)
"""As uneven as in COCO: the first of 20 classes has half of the pairs."""


@functools.cache
def uneven(counts):
    """The index of a list in which each class is in so many images, drawn at random."""
    total, rng = sum(counts), np.random.default_rng(0)
    areas = np.zeros((total * 2 // 3, len(counts)), np.int32)
    for column, count in enumerate(counts):
        areas[rng.choice(len(areas), count, replace=False), column] = 3000
    return index_of(areas)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize(
    ("data", "counts"),
    [*(("pascal5i", counts) for counts in VOC.values()), ("coco20i", COCO), ("mine", COCO)],
    ids=["voc0", "voc1", "voc2", "voc3", "coco", "mine"],
)
def test_the_episodes_of_a_preset_are_of_all_classes_of_a_fold(name, data, counts):
    config = default()
    config.data.name = data
    part = follow(config, name).eval
    classes = range(1, len(counts) + 1)
    sampler = make_sampler(
        part.policy, uneven(counts), [f"c{c}" for c in classes], classes,
        ways=part.ways, shots=part.shots, queries=part.queries, seed=part.seed, min_area=2048,
    )  # fmt: skip
    assert part.episodes >= 1000
    found = Counter(sampler(i).class_ids[0] for i in range(1000))
    assert set(found) == set(classes)
    assert max(found.values()) <= 700
