"""The scores that a training loop reports in one turn."""

import math
import reprlib
from collections.abc import Iterable
from typing import Any

from ramet import wording
from ramet.engine.run.steps import place_at_steps
from ramet.errors import MissingScore, ScoreError
from ramet.points import Point

# Scores that a turn may have. The longest JSON of one has 47 bytes, and all go into one event.
MOST_SCORES = 300_000


class Scores:
    """The scores of a turn by step. A later score at the same step replaces the first."""

    __slots__ = ("_at", "_every", "_member", "_needed", "_number")

    def __init__(self, *, member: int, number: int, every: int, needed: bool) -> None:
        # Of the turn.
        self._member, self._number = member, number
        # Steps between two scores, and whether the strategy takes no turn without them.
        self._every, self._needed = every, needed
        # None where the loop reported None.
        self._at: dict[int, float | None] = {}

    @property
    def _turn(self) -> str:
        return f"turn {self._number} of member {self._member}"

    def report(self, step: int, score: Any) -> None:
        """Record the score at a step, or None if there is none."""
        self._add({step: self._convert(score)})

    def record(self, scores: Iterable[tuple[int, Any]] | Any, *, start: int, stop: int) -> None:
        """Record (step, score) pairs, or one score at the last step."""
        if not self._at and (score := _find_only(scores, stop)) is not None:
            self._at[stop] = score
            return
        pairs = place_at_steps(scores, start=start, stop=stop, what="scores", refusal=ScoreError)
        self._add({step: self._convert(score) for step, score in pairs})

    def clear(self) -> None:
        """Forget all scores."""
        self._at.clear()

    def points(self, start: int, stop: int) -> tuple[Point, ...]:
        """Return the scores; refuse a turn without a report at its last step."""
        if stop not in self._at:
            last = f"the last at step {max(self._at)}" if self._at else "none"
            raise MissingScore(
                f"every turn must end with a score, that of the weights it leaves, but "
                f"{self._turn} (steps {start} to {stop}) reported {last}; call turn.report(score) "
                f"when turn.evaluation_due, and turn.report(None) if there is no score yet"
            )
        if len(self._at) == 1 and (score := self._at[stop]) is not None:
            return ((stop, score if math.isfinite(score) else None),)
        return tuple(
            [
                (step, score if math.isfinite(score) else None)
                for step, score in sorted(self._at.items())
                if score is not None
            ]
        )

    def _add(self, scores: dict[int, float | None]) -> None:
        """Record scores at their steps; refuse more than an event can hold."""
        at_most = len(self._at) + len(scores)
        if at_most > MOST_SCORES and (count := len({*self._at, *scores})) > MOST_SCORES:
            raise ScoreError(
                f"a turn may have at most {MOST_SCORES:,} scores, which the log keeps in one "
                f"event, but {self._turn} would have {count:,}; report less often, such as when "
                f"turn.evaluation_due, or make turns shorter with turn_steps="
            )
        self._at.update(scores)

    def _convert(self, score: Any) -> float | None:
        if type(score) is float:
            return score
        if score is None:
            self._check_may_lack()
            return None
        return as_number(score)

    def _check_may_lack(self) -> None:
        if self._needed:
            raise ScoreError(
                f"this strategy compares curves point by point and needs a score every "
                f"{wording.count(self._every, 'step')}, but {self._turn} reported None; report "
                f"the latest score again, make turns long enough to have one (turn_steps= and "
                f"evaluate_every=), or use ramet.PBT, which does not need them"
            )


def _find_only(scores: Any, stop: int) -> float | None:
    """Return the score of a turn that has one, at its last step, as most have; None for others."""
    if type(scores) is not list or len(scores) != 1 or type(scores[0]) is not tuple:
        return None
    match scores[0]:
        case (step, score) if type(step) is int and step == stop and type(score) is float:
            return score
    return None


def as_number(score: Any) -> float:
    """Return a score as a number; refuse what is none.

    Args:
        score: What a user's code gave: a number, or an array or a tensor of one.
    """
    if isinstance(score, bool | str | bytes):
        raise _not_a_score(score)
    if callable(detach := getattr(score, "detach", None)):
        # PyTorch warns if a number is read from a tensor with a gradient.
        score = detach()
    try:
        return float(score)
    except (TypeError, ValueError, OverflowError):
        raise _not_a_score(score) from None


def require_score(score: Any, function: str = "a task's evaluate") -> Any:
    """Return what a user's function returned; refuse None, as from a forgotten ``return``.

    A training function reports that there is no score with ``turn.report(None)``.
    """
    if score is None:
        raise ScoreError(
            f"{function} must return the score, but it returned None; where there is none yet, "
            f"write a training function, which can call turn.report(None)"
        )
    return score


def _not_a_score(score: object) -> ScoreError:
    if isinstance(score, str | bytes):
        return ScoreError(
            f"a score must be one number, but got the text {reprlib.repr(score)}; report the "
            f"number itself, before it is formatted"
        )
    return ScoreError(
        f"a score must be one number, but got {reprlib.repr(score)} of type "
        f"{type(score).__name__}; average several into one, report float('nan') if training has "
        f"diverged, and None if there is no score yet"
    )
