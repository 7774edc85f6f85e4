"""FIRE's decisions without rounds: what one member changes about itself when its turn ends.

P1 are members 0 to 3, P2 members 4 to 7, evaluators 8 and up. Curves have a point a step.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from ramet import FIRE, Perturb, Population
from ramet.points import Curve
from ramet.population import Checkpoint, Member
from ramet.strategies import Action, Annotate, Change, Copy, Evaluation, Rating
from ramet.strategies.fire_turn_notes import Measurement, Success, TurnEvaluation, TurnRating
from tests.test_fire import SPACE, TURN_STEPS, fire, level, line

NOW = 100
STAYS = [0.0] * 11


def evaluates(parent: int, reference: int = 0, **settings: Any) -> TurnEvaluation:
    """An evaluation that began a turn ago, by everyone's own steps."""
    began = {"since": NOW - 10, "parent_trained": NOW - 10, "reference_trained": NOW - 10}
    return TurnEvaluation(parent=parent, reference=reference, **{**began, **settings})


class Scene:
    """A population in which one member has just ended a turn, and what it decides."""

    def __init__(
        self,
        *groups: Sequence[Sequence[float]],
        evaluators: Sequence[tuple[TurnEvaluation | None, Sequence[float]]] = (),
        changes: dict[int, dict[str, Any]] | None = None,
        steps: int = 1_000,
        **settings: Any,
    ) -> None:
        self.changes, self.members = changes or {}, list[Member]()
        for number, curves in enumerate(groups, start=1):
            for curve in curves:
                self.add(curve, group=number)
        for evaluation, curve in evaluators:
            self.add(curve, group=0, data=evaluation)
        self.population = Population(space=SPACE, steps=steps, members=tuple(self.members))
        self.strategy: FIRE = fire(
            subpopulations=len(groups),
            size=len(groups[0]),
            evaluators=len(evaluators) or None,
            synchronous=False,
            **settings,
        )

    def add(self, curve: Sequence[float], *, group: int, data: Any = None) -> None:
        id_ = len(self.members)
        member = Member(
            id=id_,
            hparams={"lr": 10.0**-id_},
            trained=NOW,
            step=NOW,
            turn=NOW // TURN_STEPS,
            group=group,
            ranked=group == 1,
            data=msgspec.to_builtins(data),
            curve=Curve(tuple(range(NOW - len(curve) + 1, NOW + 1)), tuple(curve)),
            checkpoint=Checkpoint(member=id_, turn=NOW // TURN_STEPS - 1, step=NOW, digest="d"),
        )
        changes = dict(self.changes.get(id_, {}))
        if isinstance(changes.get("data"), msgspec.Struct):
            changes["data"] = msgspec.to_builtins(changes["data"])
        self.members.append(msgspec.structs.replace(member, **changes))

    def decides(self, member: int, seed: int = 0) -> list[Action]:
        rng = np.random.default_rng(seed)
        return list(self.strategy.decide(self.population, (member,), rng))

    def copies(self, member: int, seed: int = 0) -> list[tuple[str, int]]:
        """Of what kind a member's copies are, and whom it copies."""
        return [(a.kind, a.source) for a in self.decides(member, seed) if isinstance(a, Copy)]

    def rating(self, member: int) -> TurnRating | None:
        found = [a.data for a in self.decides(member) if isinstance(a, Annotate)]
        return found[-1] if found else None

    def ended(self, evaluator: int) -> TurnEvaluation | None:
        """How an evaluator's evaluation ended."""
        notes = [a.data for a in self.decides(evaluator) if isinstance(a, Annotate)]
        return notes[0] if notes and notes[0].outcome else None

    def begun(self, evaluator: int, seed: int = 0) -> TurnEvaluation | None:
        """The evaluation that an evaluator begins."""
        notes = [a.data for a in self.decides(evaluator, seed) if isinstance(a, Annotate)]
        return notes[-1] if notes and not notes[-1].outcome else None


IDLE: tuple[None, list[float]] = None, STAYS


# Members of sub-populations


def test_a_member_at_the_bottom_of_its_sub_population_copies_the_top_and_explores() -> None:
    scene = Scene([line(0, slope) for slope in (3, 1, 4, 2)], level(), evaluators=[IDLE] * 2)
    assert scene.copies(1) == [("exploit", 2)]
    [change] = [action for action in scene.decides(1) if isinstance(action, Change)]
    assert change == Change(member=1, hparams={"lr": 2 * 10.0**-2})
    assert scene.rating(1) == TurnRating(seen=NOW, lost=NOW)
    assert [scene.copies(member) for member in (0, 2, 3)] == [[], [], []]


def test_p1_explores_by_a_rule_of_its_own() -> None:
    scene = Scene(
        [line(0, slope) for slope in (3, 1, 4, 2)],
        level(),
        evaluators=[IDLE] * 2,
        greedy_explore=Perturb((3.0,)),
    )
    [change] = [action for action in scene.decides(1) if isinstance(action, Change)]
    assert change == Change(member=1, hparams={"lr": pytest.approx(3 * 10.0**-2)})


def test_every_action_is_about_the_member_that_has_ended_its_turn() -> None:
    scene = Scene(
        [line(0, slope) for slope in (3, 1, 4, 2)],
        level(),
        evaluators=[(evaluates(4), line(0, 9)), (evaluates(5), line(0, 1)), IDLE],
    )
    for member in range(len(scene.members)):
        assert {action.member for action in scene.decides(member)} <= {member}


def test_who_lost_and_has_not_trained_since_keeps_its_place_among_the_losers() -> None:
    lost = {"untried": True, "data": TurnRating(lost=NOW)}
    rates = [line(0, slope) for slope in (3, 1, 4, 2)]
    assert Scene(rates, level(), evaluators=[IDLE] * 2, changes={0: lost}).copies(1) == []
    # Who is two turns behind keeps nobody from losing, and neither does who took a success.
    late = {**lost, "turn": NOW // TURN_STEPS - 2}
    assert Scene(rates, level(), evaluators=[IDLE] * 2, changes={0: late}).copies(1) != []
    took = {"untried": True}
    assert Scene(rates, level(), evaluators=[IDLE] * 2, changes={0: took}).copies(1) != []


def test_a_member_of_p2_loses_by_what_evaluators_measure_and_by_nothing_else() -> None:
    scene = Scene(
        level(at=99),
        [line(0, slope) for slope in (9, 1, 0, 8)],
        evaluators=[(evaluates(4), line(0, 1)), (evaluates(5), line(0, 2))],
    )
    assert scene.copies(4) == [("exploit", 5)]
    assert [scene.copies(member) for member in (5, 6, 7)] == [[], [], []]
    assert scene.rating(5) == TurnRating(fitness=10.0)
    assert scene.rating(6) is None


def test_an_evaluation_counts_once_its_evaluator_has_ended_a_turn() -> None:
    begun = evaluates(4, since=NOW)
    scene = Scene(
        level(at=99), level(), evaluators=[(begun, [0.0]), (evaluates(5), line(0, 2))],
        changes={8: {"untried": True}},
    )  # fmt: skip
    assert scene.copies(4) == []
    assert scene.rating(4) is None


@pytest.mark.parametrize(
    "changes",
    [
        {4: {"data": TurnRating(lost=NOW)}},
        {4: {"reborn": NOW - 10}},
        {8: {"trained": NOW + 10}},
        {8: {"curve": Curve(tuple(range(90, 101)), (*line(0, 2, 10), math.nan))}},
    ],
    ids=["parent lost", "parent reborn", "turn lost", "diverged"],
)
def test_an_evaluation_that_measures_other_weights_than_the_parents_does_not_count(
    changes: dict[int, dict[str, Any]],
) -> None:
    evaluators = [(evaluates(4), line(0, 2)), (evaluates(5), line(0, 1))]
    assert Scene(level(at=99), level(), evaluators=evaluators).copies(5) == [("exploit", 4)]
    assert Scene(level(at=99), level(), evaluators=evaluators, changes=changes).copies(5) == []


def test_what_ended_counts_until_its_parent_has_decided_with_it() -> None:
    def copies(until: int) -> list[tuple[str, int]]:
        over = Measurement(parent=4, began=NOW - 20, until=until, scores=tuple(line(0, 1)))
        busy = evaluates(6, measured=(over,))
        evaluators = [(busy, line(0, 3)), (evaluates(5), line(0, 2))]
        return Scene(level(at=99), level(), evaluators=evaluators).copies(4)

    assert [kind for kind, _ in copies(NOW)] == ["exploit"]
    assert copies(NOW - 1) == []


@pytest.mark.parametrize("outcome", ["parent lost", "no better"])
def test_what_ended_is_kept_for_a_slow_parent_while_others_are_evaluated(outcome: str) -> None:
    counts = Measurement(parent=4, began=NOW - 20, until=NOW, scores=tuple(line(0, 1)))
    over = Measurement(parent=7, began=NOW - 20, until=NOW - 1, scores=tuple(line(0, 1)))
    busy = evaluates(6, since=NOW - 40, measured=(counts, over))
    lost = {6: {"data": TurnRating(lost=NOW)}} if outcome == "parent lost" else {}
    scene = Scene(
        [[0.0] * 41, *level(3, at=-9)], level(), evaluators=[(busy, STAYS[:1] * 41), IDLE],
        changes=lost, max_eval_steps=30,
    )  # fmt: skip
    ended, begun = scene.ended(8), scene.begun(8)
    assert ended is not None
    assert begun is not None
    assert (ended.outcome, ended.measured[0]) == (outcome, counts)
    assert [each.parent for each in ended.measured[1:]] == ([] if lost else [6])
    assert begun.measured == ended.measured


def test_of_two_evaluations_of_a_parent_that_of_its_newest_weights_counts() -> None:
    older = evaluates(4, since=NOW - 20, parent_trained=NOW - 20)
    scene = Scene(
        level(at=99),
        level(),
        evaluators=[
            (older, line(0, 1, 21)), (evaluates(5), line(0, 2)), (evaluates(4), line(0, 3)),
        ],
    )  # fmt: skip
    assert scene.rating(4) == TurnRating(fitness=10.0)


def test_a_member_that_failed_is_replaced_by_any_that_goes_on() -> None:
    broken = {"curve": Curve((NOW,), (math.nan,))}
    scene = Scene(level(), level(), evaluators=[IDLE] * 2, changes={4: broken, 6: broken})
    [(kind, donor)] = scene.copies(4)
    assert (kind, donor in {5, 7}) == ("exploit", True)


def test_members_that_have_used_their_budget_keep_what_they_learned() -> None:
    scene = Scene(
        [line(0, slope) for slope in (3, 1, 4, 2)], level(), evaluators=[IDLE] * 2, steps=NOW
    )
    assert [scene.copies(member) for member in range(8)] == [[]] * 8


# Success


def test_the_reference_takes_the_weights_that_proved_better_and_notes_it() -> None:
    scene = Scene(
        [line(0, 1), *level(3, at=-9)],
        level(),
        evaluators=[(evaluates(4), line(0, 2)), (evaluates(5), line(0, 3)), IDLE],
    )
    [copy] = [action for action in scene.decides(0) if isinstance(action, Copy)]
    # Of two that proved better it takes the one that leads most.
    assert copy == Copy(member=0, source=9, hparams=False, whole_curve=True, kind="success")
    success = Success(evaluator=9, since=90, until=100, lead=20.0, p=0.5**10)
    assert scene.rating(0) == TurnRating(successes=(success,))
    # Nobody else takes them.
    assert [scene.copies(member) for member in (1, 2)] == [[], []]


@pytest.mark.parametrize(
    ("changes", "curve"),
    [
        ({}, line(0, 1)),
        ({}, [*line(0, 0.9, 10), 9.95]),
        ({0: {"data": TurnRating(lost=NOW - 5)}}, line(0, 2)),
        ({4: {"data": TurnRating(lost=NOW - 5)}}, line(0, 2)),
        ({8: {"lost": True}}, line(0, 2)),
    ],
    ids=["equal", "not often ahead", "reference lost since", "parent lost since", "turn lost"],
)
def test_weights_that_did_not_prove_better_are_not_taken(
    changes: dict[int, dict[str, Any]], curve: list[float]
) -> None:
    scene = Scene(
        [line(0, 1), *level(3, at=-9)],
        level(),
        evaluators=[(evaluates(4), curve), IDLE],
        changes=changes,
    )
    assert scene.copies(0) == []


def test_what_is_better_at_the_very_end_is_still_taken() -> None:
    scene = Scene(
        [line(0, 1), *level(3, at=-9)],
        level(),
        evaluators=[(evaluates(4), line(0, 2)), IDLE],
        steps=NOW,
    )
    assert scene.copies(0) == [("success", 8)]


def test_a_success_is_taken_once_and_forgotten_when_its_evaluator_has_noted_it() -> None:
    success = Success(evaluator=8, since=90, until=100, lead=10.0, p=0.001)
    took = {0: {"data": TurnRating(successes=(success,)), "untried": False}}
    scene = Scene(
        [line(0, 1), *level(3, at=-9)],
        level(),
        evaluators=[(evaluates(4), line(0, 2)), IDLE],
        changes=took,
    )
    assert scene.copies(0) == []
    assert scene.rating(0) is None
    over = msgspec.structs.replace(evaluates(4), outcome="success", until=100)
    scene = Scene([line(0, 1), *level(3, at=-9)], level(), evaluators=[(over, line(0, 2)), IDLE],
                  changes=took)  # fmt: skip
    assert scene.rating(0) == TurnRating()


def test_a_member_that_loses_forgets_no_success_that_its_evaluator_must_still_note() -> None:
    success = Success(evaluator=8, since=90, until=95, lead=10.0, p=0.001)
    scene = Scene(
        [line(0, slope) for slope in (1, 2, 3, 4)],
        level(),
        evaluators=[(evaluates(4), line(0, 2)), IDLE],
        changes={0: {"data": TurnRating(successes=(success,))}},
    )
    assert scene.rating(0) == TurnRating(seen=NOW, lost=NOW, successes=(success,))


# Evaluators


def test_an_evaluator_notes_the_success_that_its_reference_took() -> None:
    success = Success(evaluator=8, since=90, until=95, lead=10.0, p=0.001)
    changes = {
        0: {"data": TurnRating(successes=(success,), lost=NOW)},
        4: {"data": TurnRating(lost=NOW)},
    }
    scene = Scene(level(), level(), evaluators=[(evaluates(4), line(-9, 0)), IDLE], changes=changes)
    ended = scene.ended(8)
    assert ended is not None
    assert (ended.outcome, ended.until, ended.lead, ended.p) == ("success", 95, 10.0, 0.001)
    assert ended.seen == ((4, NOW),)


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        ("failed", {8: {"lost": True}}),
        ("failed", {8: {"trained": NOW + 10}}),
        ("failed", {4: {"reborn": NOW - 10}}),
        ("parent lost", {4: {"data": TurnRating(lost=NOW - 9)}, 0: {"data": TurnRating(lost=NOW)}}),
        ("reference lost", {0: {"data": TurnRating(lost=NOW - 9)}}),
        ("reference finished", {0: {"trained": 1_000}}),
        (None, {4: {"data": TurnRating(lost=NOW - 10)}, 0: {"data": TurnRating(lost=NOW - 10)}}),
    ],
)
def test_an_evaluation_without_anything_left_to_compare_ends(
    outcome: str | None, changes: dict[int, dict[str, Any]]
) -> None:
    scene = Scene(
        [line(0, 1), *level(3)],
        level(),
        evaluators=[(evaluates(4), line(0, 1.5)), IDLE],
        changes=changes,
    )
    ended = scene.ended(8)
    assert (ended and ended.outcome) == outcome
    if ended is not None:
        assert (ended.measured == ()) == (outcome in {"failed", "parent lost"})


