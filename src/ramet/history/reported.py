"""Scores as they were reported, from records that hold them as the run maximised them.

Stores hold maximised scores: with ``mode="min"``, the negated ones. Whatever shows scores to people
gets them through this file, and nothing else changes a sign.
"""

import math
from collections.abc import Iterable, Sequence
from typing import overload

from msgspec.structs import replace

from ramet.events import (
    AnyEvent,
    Confirmed,
    Confirming,
    Copied,
    Logged,
    Mode,
    RunOpened,
    TargetSet,
    TurnEnded,
)
from ramet.goals import negate_score
from ramet.points import Curve, Point
from ramet.population import (
    Best,
    Candidate,
    Confirmation,
    Member,
    PastTurn,
    Population,
)


def sign_of(mode: Mode) -> int:
    """Return 1 if higher scores are better, and -1 if lower ones are.

    >>> sign_of("max"), sign_of("min")
    (1, -1)
    """
    return 1 if mode == "max" else -1


@overload
def report_score(score: float, mode: Mode) -> float: ...


@overload
def report_score(score: float | None, mode: Mode) -> float | None: ...


def report_score(score: float | None, mode: Mode) -> float | None:
    """Return a maximised score as it was reported.

    >>> report_score(-0.25, "min"), report_score(0.25, "max"), report_score(None, "min")
    (0.25, 0.25, None)
    """
    return score if score is None or mode == "max" else _negate(score)


def maximise_score(score: float | None, mode: Mode) -> float | None:
    """Return a score that was reported as the run maximises it.

    >>> maximise_score(0.25, "min"), maximise_score(0.25, "max"), maximise_score(None, "min")
    (-0.25, 0.25, None)
    """
    return report_score(score, mode)  # Negating twice gives the first number.


def maximise_points(points: Sequence[Point], mode: Mode) -> tuple[Point, ...]:
    """Return the scores that a turn reported as the run maximises them, which stores hold.

    >>> maximise_points([(1, 0.25), (2, None)], "min")
    ((1, -0.25), (2, None))
    """
    return tuple(points) if mode == "max" else _negate_points(points)


def maximise_candidates(candidates: Sequence[Candidate], mode: Mode) -> tuple[Candidate, ...]:
    """Return candidates with reported scores as the run maximises them, which stores hold."""
    return tuple(candidates) if mode == "max" else _report_candidates(candidates)


def report_opening(opening: RunOpened) -> RunOpened:
    """Return the opening of a run for people, who read scores as they were reported."""
    return opening if opening.mode == "max" else replace(opening, better="lower")


def report_log(log: Iterable[Logged], mode: Mode) -> list[Logged]:
    """Return a log, or a part of one, with its scores as they were reported."""
    if mode == "max":
        return list(log)
    return [replace(logged, event=_report_event(logged.event)) for logged in log]


def report_population(population: Population, mode: Mode) -> Population:
    """Return a population of maximised scores with the scores as they were reported."""
    if mode == "max":
        return population
    best, target = population.best, population.target
    return replace(
        population,
        members=tuple(map(_report_member, population.members)),
        best=None if best is None else _report_best(best),
        goals=negate_score(population.goals),
        front=tuple(map(_report_best, population.front)),
        confirmation=_report_confirmation(population.confirmation),
        target=None if target is None else _negate(target),
        better="lower",
    )


def _report_event(event: AnyEvent) -> AnyEvent:
    match event:
        case RunOpened():
            return report_opening(event)
        case Confirming() | Confirmed():
            return _report_fresh(event)
        case TurnEnded():
            return replace(event, points=_negate_points(event.points))
        case Copied(weights=weights) if weights is not None:
            return replace(event, weights=replace(weights, points=_negate_points(weights.points)))
        case TargetSet(target=target) if target is not None:
            return replace(event, target=_negate(target))
    return event


def _report_fresh(event: Confirming | Confirmed) -> Confirming | Confirmed:
    if isinstance(event, Confirming):
        return replace(event, candidates=_report_candidates(event.candidates))
    return replace(event, score=report_score(event.score, "min"))


def _report_confirmation(confirmation: Confirmation | None) -> Confirmation | None:
    if confirmation is None:
        return None
    return replace(confirmation, candidates=_report_candidates(confirmation.candidates))


def _report_candidates(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    return tuple(
        replace(
            it,
            score=_negate(it.score),
            fresh=tuple(None if score is None else _negate(score) for score in it.fresh),
        )
        for it in candidates
    )


def _report_member(member: Member) -> Member:
    curve = member.curve
    if not curve.steps and not member.past:
        return member
    # The one `math.nan`, so that equal curves compare equal.
    scores = (math.nan if math.isnan(score) else _negate(score) for score in curve.scores)
    past = tuple(map(_report_past, member.past))
    return replace(member, curve=Curve(curve.steps, tuple(scores)), past=past)


def _report_best(best: Best) -> Best:
    return replace(best, score=_negate(best.score))


def _report_past(turn: PastTurn) -> PastTurn:
    before, after = turn.before, turn.after
    return replace(
        turn,
        before=None if before is None else _negate(before),
        after=after if after is None or math.isnan(after) else _negate(after),
    )


def _negate_points(points: Sequence[Point]) -> tuple[Point, ...]:
    return tuple((step, None if score is None else _negate(score)) for step, score in points)


def _negate(score: float) -> float:
    """Return the negated score, which is never a negative zero."""
    return 0.0 - score
