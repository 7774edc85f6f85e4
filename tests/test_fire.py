"""FIRE's decisions, step by step as the paper has them.

A scene is what a round left: P1 are members 0 to 3, P2 members 4 to 7, evaluators 8 and up. Curves
have a point a step, and are compared as they are.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from ramet import FIRE, LogUniform, Perturb, Population, Space
from ramet.points import Curve
from ramet.population import Checkpoint, Member
from ramet.strategies import Action, Annotate, Change, Copy, Evaluation, Rating, Rest

TURN_STEPS = 10
SPACE = Space(lr=LogUniform(1e-6, 1e6))
FLAT = [0.0] * 11


def raw(curve: np.ndarray) -> np.ndarray:
    return curve


def fire(**settings: Any) -> FIRE:
    defaults = {"size": 4, "evaluators": 2, "smoother": raw, "explore": Perturb((2.0,))}
    return FIRE(**{"turn_steps": TURN_STEPS, "evaluate_every": 1, **defaults, **settings})


def line(start: float, slope: float, points: int = 11) -> list[float]:
    """A curve that improves steadily."""
    return [start + slope * place for place in range(points)]


def evaluating(
    parent: int, reference: int, curve: Sequence[float]
) -> tuple[Evaluation, list[float]]:
    """An evaluator that has trained since its curve began."""
    return Evaluation(parent=parent, reference=reference, since=1 - len(curve)), list(curve)


Evaluator = tuple[Evaluation, list[float]] | None


def seen(steps: dict[int, int]) -> dict[int, Rating]:
    """Members that were last evaluated, or last lost, at these steps."""
    return {member: Rating(seen=step) for member, step in steps.items()}


class Scene:
    """What a round left, and what is decided on it."""

    def __init__(
        self,
        *groups: Sequence[Sequence[float]],
        evaluators: Sequence[Evaluator] = (),
        now: int = 100,
        ratings: dict[int, Rating] | None = None,
        reborn: dict[int, int] | None = None,
        steps: int = 1_000,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.now, self.ratings, self.reborn = now, ratings or {}, reborn or {}
        self.members: list[Member] = []
        for number, curves in enumerate(groups, start=1):
            for curve in curves:
                self.add(curve, group=number)
        for evaluator in evaluators:
            evaluation, curve = evaluator or (None, [0.0])
            if evaluation is not None:
                evaluation = msgspec.structs.replace(evaluation, since=now + evaluation.since)
            self.add(curve, group=0, data=evaluation)
        self.population = Population(space=SPACE, steps=steps, members=tuple(self.members))
        strategy = fire(
            subpopulations=len(groups),
            size=len(groups[0]),
            evaluators=len(evaluators) or None,
            **settings,
        )
        rng = np.random.default_rng(seed)
        everybody = range(len(self.members))
        self.actions: list[Action] = list(strategy.decide(self.population, everybody, rng))

    def add(self, curve: Sequence[float], *, group: int, data: Any = None) -> None:
        id_ = len(self.members)
        data = self.ratings.get(id_) if group > 1 else data
        last = self.now
        self.members.append(
            Member(
                id=id_,
                hparams={"lr": 10.0**-id_},
                trained=last,
                step=last,
                turn=last // TURN_STEPS,
                group=group,
                ranked=group == 1,
                reborn=self.reborn.get(id_),
                data=msgspec.to_builtins(data),
                curve=Curve(tuple(range(last - len(curve) + 1, last + 1)), tuple(curve)),
                checkpoint=Checkpoint(
                    member=id_, turn=last // TURN_STEPS - 1, step=last, digest="d"
                ),
            )
        )

    def copies(self, kind: str) -> list[tuple[int, int]]:
        """Who copied whose weights."""
        return [
            (action.member, action.source)
            for action in self.actions
            if isinstance(action, Copy) and action.kind == kind
        ]

    def values(self, member: int) -> float | None:
        """What a member's rate was changed to."""
        found = [a for a in self.actions if isinstance(a, Change) and a.member == member]
        return found[-1].hparams["lr"] if found else None

    def notes(self, kind: type) -> dict[int, Any]:
        """What was last noted on each member, of one kind."""
        return {
            action.member: action.data
            for action in self.actions
            if isinstance(action, Annotate) and isinstance(action.data, kind)
        }

    def fitness(self) -> dict[int, float | None]:
        """What parents were first rated, before any of them lost."""
        rated = [a for a in self.actions if isinstance(a, Annotate) and isinstance(a.data, Rating)]
        return {action.member: action.data.fitness for action in reversed(rated)}

    def ended(self) -> dict[int, Evaluation]:
        """The evaluations that ended, by their evaluator, in order."""
        return {
            action.member: action.data
            for action in self.actions
            if isinstance(action, Annotate)
            and isinstance(action.data, Evaluation)
            and action.data.outcome
        }

    def outcomes(self) -> dict[int, str | None]:
        """How evaluations ended."""
        return {evaluator: evaluation.outcome for evaluator, evaluation in self.ended().items()}

    def assigned(self) -> dict[int, tuple[int, int]]:
        """Which parent and reference each evaluator was newly given."""
        return {
            action.member: (action.data.parent, action.data.reference)
            for action in self.actions
            if isinstance(action, Annotate)
            and isinstance(action.data, Evaluation)
            and not action.data.outcome
        }

    def resting(self) -> list[int]:
        return [action.member for action in self.actions if isinstance(action, Rest)]