@pytest.mark.parametrize(
    ("curve", "since", "outcome"),
    [
        ([0.0, *([0.5] * 4), *([-0.5] * 6)], 90, "no better"),
        ([0.0, *([0.5] * 5), *([-0.5] * 5)], 90, None),
        ([-5.0] * 31, 70, None),
        ([-5.0] * 41, 60, "no overlap"),
        ([50.0] * 41, 60, None),
    ],
)
def test_a_hopeless_evaluation_ends_as_in_a_run_with_rounds(
    curve: list[float], since: int, outcome: str | None
) -> None:
    scene = Scene(
        [[0.0] * 41, *level(3, at=-9)],
        level(),
        evaluators=[(evaluates(4, since=since), curve), IDLE],
        max_eval_steps=30,
    )
    ended = scene.ended(8)
    assert (ended and ended.outcome) == outcome


def test_what_proved_better_trains_on_until_the_reference_takes_it() -> None:
    scene = Scene(
        [line(0, 1, 91), *level(3, at=-9)],
        level(),
        evaluators=[(evaluates(4, since=NOW - 90), line(0, 2, 91)), IDLE],
    )
    assert scene.decides(8) == []


def test_an_evaluator_takes_the_parent_that_trained_most_since_it_was_last_seen() -> None:
    changes = {
        4: {"data": TurnRating(seen=70, lost=70)},
        5: {"trained": NOW - 10},
        6: {"data": TurnRating(seen=60, lost=60)},
    }
    seen = evaluates(7, seen=((5, 40), (7, 20)), outcome="no better", until=NOW)
    scene = Scene(level(), level(), evaluators=[(seen, STAYS), IDLE], changes=changes)
    # They trained 30, 50, 40 and 80 steps since.
    begun = scene.begun(8)
    assert begun == TurnEvaluation(
        parent=7, reference=0, since=NOW, parent_trained=NOW, reference_trained=NOW, seen=seen.seen
    )
    assert scene.copies(8) == [("evaluation", 7)]
    change = next(action for action in scene.decides(8) if isinstance(action, Change))
    assert change.hparams == scene.population[0].hparams
    busy = evaluates(7)
    scene = Scene(level(), level(), evaluators=[(seen, STAYS), (busy, line(0, 1))], changes=changes)
    begun = scene.begun(8)
    assert begun is not None
    assert begun.parent == 5


