"""Every support photo is embedded once and described under each mask that some episode gives it."""

import tempfile
import threading
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.data.images import load_photo
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.store import Store
from fsjax.errors import InputError
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.photos import Photos
from fsjax.evaluation.scoring import Scoring
from fsjax.evaluation.supports import Supports
from fsjax.evaluation.team import Team
from fsjax.evaluation.trees import Trees, tree_bytes
from tests.evaluation.episodes import (
    BACKBONE,
    SIDE,
    SOURCE,
    Toy,
    assert_same,
    dpnet,
    drawn,
    photos,
    prnet,
)
from tests.evaluation.spied import (
    in_full_batches,
    once,
    query_photos,
    seen_photos,
    spied,
    support_photos,
)

TWO_WAYS = drawn(24, ways=2, shots=2, queries=2)
SUPPORTS, QUERIES = support_photos(TWO_WAYS), query_photos(TWO_WAYS)
OUTPUTS = ("fusion0", "fusion2")


class Noted(Trees):
    """Trees that remember how often each was put."""

    def __init__(self, store):
        super().__init__(store)
        self.puts = Counter()

    def put(self, key, tree):
        self.puts[key] += 1
        super().put(key, tree)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def described(specs, segmenter, read=None):
    """Descriptions of the episodes' supports, and the trees they are kept in."""
    read = read or photos()
    trees = Noted(Store(None, read.memory))
    supports = Supports(read, [segmenter], specs, trees)
    supports.describe([specs], [()], Team.here())
    return supports, trees


def way_mask(position, way_class, class_ids):
    """A photo's mask for one way at the input's size, pixel by pixel; an object that is lost stays lost."""
    labels = SOURCE.labels(position)
    height, width = labels.shape
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    for row in range(SIDE):
        for column in range(SIDE):
            label = labels[int((row + 0.5) * height / SIDE), int((column + 0.5) * width / SIDE)]
            if label == way_class:
                mask[row, column] = 1
            elif label != 255 and label not in class_ids:
                mask[row, column] = 0
    return mask


def by_hand(segmenter, position, mask):
    """What one photo shows under a mask, by the method alone."""
    method, variables = segmenter.method, segmenter.variables
    image, size = map(jnp.asarray, load_photo(SOURCE, position, segmenter.inputs))
    features = jax.tree.map(lambda x: x[0], method.embed(variables, image[None], size[None]))
    return method.describe(variables, features, jnp.asarray(mask), size)