def level(count: int = 4, at: float = 0.0) -> list[list[float]]:
    """Members that never improve, the first of them the best by a little."""
    return [[at - 0.001 * member] * 11 for member in range(count)]


# A. Assignment


def test_a_no_member_is_assigned_before_the_first_round() -> None:
    births = fire().births(SPACE, 1_000, np.random.default_rng(0))
    assert [birth.group for birth in births] == [1] * 4 + [2] * 4 + [0] * 2
    assert [birth.rests for birth in births] == [False] * 8 + [True] * 2


def test_a_only_p1_counts_for_the_best() -> None:
    births = fire(subpopulations=3).births(SPACE, 1_000, np.random.default_rng(0))
    assert {birth.group for birth in births if birth.ranked} == {1}


def test_a_idle_evaluators_take_the_parents_seen_the_longest_ago() -> None:
    scene = Scene(
        level(), level(), evaluators=[None, None], ratings=seen({4: 30, 5: 20, 6: 40, 7: 10})
    )
    assert scene.assigned() == {8: (7, 0), 9: (5, 0)}


def test_a_ties_are_broken_by_the_runs_randomness() -> None:
    chosen = {
        Scene(level(), level(), evaluators=[None, None], seed=seed).assigned()[8][0]
        for seed in range(40)
    }
    assert chosen == {4, 5, 6, 7}


def test_a_a_parent_that_has_an_evaluator_gets_no_other() -> None:
    busy = evaluating(7, 0, line(-1, 0.01))
    scene = Scene(level(), level(), evaluators=[busy, None], ratings=seen({4: 9, 5: 9, 6: 8, 7: 0}))
    assert scene.outcomes() == {}
    assert scene.assigned() == {9: (6, 0)}


def test_a_the_evaluator_takes_the_parents_weights_and_the_references_hyperparameters() -> None:
    scene = Scene(level(), level(), evaluators=[None, None], ratings=seen({4: 0, 5: 1, 6: 2, 7: 3}))
    assert scene.copies("evaluation") == [(8, 4), (9, 5)]
    [copy] = [a for a in scene.actions if isinstance(a, Copy) and a.member == 8]
    # Its curve restarts with the parent's latest score.
    assert copy == Copy(member=8, source=4, hparams=False, kind="evaluation")
    assert scene.values(8) == scene.population[0].hparams["lr"]
    assert scene.notes(Evaluation)[8] == Evaluation(parent=4, reference=0, since=100)


def test_a_the_reference_is_the_best_of_p1() -> None:
    scene = Scene([line(0, 1), line(0, 2), line(0, 4), line(0, 3)], level(), evaluators=[None] * 2)
    assert {reference for _, reference in scene.assigned().values()} == {2}


def test_a_the_reference_in_p2_is_the_fittest_of_those_rated() -> None:
    # Members 8 to 11 are P3; the evaluators of P2's members 5 and 6 are 12 and 13.
    scene = Scene(
        level(at=50),
        level(),
        level(),
        evaluators=[
            evaluating(5, 0, line(0, 1)),
            evaluating(6, 0, line(0, 2)),
            None,
            None,
        ],
        ratings=seen({4: 99, 7: 99}),
    )
    assert scene.fitness()[6] == 10
    assert {reference for parent, reference in scene.assigned().values() if parent >= 8} == {6}