@pytest.mark.parametrize(
    "changes",
    [
        {9: {"trained": 1_000}},
        {7: {"data": TurnRating(lost=NOW)}},
        {0: {"data": TurnRating(
            successes=(Success(evaluator=9, since=90, until=95, lead=1.0, p=None),)
        )}},
    ],
    ids=["its evaluator is finished", "lost meanwhile", "has succeeded"],
)  # fmt: skip
def test_a_parent_that_no_evaluator_measures_any_more_may_be_evaluated_again(
    changes: dict[int, dict[str, Any]],
) -> None:
    others = {id_: {"checkpoint": None} for id_ in (4, 5, 6)}
    evaluators = [IDLE, (evaluates(7), line(0, 1))]
    assert Scene(level(), level(), evaluators=evaluators, changes=others).begun(8) is None
    begun = Scene(level(), level(), evaluators=evaluators, changes=others | changes).begun(8)
    assert begun is not None
    assert begun.parent == 7


@pytest.mark.parametrize(
    "change",
    [
        {"trained": 990},
        {"checkpoint": None},
        {"curve": Curve((NOW,), (math.nan,))},
        {"lost": True},
        {"reborn": 1_000},
    ],
    ids=["too early", "fresh", "diverged", "turn lost", "reborn just now"],
)
def test_members_without_weights_of_their_own_are_not_evaluated(change: dict[str, Any]) -> None:
    def begun(change: dict[str, Any]) -> TurnEvaluation | None:
        changes = {id_: {"trained": 1_000, **change} for id_ in range(4, 8)}
        return Scene(
            level(), level(), evaluators=[IDLE] * 2, changes=changes, min_steps_before_eval=1_000,
            steps=2_000,
        ).begun(8)  # fmt: skip

    assert begun({}) is not None
    assert begun(change) is None


