"""Which queries are segmented together, and how many of their episodes at a time."""

import pytest

from fsjax.data.sampling import EpisodeSpec
from fsjax.evaluation.scoring import MOST_EPISODES, Group, Place, Scoring, episodes_a_call, group_queries
from tests.evaluation.episodes import prnet


def episode(index, *query):
    return EpisodeSpec(index, (1,), ((9,),), query, (1,))


def test_each_query_is_a_group_of_all_its_episodes():
    specs = [episode(0, 5, 3), episode(1, 3, 4)]
    scorings = [Scoring(prnet(), specs, ("fusion0",)), Scoring(None, specs[:1], ("any_object",))]
    assert group_queries(scorings) == [
        Group((3,), [Place(0, 0, (1,)), Place(0, 1, (0,)), Place(1, 0, (1,))]),
        Group((4,), [Place(0, 1, (1,))]),
        Group((5,), [Place(0, 0, (0,)), Place(1, 0, (0,))]),
    ]


def test_the_queries_of_an_episode_stay_together_where_they_refine_one_another_or_are_its_supports():
    specs = [episode(0, 5, 3), episode(1, 3, 5), episode(2, 5, 3)]
    for together in (
        Scoring(prnet(joint=True), specs, ("fusion0",)),
        Scoring(prnet(), specs, ("fusion0",), oracle=True),
    ):
        assert group_queries([together]) == [
            Group((3, 5), [Place(0, 1, (0, 1))]),
            Group((5, 3), [Place(0, 0, (0, 1)), Place(0, 2, (0, 1))]),
        ]


def test_an_episode_of_one_query_shares_its_group_with_any_scoring():
    specs = [episode(0, 5)]
    scorings = [
        Scoring(prnet(joint=True), specs, ("fusion0",)),
        Scoring(prnet(), specs, ("fusion0",), oracle=True),
        Scoring(None, specs, ("any_object",)),
    ]
    assert group_queries(scorings) == [Group((5,), [Place(i, 0, (0,)) for i in range(3)])]


def groups_of(*counts, scoring=0):
    return [Group((p,), [Place(scoring, i, (0,)) for i in range(n)]) for p, n in enumerate(counts)]


@pytest.mark.parametrize(
    ("counts", "episodes"),
    [
        ((8, 16, 80), MOST_EPISODES),
        ((50, 62), MOST_EPISODES),
        ((11, 12, 12), 4),
        ((9, 10, 11), 2),
        ((4, 4), 4),
        ((6, 6), 2),
        ((1, 1, 3), 1),
        ((1,), 1),
    ],
)
def test_a_call_has_few_places_where_queries_have_few_episodes(counts, episodes):
    assert episodes_a_call(groups_of(*counts), 0) == episodes


def test_only_the_episodes_of_the_scoring_count():
    groups = groups_of(1, 1, scoring=1) + groups_of(8, 8)
    assert (episodes_a_call(groups, 0), episodes_a_call(groups, 1)) == (8, 1)
