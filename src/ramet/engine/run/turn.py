"""A turn: one member's training between two decisions, as the training loop sees it."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Never

import numpy as np

from ramet.engine.run.metrics import Metrics
from ramet.engine.run.scores import Scores
from ramet.errors import TurnInterrupted, TurnMisused, UnknownAttribute
from ramet.points import Point
from ramet.population import Checkpoint, Member
from ramet.randomness import Draws
from ramet.series import Series
from ramet.space.conditions import Conditions
from ramet.space.values import Values
from ramet.state.tree import Tree, freeze, thaw
from ramet.store.base import Lease


class Turn:
    """One member's next steps.

    Iterate over it to go step by step, or over ``stretches()`` to go from score to score, or run
    ``turn.steps`` steps in a loop of your own; report the score whenever ``evaluation_due``.
    """

    def __init__(
        self,
        *,
        member: Member,
        lease: Lease,
        steps: int,
        evaluate_every: int | None,
        draws: Draws,
        read: Callable[[Checkpoint], Tree],
        needs_scores: bool = False,
        renewed: bool = False,
        conditions: Conditions | None = None,
    ) -> None:
        """Make a turn, as ``Run.ask`` does.

        Args:
            member: The member before the turn.
            lease: What the store gave this worker for it.
            steps: The number of steps to train.
            evaluate_every: Steps between two scores; None has one score at the end.
            draws: The source of random draws.
            read: Returns the state in a checkpoint.
            needs_scores: Whether the strategy needs a score wherever one is due.
            renewed: Whether the turn begins with renewed weights.
            conditions: What must hold for some hyperparameters to be there, by name.
        """
        self.member = member.id
        self.number = member.turn
        # Steps of the budget that the member has used, and steps behind its weights.
        self.trained = member.trained
        self.start = member.step
        self._steps = steps
        self._stop = member.step + steps
        self.hparams = Values(member.hparams, conditions=conditions)
        self.checkpoint: Checkpoint | None = member.checkpoint
        self.lease = lease
        # Whether it is over: it ended, failed, or was released.
        self.over = False
        # Whether the loop has called ``stop_run``.
        self.stops_run = False
        # The key of its random draws.
        self.draws = draws
        self._every = evaluate_every or steps
        self._read = read
        self._rng: np.random.Generator | None = None
        self._scores = Scores(
            member=member.id, number=member.turn, every=self._every, needed=needs_scores
        )
        # None until the first is logged.
        self._metrics: Metrics | None = None
        # The step of a score that is reported now; None is the last step.
        self._at: int | None = None
        self._begun = False
        # Whether the loop has read the length of the turn; otherwise it cannot have trained it.
        self._measured = False
        # Whether it begins with renewed weights, which a loop that has not asked cannot know.
        self._renewed, self._asked_renewed = renewed, False

    if not TYPE_CHECKING:  # A type checker finds a wrong name by itself, unless it sees this.

        def __getattr__(self, name: str) -> Never:
            raise_unknown(self, name)

        def __index__(self) -> Never:
            raise TurnMisused(
                f"a turn must be used as a loop over its steps, or by its attributes, but was used "
                f"as a number ({self!r}); write for step in turn, or range(turn.steps)"
            )

    @property
    def steps(self) -> int:
        """The number of steps to train, for a loop of your own."""
        self._measured = True
        return self._steps

    @property
    def stop(self) -> int:
        """The steps behind the weights at the turn's end, counted along the lineage."""
        self._measured = True
        return self._stop

    @property
    def fresh(self) -> bool:
        """Whether the member begins with first weights: it has no checkpoint yet."""
        return self.checkpoint is None

    @property
    def renewed(self) -> bool:
        """Whether the turn must begin with renewed weights, between the present and fresh ones.

        The loop must renew them. ``IPBT(renew=True)`` asks for it, and so do replays of its runs.
        """
        self._asked_renewed = True
        return self._renewed

    @property
    def rng(self) -> np.random.Generator:
        """The turn's generator: the same draws in every worker, however often the turn is tried."""
        if self._rng is None:
            self._rng = self.draws.training()
        return self._rng

    @property
    def init_rng(self) -> np.random.Generator:
        """The generator for a fresh member's first weights."""
        return self.draws.first_weights()

    @property
    def step(self) -> int:
        """The steps behind the weights at the end of the current iteration."""
        return self._stop if self._at is None else self._at

    @property
    def evaluation_due(self) -> bool:
        """Whether a score is due at the current step."""
        done = self.step - self.start
        return done == self._steps or done % self._every == 0

    def __iter__(self) -> Iterator[int]:
        """Yield the number of each step, counted along the lineage from 0."""
        self.begin()
        for step in range(self.start, self._stop):
            self._at = step + 1
            yield step
        self._at = None

    @property
    def first_stretch(self) -> int:
        """The steps to train before the first score is due."""
        return min(self._every, self._steps)

    def stretches(self) -> Iterator[int]:
        """Yield the number of steps to train before each score is due."""
        self.begin()
        at = self.start
        for stretch in self.divide():
            self._at = at = at + stretch
            yield stretch
        self._at = None

    def divide(self) -> list[int]:
        """Return the numbers that ``stretches`` yields, for turns that are trained together."""
        steps, every = self._steps, self._every
        return [min(every, steps - done) for done in range(0, steps, every)]

    def report(self, score: Any, **metrics: Any) -> None:
        """Record the score of the current weights; a later one at the same step replaces it.

        ``report(None)`` says that there is no score, for example because no episode has ended. A
        turn that ends without a score leaves its member out of the ranking: it neither copies nor
        is copied, and goes on.

        Args:
            score: One number, or None.
            metrics: Further numbers by name, recorded as by ``log``.
        """
        self._check_open("scores must be reported")
        self._scores.report(self.step, score)
        if metrics:
            self.log(metrics)

    def log(self, metrics: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Record metrics, numbers other than the score, at the current step: ``log(loss=0.3)``.

        A later number of the same name at the same step replaces the first. A turn can have up to
        64 metrics. It keeps up to 128 points of each: the first, the last, and evenly spaced ones.

        Args:
            metrics: Numbers by name, for names that are no Python identifiers.
            named: Numbers by name, as keyword arguments.
        """
        self._check_open("metrics must be logged")
        held = self._metrics = self._metrics or Metrics()
        log = held.log if self._begun else held.log_once
        if metrics is not None:
            log(self.step, metrics)
        log(self.step, named)

    def stop_run(self) -> None:
        """Ask the run to stop after this turn, which must still be trained and reported to its end.

        Turns of other members end first; in a synchronous run, their round does. This is no error:
        ``ramet.run`` returns, and the same call resumes the run.
        """
        self._check_open("runs must be asked to stop")
        self.stops_run = True

    def load(self, default: Any = None) -> Tree:
        """Return the state to go on from, as a copy that may be changed.

        Args:
            default: The state of a fresh member, or a function that makes it from ``init_rng``.
        """
        if self.checkpoint is None:
            return default(self.init_rng) if callable(default) else thaw(freeze(default))
        return thaw(self.read_checkpoint())

    def read_checkpoint(self) -> Tree:
        """Return the state in the member's checkpoint, as read-only arrays."""
        if self.checkpoint is None:
            raise TurnMisused(f"member {self.member} has no checkpoint before its first turn")
        return self._read(self.checkpoint)

    def record(self, scores: Iterable[tuple[int, Any]] | Any) -> None:
        """Record scores at their steps; None is no score, as for ``report``.

        Args:
            scores: (step, score) pairs with steps counted along the lineage, or one score of the
                last step.
        """
        self._scores.record(scores, start=self.start, stop=self._stop)

    def metrics(self, others: Mapping[str, Any] | None = None) -> tuple[Series, ...]:
        """Return the metrics to keep: those logged, and those given at the end.

        Args:
            others: Numbers by name, each one number or (step, value) pairs.
        """
        if others is not None:
            held = self._metrics or Metrics()
            return held.join(others, start=self.start, stop=self._stop).pack()
        return () if self._metrics is None else self._metrics.pack()

    def points(self) -> tuple[Point, ...]:
        """Return the scores as they were reported.

        A turn that was not trained, was cut short, or has none is refused.
        """
        if not self._measured:
            raise TurnMisused(
                f"a turn must be trained for its {self._steps} steps, but the loop never asked "
                f"turn {self.number} of member {self.member} how many they are, and whatever it "
                f"trained would count as {self._steps}; loop over the turn or over "
                f"turn.stretches(), or train turn.steps steps in a loop of your own"
            )
        if self._at is not None and self._at != self._stop:
            raise TurnInterrupted(
                f"a turn must be trained to its last step, {self._stop}, but turn {self.number} of "
                f"member {self.member} was left at step {self.step}; for fewer steps lower "
                f"steps= or turn_steps=, and to stop the run call turn.stop_run() and end the turn"
            )
        if self._renewed and not self._asked_renewed:
            raise TurnMisused(
                f"a turn that the strategy wants renewed must begin with renewed weights, but the "
                f"loop never asked turn {self.number} of member {self.member} whether it is "
                f"turn.renewed; renew the weights before the first step if it is, or use "
                f"renew=False in the strategy"
            )
        return self._scores.points(self.start, self._stop)

    def __repr__(self) -> str:
        return (
            f"Turn({self.number} of member {self.member}, steps {self.start} to {self._stop}, "
            f"{self.hparams})"
        )

    def _check_open(self, law: str) -> None:
        if self.over:
            raise TurnMisused(
                f"{law} before their turn ends, but turn {self.number} of member {self.member} is "
                f"over; do it within the loop over session.turns, or before run.tell"
            )

    def begin(self) -> None:
        """Note that training of the turn begins. It can begin only once."""
        if self._begun:
            raise TurnMisused(
                f"a turn can be trained once, but turn {self.number} of member {self.member} was "
                f"begun already; the next one comes from session.turns or run.ask"
            )
        if self._metrics:
            raise TurnMisused(
                f"metrics must be logged at a step of their turn, but turn {self.number} of member "
                f"{self.member} had {list(self._metrics)} before it began; log them within "
                f"the loop over its steps"
            )
        self._begun = self._measured = True
        # Scores reported before belong to weights that the turn had not trained.
        self._scores.clear()


def raise_unknown(thing: object, name: str) -> Never:
    """Raise an error that an object has no attribute of that name, and suggest the nearest."""
    kind = type(thing).__name__
    public = [each for each in dir(thing) if not each.startswith("_")]
    if name.startswith("_"):
        raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=thing)
    close = difflib.get_close_matches(name, public, n=1)
    raise UnknownAttribute(
        f"objects of type {kind} have no attribute {name!r}"
        + (f"; did you mean {close[0]!r}?" if close else f"; they have {', '.join(public)}"),
        name=name,
        obj=thing,
    )