def test_a_whoever_just_explored_is_no_reference() -> None:
    # Member 0 lost and has the weights, and so the score, of the best: member 3.
    scene = Scene([line(0, slope) for slope in (1, 2, 3, 4)], level(), evaluators=[None, None])
    assert scene.copies("exploit") == [(0, 3)]
    assert {reference for _, reference in scene.assigned().values()} == {3}


def test_a_without_a_reference_the_next_parent_is_tried() -> None:
    # Nobody in P2 is evaluated, so that P3 has nobody to be compared with.
    scene = Scene(
        level(),
        level(),
        level(),
        evaluators=[None, None],
        ratings=seen(dict.fromkeys(range(4, 8), 50)),
    )
    assert [parent // 4 for parent, _ in scene.assigned().values()] == [1, 1]


def test_a_sub_populations_wait_for_their_first_evaluation() -> None:
    waiting = {"evaluators": [None] * 4, "min_steps_before_eval": (100, 101)}
    p2 = [evaluating(4, 0, FLAT), evaluating(5, 0, FLAT)]
    scene = Scene(level(), level(), level(), **{**waiting, "evaluators": [*p2, None, None, None]})
    assert {parent // 4 for parent, _ in scene.assigned().values()} == {1}
    assert (
        Scene(level(), level(), now=99, evaluators=[None] * 2, min_steps_before_eval=100).assigned()
        == {}
    )


def test_a_who_just_lost_is_evaluated_with_the_weights_it_took() -> None:
    # Member 4 loses to 5, which frees its evaluator; all three free parents were seen just now.
    scene = Scene(
        level(at=99),
        level(),
        evaluators=[evaluating(4, 0, line(0, 1)), evaluating(5, 0, line(0, 2)), None, None],
        ratings=dict.fromkeys((6, 7), Rating(seen=100)),
    )
    assert (4, 5) in scene.copies("exploit")
    [evaluator] = [id_ for id_, (parent, _) in scene.assigned().items() if parent == 4]
    assert dict(scene.copies("evaluation"))[evaluator] == 5


# B. Training


def test_b_evaluators_with_nothing_to_do_rest_and_all_others_train() -> None:
    busy = evaluating(4, 0, line(-1, 0.01))
    scene = Scene(level(), level(), evaluators=[busy, None], min_steps_before_eval=500)
    assert scene.resting() == [9]


# C. Fitness


def test_c_fitness_is_the_sum_of_the_leads_on_all_rivals() -> None:
    slopes = {4: 1, 5: 2, 6: 4}
    scene = Scene(
        level(at=99),
        level(),
        evaluators=[evaluating(parent, 0, line(0, slope)) for parent, slope in slopes.items()],
    )
    assert scene.fitness() == {4: -10 - 30, 5: 10 - 20, 6: 30 + 20}


def test_c_without_an_evaluator_there_is_no_fitness() -> None:
    rated = dict.fromkeys((4, 5), Rating(fitness=3.0, seen=60))
    scene = Scene(level(), level(), evaluators=[evaluating(4, 0, FLAT), None], ratings=rated)
    assert scene.fitness() == {4: 0.0, 5: None}


# D. Evolution


def slopes(*slopes: float) -> list[list[float]]:
    return [line(0, slope) for slope in slopes]


def test_d_the_bottom_quarter_of_p1_copies_the_top_quarter_and_explores() -> None:
    scene = Scene(slopes(5, 1, 8, 2, 7, 3, 4, 6))
    losers = dict(scene.copies("exploit"))
    assert set(losers) == {1, 3}
    assert set(losers.values()) <= {2, 4}
    for loser, donor in losers.items():
        assert scene.values(loser) == 2 * scene.population[donor].hparams["lr"]


def test_d_donors_are_drawn_from_the_whole_top() -> None:
    drawn = {
        Scene(slopes(5, 1, 8, 2, 7, 3, 4, 6), seed=seed).copies("exploit")[0][1]
        for seed in range(30)
    }
    assert drawn == {2, 4}


def test_d_at_least_one_loses_and_of_equals_the_later_one() -> None:
    assert Scene(slopes(1, 1, 1)).copies("exploit") == [(2, 0)]


@pytest.mark.parametrize(("rated", "losers"), [(1, 0), (2, 1), (3, 1), (4, 2), (6, 2), (8, 2)])
def test_d_no_more_lose_than_have_a_better_half(rated: int, losers: int) -> None:
    # P1 are members 0 to 7, P2 members 8 to 15; those rated improve at different rates.
    scene = Scene(
        level(8, at=99),
        level(8),
        evaluators=[evaluating(8 + rank, 0, line(0, rank + 1)) for rank in range(rated)]
        + [None] * (8 - rated),
    )
    copies = [(loser, donor) for loser, donor in scene.copies("exploit") if loser >= 8]
    assert [loser for loser, _ in copies] == [8, 9][:losers]
    assert all(donor >= 8 + rated - losers for _, donor in copies)


def test_d_a_loser_has_no_fitness_and_counts_as_seen() -> None:
    scene = Scene(
        level(at=99),
        level(),
        evaluators=[evaluating(4, 0, line(0, 1)), evaluating(5, 0, line(0, 2))],
    )
    assert scene.notes(Rating)[4] == Rating(fitness=None, seen=100)


def test_d_who_cannot_go_on_is_replaced_whatever_it_is_rated() -> None:
    broken = [math.nan] * 11
    scene = Scene([broken, broken, *slopes(1, 2)], [broken, *level(3)], evaluators=[None, None])
    copies = scene.copies("exploit")
    assert {loser for loser, _ in copies} == {0, 1, 2, 4}
    assert {donor for loser, donor in copies if loser < 4} == {3}
    # Nobody in P2 is rated: any of it that goes on will do.
    assert {donor for loser, donor in copies if loser == 4} <= {5, 6, 7}


def test_d_p1_explores_by_a_rule_of_its_own() -> None:
    scene = Scene(
        slopes(1, 2, 3, 4),
        level(),
        evaluators=[evaluating(4, 1, line(0, 1)), evaluating(5, 1, line(0, 2))],
        greedy_explore=Perturb((3.0,)),
    )
    assert scene.copies("exploit") == [(0, 3), (4, 5)]
    rates = {member.id: member.hparams["lr"] for member in scene.population}
    assert scene.values(0) == pytest.approx(3 * rates[3])
    assert scene.values(4) == pytest.approx(2 * rates[5])


def test_d_members_whose_budget_is_spent_keep_what_they_learned() -> None:
    scene = Scene(slopes(1, 2, 3, 4), level(), evaluators=[None, None], steps=100)
    assert scene.copies("exploit") == []
    assert scene.resting() == []


# E. Release


def test_e_an_evaluator_is_released_when_its_parent_loses() -> None:
    scene = Scene(
        level(at=99),
        level(),
        evaluators=[evaluating(4, 0, line(0, 1)), evaluating(5, 0, line(0, 2))],
    )
    assert scene.outcomes() == {8: "parent lost"}


def test_e_an_evaluator_is_released_when_its_reference_loses_and_its_parent_was_seen() -> None:
    busy = evaluating(4, 1, line(-1, 0.01))
    scene = Scene(
        slopes(4, 1, 3, 2),
        level(),
        evaluators=[busy, None],
        ratings=seen(dict.fromkeys(range(4, 8), 9)),
    )
    assert scene.copies("exploit") == [(1, 0)]
    assert scene.outcomes() == {8: "reference lost"}
    assert scene.notes(Rating)[4].seen == 100
    assert 4 not in {parent for parent, _ in scene.assigned().values()}


# F. Success or stop


def test_f_failed_training_rates_no_member_and_is_no_success() -> None:
    # The evaluator of 4 was far ahead, and then diverged; that of 5 trains on.
    ahead = [*line(0, 1, 10), math.nan]
    scene = Scene(
        [[9.0] * 11, *level(3, at=-9)],
        level(),
        evaluators=[evaluating(4, 0, ahead), evaluating(5, 0, line(0, 0.1)), None],
    )
    assert scene.outcomes()[8] == "failed"
    assert scene.fitness() == {4: None, 5: 0.0}
    assert scene.copies("success") == []
    assert [loser for loser, _ in scene.copies("exploit") if loser >= 4] == []


def test_f_an_evaluation_that_lost_a_turn_has_failed() -> None:
    evaluation, curve = evaluating(4, 0, line(0, 2))
    early = msgspec.structs.replace(evaluation, since=evaluation.since - TURN_STEPS)
    scene = Scene([line(0, 1), *level(3, at=-9)], level(), evaluators=[(early, curve), None])
    assert scene.outcomes() == {8: "failed"}


def test_f_an_evaluation_of_weights_that_are_gone_has_failed() -> None:
    def outcomes(reborn: int) -> dict[int, str | None]:
        return Scene(
            level(at=99),
            level(),
            evaluators=[evaluating(4, 0, line(0, 2)), None],
            reborn={4: reborn},
        ).outcomes()

    assert outcomes(90) == {8: "failed"}
    assert outcomes(89) == {}


def test_f_a_success_hands_the_weights_to_the_reference_which_keeps_its_hyperparameters() -> None:
    scene = Scene(
        [line(0, 1), *level(3, at=-9)], level(), evaluators=[evaluating(4, 0, line(0, 2)), None]
    )
    assert scene.outcomes() == {8: "success"}
    [copy] = [a for a in scene.actions if isinstance(a, Copy) and a.kind == "success"]
    assert copy == Copy(member=0, source=8, hparams=False, whole_curve=True, kind="success")
    assert scene.values(0) is None
    ended = scene.ended()[8]
    assert (ended.until, ended.lead, ended.p) == (100, 10.0, 0.5**10)


def test_f_a_success_is_no_loss_for_the_reference_and_ends_the_evaluation_of_the_parent() -> None:
    # P2's member 4 is the reference of P3's member 8, and itself evaluated by 12.
    scene = Scene(
        level(at=99),
        [line(0, 1), *level(3)],
        level(),
        evaluators=[evaluating(4, 0, line(0, 0.5)), evaluating(8, 4, line(0, 2)), None],
    )
    assert scene.copies("success") == [(4, 13)]
    assert scene.outcomes() == {13: "success"}
    assert scene.notes(Rating)[8].seen == 100
    assert scene.fitness()[4] == 0.0


def test_f_dominating_without_overlap_is_a_success_if_it_leads_when_lowered() -> None:
    above = evaluating(4, 0, line(50, 2))
    scene = Scene([line(0, 1), *level(3, at=-9)], level(), evaluators=[above, None])
    assert scene.copies("success") == [(0, 8)]
    ended = scene.ended()[8]
    assert (ended.outcome, ended.p) == ("success", None)
    # Lowered to where their lowest scores are level, it ends that much higher.
    assert ended.lead == 10.0


def test_f_dominating_without_a_lead_trains_on_however_long() -> None:
    flat_above = evaluating(4, 0, [50.0] * 91)
    scene = Scene([line(0, 0.1, 91), *level(3, at=-9)], level(), evaluators=[flat_above, None])
    assert scene.outcomes() == {}


def test_f_without_overlap_it_stops_once_it_trained_longer_than_its_patience() -> None:
    def outcomes(points: int) -> dict[int, str]:
        below = evaluating(4, 0, [-5.0] * points)
        return Scene(
            [line(0, 1, 50), *level(3, at=-9)], level(), evaluators=[below, None], max_eval_steps=30
        ).outcomes()

    assert outcomes(31) == {}
    assert outcomes(32) == {8: "no overlap"}


def test_f_with_overlap_it_stops_when_p_is_above_what_its_time_still_allows() -> None:
    def outcomes(points: int, won: int) -> dict[int, str]:
        # All start alike; it wins so many comparisons of those that there are.
        curve = [0.0, *([0.5] * won), *([-0.5] * (points - 1 - won))]
        return Scene(
            [[0.0] * points, *level(3, at=-9)],
            level(),
            evaluators=[evaluating(4, 0, curve), None],
            max_eval_steps=30,
        ).outcomes()

    # p of 4 in 10 is 0.83, and of 5 in 10 0.62: one third of its time leaves 0.01 + 2/3.
    assert outcomes(11, 4) == {8: "no better"}
    assert outcomes(11, 5) == {}
    # p of 18 in 30 is 0.18: none of its time is left.
    assert outcomes(31, 18) == {8: "no better"}


def test_f_what_just_fails_to_be_significant_trains_on() -> None:
    curve = [0.0, *([0.5] * 6)]
    scene = Scene(
        [[0.0] * 7, *level(3, at=-9)], level(), evaluators=[evaluating(4, 0, curve), None]
    )
    assert scene.outcomes() == {}
    seven = [0.0, *([0.5] * 7)]
    scene = Scene(
        [[0.0] * 8, *level(3, at=-9)], level(), evaluators=[evaluating(4, 0, seven), None]
    )
    assert scene.outcomes() == {8: "success"}


def test_f_the_best_goes_first_and_others_are_judged_against_what_it_left() -> None:
    # All improve on the reference, and the first parent loses; behind the best one's success the
    # one in between is no better.
    scene = Scene(
        [line(0, 1), *level(3, at=-9)],
        level(),
        evaluators=[
            evaluating(4, 0, line(0, 1.5)),
            evaluating(5, 0, line(0, 2)),
            evaluating(6, 0, line(0, 3)),
        ],
    )
    assert scene.copies("success") == [(0, 10)]
    assert scene.outcomes() == {8: "parent lost", 10: "success", 9: "no better"}


def test_f_what_is_over_at_the_very_end_still_counts() -> None:
    scene = Scene(
        [line(0, 1), *level(3, at=-9)],
        level(),
        evaluators=[evaluating(4, 0, line(0, 2)), None],
        steps=100,
    )
    assert scene.copies("success") == [(0, 8)]


# What one step leaves to the next


def test_a_parent_that_took_a_success_is_evaluated_with_those_weights() -> None:
    # Member 4, the reference of P3's member 8, takes the weights of evaluator 12, and is P2's next.
    scene = Scene(
        level(at=99),
        [line(0, 1), *level(3)],
        level(),
        evaluators=[evaluating(8, 4, line(0, 2)), None, None, None, None, None],
        ratings={4: Rating(fitness=0.0)},
    )
    assert scene.copies("success") == [(4, 12)]
    [evaluator] = [id_ for id_, (parent, _) in scene.assigned().items() if parent == 4]
    assert dict(scene.copies("evaluation"))[evaluator] == 12


def test_a_success_can_make_a_member_of_p1_the_reference() -> None:
    # Member 1 was second to 0 and is first with what it takes.
    scene = Scene(
        [line(2, 0.3), line(0, 0.4), *level(2, at=-9)],
        level(),
        evaluators=[evaluating(4, 1, line(0, 2)), None],
    )
    assert scene.copies("success") == [(1, 8)]
    assert {reference for _, reference in scene.assigned().values()} == {1}


def test_a_success_changes_nobodys_fitness_in_p2() -> None:
    # Member 4 takes far better weights, and 5 still is the fittest of P2, and so P3's reference.
    scene = Scene(
        level(at=99),
        [line(0, 1), *level(3)],
        level(),
        evaluators=[
            evaluating(4, 0, line(0, 2)),
            evaluating(5, 0, line(0, 3)),
            evaluating(6, 0, line(0, 1)),
            evaluating(8, 4, line(0, 9)),
            None,
        ],
    )
    assert scene.copies("success") == [(4, 15)]
    references = {reference for parent, reference in scene.assigned().values() if parent >= 8}
    assert references == {5}


def test_no_member_that_cannot_go_on_is_evaluated_copied_or_used_as_a_reference() -> None:
    broken = [math.nan] * 11
    scene = Scene([broken] * 4, [broken] * 4, evaluators=[evaluating(4, 0, FLAT), None])
    assert scene.copies("exploit") == []
    assert scene.assigned() == {}
    # With members of P1 to aim at, there still are no weights worth evaluating.
    scene = Scene(level(), [broken] * 4, evaluators=[None, None])
    assert scene.assigned() == {}
    # Rated or not, who cannot go on is no donor.
    scene = Scene(
        level(at=99),
        [broken, *level(3)],
        evaluators=[evaluating(4, 0, line(0, 9)), evaluating(5, 0, line(0, 1)), None],
    )
    assert [donor for loser, donor in scene.copies("exploit") if loser >= 4] == [5]


def test_who_is_replaced_without_an_evaluator_counts_as_seen() -> None:
    scene = Scene(level(), [[math.nan] * 11, *level(3)], evaluators=[None, None])
    assert scene.notes(Rating)[4].seen == 100
    assert 4 not in {parent for parent, _ in scene.assigned().values()}


@pytest.mark.parametrize(
    ("members", "quantile", "losers"), [(6, 0.25, 1), (10, 0.25, 2), (100, 0.29, 29)]
)
def test_a_part_of_the_members_is_rounded_down(members: int, quantile: float, losers: int) -> None:
    scene = Scene([line(0, slope) for slope in range(members)], quantile=quantile)
    assert [loser for loser, _ in scene.copies("exploit")] == list(range(losers))


def test_an_evaluation_that_ended_leaves_its_evaluator_idle() -> None:
    over = Evaluation(parent=4, reference=0, since=-20, until=90, outcome="no better")
    scene = Scene(level(), level(), evaluators=[(over, FLAT), None], min_steps_before_eval=500)
    assert scene.resting() == [8, 9]
    assert scene.fitness() == {}


def test_a_lead_that_just_reaches_the_threshold_is_not_enough() -> None:
    seven = evaluating(4, 0, [0.0, *([0.5] * 7)])
    scene = Scene([[0.0] * 8, *level(3, at=-9)], level(), evaluators=[seven, None], p_stat=0.5**7)
    assert scene.outcomes() == {}


def test_time_and_threshold_add_up() -> None:
    def outcomes(won: int, p_stat: float) -> dict[int, str | None]:
        curve = [0.0, *([0.5] * won), *([-0.5] * (10 - won))]
        return Scene(
            [[0.0] * 11, *level(3, at=-9)],
            level(),
            evaluators=[evaluating(4, 0, curve), None],
            max_eval_steps=20,
            p_stat=p_stat,
        ).outcomes()

    # Half of the time is left, and p of 5 in 10 is 0.623: above one half, below it and p_stat.
    assert outcomes(5, 0.2) == {}
    assert outcomes(5, 0.1) == {8: "no better"}


def test_who_won_often_enough_without_a_lead_trains_on_for_as_long_as_that_holds() -> None:
    # It wins ten times in eleven, and the reference's one best point is the highest.
    curve = [0.0, *([0.5] * 39), -0.5]
    reference = [0.0, *([0.4] * 39), 9.0]
    scene = Scene(
        [reference, *level(3, at=-9)],
        level(),
        evaluators=[evaluating(4, 0, curve), None],
        max_eval_steps=30,
    )
    assert scene.outcomes() == {}


def test_of_two_that_lead_equally_the_first_succeeds() -> None:
    scene = Scene(
        [line(0, 1), *level(3, at=-9)],
        level(),
        evaluators=[
            evaluating(4, 0, line(0, 1.5)),
            evaluating(5, 0, line(0, 3)),
            evaluating(6, 0, line(0, 3)),
        ],
    )
    assert scene.copies("success") == [(0, 9)]
    again = scene.ended()[10]
    assert (again.outcome, again.lead) == ("no better", 0.0)


def test_a_parent_and_a_reference_that_both_lost_are_a_parent_that_lost() -> None:
    scene = Scene(
        [line(0, slope) for slope in (4, 1, 3, 2)],
        level(),
        evaluators=[evaluating(4, 1, line(0, 1)), evaluating(5, 0, line(0, 2)), None],
    )
    assert scene.outcomes()[8] == "parent lost"


def test_of_equal_references_the_first_is_aimed_at() -> None:
    scene = Scene([line(0, 1)] * 4, level(), evaluators=[None, None])
    assert {reference for _, reference in scene.assigned().values()} == {0}


def test_evaluators_are_given_parents_at_the_very_end_for_whoever_goes_on() -> None:
    scene = Scene(level(), level(), evaluators=[None, None], steps=100)
    assert len(scene.assigned()) == 2


def test_notes_of_an_older_log_are_read_with_the_words_of_today() -> None:
    note = {"type": "Evaluation", "parent": 4, "target": 0, "since": 8, "outcome": "target lost"}
    read = msgspec.convert(note, Evaluation)
    assert (read.reference, read.outcome) == (0, "reference lost")
