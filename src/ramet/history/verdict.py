"""Whether a search was worth it: what it found, against a member that did not take part."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from ramet import wording
from ramet.errors import NoBest, UsageError
from ramet.events import RunOpened
from ramet.history.confirming import FreshScores, say_both
from ramet.history.lineage import Lineage
from ramet.history.reported import sign_of
from ramet.history.turns import Trained, Turns
from ramet.noise import estimate_noise, estimate_repeats
from ramet.strategies.controlled import find_control

# The last turns with scores that are averaged.
LAST_TURNS = 5
# By how many standard errors the means must differ.
CLEAR_ERRORS = 2.0
# The part of a run's end, by turns, that the noise is estimated from.
LATE_PART = 0.5


class Verdict(NamedTuple):
    """What a search found, and what its control reached with the same number of steps.

    Scores are as they were reported. ``str`` of it says it in a sentence.

    Args:
        worth: "yes" if the search was clearly better, "no" if the control was, or if the two are
            equal and there is no noise, and otherwise "unclear".
        found: The mean of the last scores behind the weights of the best member at the end.
        control: The mean of the last scores of the control.
        gain: By how much ``found`` is better than ``control``: positive is better, in either mode.
        needed: The gain that noise in the scores could give; the search is worth it above this.
        turns: How many scores each mean is of.
        step: The number of steps behind the weights up to which both are compared.
        best: The score of ``Result.best`` when it was measured; None unless the run was confirmed.
        confirmed: The fresh scores of the same weights; None unless the run was confirmed.
    """

    worth: Literal["yes", "no", "unclear"]
    found: float
    control: float
    gain: float
    needed: float
    turns: int
    step: int
    best: float | None = None
    confirmed: FreshScores | None = None

    def __str__(self) -> str:
        if self.best is None or self.confirmed is None:
            return self._compare()
        return f"{self._compare()}. The best of all turns: {say_both(self.best, self.confirmed)}"

    def _compare(self) -> str:
        """Say how the search compares with the control."""
        say = wording.number
        last = wording.count(self.turns, "turn")
        compared = (
            f"up to step {self.step:,}, the best member at the end scored {say(self.found)}, and "
            f"the control {say(self.control)} (means of the last {last})"
        )
        if self.worth == "no":
            return f"the search was not worth it: {compared}"
        noise = (
            f"noise in the scores could give {say(self.needed)}"
            if math.isfinite(self.needed)
            else "with so few scores, what noise in them could give is not known"
        )
        if self.worth == "unclear":
            return f"whether the search was worth it is unclear: {compared}; {noise}"
        return (
            f"the search was worth it: {compared}, which is better by {say(self.gain)}; {noise}. "
            f"What other seeds could give is not in this"
        )


def judge(lineage: Lineage, repeats: Iterable[Sequence[float]] = ()) -> Verdict:
    """Return whether the search of a run was worth it, by its control.

    Both are compared at the same number of steps. Noise could give two standard errors of the
    difference of the means, and as much as the best of all members is above their middle by luck,
    because each score behind the best member at the end may have been chosen for its luck.

    Args:
        lineage: The turns of the run, with scores as they were reported.
        repeats: The fresh scores of each turn that was evaluated again.
    """
    opening, sign = lineage.opening, sign_of(lineage.opening.mode)
    control = _require_control(opening)
    searching = [id_ for id_, birth in enumerate(opening.births) if birth.ranked and id_ != control]
    theirs, ours = lineage.ancestors(control), _find_best(lineage, searching, sign)
    _check_control(theirs, control)
    step = min(ours[-1].stop, theirs[-1].stop)
    found, kept = _last_scores(ours, step), _last_scores(theirs, step)
    turns = min(len(found), len(kept))
    if not turns:
        raise NoBest(f"a verdict needs scores of both sides up to step {step:,}, but one has none")
    means = statistics.fmean(found[-turns:]), statistics.fmean(kept[-turns:])
    gain = sign * (means[0] - means[1])
    estimates = [
        estimate_noise(_own_curves(lineage.turns)),
        # Training from turn to turn adds to the noise of an evaluation, but never takes from it.
        estimate_repeats(repeats),
    ]
    noise = max((one for one in estimates if one is not None), default=None)
    errors = math.inf if noise is None else CLEAR_ERRORS * noise * math.sqrt(2 / turns)
    luck = 0.0 if noise is None else noise * math.sqrt(2 * math.log(len(searching)))
    return Verdict(
        worth="yes" if gain > errors + luck else "no" if gain <= -errors else "unclear",
        found=means[0],
        control=means[1],
        gain=gain,
        needed=errors + luck,
        turns=turns,
        step=step,
    )


def check_goals(opening: RunOpened) -> None:
    """Refuse a run with several objectives, of which a verdict would see one."""
    control = find_control(opening)
    if control is not None and opening.goals:
        raise UsageError(
            f"a verdict compares scores alone, but run {opening.name!r} has several objectives, "
            f"{[goal.name for goal in opening.goals]}; compare result.front() with the turns of "
            f"the control, member {control}, in result.rows()"
        )


def _find_best(lineage: Lineage, members: Iterable[int], sign: float) -> list[Trained]:
    """Return the turns behind the best of these members at the end, as `Result.final` has it."""
    standing = (
        (sign * score, -id_)
        for id_ in members
        if (checkpoint := lineage.weights(id_)) is not None
        and (score := lineage.turns[checkpoint.member, checkpoint.turn].score) is not None
    )
    best = max(standing, default=None)
    if best is None:
        raise NoBest(
            "a verdict needs a finite score of the search at its end, but no member has one"
        )
    return lineage.ancestors(-best[1])


def _check_control(turns: Sequence[Trained], control: int) -> None:
    if not turns or turns[-1].score is None:
        raise NoBest(
            "a verdict needs a finite score of the control at its end, but it has none: what it "
            "trains with may have made it diverge"
        )
    others = sorted({turn.member for turn in turns} - {control})
    if others:
        raise NoBest(
            f"a verdict needs a control that trained all its steps itself, but it went on from "
            f"weights of member {others[0]}, because its own could not be read: the run was "
            f"extended with keep='best', or a checkpoint was lost"
        )


def _last_scores(turns: Iterable[Trained], step: int) -> list[float]:
    """Return the scores of the last turns up to a step."""
    last = [turn.score for turn in turns if turn.stop <= step][-LAST_TURNS:]
    return [score for score in last if score is not None]


def _own_curves(turns: Turns) -> list[list[float]]:
    """Return the late scores of each member, in pieces between its copies, each score once."""
    curves: list[list[float]] = []
    current: dict[int, list[float]] = {}
    for place in range(int(LATE_PART * len(turns)), len(turns)):
        member = turns.members[place]
        if member not in current or turns.edges[place] != "own":
            current[member] = []
            curves.append(current[member])
        current[member].append(turns.scores[place])
    return curves


def _require_control(opening: RunOpened) -> int:
    control = find_control(opening)
    if control is None:
        raise UsageError(
            f"a verdict needs a control to compare with, but run {opening.name!r} has none; train "
            f"it with strategy=ramet.Controlled(strategy, {{'lr': 0.1}}), with the values that you "
            f"would have used without a strategy"
        )
    return control
