"""The population: the state of every member at one moment, as an immutable value."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from ramet import showing, wording
from ramet.goals import Goal, make_point
from ramet.laws import MOST_CANDIDATES, Count, Digest, Key, Times
from ramet.noise import compute_mean
from ramet.points import Curve
from ramet.space import Hparams, Space

# Which of several equal scores is the best of a run: that of the first turn, or of the latest.
Ties: TypeAlias = Literal["first", "latest"]
# Which scores are better.
Better: TypeAlias = Literal["higher", "lower"]


class PastTurn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A turn that a member ended, and what it did to the score."""

    # The hyperparameters that it was trained with.
    hparams: Hparams
    # The step behind the weights that it began with.
    step: int
    # How many steps it trained.
    steps: int
    # The score of the weights that it began with; None if they had no finite one.
    before: float | None
    # The score that it ended with: None if it has none, NaN if that was not finite.
    after: float | None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The saved state of a member at the end of a turn. Equal states have equal digests."""

    # The member that trained the turn.
    member: Count
    # The number of the turn.
    turn: Count
    # Steps behind its weights.
    step: Count
    # The digest of its bytes, as they are in a file by itself.
    digest: Digest
    # The key of the stack that it was written in with others; None if it was written by itself.
    stack: Key | None = None
    # Its row in the stack.
    row: Count = 0

    @property
    def key(self) -> str:
        """The name of a file that has it by itself, which differs from that of any other turn."""
        return f"{self.member}-{self.turn}-{self.digest}"

    def by_itself(self) -> "Checkpoint":
        """Return it as if it had been written by itself."""
        return self if self.stack is None else replace(self, stack=None, row=0)


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A member of a population."""

    # Its index in the population.
    id: int
    # Its present hyperparameters.
    hparams: Hparams
    # Steps of its budget that it has used, by training, in lost turns or while it rested.
    trained: int = 0
    # Steps behind its present weights, along their lineage. Curves and schedules are keyed by them.
    step: int = 0
    # Turns that it ended, lost or rested through, which is the number of its next turn.
    turn: int = 0
    # The scores of its weights.
    curve: Curve = Curve()
    # How many points of the curve came with a copy, from turns of other members.
    inherited: int = 0
    # Whether it copied weights and has not ended a turn with them yet.
    untried: bool = False
    # The checkpoint that it continues from; None before its first turn.
    checkpoint: Checkpoint | None = None
    # Failed attempts at its present turn.
    attempts: int = 0
    # Turns lost since the last one that ended.
    failing: int = 0
    # Copies that it made of other members, or of earlier weights of its own.
    copies: int = 0
    # Whether its last turn was lost, and it has not copied weights since.
    lost: bool = False
    # The sub-population it belongs to.
    group: int = 0
    # Whether its scores count for the best of the run.
    ranked: bool = True
    # What `trained` was when it took weights of another member because its own were unreadable.
    reborn: int | None = None
    # Notes of the strategy about it.
    data: Any = None
    # The last turns that it ended, oldest first: as many as the strategy has the run remember.
    past: tuple[PastTurn, ...] = ()
    # The metrics of its latest turn, those that the run has goals for; None where one was not
    # finite. A member without a score of its own has no metrics.
    metrics: dict[str, float | None] = {}
    # How far these metrics and the score are beyond the run's bounds: each as a part of its bound,
    # added up. It is 0 if all are within the bounds.
    violation: float = 0.0
    # The last values, along its lineage, of hyperparameters that are not there now.
    absent: Hparams | None = None

    @property
    def score(self) -> float | None:
        """The score that this member's own latest turn ended with. Rules rank members by it.

        It is None before the first turn, after a turn that was reported without a score, and after
        a copy of weights until the member has trained a turn with them, because the score that came
        with them is the donor's. It is NaN if it was not finite, or the turn was lost.
        """
        if self.lost:
            return math.nan
        steps, scores = self.curve.steps, self.curve.scores
        return scores[-1] if steps and steps[-1] == self.step and not self.untried else None

    @property
    def own_scores(self) -> tuple[float, ...]:
        """The scores of its curve from its own turns, without those that came with a copy.

        >>> Member(id=0, hparams={}, curve=Curve((5, 10), (0.8, 0.6)), inherited=1).own_scores
        (0.6,)
        """
        return self.curve.scores[self.inherited :]

    @property
    def weights_score(self) -> float | None:
        """The latest score of its weights, which may be the donor's. It is for showing to people.

        It is None if it was not finite, or the last turn was lost.
        """
        scores = self.curve.scores
        if self.lost or not scores or not math.isfinite(scores[-1]):
            return None
        return scores[-1]


