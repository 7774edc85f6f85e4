"""Whether a search was worth it: what it found, against a member that did not take part."""

import math
import statistics
from collections.abc import Iterable
from typing import Literal, NamedTuple

from ramet import wording
from ramet.errors import NoBest, UsageError
from ramet.events import RunOpened
from ramet.history.lineage import Lineage
from ramet.history.reported import sign_of
from ramet.history.turns import Trained
from ramet.noise import estimate_noise
from ramet.strategies.controlled import find_control

# The last turns whose scores are averaged.
LAST_TURNS = 5
# By how many standard errors the two must differ.
CLEAR_ERRORS = 2.0


class Verdict(NamedTuple):
    """What a search found, and what its control reached with the same number of steps.

    Scores are as they were reported. ``str`` of it says it in a sentence.

    Args:
        worth: "yes" if the gain is clear, "no" if it is not positive, and otherwise "unclear".
        found: The mean of the last scores behind the weights of the best member at the end.
        control: The mean of the last scores of the control.
        gain: By how much what was found is better, whichever scores are better.
        needed: The gain above which it is clear: what chance could give.
        turns: How many scores each mean is of.
    """

    worth: Literal["yes", "no", "unclear"]
    found: float
    control: float
    gain: float
    needed: float
    turns: int

    def __str__(self) -> str:
        say = wording.number
        compared = (
            f"the best member at the end scored {say(self.found)}, and the control "
            f"{say(self.control)} (means of their last {wording.count(self.turns, 'turn')})"
        )
        if self.worth == "no":
            return f"the search was not worth it: {compared}"
        chance = (
            f"chance could give {say(self.needed)}"
            if math.isfinite(self.needed)
            else "with so few scores, what chance could give is not known"
        )
        better = f"{compared}, which is better by {say(self.gain)}; {chance}"
        if self.worth == "yes":
            return f"the search was worth it: {better}"
        return f"whether the search was worth it is unclear: {better}"


def judge(lineage: Lineage) -> Verdict:
    """Return whether the search of a run was worth it, by its control.

    Chance could give two standard errors of the difference of the means, and what comes of choosing
    the best of several noisy last scores.

    Args:
        lineage: The turns of the run, with scores as they were reported.
    """
    control = _require_control(lineage.opening)
    sign = sign_of(lineage.opening.mode)
    ranked = [id_ for id_, birth in enumerate(lineage.opening.births) if birth.ranked]
    curves = {id_: _scores(lineage.ancestors(id_)) for id_ in ranked}
    theirs, searching = curves.pop(control), [curve for curve in curves.values() if curve]
    if not theirs or not searching:
        lacking = "no member of the search" if theirs else "not the control"
        raise NoBest(f"a verdict takes a finite score of both sides, but {lacking} has one")
    ours = max(searching, key=lambda curve: sign * curve[-1])
    turns = min(LAST_TURNS, len(ours), len(theirs))
    found, kept = statistics.fmean(ours[-turns:]), statistics.fmean(theirs[-turns:])
    gain = sign * (found - kept)
    noise = estimate_noise([theirs, *searching])
    luck = math.sqrt(2 * math.log(len(searching))) / turns
    needed = math.inf if noise is None else noise * (CLEAR_ERRORS * math.sqrt(2 / turns) + luck)
    return Verdict(
        worth="no" if gain <= 0 else "yes" if gain > needed else "unclear",
        found=found,
        control=kept,
        gain=gain,
        needed=needed,
        turns=turns,
    )


def _require_control(opening: RunOpened) -> int:
    control = find_control(opening)
    if control is None:
        raise UsageError(
            f"a verdict takes a control to compare with, but run {opening.name!r} has none; train "
            f"it with strategy=ramet.Controlled(strategy, {{'lr': 0.1}}), with the values that you "
            f"would have used without a strategy"
        )
    return control


def _scores(turns: Iterable[Trained]) -> list[float]:
    return [turn.score for turn in turns if turn.score is not None]
