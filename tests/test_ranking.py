"""A ranking that is derived change by change is that of the members as they are."""

import math
import pickle
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ramet.domains import Uniform
from ramet.points import Curve
from ramet.population import Member, Population
from ramet.ranking import Members, Ranking, rank
from ramet.replica import Replica
from ramet.space import Space

SCORES = st.sampled_from([0.0, -0.0, 0.5, 1.0, math.nan, math.inf, None])
CHANGES = st.fixed_dictionaries(
    {
        "curve": SCORES.map(lambda score: Curve() if score is None else Curve((0,), (score,))),
        "untried": st.booleans(),
        "lost": st.booleans(),
        "turn": st.integers(0, 3),
    }
)
ASKED = st.sampled_from(["nothing", "members", "ranking"])
# What happens to one member; what is asked for then, and whether the change is undone.
STEPS = st.lists(st.tuples(st.integers(0, 19), CHANGES, ASKED, st.booleans()), max_size=30)


def replica_of(members: int) -> Replica:
    return Replica(
        Population(
            space=Space(lr=Uniform(0.0, 1.0)),
            steps=10,
            members=tuple(Member(id=id_, hparams={}) for id_ in range(members)),
        )
    )


def facts(ranking: Ranking) -> list[object]:
    """Return all that a ranking says."""
    return [
        ranking.ids(),
        [ranking[place] for place in range(len(ranking))],
        ranking.ids(3),
        ranking.failed,
        [ranking.count_whole(fresh=fresh) for fresh in (False, True)],
        [ranking.count_untried(since=turn) for turn in range(-1, 5)],
    ]


def facts_anew(members: Sequence[Member]) -> list[object]:
    """Return the same as it follows from the members one by one."""
    finite = [m for m in members if m.score is not None and math.isfinite(m.score)]
    ranked = sorted(finite, key=lambda m: (m.score, -m.id))
    failed = {m.id for m in members if m.score is not None and m not in finite}
    whole = [m for m in members if m.id not in failed]
    ids = [m.id for m in ranked]
    return [
        ids,
        ids,
        ids[:3],
        failed,
        [sum(m.turn > 0 for m in whole), len(whole)],
        [sum(m.untried and m.turn >= turn for m in members) for turn in range(-1, 5)],
    ]


@given(size=st.sampled_from([20, 200]), steps=STEPS)
def test_whatever_changes_and_is_undone_the_ranking_is_that_of_the_members(
    size: int, steps: list[tuple[int, dict[str, object], str, bool]]
) -> None:
    replica = replica_of(size)
    for id_, changes, asked, undone in steps:
        with replica.attempt() as attempt:
            replica.change(id_, **changes)
            members = () if asked == "nothing" else replica.population.members
            if asked == "ranking":
                assert facts(rank(members)) == facts_anew(members)
            if not undone:
                attempt.keep()
    members = replica.population.members
    assert facts(rank(members)) == facts_anew(members)


def test_a_population_keeps_its_ranking_while_the_run_goes_on() -> None:
    replica = replica_of(20)
    replica.change(3, curve=Curve((0,), (0.5,)))
    before = replica.population
    assert rank(before.members).ids() == [3]
    replica.change(4, curve=Curve((0,), (0.25,)))
    assert rank(replica.population.members).ids() == [4, 3]
    assert rank(before.members).ids() == [3]


def test_members_are_a_tuple_and_are_copied_as_one() -> None:
    members = replica_of(5).population.members
    assert members == tuple(members)
    assert rank(members).ids() == []
    assert type(pickle.loads(pickle.dumps(members))) is tuple  # noqa: S301 - written here


def test_few_changes_are_applied_to_the_ranking_before() -> None:
    sound = Members(Member(id=id_, hparams={}) for id_ in range(20))
    assert len(sound.ranking) == 0
    scored = Member(id=7, hparams={}, curve=Curve((0,), (0.5,)))
    later = Members((*sound[:7], scored, *sound[8:]), sound, {7})
    # Only what is said to have changed is looked at.
    assert later.ranking.ids() == [7]
    assert Members(later, sound, ()).ranking.ids() == []
