"""The scores of one turn, as its training loop reports them."""

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from ramet import wording
from ramet.errors import MissingScore, ScoreError
from ramet.population import Point


class Scores:
    """What a loop reported in a turn, by step. A later score at the same step wins."""

    def __init__(self, turn: str, *, sign: int, every: int, needed: bool) -> None:
        # As errors name it, such as "turn 3 of member 2".
        self._turn = turn
        self._sign = sign
        # Steps between two scores, and whether the strategy takes no turn without them.
        self._every, self._needed = every, needed
        # As the run maximises them; None where the loop said that there is none.
        self._at: dict[int, float | None] = {}

    def report(self, step: int, score: Any) -> None:
        """Record the score at a step, or None if there is none."""
        self._at[step] = self._signed(score)

    def record(self, scores: Iterable[tuple[int, Any]] | Any, *, start: int, stop: int) -> None:
        """Record (step, score) pairs, or one score at the last step."""
        recorded: dict[int, float | None] = {}
        for step, score in _pairs(scores, stop):
            if isinstance(step, bool) or not hasattr(step, "__index__"):
                raise ScoreError(f"a score's step must be a whole number, but got {step!r}")
            if not start < step <= stop:
                raise ScoreError(
                    f"a turn's scores must be of its own steps, {start + 1} to {stop}, but got one "
                    f"at step {step}; steps are counted along the lineage, from turn.start"
                )
            recorded[operator.index(step)] = self._signed(score)
        self._at.update(recorded)

    def clear(self) -> None:
        """Forget what was reported."""
        self._at.clear()

    def points(self, start: int, stop: int) -> tuple[Point, ...]:
        """Return the scores there are, or refuse a turn that ends without any report."""
        if stop not in self._at:
            last = f"the last at step {max(self._at)}" if self._at else "none"
            raise MissingScore(
                f"every turn must end with a score, that of the weights it leaves, but "
                f"{self._turn} (steps {start} to {stop}) reported {last}; call turn.report(score) "
                f"when turn.evaluation_due, and turn.report(None) if there is no score yet"
            )
        return tuple(
            (step, score if math.isfinite(score) else None)
            for step, score in sorted(self._at.items())
            if score is not None
        )

    def _signed(self, score: Any) -> float | None:
        if score is None:
            self._check_may_lack()
            return None
        if isinstance(score, bool | str | bytes):
            raise _not_a_score(score)
        try:
            return self._sign * float(score)
        except (TypeError, ValueError, OverflowError):
            raise _not_a_score(score) from None

    def _check_may_lack(self) -> None:
        if self._needed:
            raise ScoreError(
                f"this strategy compares curves point by point and needs a score every "
                f"{wording.count(self._every, 'step')}, but {self._turn} reported None; report "
                f"the latest score again, make turns long enough to have one (ready= and "
                f"evaluate_every=), or take ramet.PBT, which does without"
            )


def returned_score(score: Any, function: str = "a task's evaluate") -> Any:
    """Return what a function of the user's returned, or refuse None: a return that was forgotten.

    A training function says that there is no score by ``turn.report(None)``.
    """
    if score is None:
        raise ScoreError(
            f"{function} must return the score, but it returned None; where there is none yet, "
            f"write a training function, which can call turn.report(None)"
        )
    return score


def _pairs(scores: Any, stop: int) -> list[tuple[int, Any]]:
    if isinstance(scores, Mapping):
        scores = list(scores.items())
    if not isinstance(scores, list | tuple):
        return [(stop, scores)]
    pairs = list(scores)
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):  # noqa: PLR2004 - a pair
        raise ScoreError(f"scores must be one number or (step, score) pairs, but got {scores!r}")
    return [(step, score) for step, score in pairs]


def _not_a_score(score: object) -> ScoreError:
    return ScoreError(
        f"a score must be one number, but got {score!r} of type {type(score).__name__}; average "
        f"several into one, report float('nan') if training has diverged, and None if there is no "
        f"score yet"
    )
