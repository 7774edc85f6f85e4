"""IPBT's decisions, and when it restarts, against what its paper says.

The paper is arXiv 2511.09190. Where it is silent, the tests say what is ours.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import ramet
from benchmarks.strategies import PACES, run_quadratic
from ramet import IPBT, Choice, LogUniform, Perturb, Population, Space, Uniform
from ramet.errors import StrategyError, StrategyWarning
from ramet.events import Annotated, Copied, Explored, TurnEnded
from ramet.population import Checkpoint
from ramet.strategies import Action, Annotate, Change, Copy, Rest
from ramet.strategies.beginnings import Founder, propose_beginnings
from ramet.strategies.ipbt_round import Iteration, Note
from ramet.strategies.stalling import (
    can_restart,
    has_stalled,
    most_restarts,
    next_turn,
    smooth_robustly,
    standardize,
)
from tests import values
from tests.engine.loops import SPACE as LOOP_SPACE
from tests.engine.loops import Descent

SPACE = Space(lr=LogUniform(2.0**-90, 2.0**90))
TURN_STEPS, ROUNDS, SIZE = values.TURN_STEPS, 100, 8


def ipbt(**settings: Any) -> IPBT:
    return IPBT(**{"turn_steps": TURN_STEPS, "explore": Perturb((2.0,)), **settings})


def scene(scores: Sequence[float | None], iteration: Iteration | None, round_: int) -> Population:
    """Return what a round left of the active members with these scores, and of the others.

    Member 3 has the rate 2 to the power of 3, and so on.
    """
    active = range(len(scores)) if iteration is None else iteration.active
    found = dict(zip(active, scores, strict=True))
    members = []
    for id_ in range(2 * SIZE + 4 * SIZE):
        score = found.get(id_)
        hparams: Any = {"lr": 2.0**id_}
        kept = Checkpoint(member=id_, turn=round_, step=5, digest="d")
        one = values.member(id_, *([] if score is None else [score]), hparams=hparams)
        members.append(replace(one, turn=round_ + 1, checkpoint=kept))
    population = values.population(members, space=SPACE, steps=ROUNDS * TURN_STEPS)
    data = None if iteration is None else msgspec.to_builtins(iteration)
    return replace(population, round=round_, data=data)


def iteration(**fields: Any) -> Iteration:
    founders = tuple(Founder(hparams={"lr": 1.0}, iteration=0) for _ in range(16))
    usual: dict[str, Any] = {
        "number": 0,
        "interval": 1,
        "due": 10,
        "active": tuple(range(SIZE)),
        "founders": founders,
        "trying": False,
    }
    return Iteration(**{**usual, **fields})


STALLED = (1.0, 2.0, 3.0, 3.0, 3.0, 3.0)


def decided(population: Population, strategy: IPBT | None = None, seed: int = 0) -> list[Action]:
    return values.decided(strategy or ipbt(), population, seed=seed)


def note(actions: Sequence[Action]) -> Iteration:
    """Return what is kept about the population after a decision."""
    [data] = [a.data for a in actions if isinstance(a, Annotate) and a.member is None]
    return msgspec.convert(data, Iteration)


def resting(actions: Sequence[Action]) -> set[int]:
    return {action.member for action in actions if isinstance(action, Rest)}


# When an iteration has stalled


def slow_oracle(bests: Sequence[float]) -> bool:
    """Say the same as the paper, in its words, with numpy."""
    y = np.array(bests)
    z = (y - y.mean()) / y.std() if y.std() else np.zeros(len(y))
    smoothed = np.array([np.median(z[max(0, at - 2) : at + 1]) for at in range(len(z))])
    failed = [bool(later <= earlier) for earlier, later in pairwise(smoothed)]
    if len(failed) >= 3 and all(failed[-3:]):
        return True
    return len(y) >= 15 and bool(smoothed[-1] - smoothed[-15] < 1.0)


@given(
    st.lists(st.integers(-20, 60), min_size=1, max_size=40).map(
        lambda rises: [float(each) for each in accumulate(rises)]
    )
)
def test_an_iteration_has_stalled_where_the_papers_words_say_so(bests: list[float]) -> None:
    assert has_stalled(bests) == slow_oracle(bests)


def test_three_failures_in_a_row_are_a_stall_and_two_are_not() -> None:
    # The median of three comes one score later.
    assert not has_stalled([1.0, 2.0, 3.0, 3.0, 3.0, 3.0])
    assert has_stalled([1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0])


def test_one_lucky_score_is_no_progress_and_one_bad_score_no_failure() -> None:
    assert has_stalled([1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 90.0])
    assert not has_stalled([1.0, 2.0, 3.0, 4.0, -90.0, 6.0, 7.0, 8.0])


def test_slow_progress_is_a_stall_after_fifteen_scores() -> None:
    fast = [float(place) for place in range(14)]
    slow = [13 + place / 50 for place in range(1, 16)]

    assert not has_stalled([*fast, *slow[:4]])
    assert has_stalled([*fast, *slow])


@given(st.lists(values.finite, min_size=1, max_size=20))
def test_any_finite_scores_are_judged(bests: list[float]) -> None:
    assert has_stalled(bests) in {True, False}
    assert all(math.isfinite(score) for score in standardize(bests))
    assert len(smooth_robustly(bests)) == len(bests)


# How long turns are


@given(left=st.integers(1, 300), interval=st.integers(1, 64))
def test_the_last_two_turns_share_what_is_left(left: int, interval: int) -> None:
    turns = []
    while left:
        turns.append(next_turn(left, interval))
        left -= turns[-1]

    assert all(turn == interval for turn in turns[:-2])
    assert left == 0
    if len(turns) > 1:
        assert 0 <= turns[-2] - turns[-1] <= 1
        assert interval <= turns[-1] <= 1.5 * interval


@given(rounds=st.integers(1, 3000))
def test_there_are_fresh_members_for_every_restart_that_scores_can_bring(rounds: int) -> None:
    left, interval, restarts = rounds, 1, 0
    while True:
        turns = 0
        while not has_stalled([1.0] * turns):
            turns += 1
        left -= turns * interval
        if not can_restart(left, interval):
            break
        interval, restarts = 2 * interval, restarts + 1

    assert most_restarts(rounds) == restarts


# Decisions


def test_twice_the_population_begins_and_the_others_wait_with_first_weights() -> None:
    births = ipbt().births(SPACE, ROUNDS * TURN_STEPS, np.random.default_rng(0))

    assert [birth.rests for birth in births] == [False] * 16 + [True] * 32
    assert all(birth.ranked for birth in births)


def test_after_its_first_turn_the_better_half_goes_on() -> None:
    scores = [float(id_ % 5) for id_ in range(16)]
    actions = decided(scene(scores, None, 0))

    ranked = sorted(range(16), key=lambda id_: (-scores[id_], id_))
    assert note(actions).active == tuple(sorted(ranked[:8]))
    assert resting(actions) == set(range(48)) - set(ranked[:8])
    assert not [action for action in actions if isinstance(action, Copy | Change)]


def test_then_the_worst_quarter_copies_the_best_quarter_and_explores() -> None:
    population = scene([8, 7, 6, 5, 4, 3, 2, 1], iteration(), 9)
    found = set()
    for seed in range(20):
        actions = decided(population, seed=seed)
        copies = {a.member: a.source for a in actions if isinstance(a, Copy)}
        rates = {a.member: a.hparams["lr"] for a in actions if isinstance(a, Change)}
        assert copies.keys() == {6, 7}
        assert rates == {loser: 2.0 ** (donor + 1) for loser, donor in copies.items()}
        found |= set(copies.values())

    assert found == {0, 1}


def test_between_two_decisions_members_only_train_on() -> None:
    waiting = iteration(interval=4, due=12)

    actions = decided(scene([8, 7, 6, 5, 4, 3, 2, 1], waiting, 9))

    assert {type(action) for action in actions} == {Rest}
    assert resting(actions) == set(range(8, 48))


def test_a_failed_member_does_not_wait() -> None:
    waiting = iteration(interval=4, due=12)

    actions = decided(scene([8, 7, 6, math.nan, 4, 3, 2, 1], waiting, 9))

    [copy] = [action for action in actions if isinstance(action, Copy)]
    assert copy.member == 3
    assert copy.source in {0, 1}


def test_when_it_stalls_turns_double_and_as_many_fresh_members_join() -> None:
    population = scene([3, 2, 2, 2, 2, 2, 2, 1], iteration(bests=STALLED), 9)

    actions = decided(population)

    now = note(actions)
    assert (now.number, now.interval, now.due, now.trying) == (1, 2, 12, True)
    assert now.active == (*range(8), *range(16, 24))
    assert {a.member for a in actions if isinstance(a, Change)} == set(now.active)
    assert not [action for action in actions if isinstance(action, Copy)]
    assert resting(actions) == set(range(48)) - set(now.active)


def test_it_does_not_restart_unless_two_of_the_longer_turns_fit() -> None:
    late = iteration(bests=STALLED, interval=4, due=84)

    assert note(decided(scene([3.0] * 8, late, 83))).number == 1
    late = replace(late, due=85)
    assert note(decided(scene([3.0] * 8, late, 84))).number == 0


def test_only_members_that_go_on_are_renewed_and_only_if_asked() -> None:
    population = scene([3.0] * 8, iteration(bests=STALLED), 9)
    for renew, expected in ((True, [10] * 8 + [None] * 8), (False, [None] * 16)):
        strategy = ipbt(renew=renew)
        actions = decided(population, strategy)
        data = {a.member: a.data for a in actions if isinstance(a, Annotate)}
        kept = [msgspec.convert(data[id_], Note) for id_ in note(actions).active]
        assert [each.renews for each in kept] == expected
        now = replace(population[0], data=data[0])
        assert strategy.renews(now) is renew
        assert not strategy.renews(replace(now, turn=11))


def test_a_founder_has_the_best_score_of_all_that_descend_from_it() -> None:
    population = scene([8, 7, 6, 5, 4, 3, 2, 1], iteration(), 9)
    actions = decided(population)
    copies = {a.member: a.source for a in actions if isinstance(a, Copy)}
    data = {a.member: a.data for a in actions if isinstance(a, Annotate)}
    later = scene([0, 0, 0, 0, 0, 0, 50, 0], replace(note(actions), due=11), 10)
    members = tuple(replace(member, data=data.get(member.id)) for member in later)

    founders = note(decided(replace(later, members=members))).founders

    bests = [founder.best for founder in founders[:8]]
    assert bests[copies[6]] == 50
    assert [best for best in bests if best != 50] == [
        best for place, best in enumerate([8, 7, 6, 5, 4, 3, 2, 1]) if place != copies[6]
    ]


def test_where_all_have_failed_fresh_members_take_over() -> None:
    """Ours: PBT could copy nobody."""
    actions = decided(scene([math.nan] * 8, iteration(), 9))

    assert note(actions).active == tuple(range(16, 24))


def test_a_member_without_a_score_is_left_alone() -> None:
    actions = decided(scene([8, 7, 6, None, 4, 3, 2, 1], iteration(), 9))

    assert {a.member for a in actions if isinstance(a, Copy)} == {6, 7}


SCORES = st.lists(values.scores, min_size=8, max_size=8)


@given(scores=SCORES, seed=st.integers(0, 99), bests=st.sampled_from([(), STALLED]))
def test_decisions_are_closed_and_the_same_for_the_same_population(
    scores: list[float | None], seed: int, bests: tuple[float, ...]
) -> None:
    population = scene(scores, iteration(bests=bests), 9)
    strategy = ipbt(explore=Perturb((1e-30, 1e30)))

    actions = decided(population, strategy, seed)

    assert actions == decided(population, strategy, seed)
    for action in actions:
        if isinstance(action, Change):
            assert SPACE.problem(action.hparams) is None
        if isinstance(action, Copy):
            source = population[action.source].score
            assert source is not None
            assert math.isfinite(source)
            assert action.source != action.member
    assert len(resting(actions)) < len(population)


# Where an iteration begins

MIXED = Space(lr=LogUniform(1e-4, 1.0), kind=Choice(["a", "b"]))


def proposed(founders: Sequence[Founder], count: int, space: Space = MIXED) -> list[Any]:
    values_ = propose_beginnings(space, founders, np.random.default_rng(0))
    return [next(values_) for _ in range(count)]


def test_a_model_proposes_values_near_those_that_came_far() -> None:
    founders = [
        Founder(hparams={"lr": 10**-power, "kind": "a"}, iteration=0, best=-((power - 1.0) ** 2))
        for power in np.linspace(0, 4, 16).tolist()
    ]

    rates = [-math.log10(each["lr"]) for each in proposed(founders, 8)]

    assert np.median(rates) == pytest.approx(1.0, abs=0.5)
    assert len(set(rates)) == 8


def test_later_iterations_count_more() -> None:
    """The best rate was 0.1 first and is 0.001 now: shorter turns were greedier."""
    founders = [
        Founder(
            hparams={"lr": 10**-power, "kind": "a"},
            iteration=number,
            best=-((power - best) ** 2),
        )
        for number, best in enumerate((1.0, 1.0, 3.0, 3.0))
        for power in np.linspace(0, 4, 16).tolist()
    ]

    assert np.median([-math.log10(each["lr"]) for each in proposed(founders, 8)]) > 2


@pytest.mark.parametrize(("space", "known"), [(MIXED, 3), (Space(kind=Choice(["a", "b"])), 20)])
def test_values_are_drawn_where_there_is_nothing_to_model(space: Space, known: int) -> None:
    hparams = space.sample(np.random.default_rng(0))
    founders = [Founder(hparams=hparams, iteration=0, best=1.0)] * known
    rng = np.random.default_rng(0)

    assert proposed(founders, 5, space) == [space.sample(rng) for _ in range(5)]


@given(scores=st.lists(values.finite | st.none(), min_size=4, max_size=12))
def test_proposals_are_in_the_space_whatever_the_scores(scores: list[float | None]) -> None:
    space = Space(lr=LogUniform(1e-4, 1.0), p=Uniform(0.0, 1.0))
    rng = np.random.default_rng(0)
    founders = [Founder(hparams=space.sample(rng), iteration=0, best=score) for score in scores]

    assert all(space.problem(each) is None for each in proposed(founders, 3, space))


# Whole runs


def test_a_run_restarts_and_trains_no_more_members_than_it_says() -> None:
    strategy = IPBT(population=4)
    result = ramet.run(Descent(), LOOP_SPACE, strategy, steps=100, mode="max", seed=0)

    notes = [
        event.data
        for event in result.events
        if isinstance(event, Annotated) and event.member is None
    ]
    assert notes[-1]["number"] >= 2
    assert notes[-1]["due"] == 100
    assert all(len(each["active"]) == (8 if each["trying"] else 4) for each in notes[:-1])
    turns = sum(isinstance(event, TurnEnded) for event in result.events)
    first_turns = 1 + sum(2**number for number in range(1, notes[-1]["number"] + 1))
    assert turns == 4 * (100 + first_turns)
    assert any(isinstance(event, Copied) for event in result.events)
    assert any(isinstance(event, Explored) for event in result.events)


def test_a_budget_cannot_be_extended() -> None:
    with pytest.raises(StrategyError, match="IPBT must keep its budget"):
        ipbt().check_budget(scene([1.0] * 16, None, 0))


def test_a_budget_of_one_turn_warns() -> None:
    with pytest.warns(StrategyWarning, match="no member will ever copy another or restart"):
        ipbt().births(SPACE, TURN_STEPS, np.random.default_rng(0))


@pytest.mark.parametrize("population", [1, 3])
def test_fewer_than_four_members_are_refused(population: int) -> None:
    with pytest.raises(StrategyError, match="population must be at least 4"):
        IPBT(population=population)


def test_notes_that_it_did_not_write_are_refused() -> None:
    member = replace(values.member(3, 1.0), data={"fitness": 2.0})

    with pytest.raises(StrategyError, match=r"member 3 has {'fitness': 2\.0}"):
        ipbt().renews(member)


def test_renew_is_true_or_false() -> None:
    with pytest.raises(StrategyError, match="renew must be True or False, but got 'half'"):
        IPBT(renew="half")


@pytest.mark.slow
def test_turns_that_are_too_short_harm_it_less_than_pbt() -> None:
    """The paper's claim (abstract): it does as well without choosing the length of turns.

    On the noisy quadratic, turns of 1 % of the budget are too short: they make PBT greedy.
    """
    pace = PACES["quadratic"]
    turn_steps, explore = -(-pace.steps // 100), Perturb((0.5, 0.8, 1.25, 2.0))
    pbt = ramet.PBT(
        population=24,
        turn_steps=turn_steps,
        exploit=ramet.Truncation(0.25),
        explore=explore,
        synchronous=True,
    )
    strategies = (pbt, IPBT(population=20, explore=explore))
    by_pbt, by_ipbt = (
        [run_quadratic(strategy, pace, seed) for seed in range(900, 905)] for strategy in strategies
    )

    assert np.median(by_ipbt) < np.median(by_pbt)
