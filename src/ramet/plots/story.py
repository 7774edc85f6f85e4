"""What plots read from a run: stretches of turns, turns behind the best, and scores."""

import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from ramet import wording
from ramet.history import CopyRecord, Lineage, Result, Trained
from ramet.history.turns import FRESH, Turns
from ramet.plots import drawing
from ramet.plots.scales import drawable
from ramet.strategies.controlled import find_control

# What FIRE's members without a sub-population are called, and a member that does not take part.
EVALUATORS, CONTROL = "evaluators", "control"

Point = tuple[float, float]
# Where along an axis of steps a turn ends.
End = Callable[[Trained], int]

# Several plots and sections of a report read the same turns. Each lineage is of one result.
_behind: "WeakKeyDictionary[Lineage, list[Trained]]" = WeakKeyDictionary()
_turns: "WeakKeyDictionary[Lineage, list[Trained]]" = WeakKeyDictionary()


def score_of(turn: Trained) -> float:
    """Return where the score that a turn ended with is drawn; NaN if it was not finite."""
    return float("nan") if turn.score is None else drawable(turn.score)


def name_behind(behind: Sequence[Trained]) -> str:
    """Name the line to the best weights; add their steps if it ends at other steps than these."""
    last, said = behind[-1], "history of the best weights"
    same = last.trained == last.stop
    return said if same else f"{said} ({wording.count(last.stop, 'step')} along copies)"


def behind_best(result: Result, lineage: Lineage | None = None) -> list[Trained]:
    """Return the turns behind the best weights, if there are any: all, or those in a lineage."""
    best, source = result.population.chosen, lineage or result.lineage()
    if source not in _behind:
        _behind[source] = source.behind(best.checkpoint) if best else []
    return _behind[source]


def turns_of(lineage: Lineage) -> list[Trained]:
    """Return the turns of a lineage that is short enough to be drawn."""
    if lineage not in _turns:
        _turns[lineage] = list(lineage.turns.values())
    return _turns[lineage]


def stretches(lineage: Lineage) -> list[list[Trained]]:
    """Return each member's turns, split where it continued with another's weights."""
    turns = turns_of(lineage)
    return [[turns[place] for place in places] for places in stretch_places(lineage.turns)]


def stretch_places(turns: Turns) -> list[list[int]]:
    """Return the places of each member's turns, split where it continued with another's weights."""
    current: dict[int, list[int]] = {}
    found = []
    for place, (member, origin) in enumerate(zip(turns.members, turns.origins, strict=True)):
        if origin != FRESH and member in current and current[member][-1] == origin:
            current[member].append(place)
        else:
            current[member] = [place]
            found.append(current[member])
    return found


def end_of(turn: Trained) -> int:
    """Return how many steps of its budget its member had used when a turn ended.

    Where members wait for each other these are the steps behind its weights as well.
    """
    return turn.trained


def better(result: Result) -> str:
    """Say which scores are better."""
    return "higher is better" if result.opening.mode == "max" else "lower is better"


def own_points(turn: Trained, end: End = end_of) -> list[Point]:
    """Return the scores of a turn; they stand where ``curve`` puts them."""
    shift = end(turn) - turn.stop
    return [
        (float(step + shift), float("nan") if score is None else drawable(score))
        for step, score in turn.points
    ]


def curve(turns: Sequence[Trained], lineage: Lineage, end: End = end_of) -> list[Point]:
    """Return the scores of a stretch, from the one that its weights came with.

    They stand at the steps behind the weights, moved so that each turn ends where ``end`` says.
    """
    points = []
    if (origin := turns[0].origin) is not None:
        before = lineage.turns[origin.member, origin.turn]
        points.append((start_of(turns[0], end), score_of(before)))
    for turn in turns:
        points += own_points(turn, end)
    return points


def start_of(turn: Trained, end: End = end_of) -> float:
    """Return where a turn starts."""
    return float(end(turn) - (turn.stop - turn.start))


def copies_from(
    lineage: Lineage, most: int = sys.maxsize
) -> list[tuple[CopyRecord, Trained, Trained]]:
    """Return copies of weights, each with the turn that was given up and the one that was taken.

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


def group_colours(result: Result) -> dict[int, Any]:
    """Return the colour of each group of members; evaluators alone are grey."""
    names = groups_of(result)
    if names.get(0, EVALUATORS) == EVALUATORS or len(names) == 1:
        return drawing.colours_of(list(names))
    # Beside a control, the members that decide are in no group.
    others = dict(zip([group for group in names if group], drawing.COLOURS[2:], strict=False))
    return {0: drawing.COLOURS[1], **others}


def groups_of(result: Result) -> dict[int, str]:
    """Return what groups of members are called, in order: P1, P2, … and FIRE's evaluators."""
    births = result.opening.births
    groups = sorted({birth.group for birth in births}, key=lambda group: (not group, group))
    if len(groups) == 1:
        return {groups[0]: "members"}
    unranked = {birth.group for birth in births} - {b.group for b in births if b.ranked}
    names = {group: f"P{group}" for group in groups}
    control = find_control(result.opening)
    if control is not None:
        apart = births[control].group
        others = [group for group in groups if group != apart]
        names |= {others[0]: "members"} if len(others) == 1 else {}
        names[apart] = CONTROL
    return names | ({0: EVALUATORS} if 0 in unranked else {})