def assert_close(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("memory", [0, 10**9])
def test_every_photo_goes_through_the_backbone_once_a_role_or_once_where_memory_allows(memory):
    backbone, seen = spied(BACKBONE)
    read = photos(memory)
    counted = evaluate(read, [Scoring(prnet(backbone=backbone), TWO_WAYS, OUTPUTS)])
    new = QUERIES - SUPPORTS if memory else QUERIES
    assert len(QUERIES & SUPPORTS) > read.slots
    assert counted.extracted == once(SUPPORTS, "support") + once(new, "query")
    filled = seen_photos(seen, read)
    filling = filled - (Counter(SUPPORTS) + Counter(new))
    assert set(filled) == SUPPORTS | QUERIES
    assert len(filling) <= 2  # only the last photo of either role fills its batch up
    assert len(seen) == in_full_batches(len(SUPPORTS), read.slots) + in_full_batches(len(new), read.slots)
    assert filling.total() == len(seen) - len(SUPPORTS) - len(new)


def test_a_support_of_two_ways_is_described_for_each():
    (both, *_), (other, *_) = SOURCE.showing(1, 3), SOURCE.showing(1)[::-1]
    spec = EpisodeSpec(0, (3, 1), ((both,), (other,)), (0,), (3, 1))
    swapped = EpisodeSpec(1, (1, 3), ((both,), (both,)), (0,), (1, 3))
    supports, _ = described([spec, swapped], prnet())
    for episode in (spec, swapped):
        found = supports.of(prnet(), episode)
        for n, class_id in enumerate(episode.class_ids):
            (position,) = episode.support[n]
            mask = way_mask(position, class_id, episode.class_ids)
            assert_close(jax.tree.map(lambda x, n=n: x[n, 0], found), by_hand(prnet(), position, mask))


def test_an_object_that_the_resize_skips_is_described():
    spec = EpisodeSpec(0, (1,), ((SOURCE.tiny,),), (0,), (1,))
    mask = way_mask(SOURCE.tiny, 1, (1,))
    assert not mask.any()
    mask[30 * SIDE // 90, 41 * SIDE // 80] = 1  # its centre stays
    supports, _ = described([spec], prnet())
    found = jax.tree.map(lambda x: x[0, 0], supports.of(prnet(), spec))
    assert_close(found, by_hand(prnet(), SOURCE.tiny, mask))


def test_a_photo_is_described_once_under_each_different_mask():
    specs = drawn(40, ways=2, shots=2)
    different = {
        (position, way_mask(position, class_id, spec.shown).tobytes())
        for spec in specs
        for class_id, way in zip(spec.shown, spec.support, strict=True)
        for position in way
    }
    asked = {(p, n, spec.shown) for spec in specs for n, way in enumerate(spec.support) for p in way}
    assert len(support_photos(specs)) < len(different) < len(asked)
    _, trees = described(specs, dpnet(), photos(size=SIDE + 1))
    assert set(trees.puts.values()) == {1}
    assert len(trees.puts) == len(support_photos(specs)) + len(different)  # the cells once a photo


def test_features_and_descriptions_stay_within_the_memory(monkeypatch, temporary):
    held, refused, memory = {}, [], 14_000
    keep = Store.keep

    def noted(store, key, arrays):
        kept = keep(store, key, arrays)
        if kept:
            held[key] = tree_bytes(arrays)
        else:
            refused.append(key)
        assert sum(held.values()) <= memory
        return kept

    monkeypatch.setattr(Store, "keep", noted)
    counted = evaluate(photos(memory), [Scoring(prnet(), TWO_WAYS, OUTPUTS)])
    in_both = QUERIES & SUPPORTS
    kept = in_both - {position for position, role, _ in counted.extracted if role == "query"}
    assert 0 < len(kept) < len(in_both)
    assert 0.9 * memory < sum(held.values())
    assert not refused  # features leave room for the descriptions that are still to come


def test_without_memory_everything_goes_through_the_disk(monkeypatch, temporary):
    scorings = [
        Scoring(prnet(), drawn(12), OUTPUTS),
        Scoring(prnet(joint=True), TWO_WAYS, OUTPUTS),  # its queries wait for one another
        Scoring(prnet(), TWO_WAYS, ("fusion0",), oracle=True),
        Scoring(prnet(), TWO_WAYS, ("fusion1",)),
    ]
    files = []
    cleanup = tempfile.TemporaryDirectory.cleanup

    def noted(folder):
        files.extend(p.name for p in temporary.rglob("*.safetensors"))
        cleanup(folder)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", noted)
    kept = evaluate(photos(), scorings)
    assert not files
    spilled = evaluate(photos(0), scorings)
    assert len(files) > len(SUPPORTS) + len(QUERIES)
    assert not list(temporary.iterdir())
    for counts, others, scoring in zip(spilled.counts, kept.counts, scorings, strict=True):
        assert_same(counts, others, scoring.outputs)


class Disturbed(Toy):
    """A source that does something when the first query is read."""

    def __init__(self, disturb):
        super().__init__()
        self._disturb = disturb

    def mask(self, position, class_ids, way):
        if way is None:
            self._disturb()
        return super().mask(position, class_ids, way)


def evaluate_disturbed(disturb):
    settings = photos().settings
    evaluate(Photos(Disturbed(disturb), settings, 1, memory=0), [Scoring(prnet(), TWO_WAYS, OUTPUTS)])


def test_damage_on_the_disk_ends_in_a_sentence_and_all_reading_ahead(temporary):
    before = set(threading.enumerate())

    def truncate():
        for path in temporary.rglob("*.safetensors"):
            path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(
        InputError, match=r"damaged: evaluate again, with a larger eval\.memory .*\.$"
    ) as caught:
        evaluate_disturbed(truncate)
    assert not list(temporary.iterdir())
    assert set(threading.enumerate()) <= before  # although somebody holds on to the error
    assert caught.traceback


def test_a_failure_leaves_nothing_on_the_disk(temporary):
    def fail():
        assert list(temporary.rglob("*.safetensors"))
        raise InputError("photo 7 is gone")

    with pytest.raises(InputError, match="photo 7 is gone"):
        evaluate_disturbed(fail)
    assert not list(temporary.iterdir())
