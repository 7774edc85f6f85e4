"""The population: what every member is at one moment, as an immutable value."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from ramet.laws import Count, Digest
from ramet.space import Hparams, Space

# A step, and the score at it; None where the score was not a finite number.
Point = tuple[Count, float | None]
# Which of several equal scores is the best of a run: that of the first turn, or of the latest.
Ties: TypeAlias = Literal["first", "latest"]
# Which scores are better.
Better: TypeAlias = Literal["higher", "lower"]


def has_final_score(points: Sequence[Point], step: int) -> bool:
    """Say whether a turn's points include one of the weights it left, which stand at ``step``."""
    return bool(points) and points[-1][0] == step


def final_score(points: Sequence[Point], step: int) -> float | None:
    """Return the score of the weights that a turn left; None if there is none, or not finite.

    >>> final_score([(5, 0.1), (10, 0.2)], 10), final_score([(5, 0.1)], 10)
    (0.2, None)
    """
    return points[-1][1] if has_final_score(points, step) else None


class Curve(msgspec.Struct, frozen=True):
    """The scores of one stretch of weights: since a member last got weights from elsewhere.

    Its first point is the score that came with those weights. A score that was not finite is NaN.

    >>> Curve().extend([(5, 0.1), (10, None)])
    Curve(steps=(5, 10), scores=(0.1, nan))
    """

    steps: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    def extend(self, points: Sequence[Point]) -> "Curve":
        """Return the curve with more points behind its last."""
        # The one `math.nan`, so that equal curves compare equal.
        scores = (math.nan if score is None else score for _, score in points)
        return Curve((*self.steps, *(step for step, _ in points)), (*self.scores, *scores))

    def points(self) -> tuple[Point, ...]:
        """Return the points as events carry them."""
        return tuple(
            (step, score if math.isfinite(score) else None)
            for step, score in zip(self.steps, self.scores, strict=True)
        )


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A member's state as a turn left it. Equal contents have equal digests; turns are distinct."""

    # Whose turn made it, and which of its turns.
    member: Count
    turn: Count
    # Steps behind its weights.
    step: Count
    # Of its bytes, which are stored under it.
    digest: Digest

    @property
    def key(self) -> str:
        """What it is stored under, which no other turn's has, whatever it left."""
        return f"{self.member}-{self.turn}-{self.digest}"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member. Its id is its place in the population."""

    id: int
    hparams: Hparams
    # Steps of its budget that it has run, or spent without: what `turn_steps` counts.
    trained: int = 0
    # Steps behind its present weights, along the lineage: what curves and schedules are keyed on.
    step: int = 0
    # Turns ended, given up or rested through, which is the number of the next one.
    turn: int = 0
    curve: Curve = Curve()
    # How many of the curve's points came with the weights, from turns of other members.
    inherited: int = 0
    # Whether it took weights that it has not ended a turn with yet.
    untried: bool = False
    # What it goes on from; None before its first turn.
    checkpoint: Checkpoint | None = None
    # Times that its present turn has raised.
    attempts: int = 0
    # Turns given up since the last that ended.
    failing: int = 0
    # Whether its last turn was given up, and it has not been given other weights since.
    lost: bool = False
    # The sub-population it belongs to.
    group: int = 0
    # Whether its scores count for the best of the run.
    ranked: bool = True
    # What `trained` was when it took another's weights, because its own could not be read.
    reborn: int | None = None
    # What the strategy keeps about it.
    data: Any = None

    @property
    def score(self) -> float | None:
        """The score that this member's own latest turn ended with: what rules rank by.

        It is None before the first turn, after a turn that was reported without a score, and after
        a copy of weights, until the member has trained a turn with them: the score that came with
        them is the donor's. It is NaN if it was not finite, or the turn was given up.
        """
        if self.lost:
            return math.nan
        steps, scores = self.curve.steps, self.curve.scores
        return scores[-1] if steps and steps[-1] == self.step and not self.untried else None

    @property
    def own_scores(self) -> tuple[float, ...]:
        """The scores of its curve that its own turns earned, which leaves out what a copy brought.

        >>> Member(id=0, hparams={}, curve=Curve((5, 10), (0.8, 0.6)), inherited=1).own_scores
        (0.6,)
        """
        return self.curve.scores[self.inherited :]

    @property
    def weights_score(self) -> float | None:
        """The latest score of its weights, the donor's included, to be shown; None if not finite.

        After a turn that was given up it is None as well.
        """
        scores = self.curve.scores
        if self.lost or not scores or not math.isfinite(scores[-1]):
            return None
        return scores[-1]


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The best score that a turn ever ended with, and what it left."""

    score: float
    checkpoint: Checkpoint

    def rank(self, ties: Ties, better: Better) -> tuple[float, int, int]:
        """Return a key that is greatest for the best, whatever order the turns arrived in."""
        score = self.score if better == "higher" else -self.score
        turn = self.checkpoint.turn
        return score, turn if ties == "latest" else -turn, -self.checkpoint.member


def reaches(best: Best | None, target: float | None, better: Better) -> bool:
    """Say whether there is a target, and a score at least as good."""
    if target is None or best is None:
        return False
    return best.score >= target if better == "higher" else best.score <= target


class Population(msgspec.Struct, frozen=True, kw_only=True):
    """All members at one moment, and what else the run knows.

    A strategy gets a population of maximised scores: higher ones are always better, and with
    ``mode="min"`` they are the negated scores. ``Result.population`` and ``Run.population`` have
    scores as they were reported, and ``better`` says which ones are better.

    ``population[3]`` is member 3.
    """

    space: Space
    # The budget of each member.
    steps: int
    members: tuple[Member, ...]
    # Rounds ended, in a synchronous run.
    round: int = 0
    # Turns ended, given up or rested through since the last round was over.
    arrived: int = 0
    # Turns ended in all.
    turns: int = 0
    # Times that a turn raised.
    failures: int = 0
    # Copies made.
    copies: int = 0
    # Steps that copies took back: how far the weights given up were ahead of those taken.
    undone: int = 0
    best: Best | None = None
    ties: Ties = "latest"
    better: Better = "higher"
    # Hyperparameters that some loop left unread in a whole turn.
    unread: tuple[str, ...] = ()
    # Whether its workers are to stop, and why: somebody "asked", the "target" was reached, or a
    # member's "loop" asked.
    stopped: bool = False
    why_stopped: str | None = None
    # Whether a member's loop asked for it, which takes effect once the round is over.
    stop_asked: bool = False
    # The score at which it ends before its budget.
    target: float | None = None
    # What the strategy keeps about the population.
    data: Any = None

    def __getitem__(self, member: int) -> Member:
        return self.members[member]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        best = f"best {self.best.score:.6g}" if self.best else "no score yet"
        return f"Population({len(self)} members, {self.turns} turns, {self.copies} copies, {best})"

    def is_finished(self, member: int) -> bool:
        """Say whether a member has used its budget."""
        return self.members[member].trained >= self.steps

    @property
    def at_target(self) -> bool:
        """Whether the best score is at least as good as the target."""
        return reaches(self.best, self.target, self.better)

    @property
    def done(self) -> bool:
        """Whether every member has used its budget."""
        return all(member.trained >= self.steps for member in self.members)