class Best(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one of the best turns has ended with, and its checkpoint."""

    score: float
    checkpoint: Checkpoint
    # The metrics that the run has goals for.
    metrics: dict[str, float] = {}

    def rank(
        self, ties: Ties, better: Better, goals: Sequence[Goal] = ()
    ) -> tuple[tuple[float, ...], float, int, int]:
        """Return a key that is greatest for the best, whatever order the turns arrived in."""
        score = self.score if better == "higher" else -self.score
        turn = self.checkpoint.turn
        # The score is the first objective, unless it is none.
        point = make_point(goals, self.score, self.metrics) or ()
        return point, score, turn if ties == "latest" else -turn, -self.checkpoint.member


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A turn with one of the best scores, which is evaluated again before one is called best."""

    # What the turn ended with.
    score: float
    checkpoint: Checkpoint
    # The scores of fresh evaluations, in their order; None where one was not finite.
    fresh: tuple[float | None, ...] = ()

    @property
    def mean(self) -> float:
        """The mean of the fresh scores; NaN if one was not finite, or there is none."""
        scores = [score for score in self.fresh if score is not None]
        return compute_mean(scores) if len(scores) == len(self.fresh) else math.nan

    def rank(self, ties: Ties, better: Better) -> tuple[Any, ...]:
        """Return a key that is greatest for the best: by the mean, then by the turn's score."""
        mean = self.mean if better == "higher" else -self.mean
        return mean, Best(score=self.score, checkpoint=self.checkpoint).rank(ties, better)


Candidates: TypeAlias = Annotated[tuple[Candidate, ...], msgspec.Meta(max_length=MOST_CANDIDATES)]


class Confirmation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which turns of a run that is over are evaluated again, and what that gave so far."""

    # How often each is evaluated.
    times: Times
    # The best score first.
    candidates: Candidates

    @property
    def complete(self) -> bool:
        """Whether every candidate was evaluated as often as it should be."""
        return all(len(candidate.fresh) >= self.times for candidate in self.candidates)

    def find(self, member: int, turn: int) -> int | None:
        """Return the place of a candidate; None if the turn is not one."""
        for place, candidate in enumerate(self.candidates):
            if (candidate.checkpoint.member, candidate.checkpoint.turn) == (member, turn):
                return place
        return None


def reaches(best: Best | None, target: float | None, better: Better) -> bool:
    """Return whether there is a target, and the best score is at least as good."""
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
    # The budget of each member, in steps.
    steps: int
    members: tuple[Member, ...]
    # Rounds that ended, in a synchronous run.
    round: int = 0
    # Turns ended, lost or rested through since the last round ended.
    arrived: int = 0
    # Turns ended in all.
    turns: int = 0
    # Failed attempts at turns.
    failures: int = 0
    # Copies that its members made.
    copies: int = 0
    # Steps that copies undid: by how many the replaced weights were ahead of the copied ones.
    # Copies that begin an evaluation do not count.
    undone: int = 0
    # The best score so far.
    best: Best | None = None
    # The fresh evaluations of the best turns; None if there are none, or a turn ended since.
    confirmation: Confirmation | None = None
    # Which of several equal scores is the best.
    ties: Ties = "latest"
    # Which scores are better: "higher" ones in all that a strategy sees.
    better: Better = "higher"
    # Hyperparameters that a loop did not read in a whole turn.
    unread: tuple[str, ...] = ()
    # Whether workers stop once their turns are over.
    stopped: bool = False
    # Why they stop: a command "asked", the "target" was reached, or a member's "loop" asked.
    why_stopped: str | None = None
    # Whether a member's loop asked for a stop, which takes effect when the round is over.
    stop_asked: bool = False
    # The score at which the run ends before its budget.
    target: float | None = None
    # Notes of the strategy about the population.
    data: Any = None
    # How many past turns of each member are kept for the strategy.
    remember: int = 0
    # What the strategy wants of metrics. Its bounds of the score have the sign of the scores here.
    goals: tuple[Goal, ...] = ()
    # With goals: of the turns within all bounds, those that no other dominates. If they are more
    # than twice as many as the members, the most crowded are left out.
    front: tuple[Best, ...] = ()

    def __getitem__(self, member: int) -> Member:
        return self.members[member]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        best = f"best {self.best.score:.6g}" if self.best else self.why_no_best
        return f"Population({len(self)} members, {self.turns} turns, {self.copies} copies, {best})"

    def _repr_html_(self) -> str:
        names = list(self.space)[: showing.COLUMNS]
        columns = ["member", "trained", "step", "score", "copies", *names]

        def show(it: Member) -> tuple[object, ...]:
            return (
                *(it.id, f"{it.trained:,}", f"{it.step:,}"),
                *(wording.number(it.score), it.copies),
                *(wording.value_of(it.hparams, name) for name in names),
            )

        return showing.join([repr(self), showing.table(columns, self.members, show=show)])

    def is_finished(self, member: int) -> bool:
        """Return whether a member has used its budget.

        Args:
            member: The id of the member.
        """
        return self.members[member].trained >= self.steps

    @property
    def why_no_best(self) -> str:
        """What is said in place of the best score while there is none."""
        scored = any(member.weights_score is not None for member in self.members)
        return "none within bounds yet" if self.goals and scored else "no score yet"

    @property
    def at_target(self) -> bool:
        """Whether the best score is at least as good as the target."""
        return reaches(self.best, self.target, self.better)

    @property
    def confirmed(self) -> Candidate | None:
        """The best by the mean of its fresh scores; None unless the run was confirmed."""
        if self.confirmation is None or not self.confirmation.complete:
            return None
        finite = [it for it in self.confirmation.candidates if math.isfinite(it.mean)]
        return max(finite, key=lambda it: it.rank(self.ties, self.better), default=None)

    @property
    def chosen(self) -> Best | Candidate | None:
        """What is called the best of the run: the confirmed best, if there is one."""
        return self.confirmed or self.best

    @property
    def done(self) -> bool:
        """Whether every member has used its budget."""
        return all(member.trained >= self.steps for member in self.members)