def test_the_reference_is_the_fittest_that_can_still_take_weights() -> None:
    rates = [line(0, slope) for slope in (1, 4, 3, 2)]

    def reference(changes: dict[int, dict[str, Any]]) -> int | None:
        begun = Scene(rates, level(), evaluators=[IDLE] * 2, changes=changes).begun(8)
        return None if begun is None else begun.reference

    assert reference({}) == 1
    assert reference({1: {"untried": True}}) == 2
    assert reference({1: {"trained": 1_000}}) == 2
    assert reference({id_: {"trained": 1_000} for id_ in range(4)}) is None


def test_an_evaluator_that_has_used_its_budget_begins_nothing() -> None:
    done = {8: {"trained": 1_000}}
    assert Scene(level(), level(), evaluators=[IDLE] * 2, changes=done).decides(8) == []
    # What it has proved stays there for the reference to take.
    whole = {"trained": 1_000, "curve": Curve(tuple(range(90, 101)), tuple(line(0, 2)))}
    scene = Scene(
        [line(0, 1), *level(3, at=-9)],
        level(),
        evaluators=[(evaluates(4, since=990), line(0, 2)), IDLE],
        changes={8: whole},
    )
    assert scene.copies(0) == [("success", 8)]


def test_p3_is_evaluated_with_the_fittest_of_p2() -> None:
    scene = Scene(
        level(at=50),
        level(),
        level(),
        evaluators=[(evaluates(5), line(0, 1)), (evaluates(6), line(0, 2)), IDLE],
        changes={id_: {"data": TurnRating(seen=99, lost=99)} for id_ in (4, 7)},
    )
    begun = scene.begun(14)
    assert begun is not None
    assert (begun.parent // 4, begun.reference) == (2, 6)


def test_ties_between_parents_are_broken_by_the_runs_randomness() -> None:
    scene = Scene(level(), level(), evaluators=[IDLE] * 2)
    begun = [scene.begun(8, seed) for seed in range(40)]
    assert {each.parent for each in begun if each is not None} == {4, 5, 6, 7}


def test_notes_are_read_by_whoever_reads_those_of_a_run_with_rounds() -> None:
    success = Success(evaluator=8, since=90, until=95, lead=10.0, p=None)
    rating = msgspec.to_builtins(TurnRating(fitness=1.0, seen=5, lost=5, successes=(success,)))
    assert msgspec.convert(rating, Rating | Evaluation) == Rating(fitness=1.0, seen=5)
    evaluation = msgspec.to_builtins(evaluates(4, 1))
    assert msgspec.convert(evaluation, Rating | Evaluation) == Evaluation(
        parent=4, reference=1, since=90
    )


def test_a_score_that_was_not_finite_stays_so_in_what_was_measured() -> None:
    measured = Measurement(parent=4, began=0, until=9, scores=(1.0, None))
    np.testing.assert_array_equal(measured.curve, [1.0, math.nan])
