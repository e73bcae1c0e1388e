"""Several processes count what one does, to the last pixel, and see each photo once a role among them."""

from collections import Counter
from dataclasses import replace

import pytest

from fsjax.data.sampling import EpisodeSpec, other_support
from fsjax.evaluation import team as teams
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.scoring import Scoring, group_queries
from fsjax.evaluation.team import Team, deal, deal_photos
from fsjax.models.scales import Scales
from tests.evaluation.episodes import SIDE, assert_same, dpnet, drawn, photos, prnet, sampler
from tests.evaluation.spied import Read, once, query_photos, support_photos
from tests.evaluation.together import ALONE, together


def positions(groups):
    return [position for group in groups for position in set(group.positions)]


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_groups_are_dealt_so_that_no_photo_is_in_two_shares(count):
    specs = drawn(20, ways=2, queries=2)
    for joint in (False, True):
        groups = group_queries([Scoring(prnet(joint=joint), specs, ("fusion2",))])
        shares = deal(groups, count)
        assert sorted(group for share in shares for group in share) == sorted(groups)
        photos_of = [set(positions(share)) for share in shares]
        assert sum(map(len, photos_of)) == len(query_photos(specs))
    groups = group_queries([Scoring(prnet(), specs, ("fusion2",))])
    sizes = [len(share) for share in deal(groups, count)]
    assert max(sizes) - min(sizes) <= 2


def test_photos_go_to_who_has_them_already_and_the_others_where_there_are_few():
    assert deal_photos({1, 2, 3, 4, 5, 6}, [{1, 2, 9}, {3}]) == [[1, 2, 5], [3, 4, 6]]
    assert deal_photos(set(), [(), ()]) == [[], []]


def of_one_way():
    draw = {"classes": (1, 2, 3)}
    specs = drawn(20, **draw)
    wrong = [s for spec in specs if (s := other_support(spec, sampler(**draw), False)) is not None]
    own = dpnet()
    return photos(size=SIDE + 1, label="original"), [
        Scoring(own, specs, ("aux", "master")),
        Scoring(own, wrong, ("master",)),
        Scoring(None, specs, ("any_object",)),
        Scoring(own, specs, ("aux",), oracle=True),
    ]


def of_two_ways():
    segmenter = prnet(scales=Scales((0.75, 1.0), "probability"))
    return photos(), [Scoring(segmenter, drawn(12, ways=2, shots=2, queries=2), ("fusion0", "fusion2"))]


def of_joint_queries():
    return photos(), [Scoring(prnet(joint=True), drawn(5, ways=2, queries=2), ("fusion2",))]


@pytest.mark.parametrize(("case", "count"), [(of_one_way, 2), (of_two_ways, 3), (of_joint_queries, 2)])
def test_processes_count_what_one_does_and_see_each_photo_once_a_role(case, count):
    read, scorings = case()
    alone = evaluate(replace(read, memory=0), scorings, team=ALONE)
    source = Read()
    shared = replace(read, source=source, memory=0)
    found = together(count, lambda team: evaluate(shared, scorings, team=team))
    for counted in found:
        for counts, expected, scoring in zip(counted.counts, alone.counts, scorings, strict=True):
            assert_same(counts, expected, scoring.outputs)
        assert counted.contents == alone.contents
        assert counted.extracted == alone.extracted
    specs = [spec for scoring in scorings for spec in scoring.specs]
    described = [spec for s in scorings if s.segmenter and not s.oracle for spec in s.specs]
    assert source.images == Counter(support_photos(described)) + Counter(query_photos(specs))


def test_a_photo_of_both_roles_is_embedded_once_where_memory_allows():
    specs = drawn(20)
    scorings = [Scoring(prnet(), specs, ("fusion2",))]
    supports, queries = support_photos(specs), query_photos(specs)
    (counted, _) = together(2, lambda team: evaluate(photos(), scorings, team=team))
    assert counted.extracted == once(supports, "support") + once(queries - supports, "query")


def test_more_processes_than_photos():
    specs = [EpisodeSpec(i, (1,), ((0,),), (6 * i + 6,), (1,)) for i in range(2)]
    scorings = [Scoring(prnet(), specs, ("fusion2",))]
    alone = evaluate(photos(), scorings, team=ALONE)
    for counted in together(4, lambda team: evaluate(photos(), scorings, team=team)):
        assert_same(counted.counts[0], alone.counts[0], ["fusion2"])


def test_long_messages_go_in_pieces(monkeypatch):
    sent = []

    def gather(array):
        sent.append(array.nbytes)
        return [array, array]

    monkeypatch.setattr(teams, "PIECE", 2**12)
    monkeypatch.setattr(teams.distributed, "gather", gather)
    data = bytes(range(256)) * 37
    assert Team.here().gather(data) == [data, data]
    assert max(sent) == 2**12
    assert Team.here().gather(b"") == [b"", b""]
