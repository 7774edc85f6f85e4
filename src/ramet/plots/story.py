"""What plots read from a run: stretches of turns, what is behind the best, and scores as shown."""

import sys
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from ramet.history import CopyRecord, Lineage, Result, Trained
from ramet.history.turns import Key
from ramet.plots.scales import drawable

# What FIRE's members without a sub-population are called.
EVALUATORS = "evaluators"

Point = tuple[float, float]


def score_of(turn: Trained) -> float:
    """Return where the score that a turn ended with is drawn; NaN if it was not finite."""
    return float("nan") if turn.score is None else drawable(turn.score)


def behind_best(result: Result, lineage: Lineage | None = None) -> list[Trained]:
    """Return the turns behind the best weights, if there are any: all, or those in a lineage."""
    best = result.population.best
    return (lineage or result.lineage()).behind(best.checkpoint) if best else []


def stretches(lineage: Lineage) -> list[list[Trained]]:
    """Return each member's turns, parted where it went on with another's weights."""
    open_: dict[int, list[Trained]] = {}
    found = []
    for turn in lineage.turns.values():
        before = open_.get(turn.member)
        if before and turn.origin == before[-1].checkpoint:
            before.append(turn)
        else:
            open_[turn.member] = [turn]
            found.append(open_[turn.member])
    return found


def ends_of(result: Result) -> Mapping[Key, int]:
    """Return how many steps of its budget its member had used when each turn ended.

    Where members wait for each other these are the steps behind its weights as well.
    """
    return result.lineage().ends


def curve(turns: Sequence[Trained], lineage: Lineage, ends: Mapping[Key, int]) -> list[Point]:
    """Return the scores of a stretch, from the one that its weights came with.

    They stand at the steps behind the weights, so moved that each turn ends as ``ends`` says.
    """
    points = []
    if (origin := turns[0].origin) is not None:
        before = lineage.turns[origin.member, origin.turn]
        points.append((start_of(turns[0], ends), score_of(before)))
    for turn in turns:
        shift = ends[turn.key] - turn.stop
        points += [
            (float(step + shift), float("nan") if score is None else drawable(score))
            for step, score in turn.points
        ]
    return points


def start_of(turn: Trained, ends: Mapping[Key, int]) -> float:
    """Return where a turn starts that ends so."""
    return float(ends[turn.key] - (turn.stop - turn.start))


def copies_from(
    lineage: Lineage, most: int = sys.maxsize
) -> list[tuple[CopyRecord, Trained, Trained]]:
    """Return copies of weights, each with the turns whose weights were given up and taken.

    Of many, these are some, evenly spaced.
    """
    found = []
    for copy in lineage.copies[:: max(1, -(-len(lineage.copies) // most))]:
        numbers = lineage.turns.numbers_of(copy.member)
        before = bisect_left(numbers, copy.turn)
        if copy.weights is not None and before:
            last = lineage.turns[copy.member, numbers[before - 1]]
            taken = lineage.turns[copy.weights.member, copy.weights.turn]
            found.append((copy, last, taken))
    return found


def groups_of(result: Result) -> dict[int, str]:
    """Return what groups of members are called, in order: P1, P2, … and FIRE's evaluators."""
    births = result.opening.births
    groups = sorted({birth.group for birth in births}, key=lambda group: (not group, group))
    if len(groups) == 1:
        return {groups[0]: "members"}
    unranked = {birth.group for birth in births} - {b.group for b in births if b.ranked}
    names = {group: f"P{group}" for group in groups}
    return names | ({0: EVALUATORS} if 0 in unranked else {})
